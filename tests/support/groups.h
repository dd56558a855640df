/* Groups of values to be rounded, and settings of the integer format to round them by. */
#ifndef BS_TESTS_SUPPORT_GROUPS_H
#define BS_TESTS_SUPPORT_GROUPS_H

#include "tests/support/settings.h"

enum { COUNT = 96 };

/* The setting of a grid by its name. */
const struct bs_setting *grid(const char *name, int bits, bool symmetric);

/* Groups of many shapes: spread, shifted, with an outlier, one-sided, constant, tiny, huge. */
void awkward_group(float *x, int kind, uint64_t seed);

#endif
