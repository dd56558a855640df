#!/usr/bin/env python3
"""Golden models of every family: tiny, random, made, saved and run with transformers' own classes.

    families.py [--out DIR] [--only NAME ...]

writes, with transformers 5, for each row of family_rows.py, DIR/<name>/ as save_pretrained lays a
model out by default (config.json, model.safetensors) with

    logits.f32   float32, little-endian, [LOGITS][vocab_size]: the logits of the last tokens of the
                 first window

and DIR/families.json: the token ids, WINDOWS windows of TOKENS each, and the mean negative
log-likelihood over them by the protocol `gptq` (windows do not overlap, each starts at position 0,
every prediction counts). Weights are rounded to the type they are stored in before anything is
computed; the arithmetic is float32, with eager attention (see attention()).

Run again with transformers 4.57 it adds DIR/<name>/4.57/: the same model as that version saves it,
where the form differs (it does for most: rope_theta, torch_dtype), after it has found the same
logits. Weights that have the same names and values are stored once, and linked.

Every figure is checked before it is written:
  - the folder, loaded again by transformers, gives the same logits bit by bit;
  - float64 arithmetic agrees within 1e-5 of the logits' range, so that the figures are no noise;
  - every tensor matters: rolled by one place, it moves the logits by more than 1e-2 of their range;
  - every feature bites: so does each change of `bites`, which switches one off or shifts it;
  - what `same` lists is without effect, so that a reader of config.json may leave it alone.
`older` names what checkpoints on the hub have otherwise; transformers has to load these too, to the
same logits.

Last it checks families/configs.json, which is written by hand: changes of these models' config.json
that are to be refused, or accepted. For a refused one it says what transformers does with it:
`changes` the logits, `fails`, or `ignores` it (another program's key, or one about the tensors);
an accepted one must leave the logits alone.

With --only it makes these models alone, and leaves the figures of the others as they are.

Needs torch, transformers and safetensors; PROVENANCE.md names the versions. Runs in a minute.
"""
import argparse
import copy
import json
import math
import pathlib
import shutil
import sys
import tempfile

import safetensors.torch
import torch
import transformers

from family_rows import FAMILIES

TOKENS, WINDOWS, LOGITS = 40, 3, 8
OLDER = transformers.__version__.startswith("4.57.")  # the second form
BITES = 1e-2  # of the logits' range


def model_class(config):
    """A multimodal model is read with the class that has the other half too."""
    if hasattr(config, "text_config"):
        return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM


def attention(config):
    """Eager, but where Falcon has ALiBi: there it adds the slopes twice, and the default once."""
    return "sdpa" if getattr(config, "alibi", False) else "eager"


def ways(config):
    """How it is computed: experts one by one where the version can choose."""
    return {"attn_implementation": attention(config),
            **({} if OLDER else {"experts_implementation": "eager"})}


def build(config):
    """The family's own class, in eval mode."""
    return model_class(config).from_config(config, **ways(config)).float().eval()


def configured(keys):
    keys = copy.deepcopy(keys)
    return transformers.AutoConfig.for_model(keys.pop("model_type"), **keys)


def with_weights_of(model, keys):
    """The same weights in a model of these keys."""
    other = build(configured(keys))
    other.load_state_dict(model.state_dict(), strict=False)
    return other


def saved_keys(model, changes):
    """What config.json says, with these changes."""
    keys = {**model.config.to_dict(), **changes}
    return {k: v for k, v in keys.items() if k != "dtype"}


def neutral_weight(model):
    """Where a norm's weight leaves its input alone."""
    plus_one = ("gemma", "nemotron")
    return 0 if model.config.model_type.startswith(plus_one) else 1


def is_seen(name):
    """True for the tensors of a multimodal model's other half, which no text reaches."""
    return "vision" in name or "multi_modal" in name


def randomize(model, dtype, generator):
    """Larger than a fresh model's weights: positions, caps and biases are to show."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name or ".ln_" in name:
            value = (0 if name.endswith("bias") else neutral_weight(model)) + 0.3 * noise
        else:
            value = (2.0 if name.endswith("sinks") else 0.4) * noise
        parameter.data = value.to(dtype).float()
    for name, buffer in model.named_buffers():
        if name.endswith("e_score_correction_bias"):
            buffer.copy_((0.3 * torch.randn(buffer.shape, generator=generator)).to(dtype))


@torch.no_grad()
def logits_of(model, ids):
    return model(input_ids=ids, use_cache=False).logits


def range_of(logits):
    return (logits.max() - logits.min()).item()


def distance(a, b):
    return (a.double() - b.double()).abs().max().item() / range_of(a)


def mean_nll(logits, ids):
    """Over all predictions of windows [windows][tokens], summed in float64."""
    log_p = torch.log_softmax(logits.double(), dim=-1)[:, :-1]
    return -log_p.gather(-1, ids[:, 1:, None]).mean().item()


def is_without_effect(model, name):
    """A bias of k alone adds the same to all scores of a query, unless positions rotate it."""
    return model.config.model_type == "opt" and name.endswith("k_proj.bias")


def check_tensors(model, logits, ids):
    for name, parameter in model.named_parameters():
        if is_seen(name):
            continue
        other = copy.deepcopy(model)
        twin = dict(other.named_parameters())[name]
        for dim in range(twin.dim()):
            if parameter.shape[dim] == 1:  # the roll of one place is itself
                continue
            twin.data = parameter.roll(1, dim)
            moved = distance(logits, logits_of(other, ids))
            wanted = moved < 1e-6 if is_without_effect(model, name) else moved > BITES
            assert wanted, (name, dim, moved)


def check_slopes(model, logits, ids):
    """ALiBi has no key of its own: without the slope of any one head, the logits move. The least
    slope of five heads is 2^-8, so this bar is lower."""
    module = sys.modules[type(model).__module__]
    slopes_of = module._get_alibi_slopes
    for head in range(model.config.n_head):
        def without(heads, device):
            slopes = slopes_of(heads, device).clone()
            slopes[head] = 0
            return slopes
        module._get_alibi_slopes = without
        moved = distance(logits, logits_of(model, ids))
        assert moved > BITES / 10, ("slope of head", head, moved)
    module._get_alibi_slopes = slopes_of


def check_llama3(keys):
    """The three kinds of frequency occur."""
    scaling = keys["rope_scaling"]
    original = scaling["original_max_position_embeddings"]
    wavelengths = [2 * math.pi * keys["rope_theta"] ** (2 * i / keys["head_dim"])
                   for i in range(keys["head_dim"] // 2)]
    short = [w for w in wavelengths if w < original / scaling["high_freq_factor"]]
    long = [w for w in wavelengths if w > original / scaling["low_freq_factor"]]
    assert short and long and len(short) + len(long) < len(wavelengths)


def check(row, model, logits, ids):
    moved = distance(logits, logits_of(copy.deepcopy(model).double(), ids))
    assert moved < 1e-5, ("float64", moved)
    if "of" not in row:
        check_tensors(model, logits, ids)
    for changes in row["bites"]:
        moved = distance(logits, logits_of(with_weights_of(model, {**row["config"], **changes}), ids))
        assert moved > BITES, (changes, moved)
    for changes in row.get("same", []):
        moved = distance(logits, logits_of(with_weights_of(model, saved_keys(model, changes)), ids))
        assert moved < 1e-6, (changes, moved)
    if row["name"] == "bloom":
        check_slopes(model, logits, ids)
    if row["name"] == "llama3":
        check_llama3(row["config"])


def load(folder, config=None):
    config = config or transformers.AutoConfig.from_pretrained(folder)
    model = model_class(config).from_pretrained(
        folder, config=config, dtype=torch.float32, **ways(config))
    return model.eval()


def link(path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def save(model, row, generator, folder):
    shutil.rmtree(folder, ignore_errors=True)
    dtype = getattr(torch, row.get("dtype", "float32"))
    model = copy.deepcopy(model).to(dtype)
    if dtype == torch.float64:  # digits that float32 has to round off
        for parameter in model.parameters():
            noise = torch.rand(parameter.shape, generator=generator, dtype=dtype) - 0.5
            parameter.data *= 1 + 2e-8 * noise
    model.save_pretrained(folder, **({"save_original_format": False} if row.get("merged") else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if "of" in row:
        link(folder / "model.safetensors", f"../{row['of']}/model.safetensors")
    if "edit" in row:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **row["edit"]}, indent=2) + "\n")


def check_older(older, folder, logits, ids):
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    copies = {name: tensors[source].clone() for name, source in older["copies"].items()}
    extra = {name: torch.zeros(shape) for name, shape in older["extra"].items()}
    tensors = {name.removeprefix(older["strip"]): value for name, value in tensors.items()}
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(folder / "config.json", other)
        safetensors.torch.save_file({**tensors, **copies, **extra},
                                    pathlib.Path(other) / "model.safetensors", {"format": "pt"})
        assert torch.equal(logits, logits_of(load(other), ids)), folder


def make_model(row, generator, out):
    """Of random weights, or of those of the row that it is `of`."""
    if "of" in row:
        return load(out / row["of"], configured(row["config"]))
    model = build(configured(row["config"]))
    randomize(model, getattr(torch, row["dtype"]), generator)
    return model


def make(row, seed, out):
    generator = torch.Generator().manual_seed(seed)
    model = make_model(row, generator, out)
    vocab_size = model.config.get_text_config().vocab_size
    ids = torch.randint(vocab_size, (WINDOWS, TOKENS), generator=generator)
    if hasattr(model.config, "text_config"):
        ids %= vocab_size - 3  # below those that stand for an image
    logits = logits_of(model, ids)
    try:
        check(row, model, logits, ids)
    except AssertionError as error:
        raise SystemExit(f"{row['name']}: {error}")

    folder = out / row["name"]
    save(model, row, generator, folder)
    assert torch.equal(logits, logits_of(load(folder), ids)), row["name"]
    older = row.get("older") and {"strip": "", "extra": {}, "copies": {}, **row["older"]}
    if older:
        check_older(older, folder, logits, ids)
    logits[0, -LOGITS:].numpy().astype("<f4").tofile(folder / "logits.f32")
    print(f"{row['name']:20} {sum(p.numel() for p in model.parameters()):6} parameters"
          f"  range {range_of(logits):6.1f}  mean nll {mean_nll(logits, ids):.4f}")
    return {"name": row["name"], "windows": WINDOWS, "tokens": TOKENS,
            "mean_nll": mean_nll(logits, ids), "perplexity": math.exp(mean_nll(logits, ids)),
            "older": older, "forms": [], "ids": ids.flatten().tolist()}


def same_but_version(one, other):
    one, other = (json.loads((folder / "config.json").read_text()) for folder in (one, other))
    return {**one, "transformers_version": 0} == {**other, "transformers_version": 0}


def same_tensors(one, other):
    one, other = (safetensors.torch.load_file(folder / "model.safetensors")
                  for folder in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def make_form(row, golden, out):
    """The same model as this version of transformers saves it, in a folder of the model's own."""
    folder, form = out / row["name"], out / row["name"] / "4.57"
    shutil.rmtree(form, ignore_errors=True)
    if row.get("since") == 5 or "edit" in row:
        return []
    ids = torch.tensor(golden["ids"]).view(WINDOWS, TOKENS)
    logits = logits_of(model := load(folder, configured(row["config"])), ids)
    moved = abs(mean_nll(logits, ids) - golden["mean_nll"])
    assert moved < 1e-7, (row["name"], moved)
    save(model, {k: v for k, v in row.items() if k != "of"}, torch.Generator(), form)
    if same_but_version(folder, form) and same_tensors(folder, form):
        shutil.rmtree(form)
        return []
    assert torch.equal(logits, logits_of(load(form), ids)), form
    if same_tensors(folder, form):
        link(form / "model.safetensors", "../model.safetensors")
    return ["4.57"]


def effect(folder, change, ids):
    """What transformers makes of the model in this folder when config.json has the change."""
    model = load(folder)
    try:
        other = logits_of(with_weights_of(model, saved_keys(model, change)), ids)
    except Exception:  # whatever it is: no logits come of this config.json
        return "fails"
    moved = distance(logits_of(model, ids), other)
    assert moved < 1e-6 or moved > BITES, (folder, change, moved)
    return "changes" if moved > BITES else "ignores"


def check_configs(path, rows, out):
    configs = json.loads(path.read_text())
    ids = {row["name"]: torch.tensor(row["ids"]).view(WINDOWS, TOKENS) for row in rows}
    for case in configs["refused"] + configs["accepted"]:
        does = effect(out / case["model"], case["change"], ids[case["model"]])
        if does != case.get("transformers", "ignores"):
            raise SystemExit(f"{path}: {case}: transformers {does}")


def write(rows, path):
    """One row a line: the file is read by people too."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text(f'{{"families": [\n{lines}\n]}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "families")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    out = args.out
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    out.mkdir(parents=True, exist_ok=True)
    if OLDER:
        rows = json.loads((out / "families.json").read_text())["families"]
        for row, golden in zip(FAMILIES, rows, strict=True):
            golden["forms"] = make_form(row, golden, out)
        write(rows, out / "families.json")
        return
    known = {}
    if args.only:
        known = {row["name"]: row
                 for row in json.loads((out / "families.json").read_text())["families"]}
    rows = [known[row["name"]] if args.only and row["name"] not in args.only
            else make(row, 1 + seed, out) for seed, row in enumerate(FAMILIES)]
    write(rows, out / "families.json")
    check_configs(pathlib.Path(__file__).parent / "families" / "configs.json", rows, out)


if __name__ == "__main__":
    main()
