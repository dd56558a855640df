# What the scripts of tests/cli share: a folder of their own, the program, and checks that tell what
# was expected and what was found.
#
#   check NAME FUNCTION [ARGUMENTS]   one test: the function's expect_... calls decide
#   run ARGUMENTS                     the program, to its end: $status, .out and .err
#   finish                            last line of a script
set -u
export LC_ALL=C
# As in a user's shell: the program itself chooses how its threads wait.
unset OMP_WAIT_POLICY GOMP_SPINCOUNT COLUMNS TERM NO_COLOR
# A sanitizer's report is no "a trial failed" (1).
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99:print_stacktrace=1

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
program=$(readlink -f "${BITSWEEP:-$project/build/release/bitsweep}")
sanitize=${SANITIZE:-}
[ -x "$program" ] || { echo "no program '$program': build first, or set BITSWEEP" >&2; exit 1; }

work=$(mktemp -d)
checks=0 failed=0 problems=()
clean_up() {
    # Only what this script started is ended, and only its own folder goes.
    local child
    for child in $(jobs -p); do kill -9 "$child"; done 2>/dev/null
    cd / && rm -rf "$work"
}
trap clean_up EXIT
cd "$work" || exit 1

# The longest a single run may take before it counts as hanging.
patience=${sanitize:+600}
patience=${patience:-120}

run() {
    status=0
    timeout -k 5 "$patience" "$program" "$@" >.out 2>.err </dev/null || status=$?
}

problem() { problems+=("$*"); }

expect_status() {
    [ "$status" = "$1" ] || problem "expected exit status $1, found $status"
}

# An extended regular expression in what the last run wrote.
expect_out() { grep -qE -e "$1" .out || problem "expected on stdout: $1"; }
expect_err() { grep -qE -e "$1" .err || problem "expected on stderr: $1"; }

expect_no_out() { [ ! -s .out ] || problem "expected nothing on stdout"; }
expect_no_err() { [ ! -s .err ] || problem "expected nothing on stderr"; }
expect_err_lines() {
    local lines
    lines=$(wc -l <.err)
    [ "$lines" = "$1" ] || problem "expected $1 lines on stderr, found $lines"
}

# A run that is refused: 2, a message of one line, nothing else.
expect_refusal() {
    expect_status 2
    expect_no_out
    expect_err_lines 1
    expect_err "$1"
}

expect_there() {
    local path
    for path; do [ -s "$path" ] || problem "expected a file with something in it: $path"; done
}
expect_absent() {
    local path
    for path; do [ ! -e "$path" ] && [ ! -L "$path" ] || problem "expected no $path"; done
}
expect_same_bytes() {
    cmp -s "$1" "$2" || problem "expected the same bytes: $1 and $2"
}

show() {
    [ ! -s "$1" ] || { echo "    --- $2"; head -n 20 "$1" | cut -c 1-200 | sed 's/^/    /'; }
}

check() {
    local name=$1 text
    shift
    problems=()
    : >.out
    : >.err
    "$@"
    checks=$((checks + 1))
    if [ ${#problems[@]} = 0 ]; then
        echo "[       OK ] $name"
        return
    fi
    failed=$((failed + 1))
    echo "[  FAILED  ] $name"
    for text in "${problems[@]}"; do echo "    $text"; done
    show .out stdout
    show .err stderr
}

skip() { echo "[  SKIPPED ] $1: $2"; }

finish() {
    echo "$checks checks, $failed failed"
    [ "$checks" -gt 0 ] && [ "$failed" = 0 ]
    exit
}
