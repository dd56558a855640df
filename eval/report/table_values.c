/* Values of trials, a row each, as /values of the result file has them. */
#include <string.h>

#include "eval/report/table_internal.h"

static const char *const headings[] = {"trial",      "model",          "text",  "label",
                                       "evaluation", "name",           "value", "se",
                                       "df",         "calibration_sd", "n",     "unit"};
enum { NUM_HEADINGS = sizeof headings / sizeof *headings };

static bool is_chosen(const struct bs_columns *chosen, const char *name)
{
    bool has = !chosen;
    for (int c = 0; chosen && c < chosen->count; c++)
        has = has || !strcmp(chosen->columns[c].name, name);
    return has;
}

static void add_value(struct bs_sheet *sheet, const struct bs_results *results,
                      const struct bs_row *row, const struct bs_value_row *value)
{
    const struct bs_value_type *type = bs_columns_type(results, value->name);
    const char *texts[] = {row->id,    row->model,        row->text,
                           row->label, value->evaluation, value->name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        bs_sheet_text(sheet, "%s", texts[i] ? texts[i] : "");
    bs_sheet_double(sheet, value->value);
    bs_sheet_double(sheet, value->se);
    bs_sheet_double(sheet, value->df);
    bs_sheet_double(sheet, value->calibration_sd);
    bs_sheet_int(sheet, value->n);
    bs_sheet_text(sheet, "%s", type && type->unit ? type->unit : "");
}

enum bs_status bs_values_print(const struct bs_trials *shown, const char *names,
                               enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_columns chosen;
    struct bs_sheet sheet;
    if (!bs_table_is_for_programs(style))
        return bs_fail(err, BS_ECONFIG,
                       "--values is a table for programs, expected --format csv, json or jsonl");
    if (names && bs_columns_parse(names, shown->all, &chosen, err))
        return err->status;
    bs_sheet_init(&sheet, NUM_HEADINGS);
    for (int j = 0; j < NUM_HEADINGS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < shown->results.num_rows; i++) {
        const struct bs_row *row = &shown->results.rows[i];
        for (int v = 0; v < row->num_values; v++)
            if (is_chosen(names ? &chosen : NULL, row->values[v].name))
                add_value(&sheet, &shown->results, row, &row->values[v]);
    }
    enum bs_status status = style == BS_TABLE_JSON ? bs_json_print(bs_sheet_json(&sheet), out, err)
                                                   : bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}
