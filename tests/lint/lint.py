#!/usr/bin/env python3
"""Checks the sources and documents by our own rules, clang-format and clang-tidy: `make lint`.

    lint.py PROGRAM [RULE ...]      all rules, or those named; PROGRAM is the built bitsweep
    lint.py --docs PROGRAM          makes the generated parts of the documents anew: `make docs`

A finding is printed as file:line: rule: message. Each rule is first run over files with a fault planted in
them (faults.py), which it must find. What a rule is to leave alone stands in `exceptions`.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

import documents
import faults
import names
import structure
import tools
import words
from tree import Tree

ROOT = Path(__file__).resolve().parents[2]
RULES = (structure.folder_order, structure.include_cycle, structure.own_header, structure.include_guard,
         structure.function_length, structure.file_length, structure.header_comment,
         words.banned_call, words.elementary_function, words.exit_and_output, words.dialect, words.line_length,
         words.left_over, words.words,
         documents.readme_size, documents.links, documents.generated, documents.described,
         documents.help_printed,
         names.algorithm_name, names.format_name, names.figure_name,
         tools.format, tools.tidy)


def name_of(rule):
    return rule.__name__.replace("_", "-")


def read_exceptions(text):
    """{(rule, path): line}; a line is a rule, a path and the reason."""
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            rule, path, reason = line.split(None, 2)
            found[rule, path] = number
    return found


def findings(rule, tree, exceptions, used):
    """What the rule finds, less the exceptions; those that were needed go into `used`."""
    for path, number, message in rule(tree):
        if (name_of(rule), path) in exceptions:
            used.add((name_of(rule), path))
        else:
            yield f"{path}:{number}: {name_of(rule)}: {message}"


def run(rules, tree, exceptions, unused_matter):
    """Prints what is found; the numbers of rules that passed and failed."""
    used, failed = set(), 0
    for rule in rules:
        began = time.monotonic()
        missed = faults.missed(rule, name_of(rule))
        found = missed or list(findings(rule, tree, exceptions, used))
        failed += bool(found)
        for line in found:
            print(line)
        seconds = time.monotonic() - began
        print(f"{'FAIL ' if found else 'ok   '} {name_of(rule):16} {rule.__doc__.splitlines()[0]} ({seconds:.1f} s)",
              flush=True)
    unused = [key for key in exceptions if key not in used] if unused_matter else []
    for key in unused:
        print(f"tests/lint/exceptions:{exceptions[key]}: unused: {key[0]} finds nothing in {key[1]}")
    return len(rules) - failed, failed + bool(unused)


def with_program(tree, program):
    """The tree, which now knows what the program prints: `bitsweep describe ...`."""
    printed = {}

    def ask(command):
        if command not in printed:
            done = subprocess.run([program, *command.split()[1:]], cwd=ROOT, capture_output=True, text=True)
            printed[command] = done.stdout if done.returncode == 0 else f"exit status {done.returncode}\n"
        return printed[command]

    tree.printed = ask
    tree.folder = str(ROOT)
    return tree


def main(arguments):
    os.chdir(ROOT)
    docs = arguments[:1] == ["--docs"]
    program, *chosen = arguments[docs:]
    tree = with_program(Tree.of_folder(ROOT), program)
    if docs:
        for path in tree.paths(".md"):
            made = documents.remade(tree.texts[path], tree.printed)
            if made != tree.texts[path]:
                Path(path).write_text(made, "utf-8")
                print(f"made {path}")
        return 0
    rules = [r for r in RULES if not chosen or name_of(r) in chosen]
    unknown = set(chosen) - {name_of(r) for r in RULES}
    if unknown:
        print(f"no rule is called {', '.join(sorted(unknown))}; there are {', '.join(map(name_of, RULES))}")
        return 2
    exceptions = read_exceptions(tree.texts["tests/lint/exceptions"])
    passed, failed = run(rules, tree, exceptions, not chosen)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
