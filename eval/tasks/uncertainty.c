/* Means with the standard error of windows as observations, differences paired by token, tests of
 * such differences, quantiles.
 * Sums run in index order in double, so a number never depends on the thread count. */
#include "eval/tasks/uncertainty.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "eval/linalg/elementary.h"

static const double pi = 0x1.921fb54442d18p1;

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

/* The next window that has a value, from *window on: its residual sum, and *window past it. False
 * where there is none. */
static bool next_window(const struct combination *c, const struct bs_layout *layout, double centre,
                        int *window, double *residual)
{
    while (*window < layout->windows) {
        size_t within = 0;
        *residual = window_sum(c, layout, (*window)++, centre, &within);
        if (within)
            return true;
    }
    return false;
}

/* sums[k] = sum of r_w r_(w+k) for k = 0 .. lag. Returns the windows that have a value. */
static int products(const struct combination *c, const struct bs_layout *layout, double centre,
                    int lag, double *sums)
{
    double recent[BS_MOST_LAG + 1], residual; /* the last lag + 1 residuals, in a ring */
    int count = 0;
    for (int k = 0; k <= lag; k++)
        sums[k] = 0;
    for (int w = 0; next_window(c, layout, centre, &w, &residual); count++) {
        recent[count % (lag + 1)] = residual;
        for (int k = 0; k <= lag && k <= count; k++)
            sums[k] += residual * recent[(count - k) % (lag + 1)];
    }
    return count;
}

static double cube(double x) { return x * x * x; }

int bs_lag_of(double correlation, int windows)
{
    if (windows < 4 || !(correlation > -1))
        return 0;
    double rho = correlation + 2 * (1 + 3 * correlation) / windows;
    if (rho <= 0)
        return 0;
    rho = fmin(rho, 0.97);
    double alpha = 4 * rho * rho / ((1 - rho * rho) * (1 - rho * rho));
    int most = windows / 4 < BS_MOST_LAG ? windows / 4 : BS_MOST_LAG, lag = 0;
    while (lag < most && cube((lag + 1) / 1.1447) <= alpha * windows)
        lag++;
    return lag;
}

static double weight_at(int lag, int k) { return 1 - k / (lag + 1.0); }

struct bs_lag_weights bs_lag_weights(int windows, int lag)
{
    /* With w the matrix of weights and M = I - 11'/W, which takes the mean off: what follows from
     * the row sums of w. */
    double n = windows, all = n, squares = n, row_squares = 0;
    for (int k = 1; k <= lag; k++) {
        double weight = weight_at(lag, k);
        all += 2 * (n - k) * weight;
        squares += 2 * (n - k) * weight * weight;
    }
    for (int i = 0; i < windows; i++) {
        double row = 1;
        for (int k = 1; k <= lag; k++)
            row += weight_at(lag, k) * ((i >= k) + (i + k < windows));
        row_squares += row * row;
    }
    double trace = n - all / n;
    double of_square = squares - 2 * row_squares / n + all * all / (n * n);
    return (struct bs_lag_weights){trace, trace * trace / of_square};
}

static struct bs_mean mean_of(const struct combination *c, const struct bs_layout *layout)
{
    struct bs_mean result = {.mean = NAN, .se = NAN, .df = NAN};
    size_t count = 0;
    double sum = 0, sums[BS_MOST_LAG + 1];
    for (int w = 0; w < layout->windows; w++)
        sum += window_sum(c, layout, w, 0, &count);
    if (!count || count != layout->scored)
        return result;
    result.mean = sum / (double)count;
    result.windows = products(c, layout, result.mean, 1, sums);
    if (result.windows < 2)
        return result;
    result.lag = sums[0] > 0 ? bs_lag_of(sums[1] / sums[0], result.windows) : 0;
    if (result.lag)
        products(c, layout, result.mean, result.lag, sums);
    double squares = sums[0];
    for (int k = 1; k <= result.lag; k++)
        squares += 2 * weight_at(result.lag, k) * sums[k];
    struct bs_lag_weights weights = bs_lag_weights(result.windows, result.lag);
    /* The weights make a sum that is not negative; rounding may. */
    result.se = sqrt(result.windows / weights.trace * fmax(squares, 0)) / (double)count;
    result.df = weights.df;
    return result;
}

struct bs_mean bs_mean_of(const float *x, const struct bs_layout *layout)
{
    return mean_of(&(struct combination){.a = x, .scale_a = 1}, layout);
}

struct bs_mean bs_perplexity_of(const float *nll, const struct bs_layout *layout)
{
    struct bs_mean mean = bs_mean_of(nll, layout);
    double perplexity = bs_exp(mean.mean);
    mean.mean = perplexity;
    mean.se *= perplexity;
    return mean;
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
    struct bs_mean difference = mean_of(&c, layout);
    difference.mean = perplexity_a - perplexity_b;
    return difference;
}

/* Sums over `blocks` runs of consecutive windows, whose lengths differ by one at most. */
static void block_sums(const struct combination *c, const struct bs_layout *layout, int windows,
                       int blocks, double *sums)
{
    double sum = 0;
    for (int b = 0; b < blocks; b++)
        sums[b] = 0;
    for (int w = 0, i = 0; next_window(c, layout, 0, &w, &sum); i++)
        sums[(int)((int64_t)i * blocks / windows)] += sum;
}

struct bs_test bs_test_difference(const float *a, const float *b, const struct bs_layout *layout)
{
    struct combination c = {.a = a, .b = b, .scale_a = 1, .scale_b = 1};
    struct bs_mean difference = mean_of(&c, layout);
    struct bs_test test = {.difference = difference, .t = NAN, .p = NAN};
    if (!isfinite(difference.mean) || difference.windows < 2)
        return test;
    test.t = difference.se > 0 ? difference.mean / difference.se : (double)NAN;
    test.blocks = difference.windows / (difference.lag + 1);
    if (test.blocks <= BS_MOST_FLIPPED) {
        double sums[BS_MOST_FLIPPED];
        block_sums(&c, layout, difference.windows, test.blocks, sums);
        test.p = bs_sign_flip_p(sums, test.blocks);
        test.flipped = true;
    } else {
        test.p = difference.se > 0 ? bs_student_p(test.t, difference.df) : difference.mean == 0;
    }
    return test;
}

double bs_sign_flip_p(const double *values, int count)
{
    assert(count >= 1 && count <= BS_MOST_FLIPPED);
    double signs[BS_MOST_FLIPPED], sum = 0, size = 0;
    for (int i = 0; i < count; i++) {
        signs[i] = 1;
        sum += values[i];
        size += fabs(values[i]);
    }
    /* What rounding makes of an equal sum counts as equal. */
    double least = fabs(sum) - 1e-12 * size;
    /* The last sign stays, since all signs turned give the same size. From one choice of signs to
     * the next a Gray code turns one. */
    uint32_t choices = UINT32_C(1) << (count - 1), extreme = 0;
    for (uint32_t i = 0; i < choices; i++) {
        extreme += fabs(sum) >= least;
        int turned = 0;
        while (turned < count - 1 && !((i + 1) >> turned & 1))
            turned++;
        if (turned < count - 1) {
            signs[turned] = -signs[turned];
            sum += 2 * signs[turned] * values[turned];
        }
    }
    return extreme / (double)choices;
}

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's
 * method; converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 / fmax(1 - (a + b) * x / (a + 1), tiny), value = d;
    for (int m = 1; m <= 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int half = 0; half < 2; half++) {
            double term = half ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            value *= c * d;
        }
        if (fabs(c * d - 1) < 1e-15)
            break;
    }
    return value;
}

/* log(Gamma(a + 1/2) / Gamma(a)): Stirling's series for both, for a large enough a. */
static double log_gamma_step(double a)
{
    enum { LARGE = 32 };
    double ratio = 1;
    for (int i = 0; i < LARGE && a < LARGE; i++) {
        ratio *= a / (a + 0.5);
        a += 1;
    }
    double z = 1 / (a * a);
    double series = (-1 / 8.0 + z * (1 / 192.0 + z * (-1 / 640.0 + z * 17 / 14336.0))) / a;
    return bs_log(ratio) + 0.5 * bs_log(a) + series;
}

/* Two-sided p-value of t with df: the incomplete beta function at df / (df + t^2) with df / 2 and
 * 1/2. */
static double student_p(double t, double df)
{
    double a = df / 2, x = df / (df + t * t), rest = t * t / (df + t * t);
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = bs_exp(log_gamma_step(a) - a * bs_log1p(t * t / df)) * sqrt(rest / pi);
    return x < (a + 1) / (a + 2.5) ? front * beta_fraction(x, a, 0.5) / a
                                   : 1 - 2 * front * beta_fraction(rest, 0.5, a);
}

/* Two-sided p-value of a normal deviate, erfc(z) with z = |t| / sqrt(2): Abramowitz and Stegun
 * 7.1.6 for small ones, else 7.1.14, from its far end. */
static double normal_p(double t)
{
    double z = fabs(t) / sqrt(2), front = bs_exp(-z * z) / sqrt(pi);
    if (z < 1.5) {
        double term = z, sum = z;
        for (int n = 1; term > 1e-17 * sum; n++)
            sum += term *= 2 * z * z / (2 * n + 1);
        return 1 - 2 * front * sum;
    }
    double fraction = z;
    for (int n = 150; n >= 1; n--)
        fraction = z + n / 2.0 / fraction;
    return front / fraction;
}

double bs_student_p(double t, double df)
{
    if (isnan(t) || !(df > 0))
        return NAN;
    if (isinf(df))
        return normal_p(t);
    return student_p(t, df);
}

double bs_student_quantile(double p, double df)
{
    if (!(p > 0 && p <= 1) || !(df > 0))
        return NAN;
    double low = 0, high = 1;
    while (bs_student_p(high, df) > p && high < 1e300)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        double middle = (low + high) / 2;
        if (bs_student_p(middle, df) > p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

static int by_p(const void *left, const void *right)
{
    double a = **(double *const *)left, b = **(double *const *)right;
    return (a > b) - (a < b);
}

void bs_holm(double **p, int count)
{
    if (count < 2)
        return;
    qsort(p, (size_t)count, sizeof *p, by_p);
    double largest = 0;
    for (int i = 0; i < count; i++) {
        largest = fmax(largest, fmin(1, *p[i] * (count - i)));
        *p[i] = largest;
    }
}

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
