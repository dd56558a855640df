#!/usr/bin/env python3
"""The embedded items as llama-perplexity scores them, beside what bitsweep stored of them.

    llama_tasks.py PROGRAM LLAMA_PERPLEXITY MODEL FOLDER [--items N]

writes into FOLDER the model in MODEL as a GGUF file of F32, the items in the files that llama-perplexity takes
(--hellaswag, --multiple-choice), and a config that PROGRAM runs over the same items and file. LLAMA_PERPLEXITY is
llama.cpp's tools/perplexity, in which the print of an answer's score that is commented out in multiple_choice_score is let
print "SCORE<tab>context<tab>answer<tab>score", and one like it stands in hellaswag_score. Printed for each kind: how far apart
scores are at most, whether the answers of every item have the same order, and both accuracies with their intervals.
"""
import argparse
import json
import os
import re
import struct
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
commons = os.path.join(here, "..", "..", "datasets", "commons")
FLAGS = ["-ctk", "f32", "-ctv", "f32", "-fa", "off", "-t", "1", "-c", "2048", "-b", "2048", "--no-warmup", "--no-repack", "-lv", "4"]


def load(count):
    with open(os.path.join(commons, "endings.jsonl")) as file:
        rows = [json.loads(line) for line in file][:count]
    for row in rows:
        row["endings"] = [ending.strip() for ending in row["endings"]]
    return rows


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def write_inputs(folder, rows):
    with open(os.path.join(folder, "hellaswag.txt"), "w") as file:
        for row in rows:
            file.write("\n".join([row["context"], str(row["label"]), *row["endings"]]) + "\n")
    tasks = []
    for row in rows:
        answers = struct.pack("<I", len(row["endings"])) + b"".join(text(ending) for ending in row["endings"])
        labels = struct.pack(f"<{len(row['endings'])}i", *[int(k == row["label"]) for k in range(len(row["endings"]))])
        none = struct.pack("<I", 0)
        tasks.append(text(row["context"]) + answers + labels + none)
    at, offsets = 4 + 4 * len(tasks), []
    for task in tasks:
        offsets.append(at)
        at += len(task)
    with open(os.path.join(folder, "choices.bin"), "wb") as file:
        file.write(struct.pack(f"<I{len(tasks)}I", len(tasks), *offsets) + b"".join(tasks))
    with open(os.path.join(folder, "endings.jsonl"), "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(" ".join(command) + "\n" + done.stderr[-2000:])
    return done.stdout + done.stderr


def ours(arguments, gguf, count):
    import h5py

    config, results = os.path.join(arguments.folder, "run.yaml"), os.path.join(arguments.folder, "ours.h5")
    with open(config, "w") as file:
        file.write(f"model: {gguf}\nevaluation:\n  tasks: [{{task: endings, items: endings.jsonl, limit: {count}}}]\n"
                   "  layer_error: {windows: 0}\nsweep: [{algorithm: rtn, weights: {format: q8_0}}]\n")
    if not os.path.exists(results):
        run([arguments.program, "run", "--quiet", "--plots", "none", "--output", results, config])
    with h5py.File(results) as file:
        trial = next(row for row in file["trials"][:] if row["recipe"] == b"unquantized")
        answers = file[f"trial/{trial['id'].decode()}/endings/answers"][:]
        values = {v["name"].decode(): v["value"] for v in file["values"][:] if v["trial"] == trial["id"]}
    scores = {}
    for answer in answers:
        scores.setdefault(int(answer["item"]), []).append(float(answer["suffix"]))
    return scores, values


def theirs(output, rows):
    place = {(row["context"], ending): (i, k) for i, row in enumerate(rows) for k, ending in enumerate(row["endings"])}
    scores = {i: [None] * len(row["endings"]) for i, row in enumerate(rows)}
    for context, answer, score in re.findall(r"SCORE\t(.*)\t(.*)\t(\S+)\n", output):
        i, k = place[context, answer]
        scores[i][k] = float(score)
    return scores


def main():
    parser = argparse.ArgumentParser()
    for name in ("program", "perplexity", "model", "folder"):
        parser.add_argument(name)
    parser.add_argument("--items", type=int, default=300)
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    rows = load(arguments.items)
    write_inputs(arguments.folder, rows)
    gguf = os.path.join(os.path.abspath(arguments.folder), "model.gguf")
    if not os.path.exists(gguf):
        plain = os.path.join(arguments.folder, "plain.yaml")
        with open(plain, "w") as file:
            file.write(f"model: {os.path.abspath(arguments.model)}\nevaluation:\n  perplexity: [{{text: "
                       f"{os.path.join(commons, 'evaluation.txt')}, windows: 1, tokens: 64}}]\n"
                       "sweep: [{algorithm: rtn, weights: none}]\n")
        run([arguments.program, "export", "--quiet", "--as", "gguf", "--set", "plain=f32", plain, gguf])
    scores, values = ours(arguments, gguf, len(rows))
    failed = False
    for kind, flags in (("--hellaswag", ["-f", "hellaswag.txt", "--hellaswag-tasks", str(len(rows))]),
                        ("--multiple-choice", ["-bf", "choices.bin", "--multiple-choice-tasks", "0"])):
        flags[1] = os.path.join(arguments.folder, flags[1])
        output = run([arguments.perplexity, "-m", gguf, kind, *flags, *FLAGS])
        other = theirs(output, rows)
        apart = max(abs(a - b) for i in scores for a, b in zip(scores[i], other[i]))
        order = sum(sorted(range(len(scores[i])), key=lambda k: -scores[i][k]) !=
                    sorted(range(len(other[i])), key=lambda k: -other[i][k]) for i in scores)
        last = [line for line in output.splitlines() if re.match(rf"{len(rows)}\t", line)][-1]
        print(f"{kind}: {len(rows)} items, scores at most {apart:.2e} apart, {order} items in another order; '{last}', here "
              f"acc_suffix {100 * values['acc_suffix']:.8f} [{100 * values['acc_suffix_low']:.4f}, "
              f"{100 * values['acc_suffix_high']:.4f}]")
        failed |= apart > 1e-4 or order > 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
