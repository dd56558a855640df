/* Values: what an evaluation or a metric says of a trial, each by its name, and how tables, charts
 * and comparisons show it. A new value is a row in the list of the plug-in that measures it. */
#ifndef BS_EVAL_TASKS_VALUE_H
#define BS_EVAL_TASKS_VALUE_H

#include <stdbool.h>
#include <stdio.h>

/* Columns of the table of linears, and values of one metric, at most. */
enum { BS_MOST_LINEAR_VALUES = 16 };

/* A value that is measured: what it is called, and how it is shown. */
struct bs_value_type {
    const char *name;    /* "kld_mean": in the result file, of a column, of an axis */
    int direction;       /* 1: higher is better, -1: lower is, 0: neither */
    const char *unit;    /* as stored: "nats", "dB"; "" = none */
    const char *meaning; /* a line for `describe` */
    const char *heading; /* of a table's column; '\n' parts it in two lines; NULL = the name */
    double scale;        /* what a table multiplies it by; 0 = 1 */
    int decimals;        /* least digits after the point below 1000 of a value with a standard
                          * error; all of one without; 0 = as many as are significant */
    bool uncertain;      /* comes with a standard error and its degrees of freedom */
    bool signed_;        /* a difference: printed with its sign */
    bool whole;          /* a count of things */
};

/* Prints "value NAME, UNIT: MEANING", a line each: what `describe` says of the plug-in. */
void bs_value_types_print(const struct bs_value_type *types, const char *word, FILE *out);

/* What was measured. */
struct bs_measured {
    const struct bs_value_type *type;
    double value;
    double se, df; /* standard error and the degrees of freedom that it has; NaN = none */
    int n;         /* values that it is taken over */
};

/* One without a standard error. */
struct bs_measured bs_measured_plainly(const struct bs_value_type *type, double value, int n);

/* How many types a list has, which ends with a NULL name; 0 for NULL. */
int bs_value_types_count(const struct bs_value_type *types);

/* What the values of the metrics (metric.h) stand under, as those of an evaluation do under its
 * name. */
extern const char bs_model_values[];

/* The i-th type of all evaluations and metrics, and what it stands under; NULL after the last. */
const struct bs_value_type *bs_value_type_at(int i, const char **evaluation);

/* The type of a stored value, NULL where no plug-in of this program has it. */
const struct bs_value_type *bs_value_type_find(const char *evaluation, const char *name);

/* The same of a column of the table of linears. */
const struct bs_value_type *bs_linear_value_type_find(const char *name);

#endif
