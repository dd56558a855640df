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

# The first Python of the document, then what is asked of what it has read.
sed -n '/^```python$/,/^```$/p' "$project/results/README.md" | sed '/^```/d' >snippet.py
cat >>snippet.py <<'EOF'

import math
perplexity = values[values.evaluation == "perplexity"]
assert set(values.trial) == set(trials.id)
assert not perplexity.duplicated(["trial", "name"]).any()
import json
listed = json.load(open("table.json"))["trials"]
assert [t["kld_mean"] for t in listed if t["label"] == best.label] == [best.kld_mean]
assert len(wide) == 5 and (wide.version != "").all() and (wide.revision > 0).all()
unquantized = wide[wide.label == "unquantized"].iloc[0]
assert math.isnan(unquantized.kld_mean) and unquantized.bits_per_weight == 16
assert nll.shape == (best.windows, best.tokens - 1)
assert abs(np.nanmean(nll.astype(float)) - best.nll) < 1e-12
own = values[(values.trial == best.id) & (values.name == "nll")].iloc[0]
assert own.n == best.scored and own.se > 0 and own.df > 0
with h5py.File("results/quickstart.h5") as f:
    layers = table(f[f"trial/{best.id}/layers"][:])
assert len(layers) == 14 and abs(layers.relative_output_error.mean() - best.relative_output_error) < 1e-12
EOF

read_by_pandas() {
    run run --quiet --output results/quickstart.h5 c.yaml
    expect_status 0
    [ "$(wc -l <snippet.py)" -gt 25 ] || problem "expected Python in results/README.md"
    run table --format json results/quickstart.h5
    expect_status 0
    cp .out table.json
    "$python" snippet.py >/dev/null 2>why || problem "expected Python to read it: $(tail -2 why)"
}
check "pandas reads what results/README.md says" read_by_pandas

finish
