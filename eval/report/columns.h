/* Columns of tables: values that were measured, fields of /trials, and the time a trial took, each
 * by its name. How a value is shown stands with its type (tasks/value.h). */
#ifndef BS_EVAL_REPORT_COLUMNS_H
#define BS_EVAL_REPORT_COLUMNS_H

#include "eval/report/sheet.h"
#include "eval/store/results_internal.h"
#include "eval/tasks/answer_scores.h"

enum { BS_MOST_COLUMNS = 48 };

/* A column of a table. */
struct bs_column {
    const char *name;                 /* borrowed of the type, the field or the file */
    const struct bs_value_type *type; /* of a value that this program knows; else NULL */
    const struct bs_field *field;     /* of a row; else NULL */
    bool is_time;                     /* seconds to quantize and to evaluate, together */
    bool kept;                        /* however narrow the terminal is */
};

/* The columns of a table, in their order. */
struct bs_columns {
    int count;
    struct bs_column columns[BS_MOST_COLUMNS];
};

/* Those a table of the trials comparable to `first` has unless told otherwise, in the order of
 * their worth: a list of names, of which values that neither the evaluation nor a metric has are
 * left out, and of a task those it is not measured by. Of an evaluation of which the list names no
 * value all are shown that the results have. */
void bs_columns_default(const struct bs_results *results, const struct bs_row *first,
                        struct bs_columns *columns);

/* Those named in `names`, parted by commas. BS_ECONFIG for a name that no value of the results and
 * no field has, with the nearest. */
enum bs_status bs_columns_parse(const char *names, const struct bs_results *results,
                                struct bs_columns *columns, struct bs_error *err);

/* Adds a column of this value of the results where there is none yet and room for it. The name is
 * borrowed. */
void bs_columns_add_value(struct bs_columns *columns, const struct bs_results *results,
                          const char *name);

/* The names of all values in the results, each once: those of evaluations first that this program
 * knows, in the order of their lists, then those it does not. BS_ENOMEM. *names [*count] is the
 * caller's to bs_free; the names are borrowed. */
enum bs_status bs_columns_values(const struct bs_results *results, const char ***names, int *count,
                                 struct bs_error *err);

/* The type of a value that the results have under this name, NULL where no plug-in has it. */
const struct bs_value_type *bs_columns_type(const struct bs_results *results, const char *name);

/* The first of the columns that items are compared by; false where none is. */
bool bs_columns_convention(const struct bs_columns *columns, enum bs_convention *convention);

/* Whether the trial's task was measured by it. */
bool bs_row_has_convention(const struct bs_row *row, enum bs_convention convention);

/* "KL mean\n10^-3 nats", or the name. */
const char *bs_column_heading(const struct bs_column *column);

/* Seconds to quantize and to evaluate, together. */
double bs_row_seconds(const struct bs_row *row);

/* The number of a row in this column as it is stored, NaN where it has none or it is a text. */
double bs_column_number(const struct bs_column *column, const struct bs_row *row);

/* Adds the row's cell for the eye; of a group's mean, with what another draw of calibration
 * does. */
void bs_column_add(struct bs_sheet *sheet, const struct bs_column *column, const struct bs_row *row,
                   bool is_mean);

#endif
