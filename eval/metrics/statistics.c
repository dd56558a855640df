/* Means with the standard error of windows as observations, differences paired by token, quantiles.
 * Sums run in index order in double, so a number never depends on the thread count. */
#include "eval/metrics/statistics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* scale_a * a - scale_b * b for every token; b NULL = a alone. Every mean below is the mean of such
 * a combination, so there is one place where the standard error is worked out. */
struct combination {
    const float *a, *b;
    double scale_a, scale_b;
};

static double value_at(const struct combination *c, size_t i)
{
    double value = c->scale_a * (double)c->a[i];
    return c->b ? value - c->scale_b * (double)c->b[i] : value;
}

static struct bs_mean mean_of(const struct combination *c, int windows, int per_window)
{
    struct bs_mean result = {NAN, NAN};
    if (windows < 1 || per_window < 1)
        return result;
    double count = (double)windows * per_window;
    double sum = 0;
    for (size_t i = 0; i < (size_t)windows * per_window; i++)
        sum += value_at(c, i);
    result.mean = sum / count;
    if (windows < 2)
        return result;
    double squares = 0;
    for (int w = 0; w < windows; w++) {
        double residual = 0;
        for (int t = 0; t < per_window; t++)
            residual += value_at(c, (size_t)w * per_window + t) - result.mean;
        squares += residual * residual;
    }
    result.se = sqrt(windows / (windows - 1.0) * squares) / count;
    return result;
}

struct bs_mean bs_mean_of(const float *x, int windows, int per_window)
{
    return mean_of(&(struct combination){.a = x, .scale_a = 1}, windows, per_window);
}

struct bs_mean bs_perplexity_of(const float *nll, int windows, int per_window)
{
    struct bs_mean mean = bs_mean_of(nll, windows, per_window);
    double perplexity = exp(mean.mean);
    return (struct bs_mean){perplexity, perplexity * mean.se};
}

struct bs_mean bs_mean_difference(const float *a, const float *b, int windows, int per_window)
{
    struct combination c = {.a = a, .b = b, .scale_a = 1, .scale_b = 1};
    return mean_of(&c, windows, per_window);
}

struct bs_mean bs_perplexity_difference(const float *a, const float *b, int windows, int per_window)
{
    double perplexity_a = bs_perplexity_of(a, windows, per_window).mean;
    double perplexity_b = bs_perplexity_of(b, windows, per_window).mean;
    struct combination c = {.a = a, .b = b, .scale_a = perplexity_a, .scale_b = perplexity_b};
    double se = mean_of(&c, windows, per_window).se;
    return (struct bs_mean){perplexity_a - perplexity_b, se};
}

double bs_p_value(double z) { return erfc(fabs(z) / sqrt(2)); }

double bs_quantile(const float *sorted, size_t count, double q)
{
    assert(q >= 0 && q <= 1);
    if (count == 0)
        return NAN;
    double position = q * (double)(count - 1);
    size_t below = (size_t)position;
    double fraction = position - (double)below;
    double low = (double)sorted[below];
    /* At a whole position the neighbour must not enter: it may be infinite, and 0 * inf is NaN. */
    if (fraction == 0)
        return low;
    return low + fraction * ((double)sorted[below + 1] - low);
}

/* A total order: NaN after every number, as qsort needs one. */
static int compare_floats(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

void bs_sort(float *x, size_t count)
{
    if (count > 1)
        qsort(x, count, sizeof *x, compare_floats);
}
