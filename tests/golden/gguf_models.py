#!/usr/bin/env python3
"""Golden models in GGUF: the tiny ones of tests/golden/families as llama.cpp's own converter writes them.

    gguf_models.py LLAMA_CPP [NAME ...]
    gguf_models.py --seeds

writes (of the names alone, where there are any) tests/golden/gguf/<name>/model.gguf, tensors in F32, with logits.f32 and a row of gguf.json, both by
transformers' own class as families.py has them. LLAMA_CPP is the folder of llama.cpp's source (conversion/ and
gguf-py/ in it), which PyPI's llama-cpp-python brings as its source distribution. What GGUF cannot say of a model
is set to what llama.cpp takes for granted (CHANGES), in the converter's input and in transformers' model. The
models have no tokenizer, so that part of the converter is passed over. --seeds writes some of the files anew by gguf-py,
matrices in F16, for the fuzz target, which takes small files alone.
"""
import json
import math
import pathlib
import re
import sys
import tempfile

import safetensors.torch
import torch

import families

ROOT = pathlib.Path(__file__).parent
NAMES = """bloom cohere cohere-plus cohere2 exaone4 falcon falcon-11b falcon-grouped gemma gemma2 gemma3_text
glm4 gpt2 gpt_neox gpt_neox-sequential granite llama llama-bias llama-head llama-linear llama-yarn llama3 mpt nemotron
olmo olmo2 olmo3 phi phi3 phi3-long qwen2 qwen3 seed_oss smollm3 stablelm starcoder2
mixtral olmoe qwen2_moe qwen3_moe granitemoe granitemoeshared gpt_oss deepseek_v2 deepseek_v2-lite deepseek_v3
llama4_text""".split()
SEEDS = "qwen2_moe qwen3_moe gpt_oss deepseek_v2".split()


def theta(config, value=10000.0):
    return {"rope_parameters": {**config["rope_parameters"], "rope_theta": value}}


CHANGES = {
    "falcon": lambda c: {**theta(c), "num_kv_heads": 1},
    "falcon-11b": theta,
    "gemma2": lambda c: {"query_pre_attn_scalar": c["head_dim"]},
    "gemma3_text": lambda c: {"query_pre_attn_scalar": c["head_dim"],
                              "layer_types": ["sliding_attention"] * c["num_hidden_layers"]},
    # A vocabulary of no known size: llama.cpp tells DeepSeek's gating by a key, or by the size.
    "deepseek_v2-lite": lambda c: {"n_group": None, "topk_group": None},
    # Windows of 8192 tokens, and what grows with the position, are in llama.cpp's code.
    "llama4_text": lambda c: {"attention_chunk_size": 8192, "attn_scale": 0.1, "floor_scale": 8192},
    "gpt_oss": lambda c: {"rope_parameters": {**c["rope_parameters"], "truncate": True}},
    "olmoe": lambda c: {"clip_qkv": None},
    # By the name of both transformers 5.0 and later ones.
    "qwen3_moe": lambda c: {"num_experts": c["num_local_experts"]},
    # llama.cpp's have experts in each layer.
    "qwen2_moe": lambda c: {"num_hidden_layers": 1, "mlp_only_layers": [], "layer_types": ["full_attention"]},
    "gpt_neox": theta,
    "gpt_neox-sequential": theta,
    "mpt": lambda c: {"attn_config": {**c["attn_config"], "softmax_scale": None}},
    "phi": theta,
    "smollm3": lambda c: {"no_rope_layers": [1, 1, 1, 0], "layer_types": ["full_attention"] * 4,
                          "use_sliding_window": False, "sliding_window": None},
    "stablelm": theta,
    "starcoder2": lambda c: {"sliding_window": None},
}

# What the converter asks for that transformers 5 does not write.
MORE = {
    "cohere2": lambda c: {"rotary_pct": c["head_dim"] / (c["hidden_size"] // c["num_attention_heads"])},
    "deepseek_v2": lambda c: {"scoring_func": "softmax"},
    "deepseek_v2-lite": lambda c: {"scoring_func": "softmax"},
    "deepseek_v3": lambda c: {"scoring_func": "sigmoid"},
    "gpt2": lambda c: {"n_ctx": c["n_positions"]},
    "gpt_neox": lambda c: {"rotary_pct": c["rope_parameters"]["partial_rotary_factor"]},
    "gpt_neox-sequential": lambda c: {"rotary_pct": c["rope_parameters"]["partial_rotary_factor"]},
}


def copy_weights(source, folder, config):
    """Without layers that the changes take away, and experts apart, as the models are published."""
    weights = {k: v for k, v in safetensors.torch.load_file(source).items()
               if not re.match(r"model\.layers\.(\d+)\.", k) or int(k.split(".")[2]) < config["num_hidden_layers"]}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})


def prepare(name, folder):
    """The model's folder with the changes, and a vocabulary for the converter to count."""
    config = json.loads((ROOT / "families" / name / "config.json").read_text())
    config.update(CHANGES.get(name, lambda c: {})(config))
    (folder / "config.json").write_text(json.dumps(config))
    copy_weights(ROOT / "families" / name / "model.safetensors", folder, config)
    vocab = {str(i): i for i in range(config["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab}, "added_tokens": []}))
    return MORE.get(name, lambda c: {})(config)


def convert(name, folder, more, out):
    import gguf
    from conversion import get_model_class
    from conversion.base import ModelBase, ModelType, get_model_architecture
    kind = get_model_architecture(ModelBase.load_hparams(folder, False), ModelType.TEXT)
    kind = get_model_class(kind.replace("Mpt", "MPT"))
    kind.set_vocab = lambda self: None
    with torch.inference_mode():
        model = kind(folder, gguf.LlamaFileType.ALL_F32, out, eager=True, model_name=name)
        model.hparams.update(more)
        model.write()


def figures(row, folder, out):
    ids = torch.tensor(row["ids"]).view(row["windows"], row["tokens"])
    logits = families.logits_of(families.load(folder), ids)
    logits[0, -families.LOGITS:].numpy().tofile(out / "logits.f32")
    nll = families.mean_nll(logits, ids)
    return {"name": f"../gguf/{row['name']}", "windows": row["windows"], "tokens": row["tokens"], "mean_nll": nll,
            "perplexity": math.exp(nll), "ids": row["ids"]}


def write_seed(name):
    import gguf
    import numpy
    source = gguf.GGUFReader(ROOT / "gguf" / name / "model.gguf")
    writer = gguf.GGUFWriter(ROOT.parent / "fuzz/seeds/gguf" / name, source.fields["general.architecture"].contents())
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, field.contents())
        else:
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in source.tensors:
        data = numpy.array(tensor.data)
        writer.add_tensor(tensor.name, data.astype(numpy.float16) if data.ndim > 1 else data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    if sys.argv[1] == "--seeds":
        for name in SEEDS:
            write_seed(name)
        return
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/gguf-py"]
    rows = {row["name"]: row for row in json.loads((ROOT / "families/families.json").read_text())["families"]}
    made = {}
    if sys.argv[2:]:
        lines = json.loads((ROOT / "gguf/gguf.json").read_text())["families"]
        made = {line["name"]: json.dumps(line) for line in lines}
    for name in sys.argv[2:] or NAMES:
        out = ROOT / "gguf" / name
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            more = prepare(name, folder)
            convert(name, folder, more, out / "model.gguf")
            row = figures(rows[name], folder, out)
            made[row["name"]] = json.dumps(row)
    (ROOT / "gguf/gguf.json").write_text('{"families": [\n' + ",\n".join(made.values()) + "\n]}\n")


if __name__ == "__main__":
    main()
