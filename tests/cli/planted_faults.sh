#!/bin/bash
# The conformance tests find what is planted: each program here is one of them with a faulty plug-in in
# its registry (tests/faults), and must fail by the test that is named beside it.
. "$(dirname "${BASH_SOURCE[0]}")/support/check.bash"

found() {
    local fault=$1 finder=$2
    (cd "$project" && BITSWEEP_ONLY="*$finder*" "$(dirname "$program")/faults/$fault") >out 2>&1 &&
        problem "expected $fault to be found"
    grep -qa "^\[  FAILED  \] .*$finder" out || problem "expected it to be found by $finder"
}

check "one scale of a tensor, row by row" found row_scale every_error_shrinks_with_more_bits
check "bits that are not followed" found four_bits every_weight_is_finite_and_on_its_grid
check "an option that is not followed" found deaf every_option_has_an_effect
check "a function that is changed" found bend prepared_alone_every_family_has_no_error
check "bits that its file has not" found short_bits bits_are_those_of_a_file_that_comes_back
finish
