#!/bin/bash
# Weights that are written to, cut short, replaced or removed under a run: it ends with a message that
# names the file, and nothing that may be of other weights is stored.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"

make_texts
config one.yaml 24 <<'EOF'
sweep:
  - algorithm: rtn
    weights: {bits: [3, 4], group_size: 64}
  - algorithm: awq
    scale_grid: 4
    clip_grid: 4
    weights: {bits: [3, 4], group_size: 64}
EOF
sed 's/bits: \[3, 4\]/bits: [3, 4, 5]/' one.yaml >more.yaml
make_model model
run run --quiet --output before.h5 one.yaml
check "the run before" expect_status 0

weights=model/model.safetensors
in_place() { dd if=/dev/zero of=$weights bs=1 seek=2000000 count=4000 conv=notrunc status=none; }
truncated() { truncate -s 500000 $weights; }
replaced() {
    cp $weights other
    mv other $weights
}
removed() { rm $weights; }
touched() { touch $weights; }

# When: before the first block, and at two places that leave the most of the run still to come.
moments=('trials to run' '[1-9][0-9]? %' '(3[3-9]|[4-6][0-9]) %')

# $1 what is done to the file, $2 what is said
changed() {
    local pid moment
    for moment in "${moments[@]}"; do
        rm -rf model kept.h5*
        make_model model
        cp before.h5 kept.h5
        # The job truncates the file when it begins, maybe after the first look for the moment.
        : >.err
        "$program" run --checkpoint 0 --output kept.h5 more.yaml >.out 2>.err </dev/null &
        pid=$!
        while kill -0 $pid 2>/dev/null && ! grep -qE "$moment" .err; do sleep 0.01; done
        "$1"
        status=0
        wait $pid || status=$?
        expect_status 2
        expect_no_out
        expect_err "^bitsweep: model/model\.safetensors: $2"
        expect_same_bytes kept.h5 before.h5
    done
}
check "written to" changed in_place 'written to since it was opened$'
check "cut short" changed truncated '(written to since it was opened|cut short while it was read, or its disk fails; nothing of this was stored)$'
check "replaced" changed replaced 'replaced by another file since it was opened$'
check "removed" changed removed 'gone since it was opened: No such file or directory$'
check "a new date" changed touched 'written to since it was opened$'

finish
