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

/* Sum of value - centre over the scored positions of a window, which are counted. */
static double window_sum(const struct combination *c, const struct bs_layout *layout, int window,
                         double centre, size_t *count)
{
    size_t at = (size_t)window * (size_t)layout->per_window;
    double sum = 0;
    for (size_t i = at; i < at + (size_t)layout->per_window; i++) {
        double value = value_at(c, i);
        if (isnan(value))
            continue;
        sum += value - centre;
        (*count)++;
    }
    return sum;
}

static struct bs_mean mean_of(const struct combination *c, const struct bs_layout *layout)
{
    struct bs_mean result = {NAN, NAN};
    size_t count = 0;
    double sum = 0;
    for (int w = 0; w < layout->windows; w++)
        sum += window_sum(c, layout, w, 0, &count);
    if (!count || count != layout->scored)
        return result;
    result.mean = sum / (double)count;
    double squares = 0;
    int windows = 0; /* with a value */
    for (int w = 0; w < layout->windows; w++) {
        size_t within = 0;
        double residual = window_sum(c, layout, w, result.mean, &within);
        squares += residual * residual;
        windows += within > 0;
    }
    if (windows > 1)
        result.se = sqrt(windows / (windows - 1.0) * squares) / (double)count;
    return result;
}

struct bs_mean bs_mean_of(const float *x, const struct bs_layout *layout)
{
    return mean_of(&(struct combination){.a = x, .scale_a = 1}, layout);
}

struct bs_mean bs_perplexity_of(const float *nll, const struct bs_layout *layout)
{
    struct bs_mean mean = bs_mean_of(nll, layout);
    double perplexity = exp(mean.mean);
    return (struct bs_mean){perplexity, perplexity * mean.se};
}

struct bs_mean bs_mean_difference(const float *a, const float *b, const struct bs_layout *layout)
{
    struct combination c = {.a = a, .b = b, .scale_a = 1, .scale_b = 1};
    return mean_of(&c, layout);
}

struct bs_mean bs_perplexity_difference(const float *a, const float *b,
                                        const struct bs_layout *layout)
{
    double perplexity_a = bs_perplexity_of(a, layout).mean;
    double perplexity_b = bs_perplexity_of(b, layout).mean;
    struct combination c = {.a = a, .b = b, .scale_a = perplexity_a, .scale_b = perplexity_b};
    double se = mean_of(&c, layout).se;
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
