#!/usr/bin/env python3
"""Small Parquet files as pyarrow writes them, and their rows as JSON, for tests/unit/test_parquet.c: parquet.py FOLDER"""
import json
import os
import random
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 45
r = random.Random(5)
words = ["a", "bé", "long enough to be a text of its own", "", "日本", "quote \" and \\", "tab\tline\n"]


def some(make):
    """Now and then there is nothing."""
    return None if r.random() < 0.15 else make()


rows = [{
    "ind": i,
    "small": r.randrange(-5, 5),
    "flag": some(lambda: r.random() < 0.5),
    "text": some(lambda: r.choice(words)),
    "unique": f"row {i} " + "x" * (i % 7),
    "real": some(lambda: r.randrange(100) / 4),
    "endings": some(lambda: [some(lambda: r.choice(words)) for _ in range(r.randrange(5))]),
    "choices": some(lambda: {"text": [r.choice(words) for _ in range(r.randrange(4))], "label": some(lambda: ["A", "B"])}),
    "pairs": some(lambda: [{"text": r.choice(words), "label": some(lambda: r.randrange(9))} for _ in range(r.randrange(3))]),
} for i in range(ROWS)]
schema = pa.schema([("ind", pa.int32()), ("small", pa.int64()), ("flag", pa.bool_()), ("text", pa.string()),
                    ("unique", pa.string()), ("real", pa.float64()), ("endings", pa.list_(pa.string())),
                    ("choices", pa.struct([("text", pa.list_(pa.string())), ("label", pa.list_(pa.string()))])),
                    ("pairs", pa.list_(pa.struct([("text", pa.string()), ("label", pa.int64())])))])
table = pa.Table.from_pylist(rows, schema=schema)
folder = sys.argv[1]
for name, options in {
    "snappy": {"compression": "snappy"},
    "zstd": {"compression": "zstd", "data_page_version": "2.0", "row_group_size": 20},
    "gzip": {"compression": "gzip", "use_dictionary": False, "data_page_size": 64, "write_batch_size": 8},
    "none": {"compression": "none", "data_page_version": "2.0", "use_dictionary": False},
}.items():
    pq.write_table(table, f"{folder}/{name}.parquet", store_schema=False, write_statistics=False, **options)
with open(f"{folder}/rows.json", "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")

# Embedded items in the form that HellaSwag has on the hub.
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "datasets", "commons", "endings.jsonl")) as file:
    items = [json.loads(line) for line in file][:12]
table = pa.table({"ind": pa.array(range(len(items)), pa.int32()), "activity_label": ["Story"] * len(items),
                  "ctx_a": [item["context"] for item in items], "ctx_b": [""] * len(items),
                  "endings": [[ending.strip() for ending in item["endings"]] for item in items],
                  "label": [str(item["label"]) for item in items]})
pq.write_table(table, f"{folder}/hellaswag.parquet", store_schema=False, write_statistics=False)

# Columns that no template can use, of each kind, beside one that it can; and one without any value.
table = pa.table({"image": pa.array([{"bytes": b"\xff\xd8", "path": "a.jpg"}] * 3),
                  "text": ["a", "b", "c"],
                  "when": pa.array([0, 1, 2], pa.timestamp("ns")),
                  "hash": pa.array([b"1234"] * 3, pa.binary(4)),
                  "cells": [[[1, 2], [3]]] * 3,
                  "shots": [[{"pixels": b"\xfe", "label": k}] for k in range(3)],
                  "nothing": pa.array([None] * 3, pa.string())})
pq.write_table(table, f"{folder}/other.parquet", store_schema=False, write_statistics=False, compression="snappy",
               use_dictionary=["text"], data_page_version="2.0", use_deprecated_int96_timestamps=True)


# Files that say of themselves what no writer does, byte by byte (thrift's compact protocol).
def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def number(step, n, type=5):
    """A field `step` after the last: of 32 bits, by type 6 of 64."""
    return bytes([step << 4 | type]) + varint(2 * n)


def name(step, text):
    return bytes([step << 4 | 8]) + varint(len(text)) + text


def structs(step, items):
    return bytes([step << 4 | 9, len(items) << 4 | 12]) + b"".join(items)


def crafted(path, root_kind=0, rows=1, group_rows=1, values=1, empty=False):
    """One row {"g": [{"a": "x", "b": "x"}]}, or what is said to be one; `empty`: lists without elements."""
    page = b"".join(struct.pack("<I", 2) + bytes([2, level]) for level in (0, 1)) + struct.pack("<I", 1) + b"x"
    page = (number(1, 0) + number(1, len(page)) + number(1, len(page)) + b"\x2c" + number(1, values) + number(1, 0)
            + number(1, 3) + number(1, 3) + b"\0\0" + page)
    codec = 1 if empty else 0
    if empty:  # the newer kind: four bytes of levels, and not even an empty pack of values
        page = (number(1, 3) + number(1, 4) + number(1, 4) + b"\x5c" + number(1, values) + number(1, values)
                + number(1, rows) + number(1, 0) + number(1, 2) + number(1, 2) + b"\0\0" + bytes([2, 0, 2, 0]))
    nodes = [name(4, b"root") + number(1, 1) + number(1, root_kind) + b"\0",
             number(3, 2) + name(1, b"g") + number(1, 2) + b"\0"]
    nodes += [number(1, 6) + number(2, 0) + name(1, leaf) + b"\0" for leaf in (b"a", b"b")]
    chunks = [b"\x3c" + number(1, 6) + number(3, codec) + number(1, values, 6) + number(2, len(page), 6)
              + number(2, 4 + k * len(page), 6) + b"\0\0" for k in range(2)]
    footer = (number(1, 1) + structs(1, nodes) + number(1, rows, 6)
              + structs(1, [structs(1, chunks) + number(2, group_rows, 6) + b"\0"]) + b"\0")
    with open(f"{folder}/{path}.parquet", "wb") as file:
        file.write(b"PAR1" + 2 * page + footer + struct.pack("<I", len(footer)) + b"PAR1")


crafted("list_root", root_kind=3)
crafted("fewer_rows", rows=2)
crafted("many_rows", rows=1 << 24, group_rows=1 << 24, values=1 << 24)
crafted("many_values", values=1 << 30)
crafted("no_values", empty=True)
