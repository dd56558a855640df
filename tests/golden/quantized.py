#!/usr/bin/env python3
"""Checkpoints that are quantized already, each written by the library whose layout it is.

    quantized.py [--out DIR] [NAME ...]

makes a tiny random Llama, quantizes it with compressed-tensors, bitsandbytes (through transformers),
GPTQModel and transformers' own float8 and MXFP4 code, and writes for each row of SCHEMES DIR/NAME/
(config.json, model.safetensors) as that library saves it, and DIR/expected.json: the SHA-256 of the
float32 bytes, [out][in], of every linear as the same library decodes it. With --logits it writes
instead, of each checkpoint that quantizes inputs too, DIR/NAME/logits.f32: what its library's own
forward pass makes in float32 of TOKENS, [tokens][vocabulary].

Needs torch, transformers, compressed-tensors, bitsandbytes and gptqmodel; PROVENANCE.md names the
versions. Runs in a minute, on a CPU.
"""
import argparse
import hashlib
import json
import pathlib
import shutil
import tempfile
import types

import safetensors.torch
import torch
import transformers

SEED = 20
TOKENS = [[i * 7 % 32 for i in range(32)]]


def tiny(hidden=32, inner=64, layers=1):
    """A Llama whose linears are multiples of 32 in both directions."""
    torch.manual_seed(SEED)
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=2, head_dim=hidden // 2, vocab_size=32, max_position_embeddings=64,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=True)
    model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            # rows of unlike size, a few outliers: scales differ, and zero points are not in the middle
            p.copy_(torch.randn(p.shape) * (0.02 + 0.05 * torch.rand(p.shape[0], *[1] * (p.dim() - 1))) +
                    (1 if "norm" in name else 0.01))
    return model


def linears(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"}


def digest(weight):
    data = weight.detach().to(torch.float32).contiguous().cpu().numpy().tobytes()
    return hashlib.sha256(data).hexdigest()


def plain_tensors(model, without):
    """The tensors of a checkpoint beside the linears, as save_pretrained names them."""
    return {n: p.detach().clone() for n, p in model.named_parameters()
            if not any(n == f"{w}.weight" for w in without)}


def write(folder, model, tensors, settings):
    folder.mkdir(parents=True)
    kept = json.loads(model.config.to_json_string())
    kept["quantization_config"] = settings
    kept["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(kept, indent=2) + "\n")
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()},
                                folder / "model.safetensors", metadata={"format": "pt"})


# --- compressed-tensors ---

def minmax(weight, args):
    """Scales and zero points by the library's own rule, of each group's extremes."""
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
    out, width = weight.shape
    strategy = getattr(args.strategy, "value", args.strategy)
    if strategy in ("group", "tensor_group"):
        parts = weight.unflatten(-1, (width // args.group_size, args.group_size))
        low, high = parts.amin(-1), parts.amax(-1)
    elif strategy == "channel":
        low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    elif strategy == "block":
        h, w = args.block_structure
        padded = torch.nn.functional.pad(weight, (0, -width % w, 0, -out % h))
        parts = padded.unflatten(1, (-1, w)).unflatten(0, (-1, h)).transpose(1, 2)
        low, high = parts.amin((-1, -2)), parts.amax((-1, -2))
    else:
        low, high = weight.min().reshape(1), weight.max().reshape(1)
    state = {}
    if strategy == "tensor_group":
        state["weight_global_scale"] = generate_gparam(weight.min(), weight.max())
        scale, zero = calculate_qparams(low, high, args, global_scale=state["weight_global_scale"])
    else:
        scale, zero = calculate_qparams(low, high, args)
    state["weight_scale"] = scale
    if not args.symmetric:
        state["weight_zero_point"] = zero.to(torch.int8)
    return state


def fixed_inputs(name, args, dtype):
    """What a checkpoint has of static inputs: linears that read the same have the same."""
    if args is None or args.dynamic is True:
        return {}
    if args.strategy == "tensor_group":
        return {"input_global_scale": torch.tensor([448.0 * 6 / 3.5])}
    scale = 0.05 if args.symmetric else 0.011 if "down_proj" in name else 0.03
    state = {"input_scale": torch.tensor([scale], dtype=dtype)}
    if not args.symmetric:
        state["input_zero_point"] = torch.tensor([-9], dtype=torch.int8)
    return state


def compressed(groups, ignore=("lm_head",), dtype=torch.bfloat16):
    """`groups`: a list of (format, settings of weights, of activations, targets)."""
    def make(folder):
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        from compressed_tensors.utils import match_named_modules
        model = tiny()
        tensors, expected = plain_tensors(model, linears(model)), {}
        described = {}
        for g, (form, weights, activations, targets) in enumerate(groups):
            args = QuantizationArgs(**weights)
            inputs = QuantizationArgs(**activations) if activations else None
            scheme = QuantizationScheme(targets=targets, weights=args, input_activations=inputs, format=form)
            compressor = BaseCompressor.get_value_from_registry(form)
            described[f"group_{g}"] = json.loads(scheme.model_dump_json())
            for name, module in match_named_modules(model, targets, ignore):
                weight = module.weight.detach().to(dtype)
                state = {"weight": weight, **minmax(weight, args)}
                state.update(fixed_inputs(name, inputs, dtype))
                packed = compressor.compress(dict(state), scheme)
                tensors.update({f"{name}.{k}": v for k, v in packed.items()})
                expected[name] = digest(compressor.decompress(dict(packed), scheme)["weight"])
        rest = set(linears(model)) - set(expected)
        tensors.update({f"{n}.weight": linears(model)[n].weight.detach() for n in rest})
        forms = {g[0] for g in groups}
        write(folder, model, tensors, {
            "quant_method": "compressed-tensors", "version": "0.20.1",
            "format": forms.pop() if len(forms) == 1 else "mixed-precision",
            "quantization_status": "compressed", "ignore": list(ignore), "config_groups": described,
            "kv_cache_scheme": None, "global_compression_ratio": None})
        return expected
    return make


def experts_of(kind):
    """A model with three experts, as its checkpoints have it: each linear of an expert by itself."""
    torch.manual_seed(SEED)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
             "head_dim": 16, "vocab_size": 32, "max_position_embeddings": 64, "bos_token_id": 1,
             "eos_token_id": 2, "tie_word_embeddings": True, "num_experts_per_tok": 2}
    if kind == "mixtral":
        config = transformers.MixtralConfig(intermediate_size=64, num_local_experts=3, **sizes)
    else:
        config = transformers.Qwen3MoeConfig(intermediate_size=64, moe_intermediate_size=64, num_experts=3, **sizes)
    model = transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16).eval()
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        tensors = safetensors.torch.load_file(pathlib.Path(plain) / "model.safetensors")
    for name, weight in tensors.items():
        if weight.dim() == 2:
            weight.copy_(torch.randn(weight.shape) * (0.02 + 0.05 * torch.rand(weight.shape[0], 1)) + 0.01)
    routers = [n for n in tensors if n.endswith(".gate.weight")]
    names = [n[:-7] for n in tensors if ".layers." in n and n.endswith(".weight") and
             tensors[n].dim() == 2 and n not in routers]
    return model, tensors, names


def packed_experts(bits, group):
    """Mixtral as llm-compressor writes it, the router left out."""
    def make(folder):
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        model, tensors, names = experts_of("mixtral")
        args = QuantizationArgs(**integer(bits, "group", group=group))
        scheme = QuantizationScheme(targets=ALL, weights=args, format=PACK)
        compressor, expected = BaseCompressor.get_value_from_registry(PACK), {}
        for name in names:
            weight = tensors.pop(f"{name}.weight")
            packed = compressor.compress({"weight": weight, **minmax(weight, args)}, scheme)
            tensors.update({f"{name}.{k}": v for k, v in packed.items()})
            expected[name] = digest(compressor.decompress(dict(packed), scheme)["weight"])
        write(folder, model, tensors, {
            "quant_method": "compressed-tensors", "version": "0.20.1", "format": PACK,
            "quantization_status": "compressed", "ignore": ["lm_head", "re:.*block_sparse_moe.gate"],
            "config_groups": {"group_0": json.loads(scheme.model_dump_json())}, "kv_cache_scheme": None,
            "global_compression_ratio": None})
        return expected
    return make


def float8_experts(block):
    """Qwen3-MoE as its float8 checkpoints have it."""
    def make(folder):
        from transformers.integrations.finegrained_fp8 import Fp8Dequantize
        model, tensors, names = experts_of("qwen3_moe")
        quantizer = types.SimpleNamespace(
            quantization_config=types.SimpleNamespace(weight_block_size=block))
        expected = {}
        for name in names:
            parts = tensors[f"{name}.weight"].float().unflatten(1, (-1, block[1])).unflatten(0, (-1, block[0]))
            scale = parts.abs().amax((1, 3)) / 448
            codes = (parts / scale[:, None, :, None]).flatten(2).flatten(0, 1).to(torch.float8_e4m3fn)
            tensors[f"{name}.weight"], tensors[f"{name}.weight_scale_inv"] = codes, scale
            decoded = Fp8Dequantize(quantizer).convert({"weight$": [codes], "weight_scale_inv": [scale]}, name)
            expected[name] = digest(decoded[name])
        write(folder, model, tensors, {
            "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
            "weight_block_size": list(block), "modules_to_not_convert": ["lm_head", "model.layers.0.mlp.gate"]})
        return expected
    return make


def integer(bits, strategy, symmetric=True, group=None, **more):
    return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy,
            "group_size": group, "dynamic": False, **more}


def floating(bits, strategy, group=None, **more):
    return {"num_bits": bits, "type": "float", "symmetric": True, "strategy": strategy,
            "group_size": group, "dynamic": False, **more}


PACK, INT, FLOAT = "pack-quantized", "int-quantized", "float-quantized"
TOKEN = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
STATIC = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "tensor", "dynamic": False}
NVFP4 = floating(4, "tensor_group", 16, scale_dtype="torch.float8_e4m3fn")
MXFP4 = floating(4, "group", 32, scale_dtype="torch.uint8")
MXFP8 = floating(8, "group", 32, scale_dtype="torch.uint8")
ALL = ["Linear"]


# --- GPTQModel ---

def grid(weight, bits, group, symmetric):
    """Scales [out][groups] as float16 has them, zero points."""
    parts = weight.float().unflatten(-1, (-1, group))
    low, high = parts.amin(-1).clamp(max=0), parts.amax(-1).clamp(min=0)
    if symmetric:
        high = torch.maximum(high, -low)
        low = -high
    scale = ((high - low) / (2**bits - 1)).half().float()
    zero = torch.full_like(scale, 2**(bits - 1)) if symmetric else torch.round(-low / scale)
    return scale, zero.clamp(0, 2**bits - 1)


def gptq_linear(weight, bits, group, symmetric, form, shuffled=False):
    """The tensors of a linear, and the digest of what they decode to."""
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
    out, width = weight.shape
    columns = group if group > 0 else width
    index = torch.arange(width) // columns
    if shuffled:
        index = index[torch.randperm(width, generator=torch.Generator().manual_seed(3))]
    order = torch.argsort(index, stable=True)
    scale, zero = grid(weight[:, order], bits, columns, symmetric)
    linear = torch.nn.Linear(width, out, bias=False)
    codes = (torch.round(weight.float() / scale[:, index]) + zero[:, index]).clamp(0, 2**bits - 1)
    linear.weight.data = (codes - zero[:, index]) * scale[:, index]
    packed = TorchLinear(bits=bits, group_size=group, sym=symmetric, desc_act=shuffled, in_features=width,
                         out_features=out, bias=False, pack_dtype=torch.int32, register_buffers=True, **planar(form))
    packed.pack_original(linear, scale, zero, index.int())
    packed.eval()
    decoded = super(TorchLinear, packed).dequantize_weight().T
    if form == "gptq":
        convert_gptq_v2_to_v1_format_module(packed, quantize_config_of(bits, group))
    assert torch.equal(packed.g_idx.long(), index)
    assert not torch.isnan(packed.scales).any()
    return {part: getattr(packed, part).detach().clone() for part in ("qweight", "qzeros", "scales", "g_idx")}, decoded


def gptq_settings(bits, group, symmetric, form, shuffled=False):
    return {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": shuffled,
            "sym": symmetric, "lm_head": False, "checkpoint_format": form, "pack_dtype": "int32",
            "meta": {"quantizer": ["gptqmodel:7.7.0"]}}


def of_llama(hidden, pack, settings):
    """A Llama of whose linears `pack` makes tensors, and what they decode to."""
    def make(folder):
        model = tiny(hidden)
        tensors, expected = plain_tensors(model, linears(model)), {}
        for name, module in linears(model).items():
            parts, decoded = pack(name, module.weight.detach())
            tensors.update({f"{name}.{part}": tensor for part, tensor in parts.items()})
            expected[name] = digest(decoded)
        write(folder, model, tensors, settings)
        return expected
    return make


def gptq(bits, group, symmetric, form, shuffled=False, dynamic=None):
    settings = gptq_settings(bits, group, symmetric, form, shuffled)
    if dynamic:
        settings["dynamic"] = {"+:.*down_proj.*": {"bits": dynamic}}

    def pack(name, weight):
        own = dynamic if dynamic and name.endswith("down_proj") else bits
        return gptq_linear(weight, own, group, symmetric, form, shuffled)
    return of_llama(32, pack, settings)


def planar(form):
    import inspect
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    known = inspect.signature(TorchLinear.__init__).parameters
    return {"format": form} if "format" in known else {"planar": form == "gptq_p"} if "planar" in known else {}


def quantize_config_of(bits, group):
    from gptqmodel.quantization.config import QuantizeConfig
    return QuantizeConfig(bits=bits, group_size=group)


def awq_linear(weight, version, group):
    from gptqmodel.nn_modules.qlinear.gemv_awq import AwqGEMVLinear
    from gptqmodel.nn_modules.qlinear.torch_awq import AwqTorchLinear
    out, width = weight.shape
    columns = group if group > 0 else width
    scale, zero = grid(weight, 4, columns, False)
    repeat = scale.repeat_interleave(columns, 1), zero.repeat_interleave(columns, 1)
    codes = (torch.round(weight.float() / repeat[0]) + repeat[1]).clamp(0, 15)
    linear = torch.nn.Linear(width, out, bias=False)
    linear.weight.data = (codes - repeat[1]) * repeat[0]
    kind = AwqTorchLinear if version == "gemm" else AwqGEMVLinear
    packed = kind(bits=4, group_size=group, sym=False, desc_act=False, in_features=width,
                  out_features=out, bias=False, register_buffers=True)
    packed.pack(linear, scale, zero)
    if version == "gemm":
        from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
        decoded = dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, columns).T
    else:  # its kernel runs on a GPU alone: the same arithmetic, in half precision
        decoded = (codes - repeat[1]).half() * repeat[0].half()
    return {part: getattr(packed, part).detach().clone() for part in ("qweight", "qzeros", "scales")}, decoded


def awq_settings(version, group, plain=None):
    return {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True,
            "version": version, "modules_to_not_convert": plain}


def awq(version, group):
    return of_llama(64, lambda name, weight: awq_linear(weight, version, group), awq_settings(version, group))


def experts_by_linear(kind, pack, settings):
    """A model with experts, the router left out as these libraries do; logits.f32 are what transformers'
    float32 makes of TOKENS with what the library decodes in the place of weights."""
    def make(folder):
        model, tensors, names = experts_of(kind)
        plain, expected = {n: t.float() for n, t in tensors.items()}, {}
        for name in names:
            parts, decoded = pack(tensors.pop(f"{name}.weight"))
            tensors.update({f"{name}.{part}": tensor for part, tensor in parts.items()})
            expected[name] = digest(decoded)
            plain[f"{name}.weight"] = decoded.float().contiguous()
        write(folder, model, tensors, settings)
        with tempfile.TemporaryDirectory() as measured:
            safetensors.torch.save_file(plain, pathlib.Path(measured) / "model.safetensors", metadata={"format": "pt"})
            (pathlib.Path(measured) / "config.json").write_text(model.config.to_json_string())
            whole = transformers.AutoModelForCausalLM.from_pretrained(
                measured, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager").eval()
            logits = whole(torch.tensor(TOKENS)).logits[0].contiguous()
        (folder / "logits.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
        return expected
    return make


# --- through transformers ---

def of_all_devices(codes, state):
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    from bitsandbytes.functional import dequantize_blockwise
    absmax = state.absmax
    if state.nested:
        absmax = dequantize_blockwise(absmax, state.state2) + state.offset
    compute = getattr(_dequantize_4bit_compute, "_torchdynamo_orig_callable", _dequantize_4bit_compute)
    return compute(codes.reshape(-1), absmax.float(), state.code, state.blocksize, state.shape, state.dtype)


def bitsandbytes(**settings):
    def make(folder):
        from transformers.integrations.bitsandbytes import dequantize_bnb_weight
        model = tiny(64, 288) if settings.pop("large", False) else tiny(64)
        dtype = settings.pop("dtype", torch.bfloat16)
        with tempfile.TemporaryDirectory() as plain:
            model.to(dtype).save_pretrained(plain)
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                plain, dtype=dtype, device_map="cpu",
                quantization_config=transformers.BitsAndBytesConfig(**settings))
        loaded.save_pretrained(folder)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map="cpu")
        expected = {}
        for name, module in linears(loaded).items():
            weight = dequantize_bnb_weight(module.weight, getattr(module, "state", None))
            if settings.get("load_in_4bit"):
                # The kernel for CPUs with AVX-512 takes another block's absmax where a block goes on in
                # the next row; that for all devices does not. Elsewhere they agree.
                general = of_all_devices(module.weight.data, module.weight.quant_state)
                whole = module.weight.quant_state.shape[1] % module.weight.quant_state.blocksize == 0
                assert torch.equal(weight, general) or not whole, name
                weight = general
            expected[name] = digest(weight)
        return expected
    return make


def float8(block, scales=torch.float32, static=False):
    def make(folder):
        from transformers.integrations.finegrained_fp8 import Fp8Dequantize
        model = tiny()
        tensors, expected = plain_tensors(model, linears(model)), {}
        for name, module in linears(model).items():
            weight = module.weight.detach().float()
            out, width = weight.shape
            h, w = block if block else (out, width)
            parts = weight.reshape(out // h, h, width // w, w)
            scale = (parts.abs().amax((1, 3)) / 448).to(scales).float()
            codes = (parts / scale[:, None, :, None]).reshape(out, width).to(torch.float8_e4m3fn)
            tensors[f"{name}.weight"] = codes
            tensors[f"{name}.weight_scale_inv"] = scale.to(scales)
            if static:
                tensors[f"{name}.activation_scale"] = torch.tensor(0.0078125 if "down" in name else 0.02)
            decode = Fp8Dequantize(None)._dequantize_one
            expected[name] = digest(decode(codes, scale.to(scales), output_dtype=torch.float32))
        write(folder, model, tensors, {
            "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "static" if static else "dynamic",
            "weight_block_size": list(block) if block else None})
        return expected
    return make


def gpt_oss(folder):
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors
    model = tiny()
    generator = torch.Generator().manual_seed(SEED)
    tensors, expected = {}, {}
    for name, shape in {"gate_up_proj": (3, 24, 2, 16), "down_proj": (3, 32, 3, 16)}.items():
        name = f"model.layers.0.mlp.experts.{name}"
        blocks = torch.randint(0, 256, shape, generator=generator).to(torch.uint8)
        scales = torch.randint(110, 130, shape[:3], generator=generator).to(torch.uint8)
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = blocks, scales
        expected[name] = digest(convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16).transpose(1, 2))
    write(folder, model, tensors, {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})
    return expected


SCHEMES = {
    "int_8_static": compressed([(INT, integer(8, "channel"), integer(8, "tensor", False), ALL)]),
    "float_8_group": compressed([(FLOAT, floating(8, "block", block_structure=[16, 16]),
                                  {**floating(8, "group", 16), "dynamic": True}, ALL)]),
    "nvfp4_inputs": compressed([("nvfp4-pack-quantized", NVFP4, {**NVFP4, "dynamic": "local"}, ALL)],
                               dtype=torch.float32),
    "mxfp4_inputs": compressed([("mxfp4-pack-quantized", MXFP4, {**MXFP4, "dynamic": True}, ALL)],
                               dtype=torch.float32),
    "mxfp8_inputs": compressed([("mxfp8-quantized", MXFP8, {**MXFP8, "dynamic": True}, ALL)],
                               dtype=torch.float32),
    "mixed_inputs": compressed([(INT, integer(8, "channel"), TOKEN, ["re:.*self_attn.*_proj"]),
                                (INT, integer(8, "channel"), {**TOKEN, "num_bits": 4}, ["Linear"])]),
    "pack_4": compressed([(PACK, integer(4, "group", group=16), None, ALL)]),
    "pack_3": compressed([(PACK, integer(3, "channel"), None, ALL)]),
    "pack_5_asymmetric": compressed([(PACK, integer(5, "group", False, 16), None, ALL)]),
    "pack_4_channel_asymmetric": compressed([(PACK, integer(4, "channel", False), None, ALL)],
                                            dtype=torch.float32),
    "pack_8_half": compressed([(PACK, integer(8, "group", group=32), None, ALL)], dtype=torch.float16),
    "int_8": compressed([(INT, integer(8, "channel"), TOKEN, ALL)]),
    "int_8_tensor": compressed([(INT, integer(8, "tensor"), TOKEN, ALL)]),
    "float_8": compressed([(FLOAT, floating(8, "channel"), {**TOKEN, "type": "float"}, ALL)]),
    "float_8_static": compressed([(FLOAT, floating(8, "tensor"), STATIC, ALL)]),
    "float_8_block": compressed([(FLOAT, floating(8, "block", block_structure=[16, 24]), None, ALL)]),
    "nvfp4": compressed([("nvfp4-pack-quantized", floating(
        4, "tensor_group", 16, scale_dtype="torch.float8_e4m3fn"), None, ALL)]),
    "mxfp4": compressed([("mxfp4-pack-quantized", floating(4, "group", 32, scale_dtype="torch.uint8"),
                          None, ALL)]),
    "mxfp8": compressed([("mxfp8-quantized", floating(8, "group", 32, scale_dtype="torch.uint8"),
                          None, ALL)]),
    "mixed": compressed([(PACK, integer(4, "group", group=16), None, ["re:.*self_attn.*_proj"]),
                         (FLOAT, floating(8, "channel"), None, ["re:.*(gate|up)_proj"])],
                        ignore=("lm_head", "model.layers.0.mlp.down_proj")),
    "gptq_4": gptq(4, 16, True, "gptq"),
    "gptq_4_zero": gptq(4, 16, False, "gptq"),
    "gptq_3": gptq(3, 32, False, "gptq"),
    "gptq_2": gptq(2, 16, False, "gptq_v2"),
    "gptq_8_row": gptq(8, -1, True, "gptq"),
    "gptq_4_order": gptq(4, 16, True, "gptq_v2", shuffled=True),
    "gptq_4_dynamic": gptq(4, 16, True, "gptq", dynamic=8),
    "gptq_3_planar": gptq(3, 16, False, "gptq_p"),
    "gptq_5_planar": gptq(5, 16, True, "gptq_p"),
    "gptq_6_planar": gptq(6, 16, False, "gptq_p"),
    "gptq_7_planar": gptq(7, 16, True, "gptq_p"),
    "awq_gemm": awq("gemm", 32),
    "awq_gemv": awq("gemv", 64),
    "bnb_nf4": bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "bnb_nf4_double": bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                   bnb_4bit_use_double_quant=True, large=True),
    "bnb_fp4": bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="fp4", dtype=torch.float32),
    "bnb_8": bitsandbytes(load_in_8bit=True),
    "fp8_block": float8((16, 32)),
    "fp8_block_bfloat16": float8((32, 16), torch.bfloat16),
    "fp8_static": float8((16, 32), static=True),
    "mixtral_pack_4": packed_experts(4, 16),
    "qwen3_moe_fp8": float8_experts((16, 32)),
    "qwen3_moe_gptq_4": experts_by_linear("qwen3_moe", lambda w: gptq_linear(w, 4, 16, True, "gptq"),
                                          gptq_settings(4, 16, True, "gptq")),
    "mixtral_awq": experts_by_linear("mixtral", lambda w: awq_linear(w, "gemm", 32), awq_settings("gemm", 32, ["gate"])),
    "gpt_oss": gpt_oss,
}


# --- the forward pass of those that quantize inputs ---


def float8_forward(settings):
    """A linear of transformers' FP8Linear: its weight decoded, its inputs by the arithmetic of its
    act_quant, their product in float32. (Triton's interpreter, which would run that kernel here, loses
    the carry where a number is rounded up to a power of two.)"""
    def forward(self, x):
        if settings["activation_scheme"] == "static":
            parts, scale = x, self.fixed
        else:
            parts = x.unflatten(-1, (-1, settings["weight_block_size"][1]))
            scale = parts.abs().amax(-1, keepdim=True) / 448
        codes = (parts / scale).clamp(min=-448, max=448).to(torch.float8_e4m3fn)
        return torch.nn.functional.linear((codes.float() * scale).reshape(x.shape), self.weight, self.bias)
    return forward


def file_type(folder):
    """Scales stay as the file has them: what weights are decoded to is rounded to their type."""
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    return next((t.dtype for n, t in tensors.items()
                 if n.endswith("weight_scale") and t.dtype.itemsize > 1), torch.float32)


def logits_of(folder):
    settings = json.loads((folder / "config.json").read_text())["quantization_config"]
    if settings["quant_method"] == "fp8":
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, quantization_config=transformers.FineGrainedFP8Config(dequantize=True))
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        for name, module in linears(model).items():
            module.fixed = tensors.get(f"{name}.activation_scale")
            module.forward = float8_forward(settings).__get__(module)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=file_type(folder))
        for module in linears(model).values():
            assert module.quantization_scheme.input_activations is not None
    model.eval()
    try:  # the first pass decodes weights, those of 4-bit floats to bfloat16, which it then cannot multiply
        model(torch.tensor(TOKENS))
    except RuntimeError:
        pass
    torch.nn.Module.float(model)
    return model(torch.tensor(TOKENS)).logits[0].contiguous()


def has_inputs(folder):
    settings = json.loads((folder / "config.json").read_text()).get("quantization_config", {})
    groups = settings.get("config_groups", {}).values()
    return settings.get("quant_method") == "fp8" or any(g.get("input_activations") for g in groups)


def write_logits(out, names):
    for name in names or SCHEMES:
        if has_inputs(out / name):
            logits = logits_of(out / name)
            (out / name / "logits.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
            print(name, float(logits.min()), float(logits.max()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "quantized")
    parser.add_argument("--logits", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    if options.logits:
        with torch.no_grad():
            write_logits(options.out, options.names)
        return
    path = options.out / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    for name in options.names or SCHEMES:
        shutil.rmtree(options.out / name, ignore_errors=True)
        with torch.no_grad():
            expected[name] = SCHEMES[name](options.out / name)
        for extra in (options.out / name).glob("generation_config.json"):
            extra.unlink()
        print(name, len(expected[name]))
    path.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
