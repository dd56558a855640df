/* Tables as papers have them: a row for each recipe, a column for each model or text. */
#include <math.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/report/table_internal.h"
#include "eval/tasks/evaluation.h"

enum { MOST_SIDES = 24 };

/* A trial of the table, or the mean of several draws of its calibration. */
struct entry {
    struct bs_row row;
    bool is_mean;
};

/* What stands side by side: a model on a text, with the values that are shown of it. */
struct side {
    const struct bs_row *first;
    struct bs_columns columns;
};

struct pivot {
    const struct bs_trials *shown;
    bool by_model; /* the columns are models, and each text has a table; else the other way round */
    const struct bs_columns *asked; /* NULL = the first value of each evaluation */
    int count;
    struct entry *entries;
    int num_sides;
    struct side sides[MOST_SIDES];
    struct bs_contest contest;
};

static bool same_model(const struct bs_row *a, const struct bs_row *b)
{
    return !strcmp(a->model, b->model) && !strcmp(a->model_digest, b->model_digest);
}

/* Whether two trials stand in one table, and whether in one column of it. */
static bool same_table(const struct pivot *pivot, const struct bs_row *a, const struct bs_row *b)
{
    return pivot->by_model ? bs_rows_comparable(a, b) : same_model(a, b);
}

static bool same_side(const struct bs_row *a, const struct bs_row *b)
{
    return same_model(a, b) && bs_rows_comparable(a, b);
}

/* The trials that are shown; of several draws of one calibration their mean alone. */
static enum bs_status find_entries(struct pivot *pivot, struct bs_error *err)
{
    const struct bs_results *results = &pivot->shown->results, *all = pivot->shown->all;
    pivot->entries = bs_calloc((size_t)results->num_rows, sizeof *pivot->entries);
    if (!pivot->entries)
        return bs_fail_memory(err);
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        bool is_mean = bs_trials_whole_group(pivot->shown, row) && bs_row_is_done(row);
        if (bs_trials_is_told(pivot->shown, i))
            continue;
        struct entry *entry = &pivot->entries[pivot->count];
        if (is_mean && bs_rows_mean(all->rows, all->num_rows, row, &entry->row, err))
            return err->status;
        if (!is_mean)
            entry->row = *row;
        entry->is_mean = is_mean;
        pivot->count++;
    }
    return BS_OK;
}

/* The values of a trial's evaluation among those that are asked for, else the first that a table
 * keeps. */
static void choose_values(const struct pivot *pivot, const struct bs_row *row,
                          struct bs_columns *columns)
{
    struct bs_columns usual;
    bs_columns_default(pivot->shown->all, row, &usual);
    const struct bs_columns *from = pivot->asked ? pivot->asked : &usual;
    columns->count = 0;
    for (int c = 0; c < from->count; c++) {
        const struct bs_column *column = &from->columns[c];
        bool own = bs_value_type_find(row->evaluation, column->name) != NULL;
        bool other = pivot->asked && (column->field || column->is_time || !column->type ||
                                      bs_value_type_find(bs_model_values, column->name));
        if (own || other)
            columns->columns[columns->count++] = *column;
        if (own && !pivot->asked)
            return;
    }
}

static enum bs_status find_sides(struct pivot *pivot, const struct bs_row *first,
                                 struct bs_error *err)
{
    pivot->num_sides = 0;
    for (int i = 0; i < pivot->count; i++) {
        const struct bs_row *row = &pivot->entries[i].row;
        bool known = !same_table(pivot, row, first);
        for (int s = 0; s < pivot->num_sides && !known; s++)
            known = same_side(row, pivot->sides[s].first);
        if (known)
            continue;
        if (pivot->num_sides == MOST_SIDES)
            return bs_fail(err, BS_ECONFIG,
                           "--pivot: more than %d %s side by side; choose some by "
                           "--where",
                           MOST_SIDES, pivot->by_model ? "models" : "texts");
        struct side *side = &pivot->sides[pivot->num_sides];
        side->first = row;
        choose_values(pivot, row, &side->columns);
        pivot->num_sides += side->columns.count > 0;
    }
    return BS_OK;
}

/* The trial of this label in the column; NULL where there is none. */
static const struct entry *find_entry(const struct pivot *pivot, const struct side *side,
                                      const char *label)
{
    for (int i = 0; i < pivot->count; i++)
        if (same_side(&pivot->entries[i].row, side->first) &&
            !strcmp(pivot->entries[i].row.label, label))
            return &pivot->entries[i];
    return NULL;
}

static void add_headings(struct bs_sheet *sheet, const struct pivot *pivot)
{
    bs_sheet_text(sheet, "recipe");
    bs_sheet_text(sheet, "bits/\nweight");
    for (int s = 0; s < pivot->num_sides; s++) {
        const struct side *side = &pivot->sides[s];
        const char *name = pivot->by_model ? bs_path_name(side->first->model) : side->first->text;
        for (int c = 0; c < side->columns.count; c++) {
            char line[96];
            snprintf(line, sizeof line, "%s", bs_column_heading(&side->columns.columns[c]));
            for (char *at = line; *at; at++)
                *at = *at == '\n' ? ' ' : *at;
            bs_sheet_text(sheet, "%s\n%s", name, line);
        }
    }
    for (int j = 1; j < sheet->num_columns && j < 64; j++)
        bs_sheet_keep(sheet, j);
}

static enum bs_status add_cell(struct bs_sheet *sheet, struct pivot *pivot,
                               const struct bs_column *column, const struct entry *entry,
                               struct bs_error *err)
{
    if (!entry || !bs_row_is_done(&entry->row)) {
        bs_sheet_text(sheet, "%s", entry ? "failed" : "\xe2\x80\x94");
        return BS_OK;
    }
    int column_number = sheet->num_cells % sheet->num_columns;
    int block =
        (1000 * entry->row.bits + entry->row.activation_bits) * 100 + entry->row.kv_code_bits;
    if (strcmp(entry->row.algorithm, "unquantized") &&
        bs_contest_add(&pivot->contest, sheet, column, column_number, block, &entry->row, err))
        return err->status;
    bs_column_add(sheet, column, &entry->row, entry->is_mean);
    return BS_OK;
}

static enum bs_status add_row(struct bs_sheet *sheet, struct pivot *pivot, const struct bs_row *row,
                              struct bs_error *err)
{
    bs_sheet_text(sheet, "%s", row->label);
    bs_sheet_rounded(sheet, bs_row_number(row, "bits_per_weight"));
    for (int s = 0; s < pivot->num_sides; s++) {
        const struct side *side = &pivot->sides[s];
        const struct entry *entry = find_entry(pivot, side, row->label);
        for (int c = 0; c < side->columns.count; c++)
            if (add_cell(sheet, pivot, &side->columns.columns[c], entry, err))
                return err->status;
    }
    return BS_OK;
}

/* A row for each label of the table, the unquantized models first. */
static enum bs_status add_rows(struct bs_sheet *sheet, struct pivot *pivot,
                               const struct bs_row *first, struct bs_error *err)
{
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < pivot->count; i++) {
            const struct bs_row *row = &pivot->entries[i].row;
            bool told = !same_table(pivot, row, first) ||
                        !strcmp(row->algorithm, "unquantized") != (pass == 0);
            for (int k = 0; k < i && !told; k++)
                told = same_table(pivot, &pivot->entries[k].row, first) &&
                       !strcmp(pivot->entries[k].row.label, row->label);
            if (!told && add_row(sheet, pivot, row, err))
                return err->status;
        }
    return BS_OK;
}

/* How each text was measured: above the table of one, below that of several. */
static void add_words(struct bs_sheet *sheet, const struct pivot *pivot, const struct bs_row *first)
{
    char measured[BS_MEASURED_TEXT];
    bs_row_measured(first, measured);
    if (pivot->by_model)
        bs_sheet_title(sheet, "%s, %s. \xc2\xb1 is one standard error.", first->text, measured);
    else
        bs_sheet_title(sheet, "%s. \xc2\xb1 is one standard error.", first->model);
    bs_sheet_label(sheet, "tab:%s", pivot->by_model ? first->text : bs_path_name(first->model));
    for (int s = 0; s < pivot->num_sides && !pivot->by_model; s++) {
        bs_row_measured(pivot->sides[s].first, measured);
        bs_sheet_note(sheet, "%s: %s", pivot->sides[s].first->text, measured);
    }
}

static enum bs_status print_table(struct pivot *pivot, const struct bs_row *first,
                                  enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_sheet sheet;
    int num_columns = 2;
    if (find_sides(pivot, first, err))
        return err->status;
    for (int s = 0; s < pivot->num_sides; s++)
        num_columns += pivot->sides[s].columns.count;
    bs_sheet_init(&sheet, num_columns);
    add_words(&sheet, pivot, first);
    add_headings(&sheet, pivot);
    enum bs_status status = add_rows(&sheet, pivot, first, err);
    if (bs_contest_settle(&pivot->contest, &sheet) &&
        (style == BS_TABLE_LATEX || style == BS_TABLE_HTML))
        bs_sheet_note(&sheet,
                      "bold: the best of equally many bits, and what is within two standard errors "
                      "of it");
    if (!status)
        status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

static void release(struct pivot *pivot)
{
    for (int i = 0; i < pivot->count; i++)
        if (pivot->entries[i].is_mean)
            bs_rows_mean_release(&pivot->entries[i].row);
    bs_free(pivot->entries);
}

enum bs_status bs_pivot_print(const struct bs_trials *shown, const char *by, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_columns asked;
    struct pivot pivot = {.shown = shown, .by_model = !strcmp(by, "model")};
    if (!pivot.by_model && strcmp(by, "text"))
        return bs_fail(err, BS_ECONFIG, "--pivot '%s': expected model or text", by);
    if (bs_table_is_for_programs(style))
        return bs_fail(err, BS_ECONFIG,
                       "--pivot is for the eye: for programs model and text are "
                       "columns, to be turned by them");
    if (columns && bs_columns_parse(columns, shown->all, &asked, err))
        return err->status;
    pivot.asked = columns ? &asked : NULL;
    enum bs_status status = find_entries(&pivot, err);
    int tables = 0;
    for (int i = 0; i < pivot.count && !status; i++) {
        bool begun = false;
        for (int k = 0; k < i && !begun; k++)
            begun = same_table(&pivot, &pivot.entries[k].row, &pivot.entries[i].row);
        if (begun)
            continue;
        if (tables++)
            fputc('\n', out);
        status = print_table(&pivot, &pivot.entries[i].row, style, out, err);
    }
    if (!pivot.count && !status)
        fprintf(out, "none of %d trials fits\n", shown->all->num_rows);
    release(&pivot);
    return status;
}
