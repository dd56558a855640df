"""The files that the rules read: text, and of C what is code, comment and string."""
import re
import subprocess
from pathlib import Path

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
# Data and what others' programs wrote: not held to our rules of text.
DATA = re.compile(r"datasets/(?!README)|tests/golden/(checkpoints|families|tokenizers)/|tests/fuzz/(seeds|"
                  r"regressions|dictionaries)/|results/example/|\.(json|gz|png|svg|tsv|bin|h5)$")


class Tree:
    """The project's files by path: the real ones, or those of a fixture."""

    def __init__(self, texts):
        self.texts = texts
        self.parsed = {}

    @classmethod
    def of_folder(cls, root):
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True,
                                capture_output=True, text=True).stdout.splitlines()
        texts = {}
        for path in listed:
            file = Path(root, path)
            if file.is_file():
                texts[path] = "" if DATA.search(path) else file.read_text("utf-8", "replace")
        return cls(texts)

    def paths(self, *endings, under=("",)):
        """The paths with these endings (all where none is given) in these folders, data left out."""
        return sorted(p for p in self.texts if not DATA.search(p) and p.startswith(tuple(under)) and
                      (not endings or p.endswith(endings)))

    def sources(self, *under):
        """The C files in these folders; those of the program where none is given."""
        return self.paths(".c", ".h", under=under or ("algorithms/", "eval/"))

    def exists(self, path):
        return path in self.texts or any(p.startswith(path.rstrip("/") + "/") for p in self.texts)

    def lines(self, path):
        """(number, line) from 1."""
        return list(enumerate(self.texts[path].split("\n"), 1))

    def code(self, path):
        """A C file with comments and the contents of strings blanked, line for line."""
        return self._parse(path)[0]

    def code_lines(self, path):
        return list(enumerate(self.code(path).split("\n"), 1))

    def comments(self, path):
        """(line, text) of each comment."""
        return self._parse(path)[1]

    def strings(self, path):
        """(line, text) of each string literal, those of #include left out."""
        return self._parse(path)[2]

    def includes(self, path):
        """(line, path) of each #include "..."."""
        found = []
        for number, line in self.lines(path):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match:
                found.append((number, match.group(1)))
        return found

    def _parse(self, path):
        if path not in self.parsed:
            self.parsed[path] = parse(self.texts[path])
        return self.parsed[path]


def parse(text):
    comments, strings, code, end, line = [], [], [], 0, 1
    for match in TOKEN.finditer(text):
        between, token = text[end:match.start()], match.group()
        line += between.count("\n")
        code.append(between)
        if token.startswith("/"):
            comments.append((line, token))
            code.append(re.sub(r"[^\n]", " ", token))
        else:
            before = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
            if token[0] == '"' and not re.match(r"\s*#\s*include", before):
                strings.append((line, token[1:-1]))
            code.append(token[0] + " " * (len(token) - 2) + token[-1])
        line += token.count("\n")
        end = match.end()
    code.append(text[end:])
    return "".join(code), comments, strings
