#include "tests/support/values.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/tasks/metric.h"

static int column_of(const char *name)
{
    for (int c = 0; c < bs_metrics_linear_values(); c++)
        if (!strcmp(bs_metrics_linear_value_at(c)->name, name))
            return c;
    fail_msg("no metric has '%s' of a linear", name);
    return 0;
}

double layer_value(const struct bs_layer_row *row, const char *name)
{
    return row->values[column_of(name)];
}

void set_layer_value(struct bs_layer_row *row, const char *name, double value)
{
    row->values[column_of(name)] = value;
}

double variant_value(const struct bs_variant *variant, const char *name)
{
    const struct bs_metric_model model = {.linears = variant->totals.linears,
                                          .weights = variant->totals.weights,
                                          .matrix_bits = variant->linear_bits,
                                          .matrix_weights = variant->linear_weights};
    struct bs_measured values[64];
    int count;
    bs_metrics_model(&model, variant->totals.sums, variant->totals.values, values, &count);
    for (int i = 0; i < count; i++)
        if (!strcmp(values[i].type->name, name))
            return values[i].value;
    return (double)NAN;
}

struct bs_layer_table layer_table(struct bs_layer_row *rows, int num_rows)
{
    static char columns[BS_MOST_LINEAR_VALUES][40];
    int count = bs_metrics_linear_values();
    for (int c = 0; c < count; c++)
        snprintf(columns[c], sizeof columns[c], "%s", bs_metrics_linear_value_at(c)->name);
    return (struct bs_layer_table){
        .num_rows = num_rows, .num_columns = count, .rows = rows, .columns = columns};
}

struct bs_value_row value_row(const char *name, double value, double se)
{
    struct bs_value_row row = {
        .value = value, .se = se, .df = (double)NAN, .calibration_sd = (double)NAN, .n = 1};
    const struct bs_value_type *type;
    const char *evaluation;
    for (int i = 0; (type = bs_value_type_at(i, &evaluation)); i++)
        if (!strcmp(type->name, name))
            snprintf(row.evaluation, sizeof row.evaluation, "%s", evaluation);
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

struct bs_value_row *value_of(struct bs_row *row, const char *name)
{
    for (int v = 0; v < row->num_values; v++)
        if (!strcmp(row->values[v].name, name))
            return &row->values[v];
    fail_msg("the row has no '%s'", name);
    return NULL;
}
