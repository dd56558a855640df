/* All of x. */
#include "eval/statistics/statistic.h"

#include <string.h>

static void inputs_observe(const struct bs_observed *of, int window, const float *x, int stride,
                           void *slot, void *result)
{
    (void)slot;
    size_t width = (size_t)of->width, tokens = (size_t)of->tokens;
    float *to = (float *)result + (size_t)window * tokens * width;
    for (size_t t = 0; t < of->rows; t++)
        memcpy(to + t * width, x + t * (size_t)stride, width * sizeof *x);
}

const struct bs_statistic bs_stat_inputs = {
    .plugin = {.name = "inputs", .summary = "all of x, kept", .reference = ""},
    .in_stream = true,
    .observe = inputs_observe,
};
