"""Rules of the documents: what they link to, what in them is generated."""
import posixpath
import re

README_BYTES = 8192
LINK = re.compile(r"\]\(([^)\s]+)\)")
BEGIN = re.compile(r"^<!-- (bitsweep .*?) -->$")
END = "<!-- end of bitsweep -->"


def readme_size(tree):
    """README.md is read in one go; what is more stands with what it describes."""
    size = len(tree.texts.get("README.md", "").encode())
    if size > README_BYTES:
        yield "README.md", 1, f"{size} bytes, at most {README_BYTES}"


def anchors(text):
    """The anchors of a document's headings, as they are made of their words."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    found = []
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        same = sum(re.fullmatch(re.escape(anchor) + r"(-\d+)?", a) is not None for a in found)
        found.append(f"{anchor}-{same}" if same else anchor)
    return set(found)


def links(tree):
    """Where a document points to, there is something."""
    for path in tree.paths(".md"):
        for number, line in tree.lines(path):
            for target in LINK.findall(line):
                if re.match(r"\w+:", target):
                    continue
                name, _, anchor = target.partition("#")
                place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
                if not tree.exists(place):
                    yield path, number, f"links to {target}, which is not there"
                elif anchor and anchor not in anchors(tree.texts.get(place, "")):
                    yield path, number, f"links to {target}: no such heading"


def parts(text):
    """(line, command, content) of each generated part; content None where its end is missing."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        match = BEGIN.match(line)
        if match:
            end = next((j for j in range(i + 1, len(lines)) if lines[j] == END), None)
            yield i + 1, match.group(1), None if end is None else "\n".join(lines[i + 1:end] + [""])


def generated(tree):
    """What stands between marks is what the command of the mark prints: `make docs`."""
    for path in tree.paths(".md"):
        for number, command, content in parts(tree.texts[path]):
            if content is None:
                yield path, number, f"no '{END}' follows"
            elif content != tree.printed(command):
                yield path, number, f"'{command}' prints something else: make docs"


def remade(text, printed):
    """The document with its generated parts made anew."""
    for _, command, content in list(parts(text)):
        if content is not None:
            begin = f"<!-- {command} -->\n"
            text = text.replace(begin + content, begin + printed(command), 1)
    return text


def described(tree):
    """Every chapter of `describe` stands in a document."""
    everything = tree.printed("bitsweep describe --markdown")
    documents = "\n".join(content or "" for path in tree.paths(".md") for _, _, content in parts(tree.texts[path]))
    for heading in re.findall(r"^### .*$", everything, re.M):
        if heading not in documents.split("\n"):
            yield "README.md", 1, f"'{heading[4:]}' of `bitsweep describe --markdown` is in no document"


def joined_strings(text):
    return "".join(re.findall(r'"((?:\\.|[^"\\])*)"', text)).replace('\\"', '"').replace("\\\\", "\\")


def help_texts(tree, path):
    """(line, text) of each option's and key's help in a source."""
    text, code = tree.texts[path], tree.code(path)
    for match in re.finditer(r"\bBS_OPT(?:_WORDS)?\(", code):
        end, depth, last = match.end(), 1, match.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            if code[end] == "," and depth == 1:
                last = end + 1
            end += 1
        argument = text[last:end - 1].strip()
        yield code[:match.start()].count("\n") + 1, argument
    for table in re.finditer(r"\bstruct bs_config_key \w+\[\] = \{\n(.*?)\n\};", code, re.S):
        for row in re.finditer(r"^    \{(?!\.)(.*?)\},?$", text[table.start(1):table.end(1)], re.S | re.M):
            cells = re.findall(r'(?:"(?:\\.|[^"\\])*"\s*)+|[\w.]+', row.group(1))
            if len(cells) > 2:
                at = table.start(1) + row.start()
                yield code[:at].count("\n") + 1, cells[2]


def help_printed(tree):
    """Every help text in the sources is printed by `describe`: none is written for nobody."""
    everything = re.sub(r"\s+", " ", tree.printed("bitsweep describe --markdown").replace("\\|", "|"))
    for path in tree.sources():
        for number, argument in help_texts(tree, path):
            if not argument.startswith('"'):
                named = re.search(rf"\b{re.escape(argument)}\[\] =\s*((?:\"(?:\\.|[^\"\\])*\"\s*)+)", tree.texts[path])
                if not named:
                    continue
                argument = named.group(1)
            if joined_strings(argument) not in everything:
                yield path, number, "help that `describe` does not print: " + joined_strings(argument)
