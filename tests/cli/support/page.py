"""Reads a page of `bitsweep report` as a browser would, and says what is wrong with it.

page.py PAGE SCRIPT: a line for each problem. It is whole where every element that begins ends, in order, no name is
there twice and every link within it leads somewhere; it stands alone where nothing is loaded and the one script that
may run is SCRIPT, by the digest in its policy.

page.py --sections PAGE: the ids of its sections, a line each.
"""
import base64
import hashlib
import html.parser
import re
import sys

VOID = {"meta", "link", "br", "input", "img", "hr", "path", "rect", "circle", "use", "stop", "feflood", "fecomposite",
        "polygon", "line", "polyline", "ellipse"}
ELEMENTS = {"html", "head", "title", "style", "body", "header", "h1", "h2", "h3", "nav", "a", "main", "section", "dl",
            "dt", "dd", "p", "label", "output", "figure", "figcaption", "div", "table", "thead", "tbody", "tr", "th",
            "td", "ul", "li", "pre", "code", "span", "footer", "script", "svg", "g", "defs", "text", "tspan", "filter",
            "clippath", "desc"}


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.problems, self.ids, self.links, self.sections = [], [], [], [], []
        self.scripts, self.policy = [], ""

    def problem(self, words):
        self.problems.append(f"line {self.getpos()[0]}: {words}")

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if len(values) < len(attributes):
            self.problem(f"<{tag}> has an attribute twice")
        if tag not in ELEMENTS | VOID:
            self.problem(f"<{tag}>, which no page of ours has")
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "section":
            self.sections.append(values["id"])
        if tag == "script":
            self.scripts.append("")
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        for name, value in attributes:
            self.check_attribute(tag, name, value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def check_attribute(self, tag, name, value):
        if name.startswith("on"):
            self.problem(f"<{tag} {name}> would run")
        if name in ("href", "xlink:href"):
            if value.startswith("#"):
                self.links.append(value[1:])
            elif value != "data:,":
                self.problem(f"<{tag} {name}={value!r}> leads out of the page")
        if name in ("src", "srcset", "data", "action", "poster"):
            self.problem(f"<{tag} {name}={value!r}> would be loaded")
        self.links += re.findall(r"url\(#([^)]*)\)", value)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open[-1] != tag:
            self.problem(f"</{tag}> within {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        if self.open and self.open[-1] == "style" and re.search(r"@import|url\(", data):
            self.problem("the style would load something")

    def finish(self, script):
        self.problems += [f"<{tag}> never ends" for tag in self.open]
        self.problems += [f"the id {name!r} is there {self.ids.count(name)} times"
                          for name in sorted(set(self.ids)) if self.ids.count(name) > 1]
        self.problems += [f"#{name} leads nowhere" for name in sorted(set(self.links) - set(self.ids))]
        if self.scripts != [script]:
            self.problems.append(f"{len(self.scripts)} scripts, expected the one of the templates")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        if f"script-src 'sha256-{digest}'" not in self.policy or "default-src 'none'" not in self.policy:
            self.problems.append(f"the policy is {self.policy!r}, expected the script's digest {digest} and no more")


def main():
    name = sys.argv[2] if sys.argv[1] == "--sections" else sys.argv[1]
    page = Page()
    with open(name, encoding="utf-8", errors="strict") as file:
        page.feed(file.read())
    page.close()
    if sys.argv[1] == "--sections":
        print("\n".join(page.sections))
        return
    with open(sys.argv[2], encoding="utf-8") as file:
        page.finish(file.read())
    print("\n".join(page.problems[:5]), end="\n" if page.problems else "")


if __name__ == "__main__":
    main()
