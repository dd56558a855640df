"""Rules of who may name whom: a plug-in's name is its own."""
import re

# Where the lines of a registry stand, and the folder in which its rows may be named.
REGISTRIES = {
    "algorithm": ("algorithms/registry.c", "algorithms/"),
    "format": ("eval/quant/formats/registry.c", "eval/quant/formats/"),
}
# A word of C; as a format it is a string.
KEYWORDS = {"int", "float", "double"}


def plugins(text):
    """The names in the X(...) lines of a registry, those of its list and not of its macros."""
    return [name for name in re.findall(r"^\s*X\((\w+)\)", text, re.M)]


def named(tree, kind):
    registry, home = REGISTRIES[kind]
    names = plugins(tree.texts.get(registry, ""))
    words = [n for n in names if n not in KEYWORDS]
    # A word that nothing is where there are no names.
    part = rf"(?<![A-Za-z0-9])({'|'.join(words) or '(?!)'})(?![A-Za-z0-9])"
    in_code, in_string = re.compile(part, re.I), re.compile(rf"{part}|^({'|'.join(names) or '(?!)'})$", re.I)
    for path in tree.sources("eval/"):
        if path.startswith(home):
            continue
        for number, line in tree.code_lines(path):
            if in_code.search(line):
                yield path, number, f"names the {kind} {in_code.search(line).group(1)}"
        for number, text in tree.strings(path):
            if in_string.search(text):
                yield path, number, f"names the {kind} {in_string.search(text).group()}"


def algorithm_name(tree):
    """No algorithm is named outside algorithms/: what others must know of it, its interface says."""
    yield from named(tree, "algorithm")


def format_name(tree):
    """No format is named outside eval/quant/formats/."""
    yield from named(tree, "format")
