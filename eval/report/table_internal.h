/* What the parts of a table share: table.c is for the eye, table_fields.c for programs. */
#ifndef BS_EVAL_REPORT_TABLE_INTERNAL_H
#define BS_EVAL_REPORT_TABLE_INTERNAL_H

#include "eval/report/columns.h"
#include "eval/report/sheet.h"
#include "eval/store/results.h"

/* Measured minus published; NaN where the trial has no such value, or `p` is NULL. */
double bs_published_difference(const struct bs_published *p, const struct bs_row *row);

/* Every field and value of every trial, with the names that programs and selections know them by;
 * to be released. BS_ENOMEM. */
enum bs_status bs_fields_sheet(const struct bs_results *results,
                               const struct bs_published_list *published, struct bs_sheet *sheet,
                               struct bs_error *err);

/* Prints that for programs; of it, where `columns` is not NULL, model, text, label and those. */
enum bs_status bs_fields_print(const struct bs_results *results,
                               const struct bs_published_list *published, const char *columns,
                               enum bs_table_style style, FILE *out, struct bs_error *err);

/* The parts of recipes (table_parts.c) that have a column each; with_label: they do not tell all of
 * them apart, so that the label stands before them. */
enum { BS_MOST_PARTS = 24 };
struct bs_parts {
    int count, parts[BS_MOST_PARTS];
    bool with_label;
};

/* Chooses those that the recipes of the section that `first` is of vary in. */
void bs_parts_choose(const struct bs_results *results, const struct bs_row *first,
                     struct bs_parts *chosen);

/* Adds their headings; and a row's cells, the first of them with `marks` after it, or those of a
 * mean over seeds of calibration. */
void bs_parts_headings(struct bs_sheet *sheet, const struct bs_parts *chosen);
void bs_parts_cells(struct bs_sheet *sheet, const struct bs_parts *chosen, const struct bs_row *row,
                    const char *marks, bool is_mean);

/* Notes which trials of the section that `first` is of differ from their unquantized model: in acc
 * by McNemar's test of the items that turned, and in the target perplexity of last words by
 * Student's t of their log-likelihoods, each corrected by Holm over the section; nothing for trials
 * that have no items. BS_ENOMEM, BS_EDATA. */
enum bs_status bs_table_note_items(struct bs_sheet *sheet, const struct bs_results *results,
                                   const struct bs_row *first, struct bs_error *err);

/* Cells of a table that are held against each other: those of one column and block. */
struct bs_contender {
    int cell;          /* of the sheet */
    int column, block; /* by what the table counts them */
    int direction;     /* 1: higher is better, -1: lower is */
    double value, se;
};

/* Starts as {0}. */
struct bs_contest {
    int count;
    struct bs_contender *contenders;
};

/* Adds the row's value in this column, which the sheet's next cell will show. A value that was not
 * measured on the row's text or items, knows no better and worse, or has no standard error to be
 * told from others by, is passed over. The error is that of the paired difference to the
 * unquantized model where the row has that. BS_ENOMEM. */
enum bs_status bs_contest_add(struct bs_contest *contest, const struct bs_sheet *sheet,
                              const struct bs_column *column, int column_number, int block,
                              const struct bs_row *row, struct bs_error *err);

/* Marks in every column and block the best cell and those within two standard errors of it, where
 * any is worse: else nothing is told apart. Gives back the contest. True where any is marked. */
bool bs_contest_settle(struct bs_contest *contest, struct bs_sheet *sheet);

#endif
