/* Statistics of items that are answered right or wrong, and of two models that answer the same
 * ones: which turned, whether that is more than chance, and what difference so many items can
 * show. */
#ifndef BS_EVAL_TASKS_PAIRED_ITEMS_H
#define BS_EVAL_TASKS_PAIRED_ITEMS_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/tasks/uncertainty.h"

/* How items went from one model to another. Gained and lost ones are what tells the two apart. */
struct bs_flips {
    int both_right, lost, gained, both_wrong; /* lost: right before, wrong after */
};

/* Counts them; before and after [items] are 1 where right, else 0. */
struct bs_flips bs_flips_of(const uint8_t *before, const uint8_t *after, int items);

/* The change of the share that is right, after - before, and its standard error: that of the mean
 * of the items' differences (1, 0 or -1), their sample deviation over sqrt(items); df = items -
 * 1. */
struct bs_mean bs_flips_change(struct bs_flips flips);

/* Whether an item that turns is as likely to be gained as lost: McNemar (Psychometrika 12, 1947). p
 * is two-sided. With fewer than BS_MCNEMAR_EXACT that turned it is exact, of the binomial
 * distribution; else of chi^2 = (gained - lost)^2 / (gained + lost) with one degree of freedom,
 * without a correction for continuity (Fagerland, Lydersen and Laake, BMC Medical Research
 * Methodology 13, 2013): where 10 to 40 % of 300 items turn, a nominal 5 % is 5.0 %; corrected, or
 * exact throughout, it would be 3.7 %. Where 2 to 5 % turn the test is the exact one, and its 5 %
 * is 2.2 %. p = 1 where none turned. */
enum { BS_MCNEMAR_EXACT = 25 };
struct bs_mcnemar {
    bool exact;
    double chi2; /* NaN of the exact one */
    double p;
};
struct bs_mcnemar bs_mcnemar(struct bs_flips flips);

/* The mean of one value an item and its standard error as lm-evaluation-harness prints it, sample
 * deviation over sqrt(items); df = items - 1. NaN errors for fewer than two. */
struct bs_mean bs_item_mean(const double *x, int items);

/* An interval that holds the share that is right with probability 0.95, from `right` of `items`:
 * Wilson (Journal of the American Statistical Association 22, 1927), as llama.cpp prints it. */
struct bs_interval {
    double low, high;
};
struct bs_interval bs_wilson(int right, int items);

/* mean(after) - mean(before) of one value an item, paired by item, and its standard error, items
 * being independent; df = items - 1. NaN errors for fewer than two. */
struct bs_mean bs_item_change(const double *before, const double *after, int items);

/* exp(mean(after)) - exp(mean(before)) of one NLL an item, paired by item, and its standard error
 * by the delta method; df = items - 1. NaN errors for fewer than two. */
struct bs_mean bs_item_perplexity_change(const double *before, const double *after, int items);

/* The interval of 95 % of mean(after) - mean(before), or of f of either, over samples of as many
 * items drawn with replacement, pairs kept (Efron 1979): quantiles 0.025 and 0.975 of BS_RESAMPLES
 * of them; NaN for fewer than two items. Item i of sample r is the one at bs_draw(seed * 2^32 + r,
 * i) * items (quant/cell.h): the same on every machine, and the same samples for every pair of
 * trials. */
enum { BS_RESAMPLES = 2000 };
struct bs_interval bs_paired_bootstrap(const double *before, const double *after, int items,
                                       double (*f)(double), uint32_t seed);

/* The smallest difference of the shares that are right which McNemar's test calls significant at
 * `level` (two-sided) with this power, where the share `turned` of the items turns one way or the
 * other: d of
 *
 *     items d^2 = (z_(level / 2) sqrt(turned) + z_(1 - power) sqrt(turned - d^2))^2
 *
 * (Connor, Biometrics 43, 1987). NaN where not even all of them turning one way would do. */
double bs_detectable_difference(int items, double turned, double level, double power);

#endif
