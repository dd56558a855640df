/* Columns as axes of a chart, and as what its panels are told by. */
#include <stdbool.h>
#include <string.h>

#include "eval/report/chart_internal.h"
#include "eval/report/chart_xy.h"

bool bs_column_is_number(const struct bs_column *column)
{
    return !column->field || column->field->kind == BS_FIELD_INT ||
           column->field->kind == BS_FIELD_DOUBLE;
}

enum bs_status bs_chart_axis(const struct bs_results *results, const char *axis, const char *name,
                             struct bs_column *found, struct bs_error *err)
{
    struct bs_columns columns;
    if (bs_columns_parse(name, results, &columns, err))
        return err->status;
    if (columns.count != 1)
        return bs_fail(err, BS_ECONFIG, "--%s takes one column, not '%s'", axis, name);
    if (!bs_column_is_number(&columns.columns[0]))
        return bs_fail(err, BS_ECONFIG, "--%s: '%s' is a text, expected a number", axis, name);
    *found = columns.columns[0];
    return BS_OK;
}

bool bs_column_is_bits(const struct bs_column *column)
{
    static const char *const names[] = {"bits", "activation_bits", "kv_code_bits",
                                        "bits_per_weight", BS_KV_BITS};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], column->name))
            return true;
    return false;
}

/* The column's heading in one line. */
void bs_chart_axis_name(const struct bs_plot *plot, const char *variable,
                        const struct bs_column *column)
{
    char name[96];
    bool is_weights = column->field && !strcmp(column->name, "bits");
    snprintf(name, sizeof name, "%s%s", is_weights ? "weight " : "", bs_column_heading(column));
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    char *parting = strchr(name, '\n');
    if (parting && parting > name && parting[-1] == '/')
        memmove(parting, parting + 1, strlen(parting));
    else if (parting)
        *parting = ' ';
    bs_script_text(plot->script, variable, name);
}

/* The first of the rows with the text that row `i` has. */
static int text_rank(const struct bs_column *column, const struct bs_row *const *rows, int i)
{
    int rank = 0;
    while (strcmp(bs_field_text(column->field, rows[rank]), bs_field_text(column->field, rows[i])))
        rank++;
    return rank;
}

static bool comes_before(const struct bs_columns *columns, const struct bs_row *const *rows, int a,
                         int b)
{
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        bool is_number = bs_column_is_number(column);
        double left = is_number ? bs_column_number(column, rows[a]) : text_rank(column, rows, a);
        double right = is_number ? bs_column_number(column, rows[b]) : text_rank(column, rows, b);
        if (left < right || left > right)
            return left < right;
    }
    return a < b;
}

void bs_chart_order(const struct bs_columns *columns, const struct bs_row *const *first, int count,
                    int *order)
{
    for (int i = 0; i < count; i++) {
        int at = i;
        for (; at > 0 && comes_before(columns, first, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}
