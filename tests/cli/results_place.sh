#!/bin/bash
# Where results go: places that cannot be written, disks that are full, files that are no results.
# Each time a message and exit status 2, and what was there before stays byte for byte.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"
. "$project/tests/cli/support/sweep.bash"
. "$project/tests/cli/support/safetensors.bash" # poke

make_model model
make_texts
config_one one.yaml
sed 's/bits: 4/bits: [4, 3]/' one.yaml >grown.yaml
run run --quiet --output before.h5 one.yaml
check "the run that the others go on from" expect_status 0

# ---- places ----

made() {
    run run --quiet --output deep/er/than/that/one.h5 one.yaml
    expect_status 0
    expect_there deep/er/than/that/one.h5
    [ "$(ls -A deep/er/than/that)" = one.h5 ] || problem "expected the result file alone"
}
check "missing folders are made" made

odd_names() {
    local name
    for name in 'with blanks.h5' 'no_ending' "quo'te.h5" '.hidden' 'percent%s.h5' '-dash.h5'; do
        run run --quiet "--output=$name" one.yaml
        expect_status 0
        expect_there "./$name"
        run table -- "$name"
        expect_status 0
    done
}
check "names with blanks, quotes and signs" odd_names

through_link() {
    mkdir elsewhere
    ln -s elsewhere linked
    run run --quiet --output linked/one.h5 one.yaml
    expect_status 0
    expect_there elsewhere/one.h5
    [ -L linked ] || problem "expected the link to the folder to stay"
}
check "a link to a folder is followed" through_link

# A result path that is a link writes to what it leads to, whether that is there yet or not.
is_link() {
    local name
    ln -s elsewhere/target.h5 link.h5
    ln -s ../link.h5 elsewhere/again.h5
    for name in link.h5 elsewhere/again.h5; do
        run run --quiet --output "$name" one.yaml
        expect_status 0
        [ -L link.h5 ] && [ -L elsewhere/again.h5 ] || problem "expected the links to stay"
        expect_there elsewhere/target.h5
    done
    [ "$(labels elsewhere/target.h5 | wc -l)" = 2 ] || problem "expected one run's trials"
    expect_absent link.h5.lock link.h5.partial elsewhere/target.h5.lock elsewhere/target.h5.partial
    ln -s circle.h5 circle.h5
    run run --quiet --output circle.h5 one.yaml
    expect_refusal '^bitsweep: circle\.h5: Too many levels of symbolic links$'
}
check "a link to a result file" is_link

# Links in the place of the files that a run makes for itself are not followed.
planted_links() {
    local name
    for name in partial lock; do
        echo precious >victim
        ln -s victim planted.h5.$name
        run run --quiet --output planted.h5 one.yaml
        [ "$(cat victim)" = precious ] || problem "expected the file that the link leads to, to stay"
        rm -f planted.h5*
    done
    ln -s not_there planted.h5.lock
    run run --quiet --output planted.h5 one.yaml
    expect_status 2
    expect_absent not_there
    rm -f planted.h5*
}
check "links where a run makes its own files" planted_links

echo 'a file' >file
mkdir folder
refused_place() {
    run run --quiet --output "$2" one.yaml
    expect_refusal "$1"
    [ "$(cat file)" = 'a file' ] || problem "expected the file to stay"
    [ -z "$(ls -A folder)" ] || problem "expected the folder to stay empty"
}
while read -r path message; do
    check "refused: --output $path" refused_place "^bitsweep: $message" "$path"
done <<'EOF'
file/one.h5           .*'file': Not a directory$
file/deeper/one.h5    .*'file': Not a directory$
folder                folder: .*
folder/               folder/: .*
.                     \.: .*
/dev/null             /dev/null: not a regular file$
/proc/one.h5          /proc/: results cannot be written here: .*
/proc/none/one.h5     .*'/proc/none': No such file or directory$
EOF

. "$project/tests/cli/support/space.bash"
read_only_place() {
    mkdir -p still
    cp before.h5 still/one.h5
    if [ "$(id -u)" != 0 ]; then
        chmod 555 still
        run run --quiet --output still/one.h5 grown.yaml
        chmod 755 still
    else
        $own_space bash -c '
            mount --bind still still && mount -o remount,bind,ro still || exit 77
            timeout "$patience" "$program" run --quiet --output still/one.h5 grown.yaml >.out 2>.err'
        status=$?
    fi
    expect_refusal '^bitsweep: still/: results cannot be written here: (Read-only file system|Permission denied)$'
    expect_same_bytes still/one.h5 before.h5
}
if [ "$(id -u)" != 0 ] || [ -n "$own_space" ]; then
    check "a place that can be read only" read_only_place
else
    skip "a place that can be read only" "root, and mounting is not permitted"
fi

# ---- full disks ----

# A disk with $1 free: the run is refused, and goes on once there is room. The space beside the
# results is taken by a file, which goes away in time.
full_disk() {
    rm -rf disk after
    mkdir disk after
    $own_space bash -c '
        mount -t tmpfs -o size=4m tmpfs disk && { [ -z "$1" ] || cp "$1" disk/one.h5; } || exit 77
        cat /dev/zero >disk/ballast 2>/dev/null
        truncate -s "-$0" disk/ballast
        timeout "$patience" "$program" run --quiet --output disk/one.h5 grown.yaml >.out 2>.err
        echo $? >status
        rm disk/ballast
        cp -r disk/. after
        timeout "$patience" "$program" run --quiet --output disk/one.h5 grown.yaml >.out2 2>.err2
        cp disk/one.h5 more.h5' "$1" "$2" || problem "expected a disk with $1 free"
    status=$(cat status)
    expect_refusal '^bitsweep: disk/one\.h5.*: No space left on device$'
    if [ -n "$2" ]; then
        expect_same_bytes after/one.h5 "$2"
        rm after/one.h5
    fi
    [ -z "$(ls -A after)" ] || problem "expected no leftovers on the disk: $(ls -A after | tr '\n' ' ')"
    [ "$(labels more.h5 | tr '\n' ,)" = "unquantized,rtn w4 channel,rtn w3 channel," ] ||
        problem "expected the run to go on once there is room"
}
if [ -n "$own_space" ]; then
    for size in 0 8k 20k 100k 160k; do
        check "a disk with $size free and an earlier file" full_disk $size before.h5
    done
    for size in 0 20k 160k; do check "a disk with $size free" full_disk $size ''; done
else
    skip "a full disk" "mounting is not permitted"
fi

# The same with a limit on the size of files, which needs no privilege. $1 in KiB.
size_limit() {
    cp before.h5 limited.h5
    (
        ulimit -f "$1"
        trap '' XFSZ # a failed write in place of a signal
        exec timeout "$patience" "$program" run --quiet --output limited.h5 grown.yaml
    ) >.out 2>.err
    status=$?
    expect_refusal '^bitsweep: limited\.h5.*: File too large$'
    expect_same_bytes limited.h5 before.h5
    expect_absent limited.h5.partial limited.h5.lock
    # With the signal the run is killed, which the file outlives as well.
    {
        (
            ulimit -f "$1" -c 0
            exec "$program" run --quiet --output limited.h5 grown.yaml >.out 2>.err
        )
        status=$?
    } 2>/dev/null # the shell's word on the signal
    expect_status 153
    expect_same_bytes limited.h5 before.h5
    run run --quiet --output limited.h5 grown.yaml
    expect_status 0
    expect_absent limited.h5.partial limited.h5.lock
}
for size in 4 14 20; do check "files of at most $size KiB" size_limit $size; done

# ---- files that are no results ----

# Every command refuses the file, naming it, and leaves it alone.
no_results() {
    cp "$2" kept
    local words
    for words in "run --output $2 one.yaml" "run --output $2 grown.yaml" "plan --output $2 one.yaml" \
        "table $2" "plot $2" "diff $2 before.h5" "diff before.h5 $2"; do
        run $words
        expect_refusal "^bitsweep: $2: $1"
        expect_same_bytes "$2" kept
    done
    expect_absent "$2.partial" "$2.lock" "${2%.h5}"
}
: >empty.h5
echo 'these are no results' >text.h5
head -c 20000 /dev/zero >zeros.h5
cp one.yaml config.h5
for name in empty text zeros config; do
    check "no result file: $name" no_results 'not a result file' $name.h5
done

size=$(stat -c %s before.h5)
for length in 1 8 9 48 100 1000 $((size / 2)) $((size - 1)); do
    head -c $length before.h5 >cut.h5
    check "a result file cut to $length of $size bytes" no_results '(not a result file|damaged)' cut.h5
done

# A byte that is wrong is noticed wherever it is.
wrong_byte() {
    local old offset=$1
    cp before.h5 wrong.h5
    old=$(od -An -tu1 -j "$offset" -N1 wrong.h5)
    poke wrong.h5 "$offset" "\\x$(printf %x $((old ^ 0x55)))"
    run table --format json wrong.h5
    expect_refusal '^bitsweep: wrong\.h5: .*damaged'
}
wrong_bytes() {
    local i count=${sanitize:+15}
    count=${count:-60}
    for ((i = 0; i < count; i++)); do wrong_byte $((size * i / count)); done
    run diff --format csv before.h5 wrong.h5
    expect_refusal '^bitsweep: wrong\.h5: .*damaged'
}
check "a wrong byte, at many places" wrong_bytes

finish
