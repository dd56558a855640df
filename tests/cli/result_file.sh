#!/bin/bash
# The Python of results/README.md reads a result file as it stands there.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

python=/usr/bin/python3 # Debian's, which has Debian's packages
make_model model
make_texts
config c.yaml <<'EOF'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: 64}
EOF
head -n 8 "$project/datasets/commons/endings.jsonl" >endings.jsonl
sed -i 's|^  layer_error:|  tasks: [{task: endings, items: endings.jsonl}]\n  layer_error:|' c.yaml

# The first Python of the document, then what is asked of what it has read, and the second.
awk -v want=1 '/^```python$/ {n++; inside = n == want; next} /^```/ {inside = 0} inside' "$project/results/README.md" >snippet.py
awk -v want=2 '/^```python$/ {n++; inside = n == want; next} /^```/ {inside = 0} inside' "$project/results/README.md" >lines.py
cat >>snippet.py <<'EOF'

import math
perplexity = values[values.evaluation == "perplexity"]
assert set(values.trial) == set(trials.id)
assert not perplexity.duplicated(["trial", "name"]).any()
import json
listed = json.load(open("table.json"))["trials"]
assert [t["kld_mean"] for t in listed if (t["label"], t["text"]) == (best.label, best.text)] == [best.kld_mean]
assert len(wide) == 10 and (wide.version != "").all() and (wide.revision > 0).all()
unquantized = wide[wide.label == "unquantized"].iloc[0]
assert math.isnan(unquantized.kld_mean) and unquantized.bits_per_weight == 16
assert nll.shape == (best.windows, best.tokens - 1)
assert abs(np.nanmean(nll.astype(float)) - best.nll) < 1e-12
own = values[(values.trial == best.id) & (values.name == "nll")].iloc[0]
assert own.n == best.scored and own.se > 0 and own.df > 0
assert units["kld_mean"] == units["nll"] == "nats" and units["bytes"] == "bytes" and "perplexity" not in units
with h5py.File("results/quickstart.h5") as f:
    assert json.loads(f["trials"].attrs["units"]) == {"seconds_quantize": "s", "seconds_evaluate": "s"}
    of_layers = json.loads(f[f"trial/{best.id}/layers"].attrs["units"])
    assert of_layers["sqnr_db"] == "dB" and of_layers["seconds"] == "s" and "cosine" not in of_layers
    figures = f[f"trial/{best.id}/{best.text}"]
    assert figures["nll"].attrs["units"].decode() == "nats" and "units" not in figures["same_top"].attrs
(told, task), = {k: v for k, v in answers.items() if k[0] == best.label}.items()
assert told[1] == "endings" and len(task) == 4 * task.item.nunique() and (task.log_likelihood < 0).all()
assert len(layers) == 14 and abs(layers.relative_output_error.mean() - best.relative_output_error) < 1e-12
EOF

read_by_pandas() {
    run run --quiet --output results/quickstart.h5 c.yaml
    expect_status 0
    [ "$(wc -l <snippet.py)" -gt 25 ] || problem "expected Python in results/README.md"
    run table --format json results/quickstart.h5
    expect_status 0
    cp .out table.json
    "$program" table results/*.h5 --format csv >all.csv
    "$program" table results/quickstart.h5 --layers --format jsonl >layers.jsonl
    "$program" table results/quickstart.h5 --values --format csv >values.csv
    cat lines.py >>snippet.py
    echo 'assert len(pd.read_csv("values.csv")) == len(values)' >>snippet.py
    [ "$(wc -l <lines.py)" -ge 7 ] || problem "expected lines on tables in results/README.md"
    "$python" snippet.py >/dev/null 2>why || problem "expected Python to read it: $(tail -2 why)"
}
check "pandas reads what results/README.md says" read_by_pandas

finish
