/* The values of every linear, a row each: of trials and linears that a selection chooses. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/selection.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/value.h"

/* A linear of a trial. */
struct entry {
    const struct bs_row *trial;
    const struct bs_layer_row *layer;
    const struct bs_layer_table *table; /* that it stands in */
};

struct layers {
    const struct bs_results *results;
    struct bs_layer_table *tables; /* [num_rows], of every trial */
    int num_columns;
    char columns[BS_MOST_LINEAR_VALUES][40]; /* of all tables */
    int count;
    struct entry *entries;
    int *sections; /* [count]: what may stand in one table for the eye has one number */
};

static void add_columns(struct layers *l, const struct bs_layer_table *table)
{
    for (int c = 0; c < table->num_columns; c++) {
        int k = 0;
        while (k < l->num_columns && strcmp(l->columns[k], table->columns[c]))
            k++;
        if (k == l->num_columns && k < BS_MOST_LINEAR_VALUES)
            memcpy(l->columns[l->num_columns++], table->columns[c], sizeof l->columns[0]);
    }
}

/* The first row that may stand in a table with this one. */
static int section_of(const struct bs_results *results, int row)
{
    int first = 0;
    while (strcmp(results->rows[first].model, results->rows[row].model) ||
           !bs_rows_comparable(&results->rows[first], &results->rows[row]))
        first++;
    return first;
}

static enum bs_status read_tables(struct layers *l, struct bs_error *err)
{
    const struct bs_results *results = l->results;
    size_t total = 0;
    l->tables = bs_calloc((size_t)results->num_rows, sizeof *l->tables);
    if (!l->tables)
        return bs_fail_memory(err);
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (!bs_row_is_done(row))
            continue;
        if (bs_results_read_layers(row->file, row->id, &l->tables[i], err))
            return err->status;
        add_columns(l, &l->tables[i]);
        total += (size_t)l->tables[i].num_rows;
    }
    l->entries = bs_alloc(total, sizeof *l->entries);
    l->sections = bs_alloc(total, sizeof *l->sections);
    if (!l->entries || !l->sections)
        return bs_fail_memory(err);
    for (int i = 0; i < results->num_rows; i++)
        for (int k = 0; k < l->tables[i].num_rows; k++) {
            l->sections[l->count] = section_of(results, i);
            l->entries[l->count++] =
                (struct entry){&results->rows[i], &l->tables[i].rows[k], &l->tables[i]};
        }
    return BS_OK;
}

/* NaN where the trial has no such column. */
static double value_of(const struct entry *entry, const char *column)
{
    int at = bs_layer_column(entry->table, column);
    return at < 0 ? (double)NAN : entry->layer->values[at];
}

static int count_fields(const struct bs_record_type *type)
{
    int count = 0;
    while (type->fields[count].name)
        count++;
    return count;
}

/* What programs and selections know a linear by: the fields of its trial, then its own. */
static void fill_sheet(const struct layers *l, const int *order, int count, struct bs_sheet *sheet)
{
    struct bs_field fields[BS_MOST_FIELDS];
    struct bs_record_type type = bs_layer_type(NULL, 0, fields);
    bs_sheet_init(sheet, count_fields(&bs_row_type) + count_fields(&type) + l->num_columns);
    bs_sheet_header(sheet, &bs_row_type);
    bs_sheet_header(sheet, &type);
    for (int c = 0; c < l->num_columns; c++)
        bs_sheet_text(sheet, "%s", l->columns[c]);
    for (int i = 0; i < count; i++) {
        const struct entry *entry = &l->entries[order ? order[i] : i];
        bs_sheet_record(sheet, &bs_row_type, entry->trial);
        bs_sheet_record(sheet, &type, entry->layer);
        for (int c = 0; c < l->num_columns; c++)
            bs_sheet_double(sheet, value_of(entry, l->columns[c]));
    }
}

/* ---- for programs ---- */

/* All that a linear has, in new memory, parted by commas. */
static char *all_columns(const struct layers *l)
{
    char *list = bs_strdup("out_features,in_features,seconds");
    for (int c = 0; c < l->num_columns && list; c++) {
        char *longer = bs_printf("%s,%s", list, l->columns[c]);
        bs_free(list);
        list = longer;
    }
    return list;
}

static enum bs_status print_for_programs(const struct layers *l, const struct bs_chosen *chosen,
                                         const char *columns, enum bs_table_style style, FILE *out,
                                         struct bs_error *err)
{
    static const char *const always[] = {"model", "text", "label", "id", "block", "name", NULL};
    struct bs_sheet sheet;
    char *all = all_columns(l);
    if (!all)
        return bs_fail_memory(err);
    fill_sheet(l, chosen->rows, chosen->count, &sheet);
    enum bs_status status = bs_sheet_narrow(&sheet, always, columns ? columns : all, err);
    if (!status && style == BS_TABLE_JSON)
        status = bs_json_print(bs_sheet_json(&sheet), out, err);
    else if (!status)
        status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    bs_free(all);
    return status;
}

/* ---- for the eye ---- */

/* The column that `word` begins with, up to a comma; -1 where there is none. */
static int named_value(const struct layers *l, const char *word)
{
    size_t length = strcspn(word, ",");
    for (int c = 0; c < l->num_columns; c++)
        if (strlen(l->columns[c]) == length && !strncmp(l->columns[c], word, length))
            return c;
    return -1;
}

/* Which values a section shows: those that `columns` names, else those that any of it has. */
static int shown_values(const struct layers *l, const struct bs_chosen *chosen, int section,
                        const char *columns, int *shown)
{
    int count = 0;
    for (const char *word = columns; word && *word && count < BS_MOST_LINEAR_VALUES;) {
        shown[count++] = named_value(l, word);
        word += strcspn(word, ",");
        word += *word == ',';
    }
    for (int c = 0; c < l->num_columns && !columns; c++) {
        bool any = false;
        for (int i = 0; i < chosen->count && !any; i++)
            any = l->sections[chosen->rows[i]] == section &&
                  isfinite(value_of(&l->entries[chosen->rows[i]], l->columns[c]));
        if (any)
            shown[count++] = c;
    }
    return count;
}

static void add_value(struct bs_sheet *sheet, const struct bs_value_type *type, double value)
{
    double scale = type && type->scale > 0 ? type->scale : 1;
    if (type && type->decimals && isfinite(value))
        bs_sheet_text(sheet, "%.*f", type->decimals, scale * value);
    else if (type && type->whole && isfinite(value))
        bs_sheet_text(sheet, "%.0f", value);
    else
        bs_sheet_rounded(sheet, scale * value);
}

static void begin_section(const struct layers *l, int section, const int *shown, int num_shown,
                          struct bs_sheet *sheet)
{
    const struct bs_row *first = &l->results->rows[section];
    char measured[BS_MEASURED_TEXT];
    bs_row_measured(first, measured);
    bs_sheet_init(sheet, 4 + num_shown);
    sheet->num_names = 3;
    bs_sheet_title(sheet, "%s on %s, %s: every linear by itself.", first->model, first->text,
                   measured);
    bs_sheet_text(sheet, "recipe");
    bs_sheet_text(sheet, "block");
    bs_sheet_text(sheet, "linear");
    bs_sheet_text(sheet, "outputs \xc3\x97\ninputs");
    for (int c = 0; c < num_shown; c++) {
        const struct bs_value_type *type = bs_linear_value_type_find(l->columns[shown[c]]);
        bs_sheet_text(sheet, "%s", type && type->heading ? type->heading : l->columns[shown[c]]);
    }
    bs_sheet_keep(sheet, 4); /* the first value */
}

static enum bs_status print_section(const struct layers *l, const struct bs_chosen *chosen,
                                    int section, const char *columns, enum bs_table_style style,
                                    FILE *out, struct bs_error *err)
{
    struct bs_sheet sheet;
    int shown[BS_MOST_LINEAR_VALUES];
    int num_shown = shown_values(l, chosen, section, columns, shown), group = -1;
    begin_section(l, section, shown, num_shown, &sheet);
    for (int i = 0; i < chosen->count; i++) {
        const struct entry *entry = &l->entries[chosen->rows[i]];
        if (l->sections[chosen->rows[i]] != section)
            continue;
        if (group >= 0 && chosen->groups[i] != group)
            bs_sheet_rule(&sheet);
        group = chosen->groups[i];
        bs_sheet_text(&sheet, "%s", entry->trial->label);
        bs_sheet_text(&sheet, "%d", entry->layer->block);
        bs_sheet_text(&sheet, "%s", entry->layer->name);
        bs_sheet_text(&sheet, "%d \xc3\x97 %d", entry->layer->out_features,
                      entry->layer->in_features);
        for (int c = 0; c < num_shown; c++)
            add_value(&sheet, bs_linear_value_type_find(l->columns[shown[c]]),
                      value_of(entry, l->columns[shown[c]]));
    }
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* BS_ECONFIG for a word that is none of the values. */
static enum bs_status check_columns(const struct bs_sheet *sheet, const char *columns,
                                    const struct layers *l, struct bs_error *err)
{
    for (const char *word = columns ? columns : ""; *word;) {
        char name[64];
        int length = (int)strcspn(word, ",");
        snprintf(name, sizeof name, "%.*s", length < 63 ? length : 63, word);
        if (bs_sheet_find(sheet, name, "--columns: ", err) < 0)
            return err->status;
        if (named_value(l, word) < 0)
            return bs_fail(err, BS_ECONFIG,
                           "--columns: '%s' is no value of a linear, and these alone are for the "
                           "eye; --format csv has the fields of trials too",
                           name);
        word += length + (word[length] == ',');
    }
    return BS_OK;
}

/* The linears of a task's trials are those of a text's once more, where there is one. */
static bool is_once_more(const struct layers *l, const struct bs_chosen *chosen, int row)
{
    if (!bs_evaluation_has_answers(l->entries[row].trial->evaluation))
        return false;
    for (int i = 0; i < chosen->count; i++)
        if (!bs_evaluation_has_answers(l->entries[chosen->rows[i]].trial->evaluation))
            return true;
    return false;
}

static enum bs_status print_sections(const struct layers *l, const struct bs_chosen *chosen,
                                     const char *columns, enum bs_table_style style, FILE *out,
                                     struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int i = 0; i < chosen->count && !status; i++) {
        bool begun = is_once_more(l, chosen, chosen->rows[i]);
        for (int k = 0; k < i && !begun; k++)
            begun = l->sections[chosen->rows[k]] == l->sections[chosen->rows[i]];
        if (begun)
            continue;
        fputs(i ? "\n" : "", out);
        status = print_section(l, chosen, l->sections[chosen->rows[i]], columns, style, out, err);
    }
    return status;
}

/* Prints what the selection leaves of the linears. */
static enum bs_status print_chosen(const struct layers *l, const struct bs_selection *selection,
                                   const char *columns, enum bs_table_style style, FILE *out,
                                   struct bs_gate *gate, struct bs_error *err)
{
    struct bs_sheet sheet;
    struct bs_chosen chosen = {.count = 0};
    bool ordered = selection->sort || selection->group_by || selection->top;
    bool for_programs = bs_table_is_for_programs(style);
    fill_sheet(l, NULL, l->count, &sheet);
    enum bs_status status = for_programs ? BS_OK : check_columns(&sheet, columns, l, err);
    if (!status)
        status = bs_selection_choose(selection, &sheet, ordered ? l->sections : NULL, NULL, &chosen,
                                     err);
    if (!status && !chosen.count)
        status = bs_fail(err, BS_EDATA, "%s: none of %d linears of trials fits", l->results->path,
                         l->count);
    if (!status && selection->fail_if)
        status = bs_gate_check(selection->fail_if, &sheet, &chosen, gate, err);
    if (!status && for_programs)
        status = print_for_programs(l, &chosen, columns, style, out, err);
    else if (!status)
        status = print_sections(l, &chosen, columns, style, out, err);
    bs_chosen_release(&chosen);
    bs_sheet_release(&sheet);
    return status;
}

enum bs_status bs_layers_print(const struct bs_results *results,
                               const struct bs_selection *selection, const char *columns,
                               enum bs_table_style style, FILE *out, struct bs_gate *gate,
                               struct bs_error *err)
{
    struct layers l = {.results = results};
    *gate = (struct bs_gate){.held = 0};
    enum bs_status status = read_tables(&l, err);
    if (!status)
        status = print_chosen(&l, selection, columns, style, out, gate, err);
    for (int i = 0; l.tables && i < results->num_rows; i++)
        bs_layer_table_release(&l.tables[i]);
    bs_free(l.tables);
    bs_free(l.entries);
    bs_free(l.sections);
    return status;
}
