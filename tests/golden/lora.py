#!/usr/bin/env python3
"""A LoRA as PEFT saves it, its base, and what PEFT merges of the two.

    lora.py [--out DIR]

writes DIR/base/ and DIR/merged/ as transformers' save_pretrained does, and DIR/adapter/ as PEFT's.
Its base is called tests/golden/lora/base, as seen from the top of the project. Versions are those of
quantized.py, and peft 0.21.2.
"""
import argparse
import pathlib
import shutil

import peft
import torch

import quantized


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "lora")
    out = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    model = quantized.tiny()
    model.save_pretrained(out / "base")
    model.float()
    config = peft.LoraConfig(r=3, lora_alpha=7, use_rslora=True, target_modules=["q_proj", "up_proj", "down_proj"],
                             modules_to_save=["norm"])
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                p.copy_(torch.randn(p.shape) * 0.1 + (1 if "norm" in name else 0))
    adapted.peft_config["default"].base_model_name_or_path = "tests/golden/lora/base"
    adapted.save_pretrained(out / "adapter")
    adapted.merge_and_unload().save_pretrained(out / "merged")
    for extra in [*out.glob("*/generation_config.json"), *out.glob("*/README.md")]:
        extra.unlink()


if __name__ == "__main__":
    main()
