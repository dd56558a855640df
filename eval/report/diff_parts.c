/* What the tables of compared trials have in common: names, columns, counts and notes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/linalg/numerics.h"
#include "eval/report/diff_internal.h"
#include "eval/tasks/evaluation.h"

/* ---- names ---- */

/* "gptq w3 g128", or "gptq w3 g128, 3 calibrations", in new memory. */
static char *side_name(const struct bs_row *const *rows, int num_rows)
{
    return num_rows == 1 ? bs_strdup(rows[0]->label)
                         : bs_printf("%s, %d calibrations", rows[0]->recipe, num_rows);
}

/* Whether the pairs of one file are all of the same two recipes. */
static bool has_one_couple(const struct bs_pairs *pairs)
{
    const struct bs_pair *first = &pairs->pairs[0];
    bool one = pairs->between[0] != NULL;
    for (int i = 1; i < pairs->num_pairs && one; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        one = !strcmp(pair->a[0]->label, first->a[0]->label) &&
              !strcmp(pair->b[0]->label, first->b[0]->label);
    }
    return one;
}

void bs_diff_title(struct bs_sheet *sheet, const struct bs_pairs *pairs, const char *rest)
{
    if (!pairs->between[0]) {
        bs_sheet_title(sheet, "A: %s, B: %s%s", pairs->a->path, pairs->b->path, rest);
        return;
    }
    if (!has_one_couple(pairs)) {
        bs_sheet_title(sheet, "%s: trials A and B%s", pairs->a->path, rest);
        return;
    }
    const struct bs_pair *pair = &pairs->pairs[0];
    char *a = side_name(pair->a, pair->num_a), *b = side_name(pair->b, pair->num_b);
    if (a && b)
        bs_sheet_title(sheet, "%s: A: %s, B: %s%s", pairs->a->path, a, b, rest);
    sheet->out_of_memory |= !a || !b;
    bs_free(a);
    bs_free(b);
}

void bs_diff_add_name_heading(struct bs_sheet *sheet, const struct bs_pairs *pairs)
{
    bool one_file = pairs->between[0] != NULL;
    bs_sheet_text(sheet, "%s", !one_file ? "recipe" : has_one_couple(pairs) ? "text" : "A / B");
}

/* A pair of one file: the trials unless the title names them, and the text. */
static void add_couple(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                       const struct bs_pair *pair, bool several)
{
    const char *model = pairs->by_model ? pair->a[0]->model : "";
    const char *parting = pairs->by_model ? ", " : "", *text = pair->a[0]->text;
    if (has_one_couple(pairs)) {
        bs_sheet_text(sheet, "%s%s%s%s", model, parting, text, pair->recalibrated ? " *" : "");
        return;
    }
    char *a = side_name(pair->a, pair->num_a), *b = side_name(pair->b, pair->num_b);
    bs_sheet_text(sheet, "%s%s%s / %s%s%s%s", model, parting, a ? a : "", b ? b : "",
                  pair->recalibrated ? " *" : "", several ? ", " : "", several ? text : "");
    sheet->out_of_memory |= !a || !b;
    bs_free(a);
    bs_free(b);
}

void bs_diff_add_name(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                      const struct bs_pair *pair)
{
    bool several = false;
    for (int i = 0; i < pairs->num_pairs; i++)
        several = several || (pairs->pairs[i].what == pair->what &&
                              strcmp(pairs->pairs[i].a[0]->text, pair->a[0]->text));
    const struct bs_row *row = pair->a[0];
    char calibrations[64] = "";
    bool group = pair->num_a + pair->num_b > 2;
    if (pairs->between[0]) {
        add_couple(sheet, pairs, pair, several);
        return;
    }
    if (group)
        snprintf(calibrations, sizeof calibrations, ", %d and %d calibrations", pair->num_a,
                 pair->num_b);
    bs_sheet_text(sheet, "%s%s%s%s%s%s%s", pairs->by_model ? row->model : "",
                  pairs->by_model ? ", " : "", group ? row->recipe : row->label, calibrations,
                  pair->recalibrated ? " *" : "", several ? ", " : "", several ? row->text : "");
}

/* ---- columns ---- */

struct bs_mean bs_diff_mean(const struct bs_column *column, const struct bs_row *const *rows,
                            int num_rows)
{
    const struct bs_value_row *first = bs_row_value(rows[0], NULL, column->name);
    struct bs_mean mean = {.se = first ? first->se : (double)NAN};
    for (int i = 0; i < num_rows; i++)
        mean.mean += bs_column_number(column, rows[i]) / num_rows;
    return mean;
}

/* What a value is multiplied by where it is shown. */
static double scale_of(const struct bs_column *column)
{
    return column->type && column->type->scale > 0 ? column->type->scale : 1;
}

static void add_value(struct bs_sheet *sheet, const struct bs_column *column,
                      const struct bs_row *const *rows, int num_rows)
{
    struct bs_mean mean = bs_diff_mean(column, rows, num_rows);
    double scale = scale_of(column);
    if (column->type && column->type->uncertain)
        bs_sheet_estimate(sheet, scale * mean.mean, scale * mean.se, column->type->signed_,
                          column->type->decimals);
    else
        bs_sheet_rounded(sheet, scale * mean.mean);
}

bool bs_diff_is_paired(const struct bs_column *column) { return !strcmp(column->name, "kld_mean"); }

int bs_diff_num_values(const struct bs_columns *columns)
{
    int count = 2 * columns->count;
    for (int c = 0; c < columns->count; c++)
        count += bs_diff_is_paired(&columns->columns[c]);
    return count;
}

void bs_diff_add_values(struct bs_sheet *sheet, const struct bs_columns *columns,
                        const struct bs_pair *pair)
{
    const struct bs_mean *divergence = &pair->divergence;
    for (int c = 0; c < columns->count; c++) {
        add_value(sheet, &columns->columns[c], pair->a, pair->num_a);
        add_value(sheet, &columns->columns[c], pair->b, pair->num_b);
        if (bs_diff_is_paired(&columns->columns[c])) {
            double scale = scale_of(&columns->columns[c]);
            bs_sheet_estimate(sheet, scale * divergence->mean, scale * divergence->se, true, 0);
        }
    }
}

/* "KL mean A\n10^-3 nats". */
static void add_value_heading(struct bs_sheet *sheet, const struct bs_column *column,
                              const char *side)
{
    const char *heading = bs_column_heading(column);
    int first = (int)strcspn(heading, "\n");
    bs_sheet_text(sheet, "%.*s %s%s", first, heading, side, heading + first);
}

void bs_diff_add_headings(struct bs_sheet *sheet, const struct bs_columns *columns)
{
    for (int c = 0; c < columns->count; c++) {
        add_value_heading(sheet, &columns->columns[c], "A");
        add_value_heading(sheet, &columns->columns[c], "B");
        if (bs_diff_is_paired(&columns->columns[c]))
            add_value_heading(sheet, &columns->columns[c], "B - A");
    }
}

/* ---- notes ---- */

static bool is_significant(const struct bs_pair *pair)
{
    return !pair->identical && pair->p_holm < BS_DIFF_LEVEL;
}

/* Whether the numerics of this name give the same bits on every machine. */
static bool is_same_everywhere(const char *name)
{
    const struct bs_numerics *numerics = bs_numerics_find(name);
    return numerics && numerics->same_everywhere;
}

struct bs_diff_counts bs_diff_count(const struct bs_pairs *pairs, enum bs_compared what)
{
    struct bs_diff_counts counts = {0};
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        if (pair->what != what)
            continue;
        counts.all++;
        counts.significant += is_significant(pair);
        counts.identical += pair->identical;
        counts.grouped += pair->num_a + pair->num_b > 2;
        counts.recalibrated += pair->recalibrated;
        const struct bs_row *a = pair->a[0], *b = pair->b[0];
        if (strcmp(a->numerics, b->numerics))
            counts.other_numerics++;
        else if (!is_same_everywhere(a->numerics))
            counts.other_machines += strcmp(a->cpu, b->cpu) || strcmp(a->blas, b->blas);
    }
    return counts;
}

/* What the trial has of what is compared, for a note; of a task else its acc. */
static void print_value(const struct bs_pairs *pairs, enum bs_compared what,
                        const struct bs_row *row, char *out, size_t size)
{
    const char *value = bs_diff_value(pairs, what), *instead = bs_convention_names[BS_ACC];
    if (bs_row_value(row, row->evaluation, value))
        snprintf(out, size, "%s %.4g", value, bs_row_number(row, value));
    else if (bs_row_value(row, row->evaluation, instead))
        snprintf(out, size, "no %s, %s %.4g", value, instead, bs_row_number(row, instead));
    else
        snprintf(out, size, "no %s", value);
}

/* Lists the trials of one of two files that stand in no pair, of texts or of tasks. */
static void note_single(struct bs_sheet *sheet, const struct bs_pairs *pairs, enum bs_compared what,
                        bool of_a)
{
    const struct bs_results *from = of_a ? pairs->a : pairs->b;
    const bool *paired = of_a ? pairs->paired_a : pairs->paired_b;
    const bool *open = of_a ? pairs->open_a : pairs->open_b;
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        char value[96];
        if (!bs_row_is_done(row) || paired[i] ||
            bs_evaluation_has_answers(row->evaluation) != (what != BS_COMPARE_TOKENS))
            continue;
        print_value(pairs, what, row, value, sizeof value);
        bs_sheet_note(sheet, "%s %s: %s%s%s on %s, %s",
                      open[i] ? "not paired, having several candidates: in" : "only in",
                      of_a ? "A" : "B", pairs->by_model ? row->model : "",
                      pairs->by_model ? ", " : "", row->label, row->text, value);
    }
}

void bs_diff_note_counts(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                         enum bs_compared what)
{
    struct bs_diff_counts counts = bs_diff_count(pairs, what);
    bs_sheet_note(sheet,
                  "%d compared: %d differ%s significantly (p corrected below %g), %d %s the same "
                  "bits in every %s",
                  counts.all, counts.significant, counts.significant == 1 ? "s" : "", BS_DIFF_LEVEL,
                  counts.identical, counts.identical == 1 ? "has" : "have",
                  what != BS_COMPARE_TOKENS ? "answer's log-likelihood" : "token's NLL");
    if (pairs->num_failed)
        bs_sheet_note(sheet, "%d that the names fit failed, and %s not compared", pairs->num_failed,
                      pairs->num_failed == 1 ? "is" : "are");
}

void bs_diff_note_provenance(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                             enum bs_compared what)
{
    struct bs_diff_counts counts = bs_diff_count(pairs, what);
    if (counts.grouped)
        bs_sheet_note(sheet,
                      "of several calibrations B - A is that of their means, and its \xc2\xb1 "
                      "and p include what another draw does");
    if (counts.recalibrated)
        bs_sheet_note(sheet, "* calibrated on other windows: \xc2\xb1 and p do not include what "
                             "another draw does, which takes several seeds to know");
    if (counts.other_numerics)
        bs_sheet_note(sheet,
                      "%d of %d %s computed by other numerics: products differ in their last bits, "
                      "and what is near a tie in more",
                      counts.other_numerics, counts.all,
                      counts.other_numerics == 1 ? "was" : "were");
    if (counts.other_machines)
        bs_sheet_note(sheet,
                      "%d of %d %s computed on other processors or by other versions of the "
                      "libraries, by numerics whose bits depend on these",
                      counts.other_machines, counts.all,
                      counts.other_machines == 1 ? "was" : "were");
    /* last words stand in the table of items too, unless that is not asked for */
    if (pairs->between[0] || (what == BS_COMPARE_WORDS && pairs->asked[BS_COMPARE_RIGHT]))
        return;
    note_single(sheet, pairs, what, true);
    note_single(sheet, pairs, what, false);
}
