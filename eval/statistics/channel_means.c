/* Means over the tokens of every channel: of each window a double sum, over the tokens that a
 * window has, added up; that over how many windows' length of rows there were. */
#include "eval/statistics/statistic.h"

#include <math.h>
#include <string.h>

static size_t mean_bytes(const struct bs_observed *of) { return (size_t)of->width * sizeof(float); }

static size_t sum_bytes(const struct bs_observed *of) { return (size_t)of->width * sizeof(double); }

/* slot [width] = the sum of |x| over the window. */
static void absmean_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)window, (void)result;
    double *sum = slot;
    memset(sum, 0, sum_bytes(of));
    for (size_t t = 0; t < of->rows; t++)
        for (int j = 0; j < of->width; j++)
            sum[j] += fabs((double)x[t * (size_t)stride + (size_t)j]);
}

/* slot [width] = the sum of x^2 over the window. */
static void meansquare_observe(const struct bs_observed *of, int window, const float *x, int stride,
                               void *slot, void *result)
{
    (void)window, (void)result;
    double *sum = slot;
    memset(sum, 0, sum_bytes(of));
    for (size_t t = 0; t < of->rows; t++)
        for (int j = 0; j < of->width; j++) {
            double value = (double)x[t * (size_t)stride + (size_t)j];
            sum[j] += value * value;
        }
}

static void merge(const struct bs_observed *of, const struct bs_shown *shown, int count, int part,
                  void *result)
{
    (void)part;
    float *to = result;
    for (int k = 0; k < count; k++) {
        const double *sum = shown[k].slot;
        for (int j = 0; j < of->width; j++)
            to[j] += (float)(sum[j] / of->tokens);
    }
}

static void finish(const struct bs_observed *of, int part, void *result)
{
    (void)part;
    float *mean = result;
    for (int j = 0; j < of->width; j++)
        mean[j] /= (float)bs_observed_windows(of);
}

const struct bs_statistic bs_stat_absmean = {
    .plugin = {.name = "absmean", .summary = "the mean |x| of every channel", .reference = ""},
    .bytes = mean_bytes,
    .slot_bytes = sum_bytes,
    .observe = absmean_observe,
    .merge = merge,
    .finish = finish,
};

/* What llama.cpp's importance matrix holds of a weight's inputs. */
const struct bs_statistic bs_stat_meansquare = {
    .plugin = {.name = "meansquare",
               .summary = "the mean x^2 of every channel",
               .reference = "llama.cpp tools/imatrix"},
    .bytes = mean_bytes,
    .slot_bytes = sum_bytes,
    .observe = meansquare_observe,
    .merge = merge,
    .finish = finish,
};
