"""probabilities.json: mean losses of the embedded model whose attention probabilities are rounded before they meet
the values, stated here in a few lines each.

    python3 tests/golden/probabilities.py --model datasets/tiny --calibration datasets/commons/calibration.txt \\
                 --evaluation datasets/commons/evaluation.txt --out tests/golden/probabilities.json

A row is what one head makes of one query; keys that the query does not see are zeros, which change no scale here.
Static ranges are those that NVIDIA Model-Optimizer's calibrator and PyTorch's observers find in the probabilities of
keys that are seen, a window of the calibration text a batch, all heads together or each by itself.
"""
import argparse
import json

import torch
import transformers
from torch.ao.quantization.observer import HistogramObserver, MovingAverageMinMaxObserver

from ranges import HistogramCalibrator  # which has been made to run without a GPU

TOKENS, WINDOWS, BATCHES = 256, 2, 3


def symmetric(p, bits):
    scale = p.amax(dim=-1, keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.round(p / scale) * scale


def fixed(p, bits):
    most = 2 ** (bits - 1) - 1
    return torch.round(p * most) / most


def groups(p, size):
    """Of so many consecutive keys; of a row that ends within one the rest are zeros."""
    return p.reshape(*p.shape[:-1], -1, size)


def grouped(p, bits, size):
    """Asymmetric; the least value is 0, which is the zero point."""
    g = groups(p, size)
    scale = g.amax(dim=-1, keepdim=True) / (2 ** bits - 1)
    return torch.where(scale > 0, torch.round(g / scale) * scale, 0).reshape(p.shape)


def e4m3(x):
    return x.to(torch.float8_e4m3fn).float()


def e2m1(x):
    """Not negative: multiples of .5 to 2, of 1 to 4, of 2 to 6; ties to even."""
    step = torch.where(x < 2, 0.5, torch.where(x < 4, 1.0, 2.0))
    return (torch.round(x / step) * step).clamp(max=6)


def fp8(p, scale):
    return e4m3(p / scale) * scale


def mxfp4(p):
    g = groups(p, 32)
    most = g.amax(dim=-1, keepdim=True)
    scale = torch.exp2(torch.floor(torch.log2(most.clamp(min=2.0 ** -120))) - 2)
    return torch.where(most > 0, e2m1(g / scale) * scale, 0).reshape(p.shape)


def nvfp4(p):
    whole = (p.amax(dim=-1, keepdim=True) / (6 * 448))[..., None]
    g = groups(p, 16)
    scale = e4m3(g.amax(dim=-1, keepdim=True) / 6 / whole) * whole
    return torch.where(scale > 0, e2m1(g / scale) * scale, 0).reshape(p.shape)


ROWS = {
    "bits=8 sharing=head": lambda p: symmetric(p, 8),
    "bits=4 sharing=token": lambda p: symmetric(p, 4),
    "bits=2 sharing=head": lambda p: symmetric(p, 2),
    "bits=8 sharing=static": lambda p: fixed(p, 8),
    "bits=4 sharing=head grid=gptq group_size=32 symmetric=false": lambda p: grouped(p, 4, 32),
    "format=fp8_e4m3 sharing=head": lambda p: fp8(p, p.amax(dim=-1, keepdim=True) / 448),
    "format=fp8_e4m3 sharing=static": lambda p: fp8(p, torch.tensor(1 / 448)),
    "format=mxfp4 sharing=head": mxfp4,
    "format=nvfp4 sharing=head": nvfp4,
}


def kept(method, batches, **more):
    """The most |x| that NVIDIA's calibrator keeps."""
    calibrator = HistogramCalibrator(num_bits=8, axis=None, unsigned=False, num_bins=2048)
    for x in batches:
        calibrator.collect(x)
    return calibrator.compute_amax(method, **more)


def observed(observer, batches):
    """Scale and zero point of codes of 8 bits."""
    for x in batches:
        observer(x)
    return observer.calculate_qparams()


def symmetric_to(most, bits):
    """Rounds all to one scale; `most` is a number or one a head."""
    top = 2 ** (bits - 1) - 1
    scale = torch.as_tensor(most).reshape(-1, 1, 1) / top
    return lambda p: torch.round(p / scale).clamp(max=top) * scale


def affine(scale, zero):
    return lambda p: ((torch.round(p / scale) + zero).clamp(0, 255) - zero) * scale


def by_head(method, bits, **more):
    def make(batches):
        heads = zip(*[x.unbind() for x in batches])
        return symmetric_to(torch.stack([kept(method, head, **more) for head in heads]), bits)
    return make


# Of a layer's probabilities, [heads, pairs of query and key] of each window: how all are rounded.
STATIC = {
    "bits=8 sharing=static range=percentile range_percentile=99.9":
        lambda batches: symmetric_to(kept("percentile", batches, percentile=99.9), 8),
    "bits=8 sharing=static range=entropy": lambda batches: symmetric_to(kept("entropy", batches), 8),
    "bits=8 sharing=static_head range=percentile range_percentile=99": by_head("percentile", 8, percentile=99),
    "bits=4 sharing=static_head range=percentile range_percentile=99.9": by_head("percentile", 4, percentile=99.9),
    "bits=8 sharing=static_head range=histogram_mse": by_head("mse", 8),
    "bits=8 grid=gptq symmetric=false sharing=static range=histogram":
        lambda batches: affine(*observed(HistogramObserver(dtype=torch.quint8), batches)),
    "bits=8 grid=gptq symmetric=false sharing=static range=moving_average":
        lambda batches: affine(*observed(MovingAverageMinMaxObserver(dtype=torch.quint8), batches)),
}


def attention(rounding):
    """rounding(p, module) is what the probabilities become."""
    def forward(module, query, key, value, attention_mask, scaling, **_):
        each = module.num_key_value_groups
        key, value = key.repeat_interleave(each, dim=1), value.repeat_interleave(each, dim=1)
        scores = query @ key.transpose(2, 3) * scaling
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        p = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
        return (rounding(p, module) @ value).transpose(1, 2).contiguous(), p
    return forward


@torch.no_grad()
def loss(model, ids, rounding):
    transformers.AttentionInterface.register("rounded", attention(rounding))
    logits = model(ids, use_cache=False).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()


def seen(model, windows):
    """By layer, the probabilities of each window, [heads, pairs]."""
    lower = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
    layers = [[] for _ in model.model.layers]

    def keep(p, module):
        layers[module.layer_idx].append(p[0][:, lower].clone())
        return p
    for ids in windows:
        loss(model, ids[None], keep)
    return layers


def tokens_of(path, tokenizer, windows):
    with open(path, encoding="utf-8") as file:
        ids = tokenizer(file.read(), return_tensors="pt").input_ids[0]
    return ids[:windows * TOKENS].view(windows, TOKENS)


def main():
    parser = argparse.ArgumentParser()
    for name in "model", "calibration", "evaluation", "out":
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.AttentionInterface.register("rounded", attention(lambda p, module: p))
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                          attn_implementation="rounded").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    ids = tokens_of(args.evaluation, tokenizer, WINDOWS)
    rows = [{"settings": "", "mean_nll": loss(model, ids, lambda p, module: p)}]
    for name, rounding in ROWS.items():
        rows.append({"settings": name, "mean_nll": loss(model, ids, lambda p, module: rounding(p))})
    layers = seen(model, tokens_of(args.calibration, tokenizer, BATCHES))
    for name, make in STATIC.items():
        found = [make(batches) for batches in layers]
        rows.append({"settings": name,
                     "mean_nll": loss(model, ids, lambda p, module: found[module.layer_idx](p))})
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
