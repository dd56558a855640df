/* Items of tasks that turned from the unquantized model to a trial, one a line. */
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/columns.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"
#include "eval/tasks/answer_changes.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/paired_items.h"

/* A task's table on its way to the sheet. */
struct turned {
    const struct bs_trials *shown;
    const struct bs_results *results; /* all, with the unquantized models */
    const struct bs_row *unquantized;
    enum bs_convention convention;
    struct bs_sheet sheet;
    struct bs_sheet counts; /* for programs: of each trial what a note says for the eye */
    struct bs_answers before;
    uint8_t *right_before, *right_after; /* [items] */
    bool single;                         /* items with one answer */
    bool for_programs;                   /* all tasks in one sheet, without notes */
};

/* What the right answer's score is above the best other's: below 0 where that is taken. Of an item
 * with one answer its score. */
static double margin(const struct bs_answer *rows, int count, enum bs_convention convention)
{
    double gold = (double)NAN, other = -(double)INFINITY;
    for (int k = 0; k < count; k++) {
        double score = bs_answer_score(&rows[k], convention);
        if (rows[k].gold || count == 1)
            gold = score;
        else
            other = fmax(other, score);
    }
    return count == 1 ? gold : gold - other;
}

static int gold_of(const struct bs_answer *rows, int count)
{
    int k = 0;
    while (k + 1 < count && !rows[k].gold)
        k++;
    return k;
}

/* The choice that is taken, counted from 0; of one answer whether it was the model's own. */
static void add_taken(struct bs_sheet *sheet, const struct bs_answer *rows, int count,
                      enum bs_convention convention)
{
    if (count == 1)
        bs_sheet_text(sheet, "%s", rows->greedy ? "yes" : "no");
    else
        bs_sheet_int(sheet, bs_answers_take(rows, count, convention));
}

/* Of a last word: that it turned says which was right, so what it turned by. */
static void add_word(struct bs_sheet *sheet, const struct bs_answer *before,
                     const struct bs_answer *after)
{
    bs_sheet_int(sheet, before->tokens);
    bs_sheet_text(sheet, "%.3f", before->log_likelihood);
    bs_sheet_text(sheet, "%.3f", after->log_likelihood);
    bs_sheet_text(sheet, "%+.3f", after->log_likelihood - before->log_likelihood);
}

static void add_item(struct turned *t, const struct bs_row *row, const struct bs_answer *before,
                     const struct bs_answer *after, int count)
{
    struct bs_sheet *sheet = &t->sheet;
    bs_sheet_text(sheet, "%s", row->label);
    bs_sheet_text(sheet, "%s", t->right_before[before->item] ? "lost" : "gained");
    bs_sheet_int(sheet, before->line);
    bs_sheet_text(sheet, "%s", before->id);
    if (t->single && !t->for_programs) {
        add_word(sheet, before, after);
        return;
    }
    if (count == 1)
        bs_sheet_text(sheet, "yes");
    else
        bs_sheet_int(sheet, gold_of(before, count));
    add_taken(sheet, before, count, t->convention);
    add_taken(sheet, after, count, t->convention);
    double margins[] = {margin(before, count, t->convention), margin(after, count, t->convention)};
    for (int m = 0; m < 2; m++)
        (t->for_programs ? bs_sheet_double : bs_sheet_rounded)(sheet, margins[m]);
    if (!t->for_programs)
        return;
    bs_sheet_text(sheet, "%s", row->model);
    bs_sheet_text(sheet, "%s", row->text);
    bs_sheet_text(sheet, "%s", bs_convention_names[t->convention]);
    bs_sheet_text(sheet, "%s", row->id);
}

/* True where both answer the same choices of the same items. */
static bool same_items(const struct bs_answers *a, const struct bs_answers *b)
{
    bool same = a->count == b->count && a->num_items == b->num_items;
    for (int i = 0; i < a->count && same; i++)
        same = a->rows[i].item == b->rows[i].item && a->rows[i].choice == b->rows[i].choice;
    return same;
}

/* Of a trial whose answers are in t->right_after: how many turned, and whether that is chance. */
static void count_trial(struct turned *t, const struct bs_row *row, const struct bs_answers *after)
{
    struct bs_flips flips = bs_flips_of(t->right_before, t->right_after, after->num_items);
    struct bs_mcnemar test = bs_mcnemar(flips);
    int alike = bs_answers_alike(&t->before, after, t->convention);
    struct bs_sheet *counts = &t->counts;
    if (!t->for_programs) {
        bs_sheet_note(&t->sheet,
                      "%s: %d lost, %d gained of %d items, p %.3g (McNemar%s, not corrected); %d "
                      "answered alike",
                      row->label, flips.lost, flips.gained, after->num_items, test.p,
                      test.exact ? ", exact" : "", alike);
        return;
    }
    bs_sheet_text(counts, "%s", row->label);
    bs_sheet_text(counts, "%s", row->model);
    bs_sheet_text(counts, "%s", row->text);
    bs_sheet_text(counts, "%s", row->id);
    bs_sheet_int(counts, after->num_items);
    bs_sheet_int(counts, flips.lost);
    bs_sheet_int(counts, flips.gained);
    bs_sheet_int(counts, alike);
    bs_sheet_double(counts, test.p);
    bs_sheet_text(counts, "%s", test.exact ? "McNemar exact" : "McNemar");
}

static enum bs_status add_turned(struct turned *t, const struct bs_row *row,
                                 const struct bs_answers *after, struct bs_error *err)
{
    if (!same_items(&t->before, after))
        return bs_fail(err, BS_EDATA, "%s: %s and %s do not have the same items", t->results->path,
                       row->label, t->unquantized->label);
    if (!bs_answers_right(after, t->convention, t->right_after))
        return bs_fail(err, BS_ECONFIG, "%s: %s was not measured by %s", t->results->path,
                       row->text, bs_convention_names[t->convention]);
    for (int first = 0, count; first < after->count; first += count) {
        const struct bs_answer *before = &t->before.rows[first], *now = &after->rows[first];
        count = bs_answers_of_item(after, first);
        if (t->right_before[before->item] != t->right_after[before->item])
            add_item(t, row, before, now, count);
    }
    count_trial(t, row, after);
    return BS_OK;
}

/* The unquantized model's answers, and room. */
static enum bs_status begin(struct turned *t, struct bs_error *err)
{
    if (bs_results_read_answers(t->unquantized->file, t->unquantized, &t->before, err))
        return err->status;
    size_t items = (size_t)t->before.num_items;
    t->single = t->before.num_items == t->before.count;
    t->right_before = bs_alloc(items, sizeof *t->right_before);
    t->right_after = bs_alloc(items, sizeof *t->right_after);
    if (!t->right_before || !t->right_after)
        return bs_fail_memory(err);
    if (!bs_answers_right(&t->before, t->convention, t->right_before))
        return bs_fail(err, BS_ECONFIG, "%s: %s was not measured by %s", t->results->path,
                       t->unquantized->text, bs_convention_names[t->convention]);
    return BS_OK;
}

static void end(struct turned *t)
{
    bs_answers_release(&t->before);
    bs_free(t->right_before);
    bs_free(t->right_after);
    t->right_before = t->right_after = NULL;
}

static void add_headings(struct turned *t)
{
    static const char *const eyes[] = {"recipe", "turned",         "line",
                                       "id",     "right",          "before",
                                       "after",  "margin\nbefore", "margin\nafter"};
    static const char *const words[] = {
        "recipe", "turned", "line", "id", "tokens", "log-likelihood\nbefore", "after", "change"};
    static const char *const programs[] = {
        "label",         "turned",       "line",  "id",   "gold",     "taken_before", "taken_after",
        "margin_before", "margin_after", "model", "text", "compared", "trial"};
    enum {
        COLUMNS = sizeof eyes / sizeof *eyes,
        OF_WORDS = sizeof words / sizeof *words,
        FOR_PROGRAMS = sizeof programs / sizeof *programs
    };
    int columns = t->for_programs ? FOR_PROGRAMS : t->single ? OF_WORDS : COLUMNS;
    const char *const *names = t->for_programs ? programs : t->single ? words : eyes;
    bs_sheet_init(&t->sheet, columns);
    for (int j = 0; j < columns; j++) {
        bs_sheet_text(&t->sheet, "%s", names[j]);
        if (j == 1 || j == 2 || j >= 4)
            bs_sheet_keep(&t->sheet, j);
    }
}

/* The task's items that turned, trial by trial. */
static enum bs_status add_task(struct turned *t, struct bs_error *err)
{
    const struct bs_results *shown = &t->shown->results;
    enum bs_status status = BS_OK;
    for (int i = 0; i < shown->num_rows && !status; i++) {
        const struct bs_row *row = &shown->rows[i];
        struct bs_answers after;
        if (!strcmp(row->id, t->unquantized->id) || !bs_row_is_done(row) ||
            !bs_rows_same_subject(row, t->unquantized))
            continue;
        if (bs_results_read_answers(row->file, row, &after, err))
            return err->status;
        status = add_turned(t, row, &after, err);
        bs_answers_release(&after);
    }
    return status;
}

/* Whether any trial of the unquantized one's model and task is shown, itself counted. */
static bool is_shown(const struct turned *t, const struct bs_row *unquantized)
{
    const struct bs_results *shown = &t->shown->results;
    for (int i = 0; i < shown->num_rows; i++)
        if (bs_rows_same_subject(&shown->rows[i], unquantized))
            return true;
    return false;
}

/* The unquantized trials of tasks that are shown, one a section: of those that were measured by the
 * convention, or of those that were not: the next from row *i on; NULL after the last. */
static const struct bs_row *next_task(const struct turned *t, bool measured, int *i)
{
    while (*i < t->results->num_rows) {
        const struct bs_row *row = &t->results->rows[(*i)++];
        if (bs_row_is_done(row) && !strcmp(row->algorithm, "unquantized") &&
            bs_evaluation_has_answers(row->evaluation) && is_shown(t, row) &&
            bs_row_has_convention(row, t->convention) == measured)
            return row;
    }
    return NULL;
}

/* Says of which tasks there is no section. */
static void note_unmeasured(struct turned *t)
{
    int i = 0;
    for (const struct bs_row *row; (row = next_task(t, false, &i));)
        bs_sheet_note(&t->sheet, "%s on %s: has no %s, not compared", row->model, row->text,
                      bs_convention_names[t->convention]);
}

static enum bs_status print_task(struct turned *t, bool first, enum bs_table_style style, FILE *out,
                                 struct bs_error *err)
{
    add_headings(t);
    bs_sheet_title(&t->sheet,
                   "%s on %s: items that turned from the unquantized model to a trial, by %s",
                   t->unquantized->model, t->unquantized->text, bs_convention_names[t->convention]);
    enum bs_status status = add_task(t, err);
    bs_sheet_note(&t->sheet,
                  t->single
                      ? "line: of the items' file; lost: before every token was the likeliest "
                        "one, after not every one is"
                      : "line: of the items' file; right, before and after: choices, from "
                        "0; margin: the right one's score less the best other's");
    if (first)
        note_unmeasured(t);
    if (!status)
        status = bs_sheet_print(&t->sheet, style, out, err);
    bs_sheet_release(&t->sheet);
    return status;
}

/* Of no section: there is no task at all, or none that was measured by the convention. */
static enum bs_status fail_none(const struct turned *t, struct bs_error *err)
{
    int i = 0;
    const struct bs_row *row = next_task(t, false, &i);
    if (row)
        return bs_fail(err, BS_ECONFIG, "%s: %s was not measured by %s, nor any other task",
                       t->results->path, row->text, bs_convention_names[t->convention]);
    return bs_fail(err, BS_EDATA,
                   "%s: no items: expected a task that the unquantized model has done",
                   t->results->path);
}

/* The first convention that is named among the columns, BS_ACC where no columns are. BS_ECONFIG
 * where they name none. */
static enum bs_status parse_convention(const struct bs_results *results, const char *names,
                                       enum bs_convention *convention, struct bs_error *err)
{
    struct bs_columns columns;
    *convention = BS_ACC;
    if (!names)
        return BS_OK;
    if (bs_columns_parse(names, results, &columns, err))
        return err->status;
    if (bs_columns_convention(&columns, convention))
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "columns '%.60s': --items compares by one of acc, acc_norm, acc_bytes, "
                   "acc_tokens, acc_mutual_info and acc_suffix",
                   names);
}

/* What a note says for the eye is beside the items in JSON; CSV and JSON lines have the items
 * alone. */
static enum bs_status print_for_programs(struct turned *t, enum bs_table_style style, FILE *out,
                                         struct bs_error *err)
{
    if (style != BS_TABLE_JSON)
        return bs_sheet_print(&t->sheet, style, out, err);
    return bs_json_print(json_pack("{s:s, s:o, s:o}", "compared",
                                   bs_convention_names[t->convention], "trials",
                                   bs_sheet_json(&t->counts), "items", bs_sheet_json(&t->sheet)),
                         out, err);
}

static void begin_for_programs(struct turned *t)
{
    static const char *const names[] = {"label", "model",  "text",  "trial", "items",
                                        "lost",  "gained", "alike", "p",     "test"};
    enum { COLUMNS = sizeof names / sizeof *names };
    add_headings(t);
    bs_sheet_init(&t->counts, COLUMNS);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&t->counts, "%s", names[j]);
}

enum bs_status bs_items_print(const struct bs_trials *shown, const char *columns,
                              enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct turned t = {
        .shown = shown, .results = shown->all, .for_programs = bs_table_is_for_programs(style)};
    enum bs_status status = parse_convention(shown->all, columns, &t.convention, err);
    bool begun = t.for_programs && !status;
    int tasks = 0;
    if (begun)
        begin_for_programs(&t);
    for (int i = 0; !status && (t.unquantized = next_task(&t, true, &i)); tasks++) {
        if (tasks && !t.for_programs)
            fputc('\n', out);
        status = begin(&t, err);
        if (!status)
            status = t.for_programs ? add_task(&t, err) : print_task(&t, !tasks, style, out, err);
        end(&t);
    }
    if (!status && !tasks)
        status = fail_none(&t, err);
    if (!status && t.for_programs)
        status = print_for_programs(&t, style, out, err);
    if (begun) {
        bs_sheet_release(&t.sheet);
        bs_sheet_release(&t.counts);
    }
    return status;
}
