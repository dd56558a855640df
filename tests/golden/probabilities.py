"""probabilities.json: mean losses of the embedded model whose attention probabilities are rounded before they meet
the values, stated here in a few lines each.

    python3 tests/golden/probabilities.py --model datasets/tiny --evaluation datasets/commons/evaluation.txt \\
                                          --out tests/golden/probabilities.json

A row is what one head makes of one query; keys that the query does not see are zeros, which change no scale here.
"""
import argparse
import json

import torch
import transformers

TOKENS, WINDOWS = 256, 2


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


def attention(rounding):
    def forward(module, query, key, value, attention_mask, scaling, **_):
        each = module.num_key_value_groups
        key, value = key.repeat_interleave(each, dim=1), value.repeat_interleave(each, dim=1)
        scores = query @ key.transpose(2, 3) * scaling
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        p = torch.softmax(scores.masked_fill(hidden, float("-inf")), dim=-1)
        return (rounding(p) @ value).transpose(1, 2).contiguous(), p
    return forward


@torch.no_grad()
def loss(model, ids, rounding):
    transformers.AttentionInterface.register("rounded", attention(rounding))
    logits = model(ids, use_cache=False).logits[:, :-1].double()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()


def main():
    parser = argparse.ArgumentParser()
    for name in "model", "evaluation", "out":
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.AttentionInterface.register("rounded", attention(lambda p: p))
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                          attn_implementation="rounded").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    with open(args.evaluation, encoding="utf-8") as file:
        ids = tokenizer(file.read(), return_tensors="pt").input_ids[0]
    ids = ids[:WINDOWS * TOKENS].view(WINDOWS, TOKENS)
    rows = [{"settings": "", "mean_nll": loss(model, ids, lambda p: p)}]
    rows += [{"settings": name, "mean_nll": loss(model, ids, rounding)} for name, rounding in ROWS.items()]
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
