/* Which trials of two result files belong side by side, and how they compare. */
#ifndef BS_EVAL_REPORT_DIFF_INTERNAL_H
#define BS_EVAL_REPORT_DIFF_INTERNAL_H

#include <stdbool.h>

#include "eval/report/columns.h"
#include "eval/store/results.h"
#include "eval/tasks/answer_scores.h"
#include "eval/tasks/paired_items.h"

/* How the items of a task went from A to B. */
struct bs_item_changes {
    int items;
    struct bs_flips flips;       /* of one trial each; of several none */
    struct bs_interval interval; /* of 95 %, of the difference: bs_paired_bootstrap */
    bool exact;                  /* p is McNemar's of few that turned */
};

/* Trials that both files have finished: one of each, or all of A's and B's that differ in the seed
 * of their calibration only. */
struct bs_pair {
    int num_a, num_b;
    const struct bs_row **a, **b; /* [num_a], [num_b] */
    bool of_items;                /* trials of a task */
    struct bs_item_changes changes;
    struct bs_mean value_a, value_b; /* exp(mean NLL), that of the trials' mean; of a task the share
                                      * of items that are right */
    struct bs_mean difference;       /* of B - of A, paired by token, or item */
    double calibration_se; /* the calibrations' part of difference.se; 0 for one of each */
    double t, df, p;       /* NaN where the standard error is zero or not known; McNemar's test
                            * has no df, and for t its chi with the sign of the difference, the
                            * exact one none */
    double p_holm;         /* p corrected for the number of pairs */
    bool flipped;          /* p is that of flipped signs, of `blocks` */
    int blocks;
    bool identical;    /* every NLL, or log-likelihood of an answer, has the same bits */
    bool recalibrated; /* one of each, calibrated on other windows */
};

/* The trials of two files that belong together. */
struct bs_pairs {
    const struct bs_results *a, *b;
    bool by_model; /* one of the files has several models; else the two may be of any one each */
    enum bs_convention convention; /* by which items are right */
    int num_pairs;
    int num_unmeasured;        /* pairs of tasks after these that the convention tells nothing of */
    struct bs_pair *pairs;     /* [num_pairs + num_unmeasured] */
    bool *paired_a, *paired_b; /* rows that stand in a pair */
    bool *open_a, *open_b;     /* that have several candidates, of which none is chosen */
};

/* Pairs what belongs together, each trial once at most:
 *  - the same id;
 *  - else, of trials of one model (by name; by digest where that leaves one), text, protocol and
 *    recipe, calibrated on the same windows: where each file has one left;
 *  - else all that differ in the seed of their calibration only, where that is all there is;
 *  - else, calibrated on whatever windows: where each file has one left.
 * What has more than one candidate then is not paired: open_a and open_b. Pairs of tasks that were
 * not measured by the convention stand last, in num_unmeasured. */
enum bs_status bs_pairs_find(struct bs_pairs *pairs, struct bs_error *err);

/* Works out every pair's difference from the stored NLLs, or answers, and corrects p: those of
 * texts among themselves, and those of tasks. Of several calibrations the NLLs are averaged token
 * by token, and the variance of that mean that comes of the calibrations, s^2 (1 / num_a + 1 /
 * num_b) with s^2 pooled over both files, is added to that which comes of the text; t then has the
 * degrees of freedom of the sum (Welch 1947). */
enum bs_status bs_pairs_compare(struct bs_pairs *pairs, struct bs_error *err);
void bs_pairs_release(struct bs_pairs *pairs);

/* What bs_pairs_compare does of trials of a task: items that turned are tested by McNemar's test;
 * of several calibrations the items' means by Student's t, with what the calibrations add.
 * `means` has room for those of A's trials, then B's. BS_EDATA where the two are not of the same
 * items, or their answers have not what the values say was measured. */
enum bs_status bs_pair_compare_items(const struct bs_pairs *pairs, struct bs_pair *pair,
                                     double *means, struct bs_error *err);

/* Adds the variance of the calibrations to that of the text or items, whose `mean` difference it
 * is; `scale` is what a difference of means counts in that of the values. */
void bs_pair_add_calibrations(struct bs_pair *pair, const double *means_a, const double *means_b,
                              const struct bs_mean *mean, double scale);

/* A difference whose p, corrected by Holm, is below this is called significant: among all of a
 * table the chance of one such where nothing differs is no more. */
#define BS_DIFF_LEVEL 0.05

/* Parts of the tables of pairs, of texts or of items: a pair's name (text and model belong to it
 * where there are several); the cells of further columns and their two headings each; what is
 * counted below, and which trials stand alone. */
void bs_diff_add_name(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                      const struct bs_pair *pair);
void bs_diff_add_headings(struct bs_sheet *sheet, const struct bs_columns *columns);
void bs_diff_add_values(struct bs_sheet *sheet, const struct bs_columns *columns,
                        const struct bs_pair *pair);
void bs_diff_note_counts(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_items);
void bs_diff_note_provenance(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_items);

/* The table of tasks. */
enum bs_status bs_diff_print_items(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                   enum bs_table_style style, FILE *out, struct bs_error *err);

#endif
