#!/usr/bin/env python3
"""bitsweep against transformers on random models of every family: a wider check than the golden
files, too large to keep. It writes nothing into the tree, and the tests do not run it.

    check_families.py [--bitsweep PATH] [--shapes N] [--seed N] [--only WORD ...] [--keep DIR]

For each family it draws N random configurations (sizes, flags, kinds of rotary positions), gives
the model random weights, saves it and a byte-level tokenizer with save_pretrained at its default
settings, and has `bitsweep run` measure the perplexity of a random text. A line a model says how
far that is, relative, from what transformers computes in float32, and how far transformers' own
float32 is from its float64. Run it with transformers 5 and again with 4.57: each saves its form.
It ends with status 1 where a model is refused or further off than 1e-6 and ten times the noise.
"""
import argparse
import contextlib
import copy
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import tokenizers
import torch
import transformers

import families

FIVE = int(transformers.__version__.split(".", 1)[0]) >= 5
TOKENS, WINDOWS = 48, 8
BAR = 1e-6
SLIDING, FULL = "sliding_attention", "full_attention"


def flip(rng):
    return rng.random() < 0.5


def heads(rng):
    """num_attention_heads, num_key_value_heads and an even width of a head."""
    kv = rng.choice([1, 2, 3])
    return kv * rng.choice([1, 2, 3]), kv, 2 * rng.randint(2, 6)


def sizes(rng, layers=(2, 3)):
    """Of the families that have no head_dim: hidden_size is a multiple of the heads."""
    count, kv, width = heads(rng)
    return dict(vocab_size=rng.randint(260, 300), hidden_size=count * width,
                intermediate_size=rng.randint(10, 50), num_hidden_layers=rng.randint(*layers),
                num_attention_heads=count, num_key_value_heads=kv,
                max_position_embeddings=rng.choice([64, 128, 500]),
                tie_word_embeddings=flip(rng), bos_token_id=1, eos_token_id=2, pad_token_id=0)


def sizes_with_head_dim(rng, layers=(2, 3)):
    drawn = sizes(rng, layers)
    return dict(drawn, head_dim=2 * rng.randint(2, 6))


def without_kv(keys):
    keys = dict(keys)
    del keys["num_key_value_heads"]
    return keys


def activation(rng):
    return rng.choice(["silu", "gelu", "gelu_new", "relu", "gelu_pytorch_tanh", "relu2",
                       "quick_gelu", "gelu_fast"])


def rope_kind(rng, rotary_dim, longrope, flat=True):
    """A rope_scaling object, or None. Only a flat one has `truncate`: transformers looks for it at
    the top of rope_parameters, also where these are by layer type."""
    kind = rng.choice([None, "linear", "dynamic", "yarn", "llama3"] + ["longrope"] * longrope)
    factor = round(rng.uniform(1.5, 8), 2)
    if kind in (None, "linear", "dynamic"):
        return kind and {"rope_type": kind, "factor": factor}
    original = rng.choice([16, 32, 48, 64])
    out = {"rope_type": kind, "factor": factor, "original_max_position_embeddings": original}
    if kind == "llama3":
        out.update(low_freq_factor=1.0, high_freq_factor=float(rng.choice([2, 4])))
    if kind == "yarn":
        out.update({k: v for k, v in {"beta_fast": rng.choice([8.0, 32.0]), "beta_slow": 0.5,
                                      "attention_factor": 1.3, **({"truncate": False} if flat else {})
                                      }.items() if flip(rng)})
        if flip(rng):
            out.update(mscale=1.2, mscale_all_dim=0.7)
    if kind == "longrope":
        for name in ("short_factor", "long_factor"):
            out[name] = [round(rng.uniform(1, 9), 2) for _ in range(rotary_dim // 2)]
        if flip(rng):
            out["attention_factor"] = 1.4
    return out


def rope(rng, keys, share=1.0, longrope=True):
    """rope_theta and rope_scaling for a model of these keys."""
    width = keys.get("head_dim") or keys["hidden_size"] // keys["num_attention_heads"]
    out = {"rope_theta": rng.choice([100.0, 10000.0, 500000.0])}
    # dynamic divides by the number of rotated dimensions less two
    scaling = rope_kind(rng, int(width * share), longrope and FIVE)
    if scaling and int(width * share) > 2:
        out["rope_scaling"] = scaling
        if scaling["rope_type"] == "dynamic":
            out["max_position_embeddings"] = rng.choice([24, 48, 64])
    return {**keys, **out}


def layer_types(rng, count):
    return [rng.choice([SLIDING, FULL]) for _ in range(count)]


def windowed(rng, keys):
    return dict(keys, sliding_window=rng.randint(5, 30),
                layer_types=layer_types(rng, keys["num_hidden_layers"]))


# --- families: what a row draws ---

def llama(rng):
    keys = rope(rng, sizes_with_head_dim(rng))
    return dict(keys, attention_bias=flip(rng), mlp_bias=flip(rng), hidden_act=activation(rng),
                rms_norm_eps=rng.choice([1e-6, 1e-3]))


def mistral(rng):
    keys = rope(rng, sizes_with_head_dim(rng))
    return dict(keys, hidden_act=activation(rng), sliding_window=rng.choice([None, 9, 20, 4096]))


def qwen2(rng):
    keys = rope(rng, sizes(rng, (2, 4)))
    if flip(rng):
        keys.update(use_sliding_window=True, sliding_window=rng.randint(5, 30),
                    max_window_layers=rng.randint(0, 3))
    return keys


def qwen3(rng):
    keys = rope(rng, sizes_with_head_dim(rng))
    return dict(keys, attention_bias=flip(rng), use_sliding_window=flip(rng), sliding_window=17,
                max_window_layers=1)


def gemma(rng):
    return dict(rope(rng, sizes_with_head_dim(rng)), attention_bias=flip(rng),
                hidden_act=rng.choice(["gelu_pytorch_tanh", "silu", "relu"]))


def gemma2(rng):
    keys = windowed(rng, rope(rng, sizes_with_head_dim(rng, (2, 4))))
    return dict(keys, query_pre_attn_scalar=rng.randint(3, 20), attention_bias=flip(rng),
                attn_logit_softcapping=rng.choice([None, 5.0, 50.0]),
                final_logit_softcapping=rng.choice([None, 8.0, 30.0]))


def gemma3_text(rng):
    keys = windowed(rng, sizes_with_head_dim(rng, (2, 6)))
    keys.update(query_pre_attn_scalar=rng.randint(3, 20), attention_bias=flip(rng),
                final_logit_softcapping=rng.choice([None, 8.0]))
    if FIVE and flip(rng):
        return dict(keys, rope_parameters={
            kind: {"rope_theta": rng.choice([50.0, 10000.0]), "rope_type": "default",
                   **(rope_kind(rng, keys["head_dim"], False, False) or {})} for kind in (SLIDING, FULL)})
    return dict(keys, rope_theta=5000.0, rope_local_base_freq=70.0,
                rope_scaling=rng.choice([None, {"rope_type": "linear", "factor": 3.0}]))


def seen(rng):
    return dict(hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1,
                image_size=4, patch_size=2)


def gemma3(rng):
    # The class of text and images passes over a cap of the logits, and bitsweep refuses one.
    return dict(text_config=dict(gemma3_text(rng), model_type="gemma3_text",
                                 final_logit_softcapping=None),
                vision_config=dict(seen(rng), model_type="siglip_vision_model"),
                mm_tokens_per_image=4, image_token_index=259, boi_token_index=258,
                eoi_token_index=257)


def mistral3(rng):
    text = dict(mistral(rng), model_type="mistral")
    if FIVE and flip(rng):
        text = dict(ministral3(rng), model_type="ministral3")
    return dict(text_config=text, vision_config=dict(seen(rng), model_type="pixtral", head_dim=4),
                image_token_index=259, spatial_merge_size=1,
                tie_word_embeddings=text["tie_word_embeddings"])


def phi(rng):
    keys = sizes(rng)
    width = keys["hidden_size"] // keys["num_attention_heads"]
    share = 2 * rng.randint(1, width // 2) / width
    keys = rope(rng, keys, share)
    return dict(keys, partial_rotary_factor=share, hidden_act=activation(rng),
                qk_layernorm=flip(rng), tie_word_embeddings=False)


def phi3(rng):
    keys = sizes(rng)
    width = keys["hidden_size"] // keys["num_attention_heads"]
    rotated = 2 * rng.randint(1, width // 2)
    keys.update(rope_theta=rng.choice([100.0, 10000.0]), partial_rotary_factor=rotated / width,
                sliding_window=rng.choice([None, 11, 2048]))
    if flip(rng):
        keys.update(original_max_position_embeddings=rng.choice([32, 48, 64]),
                    max_position_embeddings=256, rope_scaling={
                        "type": "longrope",
                        "short_factor": [round(rng.uniform(1, 3), 2) for _ in range(rotated // 2)],
                        "long_factor": [round(rng.uniform(2, 9), 2) for _ in range(rotated // 2)]})
    return keys


def opt(rng):
    count, _, width = heads(rng)
    before = flip(rng)
    return dict(vocab_size=rng.randint(260, 300), hidden_size=count * width,
                ffn_dim=rng.randint(10, 50), num_hidden_layers=2, num_attention_heads=count,
                max_position_embeddings=rng.randint(48, 70), do_layer_norm_before=before,
                word_embed_proj_dim=rng.choice([count * width, 10]), enable_bias=flip(rng),
                layer_norm_elementwise_affine=not FIVE or flip(rng), _remove_final_layer_norm=flip(rng),
                activation_function=activation(rng), tie_word_embeddings=flip(rng))


def gpt2(rng):
    count, _, width = heads(rng)
    return dict(vocab_size=rng.randint(260, 300), n_embd=count * width, n_head=count, n_layer=3,
                n_inner=rng.choice([None, 22]), n_positions=rng.randint(48, 70), bos_token_id=0,
                eos_token_id=0, scale_attn_weights=flip(rng), tie_word_embeddings=flip(rng),
                scale_attn_by_inverse_layer_idx=flip(rng), activation_function=activation(rng))


def gpt_neox(rng):
    keys = without_kv(sizes(rng))
    width = keys["hidden_size"] // keys["num_attention_heads"]
    share = round(rng.uniform(1.01 / width, 1), 3)
    drawn = rope(rng, keys, share if int(width * share) % 2 == 0 else 0.01)
    return dict(drawn, rotary_emb_base=drawn.pop("rope_theta"), rotary_pct=share,
                attention_bias=flip(rng), use_parallel_residual=flip(rng),
                hidden_act=activation(rng))


def bloom(rng):
    count, _, width = heads(rng)
    return dict(vocab_size=rng.randint(260, 300), hidden_size=count * width, n_head=count,
                n_layer=2, tie_word_embeddings=flip(rng),
                apply_residual_connection_post_layernorm=flip(rng))


def falcon(rng):
    """The blocks of 7b and rw, and what lies between them."""
    keys = without_kv(sizes(rng))
    del keys["intermediate_size"]
    alibi = flip(rng)
    keys = keys if alibi else rope(rng, keys)
    return dict(keys, alibi=alibi, bias=flip(rng), multi_query=flip(rng), parallel_attn=flip(rng),
                activation=activation(rng),
                **({"ffn_hidden_size": 22} if flip(rng) else {}))


def falcon_new(rng):
    """The blocks of 40b and 11b."""
    keys = sizes(rng)
    kv = keys.pop("num_key_value_heads")
    del keys["intermediate_size"]
    alibi = flip(rng)
    keys = keys if alibi else rope(rng, keys)
    return dict(keys, model_type="falcon", new_decoder_architecture=True, num_kv_heads=kv,
                alibi=alibi, bias=flip(rng), num_ln_in_parallel_attn=rng.choice([None, 1, 2]))


def olmo(rng):
    return dict(rope(rng, sizes(rng)), clip_qkv=rng.choice([None, 0.5, 2.0]),
                attention_bias=flip(rng), hidden_act=activation(rng))


def olmo2(rng):
    return dict(rope(rng, sizes(rng)), attention_bias=flip(rng), hidden_act=activation(rng),
                rms_norm_eps=rng.choice([1e-6, 1e-3]))


def olmo3(rng):
    keys = windowed(rng, sizes(rng, (3, 5)))
    width = keys["hidden_size"] // keys["num_attention_heads"]
    if FIVE and flip(rng):
        return dict(keys, rope_parameters={
            kind: {"rope_theta": rng.choice([50.0, 10000.0]), "rope_type": "default",
                   **(rope_kind(rng, width, False, False) or {})} for kind in (SLIDING, FULL)})
    # What is read of rope_theta for windows changed between the versions, so it is the default.
    return dict(rope(rng, keys, longrope=False), rope_theta=500000.0)


def granite(rng):
    return dict(rope(rng, sizes(rng)), attention_bias=flip(rng), mlp_bias=flip(rng),
                embedding_multiplier=rng.choice([1.0, 3.0]), logits_scaling=rng.choice([1.0, 0.6]),
                residual_multiplier=rng.choice([1.0, 0.3]), attention_multiplier=rng.choice(
                    [1.0, 0.2]), hidden_act=activation(rng))


def smollm3(rng):
    keys = rope(rng, sizes(rng, (3, 5)))
    count = keys["num_hidden_layers"]
    keys.update(attention_bias=flip(rng), mlp_bias=flip(rng))
    if flip(rng):
        keys.update(no_rope_layers=[rng.randint(0, 1) for _ in range(count)])
    else:
        keys.update(no_rope_layer_interval=rng.choice([2, 3, 4]))
    if flip(rng):
        keys.update(use_sliding_window=True, sliding_window=13)
    return keys


def stablelm(rng):
    keys = sizes(rng)
    width = keys["hidden_size"] // keys["num_attention_heads"]
    share = 2 * rng.randint(1, width // 2) / width
    return dict(rope(rng, keys, share), partial_rotary_factor=share, use_qkv_bias=flip(rng),
                qk_layernorm=FIVE and flip(rng), use_parallel_residual=flip(rng),
                hidden_act=activation(rng))


def cohere(rng):
    return dict(rope(rng, sizes(rng)), logit_scale=rng.choice([0.0625, 0.5, 1.0]),
                use_qk_norm=flip(rng), attention_bias=flip(rng))


def cohere2(rng):
    keys = windowed(rng, rope(rng, sizes_with_head_dim(rng, (3, 5))))
    return dict(keys, logit_scale=rng.choice([0.0625, 0.5]), attention_bias=flip(rng))


def starcoder2(rng):
    return dict(rope(rng, sizes(rng)), use_bias=flip(rng), sliding_window=rng.choice([None, 14]),
                hidden_act=activation(rng))


def glm(rng):
    keys = sizes_with_head_dim(rng)
    share = 2 * rng.randint(1, keys["head_dim"] // 2) / keys["head_dim"]
    return dict(rope(rng, keys, share), partial_rotary_factor=share, attention_bias=flip(rng))


def ministral(rng):
    return windowed(rng, rope(rng, sizes_with_head_dim(rng, (2, 4))))


def ministral3(rng):
    keys = sizes_with_head_dim(rng)
    original = rng.choice([8, 16, 64])
    return dict(keys, sliding_window=rng.choice([None, 15]), rope_parameters={
        "rope_type": "yarn", "type": "yarn", "rope_theta": rng.choice([100.0, 1e6]),
        "factor": 4.0, "original_max_position_embeddings": original, "beta_fast": 32.0,
        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": rng.choice([0.5, 1.0]),
        "max_position_embeddings": keys["max_position_embeddings"],
        "llama_4_scaling_beta": rng.choice([0.1, 0.7])})


def nemotron(rng):
    keys = sizes_with_head_dim(rng)
    share = 2 * rng.randint(1, keys["head_dim"] // 2) / keys["head_dim"]
    return dict(rope(rng, keys, share), partial_rotary_factor=share, attention_bias=flip(rng),
                mlp_bias=flip(rng))


def exaone4(rng):
    keys = rope(rng, sizes(rng, (3, 5)))
    if flip(rng):
        return dict(keys, sliding_window=None, sliding_window_pattern=None,
                    layer_types=[FULL] * keys["num_hidden_layers"])
    return dict(windowed(rng, keys), sliding_window_pattern=4)


def seed_oss(rng):
    return dict(rope(rng, sizes_with_head_dim(rng)), attention_bias=flip(rng),
                attention_out_bias=flip(rng), mlp_bias=flip(rng))


def gptj(rng):
    count, _, width = heads(rng)
    return dict(vocab_size=rng.randint(260, 300), n_embd=count * width, n_head=count, n_layer=2,
                n_inner=rng.choice([None, 22]), n_positions=rng.randint(48, 70),
                rotary_dim=2 * rng.randint(1, width // 2), bos_token_id=0, eos_token_id=0,
                activation_function=activation(rng), tie_word_embeddings=False)


def mpt(rng):
    count, _, width = heads(rng)
    return dict(vocab_size=rng.randint(260, 300), d_model=count * width, n_heads=count,
                n_layers=2, max_seq_len=64, attn_config={
                    "clip_qkv": rng.choice([None, 0.8]), "softmax_scale": rng.choice([None, 0.5])})


DRAWN = {f.__name__: f for f in (
    llama, mistral, qwen2, qwen3, gemma, gemma2, gemma3_text, gemma3, mistral3, phi, phi3, opt,
    gpt2, gpt_neox, bloom, falcon, falcon_new, olmo, olmo2, olmo3, granite, smollm3, stablelm,
    cohere, cohere2, starcoder2, glm, ministral, nemotron, exaone4, seed_oss, gptj, mpt)}
DRAWN["glm4"] = glm
if FIVE:
    DRAWN["ministral3"] = ministral3


# --- one model ---

def byte_tokenizer():
    """A token a byte, and nothing merged."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    model = tokenizers.models.BPE({letter: i for i, letter in enumerate(alphabet)}, [])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def randomize(model, rng, dtype):
    generator = torch.Generator().manual_seed(rng.randint(0, 2 ** 31))
    scale = rng.choice([0.15, 0.25, 0.4])
    middle = families.neutral_weight(model)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name or ".ln_" in name:
            value = (0 if name.endswith("bias") else middle) + 0.3 * noise
        else:
            value = scale * noise
        parameter.data = value.to(dtype).float()


def reference(model, ids):
    return math.exp(families.mean_nll(families.logits_of(model, ids), ids))


def measured(bitsweep, folder):
    """The perplexity of the unquantized model, or what bitsweep says instead."""
    (folder / "run.yaml").write_text(
        f"model: {folder / 'model'}\n"
        f"evaluation: {{perplexity: [{{text: {folder / 'text.txt'}, tokens: {TOKENS}}}]}}\n"
        "sweep: [{algorithm: rtn, weights: {bits: 8}}]\n")
    run = subprocess.run([bitsweep, "run", "--quiet", "run.yaml"], cwd=folder, text=True,
                         capture_output=True, check=False)
    if run.returncode:
        return (run.stderr or run.stdout).strip().replace(str(folder), "")
    table = subprocess.run([bitsweep, "table", "results/run.h5", "--format", "json"], cwd=folder,
                           text=True, capture_output=True, check=True)
    return json.loads(table.stdout)["trials"][0]["perplexity"]


def configured(keys):
    """Without a kind of rotary positions that this version does not take for the family."""
    try:
        return families.configured(keys)
    except (ValueError, KeyError):
        if FIVE or "rope_scaling" not in keys:
            raise
        keys = {k: v for k, v in keys.items() if k != "rope_scaling"}
        return families.configured(dict(keys, max_position_embeddings=64))


def draw(name, seed, folder):
    """Saves a model and a text; returns what transformers makes of them, and its noise."""
    rng = random.Random(f"{name} {seed}")
    keys = {"model_type": name, **DRAWN[name](rng)}
    dtype = rng.choice([torch.bfloat16, torch.float16, torch.float32])
    text = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ,.\n") for _ in range(TOKENS * WINDOWS))
    (folder / "text.txt").write_text(text)
    model = families.build(configured(keys))
    randomize(model, rng, dtype)
    tokenizer = byte_tokenizer()
    copy.deepcopy(model).to(dtype).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    model = families.load(folder / "model")
    ids = torch.tensor(tokenizer(text)["input_ids"]).view(WINDOWS, TOKENS)
    single = reference(model, ids)
    try:
        return single, reference(copy.deepcopy(model).double(), ids)
    except RuntimeError:  # MPT's mask of 4.57 is of no float64
        return single, single


def check(name, seed, bitsweep, folder):
    single, double = draw(name, seed, folder)
    got = measured(bitsweep, folder)
    if isinstance(got, str):
        print(f"{name:12} {seed:3}  REFUSED  {got}", flush=True)
        return False
    off, noise = got / single - 1, single / double - 1
    good = abs(off) < max(BAR, 10 * abs(noise))
    print(f"{name:12} {seed:3}  perplexity {single:11.3f}  off {off:+.1e}  own noise {noise:+.1e}"
          + ("" if good else "  OUTSIDE"), flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--bitsweep", default="build/release/bitsweep")
    parser.add_argument("--shapes", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(DRAWN))
    parser.add_argument("--keep", type=pathlib.Path, help="where the models stay")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    bitsweep = os.path.abspath(args.bitsweep)
    wrong = 0
    for name in args.only:
        for seed in range(args.seed, args.seed + args.shapes):
            with contextlib.ExitStack() as stack:
                folder = (args.keep / f"{name}-{seed}" if args.keep else
                          pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())))
                folder.mkdir(parents=True, exist_ok=True)
                wrong += not check(name, seed, bitsweep, folder)
    print(f"transformers {transformers.__version__}: {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
