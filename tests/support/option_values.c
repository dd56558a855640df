#include "tests/support/option_values.h"

#include <stdio.h>

bool another_value(const struct bs_option *option, int k, char text[VALUE_TEXT])
{
    static const double shares[] = {0, 1, 0.5, 0.1, 0.01, 0.001};
    if (option->type == BS_BOOL) {
        snprintf(text, VALUE_TEXT, "%s", option->initial != 0 ? "false" : "true");
        return k == 0;
    }
    if (option->type == BS_CHOICE) {
        snprintf(text, VALUE_TEXT, "%s", option->words[k] ? option->words[k] : "");
        return option->words[k] != NULL;
    }
    if (k >= (int)(sizeof shares / sizeof *shares))
        return false;
    double value = option->min + shares[k] * (option->max - option->min);
    snprintf(text, VALUE_TEXT, option->type == BS_INT ? "%.0f" : "%.17g", value);
    return true;
}
