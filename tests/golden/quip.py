"""quip.json: what the authors' code of QuIP makes of one small matrix and of the embedded model, in float32 on a CPU.

    quip.py --quip <checkout> --model ../../datasets/tiny \\
            --calibration ../../datasets/commons/calibration.txt \\
            --evaluation ../../datasets/commons/evaluation.txt --out quip.json

It drives their Balance, GPTQ and Nearest, with preproc and postproc, linear by linear as opt_sequential does (their llama.py
does not run: it configures Balance with an argument too many). What is put in the place of theirs:
  - the draws, which are scipy's and differ from version to version: ours, blocks uniform among rotations by the Q of normal
    numbers, and permutations by Fisher and Yates, of a seed for each side of each linear;
  - .half() of what is rounded, which keeps float32;
  - primefac.primefac and torch.cuda.synchronize, and empty modules that they import by name.
"""
import argparse
import importlib.metadata
import json
import sys
import types

import numpy
import torch

import quarot
import solvers

SLOTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
         "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
SAMPLES, MOVED = 64, 2.0**-21


def primefac(n):
    prime = 2
    while n > 1:
        while n % prime == 0:
            yield prime
            n //= prime
        prime += 1


class Draws:
    """The draws of algorithms/incoherence.c; U comes first, then V."""
    def __init__(self):
        self.seed, self.side, self.words = 0, 0, None

    def of_linear(self, seed, layer, slot):
        self.seed, self.side = seed + (layer << 16 | slot << 1) * 0x9e3779b1, 0

    def next_matrix(self):
        seed = (self.seed + self.side * 0x9e3779b1) % 2**32
        self.words = numpy.random.RandomState(seed)._bit_generator.random_raw
        self.side += 1

    def uniform(self, count):
        words = self.words(2 * count).astype(numpy.uint64)
        return ((words[0::2] << 32 | words[1::2]) % 2**53) / 2**53

    def normals(self, count):
        """torch.randn of as many, by Box and Muller sixteen at a time."""
        if count < 16:
            return self.normals(16)[:count]
        values = self.uniform(count)
        starts = list(range(0, count - 15, 16))
        if count % 16:
            starts.append(count - 16)
        for at in starts:
            batch = self.uniform(16) if at % 16 else values[at:at + 16]
            radius, angle = numpy.sqrt(-2 * numpy.log(1 - batch[:8])), 2 * numpy.pi * batch[8:]
            values[at:at + 16] = numpy.concatenate((radius * numpy.cos(angle),
                                                    radius * numpy.sin(angle)))
        return values

    def rotation(self, size):
        q, r = numpy.linalg.qr(self.normals(size * size).reshape(size, size))
        q *= numpy.sign(numpy.diag(r))
        if numpy.linalg.det(q) < 0:
            q[-1] *= -1
        return torch.tensor(q, dtype=torch.float32)

    def rotations(self, count, size):
        if size == 1:
            return torch.ones(count, 1, 1)
        return torch.stack([self.rotation(size) for _ in range(count)])

    def below(self, n):
        while True:
            word = int(self.words())
            if word >> 32 - n.bit_length() < n:
                return word >> 32 - n.bit_length()

    def permutation(self, n):
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return torch.tensor(order)


def load_authors(folder, draws):
    for name in ("scipy", "quant_cuda", "primefac"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["primefac"].primefac = primefac
    torch.cuda.synchronize = lambda *_args: None
    torch.Tensor.half = lambda self: self
    sys.path.insert(0, folder)
    import method
    whole = {name: getattr(method, name) for name in
             ("rand_ortho_butterfly", "rand_ortho_butterfly_noblock",
              "rand_ortho_butterfly_nopermute")}

    def begun(make):
        def make_next(n):
            draws.next_matrix()
            return make(n)
        return make_next
    for name, make in whole.items():
        setattr(method, name, begun(make))
    method.gen_rand_orthos = draws.rotations
    torch.randperm = draws.permutation


PROJECT = {"blocks": 0, "kronecker": 1, "unpermuted": 2}


def solver_of(layer, row):
    import bal
    import gptq
    import near
    import quant
    if row["solver"] == "ldlq":
        solver = bal.Balance(layer)
        solver.configure("ldlqRG" if row["act_order"] else "ldlq", row["bits"], row["greedy_passes"],
                         unbiased=False)
    else:
        solver = gptq.GPTQ(layer) if row["solver"] == "gptq" else near.Nearest(layer)
    solver.quantizer = quant.Quantizer()
    solver.quantizer.configure(row["bits"], perchannel=True, sym=False, qfn=row["qfn"], mse=False)
    return solver


def round_linear(solver, row):
    solver.preproc(preproc_gptqH=True, percdamp=.01, preproc_rescale=row["rescale"],
                   preproc_proj=row["project"] != "none",
                   preproc_proj_extra=PROJECT.get(row["project"], 0))
    solver.fasterquant()
    solver.free()


def round_matrix(row, draws):
    layer = torch.nn.Linear(solvers.IN, solvers.OUT, bias=False)
    layer.weight.data = solvers.matrix(1)
    solver = solver_of(layer, row)
    x = solvers.inputs(2)[0]
    for half in x.split(solvers.TOKENS // 2):
        solver.add_batch(half.unsqueeze(0), None)
    solver.post_batch()
    draws.of_linear(row["seed"], 0, 0)
    round_linear(solver, row)
    return layer.weight.data


def move(hessian, generator):
    """Each entry by what sums in float32 over the tokens move it; both triangles alike."""
    noise = torch.rand(hessian.shape, generator=generator).triu()
    hessian *= 1 + MOVED * (noise + noise.triu(1).T - 0.5)


def quantize_model(model, row, windows, draws, run):
    """As opt_sequential: the Hessians of a block's linears on what comes out of the rounded blocks before."""
    generator = torch.Generator()
    generator.manual_seed(run)
    hidden = [model.model.embed_tokens(window[None]) for window in windows]
    positions = torch.arange(windows.shape[1])[None]
    samples = {}
    for index, layer in enumerate(model.model.layers):
        linears = {name: layer.get_submodule(name) for name in SLOTS}
        methods = {name: solver_of(linear, row) for name, linear in linears.items()}
        hooks = [linear.register_forward_hook(
            lambda _m, inputs, _out, name=name: methods[name].add_batch(inputs[0].data, None))
            for name, linear in linears.items()]
        mask = torch.full((windows.shape[1],) * 2, float("-inf")).triu(1)[None, None]
        forward = lambda x: layer(x, attention_mask=mask, position_ids=positions)
        for x in hidden:
            forward(x)
        for hook in hooks:
            hook.remove()
        for slot, name in enumerate(SLOTS):
            methods[name].post_batch()
            if run:
                move(methods[name].H, generator)
            draws.of_linear(row["seed"], index, slot)
            round_linear(methods[name], row)
            if index == 0:
                flat = linears[name].weight.data.flatten()
                stride = len(flat) // SAMPLES
                samples[name] = [round(flat[k * stride + k].item(), 8) for k in range(SAMPLES)]
        hidden = [forward(x) for x in hidden]
    return samples


def row(bits, solver="ldlq", project="blocks", qfn="b", rescale=True, act_order=False,
        greedy_passes=0, seed=0, runs=()):
    return dict(bits=bits, solver=solver, project=project, qfn=qfn, rescale=rescale,
                act_order=act_order, greedy_passes=greedy_passes, seed=seed, runs=list(runs))


# gptq with their qfn b fits its scale to every column anew; with a, as in its own code, to rows.
MATRIX_ROWS = [row(4), row(2), row(3, project="kronecker", seed=5), row(3, project="unpermuted"),
               row(2, rescale=False), row(4, project="none"), row(3, qfn="a"),
               row(2, act_order=True, greedy_passes=9), row(3, solver="gptq", qfn="a"),
               row(2, solver="nearest"), row(3, solver="nearest", qfn="a", project="kronecker")]
# A code that falls the other way takes those after it along: all but nearest are run with H as it is, and moved.
RUNS = range(6)
MODEL_ROWS = [row(2, solver="nearest"), row(4, runs=RUNS), row(2, runs=RUNS),
              row(2, solver="gptq", qfn="a", seed=1, runs=RUNS)]


@torch.no_grad()
def run_model(args, row, run, windows, draws):
    model = quarot.load_model(args.model)
    quarot.give_positions(model)
    samples = quantize_model(model, row, windows["calibration"], draws, run)
    return quarot.mean_nll(model, windows["evaluation"]), samples


def main():
    parser = argparse.ArgumentParser()
    for name in ("quip", "model", "calibration", "evaluation", "out"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    draws = Draws()
    load_authors(args.quip, draws)
    windows = {text: quarot.windows_of(args.model, getattr(args, text), quarot.WINDOWS)
               for text in ("calibration", "evaluation")}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    rows, models = [], []
    for settings in MATRIX_ROWS:
        settings.pop("runs")
        sums = round_matrix(settings, draws).double().sum(1).tolist()
        rows.append({"algorithm": "quip", "settings": settings,
                     "row_sums": [round(value, 7) for value in sums]})
    for settings in MODEL_ROWS:
        runs = [run_model(args, settings, n, windows, draws) for n in settings.pop("runs") or [0]]
        models.append({"settings": settings, "mean_nlls": [nll for nll, _ in runs],
                       "weights": runs[0][1]})
        print(settings, models[-1]["mean_nlls"], flush=True)
    with open(args.out, "w", encoding="utf-8") as out:
        out.write(json.dumps({"versions": versions, "rows": []})[:-2] + "\n")
        out.write(",\n".join(json.dumps(row) for row in rows) + '\n], "models": [\n')
        out.write(",\n".join(json.dumps(row) for row in models) + "\n]}\n")


if __name__ == "__main__":
    main()
