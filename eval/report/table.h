/* A result file as a table. */
#ifndef BS_EVAL_REPORT_TABLE_H
#define BS_EVAL_REPORT_TABLE_H

#include <stdio.h>

#include "eval/store/results.h"

/* What a table is printed as. */
enum bs_table_style {
    BS_TABLE_TERMINAL,
    BS_TABLE_MARKDOWN,
    BS_TABLE_CSV,
    BS_TABLE_LATEX,
    BS_TABLE_JSON,
    BS_TABLE_JSONL, /* an object a line */
    BS_TABLE_HTML   /* a part of a page */
};

/* "terminal", "markdown", "csv", "latex", "json", "jsonl", "html", NULL. */
extern const char *const bs_table_styles[];

/* Whether it holds every field and value for programs; else it is for the eye. */
bool bs_table_is_for_programs(enum bs_table_style style);

/* A value that somebody published for a trial. Texts are borrowed. */
struct bs_published {
    const char *model, *text, *label; /* the trial's */
    char protocol[24];                /* by which it was measured, here and there */
    int windows, tokens, stride;      /* that its text is cut into; 0 windows = all; of a task 0 */
    const char *value_name;           /* "perplexity" */
    double value;
    const char *printed, *source; /* with the digits it was published with; where */
    const char *numerics;         /* that it came of; NULL = not said */
};

/* All figures that somebody published for trials of a result file. */
struct bs_published_list {
    int count;
    const struct bs_published *figures; /* [count] */
};

/* What was published for the trial's value of this name, of any where that is NULL; or NULL. */
const struct bs_published *bs_published_for(const struct bs_published_list *list,
                                            const struct bs_row *row, const char *value);

/* What a user asks for; NULL and 0 = everything, as it stands. Names are those of the columns of
 * --format csv. */
struct bs_selection {
    const char *where;     /* a condition (expression.h) */
    const char *sort;      /* columns parted by commas, ascending; "-NAME" descending */
    const char *group_by;  /* columns parted by commas: what agrees in them stands together */
    int top;               /* so many of each table, or group where there are groups */
    const char *fail_if;   /* a condition that none of what is shown may fulfil: a gate */
    bool keeps_references; /* the unquantized models stay whatever `where` says, for what is drawn
                            * is drawn in comparison with them */
};

/* What a gate says: rows that its condition is true of, unknown of, true or false of. */
struct bs_gate {
    int held, open, told;
    char *names; /* of the first of those that it is true of; owned */
};
void bs_gate_release(struct bs_gate *gate);

/* Says on `out` where a gate is not passed: *passed is false where the condition holds of a row, or
 * a trial has failed. BS_EDATA where it could be told of no row at all: such a gate would pass
 * whatever happens. */
enum bs_status bs_gate_report(const char *condition, const struct bs_gate *gate, int num_failed,
                              FILE *out, bool *passed, struct bs_error *err);

/* The trials that a selection chooses, in its order. */
struct bs_trials {
    const struct bs_results *all;
    struct bs_results results; /* these alone; its rows borrow what they hold of `all` */
    bool is_grouped;           /* the selection groups */
    int *groups;               /* [num_rows], ascending */
    int num_failed;            /* of them, where there is a gate: they cannot pass one */
    struct bs_gate gate;
};

/* Chooses trials. Each model and text has its own order, groups and `top`, in which the unquantized
 * model stands first and is not counted. BS_ECONFIG for what cannot be read; else to be released,
 * before `results` are. */
enum bs_status bs_trials_select(const struct bs_results *results,
                                const struct bs_published_list *published,
                                const struct bs_selection *selection, struct bs_trials *shown,
                                struct bs_error *err);
void bs_trials_release(struct bs_trials *shown);

/* Whether all trials that differ from this one in the seed of their calibration only are shown, of
 * several: then their mean may stand for them. */
bool bs_trials_whole_group(const struct bs_trials *shown, const struct bs_row *row);

/* Whether a trial before this one is of its group, of which all are shown: where means stand for
 * groups, that trial's place is the group's. */
bool bs_trials_is_told(const struct bs_trials *shown, int trial);

/* Prints the trials, one section for each text, protocol and windows (bs_rows_comparable), with a
 * column for the model where a section has several; each model's trials stand together. Terminal,
 * Markdown and
 * LaTeX show the columns a reader compares, each mean with its standard error, or those that
 * `columns` names, parted by commas (columns.h); for programs every field of struct bs_row
 * and every value, whatever its name, or those that `columns` names. In LaTeX the best of trials of
 * equally many bits is bold, with what is within two standard errors of it. Trials that needed a
 * fallback, and failed ones, are marked and explained below the table. Beside values for which one
 * was published stand that and the difference; sections without any have no such columns.
 * With `splits` columns of what recipes vary in (algorithm, bits, group ...) stand in the place of
 * their labels, or after them where recipes differ in what no column has; for programs it changes
 * nothing. BS_ECONFIG for a column that is not there. */
enum bs_status bs_table_print(const struct bs_trials *shown,
                              const struct bs_published_list *published, const char *columns,
                              bool splits, enum bs_table_style style, FILE *out,
                              struct bs_error *err);

/* Prints the values of the trials, a row each as the file has them, for programs alone; those that
 * `names` lists, NULL = all. BS_ECONFIG for a name that is not there, and for another style. */
enum bs_status bs_values_print(const struct bs_trials *shown, const char *names,
                               enum bs_table_style style, FILE *out, struct bs_error *err);

/* Prints the trials as papers do, a row for each recipe, in a column each its values on every text
 * (`by` is "text": a table for each model) or of every model ("model": a table for each text). The
 * values are the first of their evaluation, or those that `columns` names; of several draws of a
 * calibration the mean stands. BS_ECONFIG for another `by`, and for programs. */
enum bs_status bs_pivot_print(const struct bs_trials *shown, const char *by, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err);

/* Prints the items of tasks that turned from the unquantized model, which need not be shown, to a
 * trial, a table for each model and task: lost (right before, wrong after) or gained, with the
 * choices that were taken and by what margin, in the convention that `columns` names
 * (answer_scores.h; NULL = acc). For programs in one table. BS_EDATA where there are no such
 * trials. */
enum bs_status bs_items_print(const struct bs_trials *shown, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err);

/* Prints a figure of every shown trial of a text by how many tokens of its window a prediction has
 * before it (by_position.h), and what it is above the unquantized model's there: a table for each
 * model and text, for programs one. `figure` as bs_by_position_find has it, NULL = perplexity.
 * BS_ECONFIG where it is none, BS_EDATA where no trial has it. */
enum bs_status bs_positions_print(const struct bs_trials *shown, const char *figure,
                                  enum bs_table_style style, FILE *out, struct bs_error *err);

/* Prints the values of every linear, a row each, for each model and text a table, for programs one.
 * The selection is of linears: its words may name their fields and values (`block`, `name`,
 * `relative_output_error`) beside the fields of their trials; where a value of a trial has the same
 * name the linear's is meant. For the eye all values stand that any linear has, or those that
 * `columns` names; for programs more. What --fail-if says of them goes to `gate`, whose names the
 * caller frees (bs_gate_release). BS_ECONFIG, and BS_EDATA where there are no such linears. */
enum bs_status bs_layers_print(const struct bs_results *results,
                               const struct bs_selection *selection, const char *columns,
                               enum bs_table_style style, FILE *out, struct bs_gate *gate,
                               struct bs_error *err);

/* Prints two result files side by side, texts first, then tasks: trials matched by id, else by
 * model where one of the files has several (else two models may be compared by their files), text
 * and protocol (bs_rows_comparable), recipe and calibration; what has several candidates is listed,
 * not guessed (bs_pairs_find). The difference of their perplexities with its paired standard error
 * (from the stored per-token NLLs), and p of the mean NLLs' being the same (bs_test_difference), as
 * it is and with Holm's correction over the table; of tasks that of the share of items that are
 * right, by the first convention that `columns` names, else acc, with the items that turned and
 * McNemar's p, and of last words that of their target perplexity, by Student's t of log-likelihoods
 * (either alone where `columns` names one of them). Beside these stand the values of
 * both that `columns` names, NULL = a few; for programs all of them. Trials that several seeds of
 * calibration tell apart are compared as groups. Trials in one file only are listed. BS_ECONFIG
 * where the two have nothing to compare, or have a text of one name that differs in its bytes or
 * was never measured by the same protocol, stride, windows and tokens. */
enum bs_status bs_diff_print(const struct bs_results *a, const struct bs_results *b,
                             const char *columns, enum bs_table_style style, FILE *out,
                             struct bs_error *err);

/* The same of trials of one file: A is what `first` names, B what `second` does, each a label or an
 * id, in which `*` stands for any letters, or a recipe of several seeds. Every A is compared with
 * every B of its model that is comparable, on each text. BS_ECONFIG where there are none. */
enum bs_status bs_diff_print_between(const struct bs_results *results, const char *first,
                                     const char *second, const char *columns,
                                     enum bs_table_style style, FILE *out, struct bs_error *err);

/* The same of the shown trials that lead: A is the best of equally many bits on a text, B each of
 * those that come next (bs_pairs_leaders). *any is false, and nothing is printed, where no two
 * trials compete. */
enum bs_status bs_diff_print_leaders(const struct bs_trials *shown, enum bs_table_style style,
                                     FILE *out, bool *any, struct bs_error *err);

/* Holds a gate against all pairs of A and B, or of one file those of `between` (NULL and NULL: two
 * files): *passed is false, and `out` says why, where the condition on the columns of --format csv
 * is true of a pair, or a trial of B, of one file one that either name fits, has failed.
 * BS_ECONFIG, and BS_EDATA where it could be told of no pair. */
enum bs_status bs_diff_gate(const struct bs_results *a, const struct bs_results *b,
                            const char *const between[2], const char *condition, FILE *out,
                            bool *passed, struct bs_error *err);

#endif
