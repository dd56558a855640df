/* A small table of cells that prints in every style. */
#ifndef BS_EVAL_REPORT_SHEET_H
#define BS_EVAL_REPORT_SHEET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "eval/store/results_internal.h"
#include "eval/report/table.h"

enum bs_cell_kind { BS_CELL_TEXT, BS_CELL_INT, BS_CELL_DOUBLE };

/* A cell. */
struct bs_sheet_cell {
    enum bs_cell_kind kind;
    char *text; /* as it is printed: control characters escaped */
    char *raw;  /* as it came, where that is something else; JSON has an escape for everything */
    double number;
    bool is_best; /* of its column: bold in LaTeX */
};

/* Cells are added row by row; the first row is the header, where '\n' parts a heading in two lines
 * (and is a space in the styles that have no such thing). The first num_names columns are names,
 * aligned left; the others are aligned right. A sheet that ran out of memory says so when it is
 * printed. */
struct bs_sheet {
    int num_columns, num_names, num_cells, capacity;
    int num_spare; /* of the names those at the end that say again what the ones before do */
    struct bs_sheet_cell *cells;
    uint64_t kept; /* columns that are never left out, beside those of names */
    char *title;   /* NULL = none */
    char *label;   /* by which LaTeX refers to it; NULL = none */
    int num_rules;
    int *rules; /* cells that a rule stands before, ascending */
    int num_notes;
    char **notes; /* lines below the table */
    bool out_of_memory;
};

/* With one column of names. */
void bs_sheet_init(struct bs_sheet *sheet, int num_columns);
void bs_sheet_release(struct bs_sheet *sheet);

/* Says that the terminal shows this column (from 0, below 64) however narrow it is. */
void bs_sheet_keep(struct bs_sheet *sheet, int column);

/* Adds the next cell. A NaN is an empty cell in CSV and null in JSON. */
void bs_sheet_text(struct bs_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bs_sheet_int(struct bs_sheet *sheet, int value);
void bs_sheet_double(struct bs_sheet *sheet, double value);

/* A number that is printed as `text` says it. */
void bs_sheet_figure(struct bs_sheet *sheet, const char *text, double value);

/* A cell for the eye: "62.36 ± 0.81", both with two digits of the standard error but no more than
 * three after the point and no fewer than `least`; "62.36 ± n/a" where there is no standard error,
 * an em dash where there is no mean. `sign` puts a '+' before positive ones; what rounds to nothing
 * has no sign. */
void bs_sheet_estimate(struct bs_sheet *sheet, double mean, double se, bool sign, int least);

/* The same with a second deviation, where it is a number, "62.36 ± 0.81 ± 0.20". */
void bs_sheet_spread(struct bs_sheet *sheet, double mean, double se, double spread, bool sign,
                     int least);

/* A number without a standard error to three digits; an em dash for NaN. */
void bs_sheet_rounded(struct bs_sheet *sheet, double value);

/* The next row: every field of a record as the record's type has it, and the header for it. */
void bs_sheet_header(struct bs_sheet *sheet, const struct bs_record_type *type);
void bs_sheet_record(struct bs_sheet *sheet, const struct bs_record_type *type, const void *record);

/* A line above the table, and one below it. */
void bs_sheet_title(struct bs_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void bs_sheet_note(struct bs_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A name for LaTeX, of whose letters those stay that a label may have. */
void bs_sheet_label(struct bs_sheet *sheet, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Parts the rows before from those after, on a terminal and in LaTeX. */
void bs_sheet_rule(struct bs_sheet *sheet);

/* Keeps of a sheet for programs the columns called `always` (NULL-terminated) and those in `names`,
 * which are parted by commas, in this order. BS_ECONFIG for a name that is no column. */
enum bs_status bs_sheet_narrow(struct bs_sheet *sheet, const char *const *always, const char *names,
                               struct bs_error *err);

/* The text of a cell; row 0 is the header. */
const char *bs_sheet_cell(const struct bs_sheet *sheet, int row, int column);

/* Whether a rule stands before the row. */
bool bs_sheet_has_rule(const struct bs_sheet *sheet, int row);

/* Prints in any style but JSON, whose root is an object. In the terminal nothing is wider than it
 * (see sheet_terminal.h).
 * BS_ENOMEM, BS_EIO. */
enum bs_status bs_sheet_print(const struct bs_sheet *sheet, enum bs_table_style style, FILE *out,
                              struct bs_error *err);

/* The rows as an array of objects, with the header's words as keys; NULL when memory runs out. */
json_t *bs_sheet_json(const struct bs_sheet *sheet);

/* Prints a JSON value and gives it back; NULL = memory had run out. */
enum bs_status bs_json_print(json_t *json, FILE *out, struct bs_error *err);

#endif
