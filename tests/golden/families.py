#!/usr/bin/env python3
"""Golden models of every family: tiny, random, made and run with transformers' own classes.

    families.py [--out DIR]

writes, for each row of FAMILIES, DIR/<name>/ as Hugging Face lays a model out (config.json,
model.safetensors) with

    logits.f32   float32, little-endian, [TOKENS][vocab_size]: the logits of the first window

and DIR/families.json: the token ids, WINDOWS windows of TOKENS each, and the mean negative
log-likelihood over them by the protocol `gptq` (windows do not overlap, each starts at position 0,
every prediction counts). Weights are rounded to the type they are stored in before anything is
computed; the arithmetic is float32, with eager attention.

Every figure is checked before it is written:
  - the folder, loaded again by transformers, gives the same logits bit by bit;
  - float64 arithmetic agrees within 1e-5 of the logits' range, so that the figures are no noise;
  - every tensor matters: rolled by one place, it moves the logits by more than 1e-2 of their range;
  - every feature bites: so does each change of `bites`, which switches one off or shifts it;
  - what `same` lists is without effect, so that a reader of config.json may leave it alone.
`older` names what checkpoints on the hub have otherwise: names without the base model's prefix
(`strip`), and tensors that nobody reads (`extra`: buffers of earlier versions, the head where it is
tied), here of zeros. transformers has to load these too, to the same logits.

Last it checks families/configs.json, which is written by hand: changes of these models' config.json
that are to be refused, or accepted. For a refused one it says what transformers does with it:
`changes` the logits, `fails`, or `ignores` it (another program's key, or one about the tensors);
an accepted one must leave the logits alone.

Needs torch, transformers and safetensors; PROVENANCE.md names the versions. Runs in half a minute.
"""
import argparse
import copy
import json
import math
import pathlib
import shutil
import tempfile

import safetensors.torch
import torch
import transformers

TOKENS, WINDOWS = 40, 3
BITES = 1e-2  # of the logits' range


def llama3(**changes):
    return {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
                             **changes}}


def linear(factor):
    return {"rope_scaling": {"rope_type": "linear", "factor": factor}}


# Sizes are distinct within a model wherever the family lets them be, so that no two of them can be
# mistaken for each other; head_dim is not hidden_size / heads where the family has the key.
FAMILIES = [
    dict(name="llama", dtype="float16",
         older=dict(extra={"model.layers.0.self_attn.rotary_emb.inv_freq": [2]}),
         config=dict(model_type="llama", vocab_size=43, hidden_size=20, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=5, max_position_embeddings=64,
                     rms_norm_eps=1e-5),
         bites=[{"rope_theta": 500.0}, {"rms_norm_eps": 0.5}, {"hidden_act": "gelu"}]),
    dict(name="llama3", dtype="bfloat16",
         older=dict(extra={"lm_head.weight": [44, 18]}),
         config=dict(model_type="llama", vocab_size=44, hidden_size=18, intermediate_size=20,
                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                     max_position_embeddings=256, rope_theta=500.0, tie_word_embeddings=True,
                     **llama3()),
         bites=[{"rope_scaling": None}, linear(8.0), llama3(factor=4.0),
                llama3(low_freq_factor=2.0), llama3(high_freq_factor=8.0),
                llama3(original_max_position_embeddings=32)]),
    dict(name="llama-linear", dtype="float16",
         config=dict(model_type="llama", vocab_size=41, hidden_size=18, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=128,
                     **linear(4.0)),
         bites=[{"rope_scaling": None}, linear(3.0)]),
    dict(name="llama-bias", dtype="bfloat16",
         config=dict(model_type="llama", vocab_size=43, hidden_size=16, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                     max_position_embeddings=64, attention_bias=True, mlp_bias=True),
         bites=[{"attention_bias": False}, {"mlp_bias": False}]),
    dict(name="mistral", dtype="bfloat16",
         config=dict(model_type="mistral", vocab_size=42, hidden_size=16, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                     max_position_embeddings=64, rope_theta=1000.0, sliding_window=16),
         bites=[{"sliding_window": None}, {"sliding_window": 15}, {"sliding_window": 17}]),
    dict(name="qwen2", dtype="bfloat16",
         config=dict(model_type="qwen2", vocab_size=44, hidden_size=16, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                     max_position_embeddings=64, rope_theta=1000.0, tie_word_embeddings=True),
         bites=[{"rope_theta": 100.0}],
         same=[{"sliding_window": 4}, {"max_window_layers": 0}]),
    dict(name="qwen2-window", dtype="float16",
         config=dict(model_type="qwen2", vocab_size=41, hidden_size=18, intermediate_size=20,
                     num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
                     max_position_embeddings=64, use_sliding_window=True, sliding_window=12,
                     max_window_layers=1),
         bites=[{"use_sliding_window": False, "layer_types": None}, {"sliding_window": 11},
                {"sliding_window": 13}, {"max_window_layers": 2, "layer_types": None},
                {"layer_types": ["sliding_attention", "full_attention", "full_attention"]}],
         same=[{"max_window_layers": 2}]),
    dict(name="qwen3", dtype="bfloat16",
         config=dict(model_type="qwen3", vocab_size=43, hidden_size=18, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
                     max_position_embeddings=64, rope_theta=1000.0),
         bites=[{"rope_theta": 100.0}]),
    dict(name="gemma2", dtype="bfloat16",
         config=dict(model_type="gemma2", vocab_size=42, hidden_size=14, intermediate_size=18,
                     num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
                     max_position_embeddings=64, query_pre_attn_scalar=10, sliding_window=12,
                     attn_logit_softcapping=5.0, final_logit_softcapping=8.0),
         bites=[{"attn_logit_softcapping": None}, {"final_logit_softcapping": None},
                {"query_pre_attn_scalar": 6}, {"sliding_window": 64}, {"sliding_window": 11},
                {"sliding_window": 13}, {"hidden_activation": "silu"},
                {"layer_types": ["full_attention", "sliding_attention"] * 2}],
         same=[{"hidden_act": "relu"}]),
    dict(name="gemma3_text", dtype="bfloat16",
         config=dict(model_type="gemma3_text", vocab_size=44, hidden_size=14, intermediate_size=18,
                     num_hidden_layers=4, num_attention_heads=3, num_key_value_heads=1, head_dim=8,
                     max_position_embeddings=128, query_pre_attn_scalar=12, sliding_window=12,
                     sliding_window_pattern=3, rope_theta=2000.0, rope_local_base_freq=50.0,
                     **linear(4.0)),
         bites=[{"rope_scaling": None}, {"rope_theta": 50.0}, {"rope_local_base_freq": 2000.0},
                {"query_pre_attn_scalar": 8}, {"sliding_window": 64}, {"sliding_window": 11},
                {"sliding_window": 13}, {"final_logit_softcapping": 8.0},
                {"sliding_window_pattern": 2, "layer_types": None}],
         same=[{"sliding_window_pattern": 2}]),
    dict(name="phi", dtype="float16",
         config=dict(model_type="phi", vocab_size=41, hidden_size=20, intermediate_size=26,
                     num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
                     rope_theta=100.0, partial_rotary_factor=0.4, layer_norm_eps=2e-5),
         bites=[{"partial_rotary_factor": 0.8}, {"hidden_act": "relu"}, {"layer_norm_eps": 0.5}]),
    dict(name="opt", dtype="float16",
         older=dict(extra={"lm_head.weight": [43, 15]}),
         config=dict(model_type="opt", vocab_size=43, hidden_size=15, ffn_dim=22,
                     num_hidden_layers=2, num_attention_heads=5, max_position_embeddings=44),
         bites=[{"do_layer_norm_before": False}, {"_remove_final_layer_norm": True},
                {"activation_function": "gelu"}]),
    dict(name="opt-350m", dtype="float16",
         older=dict(strip="model."),
         config=dict(model_type="opt", vocab_size=42, hidden_size=18, ffn_dim=22,
                     num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=44,
                     do_layer_norm_before=False, word_embed_proj_dim=10),
         bites=[{"do_layer_norm_before": True}],
         same=[{"_remove_final_layer_norm": True}]),
    dict(name="gpt2", dtype="float16",
         older=dict(strip="transformer.", extra={"h.0.attn.bias": [1, 1, 44, 44],
                                                 "h.1.attn.bias": [1, 1, 44, 44]}),
         config=dict(model_type="gpt2", vocab_size=41, n_embd=15, n_inner=22, n_layer=2, n_head=5,
                     n_positions=44, bos_token_id=0, eos_token_id=0),
         bites=[{"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True},
                {"activation_function": "relu"}],
         same=[{"reorder_and_upcast_attn": True}]),
    dict(name="gpt_neox", dtype="float16",
         older=dict(extra={"gpt_neox.layers.0.attention.bias": [1, 1, 64, 64],
                           "gpt_neox.layers.0.attention.masked_bias": [],
                           "gpt_neox.layers.0.attention.rotary_emb.inv_freq": [2]}),
         config=dict(model_type="gpt_neox", vocab_size=42, hidden_size=24, intermediate_size=18,
                     num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
                     rotary_pct=0.35, rotary_emb_base=100),
         bites=[{"use_parallel_residual": False}, {"rotary_pct": 0.5}, {"rotary_emb_base": 10000},
                {"hidden_act": "relu"}, {"attention_bias": False}],
         # rotary_pct and rotary_emb_base win over the copies that transformers writes beside them.
         same=[{"partial_rotary_factor": 1.0}, {"rope_theta": 7.0}]),
    dict(name="gpt_neox-sequential", dtype="bfloat16",
         config=dict(model_type="gpt_neox", vocab_size=43, hidden_size=16, intermediate_size=22,
                     num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=64,
                     rotary_pct=0.6, rotary_emb_base=50, use_parallel_residual=False),
         # Of 8 dimensions 0.6 are 4: the product is cut off, not rounded.
         bites=[{"use_parallel_residual": True}, {"rotary_pct": 0.8}],
         same=[{"rotary_pct": 0.5}]),
    dict(name="bloom", dtype="float16",
         older=dict(strip="transformer."),
         config=dict(model_type="bloom", vocab_size=44, hidden_size=15, n_layer=2, n_head=5),
         bites=[{"apply_residual_connection_post_layernorm": True}],
         same=[{"pretraining_tp": 4}]),
    dict(name="falcon", dtype="bfloat16",
         older=dict(extra={"lm_head.weight": [41, 12]}),
         config=dict(model_type="falcon", vocab_size=41, hidden_size=12, num_hidden_layers=2,
                     num_attention_heads=3, max_position_embeddings=64, rope_theta=100.0),
         bites=[{"alibi": True}, {"rope_theta": 10.0}, {"activation": "relu"}],
         same=[{"num_kv_heads": 1}]),
    dict(name="falcon-grouped", dtype="bfloat16",
         config=dict(model_type="falcon", vocab_size=42, hidden_size=24, num_hidden_layers=2,
                     num_attention_heads=6, num_kv_heads=2, ffn_hidden_size=20,
                     max_position_embeddings=64, new_decoder_architecture=True),
         bites=[{"rope_theta": 10.0}],
         same=[{"multi_query": False}]),
]


def build(config):
    """The family's own class, in eval mode, with eager attention."""
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return model.float().eval()


def configured(keys):
    keys = dict(keys)
    return transformers.AutoConfig.for_model(keys.pop("model_type"), **keys)


def changed(model, changes):
    """The same weights in a model whose config.json has these changes."""
    keys = model.config.to_dict()
    if "layer_types" not in changes and "layer_types" in keys:
        changes = {"layer_types": keys["layer_types"], **changes}
    keys.update(changes)
    other = build(configured({k: v for k, v in keys.items() if k != "dtype"}))
    other.load_state_dict(model.state_dict(), strict=False)
    return other


def randomize(model, dtype, generator):
    """Larger than a fresh model's weights: positions, caps and biases are to show."""
    gemma = model.config.model_type.startswith("gemma")
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name.rsplit(".", 2)[-2] or ".ln_" in name:
            middle = 0 if gemma or name.endswith("bias") else 1
            value = middle + 0.3 * noise
        else:
            value = 0.4 * noise
        parameter.data = value.to(dtype).float()


@torch.no_grad()
def logits_of(model, ids):
    return model(input_ids=ids, use_cache=False).logits


def range_of(logits):
    return (logits.max() - logits.min()).item()


def distance(a, b):
    return (a.double() - b.double()).abs().max().item() / range_of(a)


def mean_nll(logits, ids):
    """Over all predictions of windows [windows][tokens], summed in float64."""
    log_p = torch.log_softmax(logits.double(), dim=-1)[:, :-1]
    return -log_p.gather(-1, ids[:, 1:, None]).mean().item()


def is_without_effect(model, name):
    """A bias of k alone adds the same to all scores of a query, unless positions rotate it."""
    return model.config.model_type == "opt" and name.endswith("k_proj.bias")


def check_tensors(model, logits, ids):
    for name, parameter in model.named_parameters():
        other = copy.deepcopy(model)
        twin = dict(other.named_parameters())[name]
        for dim in range(twin.dim()):
            twin.data = parameter.roll(1, dim)
            moved = distance(logits, logits_of(other, ids))
            wanted = moved < 1e-6 if is_without_effect(model, name) else moved > BITES
            assert wanted, (name, dim, moved)


def check_slopes(model, logits, ids):
    """ALiBi has no key of its own: without the slope of any one head, the logits move. The least
    slope of five heads is 2^-8, so this bar is lower."""
    base, build_slopes = model.transformer, model.transformer.build_alibi_tensor
    for head in range(model.config.n_head):
        def without(mask, heads, dtype):
            slopes = build_slopes(mask, heads, dtype).view(mask.shape[0], heads, 1, -1).clone()
            slopes[:, head] = 0
            return slopes.view(mask.shape[0] * heads, 1, -1)
        base.build_alibi_tensor = without
        moved = distance(logits, logits_of(model, ids))
        assert moved > BITES / 10, ("slope of head", head, moved)
    del base.build_alibi_tensor


def check_llama3(config):
    """The three kinds of frequency occur."""
    scaling = config.rope_scaling
    original = scaling["original_max_position_embeddings"]
    wavelengths = [2 * math.pi * config.rope_theta ** (2 * i / config.head_dim)
                   for i in range(config.head_dim // 2)]
    short = [w for w in wavelengths if w < original / scaling["high_freq_factor"]]
    long = [w for w in wavelengths if w > original / scaling["low_freq_factor"]]
    assert short and long and len(short) + len(long) < len(wavelengths)


def check(row, model, logits, ids):
    moved = distance(logits, logits_of(copy.deepcopy(model).double(), ids))
    assert moved < 1e-5, ("float64", moved)
    check_tensors(model, logits, ids)
    for changes in row["bites"]:
        moved = distance(logits, logits_of(changed(model, changes), ids))
        assert moved > BITES, (changes, moved)
    for changes in row.get("same", []):
        moved = distance(logits, logits_of(changed(model, changes), ids))
        assert moved < 1e-6, (changes, moved)
    if row["name"] == "bloom":
        check_slopes(model, logits, ids)
    if row["name"] == "llama3":
        check_llama3(model.config)


def load(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def save(model, dtype, folder):
    shutil.rmtree(folder, ignore_errors=True)
    copy.deepcopy(model).to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def check_older(older, folder, logits, ids):
    tensors = {name.removeprefix(older["strip"]): value for name, value
               in safetensors.torch.load_file(folder / "model.safetensors").items()}
    tensors.update({name: torch.zeros(shape) for name, shape in older["extra"].items()})
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(folder / "config.json", other)
        safetensors.torch.save_file(tensors, pathlib.Path(other) / "model.safetensors",
                                    {"format": "pt"})
        assert torch.equal(logits, logits_of(load(other), ids)), folder


def make(row, seed, out):
    generator = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, row["dtype"])
    model = build(configured(row["config"]))
    randomize(model, dtype, generator)
    ids = torch.randint(model.config.vocab_size, (WINDOWS, TOKENS), generator=generator)
    logits = logits_of(model, ids)
    try:
        check(row, model, logits, ids)
    except AssertionError as error:
        raise SystemExit(f"{row['name']}: {error}")

    folder = out / row["name"]
    save(model, dtype, folder)
    assert torch.equal(logits, logits_of(load(folder), ids)), row["name"]
    older = row.get("older") and {"strip": "", "extra": {}, **row["older"]}
    if older:
        check_older(older, folder, logits, ids)
    logits[0].numpy().astype("<f4").tofile(folder / "logits.f32")
    print(f"{row['name']:20} {sum(p.numel() for p in model.parameters()):6} parameters"
          f"  range {range_of(logits):6.1f}  mean nll {mean_nll(logits, ids):.4f}")
    return {"name": row["name"], "windows": WINDOWS, "tokens": TOKENS,
            "mean_nll": mean_nll(logits, ids), "perplexity": math.exp(mean_nll(logits, ids)),
            "older": older, "ids": ids.flatten().tolist()}


def effect(folder, change, ids):
    """What transformers makes of the model in this folder when config.json has the change."""
    model = load(folder)
    try:
        other = logits_of(changed(model, change), ids)
    except Exception:  # whatever it is: no logits come of this config.json
        return "fails"
    moved = distance(logits_of(model, ids), other)
    assert moved < 1e-6 or moved > BITES, (folder, change, moved)
    return "changes" if moved > BITES else "ignores"


def check_configs(path, rows, out):
    configs = json.loads(path.read_text())
    ids = {row["name"]: torch.tensor(row["ids"]).view(WINDOWS, TOKENS) for row in rows}
    for case in configs["refused"] + configs["accepted"]:
        does = effect(out / case["model"], case["change"], ids[case["model"]])
        if does != case.get("transformers", "ignores"):
            raise SystemExit(f"{path}: {case}: transformers {does}")


def write(rows, path):
    """One row a line: the file is read by people too."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text(f'{{"families": [\n{lines}\n]}}\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent / "families")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    rows = [make(row, 1 + seed, out) for seed, row in enumerate(FAMILIES)]
    write(rows, out / "families.json")
    check_configs(pathlib.Path(__file__).parent / "families" / "configs.json", rows, out)


if __name__ == "__main__":
    main()
