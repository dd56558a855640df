/* Which trials belong side by side, of two result files or of one, and how they compare. */
#ifndef BS_EVAL_REPORT_DIFF_INTERNAL_H
#define BS_EVAL_REPORT_DIFF_INTERNAL_H

#include <stdbool.h>

#include "eval/report/columns.h"
#include "eval/report/table.h"
#include "eval/store/results.h"
#include "eval/tasks/answer_scores.h"
#include "eval/tasks/paired_items.h"

/* What of two trials is compared. */
enum bs_compared {
    BS_COMPARE_TOKENS, /* of a text: the NLL of each prediction */
    BS_COMPARE_RIGHT,  /* of a task: whether each item is right, by a convention */
    BS_COMPARE_WORDS,  /* of last words: the log-likelihood of each */
    BS_NUM_COMPARED
};

/* How the items of a task went from A to B. */
struct bs_item_changes {
    int items;
    struct bs_flips flips;       /* of one trial each, BS_COMPARE_RIGHT; else none */
    struct bs_interval interval; /* of 95 %, of the difference: bs_paired_bootstrap */
    bool exact;                  /* p is McNemar's of few that turned */
};

/* Trials that are finished: one on each side, or all of A's and B's that differ in the seed of
 * their calibration only. */
struct bs_pair {
    int num_a, num_b;
    const struct bs_row **a, **b; /* [num_a], [num_b] */
    enum bs_compared what;        /* of last words there are two pairs of the same trials */
    struct bs_item_changes changes;
    struct bs_mean value_a, value_b; /* exp(mean NLL), that of the trials' mean; of BS_COMPARE_RIGHT
                                      * the share of items that are right */
    struct bs_mean difference;       /* of B - of A, paired by token, or item */
    double calibration_se;     /* the calibrations' part of difference.se; 0 for one of each */
    struct bs_mean divergence; /* of texts: mean KL divergence of B - of A, paired by token, its
                                * standard error with the calibrations' part; NaN where one of the
                                * trials has none, as the unquantized model */
    double t, df, p;           /* NaN where the standard error is zero or not known; McNemar's test
                            * has no df, and for t its chi with the sign of the difference, the
                            * exact one none */
    double p_holm;             /* p corrected for the number of pairs */
    bool flipped;              /* p is that of flipped signs, of `blocks` */
    int blocks;
    bool identical;    /* every NLL, or log-likelihood of an answer, has the same bits */
    bool recalibrated; /* one of each, calibrated on other windows */
};

/* The trials that are held against each other. */
struct bs_pairs {
    const struct bs_results *a, *b; /* one and the same where `between` is set */
    const char *between[2]; /* the trials of one file on either side: bs_pairs_between; NULL =
                             * those of two files that belong together */
    bool by_model; /* one of the files has several models; else the two may be of any one each */
    bool asked[BS_NUM_COMPARED];   /* what is to be compared */
    enum bs_convention convention; /* by which items are right */
    int num_pairs, capacity;
    int num_failed;            /* trials that failed and that either of `between` names */
    int num_unmeasured;        /* pairs of tasks after these that have nothing that is asked for */
    struct bs_pair *pairs;     /* [num_pairs + num_unmeasured] */
    bool *paired_a, *paired_b; /* rows that stand in a pair */
    bool *open_a, *open_b;     /* that have several candidates, of which none is chosen */
};

/* Pairs what belongs together in two files, each trial once at most:
 *  - the same id;
 *  - else, of trials of one model (by name; by digest where that leaves one), text, protocol and
 *    recipe, calibrated on the same windows: where each file has one left;
 *  - else all that differ in the seed of their calibration only, where that is all there is;
 *  - else, calibrated on whatever windows: where each file has one left.
 * What has more than one candidate then is not paired: open_a and open_b. Pairs of tasks that were
 * measured by nothing that is asked for stand last, in num_unmeasured. */
enum bs_status bs_pairs_find(struct bs_pairs *pairs, struct bs_error *err);

/* Pairs every trial of a file that between[0] names with every one that between[1] names, where
 * both are of one model and comparable. A name is a trial's label or id, in which `*` stands for
 * any letters; where no label is called so, that of a recipe, whose trials of several seeds are
 * then one side. A trial is not held against a side that it is in; those that failed are counted in
 * num_failed. BS_ECONFIG where a name is no trial's, with the nearest, or no two are
 * comparable. */
enum bs_status bs_pairs_between(struct bs_pairs *pairs, struct bs_error *err);

/* Pairs of the shown trials, which are both files of `pairs`, those of equally many bits (weights
 * and activations) of a subject: the best of them, by perplexity (of last words of the target) or
 * the share of right items, with each of the next four. Trials of several seeds are one side where
 * all are shown. There may be none. */
enum bs_status bs_pairs_leaders(struct bs_pairs *pairs, const struct bs_trials *shown,
                                struct bs_error *err);

/* Parts of these three: adds a pair of the rows; gives every pair what is compared of it and orders
 * them by A's rows. */
enum bs_status bs_pairs_add(struct bs_pairs *pairs, const struct bs_row *const *a, int num_a,
                            const struct bs_row *const *b, int num_b, struct bs_error *err);
enum bs_status bs_pairs_settle(struct bs_pairs *pairs, struct bs_error *err);

/* Works out every pair's difference from the stored NLLs, or answers, and corrects p over those of
 * which the same is compared. Of several calibrations the NLLs are averaged token by token, and the
 * variance of that mean that comes of the calibrations, s^2 (1 / num_a + 1 / num_b) with s^2 pooled
 * over both files, is added to that which comes of the text; t then has the degrees of freedom of
 * the sum (Welch 1947). */
enum bs_status bs_pairs_compare(struct bs_pairs *pairs, struct bs_error *err);
void bs_pairs_release(struct bs_pairs *pairs);

/* What bs_pairs_compare does of trials of a task: items that turned are tested by McNemar's test,
 * the log-likelihoods of last words by Student's t, paired by item; of several calibrations the
 * items' means by Student's t, with what the calibrations add. `means` has room for those of A's
 * trials, then B's. BS_EDATA where the two are not of the same items, or their answers have not
 * what the values say was measured. */
enum bs_status bs_pair_compare_items(const struct bs_pairs *pairs, struct bs_pair *pair,
                                     double *means, struct bs_error *err);

/* The variance of a difference of means that comes of the calibrations: s^2 (1 / num_a + 1 /
 * num_b), s^2 pooled over both sides' means. More than one trial stands on one of the sides. */
double bs_pair_calibration_variance(const struct bs_pair *pair, const double *means_a,
                                    const double *means_b);

/* Adds the variance of the calibrations to that of the text or items, whose `mean` difference it
 * is; `scale` is what a difference of means counts in that of the values. */
void bs_pair_add_calibrations(struct bs_pair *pair, const double *means_a, const double *means_b,
                              const struct bs_mean *mean, double scale);

/* A difference whose p, corrected by Holm, is below this is called significant: among all of a
 * table the chance of one such where nothing differs is no more. */
#define BS_DIFF_LEVEL 0.05

/* What is compared, as the name of a value: "perplexity", "acc_norm", "target_perplexity". And
 * whether the trial's evaluation measured it. */
const char *bs_diff_value(const struct bs_pairs *pairs, enum bs_compared what);
bool bs_diff_has_value(const struct bs_pairs *pairs, enum bs_compared what,
                       const struct bs_row *row);

/* Pairs of which the same is compared, counted. */
struct bs_diff_counts {
    int all, significant, identical, grouped, recalibrated;
    int other_numerics, other_machines; /* the latter of numerics that differ between machines */
};
struct bs_diff_counts bs_diff_count(const struct bs_pairs *pairs, enum bs_compared what);

/* Whether the difference of a further column's values is paired by token: of KL divergences, as the
 * pair has it. */
bool bs_diff_is_paired(const struct bs_column *column);

/* Parts of the tables of pairs: what stands on either side, with `rest` after it, above the table;
 * the heading of a pair's name, and the name (text and model belong to it where there are several);
 * the cells of further columns, how many they are and their headings, of A and of B each, and of
 * B - A where bs_diff_is_paired; what is counted below, and which trials stand alone. */
void bs_diff_title(struct bs_sheet *sheet, const struct bs_pairs *pairs, const char *rest);
void bs_diff_add_name_heading(struct bs_sheet *sheet, const struct bs_pairs *pairs);
void bs_diff_add_name(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                      const struct bs_pair *pair);
int bs_diff_num_values(const struct bs_columns *columns);
void bs_diff_add_headings(struct bs_sheet *sheet, const struct bs_columns *columns);
void bs_diff_add_values(struct bs_sheet *sheet, const struct bs_columns *columns,
                        const struct bs_pair *pair);
void bs_diff_note_counts(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                         enum bs_compared what);
void bs_diff_note_provenance(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                             enum bs_compared what);

/* The mean of the trials' values in this column, with the standard error of the first. */
struct bs_mean bs_diff_mean(const struct bs_column *column, const struct bs_row *const *rows,
                            int num_rows);

/* The table of tasks by the items that are right, and all pairs for programs. */
enum bs_status bs_diff_print_items(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                   enum bs_table_style style, FILE *out, struct bs_error *err);
/* All pairs for programs: every value as NAME_a, NAME_b and delta_NAME; to be released. */
void bs_diff_fields_sheet(const struct bs_pairs *pairs, const struct bs_columns *columns,
                          struct bs_sheet *sheet);
enum bs_status bs_diff_print_fields(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                    enum bs_table_style style, FILE *out, struct bs_error *err);

#endif
