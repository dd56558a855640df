#include "eval/report/columns.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/column_names.h"
#include "eval/tasks/evaluation.h"

/* What a table shows, in the order of its worth: a narrow terminal leaves out the last ones. */
static const struct {
    const char *name;
    bool kept;
    bool rare; /* shown where a trial of the section has it */
} defaults[] = {
    {"bits_per_weight", true, false},
    {"kv_bits", true, true},
    {"perplexity", true, false},
    {"perplexity_delta", true, false},
    {"kld_mean", true, false},
    {"kld_p999", false, false},
    {"same_top", false, false},
    {"acc", true, false},
    {"acc_delta", true, false},
    {"target_perplexity", true, false},
    {"target_perplexity_delta", true, false},
    {"acc_norm", false, false},
    {"acc_norm_delta", false, false},
    {"agreement", false, false},
    {"lost", false, false},
    {"gained", false, false},
    {"relative_output_error", false, false},
    {"compression_ratio", false, false},
    {"time", false, false},
};
enum { NUM_DEFAULTS = sizeof defaults / sizeof *defaults };

static void append(struct bs_columns *columns, struct bs_column column)
{
    if (columns->count < BS_MOST_COLUMNS)
        columns->columns[columns->count++] = column;
}

/* True where the list above names a value of the evaluation. */
static bool is_listed(const char *evaluation)
{
    for (int d = 0; d < NUM_DEFAULTS; d++)
        if (bs_value_type_find(evaluation, defaults[d].name))
            return true;
    return false;
}

/* The type of a value of this name that the evaluation or a metric has. */
static const struct bs_value_type *type_of(const char *evaluation, const char *name)
{
    const struct bs_value_type *type = bs_value_type_find(evaluation, name);
    return type ? type : bs_value_type_find(bs_model_values, name);
}

/* True where a row of the results is of the evaluation. */
static bool has_evaluation(const struct bs_results *results, const char *evaluation)
{
    bool found = !strcmp(evaluation, bs_model_values);
    for (int i = 0; i < results->num_rows && !found; i++)
        found = !strcmp(results->rows[i].evaluation, evaluation);
    return found;
}

static bool is_named(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

enum bs_status bs_columns_values(const struct bs_results *results, const char ***names, int *count,
                                 struct bs_error *err)
{
    const struct bs_value_type *type;
    const char *evaluation;
    size_t most = 1;
    for (int i = 0; bs_value_type_at(i, &evaluation); i++)
        most++;
    for (int i = 0; i < results->num_rows; i++)
        for (int v = 0; v < results->rows[i].num_values; v++)
            most += !bs_value_type_find(results->rows[i].values[v].evaluation,
                                        results->rows[i].values[v].name);
    *count = 0;
    *names = bs_alloc(most, sizeof **names);
    if (!*names)
        return bs_fail_memory(err);
    for (int i = 0; (type = bs_value_type_at(i, &evaluation)); i++)
        if (has_evaluation(results, evaluation) && !is_named(*names, *count, type->name))
            (*names)[(*count)++] = type->name;
    for (int i = 0; i < results->num_rows; i++)
        for (int v = 0; v < results->rows[i].num_values; v++) {
            const struct bs_value_row *value = &results->rows[i].values[v];
            if (!bs_value_type_find(value->evaluation, value->name) &&
                !is_named(*names, *count, value->name))
                (*names)[(*count)++] = value->name;
        }
    return BS_OK;
}

const struct bs_value_type *bs_columns_type(const struct bs_results *results, const char *name)
{
    const struct bs_value_type *type;
    const char *evaluation;
    for (int i = 0; (type = bs_value_type_at(i, &evaluation)); i++)
        if (!strcmp(type->name, name) && has_evaluation(results, evaluation))
            return type;
    return NULL;
}

void bs_columns_add_value(struct bs_columns *columns, const struct bs_results *results,
                          const char *name)
{
    for (int c = 0; c < columns->count; c++)
        if (!strcmp(columns->columns[c].name, name))
            return;
    append(columns,
           (struct bs_column){.name = name, .type = bs_columns_type(results, name), .kept = true});
}

/* All values of the evaluation's rows: in the order of its list, then those that this program does
 * not know. */
static void append_all(struct bs_columns *columns, const struct bs_results *results,
                       const char *evaluation)
{
    const struct bs_value_type *type;
    const char *own;
    for (int i = 0; (type = bs_value_type_at(i, &own)); i++)
        if (!strcmp(own, evaluation))
            bs_columns_add_value(columns, results, type->name);
    for (int i = 0; i < results->num_rows; i++)
        for (int v = 0; v < results->rows[i].num_values; v++)
            if (!strcmp(results->rows[i].values[v].evaluation, evaluation))
                bs_columns_add_value(columns, results, results->rows[i].values[v].name);
}

/* False where the row's section has values but none of this name: a task that is not measured by
 * it. */
static bool may_have(const struct bs_results *results, const struct bs_row *first, const char *name)
{
    bool any = false, has = false;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (!bs_rows_comparable(row, first))
            continue;
        any = any || row->num_values;
        has = has || bs_row_value(row, first->evaluation, name);
    }
    return has || !any;
}

/* True where any trial of the row's section has this value of the model. */
static bool any_has(const struct bs_results *results, const struct bs_row *first, const char *name)
{
    bool has = false;
    for (int i = 0; i < results->num_rows && !has; i++)
        has = bs_rows_comparable(&results->rows[i], first) &&
              bs_row_value(&results->rows[i], bs_model_values, name);
    return has;
}

void bs_columns_default(const struct bs_results *results, const struct bs_row *first,
                        struct bs_columns *columns)
{
    const char *evaluation = first->evaluation;
    columns->count = 0;
    for (int d = 0; d < NUM_DEFAULTS; d++) {
        const char *name = defaults[d].name;
        const struct bs_value_type *type = type_of(evaluation, name);
        bool is_time = !strcmp(name, "time");
        bool own = bs_value_type_find(evaluation, name) && bs_evaluation_has_answers(evaluation);
        if ((own && !may_have(results, first, name)) ||
            (defaults[d].rare && !any_has(results, first, name)))
            continue;
        if (type || is_time)
            append(columns,
                   (struct bs_column){
                       .name = name, .type = type, .is_time = is_time, .kept = defaults[d].kept});
        if (d == 0 && !is_listed(evaluation))
            append_all(columns, results, evaluation);
    }
}

/* What file a trial is in is a column where there are several. */
static const struct bs_field *field_of(const struct bs_results *results, const char *name)
{
    for (const struct bs_field *field = bs_row_type.fields; field->name; field++)
        if (!strcmp(field->name, name))
            return field;
    bool is_file = results->num_parts && !strcmp(bs_row_file_field.name, name);
    return is_file ? &bs_row_file_field : NULL;
}

static enum bs_status fail_unknown(const char *name, const char *const *values, int num_values,
                                   struct bs_error *err)
{
    const char *near = NULL;
    const char **all = bs_calloc((size_t)num_values + BS_MOST_FIELDS + 2, sizeof *all);
    int count = 0;
    for (int i = 0; all && i < num_values; i++)
        all[count++] = values[i];
    for (const struct bs_field *field = bs_row_type.fields; all && field->name; field++)
        all[count++] = field->name;
    if (all) {
        all[count++] = "time";
        near = bs_column_near(name, all);
    }
    bs_fail(err, BS_ECONFIG, "'%.60s' is no column: expected values or fields of the results%s%s%s",
            name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    bs_free((void *)all);
    return err->status;
}

enum bs_status bs_columns_parse(const char *list, const struct bs_results *results,
                                struct bs_columns *columns, struct bs_error *err)
{
    const char **values;
    int num_values;
    columns->count = 0;
    if (bs_columns_values(results, &values, &num_values, err))
        return err->status;
    enum bs_status status = BS_OK;
    for (const char *word = list; !status && *word;) {
        size_t length = strcspn(word, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), word);
        word += length + (word[length] == ',');
        const struct bs_field *field = field_of(results, name);
        struct bs_column column = {.kept = true, .is_time = !strcmp(name, "time"), .field = field};
        column.name = field ? field->name : column.is_time ? "time" : NULL;
        for (int i = 0; i < num_values && !column.name; i++)
            column.name = strcmp(values[i], name) ? NULL : values[i];
        if (!column.name) {
            status = fail_unknown(name, values, num_values, err);
            continue;
        }
        column.type = bs_columns_type(results, name);
        append(columns, column);
    }
    bs_free((void *)values);
    return status;
}

bool bs_columns_convention(const struct bs_columns *columns, enum bs_convention *convention)
{
    for (int c = 0; c < columns->count; c++)
        for (int k = 0; k < BS_NUM_CONVENTIONS; k++)
            if (!strcmp(columns->columns[c].name, bs_convention_names[k])) {
                *convention = (enum bs_convention)k;
                return true;
            }
    return false;
}

bool bs_row_has_convention(const struct bs_row *row, enum bs_convention convention)
{
    return bs_row_value(row, row->evaluation, bs_convention_names[convention]) != NULL;
}

const char *bs_column_heading(const struct bs_column *column)
{
    if (column->is_time)
        return "time\ns";
    return column->type && column->type->heading ? column->type->heading : column->name;
}

double bs_row_seconds(const struct bs_row *row)
{
    return (isnan(row->seconds_quantize) ? 0 : row->seconds_quantize) + row->seconds_evaluate;
}

double bs_column_number(const struct bs_column *column, const struct bs_row *row)
{
    if (column->is_time)
        return bs_row_seconds(row);
    if (!column->field)
        return bs_row_number(row, column->name);
    if (column->field->kind == BS_FIELD_INT)
        return bs_field_int(column->field, row);
    return column->field->kind == BS_FIELD_DOUBLE ? bs_field_double(column->field, row)
                                                  : (double)NAN;
}

/* A value as its type has it. */
static void add_value(struct bs_sheet *sheet, const struct bs_value_type *type,
                      const struct bs_value_row *value, bool is_mean)
{
    static const struct bs_value_type unknown = {.name = ""};
    type = type ? type : &unknown;
    double scale = type->scale > 0 ? type->scale : 1;
    double number = value ? scale * value->value : (double)NAN;
    int least = fabs(number) < 1000 ? type->decimals : 0;
    bool uncertain = type->uncertain || (value && type == &unknown && isfinite(value->se));
    if (uncertain && is_mean && value)
        bs_sheet_spread(sheet, number, scale * value->se, scale * value->calibration_sd,
                        type->signed_, least);
    else if (uncertain)
        bs_sheet_estimate(sheet, number, value ? scale * value->se : (double)NAN, type->signed_,
                          least);
    else if (type->whole && isfinite(number) && !is_mean)
        bs_sheet_text(sheet, "%.0f", number);
    else if (type->decimals && isfinite(number))
        bs_sheet_text(sheet, "%.*f", type->decimals, number);
    else
        bs_sheet_rounded(sheet, number);
}

void bs_column_add(struct bs_sheet *sheet, const struct bs_column *column, const struct bs_row *row,
                   bool is_mean)
{
    const struct bs_field *field = column->field;
    if (column->is_time)
        bs_sheet_rounded(sheet, bs_column_number(column, row));
    else if (!field)
        add_value(sheet, column->type, bs_row_value(row, NULL, column->name), is_mean);
    else if (field->kind == BS_FIELD_INT)
        bs_sheet_int(sheet, bs_field_int(field, row));
    else if (field->kind == BS_FIELD_DOUBLE)
        bs_sheet_rounded(sheet, bs_field_double(field, row));
    else
        bs_sheet_text(sheet, "%s", bs_field_text(field, row));
}
