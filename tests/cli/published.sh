#!/bin/bash
# `expected:` in a config: published figures beside the measured ones, in every style of the table.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_model model
make_texts
config plain.yaml <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4], group_size: channel}
EOF
{
    cat plain.yaml
    cat <<'EOF'
expected:
  - source: "A paper, table 3"
    text: evaluation
    values:
      model: {unquantized: 10.00, rtn w4 channel: 1.2e1}
EOF
} >expected.yaml

without() {
    run run --quiet --output r.h5 plain.yaml
    expect_status 0
    ! grep -q published .out || problem "expected no columns without figures"
    run table --format csv r.h5
    ! grep -q published .out || problem "expected no fields without figures"
}
check "without figures" without

# The sweep is finished: what is new are the figures.
added() {
    run run --quiet --output r.h5 expected.yaml
    expect_status 0
    expect_out ' measured   published  difference '
    expect_out '^unquantized .* 10\.00 +\+[0-9]+\.[0-9]{2} +\+[0-9]+\.[0-9]{2} '
    expect_out '^rtn w4 channel .* 1\.2e1 +\+[0-9]+ +\+[0-9]+\.[0-9]{2} '
    expect_out '^published: A paper, table 3$'
    run table r.h5
    expect_no_err
    expect_out '^published: A paper, table 3$'
}
check "figures of a finished sweep are shown when it is run again" added

styles() {
    run table --format markdown r.h5
    expect_out '^\| unquantized \| 16\.00 \| [0-9.]+ ± [0-9.]+ \| 10\.00 \| \+'
    expect_out '^- published: A paper, table 3$'
    run table --format latex r.h5
    expect_out '& 1\.2e1 & \+[0-9]+ & \+[0-9.]+ &'
    run table --format csv r.h5
    expect_out ',perplexity_published,perplexity_published_difference,perplexity_published_difference_percent,perplexity_published_source'
    expect_out ',10\.00,[0-9.]+,[0-9.]+,"A paper, table 3"'
    expect_out ',,,,,'
    run table --format json r.h5
    expect_out '"perplexity_published": 10\.0'
    expect_out '"perplexity_published_source": "A paper, table 3"'
    expect_out '"perplexity_published": null'
}
check "in every style" styles

arithmetic() {
    "$program" table --format json r.h5 |
        sed -n 's/^ *"\(perplexity\|perplexity_published\|perplexity_published_difference\|perplexity_published_difference_percent\)": \([^,]*\).*/\2/p' |
        paste -d, - - - - | grep -v null >figures
    [ "$(wc -l <figures)" = 2 ] || problem "expected two published figures"
    awk -F, '{ d = $1 - $2 - $3; p = 100 * $3 / $2 - $4
               if (d * d > 1e-18 || p * p > 1e-18) exit 1 }' figures ||
        problem "expected measured - published: $(tr '\n' ' ' <figures)"
}
check "the difference is measured minus published" arithmetic

gone() {
    run run --quiet --output r.h5 plain.yaml
    expect_status 0
    ! grep -q published .out || problem "expected no columns"
}
check "and go when the config no longer has them" gone

# Another value, in its own unit; the table shows it as its column does.
other_value() {
    cat >>other.yaml <<'EOF'
  - source: "A paper, table 4"
    text: evaluation
    figure: kld_mean
    values:
      model: {rtn w4 channel: 0.0123, rtn w3 channel: 1e-2}
EOF
    run run --quiet --output r.h5 other.yaml
    expect_status 0
    run table --format markdown r.h5
    expect_out '\| KL mean 10⁻³ nats measured \| KL mean 10⁻³ nats published \| difference \| difference % \|'
    expect_out '^\| rtn w4 channel .* \| 12\.3 \\\[2\\\] \| -?\+?[0-9.]+ \|'
    expect_out '^\| rtn w3 channel .* \| 10 \\\[2\\\] \| '
    run table r.h5
    run table --format csv r.h5
    expect_out ',kld_mean_published,kld_mean_published_difference,'
    sed 's/figure: kld_mean/figure: kld_maen/' other.yaml >wrong.yaml
    run plan --quiet wrong.yaml
    expect_refusal "^wrong.yaml:[0-9]+:13: error: figure is 'kld_maen', expected .*\\(did you mean 'kld_mean'\\?\\)"
}
cp expected.yaml other.yaml
check "a value other than the perplexity" other_value

wrong_name() {
    sed 's/rtn w4 channel:/rtn w4 chanel:/' expected.yaml >wrong.yaml
    run plan wrong.yaml
    expect_refusal "^wrong.yaml:[0-9]+:35: error: 'rtn w4 chanel' is no recipe of 'model', .*\(did you mean 'rtn w4 channel'\?\)"
}
check "a label that is none is refused" wrong_name

finish
