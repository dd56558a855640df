/* Means of per-token values with their standard errors, tests of differences, quantiles. */
#ifndef BS_EVAL_TASKS_UNCERTAINTY_H
#define BS_EVAL_TASKS_UNCERTAINTY_H

#include <stdbool.h>
#include <stddef.h>

/* Where per-token values lie: x [windows][per_window], NaN at the positions that were not scored.
 * `scored` says how many were: where another number of values is no NaN every result is NaN, so
 * that a value that is missing is never averaged away. */
struct bs_layout {
    int windows, per_window;
    size_t scored;
};

enum { BS_MOST_LAG = 256, BS_MOST_FLIPPED = 20 };

/* A mean, and its standard error for text of the kind that the windows are a sample of.
 *
 * The tokens of a window share their context, so a window is one observation; and windows that
 * follow each other in a text resemble each other (on the embedded evaluation text the means of
 * neighbouring windows of 256 tokens correlate by 0.5). With r_w = sum of (x - mean) over window w,
 * N values in the W windows that have any, and c_k = sum over w of r_w r_(w+k),
 *
 *     se = sqrt(W / T * (c_0 + 2 sum_(k = 1 .. L) (1 - k / (L + 1)) c_k)) / N,
 *
 * however the values are spread over the windows: Newey and West (Econometrica 55, 1987) with
 * Bartlett's weights up to the lag L that bs_lag_of names. T (struct bs_lag_weights) makes the
 * square unbiased for independent windows: with L = 0 it is W - 1, the textbook's. df are the
 * degrees of freedom of Student's t that belong to it: mean +- bs_student_quantile(0.05, df) * se
 * covers in 95 %. Where windows are spread over the text (pick: even), the same holds for the whole
 * text's own mean.
 *
 * NaN for fewer than two windows. */
struct bs_mean {
    double mean, se, df;
    int windows, lag; /* W, L */
};

/* L for W windows whose lag-1 autocorrelation is r = c_1 / c_0:
 *
 *     rho = r + 2 (1 + 3 r) / W,  0 where that is negative, 0.97 at most
 *     L   = 1.1447 (4 rho^2 / (1 - rho^2)^2 W)^(1/3), rounded down, at most W / 4 and BS_MOST_LAG
 *
 * The second line is Andrews' for Bartlett's weights (Econometrica 59, 1991, 6.2 and 6.4). r is too
 * small by (1 + 3 rho) / W on average (Kendall, Biometrika 41, 1954); that is added twice, for a
 * lag too short makes a standard error too small, one too long only a less certain one. On the
 * embedded evaluation text L is 8 for its 205 windows of 256 tokens, whose standard error is 1.4
 * times that of independent ones. */
int bs_lag_of(double correlation, int windows);

/* Of the weights w_ij = max(0, 1 - |i - j| / (L + 1)) with the mean taken off (A = M w M with
 * M = I - 11'/W): trace(A), and trace(A)^2 / trace(A^2), the degrees of freedom that
 * Satterthwaite's approximation (Biometrics 2, 1946) gives to r' w r. With L = 0 both are W - 1. */
struct bs_lag_weights {
    double trace, df;
};
struct bs_lag_weights bs_lag_weights(int windows, int lag);

/* The mean over all scored tokens, and its standard error. */
struct bs_mean bs_mean_of(const float *x, const struct bs_layout *layout);

/* exp(mean NLL) and its standard error (delta method: perplexity * se of the mean NLL). */
struct bs_mean bs_perplexity_of(const float *nll, const struct bs_layout *layout);

/* mean(a - b), paired by token. */
struct bs_mean bs_mean_difference(const float *a, const float *b, const struct bs_layout *layout);

/* perplexity(a) - perplexity(b), paired by token: the standard error of the mean of
 * P_a a - P_b b (delta method). */
struct bs_mean bs_perplexity_difference(const float *a, const float *b,
                                        const struct bs_layout *layout);

/* Whether mean(a) and mean(b) differ, paired by token, the windows being a sample. p is two-sided.
 * Where there are at most BS_MOST_FLIPPED blocks of L + 1 consecutive windows (L = 0: windows), it
 * is exact: bs_sign_flip_p of the blocks' sums of a - b. Else it is Student's, of t = difference /
 * se with df. NaN for fewer than two windows. */
struct bs_test {
    struct bs_mean difference; /* mean(a - b), as bs_mean_difference */
    double t, p;               /* t NaN where the standard error is 0 */
    int blocks;
    bool flipped; /* p is that of flipped signs */
};
struct bs_test bs_test_difference(const float *a, const float *b, const struct bs_layout *layout);

/* The share of the 2^count choices of signs for which |sum of +-values| is at least |sum of
 * values|: the two-sided p-value of "each value is as likely to have the other sign" (Fisher 1935;
 * Ernst, Statistical Science 19, 2004). count from 1 to BS_MOST_FLIPPED; 2^(1 - count) at least. */
double bs_sign_flip_p(const double *values, int count);

/* Two-sided p-value of Student's t (Biometrika 6, 1908); df infinite = a normal deviate. And the t
 * that has this two-sided p, 0 < p <= 1. */
double bs_student_p(double t, double df);
double bs_student_quantile(double p, double df);

/* Holm's correction (Scandinavian Journal of Statistics 6, 1979): *p[i] becomes the largest of
 * (count - j) times the j-th smallest, j from 0 to its own place, 1 at most. Among values so
 * corrected, calling those below a level significant errs at all with no more than that
 * probability. Orders the pointers; no NaN. */
void bs_holm(double **p, int count);

/* The quantile 0 <= q <= 1 of x sorted ascending: linear interpolation at q (count - 1). */
double bs_quantile(const float *sorted, size_t count, double q);

/* Sorts ascending. */
void bs_sort(float *x, size_t count);

#endif
