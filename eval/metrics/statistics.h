/* Means, their standard errors and quantiles of per-token values. */
#ifndef BS_EVAL_METRICS_STATISTICS_H
#define BS_EVAL_METRICS_STATISTICS_H

#include <stddef.h>

/* Where per-token values lie: x [windows][per_window], NaN at the positions that were not scored.
 * `scored` says how many were: where another number of values is no NaN every result is NaN, so that
 * a value that is missing is never averaged away. */
struct bs_layout {
    int windows, per_window;
    size_t scored;
};

/* A mean and its standard error. The tokens of a window share their context, so a window is one
 * observation: with r_w = sum of (x - mean) over window w, N values in W windows that
 * have any, se = sqrt(W / (W - 1) * sum r_w^2) / N, however the values are spread over the windows.
 * NaN for fewer than two windows. */
struct bs_mean {
    double mean, se;
};

struct bs_mean bs_mean_of(const float *x, const struct bs_layout *layout);

/* exp(mean NLL) and its standard error (delta method: perplexity * se of the mean NLL). */
struct bs_mean bs_perplexity_of(const float *nll, const struct bs_layout *layout);

/* mean(a - b), paired by token. */
struct bs_mean bs_mean_difference(const float *a, const float *b, const struct bs_layout *layout);

/* perplexity(a) - perplexity(b), paired by token: the standard error of the mean of
 * P_a a - P_b b (delta method). */
struct bs_mean bs_perplexity_difference(const float *a, const float *b,
                                        const struct bs_layout *layout);

/* Two-sided p-value of a normal deviate. */
double bs_p_value(double z);

/* The quantile 0 <= q <= 1 of x sorted ascending: linear interpolation at q (count - 1). */
double bs_quantile(const float *sorted, size_t count, double q);

/* Sorts ascending. */
void bs_sort(float *x, size_t count);

#endif
