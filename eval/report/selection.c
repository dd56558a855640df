#include "eval/report/selection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"

enum { MOST_KEYS = 16, MOST_NAMED = 8 };

/* A column that rows are put in order by. */
struct key {
    int column;
    bool descending;
};

/* A row on its way. */
struct entry {
    const struct order *order;
    int row, table;
    bool is_reference;
};

struct order {
    const struct bs_sheet *sheet;
    int num_groups, num_keys;
    struct key groups[MOST_KEYS], keys[MOST_KEYS];
};

/* Reads a list of columns. */
static enum bs_status read_keys(const char *what, const char *list, const struct bs_sheet *sheet,
                                struct key *keys, int *count, struct bs_error *err)
{
    char name[64], where[80];
    *count = 0;
    snprintf(where, sizeof where, "%s: ", what);
    for (const char *word = list ? list : ""; *word;) {
        size_t length = strcspn(word, ",");
        bool descending = *word == '-';
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63) - descending,
                 word + descending);
        if (*count == MOST_KEYS)
            return bs_fail(err, BS_ECONFIG, "%stakes %d columns at most", where, MOST_KEYS);
        int column = bs_sheet_find(sheet, name, where, err);
        if (column < 0)
            return err->status;
        keys[(*count)++] = (struct key){column, descending};
        word += length + (word[length] == ',');
    }
    return BS_OK;
}

static const struct bs_sheet_cell *cell_of(const struct bs_sheet *sheet, int row, int column)
{
    return &sheet->cells[(size_t)(row + 1) * sheet->num_columns + column];
}

static bool is_missing(const struct bs_sheet_cell *cell)
{
    return cell->kind == BS_CELL_TEXT ? !*cell->text : isnan(cell->number);
}

/* What is missing comes last either way. */
static int compare_by(const struct bs_sheet *sheet, const struct key *key, int a, int b)
{
    const struct bs_sheet_cell *left = cell_of(sheet, a, key->column);
    const struct bs_sheet_cell *right = cell_of(sheet, b, key->column);
    if (is_missing(left) || is_missing(right))
        return is_missing(left) - is_missing(right);
    int order = left->kind == BS_CELL_TEXT
                    ? strcmp(left->text, right->text)
                    : (left->number > right->number) - (left->number < right->number);
    return key->descending ? -order : order;
}

static int by_order(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    const struct order *order = a->order;
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    if (a->is_reference != b->is_reference)
        return a->is_reference ? -1 : 1;
    for (int k = 0; k < order->num_groups && !a->is_reference; k++) {
        int by_key = compare_by(order->sheet, &order->groups[k], a->row, b->row);
        if (by_key)
            return by_key;
    }
    for (int k = 0; k < order->num_keys && !a->is_reference; k++) {
        int by_key = compare_by(order->sheet, &order->keys[k], a->row, b->row);
        if (by_key)
            return by_key;
    }
    return (a->row > b->row) - (a->row < b->row);
}

/* Whether two entries that follow one another are of one group. */
static bool same_group(const struct entry *a, const struct entry *b)
{
    bool same = a->table == b->table && a->is_reference == b->is_reference;
    for (int k = 0; k < a->order->num_groups && same; k++)
        same = !compare_by(a->order->sheet, &a->order->groups[k], a->row, b->row);
    return same;
}

/* Puts the entries in order and keeps the first `top` of each group. */
static void take(struct entry *entries, int count, int top, struct bs_chosen *chosen)
{
    int group = 0, in_group = 0;
    qsort(entries, (size_t)count, sizeof *entries, by_order);
    for (int i = 0; i < count; i++) {
        bool begins = i > 0 && !same_group(&entries[i - 1], &entries[i]);
        group += begins;
        in_group = begins ? 0 : in_group;
        if (top && !entries[i].is_reference && in_group++ >= top)
            continue;
        chosen->rows[chosen->count] = entries[i].row;
        chosen->groups[chosen->count++] = group;
    }
}

static enum bs_status find_entries(const struct bs_selection *selection, const struct order *order,
                                   const int *tables, const bool *references, struct entry *entries,
                                   int *count, struct bs_error *err)
{
    const struct bs_sheet *sheet = order->sheet;
    struct bs_expression *where = NULL;
    if (selection->where && bs_expression_parse("--where", selection->where, sheet, &where, err))
        return err->status;
    for (int i = 0; i < sheet->num_cells / sheet->num_columns - 1; i++)
        if (!where || (selection->keeps_references && references && references[i]) ||
            bs_expression_holds(where, sheet, i + 1) == BS_TRUE)
            entries[(*count)++] =
                (struct entry){order, i, tables ? tables[i] : 0, references && references[i]};
    bs_expression_free(where);
    return BS_OK;
}

enum bs_status bs_selection_choose(const struct bs_selection *selection,
                                   const struct bs_sheet *sheet, const int *tables,
                                   const bool *references, struct bs_chosen *chosen,
                                   struct bs_error *err)
{
    struct order order = {.sheet = sheet};
    size_t most = (size_t)(sheet->num_cells / sheet->num_columns);
    *chosen = (struct bs_chosen){.count = 0};
    if (sheet->out_of_memory)
        return bs_fail_memory(err);
    if (read_keys("--group-by", selection->group_by, sheet, order.groups, &order.num_groups, err) ||
        read_keys("--sort", selection->sort, sheet, order.keys, &order.num_keys, err))
        return err->status;
    struct entry *entries = bs_alloc(most, sizeof *entries);
    chosen->rows = bs_alloc(most, sizeof *chosen->rows);
    chosen->groups = bs_alloc(most, sizeof *chosen->groups);
    enum bs_status status = entries && chosen->rows && chosen->groups ? BS_OK : bs_fail_memory(err);
    int count = 0;
    if (!status)
        status = find_entries(selection, &order, tables, references, entries, &count, err);
    if (!status)
        take(entries, count, selection->top, chosen);
    bs_free(entries);
    if (status)
        bs_chosen_release(chosen);
    return status;
}

void bs_chosen_release(struct bs_chosen *chosen)
{
    bs_free(chosen->rows);
    bs_free(chosen->groups);
    *chosen = (struct bs_chosen){.count = 0};
}

/* "gptq w3 g128 (datasets/tiny on evaluation)"; of a pair the labels that it has, "rtn / gptq" */
static void print_row_name(const struct bs_sheet *sheet, int row, FILE *out)
{
    static const char *const labels[] = {"label", "label_a", "label_b"};
    static const char *const subject[] = {"model", "text"};
    const char *before = "";
    for (int p = 0; p < 3; p++) {
        int column = bs_sheet_find(sheet, labels[p], "", NULL);
        const char *label = column >= 0 ? bs_sheet_cell(sheet, row + 1, column) : "";
        if (!*label)
            continue;
        fprintf(out, "%s%s", before, label);
        before = " / ";
    }
    before = " (";
    for (int p = 0; p < 2; p++) {
        int column = bs_sheet_find(sheet, subject[p], "", NULL);
        if (column >= 0)
            fprintf(out, "%s%s", before, bs_sheet_cell(sheet, row + 1, column));
        before = " on ";
    }
    fputc(')', out);
}

enum bs_status bs_gate_check(const char *condition, const struct bs_sheet *sheet,
                             const struct bs_chosen *chosen, struct bs_gate *gate,
                             struct bs_error *err)
{
    struct bs_expression *expression;
    struct bs_print printing;
    *gate = (struct bs_gate){.held = 0};
    if (bs_expression_parse("--fail-if", condition, sheet, &expression, err))
        return err->status;
    FILE *out = bs_print_begin(&printing);
    for (int i = 0; out && i < chosen->count; i++) {
        enum bs_truth truth = bs_expression_holds(expression, sheet, chosen->rows[i] + 1);
        gate->open += truth == BS_UNKNOWN;
        gate->told += truth != BS_UNKNOWN;
        if (truth != BS_TRUE)
            continue;
        if (gate->held < MOST_NAMED) {
            fputs(gate->held ? ", " : "", out);
            print_row_name(sheet, chosen->rows[i], out);
        }
        gate->held++;
    }
    if (out && gate->held > MOST_NAMED)
        fprintf(out, " and %d more", gate->held - MOST_NAMED);
    gate->names = out ? bs_print_end(&printing) : NULL;
    bs_expression_free(expression);
    return gate->names ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_gate_report(const char *condition, const struct bs_gate *gate, int num_failed,
                              FILE *out, bool *passed, struct bs_error *err)
{
    *passed = gate->told && !gate->held && !num_failed;
    if (!gate->told && !num_failed)
        return bs_fail(err, BS_EDATA,
                       "--fail-if '%s': none of %d rows has what it asks for: nothing was tested",
                       condition, gate->open);
    if (gate->held)
        bs_print_line(out, "bitsweep: --fail-if '%s' holds of %d of %d: %s", condition, gate->held,
                      gate->told, gate->names);
    if (num_failed)
        bs_print_line(out, "bitsweep: --fail-if: %d of %d trials failed, of which nothing is known",
                      num_failed, gate->told + gate->open);
    return BS_OK;
}

void bs_gate_release(struct bs_gate *gate)
{
    bs_free(gate->names);
    *gate = (struct bs_gate){.held = 0};
}
