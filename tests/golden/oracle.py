#!/usr/bin/env python3
"""Golden figures from the authors' own code of GPTQ, AWQ and SmoothQuant.

The figures in this directory say what the published code of the three algorithms makes of the
embedded model, with all arithmetic in float32 on a CPU. This script only drives that code: it
imports the authors' modules from directories given on the command line, gives them our windows of
tokens, and measures the model they leave. The commits read:

    IST-DASLab/gptq            2d65066    --gptq DIR         (the directory that holds gptq.py)
    mit-han-lab/llm-awq        d6e797a    --awq DIR          (the directory that holds awq/)
    mit-han-lab/smoothquant    c61476d    --smoothquant DIR  (the directory that holds smoothquant/)

Needs Python 3.8 to 3.11 with torch 1.13 or later, transformers 4.38 to 4.45, numpy, safetensors
and tokenizers; no GPU. PROVENANCE.md names the versions the stored files were made with.

    AUTHORS="--gptq DIR --awq DIR --smoothquant DIR"
    DATA="--model DIR --calibration FILE --evaluation FILE"
    oracle.py check  $AUTHORS $DATA --against reference.json [--only awq]
    oracle.py rows   $AUTHORS $DATA --carry reference.json --out new.json
    oracle.py spread $AUTHORS $DATA --orders 1 2 3 --splits 40 88 --out spread.json [--only gptq]
    oracle.py spread $AUTHORS $DATA --seeds 4 5 --out spread.json [--only gptq]
    oracle.py codes  $AUTHORS $DATA --seeds 1 2 3 --out codes.json
    oracle.py layers $AUTHORS $DATA --out layers.json
    oracle.py tokens $DATA --out tokens.json

'rows' keeps the rows of --carry as they are and computes those of ROWS that are missing there.
'check' computes rows again and prints how far they are from the stored ones. 'spread' computes
each row under changes that alter nothing but the rounding of float32 sums, and adds the
perplexities to those in its file: they show how much of a figure is rounding noise. --orders takes
seeds of shuffles of the calibration windows (0 is no shuffle); --splits takes channel counts n, for
every linear to be computed as the product over its first n input channels plus that over the rest;
--seeds takes seeds that draw both. --double computes the forward pass in float64. What the libraries
read from the environment to choose their kernels (ATEN_CPU_CAPABILITY, MKL_CBWR) makes another
machine of this one; what a run was is stored beside its figure.

'codes' lets the authors' solver quantize every linear on the unquantized model's inputs of it, so that
no rounding decision hangs on an earlier linear, and stores what came of each row of weights as one
character; under the changes of --seeds it counts the rows that come out differently.

What the authors' modules expect and a plain CPU lacks is supplied around them, never inside:
  - Module.cuda, Tensor.cuda and torch.cuda.synchronize do nothing;
  - Tensor.cpu returns a copy, as it does for a tensor on a GPU. llm-awq saves the weights with
    .cpu() before it tries a scale on them; without a copy the saved weights would be the ones
    being tried, and every trial would start from the leavings of the last;
  - the modules awq_inference_engine and datasets, imported by name but not used, are empty;
  - each project's loader of calibration text is replaced by one that returns our windows.
"""
import argparse
import contextlib
import hashlib
import io
import json
import math
import os
import struct
import sys
import types

SEQ_LEN = 256
CALIBRATION_WINDOWS = 64
LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


def setting(algorithm, **options):
    return {"algorithm": algorithm, **options}


def rtn(bits, group=None, **options):
    return setting("rtn", bits=bits, group=group, **options)


def gptq(bits, group=None, **options):
    return setting("gptq", bits=bits, group=group, **options)


def awq(bits, group=None, **options):
    return setting("awq", bits=bits, group=group, **options)


def smoothquant(alpha, **options):
    return setting("smoothquant", alpha=alpha, **options)


PER_TENSOR = {"weight": "per_tensor", "act": "per_tensor"}
ROWS = [
    setting("unquantized"),
    rtn(2), rtn(3), rtn(4), rtn(8), rtn(2, 128), rtn(3, 128), rtn(4, 128), rtn(3, 32), rtn(4, 32),
    rtn(4, sym=True), rtn(4, 128, sym=True), rtn(3, mse=True),
    gptq(2), gptq(3), gptq(4), gptq(2, 128), gptq(3, 128), gptq(4, 128), gptq(3, 32),
    gptq(4, 128, sym=True), gptq(3, act_order=True),
    gptq(3, 128, act_order=True, static_groups=True), gptq(3, mse=True),
    awq(2, 128), awq(3, 128), awq(4, 128), awq(3, 32), awq(3, clip=False),
    awq(3, 128, clip=False), awq(3, 128, scale=False),
    smoothquant(0.5), smoothquant(0.8), smoothquant(0.5, **PER_TENSOR),
    smoothquant(0.0, smooth=False), smoothquant(0.0, smooth=False, **PER_TENSOR),
    gptq(3, true_sequential=True), gptq(3, 128, act_order=True), gptq(4, percdamp=0.1),
    rtn(3, 32, sym=True), rtn(2, 128, mse=True),
    smoothquant(0.5, weight="per_tensor", act="per_token"),
    smoothquant(0.5, quantize_bmm_input=True),
    awq(2, 32), awq(4, 32),
]
TRACED = [setting("unquantized"), rtn(3, 128), gptq(3, 128), gptq(3, act_order=True), awq(3, 128),
          smoothquant(0.5)]


# ---------------------------------------------------------------- what the authors' code needs

def put_cpu_in_place_of_gpu():
    """Let code written for a GPU run on the CPU with the same meaning."""
    def stay(self, *_args, **_kwargs):
        return self
    torch.nn.Module.cuda = stay
    torch.Tensor.cuda = stay
    torch.Tensor.cpu = lambda self, *_args, **_kwargs: self.clone()
    torch.cuda.synchronize = lambda *_args: None


def load_authors(args):
    """Import the authors' modules; returns them in one namespace."""
    put_cpu_in_place_of_gpu()
    sys.path[:0] = [args.gptq, args.awq, args.smoothquant]
    sys.modules["awq_inference_engine"] = types.ModuleType("awq_inference_engine")
    datasets = types.ModuleType("datasets")
    datasets.load_dataset = None
    sys.modules["datasets"] = datasets
    with silence():
        import llama
        import quant
        from awq.quantize import pre_quant, quantizer
        from awq.utils import calib_data
        from smoothquant import calibration, fake_quant, smooth
    pre_quant.move_embed = lambda model, device: None
    return types.SimpleNamespace(llama=llama, quant=quant, awq=pre_quant, awq_quantizer=quantizer,
                                 awq_data=calib_data, sq_calibration=calibration,
                                 sq_smooth=smooth, sq_quant=fake_quant)


@contextlib.contextmanager
def silence():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def replaced(owner, name, value):
    """Within the block, owner.name is value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def watching(handlers):
    """Call handlers[(function name, "call" or "return")] with the local variables of each function
    of that name as it is entered or left: how we read what the authors' code keeps to itself."""
    def profile(frame, event, _arg):
        handler = handlers.get((frame.f_code.co_name, event))
        if handler:
            handler(frame.f_locals)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


# ---------------------------------------------------------------- model, texts, measure

def read_text(path):
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def encode(args, text):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(args.model + "/tokenizer.json")
    return tokenizer.encode(text, add_special_tokens=False).ids


def windows_of(args, path):
    ids = torch.tensor(encode(args, read_text(path)))
    count = len(ids) // SEQ_LEN
    return ids[:count * SEQ_LEN].reshape(count, 1, SEQ_LEN)


def load_model(args):
    model = transformers.LlamaForCausalLM.from_pretrained(
        args.model, torch_dtype=torch.float64 if args.double else torch.float32,
        attn_implementation="eager")
    model.config.use_cache = False
    model.seqlen = SEQ_LEN
    return model.eval()


def block_linears(model):
    """{"model.layers.0.self_attn.q_proj": module, ...} in the order of the forward pass."""
    return {f"model.layers.{index}.{name}": block.get_submodule(name)
            for index, block in enumerate(model.model.layers) for name in LINEARS}


def mean_nll(model, windows):
    """Mean over all predictions, each window alone, log-softmax in float64."""
    means = []
    for window in windows:
        scores = model(window).logits[0, :-1].double().log_softmax(-1)
        means.append(-scores.gather(1, window[0, 1:, None]).mean().item())
    return math.fsum(means) / len(means)


# ---------------------------------------------------------------- the algorithms

def run_unquantized(authors, model, row, calibration):
    return None


def run_rtn(authors, model, row, calibration):
    for linear in block_linears(model).values():
        weight = linear.weight.data
        width = row["group"] or weight.shape[1]
        groups = [nearest(authors.quant, part, row) for part in weight.split(width, dim=1)]
        linear.weight.data = torch.cat(groups, dim=1)


def nearest(quant, part, row):
    quantizer = quant.Quantizer()
    quantizer.configure(row["bits"], perchannel=True, sym=row.get("sym", False),
                        mse=row.get("mse", False))
    quantizer.find_params(part, weight=True)
    return quantizer.quantize(part)


def run_gptq(authors, model, row, calibration):
    llama = authors.llama
    options = types.SimpleNamespace(
        nsamples=len(calibration), wbits=row["bits"], groupsize=row["group"] or -1,
        percdamp=row.get("percdamp", 0.01), sym=row.get("sym", False),
        act_order=row.get("act_order", False), static_groups=row.get("static_groups", False),
        true_sequential=row.get("true_sequential", False))

    class Quantizer(authors.quant.Quantizer):
        """The drivers fix mse=False; the class itself has the option."""
        def configure(self, bits, **kwargs):
            super().configure(bits, **{**kwargs, "mse": row.get("mse", False)})

    llama.args = options
    with replaced(llama, "Quantizer", Quantizer), silence():
        llama.llama_sequential(model, [(window,) for window in calibration], "cpu")


def run_awq(authors, model, row, calibration):
    """Returns the scales and clips found, as run_awq of the authors does."""
    grid = {"zero_point": True, "q_group_size": row["group"] or -1}
    with silence(), replaced(authors.awq_data, "get_calib_dataset",
                             lambda **_kwargs: list(calibration)):
        found = authors.awq.run_awq(model, None, row["bits"], grid,
                                    auto_scale=row.get("scale", True),
                                    mse_range=row.get("clip", True))
        authors.awq_quantizer.pseudo_quantize_model_weight(model, row["bits"], grid)
    return found


class CalibrationTexts(list):
    """Stands where the authors' code expects a dataset: windows in place of texts, in order."""
    def shuffle(self, seed):
        return self


def activation_maxima(authors, model, calibration):
    texts = CalibrationTexts({"text": window} for window in calibration)

    def tokenizer(window, **_kwargs):
        return types.SimpleNamespace(input_ids=window)

    with silence(), replaced(authors.sq_calibration, "load_dataset", lambda *_a, **_k: texts):
        return authors.sq_calibration.get_act_scales(model, tokenizer, None, len(texts), SEQ_LEN)


def run_smoothquant(authors, model, row, calibration):
    """Returns the activation maxima of the unsmoothed model."""
    maxima = activation_maxima(authors, model, calibration)
    if row.get("smooth", True):
        authors.sq_smooth.smooth_lm(model, maxima, row["alpha"])
    authors.sq_quant.quantize_model(
        model, weight_quant=row.get("weight", "per_channel"),
        act_quant=row.get("act", "per_token"),
        quantize_bmm_input=row.get("quantize_bmm_input", False))
    return maxima


RUN = {"unquantized": run_unquantized, "rtn": run_rtn, "gptq": run_gptq, "awq": run_awq,
       "smoothquant": run_smoothquant}


def measure(args, authors, row, calibration, evaluation):
    model = load_model(args)
    RUN[row["algorithm"]](authors, model, row, calibration)
    nll = mean_nll(model, evaluation)
    return {**row, "perplexity": math.exp(nll), "mean_nll": nll}


# ---------------------------------------------------------------- rows and check

def settings_of(row):
    return {key: value for key, value in row.items() if key not in ("perplexity", "mean_nll")}


def versions():
    import tokenizers
    return {"python": sys.version.split()[0], "torch": torch.__version__,
            "transformers": transformers.__version__, "tokenizers": tokenizers.__version__}


def write_json(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(layout(value) + "\n")


def layout(value, pad=""):
    """JSON with one line for each row, linear, set or case, and longer things opened out."""
    if fits_a_line(value):
        return json.dumps(value)
    inner = pad + " "
    if isinstance(value, dict):
        parts = [json.dumps(key) + ": " + layout(part, inner) for key, part in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + "\n" + pad + "}"
    parts = [inner + (json.dumps(part) if is_record(part) else layout(part, inner))
             for part in value]
    return "[\n" + ",\n".join(parts) + "\n" + pad + "]"


def fits_a_line(value):
    """Scalars, lists of scalars, and small dictionaries."""
    if isinstance(value, list):
        return not any(isinstance(part, (dict, list)) for part in value)
    return not isinstance(value, dict) or len(json.dumps(value)) <= 90


def is_record(value):
    """A dictionary whose parts all fit a line."""
    return isinstance(value, dict) and all(fits_a_line(part) for part in value.values())


ADDED_SETUP = {
    "added": "the rows after those of the original set (from true_sequential on) were computed by "
             "oracle.py, which runs llama_sequential, run_awq, get_act_scales and quantize_model of "
             "the authors themselves, with the versions below",
    "true_sequential": "the order k,v,q; o; up,gate; down of llama.py, each set after a new pass "
                       "through the block with the earlier sets quantized",
    "act_order without static_groups": "groups of consecutive columns in the permuted order",
    "quantize_bmm_input": "the outputs of q_proj, k_proj and v_proj quantized like activations, "
                          "before the rotary embedding",
}


def command_rows(args):
    with open(args.carry, encoding="utf-8") as file:
        reference = json.load(file)
    rows = reference["rows"]
    stored = [settings_of(row) for row in rows]
    authors, calibration, evaluation = prepare(args)
    for row in ROWS:
        if row in stored or not wanted(args, row):
            continue
        rows.append(measure(args, authors, row, calibration, evaluation))
        print(json.dumps(rows[-1]), flush=True)
        reference["setup"].update(ADDED_SETUP, versions=versions())
        write_json(args.out, reference)


def command_check(args):
    with open(args.against, encoding="utf-8") as file:
        stored = [row for row in json.load(file)["rows"] if wanted(args, settings_of(row))]
    authors, calibration, evaluation = prepare(args)
    for want in stored:
        got = measure(args, authors, settings_of(want), calibration, evaluation)
        difference = got["perplexity"] / want["perplexity"] - 1
        print(f"{difference:+.2e}  {got['perplexity']:.10f}  {json.dumps(settings_of(want))}",
              flush=True)


def command_spread(args):
    authors, calibration, evaluation = prepare(args)
    rows = [row for row in ROWS if wanted(args, row)]
    runs = [(f"order {seed}", seed, None) for seed in args.orders]
    runs += [(f"split {channels}", 0, channels) for channels in args.splits]
    runs += [(f"order {seed} split {drawn_split(seed)}", seed, drawn_split(seed))
             for seed in args.seeds]
    for name, seed, channels in runs:
        for row in rows:
            linear = split_linear(channels) if channels else torch.nn.functional.linear
            with replaced(torch.nn.functional, "linear", linear):
                result = measure(args, authors, row, reordered(calibration, seed), evaluation)
            add_perplexity(args.out, result, " ".join([name] + machine(args)))


def drawn_split(seed):
    return 8 * (1 + seed * 11 % 30)


def machine(args):
    """What else than the order of sums is not as it is by default."""
    chosen = [f"{name}={os.environ[name]}" for name in ("ATEN_CPU_CAPABILITY", "MKL_CBWR")
              if name in os.environ]
    return chosen + ["float64"] * args.double


def reordered(windows, seed):
    if seed == 0:
        return windows
    return windows[torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))]


def split_linear(channels):
    linear = torch.nn.functional.linear

    def split(inputs, weight, bias=None):
        return (linear(inputs[..., :channels], weight[:, :channels], bias)
                + linear(inputs[..., channels:], weight[:, channels:]))
    return split


def add_perplexity(path, result, run):
    """Add one perplexity to those of its row in the file, which need not exist yet."""
    print(json.dumps(result), flush=True)
    spread = {"what": SPREAD_WHAT, "rows": []}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            spread = json.load(file)
    row = settings_of(result)
    found = [one for one in spread["rows"] if one["settings"] == row]
    if not found:
        found = [{"settings": row, "perplexities": [], "runs": []}]
        spread["rows"] += found
    found[0]["perplexities"].append(round(result["perplexity"], 8))
    found[0]["runs"].append(run)
    write_json(path, spread)


SPREAD_WHAT = ("Perplexities of the same rows under changes that alter nothing but the rounding of "
               "float32 sums: how far another correct implementation may be from reference.json.")


def wanted(args, row):
    return args.only in json.dumps(row)


def prepare(args):
    print(json.dumps(versions()), flush=True)
    calibration = windows_of(args, args.calibration)[:CALIBRATION_WINDOWS]
    return load_authors(args), calibration, windows_of(args, args.evaluation)


# ---------------------------------------------------------------- codes

ROW_MARKS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"


def command_codes(args):
    authors, calibration, _evaluation = prepare(args)
    rows = [row for row in ROWS if row["algorithm"] == "gptq" and "true_sequential" not in row]
    known = quantize_linears(args, authors, rows, calibration)
    for row in known:
        row["rows_apart"], row["scale_apart"] = [], 0
    for seed in args.seeds:
        with replaced(torch.nn.functional, "linear", split_linear(drawn_split(seed))):
            again = quantize_linears(args, authors, rows, reordered(calibration, seed))
        for row, other in zip(known, again):
            compare_codes(row, other)
        write_json(args.out, {"what": CODES_WHAT, "fields": CODES_FIELDS, "versions": versions(),
                              "seeds": args.seeds, "rows": known})


def quantize_linears(args, authors, rows, calibration):
    """What each recipe makes of each linear on the unquantized model's inputs."""
    model = load_model(args)
    linears = block_linears(model)
    solvers = {name: authors.llama.GPTQ(linear) for name, linear in linears.items()}

    def collector(solver):
        return lambda _module, inputs, outputs: solver.add_batch(inputs[0].data, outputs.data)

    hooks = [linear.register_forward_hook(collector(solvers[name]))
             for name, linear in linears.items()]
    for window in calibration:
        model.model(window)
    for hook in hooks:
        hook.remove()
    return [{"settings": row, "linears": [quantize_linear(authors, row, solvers[name], name)
                                          for name in linears]} for row in rows]


def quantize_linear(authors, row, solver, name):
    """Solves for a linear by a copy of its Hessian and gives its weights back as they were."""
    weight = solver.layer.weight.data
    solve = authors.llama.GPTQ(solver.layer)
    solve.H = solver.H.clone()
    solve.quantizer = authors.quant.Quantizer()
    solve.quantizer.configure(row["bits"], perchannel=True, sym=row.get("sym", False),
                              mse=row.get("mse", False))
    levels, scales, order = [], [], []

    def column(variables):
        if variables["x"].shape[1] == 1:  # not the search for a range, which sees whole groups
            levels.append(variables["q"] - variables["zero"])
            scales.append(variables["scale"])

    def solved(variables):
        if "perm" in variables:
            order.append(variables["perm"])

    with watching({("quantize", "return"): column, ("fasterquant", "return"): solved}), silence():
        solve.fasterquant(percdamp=row.get("percdamp", 0.01), groupsize=row["group"] or -1,
                          actorder=row.get("act_order", False),
                          static_groups=row.get("static_groups", False))
    solver.layer.weight.data = weight
    levels = torch.cat(levels, dim=1)
    if order:
        levels = levels[:, torch.argsort(order[0])]
    _model, _layers, block, short = name.split(".", 3)
    return {"block": int(block), "name": short, "marks": marks_of(levels.int().numpy()),
            "mean_scale": torch.cat(scales, dim=1).double().mean().item()}


def marks_of(levels):
    """One of 64 characters for each row of integers: the upper bits of h = (h ^ level) * 2654435761
    over its columns, modulo 2^32."""
    import numpy
    sums = numpy.zeros(levels.shape[0], dtype=numpy.uint32)
    for level in levels.T.astype(numpy.uint32):
        sums = (sums ^ level) * numpy.uint32(2654435761)
    return "".join(ROW_MARKS[int(mark)] for mark in sums >> 26)


def compare_codes(row, other):
    apart = 0
    for one, two in zip(row["linears"], other["linears"]):
        apart += sum(a != b for a, b in zip(one["marks"], two["marks"]))
        row["scale_apart"] = max(row["scale_apart"], abs(two["mean_scale"] / one["mean_scale"] - 1))
    row["rows_apart"].append(apart)
    print(row["rows_apart"], row["scale_apart"], json.dumps(row["settings"]), flush=True)


CODES_WHAT = ("What the authors' solver makes of every linear on the unquantized model's inputs of "
              "it, and how much of that the order of float32 sums decides.")
CODES_FIELDS = {
    "marks": "a character for each row of weights: the columns' codes less their zero points, hashed "
             "as marks_of() of oracle.py says",
    "mean_scale": "mean over rows and columns of the scale",
    "rows_apart": "for each of the seeds, the rows of all linears whose marks differ: one code at a "
                  "near tie moves the rest of its row",
    "scale_apart": "the largest relative difference of a linear's mean_scale",
}


# ---------------------------------------------------------------- layers

def command_layers(args):
    authors, calibration, evaluation = prepare(args)
    traces = []
    for row in TRACED:
        print(json.dumps(row), flush=True)
        traces.append(trace(args, authors, row, calibration, evaluation[0]))
    write_json(args.out, {"what": LAYERS_WHAT, "fields": LAYERS_FIELDS, "versions": versions(),
                             "traces": traces})


def trace(args, authors, row, calibration, window):
    model = load_model(args)
    before = {name: linear.weight.data.clone() for name, linear in block_linears(model).items()}
    names = {linear: name for name, linear in block_linears(model).items()}
    seen = {name: {} for name in before}
    sets = []
    with watching(handlers_for(names, seen, sets)):
        found = RUN[row["algorithm"]](authors, model, row, calibration)
    if row["algorithm"] == "awq":
        record_clips(before, found, seen)
    if row["algorithm"] == "smoothquant":
        record_maxima(found, seen)
    result = {"settings": row, **forward_figures(model, window)}
    if row["algorithm"] != "unquantized":
        result["linears"] = linear_figures(model, before, scales_of(sets, found), seen)
    if sets:
        result["sets"] = [{key: value for key, value in one.items() if key != "scales"}
                          for one in sets]
    return result


def handlers_for(names, seen, sets):
    """What to read off which function of the authors, for watching()."""
    def gptq_begins(variables):
        solver = variables["self"]
        seen[names[solver.layer]]["mean_diag_hessian"] = solver.H.diag().double().mean().item()

    def gptq_ends(variables):
        losses = variables["Losses"].double().sum().item()
        seen[names[variables["self"].layer]]["losses_sum"] = losses

    def awq_scale_found(variables):
        linears = [names[linear] for linear in variables["linears2scale"]]
        index = round(variables["best_ratio"] * variables["n_grid"])
        sets.append({"linears": linears, "ratio_index": index, "loss": variables["best_error"],
                     "losses": list(variables["history"]),
                     **summary("scales", variables["best_scales"]),
                     "scales": variables["best_scales"].clone()})

    def smoothed(variables):
        linears = [names[linear] for linear in variables["fcs"]]
        sets.append({"linears": linears, **summary("scales", variables["scales"]),
                     "scales": variables["scales"].clone()})

    return {("fasterquant", "call"): gptq_begins, ("fasterquant", "return"): gptq_ends,
            ("_search_module_scale", "return"): awq_scale_found,
            ("smooth_ln_fcs_llama_like", "return"): smoothed}


def summary(name, values):
    values = values.double()
    return {f"{name}_sum": values.sum().item(), f"{name}_min": values.min().item(),
            f"{name}_max": values.max().item()}


def scales_of(sets, found):
    """{name: (factor of its columns, divisor of its rows)}, where there is one."""
    columns = {name: one["scales"].double() for one in sets for name in one["linears"]}
    rows = {}
    if isinstance(found, dict) and "scale" in found:
        rows = {previous: scales.double() for previous, _linears, scales in found["scale"]}
    return columns, rows


def record_clips(before, found, seen):
    """Mean over all groups of the chosen clip divided by the group's largest magnitude."""
    weights = {name: weight.clone() for name, weight in before.items()}
    for previous, linears, scales in found["scale"]:
        if previous in weights:
            weights[previous].div_(scales.view(-1, 1))
        for name in linears:
            weights[name].mul_(scales.view(1, -1))
    for name, clip in found["clip"]:
        largest = weights[name].reshape(*clip.shape[:2], -1).abs().amax(-1, keepdim=True)
        seen[name]["clip_ratio_mean"] = (clip.double() / largest.double()).mean().item()


def record_maxima(maxima, seen):
    for name, figures in seen.items():
        figures["act_max_sum"] = maxima[name].double().sum().item()
        figures["act_max_max"] = maxima[name].max().item()


def linear_figures(model, before, scales, seen):
    columns, rows = scales
    figures = []
    for name, linear in block_linears(model).items():
        final = linear.weight.data.double()
        undone, target = final.clone(), before[name].double()
        if name in columns:
            undone /= columns[name].view(1, -1)
        if name in rows:
            undone *= rows[name].view(-1, 1)
        _model, _layers, block, short = name.split(".", 3)
        figures.append({"block": int(block), "name": short,
                        "mse": (undone - target).square().mean().item(),
                        "sum": final.sum().item(), "sum_squares": final.square().sum().item(),
                        **seen[name]})
    return figures


def forward_figures(model, window):
    squares = []

    def after_block(_module, _inputs, outputs):
        squares.append(outputs[0].double().square().mean().item())

    hooks = [block.register_forward_hook(after_block) for block in model.model.layers]
    logits = model(window).logits[0]
    for hook in hooks:
        hook.remove()
    return {"block_output_mean_squares": squares,
            "logits_position_10": logits[10, :8].double().tolist()}


LAYERS_WHAT = ("Intermediate figures of the runs that gave some rows of reference.json, to find the "
               "first layer where another implementation departs from the authors' code.")
LAYERS_FIELDS = {
    "block_output_mean_squares": "mean of the squares of each block's output (after its second "
                                 "residual addition) over the first evaluation window",
    "logits_position_10": "the first 8 logits at position 10 of the first evaluation window",
    "mse": "mean squared difference between the final dequantized weight and the original weight; "
           "for awq and smoothquant after dividing the columns (and, for up_proj under awq, "
           "multiplying the rows) by the scales that were folded in",
    "sum": "sum of the final dequantized weight, scales still folded in, in float64",
    "sum_squares": "sum of its squares, in float64",
    "mean_diag_hessian": "gptq: mean of the diagonal of H before damping",
    "losses_sum": "gptq: sum of Losses of fasterquant, the 'error' it prints, summed in float64",
    "clip_ratio_mean": "awq: mean over rows and groups of the chosen clip divided by the largest "
                       "magnitude of the scaled group; absent where no clip is searched",
    "act_max_sum": "smoothquant: sum over input channels of the largest |input| of the unsmoothed "
                   "model over the calibration windows; act_max_max is the largest",
    "sets": "the linears that share a scale, in the order the authors' code treats them",
    "ratio_index": "awq: k of the chosen exponent k/20",
    "loss": "awq: the loss of the chosen exponent; losses has all 20",
    "scales_sum": "sum over input channels of the scale (weight columns are multiplied by it); "
                  "scales_min and scales_max are its range",
}


# ---------------------------------------------------------------- tokens

def command_tokens(args):
    texts = {}
    for name, path in (("calibration", args.calibration), ("evaluation", args.evaluation)):
        ids = encode(args, read_text(path))
        packed = struct.pack(f"<{len(ids)}i", *ids)
        texts[name] = {"count": len(ids), "sha256": hashlib.sha256(packed).hexdigest(),
                       "first": ids[:64]}
    cases = [{"name": name, "text": text, "ids": encode(args, text)} for name, text in CASES]
    joined = "\n".join(text for _name, text in CASES)
    raw = [{"name": name, "utf8_hex": text.encode().hex(), "ids": encode(args, text)}
           for name, text in CASES_HEX]
    import tokenizers
    write_json(args.out, {"what": TOKENS_WHAT, "tokenizers": tokenizers.__version__,
                            "notes": TOKENS_NOTES, "texts": texts, "cases": cases,
                            "joined_ids": encode(args, joined), "hex_cases": raw})


TOKENS_WHAT = "Token ids that the tokenizers library gives for the embedded model's tokenizer.json."
TOKENS_NOTES = {
    "sha256": "of the ids as 32-bit little-endian integers",
    "added token": "<|endoftext|> spelled out in a text becomes the single id 0, wherever it "
                   "stands; it splits the text, and each side is pre-tokenized alone",
    "joined_ids": "ids of the texts of all cases, in order, joined with one newline",
    "hex_cases": "texts that JSON readers may refuse (U+0000), as hexadecimal UTF-8",
}
CASES = [
    ("empty", ""),
    ("plain", "The quick brown fox jumps over the lazy dog."),
    ("contractions", "don't I'LL we've they're it's I'm he'd DON'T 's 't're ''s o'clock 'tis "
                     "y'all'd've can\u2019t"),
    ("contraction edges", "'S 'Re 'sx 'llama 'd'd'd a's's '' ' 're."),
    ("blanks", " a  b   c    d \t e\t\tf \n g\n\nh \n\n\n  i\r\nj \r k  "),
    ("blanks only", "     "),
    ("trailing blanks", "end   \n"),
    ("newlines", "\n\n\nstart\n\n\n\nmiddle\n \n \nend\n\n"),
    ("tabs", "\tint x;\t\t// y\n\t\treturn\t;"),
    ("unicode blanks", "a\u00a0b \u00a0c\u00a0 d\u2003e\u2009\u2009f\u3000g\u1680h\u202fi"
                       "\u205fj\u0085k\u2028l\u2029m"),
    ("not blanks", "a\u200bb\u180ec\u2060d\ufeffe\u00adf\u200cg\u200dh \u180e i \u200b j"),
    ("control", "a\u0001b\u0007c\u0008d\u001be\u007ff\u0080g\u009fh \u0001 \u000bi\u000cj"
                "\u001ck\u001dl\u001em\u001fn"),
    ("digits", "0 1 12 123 1234 1234567890 3.14159 1,000,000 0x1F 1e-9 v2.0 12th A4 5G 4x4"),
    ("unicode numbers", "\u00b2\u00bd\u2167\u2460\u4e09\u0663\u096d\uff15 \u00bc\u2153 "
                        "x\u00b3 \U0001d7d8\U0001d7d9"),
    ("punctuation", "... --- !!! ?! ;;; :-) (([[{{}}]])) \"'`\u00b4 <<>> @#$%^&*_+=~|\\/ "
                    "\u2014\u2013\u2026\u201cq\u201d\u00bfqu\u00e9?"),
    ("punctuation and letters", "a.b,c;d:e!f?g-h_i/j\\k|l (m)n [o]p {q}r \"s\"t 'u'v w...x"),
    ("symbols", "\u20ac5 \u00a310 \u00a5 \u00a9\u00ae\u2122 \u221a2 \u2264 \u2192 \u221e\u00b1 "
                "\u2603 \u2713 \u00b0C ^` \u02c6\u02dc"),
    ("letter categories", "\u01c5 \u01c4\u01c6 \u02b0\u02b1 \u00aa\u00ba \u05d0 \u3042 \u1e9e"
                          "\u00df \u0130\u0131 \u03c3\u03c2\u03a3 \u2c6f \ua7b1"),
    ("latin accents", "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m \u017b\u00f3\u0142\u0107 "
                      "\u0111\u1ea1i h\u1ecdc \u0152uvre"),
    ("combining", "cafe\u0301 n\u0303 a\u0308\u0323 \u0301alone e\u0301\u0302\u0303 "
                  "Z\u0351\u036b\u0343a\u0335l\u0321g\u0328o \u0d28\u0d3f \u0bb5\u0bbf"),
    ("enclosing and modifiers", "1\u20e3 a\u20dd \U0001f44d\U0001f3fd x\ufe0f \u0e01\u0e33"),
    ("emoji", "\U0001f600\U0001f602 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
              "\U0001f1eb\U0001f1f7 \u2764\ufe0f \U0001f3f4\u200d\u2620\ufe0f ok\U0001f44c!"),
    ("cjk", "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u6f22\u5b57\u304b\u306a\u30ab\u30bf\u30ab\u30ca"
            "\uff76\uff85 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \U00020000\U0002a6d6 "
            "\u300c\u5f15\u7528\u300d"),
    ("right to left", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd! \u0645\u0631\u062d"
                      "\u0628\u0627 \u0628\u0643\u0645\u060c \u0661\u0662\u0663 \u05e9\u05b8"
                      "\u05c1 \u0640\u0640 \u202eabc\u202c \u200fx\u200e"),
    ("indic and thai", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0915\u094d\u0937 \u0e2a\u0e27\u0e31"
                       "\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a \u1000\u103c\u102e"),
    ("greek and cyrillic", "\u0391\u03b2\u03b3 \u1f00\u03c1\u03c7\u1fc7 \u041f\u0440\u0438\u0432"
                           "\u0435\u0442, \u043c\u0438\u0440! \u0406\u0457"),
    ("mathematical letters", "\U0001d400\U0001d4b7\U0001d6fc \u2115 \uff21\uff42 \u210f"),
    ("unassigned and private", "\u0378 \ue000 \U000f0000 \uffff \U0010ffff \ufffd"),
    ("added token", "one<|endoftext|>two <|endoftext|> three<|endoftext|><|endoftext|>\n"),
    ("added token alone", "<|endoftext|>"),
    ("added token near misses", "<|endoftext| > <|ENDOFTEXT|> <endoftext> |endoftext| "
                                "<<|endoftext|>> <|endof<|endoftext|>text|>"),
    ("added token and blanks", "a  <|endoftext|>  b\n\n<|endoftext|>\n\nc 's<|endoftext|>'s"),
    ("code", "for (int i = 0; i < n; i++) {\n    a[i] += b[i] * 2;  // sum\n}\n"),
    ("address", "https://example.org/a?b=c&d=%20e#f user.name+tag@example.org"),
    ("long word", "a" * 40 + "Pneumonoultramicroscopicsilicovolcanoconiosis" + "-" * 30),
    ("long blanks", "x" + " " * 70 + "y" + "\n" * 20 + "z" + "\t" * 9),
    ("new letters", "\U0001e4d0\U00010d4a\U00011f04 \u1c89 \ua7cb \U0001e5d0"),
]
CASES_HEX = [("null", "a\0b \0 \0\0c")]


# ---------------------------------------------------------------- command line

def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("rows", "check", "spread", "codes", "layers", "tokens"):
        command = commands.add_parser(name)
        command.add_argument("--model", required=True)
        command.add_argument("--calibration", required=True)
        command.add_argument("--evaluation", required=True)
        if name != "check":
            command.add_argument("--out", required=True)
        if name != "tokens":
            for project in ("gptq", "awq", "smoothquant"):
                command.add_argument("--" + project, required=True, help="its source directory")
            command.add_argument("--threads", type=int, default=2)
            command.add_argument("--only", default="", help="only rows whose JSON contains this")
            command.add_argument("--double", action="store_true", help="forward in float64")
    commands.choices["rows"].add_argument("--carry", required=True)
    commands.choices["check"].add_argument("--against", required=True)
    commands.choices["spread"].add_argument("--orders", type=int, nargs="+", default=[])
    commands.choices["spread"].add_argument("--splits", type=int, nargs="+", default=[])
    for name in ("spread", "codes"):
        commands.choices[name].add_argument("--seeds", type=int, nargs="+", default=[])
    return parser.parse_args()


def main():
    args = parse_arguments()
    if args.command == "tokens":
        command_tokens(args)
        return
    global torch, transformers
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    {"rows": command_rows, "check": command_check, "spread": command_spread,
     "codes": command_codes, "layers": command_layers}[args.command](args)


if __name__ == "__main__":
    main()
