/* Comparisons that fail on NaN (cmocka's own let it pass). */
#ifndef BS_TESTS_SUPPORT_CLOSE_H
#define BS_TESTS_SUPPORT_CLOSE_H

#include <stdbool.h>

/* |got - want| <= absolute + relative * |want|, and neither is NaN. Prints both where not. */
bool bs_close(double got, double want, double absolute, double relative);

#define assert_close(got, want, absolute, relative)                                                \
    assert_true(bs_close((got), (want), (absolute), (relative)))

#endif
