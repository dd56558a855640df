#!/usr/bin/env python3
"""Writes tests/golden/checkpoints: small checkpoints of every kind that PyTorch and safetensors write,
and expected.json, what is in them. Ran with torch 2.15.0 and safetensors 0.8.0; the files depend on
nothing but this script and their versions, except that of before_1.6, which holds addresses.

  python3 tests/golden/checkpoints.py

In expected.json, a case is a folder. `tensors` gives shape and values of what can be read, in row-major
order; `other` names the rest; `error` is part of the message where the case cannot be opened.
`same_as` names a case with the same tensors, so the same digest.
"""

import io
import json
import os
import shutil
import sys
import zipfile

import torch
from safetensors.torch import save_file

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoints")
READABLE = {torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}

expected = {}


def values(count, dtype, seed):
    """`count` numbers with many bits set, as they are in `dtype`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator).mul(3).to(dtype)


def case(name, tensors=None, other=(), **more):
    """Starts a case; returns a function that makes a path in its folder."""
    folder = os.path.join(FOLDER, name)
    os.makedirs(folder)
    readable = {}
    for key, tensor in (tensors or {}).items():
        assert tensor.dtype in READABLE
        flat = tensor.detach().to(torch.float32).reshape(-1).tolist()
        readable[key] = {"shape": list(tensor.shape), "values": flat}
    found = {"tensors": readable, "other": sorted(other)}
    if "same_as" in more:
        assert found["tensors"] == expected[more["same_as"]]["tensors"]
        del found["tensors"]
    expected[name] = more if "error" in more else {**found, **more}
    return lambda file: os.path.join(folder, file)


def index(path, weight_map):
    with open(path, "w") as file:
        json.dump({"metadata": {}, "weight_map": weight_map}, file)


def dtypes():
    """Every element type, in both formats and in shards of both."""
    readable = {
        "f32": values(6, torch.float32, 0).reshape(2, 3),
        "f16": values(5, torch.float16, 1),
        "bf16": values(4, torch.bfloat16, 2).reshape(2, 1, 2),
        "e4m3": values(8, torch.float8_e4m3fn, 3).reshape(4, 2),
        "e5m2": values(8, torch.float8_e5m2, 4),
        "scalar": torch.tensor(-0.0),
        "empty": torch.zeros(3, 0, dtype=torch.float16),
        "f64": torch.ones(2, dtype=torch.float64),
    }
    others = {
        "i64": torch.arange(3),
        "u16": torch.ones(2, dtype=torch.uint16),
        "u8": torch.ones(2, dtype=torch.uint8),
        "mask": torch.ones(1, 1, 2, 2, dtype=torch.bool),
        "c64": torch.ones(2, dtype=torch.complex64),
        "deep": torch.ones(1, 1, 1, 1, 2),
    }
    state = {**readable, **others}
    at = case("dtypes", readable, others)
    torch.save(state, at("pytorch_model.bin"))
    at = case("dtypes_safetensors", readable, others, same_as="dtypes")
    save_file(state, at("model.safetensors"))

    keys = sorted(state)
    halves = [keys[::2], keys[1::2]]
    at = case("sharded", readable, others, same_as="dtypes")
    files = [f"pytorch_model-0000{i + 1}-of-00002.bin" for i in range(2)]
    for file, half in zip(files, halves):
        torch.save({key: state[key] for key in half}, at(file))
    index(at("pytorch_model.bin.index.json"),
          {key: file for file, half in zip(files, halves) for key in half})
    # A mixture is odd, but an index can name it.
    at = case("sharded_both", readable, others, same_as="dtypes")
    torch.save({key: state[key] for key in halves[0]}, at("one.pt"))
    save_file({key: state[key] for key in halves[1]}, at("two.safetensors"))
    index(at("model.safetensors.index.json"),
          {**{key: "one.pt" for key in halves[0]}, **{key: "two.safetensors" for key in halves[1]}})


def views():
    """Tensors that share storages, or stand in another order than row-major."""
    base = values(24, torch.float32, 5)
    half = values(12, torch.float16, 6).reshape(3, 4)
    small = values(12, torch.float8_e4m3fn, 7).reshape(3, 4)
    readable = {
        "whole": base.reshape(4, 6),
        "slice": base.reshape(4, 6)[1:3],
        "offset": base[7:11],
        "transposed": base.reshape(4, 6).t(),
        "columns": base.reshape(4, 6)[:, 1::2],
        "permuted": base.reshape(2, 3, 4).permute(2, 0, 1),
        "permuted4": base.reshape(2, 3, 2, 2).permute(3, 1, 0, 2),
        "half": half.t(),
        "small": small.t(),
        "unit": base.reshape(4, 6)[:, 2:3].t(),  # one row, elements apart
        "overlapping": base[:10].as_strided((3, 4), (2, 1)),
        "tied": base.reshape(4, 6),
    }
    at = case("views", readable, ["expanded"])
    torch.save({**readable, "expanded": base[:2].expand(13, 2)}, at("pytorch_model.bin"))
    contiguous = {key: tensor.contiguous().clone() for key, tensor in readable.items()}
    at = case("views_safetensors", contiguous, same_as="views")
    save_file(contiguous, at("model.safetensors"))


def nested():
    """State dicts inside of others, each protocol, parameters, and entries that are no tensors."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(values(parameter.numel(), torch.float32, 8 + i).reshape(parameter.shape))
    state = module.state_dict()  # an OrderedDict with attributes
    at = case("protocol2", state)
    torch.save(state, at("pytorch_model.bin"))
    at = case("parameters", state, same_as="protocol2")
    torch.save(dict(module.named_parameters()), at("pytorch_model.bin"))
    momentum = {0: {"momentum_buffer": module[0].weight.detach()}}
    optimizer = {"state": momentum, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    for protocol, key in ((3, "model"), (4, "state_dict"), (5, "anything")):
        around = {"epoch": 3, key: state, "best": None, "loss": 0.25, "big": 1 << 70, "minus": -5,
                  "wide": 1 << 40, "log": [1, 2, [3]], "args": ("x", True, b"y"),
                  "bytes": bytearray(b"z") if protocol == 5 else b"z",
                  "dtype": torch.float16, "optimizer": optimizer}
        at = case(f"protocol{protocol}", state)
        torch.save(around, at("pytorch_model.bin"), pickle_protocol=protocol)
    at = case("pt", state)
    torch.save(state, at("consolidated.pt"))

    two = {"model": state, "average": state.copy()}
    at = case("two_dicts", error="tensors stand in 'average' and elsewhere")
    torch.save(two, at("pytorch_model.bin"))
    at = case("no_tensors", error="holds no tensors")
    torch.save({"a": {"b": {"c": torch.ones(1)}}, "d": 1}, at("pytorch_model.bin"))
    at = case("no_dict", error="is no dict")
    torch.save([torch.ones(1)], at("pytorch_model.bin"))


class Call:
    def __reduce__(self):
        return os.mkdir, ("executed-by-a-pickle",)


def refused():
    state = {"a": torch.ones(2)}
    at = case("before_1.6", error="PyTorch's format before 1.6")
    torch.save(state, at("pytorch_model.bin"), _use_new_zipfile_serialization=False)
    at = case("call", error="asks for 'posix.mkdir'")
    torch.save({**state, "b": Call()}, at("pytorch_model.bin"))

    buffer = io.BytesIO()
    torch.save(state, buffer)
    at = case("compressed", error="it is compressed")
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(at("pytorch_model.bin"), "w") as new:
        for info in old.infolist():
            stamped = zipfile.ZipInfo(info.filename)
            new.writestr(stamped, old.read(info), zipfile.ZIP_DEFLATED)
    # Packed anew without compression, by Python's zip and with another folder: read as it was.
    at = case("packed", state)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(at("pytorch_model.bin"), "w") as new:
        for info in old.infolist():
            name = "other/" + info.filename.split("/", 1)[1]
            new.writestr(zipfile.ZipInfo(name), old.read(info))
        new.comment = b"packed by hand"
    at = case("big_endian", error="byteorder is not 'little'")
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(at("pytorch_model.bin"), "w") as new:
        for info in old.infolist():
            data = b"big" if info.filename.endswith("byteorder") else old.read(info)
            new.writestr(zipfile.ZipInfo(info.filename), data)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    dtypes()
    views()
    nested()
    refused()
    with open(os.path.join(FOLDER, "expected.json"), "w") as file:
        lines = (f"{json.dumps(name)}: {json.dumps(what)}" for name, what in expected.items())
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    total = sum(os.path.getsize(os.path.join(folder, file))
                for folder, _, files in os.walk(FOLDER) for file in files)
    print(f"{len(expected)} cases, {total} bytes, torch {torch.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
