/* Trials of a task, compared item by item. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/report/diff_internal.h"
#include "eval/report/sheet.h"
#include "eval/tasks/evaluation.h"

/* One side's trials of a pair. */
struct side {
    int items, answers;
    double *mean; /* [items], over the trials: of 1 where right, else 0; of last words their NLL */
    uint8_t *flags; /* [items], of the last trial */
    double *nats;   /* [answers], log-likelihoods of the last trial */
};

static void release(struct side *side)
{
    bs_free(side->mean);
    bs_free(side->flags);
    bs_free(side->nats);
}

/* Room for what the answers hold. */
static enum bs_status begin(struct side *side, const struct bs_answers *answers,
                            struct bs_error *err)
{
    side->items = answers->num_items;
    side->answers = answers->count;
    side->mean = bs_calloc((size_t)side->items, sizeof *side->mean);
    side->flags = bs_alloc((size_t)side->items, sizeof *side->flags);
    side->nats = bs_alloc((size_t)side->answers, sizeof *side->nats);
    return side->mean && side->flags && side->nats ? BS_OK : bs_fail_memory(err);
}

static enum bs_status take(struct side *side, const char *path, const struct bs_row *row,
                           const struct bs_answers *answers, enum bs_convention convention,
                           struct bs_error *err)
{
    if (!side->mean && begin(side, answers, err))
        return err->status;
    if (answers->num_items != side->items || answers->count != side->answers)
        return bs_fail(err, BS_EDATA, "%s: %s has %d items, another trial of its group %d", path,
                       row->label, answers->num_items, side->items);
    if (!bs_answers_right(answers, convention, side->flags))
        return bs_fail(err, BS_ECONFIG, "%s: %s of %s was not measured by %s", path, row->label,
                       row->text, bs_convention_names[convention]);
    for (int i = 0; i < answers->count; i++)
        side->nats[i] = answers->rows[i].log_likelihood;
    return BS_OK;
}

/* The item's value in the last trial. */
static double value_of(const struct side *side, enum bs_compared what, int item)
{
    return what == BS_COMPARE_WORDS ? -side->nats[item] : side->flags[item];
}

/* Reads the trials; `means` [num_rows] are those of their items' values. */
static enum bs_status read_side(const struct bs_results *results, const struct bs_pairs *pairs,
                                enum bs_compared what, const struct bs_row *const *rows,
                                int num_rows, struct side *side, double *means,
                                struct bs_error *err)
{
    enum bs_convention convention = what == BS_COMPARE_WORDS ? BS_ACC : pairs->convention;
    enum bs_status status = BS_OK;
    for (int r = 0; r < num_rows && !status; r++) {
        struct bs_answers answers;
        if (bs_results_read_answers(rows[r]->file, rows[r], &answers, err))
            return err->status;
        status = take(side, rows[r]->file, rows[r], &answers, convention, err);
        bs_answers_release(&answers);
        if (!status && what == BS_COMPARE_WORDS && side->items != side->answers)
            status = bs_fail(err, BS_EDATA, "%s: %s of %s has %d answers of %d items, and %s",
                             results->path, rows[r]->label, rows[r]->text, side->answers,
                             side->items, bs_target_perplexity);
        means[r] = 0;
        for (int i = 0; i < side->items && !status; i++) {
            means[r] += value_of(side, what, i) / side->items;
            side->mean[i] += value_of(side, what, i) / num_rows;
        }
    }
    return status;
}

/* exp of the mean NLL, and its standard error by the delta method. */
static struct bs_mean perplexity_of(const double *nll, int items)
{
    struct bs_mean mean = bs_item_mean(nll, items);
    mean.mean = bs_exp(mean.mean);
    mean.se *= mean.mean;
    return mean;
}

/* Last words: Student's t of the log-likelihoods, paired by item. */
static void test_words(struct bs_pair *pair, const struct side *a, const struct side *b,
                       const double *means)
{
    struct bs_mean change = bs_item_change(a->mean, b->mean, a->items);
    pair->value_a = perplexity_of(a->mean, a->items);
    pair->value_b = perplexity_of(b->mean, b->items);
    pair->difference = bs_item_perplexity_change(a->mean, b->mean, a->items);
    pair->changes.interval = bs_paired_bootstrap(a->mean, b->mean, a->items, bs_exp, 0);
    pair->df = change.df;
    pair->t = change.se > 0 ? change.mean / change.se : (double)NAN;
    pair->p = change.se > 0 ? bs_student_p(pair->t, pair->df) : change.mean == 0;
    if (pair->num_a + pair->num_b > 2)
        bs_pair_add_calibrations(pair, means, means + pair->num_a, &change,
                                 sqrt(pair->value_a.mean * pair->value_b.mean));
}

/* Whether items are right: McNemar's test of those that turned. */
static void test_right(struct bs_pair *pair, const struct side *a, const struct side *b,
                       const double *means)
{
    struct bs_item_changes *changes = &pair->changes;
    changes->interval = bs_paired_bootstrap(a->mean, b->mean, a->items, NULL, 0);
    pair->value_a = bs_item_mean(a->mean, a->items);
    pair->value_b = bs_item_mean(b->mean, b->items);
    if (pair->num_a + pair->num_b > 2) {
        struct bs_mean change = bs_item_change(a->mean, b->mean, a->items);
        pair->difference = change;
        bs_pair_add_calibrations(pair, means, means + pair->num_a, &change, 1);
        return;
    }
    changes->flips = bs_flips_of(a->flags, b->flags, a->items);
    pair->difference = bs_flips_change(changes->flips);
    struct bs_mcnemar mcnemar = bs_mcnemar(changes->flips);
    pair->t = copysign(sqrt(mcnemar.chi2), pair->difference.mean); /* NaN of the exact one */
    pair->df = (double)NAN;
    changes->exact = mcnemar.exact;
    pair->p = mcnemar.p;
}

/* How the sides differ, of the same items. */
static void test(struct bs_pair *pair, const struct side *a, const struct side *b,
                 const double *means)
{
    assert(a->nats && b->nats);
    pair->changes.items = a->items;
    if (pair->what == BS_COMPARE_WORDS)
        test_words(pair, a, b, means);
    else
        test_right(pair, a, b, means);
    pair->p_holm = pair->p;
    pair->identical = pair->num_a + pair->num_b == 2 &&
                      !memcmp(a->nats, b->nats, (size_t)a->answers * sizeof *a->nats);
}

enum bs_status bs_pair_compare_items(const struct bs_pairs *pairs, struct bs_pair *pair,
                                     double *means, struct bs_error *err)
{
    struct side a = {0}, b = {0};
    enum bs_status status =
        read_side(pairs->a, pairs, pair->what, pair->a, pair->num_a, &a, means, err);
    if (!status)
        status = read_side(pairs->b, pairs, pair->what, pair->b, pair->num_b, &b,
                           means + pair->num_a, err);
    if (!status && (a.items != b.items || a.answers != b.answers))
        status = bs_fail(err, BS_EDATA, "%s of %s and of %s: %d and %d items, expected the same",
                         pair->a[0]->text, pairs->a->path, pairs->b->path, a.items, b.items);
    if (!status)
        test(pair, &a, &b, means);
    release(&a);
    release(&b);
    return status;
}

/* ---- the table ---- */

static void add_pair(struct bs_sheet *sheet, const struct bs_columns *columns,
                     const struct bs_pair *pair)
{
    const struct bs_item_changes *changes = &pair->changes;
    bool group = pair->num_a + pair->num_b > 2;
    const double none = (double)NAN;
    bs_sheet_estimate(sheet, 100 * pair->value_a.mean, 100 * pair->value_a.se, false, 1);
    bs_sheet_estimate(sheet, 100 * pair->value_b.mean, 100 * pair->value_b.se, false, 1);
    if (pair->identical)
        bs_sheet_text(sheet, "identical");
    else
        bs_sheet_estimate(sheet, 100 * pair->difference.mean, 100 * pair->difference.se, true, 1);
    if (group) {
        bs_sheet_rounded(sheet, none);
        bs_sheet_rounded(sheet, none);
    } else {
        bs_sheet_int(sheet, changes->flips.lost);
        bs_sheet_int(sheet, changes->flips.gained);
    }
    bs_sheet_rounded(sheet, pair->identical ? none : pair->p);
    bs_sheet_rounded(sheet, pair->identical ? none : pair->p_holm);
    if (pair->identical)
        bs_sheet_rounded(sheet, none);
    else
        bs_sheet_text(sheet, "%+.1f to %+.1f", 100 * changes->interval.low,
                      100 * changes->interval.high);
    bs_diff_add_values(sheet, columns, pair);
}

/* Names each task once that the convention tells nothing of. */
static void note_unmeasured(struct bs_sheet *sheet, const struct bs_pairs *pairs)
{
    const struct bs_pair *of = pairs->pairs + pairs->num_pairs;
    for (int i = 0, k; i < pairs->num_unmeasured; i++) {
        for (k = 0; k < i && strcmp(of[k].a[0]->text, of[i].a[0]->text);)
            k++;
        if (k == i)
            bs_sheet_note(sheet, "%s: has no %s, not compared", of[i].a[0]->text,
                          bs_convention_names[pairs->convention]);
    }
}

/* Below the table: what was counted, and how to read p. */
static void add_notes(struct bs_sheet *sheet, const struct bs_pairs *pairs)
{
    bool exact = false, large = false;
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        bool tested =
            pair->what == BS_COMPARE_RIGHT && !pair->identical && pair->num_a + pair->num_b == 2;
        exact = exact || (tested && pair->changes.exact);
        large = large || (tested && !pair->changes.exact);
    }
    bs_diff_note_counts(sheet, pairs, BS_COMPARE_RIGHT);
    bs_sheet_note(sheet,
                  "lost: right in A, wrong in B; gained: the other way; 95 %%: of B - A, "
                  "%d paired bootstrap samples of the items",
                  BS_RESAMPLES);
    if (exact || large)
        bs_sheet_note(
            sheet,
            "p is McNemar's, two-sided%s; corrected is Holm's, over the table. What is not "
            "significant is not known to differ",
            exact && large ? ": exact where fewer than 25 items turned, else chi-square"
            : exact        ? ", exact"
                           : ", of chi-square");
    note_unmeasured(sheet, pairs);
    bs_diff_note_provenance(sheet, pairs, BS_COMPARE_RIGHT);
}

enum bs_status bs_diff_print_items(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                   enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "A\n%", "B\n%", "B - A\n%", "lost", "gained", "p", "p\ncorrected", "95 %",
    };
    enum { CORRECTED = 7, COLUMNS = 1 + sizeof headings / sizeof *headings };
    char rest[128];
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS + bs_diff_num_values(columns));
    for (int j = 1; j <= 3; j++) /* both shares and the difference */
        bs_sheet_keep(&sheet, j);
    bs_sheet_keep(&sheet, CORRECTED);
    snprintf(rest, sizeof rest,
             ": %s. \xc2\xb1 is one standard error over items; that of B - A is paired.",
             bs_convention_names[pairs->convention]);
    bs_diff_title(&sheet, pairs, rest);
    bs_diff_add_name_heading(&sheet, pairs);
    for (int j = 0; j + 1 < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    bs_diff_add_headings(&sheet, columns);
    for (int i = 0; i < pairs->num_pairs; i++)
        if (pairs->pairs[i].what == BS_COMPARE_RIGHT) {
            bs_diff_add_name(&sheet, pairs, &pairs->pairs[i]);
            add_pair(&sheet, columns, &pairs->pairs[i]);
        }
    add_notes(&sheet, pairs);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}
