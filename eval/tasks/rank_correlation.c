#include "eval/tasks/rank_correlation.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/tasks/uncertainty.h"

/* Twice the rank of each, from 1; of equal ones twice the mean of theirs. Few are ranked. */
static void rank(const double *x, int n, double *ranks)
{
    for (int i = 0; i < n; i++) {
        int below = 0, equal = 0;
        for (int k = 0; k < n; k++) {
            below += x[k] < x[i];
            equal += x[k] == x[i];
        }
        ranks[i] = 2 * below + equal + 1;
    }
}

/* Pearson's correlation. */
static double correlation(const double *x, const double *y, int n)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) {
        mean_x += x[i] / n;
        mean_y += y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        yy += (y[i] - mean_y) * (y[i] - mean_y);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    return xx > 0 && yy > 0 ? fmax(-1, fmin(1, xy / sqrt(xx * yy))) : (double)NAN;
}

/* tanh. */
static double from_fisher(double z)
{
    double e = bs_exp(-2 * fabs(z)), size = (1 - e) / (1 + e);
    return z < 0 ? -size : size;
}

struct bs_rank_correlation bs_rank_correlation_of(const double *x, const double *y, int n)
{
    struct bs_rank_correlation of = {(double)NAN, (double)NAN, (double)NAN, n};
    double *ranks = bs_alloc(2 * (size_t)n, sizeof *ranks);
    if (!ranks)
        return of;
    rank(x, n, ranks);
    rank(y, n, ranks + n);
    of.r = correlation(ranks, ranks + n, n);
    bs_free(ranks);
    if (isnan(of.r) || n < 4)
        return of;
    of.low = of.high = of.r;
    if (fabs(of.r) == 1) /* the transform ends there */
        return of;
    double z = bs_log((1 + of.r) / (1 - of.r)) / 2;
    double half =
        bs_student_quantile(0.05, (double)INFINITY) * sqrt((1 + of.r * of.r / 2) / (n - 3));
    of.low = from_fisher(z - half);
    of.high = from_fisher(z + half);
    return of;
}
