/* Two result files side by side, paired token by token. */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/report/diff_internal.h"
#include "eval/report/sheet.h"
#include "eval/report/table.h"

/* A difference whose p, corrected by Holm, is below this is called significant: among all of a
 * table the chance of one such where nothing differs is no more. */
static const double level = 0.05;

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
    static const char verdict[] = "their perplexities cannot be compared";
    if (strcmp(left->text_digest, right->text_digest))
        return bs_fail(err, BS_ECONFIG,
                       "text '%s' of %s and of %s differ in their bytes (digests %s and %s): %s",
                       left->text, a->path, b->path, left->text_digest, right->text_digest,
                       verdict);
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
    if (check_protocols(pairs, err) || bs_pairs_find(pairs, err))
        return err->status;
    bool any = pairs->num_pairs > 0;
    for (int i = 0; i < pairs->a->num_rows; i++)
        any = any || pairs->open_a[i];
    if (!any)
        return bs_fail(err, BS_ECONFIG,
                       "%s and %s have nothing to compare: no recipe and text is finished in both",
                       pairs->a->path, pairs->b->path);
    return bs_pairs_compare(pairs, err);
}

static bool is_significant(const struct bs_pair *pair)
{
    return !pair->identical && pair->p_holm < level;
}

struct counts {
    int significant, identical, grouped, recalibrated;
};

static struct counts count(const struct bs_pairs *pairs)
{
    struct counts counts = {0};
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        counts.significant += is_significant(pair);
        counts.identical += pair->identical;
        counts.grouped += pair->num_a + pair->num_b > 2;
        counts.recalibrated += pair->recalibrated;
    }
    return counts;
}

/* Lists the trials of one file that stand in no pair. */
static void note_single(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_a)
{
    const struct bs_results *from = of_a ? pairs->a : pairs->b;
    const bool *paired = of_a ? pairs->paired_a : pairs->paired_b;
    const bool *open = of_a ? pairs->open_a : pairs->open_b;
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        if (bs_row_is_done(row) && !paired[i])
            bs_sheet_note(sheet, "%s %s: %s%s%s on %s, perplexity %.4g",
                          open[i] ? "not paired, having several candidates: in" : "only in",
                          of_a ? "A" : "B", pairs->by_model ? row->model : "",
                          pairs->by_model ? ", " : "", row->label, row->text, row->perplexity);
    }
}

/* The name of a pair: text and model belong to it where there are several. */
static void add_name(struct bs_sheet *sheet, const struct bs_pairs *pairs,
                     const struct bs_pair *pair)
{
    bool several = false;
    for (int i = 0; i < pairs->num_pairs; i++)
        several = several || strcmp(pairs->pairs[i].a[0]->text, pairs->pairs[0].a[0]->text);
    const struct bs_row *row = pair->a[0];
    char calibrations[64] = "";
    bool group = pair->num_a + pair->num_b > 2;
    if (group)
        snprintf(calibrations, sizeof calibrations, ", %d and %d calibrations", pair->num_a,
                 pair->num_b);
    bs_sheet_text(sheet, "%s%s%s%s%s%s%s", pairs->by_model ? row->model : "",
                  pairs->by_model ? ", " : "", group ? row->recipe : row->label, calibrations,
                  pair->recalibrated ? " *" : "", several ? ", " : "", several ? row->text : "");
}

static double mean_kld(const struct bs_row *const *rows, int num_rows)
{
    double mean = 0;
    for (int i = 0; i < num_rows; i++)
        mean += rows[i]->kld_mean / num_rows;
    return mean;
}

static void add_pair(struct bs_sheet *sheet, const struct bs_pair *pair)
{
    bs_sheet_perplexity(sheet, pair->perplexity_a.mean, pair->perplexity_a.se);
    bs_sheet_perplexity(sheet, pair->perplexity_b.mean, pair->perplexity_b.se);
    if (pair->identical)
        bs_sheet_text(sheet, "identical");
    else
        bs_sheet_estimate(sheet, pair->difference.mean, pair->difference.se, true);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p);
    bs_sheet_rounded(sheet, pair->identical ? (double)NAN : pair->p_holm);
    bs_sheet_estimate(sheet, 1000 * mean_kld(pair->a, pair->num_a), 1000 * pair->a[0]->kld_mean_se,
                      false);
    bs_sheet_estimate(sheet, 1000 * mean_kld(pair->b, pair->num_b), 1000 * pair->b[0]->kld_mean_se,
                      false);
}

/* Below the table: what was counted, and how to read p. */
static void add_notes(struct bs_sheet *sheet, const struct bs_pairs *pairs)
{
    struct counts counts = count(pairs);
    bs_sheet_note(sheet,
                  "%d compared: %d differ%s significantly (p corrected below %g), %d %s the same "
                  "bits in every "
                  "token's NLL",
                  pairs->num_pairs, counts.significant, counts.significant == 1 ? "s" : "", level,
                  counts.identical, counts.identical == 1 ? "has" : "have");
    if (counts.identical < pairs->num_pairs)
        bs_sheet_note(sheet,
                      "p is two-sided, of flipped signs up to %d blocks of windows, of Student's t "
                      "beyond; corrected is Holm's, over the table",
                      BS_MOST_FLIPPED);
    if (counts.grouped)
        bs_sheet_note(sheet,
                      "of several calibrations B - A is that of their means, and its \xc2\xb1 "
                      "and p include what another draw does");
    if (counts.recalibrated)
        bs_sheet_note(sheet, "* calibrated on other windows: \xc2\xb1 and p do not include what "
                             "another draw does, which takes several seeds to know");
    note_single(sheet, pairs, true);
    note_single(sheet, pairs, false);
}

static enum bs_status print_for_eyes(const struct bs_pairs *pairs, enum bs_table_style style,
                                     FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "recipe",
        "perplexity\nA",
        "perplexity\nB",
        "B - A",
        "p",
        "p\ncorrected",
        "KL A\n10\xe2\x81\xbb\xc2\xb3 nats",
        "KL B\n10\xe2\x81\xbb\xc2\xb3 nats",
    };
    enum { COLUMNS = sizeof headings / sizeof *headings };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS);
    for (int j = 1; j <= 3; j++) /* both perplexities and the difference */
        bs_sheet_keep(&sheet, j);
    bs_sheet_title(&sheet,
                   "A: %s, B: %s. \xc2\xb1 is one standard error over windows; "
                   "that of B - A is paired.",
                   pairs->a->path, pairs->b->path);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < pairs->num_pairs; i++) {
        add_name(&sheet, pairs, &pairs->pairs[i]);
        add_pair(&sheet, &pairs->pairs[i]);
    }
    add_notes(&sheet, pairs);
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* One row for programs: the trials as A and B have them, NULL where one does not. */
static void add_fields(struct bs_sheet *sheet, const struct bs_row *a, const struct bs_row *b,
                       const struct bs_pair *pair, const char *pairing)
{
    const double none = (double)NAN;
    const struct bs_row *either = a ? a : b;
    assert(either);
    bool group = pair && pair->num_a + pair->num_b > 2;
    bs_sheet_text(sheet, "%s", group ? either->recipe : either->label);
    bs_sheet_text(sheet, "%s", either->model);
    bs_sheet_text(sheet, "%s", either->text);
    bs_sheet_text(sheet, "%s", either->protocol);
    bs_sheet_text(sheet, "%s", either->pick);
    bs_sheet_int(sheet, either->stride);
    bs_sheet_int(sheet, either->windows);
    bs_sheet_int(sheet, either->tokens);
    bs_sheet_text(sheet, "%s", a ? a->id : "");
    bs_sheet_text(sheet, "%s", b ? b->id : "");
    bs_sheet_text(sheet, "%s", pairing);
    bs_sheet_int(sheet, pair ? pair->num_a : a != NULL);
    bs_sheet_int(sheet, pair ? pair->num_b : b != NULL);
    bs_sheet_double(sheet, pair ? pair->perplexity_a.mean : a ? a->perplexity : none);
    bs_sheet_double(sheet, pair ? pair->perplexity_a.se : a ? a->perplexity_se : none);
    bs_sheet_double(sheet, pair ? pair->perplexity_b.mean : b ? b->perplexity : none);
    bs_sheet_double(sheet, pair ? pair->perplexity_b.se : b ? b->perplexity_se : none);
    bs_sheet_double(sheet, pair ? pair->difference.mean : none);
    bs_sheet_double(sheet, pair ? pair->difference.se : none);
    bs_sheet_double(sheet, pair ? pair->calibration_se : none);
    bs_sheet_double(sheet, pair ? pair->t : none);
    bs_sheet_double(sheet, pair ? pair->df : none);
    bs_sheet_text(sheet, "%s", !pair ? "" : pair->flipped ? "sign flips" : "t");
    bs_sheet_int(sheet, pair ? pair->blocks : 0);
    bs_sheet_double(sheet, pair ? pair->p : none);
    bs_sheet_double(sheet, pair ? pair->p_holm : none);
    bs_sheet_double(sheet, pair ? mean_kld(pair->a, pair->num_a) : a ? a->kld_mean : none);
    bs_sheet_double(sheet, pair ? mean_kld(pair->b, pair->num_b) : b ? b->kld_mean : none);
    bs_sheet_int(sheet, pair && pair->identical);
}

static void add_single(struct bs_sheet *sheet, const struct bs_pairs *pairs, bool of_a)
{
    const struct bs_results *from = of_a ? pairs->a : pairs->b;
    const bool *paired = of_a ? pairs->paired_a : pairs->paired_b;
    const bool *open = of_a ? pairs->open_a : pairs->open_b;
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        if (bs_row_is_done(row) && !paired[i])
            add_fields(sheet, of_a ? row : NULL, of_a ? NULL : row, NULL,
                       open[i] ? "several candidates"
                       : of_a  ? "only in A"
                               : "only in B");
    }
}

static enum bs_status print_for_programs(const struct bs_pairs *pairs, enum bs_table_style style,
                                         FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "label",
        "model",
        "text",
        "protocol",
        "pick",
        "stride",
        "windows",
        "tokens",
        "id_a",
        "id_b",
        "pairing",
        "calibrations_a",
        "calibrations_b",
        "perplexity_a",
        "perplexity_a_se",
        "perplexity_b",
        "perplexity_b_se",
        "difference",
        "difference_se",
        "difference_calibration_se",
        "t",
        "df",
        "test",
        "blocks",
        "p",
        "p_corrected",
        "kld_mean_a",
        "kld_mean_b",
        "identical",
    };
    enum { COLUMNS = sizeof headings / sizeof *headings };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < pairs->num_pairs; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        add_fields(&sheet, pair->a[0], pair->b[0], pair, "paired");
    }
    add_single(&sheet, pairs, true);
    add_single(&sheet, pairs, false);
    struct counts counts = count(pairs);
    enum bs_status status;
    if (style == BS_TABLE_CSV)
        status = bs_sheet_print(&sheet, style, out, err);
    else
        status = bs_json_print(json_pack("{s:i, s:i, s:i, s:o}", "compared", pairs->num_pairs,
                                         "significant", counts.significant, "identical",
                                         counts.identical, "trials", bs_sheet_json(&sheet)),
                               out, err);
    bs_sheet_release(&sheet);
    return status;
}

enum bs_status bs_diff_print(const struct bs_results *a, const struct bs_results *b,
                             enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct bs_pairs pairs = {
        .a = a, .b = b, .by_model = bs_results_several_models(a) || bs_results_several_models(b)};
    enum bs_status status = find_pairs(&pairs, err);
    if (!status && (style == BS_TABLE_CSV || style == BS_TABLE_JSON))
        status = print_for_programs(&pairs, style, out, err);
    else if (!status)
        status = print_for_eyes(&pairs, style, out, err);
    bs_pairs_release(&pairs);
    return status;
}
