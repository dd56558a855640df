/* The largest |x| of every channel. */
#include "eval/statistics/statistic.h"

#include <math.h>
#include <string.h>

static size_t absmax_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * sizeof(float);
}

static void absmax_observe(const struct bs_observed *of, int window, const float *x, int stride,
                           void *slot, void *result)
{
    (void)window, (void)result;
    float *absmax = slot;
    memset(absmax, 0, absmax_bytes(of));
    for (size_t t = 0; t < of->rows; t++)
        for (int j = 0; j < of->width; j++) {
            float size = fabsf(x[t * (size_t)stride + (size_t)j]);
            absmax[j] = size > absmax[j] ? size : absmax[j];
        }
}

static void absmax_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                         int part, void *result)
{
    (void)part;
    float *to = result;
    for (int k = 0; k < count; k++) {
        const float *absmax = shown[k].slot;
        for (int j = 0; j < of->width; j++)
            to[j] = fmaxf(to[j], absmax[j]);
    }
}

const struct bs_statistic bs_stat_absmax = {
    .plugin = {.name = "absmax", .summary = "the largest |x| of every channel", .reference = ""},
    .bytes = absmax_bytes,
    .slot_bytes = absmax_bytes,
    .observe = absmax_observe,
    .merge = absmax_merge,
};
