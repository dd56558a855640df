/* Values that a test tries an option with. */
#ifndef BS_TESTS_SUPPORT_OPTION_VALUES_H
#define BS_TESTS_SUPPORT_OPTION_VALUES_H

#include "eval/base/option.h"

enum { VALUE_TEXT = 64 };

/* The k-th of the values that are tried in an option's place: its words, or its bounds and what
 * lies between them. False where there are no more. */
bool another_value(const struct bs_option *option, int k, char text[VALUE_TEXT]);

#endif
