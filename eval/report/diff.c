/* Trials side by side, of two result files or of one, paired token by token or item by item. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/columns.h"
#include "eval/report/diff_internal.h"
#include "eval/report/selection.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"
#include "eval/tasks/evaluation.h"

/* Both finished, of the same model and text. */
static bool same_text(const struct bs_pairs *pairs, const struct bs_row *row,
                      const struct bs_row *other)
{
    return bs_row_is_done(row) && bs_row_is_done(other) && !strcmp(other->text, row->text) &&
           (!pairs->by_model || !strcmp(other->model, row->model));
}

static bool has_comparable(const struct bs_pairs *diff, const struct bs_results *results,
                           const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++)
        if (same_text(diff, row, &results->rows[i]) && bs_rows_comparable(&results->rows[i], row))
            return true;
    return false;
}

/* Says why two rows of texts of one name do not belong side by side. */
static enum bs_status fail_apart(const struct bs_results *a, const struct bs_row *left,
                                 const struct bs_results *b, const struct bs_row *right,
                                 struct bs_error *err)
{
    static const char verdict[] = "their figures cannot be compared";
    if (strcmp(left->text_digest, right->text_digest)) {
        bool of_items = bs_evaluation_has_answers(left->evaluation);
        return bs_fail(
            err, BS_ECONFIG, "%s '%s' of %s and of %s differ in their %s (digests %s and %s): %s",
            of_items ? "task" : "text", left->text, a->path, b->path,
            of_items ? "items or record" : "bytes", left->text_digest, right->text_digest, verdict);
    }
    char measured_left[BS_MEASURED_TEXT], measured_right[BS_MEASURED_TEXT];
    bs_row_measured(left, measured_left);
    bs_row_measured(right, measured_right);
    return bs_fail(err, BS_ECONFIG, "text '%s' is measured in %s by %s, in %s by %s: %s",
                   left->text, a->path, measured_left, b->path, measured_right, verdict);
}

/* A text that both files have, but never in the same bytes, cut into the same windows by the same
 * protocol, cannot be paired. */
static enum bs_status check_protocols(const struct bs_pairs *diff, struct bs_error *err)
{
    const struct bs_results *a = diff->a, *b = diff->b;
    for (int i = 0; i < a->num_rows; i++)
        for (int k = 0; k < b->num_rows; k++) {
            const struct bs_row *left = &a->rows[i], *right = &b->rows[k];
            if (same_text(diff, left, right) && !has_comparable(diff, b, left) &&
                !has_comparable(diff, a, right))
                return fail_apart(a, left, b, right, err);
        }
    return BS_OK;
}

static enum bs_status find_pairs(struct bs_pairs *pairs, struct bs_error *err)
{
    if (!pairs->between[0] && check_protocols(pairs, err))
        return err->status;
    if (pairs->between[0] ? bs_pairs_between(pairs, err) : bs_pairs_find(pairs, err))
        return err->status;
    bool any = pairs->num_pairs > 0;
    for (int i = 0; i < pairs->a->num_rows && !pairs->between[0]; i++)
        any = any || pairs->open_a[i];
    if (!any && pairs->num_unmeasured)
        return bs_fail(err, BS_ECONFIG, "%s: %s was not measured by %s, nor any other task",
                       pairs->a->path, pairs->pairs[0].a[0]->text,
                       bs_diff_value(pairs, pairs->asked[BS_COMPARE_RIGHT] ? BS_COMPARE_RIGHT
                                                                           : BS_COMPARE_WORDS));
    if (!any)
        return bs_fail(err, BS_ECONFIG,
                       "%s and %s have nothing to compare: no recipe and text is finished in both",
                       pairs->a->path, pairs->b->path);
    return bs_pairs_compare(pairs, err);
}

static int least_decimals(double perplexity) { return perplexity < 1000 ? 2 : 0; }

static void add_pair(struct bs_sheet *sheet, const struct bs_columns *columns,
                     const struct bs_pair *pair)
{
    const struct bs_mean *a = &pair->value_a, *b = &pair->value_b;
    bs_sheet_estimate(sheet, a->mean, a->se, false, least_decimals(a->mean));
    bs_sheet_estimate(sheet, b->mean, b->se, false, least_decimals(b->mean));
    if (pair->identical)
        bs_sheet_text(sheet, "identical");
    else
        bs_sheet_estimate(sheet, pair->difference.mean, pair->difference.se, true, 0);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p_holm);
    bs_diff_add_values(sheet, columns, pair);
}

/* Below the table: what was counted, and how to read p. */
static void add_notes(struct bs_sheet *sheet, const struct bs_pairs *pairs, enum bs_compared what)
{
    struct bs_diff_counts counts = bs_diff_count(pairs, what);
    bs_diff_note_counts(sheet, pairs, what);
    if (counts.identical < counts.all && what == BS_COMPARE_TOKENS)
        bs_sheet_note(sheet,
                      "p is two-sided, of flipped signs up to %d blocks of windows, of Student's t "
                      "beyond; corrected is Holm's, over the table",
                      BS_MOST_FLIPPED);
    else if (counts.identical < counts.all)
        bs_sheet_note(sheet, "p is two-sided, Student's, of the words' log-likelihoods paired by "
                             "item; corrected is Holm's, over the table. What is not significant "
                             "is not known to differ");
    bs_diff_note_provenance(sheet, pairs, what);
}

/* The table of texts, or of last words by their log-likelihoods. */
static enum bs_status print_perplexities(const struct bs_pairs *pairs, enum bs_compared what,
                                         const struct bs_columns *columns,
                                         enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const of_tokens[] = {"perplexity\nA", "perplexity\nB", "B - A", "p",
                                            "p\ncorrected"};
    static const char *const of_words[] = {"target\nperplexity A", "target\nperplexity B", "B - A",
                                           "p", "p\ncorrected"};
    const char *const *headings = what == BS_COMPARE_WORDS ? of_words : of_tokens;
    enum { CORRECTED = 5, COLUMNS = 1 + sizeof of_tokens / sizeof *of_tokens };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS + bs_diff_num_values(columns));
    for (int j = 1; j <= 3; j++) /* both perplexities and the difference */
        bs_sheet_keep(&sheet, j);
    bs_sheet_keep(&sheet, CORRECTED);
    bs_diff_title(&sheet, pairs,
                  what == BS_COMPARE_TOKENS
                      ? ". \xc2\xb1 is one standard error over windows; that of B - A is paired."
                      : ": target_perplexity. \xc2\xb1 is one standard error over items; that of "
                        "B - A is paired.");
    bs_diff_add_name_heading(&sheet, pairs);
    for (int j = 0; j + 1 < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    bs_diff_add_headings(&sheet, columns);
    for (int i = 0; i < pairs->num_pairs; i++)
        if (pairs->pairs[i].what == what) {
            bs_diff_add_name(&sheet, pairs, &pairs->pairs[i]);
            add_pair(&sheet, columns, &pairs->pairs[i]);
        }
    add_notes(&sheet, pairs, what);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* Whether the files have trials of texts, or of tasks. */
static bool has_trials(const struct bs_pairs *pairs, bool of_items)
{
    for (int side = 0; side < 2; side++) {
        const struct bs_results *results = side ? pairs->b : pairs->a;
        for (int i = 0; i < results->num_rows; i++)
            if (bs_row_is_done(&results->rows[i]) &&
                bs_evaluation_has_answers(results->rows[i].evaluation) == of_items)
                return true;
    }
    return false;
}

/* Whether there is a table of it: of two files also where no trial of either has another, to say
 * so; of last words once. */
static bool has_table(const struct bs_pairs *pairs, enum bs_compared what)
{
    bool instead = what == BS_COMPARE_WORDS && pairs->asked[BS_COMPARE_RIGHT];
    for (int i = 0; i < pairs->num_pairs; i++)
        if (pairs->pairs[i].what == what)
            return true;
    return !pairs->between[0] && pairs->asked[what] && !instead &&
           has_trials(pairs, what != BS_COMPARE_TOKENS);
}

/* Those of the columns that a trial has in A of which this is compared, but for that itself. */
static void columns_of(const struct bs_pairs *pairs, const struct bs_columns *columns,
                       enum bs_compared what, struct bs_columns *out)
{
    out->count = 0;
    for (int c = 0; c < columns->count; c++) {
        const struct bs_column *column = &columns->columns[c];
        bool has = column->field || column->is_time;
        for (int i = 0; i < pairs->a->num_rows && !has; i++)
            has = bs_diff_has_value(pairs, what, &pairs->a->rows[i]) &&
                  bs_row_value(&pairs->a->rows[i], NULL, column->name);
        if (has && strcmp(column->name, bs_diff_value(pairs, what)))
            out->columns[out->count++] = *column;
    }
}

/* A table of the texts, one of the tasks, and one of last words. */
static enum bs_status print_for_eyes(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                     enum bs_table_style style, FILE *out, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    bool any = false;
    for (int what = 0; what < BS_NUM_COMPARED && !status; what++) {
        struct bs_columns own;
        if (!has_table(pairs, (enum bs_compared)what))
            continue;
        if (any)
            fputc('\n', out);
        any = true;
        columns_of(pairs, columns, (enum bs_compared)what, &own);
        status = what == BS_COMPARE_RIGHT
                     ? bs_diff_print_items(pairs, &own, style, out, err)
                     : print_perplexities(pairs, (enum bs_compared)what, &own, style, out, err);
    }
    return status;
}

/* The values of both files that stand beside the comparison: those asked for; else the divergence
 * for the eye, and for programs all. */
static enum bs_status choose_columns(const struct bs_pairs *pairs, const char *names,
                                     bool for_programs, struct bs_columns *columns,
                                     struct bs_error *err)
{
    static const char *const shown[] = {"kld_mean"};
    columns->count = 0;
    if (names)
        return bs_columns_parse(names, pairs->a, columns, err);
    for (size_t i = 0; !for_programs && i < sizeof shown / sizeof *shown; i++)
        bs_columns_add_value(columns, pairs->a, shown[i]);
    for (int side = 0; for_programs && side < 2; side++) {
        const struct bs_results *results = side ? pairs->b : pairs->a;
        const char **values;
        int count;
        if (bs_columns_values(results, &values, &count, err))
            return err->status;
        for (int i = 0; i < count; i++)
            if (strcmp(values[i], "perplexity"))
                bs_columns_add_value(columns, results, values[i]);
        bs_free((void *)values);
    }
    return BS_OK;
}

/* What tasks are compared by: the first convention that the columns name, and the perplexity of
 * last words where they name that; where they name neither, acc and that. */
static void choose_compared(struct bs_pairs *pairs, const struct bs_columns *columns)
{
    bool named = bs_columns_convention(columns, &pairs->convention), words = false;
    for (int c = 0; c < columns->count; c++)
        words = words || !strcmp(columns->columns[c].name, bs_target_perplexity);
    pairs->asked[BS_COMPARE_TOKENS] = true;
    pairs->asked[BS_COMPARE_RIGHT] = named || !words;
    pairs->asked[BS_COMPARE_WORDS] = words || !named;
}

/* Finds and compares the pairs, and chooses what stands beside them. */
static enum bs_status begin(struct bs_pairs *pairs, const char *columns, bool for_programs,
                            struct bs_columns *chosen, struct bs_error *err)
{
    const struct bs_columns none = {.count = 0};
    pairs->by_model = bs_results_several_models(pairs->a) || bs_results_several_models(pairs->b);
    pairs->convention = BS_ACC;
    if (choose_columns(pairs, columns, for_programs, chosen, err))
        return err->status;
    choose_compared(pairs, columns ? chosen : &none);
    return find_pairs(pairs, err);
}

static enum bs_status print(struct bs_pairs *pairs, const char *columns, enum bs_table_style style,
                            FILE *out, struct bs_error *err)
{
    struct bs_columns chosen;
    bool for_programs = bs_table_is_for_programs(style);
    enum bs_status status = begin(pairs, columns, for_programs, &chosen, err);
    if (!status)
        status = for_programs ? bs_diff_print_fields(pairs, &chosen, style, out, err)
                              : print_for_eyes(pairs, &chosen, style, out, err);
    bs_pairs_release(pairs);
    return status;
}

enum bs_status bs_diff_print(const struct bs_results *a, const struct bs_results *b,
                             const char *columns, enum bs_table_style style, FILE *out,
                             struct bs_error *err)
{
    struct bs_pairs pairs = {.a = a, .b = b};
    return print(&pairs, columns, style, out, err);
}

enum bs_status bs_diff_print_between(const struct bs_results *results, const char *first,
                                     const char *second, const char *columns,
                                     enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_pairs pairs = {.a = results, .b = results, .between = {first, second}};
    return print(&pairs, columns, style, out, err);
}

enum bs_status bs_diff_print_leaders(const struct bs_trials *shown, enum bs_table_style style,
                                     FILE *out, bool *any, struct bs_error *err)
{
    const struct bs_results *results = &shown->results;
    const struct bs_columns none = {.count = 0};
    struct bs_columns chosen;
    struct bs_pairs pairs = {.a = results,
                             .b = results,
                             .between = {"*", "*"},
                             .by_model = bs_results_several_models(results),
                             .convention = BS_ACC};
    choose_compared(&pairs, &none);
    enum bs_status status = choose_columns(&pairs, NULL, false, &chosen, err);
    if (!status)
        status = bs_pairs_leaders(&pairs, shown, err);
    *any = !status && pairs.num_pairs > 0;
    if (*any)
        status = bs_pairs_compare(&pairs, err);
    if (!status && *any)
        status = print_for_eyes(&pairs, &chosen, style, out, err);
    bs_pairs_release(&pairs);
    return status;
}

static int count_failed(const struct bs_results *results)
{
    int count = 0;
    for (int i = 0; i < results->num_rows; i++)
        count += !bs_row_is_done(&results->rows[i]);
    return count;
}

/* Of the sheet of all pairs. */
static enum bs_status check_gate(const struct bs_sheet *sheet, const char *condition,
                                 int num_failed, FILE *out, bool *passed, struct bs_error *err)
{
    const struct bs_selection all = {.top = 0};
    struct bs_chosen chosen;
    struct bs_gate gate;
    if (bs_selection_choose(&all, sheet, NULL, NULL, &chosen, err))
        return err->status;
    enum bs_status status = bs_gate_check(condition, sheet, &chosen, &gate, err);
    if (!status) {
        status = bs_gate_report(condition, &gate, num_failed, out, passed, err);
        bs_gate_release(&gate);
    }
    bs_chosen_release(&chosen);
    return status;
}

enum bs_status bs_diff_gate(const struct bs_results *a, const struct bs_results *b,
                            const char *const between[2], const char *condition, FILE *out,
                            bool *passed, struct bs_error *err)
{
    struct bs_pairs pairs = {.a = a, .b = b, .between = {between[0], between[1]}};
    struct bs_columns chosen;
    struct bs_sheet sheet;
    enum bs_status status = begin(&pairs, NULL, true, &chosen, err);
    if (!status) {
        bs_diff_fields_sheet(&pairs, &chosen, &sheet);
        status = check_gate(&sheet, condition, between[0] ? pairs.num_failed : count_failed(b), out,
                            passed, err);
        bs_sheet_release(&sheet);
    }
    bs_pairs_release(&pairs);
    return status;
}
