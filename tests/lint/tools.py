"""clang-format and clang-tidy, as rules."""
import os
import re
import shlex
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KNOWN, KNOWN_AT_HOME = "tests/lint/known.h", "eval/base/error.c"
FINDING = re.compile(r"^(.+?):(\d+):\d+: (?:warning|error): (.*)$", re.M)


def in_folder(tree):
    """A folder that holds the tree's sources: the project, or a fixture written out."""
    if hasattr(tree, "folder"):
        return tree.folder
    kept = tree.kept = tempfile.TemporaryDirectory()
    for path, text in tree.texts.items():
        Path(kept.name, path).parent.mkdir(parents=True, exist_ok=True)
        Path(kept.name, path).write_text(text, "utf-8")
    for name in (".clang-format", ".clang-tidy", KNOWN, "eval/base/error.h"):
        Path(kept.name, name).parent.mkdir(parents=True, exist_ok=True)
        Path(kept.name, name).write_text(Path(ROOT, name).read_text("utf-8"), "utf-8")
    return kept.name


def parsed(output, folder):
    """(path, line, message) of each finding, once."""
    found = set()
    for path, number, message in FINDING.findall(output):
        found.add((os.path.relpath(os.path.join(folder, path), folder), int(number), message))
    return sorted(found)


def each(command, folder, batches):
    """What the command prints for each batch of files, as many at once as there are processors."""
    def one(batch):
        done = subprocess.run([*command, *batch], cwd=folder, capture_output=True, text=True)
        return done.stdout + done.stderr

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(one, batches)


def format(tree):
    """Sources stand as clang-format puts them: `make format`."""
    folder, files = in_folder(tree), tree.paths(".c", ".h")
    for output in each(["clang-format", "--dry-run", "-Werror"], folder, [files[i:i + 20] for i in range(0, len(files), 20)]):
        yield from parsed(output, folder)


def tidy(tree):
    """clang-tidy finds nothing (.clang-tidy has the checks, and why some are off)."""
    folder, found = in_folder(tree), set()
    flags = shlex.split(os.environ.get("LINT_CFLAGS", "-std=c11 -I."))
    # The long ones first, so that the processors end together.
    files = sorted(tree.paths(".c", under=("algorithms/", "eval/")), key=lambda p: -len(tree.texts[p]))
    calls = [[f, "--", *([] if f == KNOWN_AT_HOME else ["-include", KNOWN]), *flags] for f in files]
    for output in each(["clang-tidy", "--quiet"], folder, calls):
        found.update(parsed(output, folder))
    yield from sorted(found)
