/* How heavy the tails of a site's values are: E x^4 / (E x^2)^2, 3 of a normal distribution. */
#include "eval/statistics/statistic.h"

extern const struct bs_statistic bs_stat_kurtosis;

/* Sums over values of x^2 and x^4; in the end the result's first is the kurtosis. */
static size_t kurtosis_bytes(const struct bs_observed *of)
{
    (void)of;
    return 2 * sizeof(double);
}

static void kurtosis_observe(const struct bs_observed *of, int window, const float *x, int stride,
                             void *slot, void *result)
{
    (void)window, (void)result;
    double *sums = slot;
    sums[0] = sums[1] = 0;
    for (size_t t = 0; t < of->rows; t++)
        for (int j = 0; j < of->width; j++) {
            double square = (double)x[t * (size_t)stride + (size_t)j];
            square *= square;
            sums[0] += square;
            sums[1] += square * square;
        }
}

static void kurtosis_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                           int part, void *result)
{
    (void)of, (void)part;
    double *to = result;
    for (int k = 0; k < count; k++) {
        const double *sums = shown[k].slot;
        to[0] += sums[0];
        to[1] += sums[1];
    }
}

static void kurtosis_finish(const struct bs_observed *of, int part, void *result)
{
    (void)part;
    double *sums = result, values = (double)of->rows * of->width;
    sums[0] = sums[1] * values / (sums[0] * sums[0]);
}

const struct bs_statistic bs_stat_kurtosis = {
    .plugin = {.name = "kurtosis",
               .summary = "how heavy the tails of the values are",
               .reference = ""},
    .bytes = kurtosis_bytes,
    .slot_bytes = kurtosis_bytes,
    .observe = kurtosis_observe,
    .merge = kurtosis_merge,
    .finish = kurtosis_finish,
};
