#!/bin/bash
# The README's tables are what the program says of itself, and its files are there.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

readme=$project/README.md

described() {
    run describe --markdown
    expect_status 0
    sed -n '/^<!-- describe -->$/,/^<!-- end of describe -->$/p' "$readme" | sed '1d;$d' >wanted
    [ -s wanted ] || problem "no section between the describe marks"
    diff wanted .out >differences || problem "README and describe differ: $(head -n 5 differences)"
}
check "the tables of options are those of describe --markdown" described

links() {
    local link
    for link in $(grep -o '](\([^)#]*\))' "$readme" | sed 's/^](//; s/)$//' | grep -v '^http'); do
        [ -e "$project/$link" ] || problem "README links to '$link', which is not there"
    done
}
check "every file it links to is there" links

example() {
    sed -n '/^```yaml$/,/^```$/p' "$readme" | sed '1d;$d' >example.yaml
    ln -s "$project/datasets" datasets
    run plan example.yaml
    expect_status 0
    expect_out 'gptq w3 g128 act_order'
}
check "its example config is a valid sweep" example

finish
