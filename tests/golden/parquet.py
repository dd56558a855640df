#!/usr/bin/env python3
"""Small Parquet files as pyarrow writes them, and their rows as JSON, for tests/unit/test_parquet.c: parquet.py FOLDER"""
import json
import os
import random
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
