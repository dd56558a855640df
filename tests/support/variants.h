/* Comparison of what a walk gave two variants. */
#ifndef BS_TESTS_SUPPORT_VARIANTS_H
#define BS_TESTS_SUPPORT_VARIANTS_H

#include "eval/run/walk.h"

/* Fails unless every figure but the seconds is the same bytes. */
void assert_same_variant(const struct bs_variant *a, const struct bs_variant *b,
                         const struct bs_windows *texts, int num_texts);

#endif
