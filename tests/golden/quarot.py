"""quarot.json: what the authors' code of QuaRot makes of the embedded model, in float32 on a CPU.

    quarot.py --quarot <checkout>/fake_quant --model ../../datasets/tiny \\
              --calibration ../../datasets/commons/calibration.txt \\
              --evaluation ../../datasets/commons/evaluation.txt --out quarot.json

It drives fuse_layer_norms, rotate_model, the wrappers of main.py, rtn_fwrd and gptq_fwrd with our windows of tokens. What a CPU
lacks is supplied: their fast_hadamard_transform (by additions in the same order of channels), `utils` (a device, a clean-up that
does nothing), Tensor.cuda and cuda.synchronize; and to a layer that gptq_fwrd calls the cosines and sines that it now wants.
"""
import argparse
import importlib.metadata
import json
import sys
import types

import torch
import transformers

WINDOWS, TOKENS = 8, 256
CORES = [12, 20, 28, 36, 40, 52, 60, 108, 140, 156, 172]
SAMPLES = 12


def hadamard_transform(x, scale=1.0):
    """Sylvester's matrix over the last dimension."""
    shape, n, width = x.shape, x.shape[-1], 1
    x = x.reshape(-1, n)
    while width < n:
        x = x.reshape(-1, n // (2 * width), 2, width)
        x = torch.stack((x[:, :, 0] + x[:, :, 1], x[:, :, 0] - x[:, :, 1]), dim=2)
        width *= 2
    return x.reshape(shape) * scale


def load_authors(folder):
    utils = types.ModuleType("utils")
    utils.DEV = torch.device("cpu")
    utils.cleanup_memory = lambda *args, **kwargs: None
    torch.cuda.synchronize = lambda *args, **kwargs: None
    fast = types.ModuleType("fast_hadamard_transform")
    fast.hadamard_transform = hadamard_transform
    sys.modules.update(utils=utils, fast_hadamard_transform=fast)
    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    sys.path.insert(0, folder)


def digest(matrix):
    """FNV-1a, 64 bits, of the signs row by row."""
    value = 0xcbf29ce484222325
    for sign in matrix.flatten().tolist():
        value = ((value ^ ord("+" if sign > 0 else "-")) * 0x100000001b3) % 2**64
    return f"{value:016x}"


def load_model(path):
    model = transformers.LlamaForCausalLM.from_pretrained(path, dtype=torch.float32,
                                                          attn_implementation="eager")
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.data.clone())
    model.config.use_cache = False
    return model.eval()


def rotate(model, seed, remove_mean, rotation):
    import hadamard_utils
    import quant_utils
    import rotation_utils
    embedding = model.model.embed_tokens.weight.data.clone()
    rotation_utils.fuse_layer_norms(model)
    if not remove_mean:
        model.model.embed_tokens.weight.data = embedding
    torch.manual_seed(seed)
    rotation_utils.rotate_model(model, argparse.Namespace(rotate_mode={"orthogonal": "random"}.get(rotation, rotation)))
    quant_utils.add_actquant(model)
    for name, layer in quant_utils.find_qlayers(model).items():
        if "down_proj" in name:
            layer.had_K, layer.K = hadamard_utils.get_hadK(model.config.intermediate_size)
            layer.online_full_had = True
        if "o_proj" in name:
            layer.had_K, layer.K = hadamard_utils.get_hadK(model.config.num_attention_heads)
            layer.online_partial_had = True
            layer.had_dim = model.config.hidden_size // model.config.num_attention_heads


def wrap_keys(model, bits):
    """As main.py: keys of heads after rotary positions, of their own asymmetric scales."""
    import model_utils
    import rotation_utils
    for layer in model_utils.get_layers(model):
        rotation_utils.add_qk_rotation_wrapper_after_function_call_in_forward(
            layer.self_attn, "apply_rotary_pos_emb", config=model.config, k_bits=bits,
            k_groupsize=64, k_sym=False, k_clip_ratio=1.0)


def quantize_activations(model, bits, kv_bits):
    import quant_utils
    for name, layer in quant_utils.find_qlayers(model, [quant_utils.ActQuantWrapper]).items():
        if "v_proj" in name and kv_bits < 16:
            layer.out_quantizer.configure(bits=kv_bits, groupsize=64, sym=False, clip_ratio=1.0)
        layer.quantizer.configure(bits=16 if "lm_head" in name else bits, groupsize=-1, sym=True,
                                  clip_ratio=1.0)
    if kv_bits < 16:
        wrap_keys(model, kv_bits)


def give_positions(model):
    """Layers that are called with position_ids alone."""
    def wrap(forward):
        def call(hidden, position_ids=None, position_embeddings=None, **rest):
            turns = position_embeddings or model.model.rotary_emb(hidden, position_ids)
            return forward(hidden, position_ids=position_ids, position_embeddings=turns, **rest)
        return call
    for layer in model.model.layers:
        layer.forward = wrap(layer.forward)


def quantize_weights(model, row, calibration):
    import gptq_utils
    args = argparse.Namespace(w_bits=row["weights"], w_groupsize=-1, w_asym=False, w_clip=row["gptq"],
                              int8_down_proj=False, nsamples=len(calibration), percdamp=0.01,
                              act_order=False)
    model.seqlen = TOKENS
    if row["gptq"]:
        give_positions(model)
        gptq_utils.gptq_fwrd(model, [(window[None],) for window in calibration], torch.device("cpu"),
                             args)
    elif row["weights"] < 16:
        gptq_utils.rtn_fwrd(model, torch.device("cpu"), args)


@torch.no_grad()
def mean_nll(model, windows):
    total = 0.0
    for window in windows:
        logits = model(window[None]).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    return total / (len(windows) * (TOKENS - 1))


def windows_of(model, path, count):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    with open(path, encoding="utf-8") as file:
        ids = tokenizer(file.read(), add_special_tokens=False)["input_ids"]
    return torch.tensor(ids[:count * TOKENS]).reshape(count, TOKENS)


def samples(model):
    """Some entries of every matrix: number k of n is the one at k * (n // SAMPLES) + k."""
    taken = {}
    for name, tensor in model.named_parameters():
        if tensor.dim() == 2 and (".layers." not in name or ".layers.0." in name or
                                  ".layers.5." in name):
            flat = tensor.data.flatten()
            at = [k * (len(flat) // SAMPLES) + k for k in range(SAMPLES)]
            taken[name.replace(".module", "")] = [flat[i].item() for i in at]
    return taken


def row(weights, activations, kv, seed=0, remove_mean=True, rotation="hadamard", gptq=False, runs=()):
    return dict(weights=weights, activations=activations, kv=kv, seed=seed,
                remove_mean=remove_mean, rotation=rotation, gptq=gptq, runs=list(runs))


SPLITS = [0, 8, 40, 88, 120, 200]

# With 4 bits for activations, or by GPTQ, a figure hangs on the last bits of sums: those rows are run
# with every linear as the product over its first n channels plus that over the rest.
ROWS = [
    row(16, 16, 16), row(4, 16, 16), row(4, 8, 16), row(4, 8, 8),
    row(4, 8, 8, seed=3, remove_mean=False),
    row(16, 16, 16, rotation="orthogonal"), row(4, 16, 16, seed=5, rotation="orthogonal"),
    row(4, 4, 16, runs=SPLITS), row(4, 4, 4, runs=SPLITS),
    row(4, 16, 16, gptq=True, runs=SPLITS), row(3, 16, 16, gptq=True, runs=SPLITS),
]


def split_linear(channels):
    linear = torch.nn.functional.linear

    def split(x, weight, bias=None):
        return (linear(x[..., :channels], weight[:, :channels], bias)
                + linear(x[..., channels:], weight[:, channels:]))
    return split if channels else linear


def run(args, row, channels, windows, golden):
    whole = torch.nn.functional.linear
    torch.nn.functional.linear = split_linear(channels)
    model = load_model(args.model)
    rotate(model, row["seed"], row["remove_mean"], row["rotation"])
    if row["weights"] == 16:
        golden["weights" if row["rotation"] == "hadamard" else "orthogonal"] = samples(model)
    quantize_weights(model, row, windows["calibration"])
    quantize_activations(model, row["activations"], row["kv"])
    nll = mean_nll(model, windows["evaluation"])
    torch.nn.functional.linear = whole
    return nll


def main():
    parser = argparse.ArgumentParser()
    for name in ("quarot", "model", "calibration", "evaluation", "out"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    load_authors(args.quarot)
    import hadamard_utils
    windows = {text: windows_of(args.model, getattr(args, text), WINDOWS)
               for text in ("calibration", "evaluation")}
    golden = {"versions": {name: importlib.metadata.version(name) for name in
                           ("torch", "transformers")},
              "cores": {str(k): digest(getattr(hadamard_utils, f"get_had{k}")()) for k in CORES},
              "weights": {}, "orthogonal": {}, "rows": []}
    for row in ROWS:
        splits = row.pop("runs") or [0]
        nlls = [run(args, row, n, windows, golden) for n in splits]
        golden["rows"].append({**row, "mean_nlls": nlls})
        print(golden["rows"][-1], flush=True)
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
