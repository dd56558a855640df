"""Rules of how files and functions hang together."""
import ast
import re

# A folder includes itself and those after it.
FOLDERS = ("main", "command", "run", "report", "store", "config", "export", "recipe", "algorithms", "tasks",
           "statistics", "model", "checkpoint", "data", "tokenizer", "gguf", "hub", "quant", "linalg", "base")
MOST_FUNCTION_LINES = 80
MOST_FILE_LINES = 600


def folder_of(path):
    """The rank of a source's folder, and its name; None outside the program."""
    parts = path.split("/")
    if parts[0] == "eval":
        name = parts[1] if len(parts) > 2 else "main"
    elif parts[0] == "algorithms":
        name = "algorithms"
    else:
        return None
    return (FOLDERS.index(name) if name in FOLDERS else -1), name


def folder_order(tree):
    """An include goes down the list of folders in eval/README.md, never up."""
    for path in tree.sources():
        rank, name = folder_of(path)
        if rank < 0:
            yield path, 1, f"'{name}' is in no list of folders: give it a place in the order"
            continue
        for number, target in tree.includes(path):
            place = folder_of(target)
            if place is None:
                yield path, number, f"includes {target}, which is not the program's"
            elif place[0] < rank:
                yield path, number, f"includes {target}: '{place[1]}' stands above '{name}'"


def include_cycle(tree):
    """No header includes itself by way of others."""
    headers = {p: [(n, t) for n, t in tree.includes(p) if t in tree.texts] for p in tree.paths(".h")}
    done = set()

    def visit(path, way):
        for number, target in headers.get(path, ()):
            if target in way:
                yield path, number, "a cycle: " + " > ".join(way[way.index(target):] + [target])
            elif target not in done:
                yield from visit(target, way + [target])
        done.add(path)

    for path in sorted(headers):
        if path not in done:
            yield from visit(path, [path])


def own_header(tree):
    """x.c includes x.h first, so that every header is known to stand alone."""
    for path in tree.paths(".c"):
        header = path[:-2] + ".h"
        if header not in tree.texts:
            continue
        first = re.search(r"^\s*#\s*include\s+(\S+)", tree.texts[path], re.M)
        if not first or first.group(1) != f'"{header}"':
            number = tree.texts[path][:first.start()].count("\n") + 1 if first else 1
            yield path, number, f"includes {first.group(1) if first else 'nothing'} before its own {header}"


def include_guard(tree):
    """A header's guard is its path."""
    for path in tree.paths(".h"):
        guard = "BS_" + re.sub(r"\W", "_", path).upper()
        text = tree.code(path)
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield path, 1, f"expected the guard {guard}"


def functions(text):
    """(first line, name, lines) of each function of a C file whose comments are blanked."""
    lines = text.split("\n")
    start = name = None
    for i, line in enumerate(lines):
        if line.startswith("{"):
            back = i
            while back > 0 and lines[back - 1].strip() and not re.search(r"[;}]\s*$", lines[back - 1]) \
                    and not lines[back - 1].startswith("#"):
                back -= 1
            head = " ".join(lines[back:i])
            match = re.search(r"(\w+)\s*\(", head)
            start, name = (i, match.group(1)) if match else (None, None)
        elif line.startswith("}") and start is not None:
            yield start + 1, name, i - start + 1
            start = None


def function_length(tree):
    """No function has more than 80 lines, its braces included."""
    for path in tree.paths(".c", ".h"):
        for number, name, length in functions(tree.code(path)):
            if length > MOST_FUNCTION_LINES:
                yield path, number, f"{name} has {length} lines, at most {MOST_FUNCTION_LINES}"
    for path in tree.paths(".py"):
        for node in ast.walk(ast.parse(tree.texts[path])):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES:
                yield path, node.lineno, (f"{node.name} has {node.end_lineno - node.lineno + 1} lines, "
                                          f"at most {MOST_FUNCTION_LINES}")


def file_length(tree):
    """No source has more than 600 lines: by then it holds a second idea."""
    for path in tree.paths(".c", ".h", ".py", ".sh", ".bash", ".gp"):
        length = tree.texts[path].count("\n")
        if length > MOST_FILE_LINES:
            yield path, length, f"{length} lines, at most {MOST_FILE_LINES}"


def header_comment(tree):
    """Functions, types and tables of a header have a comment; those without a blank line between share it."""
    for path in tree.sources():
        if not path.endswith(".h"):
            continue
        code, shown = tree.code(path).split("\n"), tree.texts[path].split("\n")
        depth, commented = 0, False
        for i, line in enumerate(code):
            if not shown[i].strip():
                commented = commented and depth > 0
            elif not line.strip():
                commented = True
            elif depth == 0 and not commented and declares(line):
                yield path, i + 1, "no comment says what this is: " + line.strip()
                commented = True
            depth += line.count("{") - line.count("}")


def declares(line):
    """Whether a line at the left margin begins a function, a table or a type's definition."""
    if not re.match(r"[A-Za-z_]", line) or re.match(r"(struct|enum|union) \w+;$", line):
        return False
    return "(" in line or line.startswith("extern") or line.rstrip().endswith("{")
