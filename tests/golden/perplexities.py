#!/usr/bin/env python3
"""Prints the embedded model's perplexity with its linears rounded to nearest in each format: by
transformers, with the values that the format's own library makes of the weights in their place, and
by the program; and by how much of itself the one differs from the other.

    python3 tests/golden/perplexities.py build/release/bitsweep [FORMAT...]

Needs what report.py needs, and transformers. A library's first combination of options of each format
is taken, of the FORMATs that are named where some are; of bitsandbytes the rules of its CUDA code, as
formats.py has them. The text is the first WINDOWS windows of datasets/commons/evaluation.txt. gfloat,
which casts value by value, is left out: its values are those of ml_dtypes. Exits with 1 where a
difference is above BAR.
"""
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
warnings.filterwarnings("ignore")
import formats  # noqa: E402
import formats_float  # noqa: E402
import report  # noqa: E402

MODEL, TEXT = "datasets/tiny", "datasets/commons/evaluation.txt"
WINDOWS, TOKENS, BAR = 5, 256, 1e-6


def chosen(names):
    """(library, settings, function), the first settings of each library and format, each once."""
    of_cuda = dict(formats.settings())
    seen, texts = set(), set()
    for library, name, settings, run in report.cases():
        left_out = library == "gfloat" or "importance=" in settings or "beyond" in name
        if left_out or (library, name) in seen or settings in texts or (names and name not in names):
            continue
        seen.add((library, name))
        texts.add(settings)
        if library == "bitsandbytes":
            run = report.by_torch(of_cuda[settings])
        yield library, settings, run


def text_of_windows(tokenizer):
    """A text that is the windows' tokens and nothing else, and these."""
    text = pathlib.Path(TEXT).read_text(encoding="utf-8")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][:WINDOWS * TOKENS]
    cut = tokenizer.decode(ids)
    assert tokenizer(cut, add_special_tokens=False)["input_ids"] == ids
    return cut, ids


def by_program(program, cases, text):
    """The program's perplexity of each case."""
    import h5py
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "text.txt").write_text(text, encoding="utf-8")
        lines = [f"model: {pathlib.Path(MODEL).resolve()}",
                 f"evaluation: {{perplexity: [{{text: text.txt, tokens: {TOKENS}}}]}}", "sweep:"]
        for _, settings, _ in cases:
            keys = ", ".join(": ".join(word.split("=", 1)) for word in settings.split())
            lines.append(f"  - {{algorithm: rtn, weights: {{{keys}}}}}")
        (folder / "sweep.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run([program, "run", "--quiet", "--output", folder / "sweep.h5",
                        folder / "sweep.yaml"], check=True, stdout=subprocess.DEVNULL)
        with h5py.File(folder / "sweep.h5") as file:
            values = {v["trial"]: float(v["value"]) for v in file["values"][:]
                      if v["name"] == b"perplexity"}
            trials = [t["id"] for t in file["trials"][:] if t["algorithm"] == b"rtn"]
        assert len(trials) == len(cases)
        return [values[trial] for trial in trials]


def by_transformers(model, state, windows, run):
    import torch
    with torch.no_grad():
        for name in formats_float.linears_of(state):
            values = np.array(run(state[name].numpy()), np.float32)
            model.get_parameter(name).copy_(torch.from_numpy(values))
        nll = [-torch.log_softmax(model(w[None]).logits[0, :-1].double(), -1)
               .gather(1, w[1:, None]).mean() for w in windows]
        return float(torch.stack(nll).mean().exp())


def main():
    import torch
    import transformers
    torch.set_num_threads(1)
    program, names = sys.argv[1], sys.argv[2:]
    text, ids = text_of_windows(transformers.AutoTokenizer.from_pretrained(MODEL))
    cases = list(chosen(names))
    ours = by_program(program, cases, text)
    state = formats_float.load(MODEL)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    windows = torch.tensor(ids).reshape(WINDOWS, TOKENS)
    most = 0.0
    for (library, settings, run), mine in zip(cases, ours):
        theirs = by_transformers(model, state, windows, run)
        difference = abs(mine / theirs - 1)
        most = max(most, difference)
        print(f"{library:20} {settings:60} {theirs:.7f} {mine:.7f} {difference:.1e}", flush=True)
    print(f"{len(cases)} formats, {most:.1e} at most")
    return int(most > BAR)


if __name__ == "__main__":
    sys.exit(main())
