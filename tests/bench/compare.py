#!/usr/bin/env python3
"""Times the same work in bitsweep and in other programs, in turn, so that a ratio comes from one run.

evaluation: logits and losses of windows, against PyTorch with transformers in float32, on the same
weights, the same tokens and as many threads. gptq: quantizing to 4 bits in groups of 128, against the
class of IST-DASLab/gptq's gptq.py, fed block by block as its opt.py does it; --gptq names a checkout.
What both computed is compared first: the mean loss, and the signal-to-noise ratio of the weights.

  make bench BENCH=--help    # builds build/release/tests/bench/bench
  python3 tests/bench/compare.py --gptq ../gptq --model opt-125m --calibration 128

Needs torch and transformers; nothing of the build or the tests needs this script. Written for torch
2.x and transformers 4.57.
"""

import argparse
import contextlib
import io
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers


def drawn_windows(seed, windows, tokens, vocab_size):
    """The tokens that bench draws for this seed."""
    generator = random.Random(seed)
    ids = [generator.randint(0, vocab_size - 1) for _ in range(windows * tokens)]
    return torch.tensor(ids).view(windows, tokens)


def load(directory):
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    model.config.use_cache = False
    return model.eval()


@torch.inference_mode()
def evaluate(model, windows):
    """Seconds, and the mean loss in nats."""
    start, total = time.perf_counter(), 0.0
    for ids in windows:
        logits = model(ids[None]).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
    return time.perf_counter() - start, total / (windows.shape[0] * (windows.shape[1] - 1))


def blocks_of(model):
    count = model.config.num_hidden_layers
    lists = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    return next(m for m in lists if len(m) == count)


def linears_of(block):
    return {n: m for n, m in block.named_modules() if isinstance(m, torch.nn.Linear)}


class Caught(Exception):
    pass


def first_inputs(model, windows):
    """What the first block is called with: its inputs a window, and the other arguments."""
    inputs, others = [], {}

    def catch(_, args, kwargs):
        inputs.append(args[0] if args else kwargs.pop("hidden_states"))
        others.update(kwargs)
        raise Caught

    handle = blocks_of(model)[0].register_forward_pre_hook(catch, with_kwargs=True)
    for ids in windows:
        with contextlib.suppress(Caught):
            model(ids[None])
    handle.remove()
    return inputs, others


def quantize_block(block, inputs, others, authors):
    solvers = {}
    for name, linear in linears_of(block).items():
        solvers[name] = authors.GPTQ(linear)
        solvers[name].quantizer = authors.Quantizer()
        solvers[name].quantizer.configure(4, perchannel=True, sym=False, mse=False)

    def adder(name):
        return lambda _, given, made: solvers[name].add_batch(given[0].data, made.data)

    handles = [m.register_forward_hook(adder(n)) for n, m in linears_of(block).items()]
    for x in inputs:
        block(x, **others)
    for handle in handles:
        handle.remove()
    for solver in solvers.values():
        solver.fasterquant(percdamp=0.01, groupsize=128)
        solver.free()
    outputs = []
    for x in inputs:
        made = block(x, **others)
        outputs.append(made[0] if isinstance(made, tuple) else made)
    return outputs


@torch.no_grad()
def gptq(model, windows, authors):
    """Seconds, and the signal-to-noise ratio of all rounded weights in dB. The weights come back."""
    kept = [{n: m.weight.data.clone() for n, m in linears_of(b).items()} for b in blocks_of(model)]
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the time of every linear
        inputs, others = first_inputs(model, windows)
        for block in blocks_of(model):
            inputs = quantize_block(block, inputs, others, authors)
    seconds = time.perf_counter() - start
    signal = noise = 0.0
    for block, before in zip(blocks_of(model), kept):
        for name, linear in linears_of(block).items():
            signal += before[name].double().square().sum().item()
            noise += (before[name].double() - linear.weight.data.double()).square().sum().item()
            linear.weight.data = before[name]
    return seconds, 10 * math.log10(signal / noise)


def authors_gptq(checkout):
    """Their modules; the waiting for a GPU is left out where there is none."""
    sys.path.insert(0, checkout)
    torch.cuda.synchronize = lambda: None
    import gptq as authors
    return authors


def ours(args, case, scratch):
    """A row of bench."""
    output = os.path.join(scratch, "compare.json")
    command = [args.bench, "--model", args.model, "--case", case, "--keep",
               "--scratch", scratch, "--output", output, "--threads", str(args.threads),
               "--windows", str(args.windows), "--tokens", str(args.tokens),
               "--calibration", str(args.calibration), "--calibration-tokens", str(args.tokens),
               "--seed", str(args.seed)]
    if args.layers:
        command += ["--layers", str(args.layers)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open(output) as file:
        return json.load(file)["rows"][0]


def check(name, mine, theirs, tolerance):
    print(f"  {name}: bitsweep {mine:.6f}, the other {theirs:.6f}")
    if not abs(mine - theirs) <= tolerance:
        sys.exit(f"{name}: the two do not do the same work (apart by more than {tolerance})")


def compare(args, case, other, scratch):
    """In turn: bitsweep, the other. Returns a row. Ratios of processor time leave out what else a
    machine does; on several threads they hold those that wait."""
    mine, theirs, processor, model = [], [], [], None
    count = args.windows if case == "evaluation" else args.calibration
    for turn in range(args.repeat):
        row = ours(args, case, scratch)
        if model is None:
            model = load(row["directory"])
            seed = args.seed if case == "evaluation" else args.seed + 1
            windows = drawn_windows(seed, count, args.tokens, model.config.vocab_size)
            evaluate(model, windows[:1])  # a warm-up
        before = time.process_time()
        seconds, figure = other(model, windows)
        processor.append((time.process_time() - before) / row["seconds_processor"])
        mine.append(row["seconds"])
        theirs.append(seconds)
        if turn == 0:
            if case == "evaluation":
                check("mean loss", row["recipes"][0]["mean_nll"], figure, 1e-4)
            else:
                check("signal to noise, dB", row["recipes"][0]["sqnr_db"], figure, 0.05)
        print(f"  bitsweep {row['seconds']:.2f} s, the other {seconds:.2f} s, "
              f"ratio {seconds / row['seconds']:.2f}, of processor time {processor[-1]:.2f}",
              flush=True)
    ratios = [t / m for t, m in zip(theirs, mine)]
    return {"model": args.model, "case": case, "layers": model.config.num_hidden_layers,
            "windows": count, "tokens": args.tokens, "threads": args.threads,
            "bitsweep_seconds": mine, "other_seconds": theirs,
            "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
            "processor_ratio": statistics.median(processor)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--bench", default="build/release/tests/bench/bench", help="the program of `make bench`")
    add("--gptq", help="a checkout of IST-DASLab/gptq; without it that case is left out")
    add("--model", default="opt-125m")
    add("--layers", type=int, help="blocks of the model")
    add("--windows", type=int, default=4, help="evaluated")
    add("--calibration", type=int, default=8, help="calibration windows")
    add("--tokens", type=int, default=2048, help="of a window")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add("--repeat", type=int, default=3, help="turns; the ratio is their median")
    add("--seed", type=int, default=0)
    add("--scratch", help="where the models are written and kept (default: a temporary folder)")
    add("--output", default="build/compare.json")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    cases = {"evaluation": evaluate}
    if args.gptq:
        authors = authors_gptq(args.gptq)
        cases["gptq"] = lambda model, windows: gptq(model, windows, authors)
    rows = []
    with contextlib.ExitStack() as stack:
        scratch = args.scratch or stack.enter_context(tempfile.TemporaryDirectory())
        for case, other in cases.items():
            print(f"{args.model}, {case}:", flush=True)
            rows.append(compare(args, case, other, scratch))
    for row in rows:
        print(f"{row['model']} {row['case']}: {row['windows']} x {row['tokens']} tokens, "
              f"{row['threads']} threads, the other takes {row['ratio']:.2f} times as long "
              f"({row['least']:.2f} to {row['most']:.2f}), "
              f"by processor time {row['processor_ratio']:.2f}")
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    os.makedirs(os.path.dirname(args.output) or ".", exist_ok=True)
    with open(args.output, "w") as file:
        json.dump({"versions": versions, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
