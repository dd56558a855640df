"""cache.json: mean losses of the embedded model when its cache of keys and values is transformers' QuantizedCache or
KIVI's, token by token.

    python3 tests/golden/cache.py --kivi <checkout>/quant --model datasets/tiny \\
                                  --evaluation datasets/commons/evaluation.txt --out tests/golden/cache.json

A window begins with a prefill of as many tokens as wait in the cache (which their code attends to unquantized), then
goes on token by token. Codes are made by the authors' functions; what a CPU lacks, their packed products, is the
product with what these decode to. Everything in float32.
"""
import argparse
import json
import sys
import types

import torch
import torch._dynamo  # before the modules that are supplied empty
import transformers
from transformers.cache_utils import DynamicLayer, QuantizedLayer

TOKENS = 256


def load_kivi(folder):
    for name in "triton", "triton.language":
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["triton"].jit = lambda f: f
    sys.modules["triton"].language = sys.modules["triton.language"]
    sys.modules["triton.language"].constexpr = int
    sys.path.insert(0, folder)


class MinMaxLayer(QuantizedLayer):
    """transformers' own cache, with the asymmetric rounding of KIVI's code as its backend."""

    def _quantize(self, tensor, axis):
        import new_pack
        return new_pack.quant_and_pack_vcache(tensor.clone(), self.q_group_size, self.nbits)

    def _dequantize(self, q_tensor):
        import new_pack
        return new_pack.unpack_and_dequant_vcache(*q_tensor, self.q_group_size, self.nbits)


class KiviLayer(DynamicLayer):
    """The cache of LlamaAttention_KIVI.forward (models/llama_kivi.py)."""

    def __init__(self, bits, group, residual):
        super().__init__()
        self.bits, self.group, self.residual = bits, group, residual
        self.stored_keys = self.stored_values = None
        self.length = 0

    def store_keys(self, keys):
        import new_pack
        made = new_pack.unpack_and_dequant_kcache(*new_pack.quant_and_pack_kcache(keys.clone(), self.group, self.bits),
                                                  self.group, self.bits)
        self.stored_keys = made if self.stored_keys is None else torch.cat([self.stored_keys, made], dim=2)

    def store_values(self, values):
        import new_pack
        made = new_pack.unpack_and_dequant_vcache(
            *new_pack.quant_and_pack_vcache(values.contiguous().clone(), self.group, self.bits), self.group, self.bits)
        self.stored_values = made if self.stored_values is None else torch.cat([self.stored_values, made], dim=2)

    def update(self, key_states, value_states, cache_kwargs=None):
        self.length += key_states.shape[2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            waiting = key_states.shape[2] % self.residual
            whole = key_states.shape[2] - waiting
            if whole:
                self.store_keys(key_states[:, :, :whole].contiguous())
            self.keys = key_states[:, :, whole:]
            if value_states.shape[2] > self.residual:
                self.store_values(value_states[:, :, :-self.residual])
            self.values = value_states[:, :, -self.residual:]
            return key_states, value_states
        self.keys = torch.cat([self.keys, key_states], dim=2)
        self.values = torch.cat([self.values, value_states], dim=2)
        keys = self.keys if self.stored_keys is None else torch.cat([self.stored_keys, self.keys], dim=2)
        values = self.values if self.stored_values is None else torch.cat([self.stored_values, self.values], dim=2)
        if self.keys.shape[2] == self.residual:
            self.store_keys(self.keys)
            self.keys = self.keys[:, :, :0]
        if self.values.shape[2] > self.residual:
            self.store_values(self.values[:, :, :1])
            self.values = self.values[:, :, 1:]
        return keys, values

    def get_seq_length(self):
        return self.length


@torch.no_grad()
def losses(model, window, make_layer, prefill):
    cache = transformers.DynamicCache()
    cache.layers = [make_layer() for _ in range(model.config.num_hidden_layers)]
    cache.layer_class_to_replicate = None
    logits = [model(window[None, :prefill], past_key_values=cache, use_cache=True).logits[0]]
    for t in range(prefill, len(window)):
        logits.append(model(window[None, t:t + 1], past_key_values=cache, use_cache=True,
                            cache_position=torch.tensor([t])).logits[0])
    scores = torch.cat(logits).double()
    return torch.nn.functional.cross_entropy(scores[:-1], window[1:], reduction="mean").item()


def main():
    parser = argparse.ArgumentParser()
    for name in "kivi", "model", "evaluation", "out":
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    load_kivi(args.kivi)
    torch.set_num_threads(1)
    model = transformers.LlamaForCausalLM.from_pretrained(args.model, dtype=torch.float32,
                                                          attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model)
    with open(args.evaluation, encoding="utf-8") as file:
        ids = tokenizer(file.read(), return_tensors="pt").input_ids[0]
    window = ids[:TOKENS]
    rows = [("", "", DynamicLayer, 200)]
    for bits, residual in (2, 32), (4, 64):
        settings = f"bits={bits} grid=kivi scales=float32 group_size=32 when=store residual={residual}"
        rows.append((settings + " sharing=channel leave=together", settings,
                     lambda b=bits, r=residual: KiviLayer(b, 32, r), residual))
    for bits in 2, 4:
        settings = f"bits={bits} grid=kivi scales=float32 group_size=16 when=store residual=32 leave=together"
        rows.append((settings, settings,
                     lambda b=bits: MinMaxLayer(nbits=b, q_group_size=16, residual_length=32), 32))
    made = []
    for keys, values, make, prefill in rows:
        made.append({"keys": keys, "values": values, "mean_nll": losses(model, window, make, prefill)})
        print(made[-1], flush=True)
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(made, file, indent=1)


if __name__ == "__main__":
    main()
