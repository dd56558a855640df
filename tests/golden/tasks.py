#!/usr/bin/env python3
"""Log-likelihoods of items as lm-evaluation-harness 0.4.13 scores them (float32, its hf backend), for tests/unit/test_tasks.c,
and their comparison with a result file.

    tasks.py score MODEL OUT.json [--items N] [--shots 0,5] [--bos tokenizer] [--mutual-information]
    tasks.py compare OUT.json RESULTS.h5

Items are the embedded ones of datasets/commons; `cloze` is made of the same endings by this script (cloze.jsonl), and
written into the folder of OUT.json with the config that bitsweep runs over the same.
"""
import argparse
import json
import os
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
commons = os.path.join(here, "..", "..", "datasets", "commons")
KINDS = ("endings", "lastword", "cloze")


def items(kind):
    """The items of a kind, as both programs read them."""
    source = "lastword" if kind == "lastword" else "endings"
    with open(os.path.join(commons, source + ".jsonl")) as file:
        rows = [json.loads(line) for line in file]
    if kind == "lastword":
        return rows
    for row in rows:
        row["endings"] = [ending.strip() for ending in row["endings"]]
    if kind == "endings":
        return rows
    cloze = []
    for number, row in enumerate(rows):
        right, wrong = row["endings"][row["label"]], row["endings"][(row["label"] + 1) % len(row["endings"])]
        options = [right, wrong] if number % 3 else [wrong, right]
        cloze.append({"sentence": row["context"] + " _ That was the end of it, and nobody asked again.",
                      "option1": options[0], "option2": options[1], "answer": "1" if number % 3 else "2"})
    return cloze


TASK = {
    "endings": """
output_type: multiple_choice
doc_to_text: "{{context}}"
doc_to_choice: "{{endings}}"
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_bytes}%s]
""",
    "lastword": """
output_type: loglikelihood
doc_to_text: "{{context}}"
doc_to_target: "{{target}}"
metric_list: [{metric: perplexity, aggregation: perplexity}, {metric: acc}]
""",
    "cloze": """
output_type: multiple_choice
doc_to_text: !function cloze_task.doc_to_text
doc_to_target: !function cloze_task.doc_to_target
doc_to_choice: !function cloze_task.doc_to_choice
metric_list: [{metric: acc}]
""",
}

# Of winogrande's kind: several contexts, one continuation.
CLOZE = """
def doc_to_text(doc):
    return {"1": 0, "2": 1}[doc["answer"]]


def doc_to_target(doc):
    return doc["sentence"].split("_", 1)[1].strip()


def doc_to_choice(doc):
    begin = doc["sentence"].split("_", 1)[0]
    return [begin + doc["option1"], begin + doc["option2"]]
"""


def write_inputs(folder, model, count, shots, bos, mutual):
    with open(os.path.join(folder, "cloze_task.py"), "w") as file:
        file.write(CLOZE)
    entries = []
    for kind in KINDS:
        path = os.path.join(folder, kind + ".jsonl")
        with open(path, "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in items(kind))
        with open(os.path.join(folder, f"bs_{kind}.yaml"), "w") as file:
            text = TASK[kind]
            if kind == "endings":
                text %= ", {metric: acc_mutual_info}" if mutual else ""
            file.write(f"task: bs_{kind}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {path}}}}}\n"
                       f"test_split: test\nfewshot_split: test\n{text}metadata: {{version: 1.0}}\n")
        for n in shots:
            own = "winogrande" if kind == "cloze" else kind
            extra = ", mutual_information: true" if mutual and kind == "endings" else ""
            entries.append(f"    - {{task: {own}, name: {kind}_{n}, items: {path}, shots: {n}, limit: {count}, bos: {bos}{extra}}}")
    with open(os.path.join(folder, "tasks.yaml"), "w") as file:
        file.write(f"model: {os.path.abspath(model)}\nevaluation:\n  tasks:\n" + "\n".join(entries) +
                   "\n  layer_error: {windows: 0}\nsweep:\n  - {algorithm: rtn, weights: {bits: 8, group_size: 128}}\n")


def sharing(model_args):
    """The harness's own hf model, whose forward pass takes what the answers of an item begin with once: their keys and
    values are kept, and logits are those of the last tokens alone, from the end of what is shared on. Tokens, the cut,
    log_softmax and what is summed are the harness's. For batches of 1."""
    import copy

    import torch
    from lm_eval.models.huggingface import HFLM

    class Sharing(HFLM):
        def _loglikelihood_tokens(self, requests, **rest):
            self.shared, self.kept = {}, {}
            rows = [(request[1] + request[2])[-(self.max_length + 1):][:-1] for request in requests]
            for first in range(0, len(rows), self.together):
                group = range(first, min(first + self.together, len(rows)))
                most = min(len(rows[r]) - len(requests[r][2]) for r in group) # all that is scored comes after it
                same = next((k for k in range(most) if any(rows[r][k] != rows[first][k] for r in group)), most)
                for r in group:
                    self.shared[tuple(rows[r])] = same
            return super()._loglikelihood_tokens(requests, **rest)

        def _model_call(self, inps, attn_mask=None, labels=None):
            row = inps[0].tolist()
            same = self.shared[tuple(row)]
            with torch.no_grad():
                if self.together == 1 or same == 0:
                    return self.model(inps, logits_to_keep=len(row) - same).logits
                key = tuple(row[:same])
                if key not in self.kept:
                    self.kept[key] = self.model(inps[:, :same], use_cache=True, logits_to_keep=1).past_key_values
                return self.model(inps[:, same:], past_key_values=copy.deepcopy(self.kept[key]), use_cache=True).logits

    return Sharing(**model_args, device="cpu", batch_size=1)


def score(arguments):
    import lm_eval
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import simple_parse_args_string

    folder = os.path.dirname(os.path.abspath(arguments.out))
    shots = [int(n) for n in arguments.shots.split(",")]
    write_inputs(folder, arguments.model, arguments.items, shots, arguments.bos, arguments.mutual_information)
    sys.path.insert(0, folder)
    model = f"pretrained={os.path.abspath(arguments.model)},dtype=float32"
    if arguments.softmax_dtype:
        model += f",softmax_dtype={arguments.softmax_dtype}"
    if arguments.bos != "tokenizer":
        model += f",add_bos_token={arguments.bos == 'yes'}"
    hf = sharing(simple_parse_args_string(model)) if arguments.share else "hf"
    manager = TaskManager(include_path=folder, include_defaults=False)
    out = {"lm_eval": lm_eval.__version__, "items": arguments.items, "bos": arguments.bos, "tasks": {}}
    for kind in KINDS:
        for n in shots:
            if arguments.share:
                hf.together = {"endings": 4, "lastword": 1, "cloze": 2}[kind]
            start, busy = time.perf_counter(), time.process_time()
            result = lm_eval.simple_evaluate(model=hf, model_args=model, tasks=[f"bs_{kind}"], num_fewshot=n, device="cpu",
                                             batch_size=arguments.batch, limit=arguments.items, task_manager=manager,
                                             log_samples=True, bootstrap_iters=100)
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
            samples = sorted(result["samples"][f"bs_{kind}"], key=lambda sample: sample["doc_id"])
            rows = [[[round(float(answer[0][0]), 6), int(answer[0][1])] for answer in sample["resps"]] for sample in samples]
            metrics = {name.split(",")[0]: value for name, value in result["results"][f"bs_{kind}"].items()
                       if isinstance(value, float)}
            out["tasks"][f"{kind}_{n}"] = {"seconds": round(seconds, 1), "processor_seconds": round(busy, 1), "metrics": metrics, "answers": rows}
            print(kind, n, metrics, f"{seconds:.1f} s, {busy:.1f} s of processor", flush=True)
            with open(arguments.out, "w") as file: # what is done, should it be stopped
                json.dump(out, file)


def compare(arguments):
    import h5py

    with open(arguments.out) as file:
        golden = json.load(file)
    worst = 0
    with h5py.File(arguments.results) as results:
        trials = results["trials"][:]
        values = results["values"][:]
        for row in trials:
            name = row["text"].decode()
            if row["recipe"] != b"unquantized" or name not in golden["tasks"]:
                continue
            want = golden["tasks"][name]
            got = results[f"trial/{row['id'].decode()}/{name}/answers"][:]
            count = {}
            apart = greedy = 0
            for answer in got:
                item, choice = int(answer["item"]), int(answer["choice"])
                pair = want["answers"][item][choice]
                apart = max(apart, abs(answer["log_likelihood"] - pair[0]))
                greedy += bool(answer["greedy"]) != bool(pair[1])
                count[item] = choice + 1
            for answer in got:
                item, choice = int(answer["item"]), int(answer["choice"])
                if len(want["answers"][item]) == 2 * count[item] and count[item] > 1:
                    pair = want["answers"][item][count[item] + choice]
                    apart = max(apart, abs(answer["unconditional"] - pair[0]))
            own = {v["name"].decode(): (v["value"], v["se"]) for v in values if v["trial"] == row["id"]}
            pairs = [(key, own[key][0], want["metrics"][key]) for key in own if key in want["metrics"]]
            pairs += [(key + " se", own[key][1], want["metrics"].get(key + "_stderr")) for key in own if key + "_stderr" in want["metrics"]]
            print(f"{name}: {len(got)} answers, log-likelihoods at most {apart:.2e} apart, {greedy} greedy differ;",
                  ", ".join(f"{key} {a:.6g} ({b:.6g})" for key, a, b in pairs))
            worst = max(worst, apart, greedy)
    print(f"at most {worst:.2e}")
    return worst > 1e-4


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("score")
    one.add_argument("model")
    one.add_argument("out")
    one.add_argument("--items", type=int, default=300)
    one.add_argument("--shots", default="0,5")
    one.add_argument("--bos", default="tokenizer")
    one.add_argument("--batch", default=16, help="or auto")
    one.add_argument("--softmax-dtype", help="of log_softmax in lm-evaluation-harness: float64")
    one.add_argument("--mutual-information", action="store_true")
    one.add_argument("--share", action="store_true", help="the computation of what the answers of an item begin with; not with "
                     "--mutual-information")
    one.set_defaults(run=score)
    two = commands.add_parser("compare")
    two.add_argument("out")
    two.add_argument("results")
    two.set_defaults(run=compare)
    arguments = parser.parse_args()
    sys.exit(arguments.run(arguments))


main()
