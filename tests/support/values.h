/* Values by their names: of linears, of what a walk brought, and rows of result files for tests. */
#ifndef BS_TESTS_SUPPORT_VALUES_H
#define BS_TESTS_SUPPORT_VALUES_H

#include "eval/run/walk.h"
#include "eval/store/results.h"

/* The value of this name; fails the test where no metric has it. */
double layer_value(const struct bs_layer_row *row, const char *name);
void set_layer_value(struct bs_layer_row *row, const char *name, double value);

/* Over all linears of a variant; NaN where it does not exist. */
double variant_value(const struct bs_variant *variant, const char *name);

/* What the metrics call the values of a linear, for the table of a record. */
struct bs_layer_table layer_table(struct bs_layer_row *rows, int num_rows);

/* A value for a row, whose standard error is NaN for none. Its evaluation is that which has the
 * name in this program. */
struct bs_value_row value_row(const char *name, double value, double se);

/* The row's value of this name, which it must have; to change it. */
struct bs_value_row *value_of(struct bs_row *row, const char *name);

#endif
