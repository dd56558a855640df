/* Which trials of two result files belong side by side, and how they compare. */
#ifndef BS_EVAL_REPORT_DIFF_INTERNAL_H
#define BS_EVAL_REPORT_DIFF_INTERNAL_H

#include <stdbool.h>

#include "eval/tasks/uncertainty.h"
#include "eval/store/results.h"

/* Trials that both files have finished: one of each, or all of A's and B's that differ in the seed
 * of their calibration only. */
struct bs_pair {
    int num_a, num_b;
    const struct bs_row **a, **b;              /* [num_a], [num_b] */
    struct bs_mean perplexity_a, perplexity_b; /* exp(mean NLL), that of the trials' mean */
    struct bs_mean difference; /* perplexity of B - perplexity of A, paired by token */
    double calibration_se;     /* the calibrations' part of difference.se; 0 for one of each */
    double t, df, p;           /* NaN where the standard error is zero or not known */
    double p_holm;             /* p corrected for the number of pairs */
    bool flipped;              /* p is that of flipped signs, of `blocks` */
    int blocks;
    bool identical;    /* every NLL has the same bits */
    bool recalibrated; /* one of each, calibrated on other windows */
};

/* The trials of two files that belong together. */
struct bs_pairs {
    const struct bs_results *a, *b;
    bool by_model; /* one of the files has several models; else the two may be of any one each */
    int num_pairs;
    struct bs_pair *pairs;
    bool *paired_a, *paired_b; /* rows that stand in a pair */
    bool *open_a, *open_b;     /* that have several candidates, of which none is chosen */
};

/* Pairs what belongs together, each trial once at most:
 *  - the same id;
 *  - else, of trials of one model (by name; by digest where that leaves one), text, protocol and
 *    recipe, calibrated on the same windows: where each file has one left;
 *  - else all that differ in the seed of their calibration only, where that is all there is;
 *  - else, calibrated on whatever windows: where each file has one left.
 * What has more than one candidate then is not paired: open_a and open_b. */
enum bs_status bs_pairs_find(struct bs_pairs *pairs, struct bs_error *err);

/* Works out every pair's difference from the stored NLLs, and corrects p. Of several calibrations
 * the NLLs are averaged token by token, and the variance of that mean that comes of the
 * calibrations, s^2 (1 / num_a + 1 / num_b) with s^2 pooled over both files, is added to that which
 * comes of the text; t then has the degrees of freedom of the sum (Welch 1947). */
enum bs_status bs_pairs_compare(struct bs_pairs *pairs, struct bs_error *err);
void bs_pairs_release(struct bs_pairs *pairs);

#endif
