"""Prints why the 4-bit rows of quarot.json are draws: their code in float64, and again with each quotient moved that is rounded.

    quarot_ties.py --quarot <checkout>/fake_quant --model ../../datasets/tiny --evaluation ../../datasets/commons/evaluation.txt

Weights are rotated and rounded in float32, as there. Then all is float64, so that no sum decides a rounding; and in each further
run every x / scale that an activation or the cache is rounded from is moved at random by at most AMPLITUDE, a few units of
float32's last place: a code is then another one only where the quotient was as near to a tie as that.
"""
import argparse
import math
import statistics

import torch

import quarot

AMPLITUDE, RUNS = 7 * 2.0**-21, 8


class Moved:
    """In the place of quant_utils' quotients."""
    def __init__(self):
        self.amplitude, self.codes, self.ties, self.generator = 0.0, 0, 0, torch.Generator()

    def round(self, quotient):
        rounded = torch.round(quotient)
        if not self.amplitude:
            return rounded
        noise = torch.rand(quotient.shape, dtype=quotient.dtype, generator=self.generator)
        moved = torch.round(quotient + (2 * noise - 1) * self.amplitude)
        self.codes += moved.numel()
        self.ties += (moved != rounded).sum().item()
        return moved

    def start(self, seed, amplitude):
        self.amplitude, self.codes, self.ties = amplitude, 0, 0
        self.generator.manual_seed(seed)


def put_in_place(moved):
    import quant_utils
    import rotation_utils

    def symmetric(x, scale, maxq):
        return torch.clamp(moved.round(x / scale), -(maxq + 1), maxq) * scale

    def asymmetric(x, scale, zero, maxq):
        return scale * (torch.clamp(moved.round(x / scale) + zero, 0, maxq) - zero)

    def whole(forward):  # which makes float32 of queries and keys
        def call(self, *args, **kwargs):
            single, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double
            try:
                return forward(self, *args, **kwargs)
            finally:
                torch.Tensor.float = single
        return call
    quant_utils.sym_quant_dequant, quant_utils.asym_quant_dequant = symmetric, asymmetric
    wrapper = rotation_utils.QKRotationWrapper
    wrapper.forward = whole(wrapper.forward)
    torch.nn.functional.softmax = lambda x, dim, dtype=None: torch.softmax(x, dim)


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser()
    for name in ("quarot", "model", "evaluation"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    quarot.load_authors(args.quarot)
    windows = quarot.windows_of(args.model, args.evaluation, quarot.WINDOWS)
    moved, replaced = Moved(), False
    for kv in (16, 4):
        model = quarot.load_model(args.model)
        quarot.rotate(model, 0, True)
        quarot.quantize_weights(model, quarot.row(4, 4, kv), windows[:0])
        quarot.quantize_activations(model, 4, kv)
        if not replaced:
            put_in_place(moved)
            replaced = True
        model = model.double()
        moved.start(0, 0.0)
        exact = quarot.mean_nll(model, windows)
        nlls, ties = [], []
        for seed in range(RUNS):
            moved.start(seed, AMPLITUDE)
            nlls.append(quarot.mean_nll(model, windows))
            ties.append(moved.ties)
            print(f"cache {kv}, run {seed}: {moved.ties} of {moved.codes} codes, "
                  f"{math.expm1(nlls[-1] - exact):+.2e}", flush=True)
        print(f"cache {kv}: float64 {exact:.8f}, mean {statistics.mean(nlls):.8f}, perplexity's deviation "
              f"{statistics.stdev(nlls):.2e}, {statistics.mean(ties):.0f} of {moved.codes} codes", flush=True)


if __name__ == "__main__":
    main()
