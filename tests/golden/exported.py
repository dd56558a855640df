#!/usr/bin/env python3
"""What third parties make of the checkpoints that `bitsweep export` writes.

    exported.py PROGRAM CONFIG --as LAYOUT [...] --recipe LABEL [...] [--by-library] [--out FILE]

writes for each layout and recipe of the config two folders: one in the layout, one `dequantized`, which is
the measured model in plain float32. Each is loaded by transformers, the former with the layout's own
quantizer (compressed-tensors, bitsandbytes), or decoded here by the layout's specification in numpy
(GPTQ, AWQ) and loaded as plain. With --by-library compressed-tensors itself decodes each module by the scheme
that its own reading of config.json gives it, without transformers' quantizer, and GPTQ's and AWQ's folders are loaded by
transformers with GPTQModel's torch kernel, which keeps scales and decoded weights in float16: the measured model's
weights are rounded to it before they are compared, and a recipe needs `scales: float16`; with --float32 too GPTQ's scales are
made float32 before it decodes. Printed for each, and kept in FILE as JSON: how many of the decoded
weights are unlike and by how much of themselves at most, and the largest difference of the logits of some tokens over
their range; of bitsandbytes' 8 bits codes, scales and decoded weights that are unlike those that the library makes of
the model's weights. bitsandbytes' 4 bits are multiplied in float32: its kernel for processors with AVX512-BF16 is switched off.
exported.yaml is a config to do it with.

Needs torch, transformers, compressed-tensors, bitsandbytes, accelerate and, for GPTQ by the library, gptqmodel and
optimum; PROVENANCE.md names the versions.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # GPTQModel would compile its decoding
import numpy as np
import safetensors.torch
import torch
import transformers

TOKENS = 48


def export(program, config, layout, recipe, folder):
    done = subprocess.run([program, "export", "--quiet", "--as", layout, "--recipe", recipe, config, str(folder)],
                          capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def load(folder, **more):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, device_map="cpu", dtype=torch.float32, **more).eval()


def tensors(folder):
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        found.update(safetensors.torch.load_file(path))
    return found


# ---- layouts that are decoded here ----

def fields_in_a_row(words, bits, count, axis):
    """Unsigned fields that follow one another bit by bit along an axis of int32 words."""
    words = np.moveaxis(words.view(np.uint32), axis, 0)
    at = np.arange(count) * bits
    low = words[at // 32].astype(np.uint64)
    high = words[np.minimum(at // 32 + 1, len(words) - 1)].astype(np.uint64)
    shift = (at % 32).astype(np.uint64).reshape(-1, *[1] * (words.ndim - 1))
    values = ((low | high << np.uint64(32)) >> shift) & np.uint64((1 << bits) - 1)
    return np.moveaxis(values.astype(np.int64), 0, axis)


def planes(words, bits, count, axis):
    """The same in planes: of 32 fields their lowest bits first, as wide as a power of two can be (GPTQModel's gptq_p)."""
    words = np.moveaxis(words.view(np.uint32), axis, 0).astype(np.uint64)
    blocks = words.reshape(-1, bits, *words.shape[1:])
    values, row, low = 0, 0, 0
    for width in {2: [2], 3: [2, 1], 4: [4], 5: [4, 1], 6: [4, 2], 7: [4, 2, 1], 8: [8]}[bits]:
        part = [(blocks[:, row + k] >> np.uint64(at)) & np.uint64((1 << width) - 1)
                for k in range(width) for at in range(0, 32, width)]
        values = values | np.stack(part, 1).astype(np.int64) << low
        row, low = row + width, low + width
    return np.moveaxis(values.reshape(-1, *words.shape[1:])[:count], 0, axis)


def gptq_weight(part, settings):
    bits = settings["bits"]
    fields = planes if settings["checkpoint_format"] == "gptq_p" else fields_in_a_row
    words, zeros = part["qweight"].numpy(), part["qzeros"].numpy()
    outputs, inputs = words.shape[1], words.shape[0] * 32 // bits
    q = fields(words, bits, inputs, 0)
    if settings["checkpoint_format"] == "gptq":  # whole words, as GPTQModel adds them; 3 bits field by field
        if bits == 3:
            z = (fields(zeros, bits, outputs, 1) + 1) & 7
        else:
            ones = np.uint32(sum(1 << k for k in range(0, 32, bits)))
            z = fields((zeros.view(np.uint32) + ones).view(np.int32), bits, outputs, 1)
    else:
        z = fields(zeros, bits, outputs, 1)
    group = part["g_idx"].numpy()
    s = part["scales"].numpy().astype(np.float32)
    return ((q - z[group]).astype(np.float32) * s[group]).T


def awq_weight(part, settings):
    order = [0, 4, 1, 5, 2, 6, 3, 7]

    def unpack(words):
        words = words.numpy().view(np.uint32)
        nibbles = np.stack([(words >> np.uint32(4 * k)) & np.uint32(15) for k in order], -1)
        return nibbles.reshape(words.shape[0], -1).astype(np.int64)
    q, z = unpack(part["qweight"]), unpack(part["qzeros"])
    s = part["scales"].numpy().astype(np.float32)
    group = np.arange(len(q)) // (len(q) // len(s))
    return ((q - z[group]).astype(np.float32) * s[group]).T


DECODED = {"gptq": gptq_weight, "gptq_v2": gptq_weight, "gptq_p": gptq_weight, "awq": awq_weight}


def decoded(folder, decode):
    """The folder's state dict with each quantized linear as one weight."""
    settings = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    state, parts = {}, {}
    for name, tensor in tensors(folder).items():
        module, _, kind = name.rpartition(".")
        if kind in ("qweight", "qzeros", "scales", "g_idx"):
            parts.setdefault(module, {})[kind] = tensor
        else:
            state[name] = tensor
    for module, part in parts.items():
        own = dict(settings)
        for pattern, other in settings.get("dynamic", {}).items():  # as GPTQModel reads it: "+:" a scheme of its own
            if pattern.startswith("+:") and re.match(pattern[2:], module):
                own.update(other)
        state[f"{module}.weight"] = torch.from_numpy(np.ascontiguousarray(decode(part, own)))
    return state


# ---- compressed-tensors by itself ----

def by_library(folder, plain):
    """The plain model with every module as the library decodes the coded folder's."""
    from compressed_tensors.compressors.base import decompress_module, replace_direct_state_dict
    from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus, apply_quantization_config
    settings = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    model, state = load(plain), tensors(folder)
    apply_quantization_config(model, QuantizationConfig.model_validate(settings))
    for name, module in model.named_modules():
        if getattr(module, "quantization_scheme", None) is None or not isinstance(module, torch.nn.Linear):
            continue
        own = {key[len(name) + 1:]: state.pop(key) for key in list(state) if key.rpartition(".")[0] == name}
        replace_direct_state_dict(module, own)
        if not hasattr(module, "bias"):
            module.register_parameter("bias", None)
        module.quantization_status = QuantizationStatus.COMPRESSED
        decompress_module(module, leave_decompressed=False)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    return model.to(torch.float32)


# ---- GPTQ and AWQ by GPTQModel ----

def by_gptqmodel(folder):
    settings = json.loads((pathlib.Path(folder) / "config.json").read_text())["quantization_config"]
    if settings["quant_method"] == "awq":
        return load(folder, quantization_config=transformers.AwqConfig(bits=settings["bits"], backend="torch_awq"))
    return load(folder, quantization_config=transformers.GPTQConfig(bits=settings["bits"], backend="gptq_torch"))


def weight_of_gptqmodel(module):
    if hasattr(module, "dequantize_weight"):
        return module.dequantize_weight().T
    return module._dequantize_weight_for_inference(module.scales[:0], dtype=torch.float32).T  # what its forward multiplies by


def in_half(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Linear) and module is not model.get_output_embeddings():
            module.weight.data = module.weight.data.half().float()
    return model


# ---- bitsandbytes ----

def in_float32(model):
    """The model with everything beside the codes, and 4-bit products, in float32, whatever transformers chose."""
    for part in [*model.parameters(), *model.buffers()]:
        if part.dtype in (torch.bfloat16, torch.float16):
            part.data = part.data.float()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def compare_int8(config, folder):
    """LLM.int8: codes, largest values and what is decoded of them against the library's own of the model's weights."""
    import bitsandbytes.functional as functional
    source = re.search(r"^model: (.*)$", pathlib.Path(config).read_text(), re.M).group(1)
    plain, written, unlike, weights = tensors(pathlib.Path(config).parent / source), tensors(folder), 0, 0
    modules = [name.removesuffix(".SCB") for name in written if name.endswith(".SCB")]
    for module in modules:
        codes, largest, _ = functional.int8_vectorwise_quant(plain[f"{module}.weight"].float())
        own = written[f"{module}.weight"], written[f"{module}.SCB"]
        decoded = functional.int8_vectorwise_dequant(codes, largest) != functional.int8_vectorwise_dequant(*own)
        unlike += int(((codes != own[0]) | decoded).sum()) + int((largest != own[1]).sum())
        weights += codes.numel()
    return {"linears": len(modules), "weights": weights, "unlike": unlike}


# ---- comparison ----

def weights_of(model, layout):
    """Linears as the quantizer's own code decodes them."""
    found = {}
    for name, module in model.named_modules():
        if layout == "bitsandbytes" and hasattr(module, "weight") and hasattr(module.weight, "quant_state"):
            import bitsandbytes.functional as functional
            found[name] = functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
        elif layout == "bitsandbytes" and getattr(module, "weight", None) is not None and module.weight.dtype == torch.int8:
            from transformers.integrations.bitsandbytes import dequantize_bnb_weight
            found[name] = dequantize_bnb_weight(module.weight, module.state)
        elif hasattr(module, "qweight"):
            found[name] = weight_of_gptqmodel(module)
        elif isinstance(module, torch.nn.Linear) and getattr(module, "weight", None) is not None:
            found[name] = module.weight
    return {n: w.detach().to(torch.float32) for n, w in found.items()}


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids).logits.to(torch.float32)


def read_as_published(folder, layout, plain, library):
    """The model, by the layout's own quantizer where it is one of transformers'."""
    if library:
        return by_library(folder, plain) if layout == "compressed-tensors" else by_gptqmodel(folder)
    if layout == "gguf":  # by gguf-py, rows of q and k in their own order again
        return load(os.path.dirname(folder), gguf_file=os.path.basename(folder))
    if layout in DECODED:
        model = load(plain)
        missing, unexpected = model.load_state_dict(decoded(folder, DECODED[layout]), strict=False)
        tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
        assert set(missing) <= tied and not unexpected, (missing, unexpected)
        return model
    more = {}
    if layout == "compressed-tensors":
        from transformers import CompressedTensorsConfig
        more["quantization_config"] = CompressedTensorsConfig(dequantize=True)
    model = load(folder, **more)
    return in_float32(model) if layout == "bitsandbytes" else model


def scales_in_float32(model):
    """GPTQModel's modules with float32 scales: it decodes to their type, and multiplies in the inputs'."""
    for module in model.modules():
        if hasattr(module, "qweight"):
            module.scales = module.scales.float()
    return torch.nn.Module.float(model)


def compare(program, config, layout, recipe, library, float32):
    with tempfile.TemporaryDirectory() as scratch:
        plain, coded = f"{scratch}/plain", f"{scratch}/coded" + (".gguf" if layout == "gguf" else "")
        refused = export(program, config, layout, recipe, coded)
        if not refused and layout == "bitsandbytes" and '"load_in_8bit": true' in pathlib.Path(coded, "config.json").read_text():
            return compare_int8(config, coded)
        refused = refused or export(program, config, "dequantized", recipe, plain)
        if refused:
            return {"refused": refused}
        reference, model = load(plain), read_as_published(coded, layout, plain, library)
        if library and layout in DECODED:
            model = scales_in_float32(model) if float32 else model
            reference = reference if float32 else in_half(reference)
        ours, theirs = weights_of(reference, ""), weights_of(model, layout)  # bitsandbytes packs them anew as it runs
        torch.manual_seed(1)
        ids = torch.randint(0, reference.config.vocab_size, (1, TOKENS))
        expected, found = logits_of(reference, ids), logits_of(model, ids)
        unlike = {n: int((ours[n] != theirs[n]).sum()) for n in ours}
        apart = max(float(((ours[n] - theirs[n]).abs() / ours[n].abs().clamp(min=1e-30)).max()) for n in ours)
        spread = float(expected.max() - expected.min())
        return {"dtype": str(model.dtype), "linears": len(ours),
                "weights": sum(w.numel() for w in ours.values()), "unlike": sum(unlike.values()), "apart": apart,
                "logits": float((expected - found).abs().max()) / spread}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("config")
    parser.add_argument("--as", dest="layouts", action="append")
    parser.add_argument("--recipe", action="append")
    parser.add_argument("--by-library", action="store_true", help="compressed-tensors without transformers' quantizer, GPTQ by GPTQModel's kernel")
    parser.add_argument("--float32", action="store_true", help="scales of GPTQ, and so what GPTQModel's torch kernel decodes, in float32")
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = []
    for layout in args.layouts:
        for recipe in args.recipe:
            rows.append({"layout": layout, "recipe": recipe, **compare(args.program, args.config, layout, recipe, args.by_library, args.float32)})
            print(json.dumps(rows[-1]), flush=True)
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
