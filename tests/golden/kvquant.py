"""kvquant.json: mean losses of the embedded model when its keys and values are KVQuant's, by the authors' simulation:
uniform levels, keys before their positions by channel in calibrated ranges, values by token, outliers kept.

    python3 tests/golden/kvquant.py --kvquant <checkout>/quant/kvquant --model datasets/tiny \\
                                    --calibration datasets/commons/calibration.txt \\
                                    --evaluation datasets/commons/evaluation.txt --out tests/golden/kvquant.json

`SimQuant` and `make_quant_sim` are called in the order of llama_simquant.py. Everything is in float32: what they round to
half precision stays as it is. Every 97th value of the first layer's keys, quantized and at their positions, in the first
window is there too. scikit-learn, which uniform levels do not need, is supplied empty.
"""
import argparse
import json
import sys
import types

import torch
import transformers
from transformers.models.llama import modeling_llama

TOKENS, CALIBRATION, WINDOWS, STEP = 256, 16, 8, 97
ROWS = [(2, 0, -1, False), (3, 0, -1, False), (4, 0, -1, False), (2, 0.01, -1, False), (3, 0.01, -1, False),
        (4, 0.01, -1, False), (3, 0.01, 4, False), (3, 0.1, -1, False), (3, 0.01, -1, True)]
apply_rotary = modeling_llama.apply_rotary_pos_emb


def load_authors(folder):
    for name in "sklearn", "sklearn.cluster":
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["sklearn.cluster"].KMeans = None
    sys.path.insert(0, folder)
    torch.Tensor.cuda = lambda self, *_args: self
    torch.Tensor.half = torch.Tensor.float
    import simquant_module_quantizer
    for name in "sklearn", "sklearn.cluster":
        del sys.modules[name]  # transformers asks for it too
    return simquant_module_quantizer


def windows(tokenizer, path, count):
    with open(path, encoding="utf-8") as file:
        ids = tokenizer(file.read(), return_tensors="pt").input_ids[0]
    return ids[:count * TOKENS].view(count, TOKENS)


@torch.no_grad()
def calibrate(kv, model, batches, bits, keep):
    layers = {f"model.layers.{i}.self_attn.{name}": getattr(layer.self_attn, name)
              for i, layer in enumerate(model.model.layers) for name in ("k_proj", "v_proj")}
    quantizers = {name: kv.SimQuant(linear, bits, perchannel=True, qchannel=0 if "k_proj" in name else -1)
                  for name, linear in layers.items()}
    hooks = [linear.register_forward_hook(lambda _, inp, out, q=quantizers[name]: q.add_batch(inp[0].data, out.data))
             for name, linear in layers.items()]
    for batch in batches:
        model(batch[None])
    for hook in hooks:
        hook.remove()
    return {name: q.quantize(include_sparse=keep > 0, sparsity_threshold=1 - keep) for name, q in quantizers.items()}


@torch.no_grad()
def row(kv, args, batches, texts, bits, keep, first, clamp):
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                          attn_implementation="eager").eval()
    quantizers = calibrate(kv, model, batches, bits, keep)
    for part, perchannel in ("k_proj", True), ("v_proj", False):
        kv.make_quant_sim(model, {n: q for n, q in quantizers.items() if part in n}, bits, perchannel=perchannel,
                          include_sparse=keep > 0, sparsity_threshold=1 - keep, dynamicquantization=not perchannel,
                          first_few_fp16=first, clamp=clamp)
    made = []

    def rotate(*parts):
        query, key = apply_rotary(*parts)
        made.append(key[0].transpose(0, 1).flatten()[::STEP])
        return query, key

    modeling_llama.apply_rotary_pos_emb = rotate
    scores = torch.cat([model(text[None]).logits[:, :-1] for text in texts]).double()
    modeling_llama.apply_rotary_pos_emb = apply_rotary
    loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), texts[:, 1:].flatten())
    settings = f"bits={bits} grid=kvquant keep={keep} zero_point={'integer' if clamp else 'float'} first={max(first, 0)} "
    return {"keys": settings + "sharing=static_channel pre_rope=true", "values": settings + "sharing=token",
            "mean_nll": loss.item(), "rotated_keys": " ".join(f"{float(v):.9g}" for v in made[0])}


def main():
    parser = argparse.ArgumentParser()
    for name in "kvquant", "model", "calibration", "evaluation", "out":
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    kv = load_authors(args.kvquant)
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    batches = windows(tokenizer, args.calibration, CALIBRATION)
    texts = windows(tokenizer, args.evaluation, WINDOWS)
    made = []
    for settings in ROWS:
        made.append(row(kv, args, batches, texts, *settings))
        print(made[-1]["keys"], made[-1]["mean_nll"], flush=True)
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)


if __name__ == "__main__":
    main()
