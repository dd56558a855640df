#include "eval/tasks/paired_items.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "eval/linalg/elementary.h"
#include "eval/quant/cell.h"

struct bs_flips bs_flips_of(const uint8_t *before, const uint8_t *after, int items)
{
    struct bs_flips flips = {0};
    for (int i = 0; i < items; i++) {
        flips.both_right += before[i] && after[i];
        flips.lost += before[i] && !after[i];
        flips.gained += !before[i] && after[i];
        flips.both_wrong += !before[i] && !after[i];
    }
    return flips;
}

struct bs_mean bs_flips_change(struct bs_flips flips)
{
    int items = flips.both_right + flips.lost + flips.gained + flips.both_wrong;
    struct bs_mean change = {.mean = NAN, .se = NAN, .df = NAN, .windows = items};
    if (items == 0)
        return change;
    double n = items;
    change.mean = (flips.gained - flips.lost) / n;
    if (items < 2)
        return change;
    double squares = flips.gained + flips.lost - n * change.mean * change.mean;
    change.se = sqrt(fmax(squares, 0) / (n - 1) / n);
    change.df = n - 1;
    return change;
}

/* 2 P(at most `less` of `all`), each as likely as not: whole numbers below 2^25, and exact. */
static double binomial_p(int less, int all)
{
    double ways = 1, sum = 0;
    for (int k = 0; k <= less; k++) {
        sum += ways;
        ways = ways * (all - k) / (k + 1);
    }
    return fmin(1, 2 * ldexp(sum, -all));
}

struct bs_mcnemar bs_mcnemar(struct bs_flips flips)
{
    int all = flips.gained + flips.lost, difference = abs(flips.gained - flips.lost);
    if (all < BS_MCNEMAR_EXACT)
        return (struct bs_mcnemar){true, NAN, binomial_p((all - difference) / 2, all)};
    double chi2 = (double)difference * difference / all;
    return (struct bs_mcnemar){false, chi2, bs_student_p(sqrt(chi2), INFINITY)};
}

/* The mean of x, or of x - less where that is not NULL, and its error as of independent items. */
static struct bs_mean mean_of(const double *x, const double *less, int items)
{
    struct bs_mean result = {.mean = NAN, .se = NAN, .df = NAN, .windows = items};
    if (items < 1)
        return result;
    double sum = 0, squares = 0;
    for (int i = 0; i < items; i++)
        sum += less ? x[i] - less[i] : x[i];
    result.mean = sum / items;
    if (items < 2)
        return result;
    for (int i = 0; i < items; i++) {
        double apart = (less ? x[i] - less[i] : x[i]) - result.mean;
        squares += apart * apart;
    }
    result.se = sqrt(squares / (items - 1)) / sqrt(items);
    result.df = items - 1;
    return result;
}

struct bs_mean bs_item_mean(const double *x, int items) { return mean_of(x, NULL, items); }

struct bs_interval bs_wilson(int right, int items)
{
    if (items < 1)
        return (struct bs_interval){NAN, NAN};
    const double z = 1.95996398454; /* Phi(z) = 0.975 */
    double n = items, share = right / n, factor = 1 / (1 + z * z / n);
    double middle = factor * (share + z * z / (2 * n));
    double half = z * factor * sqrt(share * (1 - share) / n + z * z / (4 * n * n));
    return (struct bs_interval){fmax(middle - half, 0), fmin(middle + half, 1)};
}

struct bs_mean bs_item_change(const double *before, const double *after, int items)
{
    return mean_of(after, before, items);
}

struct bs_mean bs_item_perplexity_change(const double *before, const double *after, int items)
{
    const struct bs_mean a = mean_of(before, NULL, items), b = mean_of(after, NULL, items);
    double of_a = bs_exp(a.mean), of_b = bs_exp(b.mean), squares = 0;
    struct bs_mean change = {.mean = of_b - of_a, .se = NAN, .df = NAN, .windows = items};
    if (items < 2)
        return change;
    for (int i = 0; i < items; i++) {
        double apart = of_b * (after[i] - b.mean) - of_a * (before[i] - a.mean);
        squares += apart * apart;
    }
    change.se = sqrt(squares / (items - 1)) / sqrt(items);
    change.df = items - 1;
    return change;
}

static int by_number(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The quantile of sorted resamples: linear interpolation at q (BS_RESAMPLES - 1). */
static double quantile(const double *sorted, double q)
{
    double at = q * (BS_RESAMPLES - 1);
    int below = (int)at;
    double next = below + 1 < BS_RESAMPLES ? sorted[below + 1] : sorted[below];
    return sorted[below] + (at - below) * (next - sorted[below]);
}

struct bs_interval bs_paired_bootstrap(const double *before, const double *after, int items,
                                       double (*f)(double), uint32_t seed)
{
    if (items < 2)
        return (struct bs_interval){NAN, NAN};
    double changes[BS_RESAMPLES];
    for (uint32_t r = 0; r < BS_RESAMPLES; r++) {
        double a = 0, b = 0;
        for (int i = 0; i < items; i++) {
            int drawn = (int)((double)bs_draw((uint64_t)seed << 32 | r, (uint64_t)i) * items);
            a += before[drawn];
            b += after[drawn];
        }
        a /= items;
        b /= items;
        changes[r] = f ? f(b) - f(a) : b - a;
    }
    qsort(changes, BS_RESAMPLES, sizeof *changes, by_number);
    return (struct bs_interval){quantile(changes, 0.025), quantile(changes, 0.975)};
}

double bs_detectable_difference(int items, double turned, double level, double power)
{
    double z_level = bs_student_quantile(level, INFINITY);
    double z_power = bs_student_quantile(2 * (1 - power), INFINITY);
    double low = 0, high = turned;
    /* What is asked for falls as the difference grows, what there is rises. */
    for (int i = 0; i < 200 && turned > 0; i++) {
        double d = (low + high) / 2;
        double asked = z_level * sqrt(turned) + z_power * sqrt(turned - d * d);
        if (items * d * d < asked * asked)
            low = d;
        else
            high = d;
    }
    double asked = z_level * sqrt(turned) + z_power * sqrt(turned - turned * turned);
    bool enough = turned > 0 && items * turned * turned >= asked * asked;
    return enough ? high : (double)NAN;
}
