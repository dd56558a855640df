/* Two result files side by side, paired token by token. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/metrics/statistics.h"
#include "eval/store/sheet.h"
#include "eval/store/table.h"

/* Beyond this many standard errors a difference is called significant (p < 0.0455). */
static const double significant_z = 2;

/* A trial that both files have finished. */
struct pair {
    const struct bs_row *a, *b;
    struct bs_mean difference; /* perplexity of B - perplexity of A */
    double z, p;               /* NaN where the standard error is zero or not known */
    bool identical;            /* every NLL has the same bits */
};

struct diff {
    const struct bs_results *a, *b;
    bool by_model; /* one of the files has several models; else the two may be of any one each */
    int num_pairs;
    struct pair *pairs;
    int significant, identical;
};

static bool is_done(const struct bs_row *row) { return strcmp(row->status, "done") == 0; }

/* Both finished, of the same model and text. */
static bool same_text(const struct diff *diff, const struct bs_row *row, const struct bs_row *other)
{
    return is_done(row) && is_done(other) && strcmp(other->text, row->text) == 0 &&
           (!diff->by_model || strcmp(other->model, row->model) == 0);
}

/* The finished trial of `results` that matches, or NULL. */
static const struct bs_row *match(const struct diff *diff, const struct bs_results *results,
                                  const struct bs_row *row)
{
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *other = &results->rows[i];
        if (same_text(diff, row, other) && strcmp(other->label, row->label) == 0 &&
            bs_rows_comparable(other, row))
            return other;
    }
    return NULL;
}

static bool has_comparable(const struct diff *diff, const struct bs_results *results,
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
    if (strcmp(left->text_digest, right->text_digest) != 0)
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
static enum bs_status check_protocols(const struct diff *diff, struct bs_error *err)
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

static enum bs_status compare(struct diff *diff, struct pair *pair, struct bs_error *err)
{
    float *a = NULL, *b = NULL;
    enum bs_status status = bs_results_read_tokens(diff->a->path, pair->a, &a, NULL, NULL, err);
    if (status == BS_OK)
        status = bs_results_read_tokens(diff->b->path, pair->b, &b, NULL, NULL, err);
    if (status == BS_OK) {
        struct bs_layout layout = {.windows = pair->a->windows,
                                   .per_window = pair->a->tokens - 1,
                                   .scored = (size_t)pair->a->scored};
        size_t values = (size_t)layout.windows * (size_t)layout.per_window;
        pair->identical = memcmp(a, b, values * sizeof *a) == 0;
        struct bs_test test = bs_test_difference(b, a, &layout);
        pair->difference = bs_perplexity_difference(b, a, &layout);
        pair->z = test.t;
        pair->p = test.p;
        diff->identical += pair->identical;
        diff->significant += fabs(pair->z) > significant_z;
    }
    bs_free(a);
    bs_free(b);
    return status;
}

static enum bs_status find_pairs(struct diff *diff, struct bs_error *err)
{
    enum bs_status status = check_protocols(diff, err);
    if (status != BS_OK)
        return status;
    diff->pairs = bs_calloc((size_t)diff->a->num_rows, sizeof *diff->pairs);
    if (!diff->pairs)
        return bs_fail_memory(err);
    for (int i = 0; status == BS_OK && i < diff->a->num_rows; i++) {
        const struct bs_row *a = &diff->a->rows[i];
        const struct bs_row *b = match(diff, diff->b, a);
        if (!b)
            continue;
        struct pair *pair = &diff->pairs[diff->num_pairs++];
        *pair = (struct pair){.a = a, .b = b};
        status = compare(diff, pair, err);
    }
    if (status == BS_OK && diff->num_pairs == 0)
        return bs_fail(err, BS_ECONFIG,
                       "%s and %s have nothing to compare: no recipe and text is finished in both",
                       diff->a->path, diff->b->path);
    return status;
}

/* Lists the trials of `from` that the other file has not finished. */
static void note_missing(struct bs_sheet *sheet, const struct diff *diff,
                         const struct bs_results *from, const struct bs_results *other,
                         const char *name)
{
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        if (is_done(row) && !match(diff, other, row))
            bs_sheet_note(sheet, "only in %s: %s%s%s on %s, perplexity %.4g", name,
                          diff->by_model ? row->model : "", diff->by_model ? ", " : "", row->label,
                          row->text, row->perplexity);
    }
}

/* The name of a pair: text and model belong to it where there are several. */
static void add_name(struct bs_sheet *sheet, const struct diff *diff, const struct bs_row *row)
{
    bool several = false;
    for (int i = 0; i < diff->num_pairs; i++)
        several = several || strcmp(diff->pairs[i].a->text, diff->pairs[0].a->text) != 0;
    bs_sheet_text(sheet, "%s%s%s%s%s", diff->by_model ? row->model : "", diff->by_model ? ", " : "",
                  row->label, several ? ", " : "", several ? row->text : "");
}

static void add_pair(struct bs_sheet *sheet, const struct pair *pair)
{
    const struct bs_row *a = pair->a, *b = pair->b;
    bs_sheet_perplexity(sheet, a->perplexity, a->perplexity_se);
    bs_sheet_perplexity(sheet, b->perplexity, b->perplexity_se);
    if (pair->identical)
        bs_sheet_text(sheet, "identical");
    else
        bs_sheet_estimate(sheet, pair->difference.mean, pair->difference.se, true);
    bs_sheet_rounded(sheet, pair->z);
    bs_sheet_rounded(sheet, pair->p);
    bs_sheet_estimate(sheet, 1000 * a->kld_mean, 1000 * a->kld_mean_se, false);
    bs_sheet_estimate(sheet, 1000 * b->kld_mean, 1000 * b->kld_mean_se, false);
}

static enum bs_status print_for_eyes(const struct diff *diff, enum bs_table_style style, FILE *out,
                                     struct bs_error *err)
{
    static const char *const headings[] = {
        "recipe",
        "perplexity\nA",
        "perplexity\nB",
        "B - A",
        "z",
        "p",
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
                   diff->a->path, diff->b->path);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < diff->num_pairs; i++) {
        add_name(&sheet, diff, diff->pairs[i].a);
        add_pair(&sheet, &diff->pairs[i]);
    }
    bs_sheet_note(
        &sheet,
        "%d compared: %d differ%s by more than %g standard errors, %d %s the same bits in "
        "every token's NLL",
        diff->num_pairs, diff->significant, diff->significant == 1 ? "s" : "", significant_z,
        diff->identical, diff->identical == 1 ? "has" : "have");
    note_missing(&sheet, diff, diff->a, diff->b, "A");
    note_missing(&sheet, diff, diff->b, diff->a, "B");
    enum bs_status status = bs_sheet_print(&sheet, style, out, err);
    bs_sheet_release(&sheet);
    return status;
}

/* One row for programs: the trial as A and B have it, NULL where one does not. */
static void add_fields(struct bs_sheet *sheet, const struct bs_row *a, const struct bs_row *b,
                       const struct pair *pair)
{
    const double nan_value = (double)NAN;
    const struct bs_row *either = a ? a : b;
    bs_sheet_text(sheet, "%s", either->label);
    bs_sheet_text(sheet, "%s", either->model);
    bs_sheet_text(sheet, "%s", either->text);
    bs_sheet_text(sheet, "%s", either->protocol);
    bs_sheet_int(sheet, either->stride);
    bs_sheet_int(sheet, either->windows);
    bs_sheet_int(sheet, either->tokens);
    bs_sheet_double(sheet, a ? a->perplexity : nan_value);
    bs_sheet_double(sheet, a ? a->perplexity_se : nan_value);
    bs_sheet_double(sheet, b ? b->perplexity : nan_value);
    bs_sheet_double(sheet, b ? b->perplexity_se : nan_value);
    bs_sheet_double(sheet, pair ? pair->difference.mean : nan_value);
    bs_sheet_double(sheet, pair ? pair->difference.se : nan_value);
    bs_sheet_double(sheet, pair ? pair->z : nan_value);
    bs_sheet_double(sheet, pair ? pair->p : nan_value);
    bs_sheet_double(sheet, a ? a->kld_mean : nan_value);
    bs_sheet_double(sheet, b ? b->kld_mean : nan_value);
    bs_sheet_int(sheet, pair && pair->identical);
}

static void add_missing(struct bs_sheet *sheet, const struct diff *diff,
                        const struct bs_results *from, const struct bs_results *other, bool from_a)
{
    for (int i = 0; i < from->num_rows; i++) {
        const struct bs_row *row = &from->rows[i];
        if (is_done(row) && !match(diff, other, row))
            add_fields(sheet, from_a ? row : NULL, from_a ? NULL : row, NULL);
    }
}

static enum bs_status print_for_programs(const struct diff *diff, enum bs_table_style style,
                                         FILE *out, struct bs_error *err)
{
    static const char *const headings[] = {
        "label",
        "model",
        "text",
        "protocol",
        "stride",
        "windows",
        "tokens",
        "perplexity_a",
        "perplexity_a_se",
        "perplexity_b",
        "perplexity_b_se",
        "difference",
        "difference_se",
        "z",
        "p",
        "kld_mean_a",
        "kld_mean_b",
        "identical",
    };
    enum { COLUMNS = sizeof headings / sizeof *headings };
    struct bs_sheet sheet;
    bs_sheet_init(&sheet, COLUMNS);
    for (int j = 0; j < COLUMNS; j++)
        bs_sheet_text(&sheet, "%s", headings[j]);
    for (int i = 0; i < diff->num_pairs; i++)
        add_fields(&sheet, diff->pairs[i].a, diff->pairs[i].b, &diff->pairs[i]);
    add_missing(&sheet, diff, diff->a, diff->b, true);
    add_missing(&sheet, diff, diff->b, diff->a, false);
    enum bs_status status;
    if (style == BS_TABLE_CSV)
        status = bs_sheet_print(&sheet, style, out, err);
    else
        status = bs_json_print(json_pack("{s:i, s:i, s:i, s:o}", "compared", diff->num_pairs,
                                         "significant", diff->significant, "identical",
                                         diff->identical, "trials", bs_sheet_json(&sheet)),
                               out, err);
    bs_sheet_release(&sheet);
    return status;
}

enum bs_status bs_diff_print(const struct bs_results *a, const struct bs_results *b,
                             enum bs_table_style style, FILE *out, struct bs_error *err)
{
    struct diff diff = {
        .a = a, .b = b, .by_model = bs_results_several_models(a) || bs_results_several_models(b)};
    enum bs_status status = find_pairs(&diff, err);
    if (status == BS_OK && (style == BS_TABLE_CSV || style == BS_TABLE_JSON))
        status = print_for_programs(&diff, style, out, err);
    else if (status == BS_OK)
        status = print_for_eyes(&diff, style, out, err);
    bs_free(diff.pairs);
    return status;
}
