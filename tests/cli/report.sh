#!/bin/bash
# A result file as a page: whole, alone, the same numbers as the table, and no text of a file becomes markup.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash"
. "$project/tests/cli/support/space.bash"

make_model model
make_texts
config sweep.yaml 2 32 <<'EOS'
sweep:
  - algorithm: [rtn, gptq]
    weights: {bits: [3, 4], group_size: [channel, 64]}
charts: [layer_error]
EOS
"$program" run --quiet --output sweep.h5 sweep.yaml >/dev/null 2>&1

expect_page() {
    local problems
    problems=$(python3 "$project/tests/cli/support/page.py" "$1" "$project/plots/report.js" 2>&1)
    [ -z "$problems" ] || problem "$1: $problems"
}
expect_sections() {
    local found
    found=$(python3 "$project/tests/cli/support/page.py" --sections "$1" | paste -sd' ' -)
    [ "$found" = "$2" ] || problem "$1: expected the sections $2, found $found"
}
expect_text() { grep -qF -e "$2" "$1" || problem "$1: expected $2"; }

whole() {
    run report sweep.h5
    expect_status 0
    expect_no_out
    expect_err '^sweep\.html$'
    expect_page sweep.html
    expect_sections sweep.html 'run warnings trials charts front leaders layers config'
    [ "$(grep -c '<figure class="map">' sweep.html)" = 8 ] || problem "expected a map of each recipe"
    [ "$(grep -c '<figure class="chart"' sweep.html)" -ge 3 ] || problem "expected charts"
    expect_text sweep.html 'group_size: [channel, 64]'
}
check "a page is whole and stands alone" whole

# A chart is there once, in colours that are of the templates, light or dark: each is a variable of its style.
adapts() {
    local problems
    problems=$(python3 - sweep.html "$project/plots/style.gp" <<'EOS'
import re, sys
page, style = (open(name, encoding="utf-8").read() for name in sys.argv[1:])
charts = re.findall('<figure class="chart".*?</figure>', page, flags=re.S)
names = [re.search('aria-label="(.*?)"', chart)[1] for chart in charts]
if len(set(names)) != len(names):
    print("a chart is there twice:", names)
light, dark = {}, {}
for of_light, of_dark in re.findall(r"<style>:root{(.*?)}@media screen and \(prefers-color-scheme:dark\){:root{(.*?)}}</style>", page):
    light |= dict(re.findall("(--c[0-9]+):(#[0-9a-f]{6});", of_light))
    dark |= dict(re.findall("(--c[0-9]+):(#[0-9a-f]{6});", of_dark))
for chart in charts:
    for name in re.findall(r"var\((.*?)\)", chart):
        if name not in light or name not in dark:
            print(name, "is no variable")
pairs = {(light[name], dark[name]) for name in light}
for ink in ("INK", "PAPER", "GRID"):
    of_dark, of_light = re.search(ink + " = DARK [?] '(.*?)' : '(.*?)'", style).groups()
    if (of_light, of_dark) not in pairs:
        print(ink, "is not among the colours")
EOS
)
    [ -z "$problems" ] || problem "$problems"
}
check "a chart is there once, for light and dark screens" adapts

# A template whose dark picture is another one: the light one is drawn on any screen.
other_picture() {
    cp -r "$project/plots" other
    sed -i 's/^set border linestyle 102/if (DARK) { set border 0 } else { set border linestyle 102 }/' other/style.gp
    run report sweep.h5 -o other.html --plots other
    expect_status 0
    expect_page other.html
    grep -q '<figure class="chart"' other.html || problem "expected charts"
    ! grep -q 'var(--c[0-9]' other.html || problem "expected no colour of another picture"
}
check "a dark picture that is another one is left out" other_picture

# What stands on the page is what the tables print.
numbers() {
    local part
    for part in 'table sweep.h5' 'choose sweep.h5'; do
        run $part --format html
        expect_status 0
        python3 - .out sweep.html <<'EOS' || problem "the page has other numbers than bitsweep $part"
import sys
part, page = (open(name, encoding="utf-8").read() for name in sys.argv[1:])
rows = [line for line in part.splitlines() if line.startswith("<tr")]
sys.exit(not (len(rows) >= 8 and all(row in page for row in rows)))
EOS
    done
    run report sweep.h5 -o again.html
    sed 's/again/sweep/' again.html | cmp -s - sweep.html || problem "the same file gave another page"
    [ ! -e sweep.html.partial ] || problem "something was left over"
}
check "its numbers are the tables', and the same at every time" numbers

chosen() {
    run report sweep.h5 -o three.html --where 'bits = 3' --sort perplexity --top 2 --columns perplexity,bits
    expect_status 0
    expect_page three.html
    expect_text three.html "chosen by --where &#39;bits = 3&#39; --sort &#39;perplexity&#39; --top 2"
    expect_text three.html '2 of 9, 0 failed'
    run report sweep.h5 -o none.html --where 'bits = 7'
    expect_status 2
    expect_err 'sweep.h5: none of 9 trials fits'
    expect_absent none.html none.html.partial
    run report sweep.h5 -o none.html --where 'bitz = 7'
    expect_status 2
    expect_err "bitz.*did you mean 'bits'"
    run report sweep.h5 -o none.html --where 'algorithm = unquantized'
    expect_status 0
    expect_page none.html
    expect_sections none.html 'run warnings trials config'
}
check "trials are chosen as for a table" chosen

several() {
    sed 's/bits: \[3, 4\]/bits: [3, 5]/' sweep.yaml >more.yaml
    run run --quiet --output more.h5 more.yaml
    run report sweep.h5 more.h5 -o both.html
    expect_status 0
    expect_page both.html
    expect_text both.html '13 of 13, 0 failed'
    expect_text both.html 'bits: [3, 4]'
    expect_text both.html 'bits: [3, 5]'
}
check "several files are one page" several

# Without the charts, whose lines are at most so many.
plain_bytes() { python3 - "$1" <<'EOS'
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
print(len(re.sub('<section id="charts">.*?</section>', "", page, flags=re.S).encode()))
EOS
}
size() {
    local all few
    run report sweep.h5 -o few.html --where 'label = "rtn w3 channel"'
    expect_status 0
    all=$(plain_bytes sweep.html)
    few=$(plain_bytes few.html)
    [ $((few + 200 * (all - few) / 7)) -lt 1000000 ] || problem "$few bytes of one trial, $all of eight"
}
check "200 trials stay below 2 MB" size

# ---- texts of a file that would be markup ----

hostile='m<img src=x onerror=alert(1)>&"'"'"
hostile() {
    make_model "$hostile"
    cat >hostile.yaml <<EOS
# </code></pre><script>alert(3)</script> &amp; ]]> <!--
model: "m<img src=x onerror=alert(1)>&\"'"
calibration: {text: calibration.txt, windows: 2, tokens: 64}
evaluation:
  perplexity:
    - {text: evaluation.txt, windows: 2, tokens: 32, name: '<script>alert(2)<script>&lt;'}
sweep:
  - {algorithm: rtn, weights: {bits: 3}}
EOS
    run run --quiet --output '<b>.h5' hostile.yaml
    expect_status 0
    run report '<b>.h5' -o hostile.html
    expect_status 0
    expect_page hostile.html
    expect_text hostile.html 'm&lt;img src=x onerror=alert(1)&gt;&amp;&quot;&#39;'
    expect_text hostile.html '# &lt;/code&gt;&lt;/pre&gt;&lt;script&gt;alert(3)&lt;/script&gt; &amp;amp; ]]&gt; &lt;!--'
    expect_text hostile.html '&lt;script&gt;alert(2)&lt;script&gt;&amp;lt;'
    expect_text hostile.html '&lt;b&gt;.h5'
}
check "names that would be markup are text" hostile

# ---- what to know ----

# As in exit_status.sh: a grid from the least to the largest weight has an infinite step.
failed_trial() {
    local weights=extreme/model.safetensors
    make_model extreme
    poke $weights "$(tensor_begin $weights model.layers.0.input_layernorm.weight)" '\0\0\0\0'
    poke $weights "$(tensor_begin $weights model.layers.0.self_attn.q_proj.weight)" '\x62\x7f\x62\xff'
    config extreme.yaml 1 16 <<'EOS'
sweep:
  - algorithm: rtn
    weights: {bits: 4, group_size: channel, grid: [gptq, smoothquant]}
EOS
    sed -i 's/^model: .*/model: extreme/' extreme.yaml
    run run --quiet --output extreme.h5 extreme.yaml
    run report extreme.h5
    expect_status 0
    expect_page extreme.html
    expect_sections extreme.html 'run warnings trials charts front layers config'
    grep -q '<li>failed: extreme, rtn w4 channel.*block 0: .*not finite' extreme.html ||
        problem "expected the failed trial and why"
    expect_text extreme.html 'evaluation has 1 window: fewer than 6 never show a difference'
}
check "a page tells what failed" failed_trial

# A format in which next to nothing is lost: the maps of the others keep their steps of colour.
lossless() {
    config lossless.yaml 2 32 <<'EOS'
sweep:
  - {algorithm: rtn, weights: {format: fp16}}
  - {algorithm: rtn, weights: {bits: [3, 8], group_size: channel}}
EOS
    run run --quiet --output lossless.h5 lossless.yaml
    run report lossless.h5
    expect_status 0
    expect_page lossless.html
    expect_text lossless.html 'no lower than a thousandth of its upper end'
    python3 - lossless.html <<'EOS' || problem "the scale of colours is of no use"
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
maps = dict(re.findall('<figcaption>(.*?)</figcaption>(.*?)</figure>', page.split('id="layers"')[1], flags=re.S))
low, high = map(float, re.search('class="scale">≤ ([^ ]*) <svg.*</svg> ([^<]*)</p>', page).groups())
steps = {name: {int(step) for step in re.findall('class="m([0-9]+)"', drawn)} for name, drawn in maps.items()}
sys.exit(not (abs(high / low - 1000) < 50 and steps["rtn fp16"] == {0} and len(steps["rtn w3 channel"]) > 1 and
              0 < max(steps["rtn w8 channel"]) < min(steps["rtn w3 channel"])))
EOS
}
check "what loses nothing takes no colours from the others" lossless

# ---- what cannot be written ----

refused() {
    cp sweep.html before.html
    run report sweep.h5 -o nowhere.html --plots nowhere
    expect_refusal 'nowhere/'
    run report missing.h5
    expect_refusal "missing\.h5"
    run report sweep.h5 -o sweep.h5/page.html
    expect_refusal 'sweep\.h5'
    local name
    for name in sweep.h5 sweep.yaml; do
        cp $name before
        run report sweep.h5 -o $name
        expect_refusal "$name: is there already and no page"
        expect_same_bytes $name before
    done
    mkfifo pipe
    run report sweep.h5 -o pipe
    expect_refusal "'pipe': not a regular file"
    mkdir bin
    status=0
    PATH=$PWD/bin "$program" report sweep.h5 >.out 2>.err </dev/null || status=$?
    expect_refusal 'gnuplot cannot be run.*is it installed'
    expect_same_bytes sweep.html before.html
    expect_absent nowhere.html sweep.html.partial
}
check "what cannot be written leaves what was there" refused

finish
