"""The authors' code of GPTQ, AWQ and SmoothQuant, run on a CPU in float32: for oracle.py and
family_quant.py, which name the commits.

What the authors' modules expect and a plain CPU lacks is supplied around them, never inside:
  - Module.cuda, Tensor.cuda and torch.cuda.synchronize do nothing;
  - Tensor.cpu returns a copy, as it does for a tensor on a GPU. llm-awq saves the weights with
    .cpu() before it tries a scale on them; without a copy the saved weights would be the ones
    being tried, and every trial would start from the leavings of the last;
  - the modules awq_inference_engine and datasets, imported by name but not used, are empty;
  - each project's loader of calibration text is replaced by one that returns our windows.
"""
import contextlib
import io
import json
import math
import sys
import types

import torch
import transformers

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


# ---------------------------------------------------------------- what is written

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


def prepare(args):
    print(json.dumps(versions()), flush=True)
    calibration = windows_of(args, args.calibration)[:CALIBRATION_WINDOWS]
    return load_authors(args), calibration, windows_of(args, args.evaluation)
