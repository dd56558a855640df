"""Rules of who may name whom: a plug-in's name, and a figure's, is its own."""
import re

# Where the lines of a registry stand, and the folder in which its rows may be named.
REGISTRIES = {
    "algorithm": (("algorithms/registry.c",), "algorithms/"),
    "format": (("eval/quant/formats/registry.c", "eval/quant/formats/mix_formats.h"), "eval/quant/formats/"),
}
FIGURES = "eval/tasks/"
# Published grids, samplings and protocols are called after the code they follow, and a repository
# is no algorithm.
ANOTHERS = r"(?<![A-Za-z0-9/])(?<!llm-)(?<!BS_GRID_)(?<!BS_SAMPLING_)(?<!BS_PROTOCOL_)"
# Names that are words besides: they count where a string is nothing else.
COMMON = {"int", "float", "double", "size", "bytes"}


def rows(text):
    """The names in the X(...) lines of a registry's list."""
    return re.findall(r"^\s*X\((\w+)\)", text, re.M)


def figures(text):
    """What a source of eval/tasks calls the figures and values in its tables."""
    return re.findall(r'(?:\.name = |\] = \{)"([a-z][a-z0-9_]*)"', text)


def named(tree, kind, names, paths):
    """Where one of the names stands in code, whole or as part of a name, or in a string."""
    apart = "|".join(re.escape(n) for n in names if n not in COMMON) or "(?!)"
    part = rf"{ANOTHERS}({apart})(?![A-Za-z0-9])"
    in_code = re.compile(part, re.I)
    in_string = re.compile(rf"{part}|^({'|'.join(names) or '(?!)'})$", re.I)
    for path in paths:
        for number, line in tree.code_lines(path):
            if in_code.search(line):
                yield path, number, f"names the {kind} {in_code.search(line).group()}"
        for number, text in tree.strings(path):
            if in_string.search(text):
                yield path, number, f"names the {kind} {in_string.search(text).group()}"


def plugin_name(tree, kind):
    lists, home = REGISTRIES[kind]
    paths = [p for p in tree.sources("eval/") if not p.startswith(home)]
    names = [name for path in lists for name in rows(tree.texts.get(path, ""))]
    yield from named(tree, kind, names, paths)


def algorithm_name(tree):
    """No algorithm is named outside algorithms/: what others must know of it, its interface says."""
    yield from plugin_name(tree, "algorithm")


def format_name(tree):
    """No format is named outside eval/quant/formats/."""
    yield from plugin_name(tree, "format")


def figure_name(tree):
    """No figure is named in eval/store/: a new one is no new schema."""
    names = {n for path in tree.sources(FIGURES) for n in figures(tree.texts[path])}
    yield from named(tree, "figure", sorted(names), tree.sources("eval/store/"))
