/* Every field and value of every trial: what programs read, and what a selection is made by. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/columns.h"
#include "eval/report/selection.h"
#include "eval/report/table_internal.h"

const struct bs_published *bs_published_for(const struct bs_published_list *list,
                                            const struct bs_row *row, const char *value)
{
    for (int i = 0; i < list->count; i++) {
        const struct bs_published *p = &list->figures[i];
        bool same_windows = p->tokens == 0 || /* of a task, whose items lay them out */
                            (row->tokens == p->tokens && row->stride == p->stride &&
                             (p->windows == 0 || row->windows == p->windows));
        if (!strcmp(row->model, p->model) && !strcmp(row->text, p->text) &&
            !strcmp(row->recipe, p->label) && !strcmp(row->protocol, p->protocol) && same_windows &&
            (!value || !strcmp(value, p->value_name)))
            return p;
    }
    return NULL;
}

double bs_published_difference(const struct bs_published *p, const struct bs_row *row)
{
    return p && bs_row_is_done(row) ? bs_row_number(row, p->value_name) - p->value : (double)NAN;
}

/* What is printed for programs: the fields of a row, then of every value its number, where its type
 * is uncertain standard error, degrees of freedom and deviation over calibrations, and where
 * anything was published for one what that is. */
struct fields {
    const struct bs_results *results;
    const struct bs_published_list *published;
    int count;
    const char **names; /* of values */
};

static bool is_uncertain(const struct fields *fields, const char *name)
{
    const struct bs_value_type *type = bs_columns_type(fields->results, name);
    return !type || type->uncertain;
}

static bool was_published(const struct fields *fields, const char *name)
{
    for (int i = 0; i < fields->published->count; i++)
        if (!strcmp(fields->published->figures[i].value_name, name))
            return true;
    return false;
}

static const char *const uncertain_fields[] = {"se", "df", "calibration_sd"};
enum { NUM_UNCERTAIN = sizeof uncertain_fields / sizeof *uncertain_fields };
static const char *const published_fields[] = {"published", "difference", "difference_percent",
                                               "source"};
enum { NUM_PUBLISHED_FIELDS = sizeof published_fields / sizeof *published_fields };

static int count_fields(const struct fields *fields)
{
    int count = 1 + !!fields->results->num_parts; /* time, and of several files which */
    for (const struct bs_field *field = bs_row_type.fields; field->name; field++)
        count++;
    for (int i = 0; i < fields->count; i++)
        count += 1 + (is_uncertain(fields, fields->names[i]) ? NUM_UNCERTAIN : 0) +
                 (was_published(fields, fields->names[i]) ? NUM_PUBLISHED_FIELDS : 0);
    return count;
}

static void add_field_names(struct bs_sheet *sheet, const struct fields *fields)
{
    bs_sheet_header(sheet, &bs_row_type);
    for (int i = 0; i < fields->count; i++) {
        const char *name = fields->names[i];
        bs_sheet_text(sheet, "%s", name);
        for (int k = 0; is_uncertain(fields, name) && k < NUM_UNCERTAIN; k++)
            bs_sheet_text(sheet, "%s_%s", name, uncertain_fields[k]);
        for (int k = 0; was_published(fields, name) && k < NUM_PUBLISHED_FIELDS; k++)
            bs_sheet_text(sheet, "%s%s_%s", name, k ? "_published" : "", published_fields[k]);
    }
    if (fields->results->num_parts)
        bs_sheet_text(sheet, "%s", bs_row_file_field.name);
    bs_sheet_text(sheet, "time");
}

static void add_published_fields(struct bs_sheet *sheet, const struct bs_published *p,
                                 const struct bs_row *row)
{
    if (p)
        bs_sheet_figure(sheet, p->printed, p->value);
    else
        bs_sheet_double(sheet, (double)NAN);
    double difference = bs_published_difference(p, row);
    bs_sheet_double(sheet, difference);
    bs_sheet_double(sheet, p ? 100 * difference / p->value : (double)NAN);
    bs_sheet_text(sheet, "%s", p ? p->source : "");
}

static void add_fields(struct bs_sheet *sheet, const struct fields *fields,
                       const struct bs_row *row)
{
    bs_sheet_record(sheet, &bs_row_type, row);
    for (int i = 0; i < fields->count; i++) {
        const char *name = fields->names[i];
        const double none = (double)NAN;
        const struct bs_value_row *value = bs_row_value(row, NULL, name);
        bs_sheet_double(sheet, value ? value->value : none);
        if (is_uncertain(fields, name)) {
            bs_sheet_double(sheet, value ? value->se : none);
            bs_sheet_double(sheet, value ? value->df : none);
            bs_sheet_double(sheet, value ? value->calibration_sd : none);
        }
        if (was_published(fields, name))
            add_published_fields(sheet, bs_published_for(fields->published, row, name), row);
    }
    if (fields->results->num_parts)
        bs_sheet_text(sheet, "%s", row->file);
    bs_sheet_double(sheet, bs_row_seconds(row));
}

enum bs_status bs_fields_sheet(const struct bs_results *results,
                               const struct bs_published_list *published, struct bs_sheet *sheet,
                               struct bs_error *err)
{
    struct fields fields = {.results = results, .published = published};
    if (bs_columns_values(results, &fields.names, &fields.count, err))
        return err->status;
    bs_sheet_init(sheet, count_fields(&fields));
    add_field_names(sheet, &fields);
    for (int i = 0; i < results->num_rows; i++)
        add_fields(sheet, &fields, &results->rows[i]);
    bs_free((void *)fields.names);
    return BS_OK;
}

enum bs_status bs_fields_print(const struct bs_results *results,
                               const struct bs_published_list *published, const char *columns,
                               enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const always[] = {"model", "text", "label", NULL};
    struct bs_sheet sheet;
    if (bs_fields_sheet(results, published, &sheet, err))
        return err->status;
    enum bs_status status = columns ? bs_sheet_narrow(&sheet, always, columns, err) : BS_OK;
    if (!status && style == BS_TABLE_JSON) {
        /* `o` takes the array, and a NULL one makes the whole NULL. */
        json_t *json = json_pack("{s:i, s:o}", "schema_version", results->schema_version, "trials",
                                 bs_sheet_json(&sheet));
        status = bs_json_print(json, out, err);
    } else if (!status) {
        status = bs_sheet_print(&sheet, style, out, err);
    }
    bs_sheet_release(&sheet);
    return status;
}

/* ---- the trials that a selection chooses ---- */

/* Of the same model, by name, on what may stand in one table. */
static bool same_table(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->model, b->model) && bs_rows_comparable(a, b);
}

/* The index of the first row that each stands in a table with: of every table a number that
 * ascends in the order of the file. */
static void find_tables(const struct bs_results *results, int *tables, bool *references)
{
    for (int i = 0; i < results->num_rows; i++) {
        tables[i] = 0;
        while (!same_table(&results->rows[tables[i]], &results->rows[i]))
            tables[i]++;
        references[i] = !strcmp(results->rows[i].algorithm, "unquantized");
    }
}

/* Takes the chosen rows. */
static enum bs_status take_rows(const struct bs_results *results, struct bs_chosen *chosen,
                                struct bs_trials *shown, struct bs_error *err)
{
    shown->results = *results;
    shown->results.num_rows = chosen->count;
    shown->results.rows = bs_alloc((size_t)chosen->count, sizeof *shown->results.rows);
    if (!shown->results.rows)
        return bs_fail_memory(err);
    for (int i = 0; i < chosen->count; i++)
        shown->results.rows[i] = results->rows[chosen->rows[i]];
    shown->groups = chosen->groups;
    chosen->groups = NULL;
    return BS_OK;
}

/* What --fail-if says of them. */
static enum bs_status check_gate(const struct bs_selection *selection, const struct bs_sheet *sheet,
                                 const struct bs_chosen *chosen, const struct bs_results *results,
                                 struct bs_trials *shown, struct bs_error *err)
{
    if (!selection->fail_if)
        return BS_OK;
    for (int i = 0; i < chosen->count; i++)
        shown->num_failed += !bs_row_is_done(&results->rows[chosen->rows[i]]);
    return bs_gate_check(selection->fail_if, sheet, chosen, &shown->gate, err);
}

enum bs_status bs_trials_select(const struct bs_results *results,
                                const struct bs_published_list *published,
                                const struct bs_selection *selection, struct bs_trials *shown,
                                struct bs_error *err)
{
    struct bs_sheet sheet;
    struct bs_chosen chosen = {.count = 0};
    size_t rows = (size_t)results->num_rows;
    *shown = (struct bs_trials){.all = results};
    if (bs_fields_sheet(results, published, &sheet, err))
        return err->status;
    int *tables = bs_alloc(rows, sizeof *tables);
    bool *references = bs_alloc(rows, sizeof *references);
    enum bs_status status = tables && references ? BS_OK : bs_fail_memory(err);
    if (!status) {
        find_tables(results, tables, references);
        bool ordered =
            selection->sort || selection->group_by || selection->top || selection->keeps_references;
        status = bs_selection_choose(selection, &sheet, ordered ? tables : NULL,
                                     ordered ? references : NULL, &chosen, err);
    }
    if (!status)
        status = check_gate(selection, &sheet, &chosen, results, shown, err);
    shown->is_grouped = selection->group_by != NULL;
    if (!status)
        status = take_rows(results, &chosen, shown, err);
    bs_chosen_release(&chosen);
    bs_free(references);
    bs_free(tables);
    bs_sheet_release(&sheet);
    if (status)
        bs_trials_release(shown);
    return status;
}

void bs_trials_release(struct bs_trials *shown)
{
    bs_free(shown->results.rows);
    bs_free(shown->groups);
    bs_gate_release(&shown->gate);
    *shown = (struct bs_trials){.all = NULL};
}

bool bs_trials_whole_group(const struct bs_trials *shown, const struct bs_row *row)
{
    return bs_rows_whole_group(shown->results.rows, shown->results.num_rows, row);
}

bool bs_trials_is_told(const struct bs_trials *shown, int trial)
{
    const struct bs_row *rows = shown->results.rows;
    if (!bs_row_is_done(&rows[trial]) || !bs_trials_whole_group(shown, &rows[trial]))
        return false;
    for (int k = 0; k < trial; k++)
        if (bs_row_is_done(&rows[k]) && bs_rows_group(&rows[k], &rows[trial]))
            return true;
    return false;
}
