/* Trials of a task in two result files, compared item by item. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/diff_internal.h"
#include "eval/report/sheet.h"
#include "eval/tasks/evaluation.h"

/* One file's trials of a pair. */
struct side {
    int items, answers;
    double *right;  /* [items], mean over the trials of 1 where right, else 0 */
    uint8_t *flags; /* [items], of the last trial */
    double *nats;   /* [answers], log-likelihoods of the last trial */
};

static void release(struct side *side)
{
    bs_free(side->right);
    bs_free(side->flags);
    bs_free(side->nats);
}

/* Room for what the answers hold. */
static enum bs_status begin(struct side *side, const struct bs_answers *answers,
                            struct bs_error *err)
{
    side->items = answers->num_items;
    side->answers = answers->count;
    side->right = bs_calloc((size_t)side->items, sizeof *side->right);
    side->flags = bs_alloc((size_t)side->items, sizeof *side->flags);
    side->nats = bs_alloc((size_t)side->answers, sizeof *side->nats);
    return side->right && side->flags && side->nats ? BS_OK : bs_fail_memory(err);
}

static enum bs_status take(struct side *side, const char *path, const struct bs_row *row,
                           const struct bs_answers *answers, enum bs_convention convention,
                           struct bs_error *err)
{
    if (!side->right && begin(side, answers, err))
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

/* Reads the trials; `means` [num_rows] are their shares. */
static enum bs_status read_side(const struct bs_results *results, const struct bs_row *const *rows,
                                int num_rows, enum bs_convention convention, struct side *side,
                                double *means, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int r = 0; r < num_rows && !status; r++) {
        struct bs_answers answers;
        if (bs_results_read_answers(results->path, rows[r], &answers, err))
            return err->status;
        status = take(side, results->path, rows[r], &answers, convention, err);
        bs_answers_release(&answers);
        means[r] = 0;
        for (int i = 0; i < side->items && !status; i++) {
            means[r] += side->flags[i];
            side->right[i] += (double)side->flags[i] / num_rows;
        }
        means[r] /= side->items;
    }
    return status;
}

static void test(struct bs_pair *pair, const struct side *a, const struct side *b,
                 const double *means)
{
    struct bs_item_changes *changes = &pair->changes;
    assert(a->nats && b->nats);
    changes->items = a->items;
    changes->interval = bs_paired_bootstrap(a->right, b->right, a->items, 0);
    pair->value_a = bs_item_mean(a->right, a->items);
    pair->value_b = bs_item_mean(b->right, b->items);
    if (pair->num_a + pair->num_b > 2) {
        struct bs_mean change = bs_item_change(a->right, b->right, a->items);
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
    pair->identical = !memcmp(a->nats, b->nats, (size_t)a->answers * sizeof *a->nats);
}

enum bs_status bs_pair_compare_items(const struct bs_pairs *pairs, struct bs_pair *pair,
                                     double *means, struct bs_error *err)
{
    struct side a = {0}, b = {0};
    enum bs_status status =
        read_side(pairs->a, pair->a, pair->num_a, pairs->convention, &a, means, err);
    if (!status)
        status = read_side(pairs->b, pair->b, pair->num_b, pairs->convention, &b,
                           means + pair->num_a, err);
    if (!status && (a.items != b.items || a.answers != b.answers))
        status = bs_fail(err, BS_EDATA, "%s of %s and of %s: %d and %d items, expected the same",
                         pair->a[0]->text, pairs->a->path, pairs->b->path, a.items, b.items);
    if (!status) {
        test(pair, &a, &b, means);
        pair->p_holm = pair->p;
    }
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
        bool tested = pair->of_items && !pair->identical && pair->num_a + pair->num_b == 2;
        exact = exact || (tested && pair->changes.exact);
        large = large || (tested && !pair->changes.exact);
    }
    bs_diff_note_counts(sheet, pairs, true);
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
    bs_diff_note_provenance(sheet, pairs, true);
}

enum bs_status bs_diff_print_items(const struct bs_pairs *pairs, const struct bs_columns *columns,
                                   enum bs_table_style style, FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "recipe", "A\n%", "B\n%", "B - A\n%", "lost", "gained", "p", "p\ncorrected", "95 %",
    };
    enum { CORRECTED = 7, COLUMNS = sizeof headings / sizeof *headings };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS + 2 * columns->count);
    for (int j = 1; j <= 3; j++) /* both shares and the difference */
        bs_sheet_keep(&sheet, j);
    bs_sheet_keep(&sheet, CORRECTED);
    bs_sheet_title(&sheet,
                   "A: %s, B: %s: %s. \xc2\xb1 is one standard error over items; that of B - A is "
                   "paired.",
                   pairs->a->path, pairs->b->path, bs_convention_names[pairs->convention]);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    bs_diff_add_headings(&sheet, columns);
    for (int i = 0; i < pairs->num_pairs; i++)
        if (pairs->pairs[i].of_items) {
            bs_diff_add_name(&sheet, pairs, &pairs->pairs[i]);
            add_pair(&sheet, columns, &pairs->pairs[i]);
        }
    add_notes(&sheet, pairs);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}
