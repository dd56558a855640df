"""Losses of a whole model whose linears are bitsandbytes' Linear8bitLt (LLM.int8), on a CPU, beside those of a result file.

    python3 tests/golden/llm_int8.py --model datasets/tiny --evaluation datasets/commons/evaluation.txt \\
                                     --windows 8 --tokens 256 --threshold 6 [--scaling exact] [--results results/x.h5 --label "rtn w8 ..."]

All linears but the head are quantized; a window is one call, since outliers are those of a call. The model computes in
float32, what a linear reads is float16, as where the library runs on a GPU. --scaling exact divides products of codes by
127 * 127, as its CUDA code does, where its CPU code multiplies by 6.200124e-05; library: as it is.
"""
import argparse

import h5py
import numpy as np
import torch
import transformers
import bitsandbytes as bnb

LIBRARY_SCALE, EXACT_SCALE = 6.200124e-05, 1 / (127 * 127)


class Linear(torch.nn.Module):
    """The library's linear, given float16 numbers."""

    def __init__(self, linear, threshold, scale):
        super().__init__()
        self.inner = bnb.nn.Linear8bitLt(linear.in_features, linear.out_features, linear.bias is not None,
                                         has_fp16_weights=False, threshold=threshold)
        self.inner.weight = bnb.nn.Int8Params(linear.weight.data.half(), requires_grad=False, has_fp16_weights=False)
        if linear.bias is not None:
            self.inner.bias = torch.nn.Parameter(linear.bias.data.float(), requires_grad=False)
        codes, stats, _ = bnb.functional.int8_vectorwise_quant(linear.weight.data.half())
        state = self.inner.state
        state.CB, state.SCB, state.threshold, state.has_fp16_weights = codes, stats * scale, threshold, False
        self.scale = scale

    def forward(self, x):
        dtype, x = x.dtype, x.half().float()
        state = self.inner.state
        flat = x.reshape(-1, x.shape[-1])
        codes, stats, columns = bnb.functional.int8_vectorwise_quant(flat.half(), threshold=state.threshold)
        out = torch.ops.bitsandbytes.int8_scaled_mm.default(codes, state.CB, stats, state.SCB, bias=None if self.inner.bias is None else self.inner.bias.float(),
                                                            dtype=torch.float32)
        if columns is not None and columns.numel():
            kept = torch.ops.bitsandbytes.int8_vectorwise_dequant.default(state.CB[:, columns].contiguous(),
                                                                          state.SCB / self.scale)
            out = out.addmm(flat[:, columns], kept.float().t())
        return out.reshape(*x.shape[:-1], -1).to(dtype)


def replace(module, threshold, scale):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear) and name != "lm_head":
            setattr(module, name, Linear(child, threshold, scale))
        else:
            replace(child, threshold, scale)


@torch.no_grad()
def losses(model, ids):
    out = []
    for window in ids:
        logits = model(window[None], use_cache=False).logits[0, :-1].double()
        out.append(torch.nn.functional.cross_entropy(logits, window[1:], reduction="none").numpy())
    return np.stack(out)


def gap(a, b):
    gaps = np.abs(a - b)
    return f"tokens {gaps.mean():.2g} nats apart, at most {gaps.max():.2g}"


def main():
    parser = argparse.ArgumentParser()
    for name in "model", "evaluation":
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threshold", type=float, default=6)
    parser.add_argument("--scaling", choices=["exact", "library"], default="exact")
    parser.add_argument("--results")
    parser.add_argument("--label")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                              attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    with open(args.evaluation, encoding="utf-8") as file:
        ids = tokenizer(file.read(), return_tensors="pt").input_ids[0]
    ids = ids[:args.windows * args.tokens].view(args.windows, args.tokens)
    print(f"unquantized perplexity {np.exp(losses(model, ids).mean()):.6f}")
    replace(model, args.threshold, EXACT_SCALE / LIBRARY_SCALE if args.scaling == "exact" else 1.0)
    theirs = losses(model, ids)
    print(f"bitsandbytes perplexity {np.exp(theirs.mean()):.6f}")
    again = losses(model.double(), ids)
    print(f"the same, all but its linears in float64 {np.exp(again.mean()):.6f}, {gap(again, theirs)}")
    if args.results:
        with h5py.File(args.results) as file:
            rows = file["trials"][:]
            own = next(r for r in rows if r["label"].decode() == args.label)
            got = file[f"trial/{own['id'].decode()}/{own['text'].decode()}/nll"][:]
        print(f"the file's perplexity {np.exp(got.mean(dtype=np.float64)):.6f}, {gap(got, theirs)}")


if __name__ == "__main__":
    main()
