"""Rules of what may stand in a line: calls, names, words, lengths."""
import re

# Each with what is used instead. Not part of a longer name.
CALLS = {
    "strcpy": "snprintf or memcpy",
    "strcat": "snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "eval/base/lines.h",
    "strtok": "strcspn and strspn",
    "atoi": "strtol, whose end is checked",
    "atol": "strtol, whose end is checked",
    "atof": "strtod, whose end is checked",
    "rand": "eval/data/random.h",
    "srand": "eval/data/random.h",
    "roundf": "rintf: ties go to even",
    "alloca": "eval/base/mem.h",
    "malloc": "eval/base/mem.h",
    "calloc": "eval/base/mem.h",
    "realloc": "eval/base/mem.h",
    "strdup": "bs_strdup",
}
# The file that stands for these; a test's memory may be as another library wants it.
CALLS_FOR_MEMORY = {"alloca", "malloc", "calloc", "realloc", "strdup"}
MEMORY = "eval/base/mem.c"

# Functions of the C library whose last bits are not the same on every processor.
ELEMENTARY = re.compile(r"\b((?:exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|tan|sincos|asin|acos|atan|atan2|sinh|cosh"
                        r"|tanh|cbrt|hypot|erf|erfc|lgamma|tgamma)[fl]?)\s*\(")

# Words that make a sentence be read twice, or that are no term of ours; each with what is said instead.
WORDS = {
    r"behind": "'after' where one thing follows another in time or order",
    r"stages?": "'step' of a chain",
    r"passengers?": "'variant' of the model in a walk",
    r"print(s|ed)? alike": "'prints the same'",
}
# Bits of code in which there is another way that all use.
DIALECT = (
    (r"[!=]= BS_OK\b", "`if (status)` or `if (!status)`"),
    (r"\b(?:if|while) \((?:[^?]*\W)?[\w>.\[\]-]+ [!=]= NULL\b(?!.*\?)", "`if (pointer)` or `if (!pointer)`"),
    (r"[!=]= (true|false)\b", "the condition itself"),
    (r"\btypedef (struct|union|enum)\b[^(]*$", "`struct bs_thing`"),
    (r"^#\s*if 0\b", "no code that is never compiled"),
    (r"reduction\([-+*]", "partial sums that are added in the order of their index"),
)
COMPARISON = re.compile(r"\b(str|strn|strcase|strncase|mem)cmp\(")
LONGEST_LINE = 100
# What a line that was code ends with; a sentence does not.
WAS_CODE = re.compile(r"^\s*(?:/?[/*]+ {0,2}(?! ))?(?:(?:if|for|while|switch) \(.*[{;]|[\w>.\[\]-]+ [-+*|]?= .*;|"
                      r"[\w>.-]+\(.*\);|return\b.*;)\s*(?:\*/)?$")


def part_of_name(word):
    """A pattern that finds `word` whole or between underscores of a name."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:{word})(?![A-Za-z0-9])", re.I)


def own_text(tree):
    """What we wrote, less this folder, which has to name what it forbids."""
    return [p for p in tree.paths(".c", ".h", ".py", ".sh", ".bash", ".md", ".yaml", ".gp")
            + [p for p in ("Makefile", "tests/run", ".ci/run", ".ci/setup") if p in tree.texts]
            if not p.startswith("tests/lint/")]


def banned_call(tree):
    """Calls that overflow, hide errors or round in another way have a better one."""
    pattern = re.compile(rf"\b({'|'.join(CALLS)})\s*\(")
    for path in tree.sources("algorithms/", "eval/", "tests/"):
        free = CALLS_FOR_MEMORY if path == MEMORY or path.startswith("tests/") else ()
        for number, line in tree.code_lines(path):
            for match in pattern.finditer(line):
                if match.group(1) not in free:
                    yield path, number, f"{match.group(1)}: use {CALLS[match.group(1)]}"


def elementary_function(tree):
    """Figures come from functions with the same bits on every processor: eval/linalg/elementary.h."""
    for path in tree.sources("algorithms/", "eval/"):
        for number, line in tree.code_lines(path):
            for match in ELEMENTARY.finditer(line):
                yield path, number, f"{match.group(1)}: use eval/linalg/elementary.h"


def exit_and_output(tree):
    """Only main.c ends the program and opens stdout; the rest gives a status back and is handed a FILE."""
    pattern = re.compile(r"\b(?:(_?exit|abort|printf|puts|putchar)(?=\s*\()|(stdout)\b)")
    for path in tree.sources():
        if path == "eval/main.c" or path.startswith("eval/command/"):
            continue
        for number, line in tree.code_lines(path):
            for match in pattern.finditer(line):
                yield path, number, f"{match.group()} outside eval/main.c"


def dialect(tree):
    """One way to write a condition."""
    for path in tree.sources("algorithms/", "eval/", "tests/"):
        code = tree.code(path)
        for number, line in tree.code_lines(path):
            for pattern, instead in DIALECT:
                found = re.search(pattern, line)
                if found:
                    yield path, number, f"'{found.group().strip()}': write {instead}"
        for match in COMPARISON.finditer(code):
            end, depth = match.end(), 1
            while depth and end < len(code):
                depth += {"(": 1, ")": -1}.get(code[end], 0)
                end += 1
            if re.match(r"\s*[!=]= 0\b", code[end:]):
                yield path, code[:match.start()].count("\n") + 1, f"{match.group()}...) is a condition: write !{match.group()}...)"


def line_length(tree):
    """A line of a source has at most 100 characters, comments included; clang-format leaves them as they are."""
    for path in tree.paths(".c", ".h"):
        for number, line in tree.lines(path):
            if len(line) > LONGEST_LINE:
                yield path, number, f"{len(line)} characters, at most {LONGEST_LINE}"


def left_over(tree):
    """No code in comments, no note of what is to be done, no blank at a line's end."""
    for path in own_text(tree):
        for number, line in tree.lines(path):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield path, number, "a note of what is to be done: do it"
            if re.search(r"[ \t]$", line) and not path.endswith(".md"):
                yield path, number, "a blank at the end"
    for path in tree.paths(".c", ".h"):
        for start, comment in tree.comments(path):
            for offset, line in enumerate(comment.split("\n")):
                if WAS_CODE.match(line):
                    yield path, start + offset, "code in a comment: " + line.strip()


def words(tree):
    """Comments, messages, names and documents use plain words, each for one thing."""
    patterns = [(part_of_name(word), instead) for word, instead in WORDS.items()]
    for path in own_text(tree):
        for number, line in tree.lines(path):
            for pattern, instead in patterns:
                found = pattern.search(line)
                if found:
                    yield path, number, f"'{found.group()}': write {instead}"
