/* Comparison of what a walk gave two passengers. */
#ifndef BS_TESTS_SUPPORT_PASSENGERS_H
#define BS_TESTS_SUPPORT_PASSENGERS_H

#include "eval/run/walk.h"

/* Fails unless every figure but the seconds is the same bytes. */
void assert_same_passenger(const struct bs_passenger *a, const struct bs_passenger *b,
                           const struct bs_windows *texts, int num_texts);

#endif
