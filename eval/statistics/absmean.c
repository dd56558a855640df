/* The mean |x| of every channel: the mean of the windows' means, each of a double sum. */
#include "eval/statistics/statistic.h"

#include <math.h>
#include <string.h>

static size_t absmean_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * sizeof(float);
}

static size_t absmean_slot_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * sizeof(double);
}

/* slot [width] = the sum of |x| over the window. */
static void absmean_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)window, (void)result;
    double *sum = slot;
    memset(sum, 0, absmean_slot_bytes(of));
    for (int t = 0; t < of->tokens; t++)
        for (int j = 0; j < of->width; j++)
            sum[j] += fabs((double)x[(size_t)t * (size_t)stride + (size_t)j]);
}

static void absmean_merge(const struct bs_observed *of, const void *const *slots, int count,
                          int part, void *result)
{
    (void)part;
    float *to = result;
    for (int k = 0; k < count; k++) {
        const double *sum = slots[k];
        for (int j = 0; j < of->width; j++)
            to[j] += (float)(sum[j] / of->tokens);
    }
}

static void absmean_finish(const struct bs_observed *of, int part, void *result)
{
    (void)part;
    float *mean = result;
    for (int j = 0; j < of->width; j++)
        mean[j] /= (float)of->windows;
}

const struct bs_statistic bs_stat_absmean = {
    .plugin = {.name = "absmean", .summary = "the mean |x| of every channel", .reference = ""},
    .bytes = absmean_bytes,
    .slot_bytes = absmean_slot_bytes,
    .observe = absmean_observe,
    .merge = absmean_merge,
    .finish = absmean_finish,
};
