#include "eval/report/diff_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/evaluation.h"

static void release_pairs(struct bs_pairs *pairs)
{
    for (int i = 0; i < pairs->num_pairs + pairs->num_unmeasured; i++) {
        bs_free((void *)pairs->pairs[i].a);
        bs_free((void *)pairs->pairs[i].b);
    }
    bs_free(pairs->pairs);
    pairs->pairs = NULL;
    pairs->num_pairs = pairs->num_unmeasured = pairs->capacity = 0;
}

/* ---- who belongs to whom ---- */

/* How alike two trials must be, the strictest first. */
enum likeness {
    SAME_ID,
    SAME_NUMERICS,
    SAME_MODEL_AND_WINDOWS,
    SAME_WINDOWS,
    SAME_BUT_SEED,
    SAME_RECIPE,
    LIKENESSES
};

static bool alike(const struct bs_pairs *pairs, enum likeness likeness, const struct bs_row *a,
                  const struct bs_row *b)
{
    if (likeness == SAME_ID)
        return !strcmp(a->id, b->id);
    if (strcmp(a->recipe, b->recipe) || !bs_rows_comparable(a, b) ||
        (pairs->by_model && strcmp(a->model, b->model)))
        return false;
    bool same_windows = !strcmp(a->calibration_digest, b->calibration_digest);
    bool same_model = !strcmp(a->model, b->model) && !strcmp(a->model_digest, b->model_digest);
    switch (likeness) {
    case SAME_NUMERICS:
        return same_windows && same_model && !strcmp(a->numerics, b->numerics);
    case SAME_MODEL_AND_WINDOWS:
        return same_windows && same_model;
    case SAME_WINDOWS:
        return same_windows;
    case SAME_BUT_SEED:
        return bs_rows_drawn_alike(a, b) && !strcmp(a->model_digest, b->model_digest);
    default:
        return true;
    }
}

/* The rows of one file that are still to be paired and are like `row`. */
static int find_like(const struct bs_pairs *pairs, enum likeness likeness, const struct bs_row *row,
                     const struct bs_results *results, const bool *paired,
                     const struct bs_row **found)
{
    int count = 0;
    for (int i = 0; i < results->num_rows; i++)
        if (bs_row_is_done(&results->rows[i]) && !paired[i] &&
            alike(pairs, likeness, row, &results->rows[i]))
            found[count++] = &results->rows[i];
    return count;
}

/* A copy of the rows in new memory. */
static const struct bs_row **copy_rows(const struct bs_row *const *rows, int count)
{
    const struct bs_row **copy = bs_alloc((size_t)count, sizeof(const struct bs_row *));
    for (int i = 0; copy && i < count; i++)
        copy[i] = rows[i];
    return copy;
}

/* Whether both sides were calibrated, on other windows. */
static bool is_recalibrated(const struct bs_pairs *pairs, const struct bs_row *a,
                            const struct bs_row *b)
{
    bool both = *a->calibration_digest && *b->calibration_digest;
    return strcmp(a->calibration_digest, b->calibration_digest) && (both || !pairs->between[0]);
}

enum bs_status bs_pairs_add(struct bs_pairs *pairs, const struct bs_row *const *a, int num_a,
                            const struct bs_row *const *b, int num_b, struct bs_error *err)
{
    if (pairs->num_pairs == pairs->capacity) {
        int wider = pairs->capacity ? 2 * pairs->capacity : 16;
        struct bs_pair *more =
            bs_realloc(pairs->pairs, (size_t)pairs->num_pairs, (size_t)wider, sizeof *more);
        if (!more)
            return bs_fail_memory(err);
        pairs->pairs = more;
        pairs->capacity = wider;
    }
    struct bs_pair *pair = &pairs->pairs[pairs->num_pairs++];
    *pair = (struct bs_pair){
        .num_a = num_a, .num_b = num_b, .a = copy_rows(a, num_a), .b = copy_rows(b, num_b)};
    pair->recalibrated = num_a == 1 && num_b == 1 && is_recalibrated(pairs, a[0], b[0]);
    return pair->a && pair->b ? BS_OK : bs_fail_memory(err);
}

/* Makes a pair of the rows found. */
static enum bs_status add_pair(struct bs_pairs *pairs, const struct bs_row **a, int num_a,
                               const struct bs_row **b, int num_b, struct bs_error *err)
{
    for (int i = 0; i < num_a; i++)
        pairs->paired_a[a[i] - pairs->a->rows] = true;
    for (int i = 0; i < num_b; i++)
        pairs->paired_b[b[i] - pairs->b->rows] = true;
    return bs_pairs_add(pairs, a, num_a, b, num_b, err);
}

/* Pairs what is this much alike. `a` and `b` have room for the rows of either file. */
static enum bs_status pair_alike(struct bs_pairs *pairs, enum likeness likeness,
                                 const struct bs_row **a, const struct bs_row **b,
                                 struct bs_error *err)
{
    for (int i = 0; i < pairs->a->num_rows; i++) {
        const struct bs_row *row = &pairs->a->rows[i];
        if (!bs_row_is_done(row) || pairs->paired_a[i])
            continue;
        int num_b = find_like(pairs, likeness, row, pairs->b, pairs->paired_b, b);
        int num_a = num_b ? find_like(pairs, likeness, b[0], pairs->a, pairs->paired_a, a) : 0;
        bool one_each = num_a == 1 && num_b == 1;
        bool groups = likeness == SAME_BUT_SEED && num_a + num_b > 2;
        if (num_b && (one_each ? likeness != SAME_BUT_SEED : groups) &&
            add_pair(pairs, a, num_a, b, num_b, err))
            return err->status;
        if (likeness == SAME_RECIPE && num_b && !one_each) {
            pairs->open_a[i] = true;
            for (int k = 0; k < num_b; k++)
                pairs->open_b[b[k] - pairs->b->rows] = true;
        }
    }
    return BS_OK;
}

/* In the order of A's rows, then B's. */
static int by_row(const void *left, const void *right)
{
    const struct bs_pair *a = left, *b = right;
    if (a->a[0] != b->a[0])
        return a->a[0] > b->a[0] ? 1 : -1;
    return (a->b[0] > b->b[0]) - (a->b[0] < b->b[0]);
}

const char *bs_diff_value(const struct bs_pairs *pairs, enum bs_compared what)
{
    return what == BS_COMPARE_TOKENS  ? "perplexity"
           : what == BS_COMPARE_RIGHT ? bs_convention_names[pairs->convention]
                                      : bs_target_perplexity;
}

bool bs_diff_has_value(const struct bs_pairs *pairs, enum bs_compared what,
                       const struct bs_row *row)
{
    bool of_items = bs_evaluation_has_answers(row->evaluation);
    if (what == BS_COMPARE_TOKENS || !of_items)
        return (what == BS_COMPARE_TOKENS) != of_items;
    return bs_row_value(row, row->evaluation, bs_diff_value(pairs, what)) != NULL;
}

/* Whether this is asked for, and both sides have it. */
static bool is_compared(const struct bs_pairs *pairs, enum bs_compared what,
                        const struct bs_pair *pair)
{
    return pairs->asked[what] && bs_diff_has_value(pairs, what, pair->a[0]) &&
           bs_diff_has_value(pairs, what, pair->b[0]);
}

/* The next thing after `what` that is compared of the pair; BS_NUM_COMPARED = none. */
static int next_compared(const struct bs_pairs *pairs, const struct bs_pair *pair, int what)
{
    do
        what++;
    while (what < BS_NUM_COMPARED && !is_compared(pairs, (enum bs_compared)what, pair));
    return what;
}

/* Adds the pair once for each thing that is compared of it. */
static enum bs_status settle(const struct bs_pairs *pairs, const struct bs_pair *pair,
                             struct bs_pairs *settled, struct bs_error *err)
{
    for (int what = -1; (what = next_compared(pairs, pair, what)) < BS_NUM_COMPARED;) {
        if (bs_pairs_add(settled, pair->a, pair->num_a, pair->b, pair->num_b, err))
            return err->status;
        settled->pairs[settled->num_pairs - 1].what = (enum bs_compared)what;
    }
    return BS_OK;
}

enum bs_status bs_pairs_settle(struct bs_pairs *pairs, struct bs_error *err)
{
    struct bs_pairs settled = *pairs;
    settled.pairs = NULL;
    settled.num_pairs = settled.capacity = 0;
    enum bs_status status = BS_OK;
    if (pairs->num_pairs)
        qsort(pairs->pairs, (size_t)pairs->num_pairs, sizeof *pairs->pairs, by_row);
    for (int i = 0; i < pairs->num_pairs && !status; i++)
        status = settle(pairs, &pairs->pairs[i], &settled, err);
    int measured = settled.num_pairs;
    for (int i = 0; i < pairs->num_pairs && !status; i++) {
        const struct bs_pair *pair = &pairs->pairs[i];
        if (next_compared(pairs, pair, -1) == BS_NUM_COMPARED)
            status = bs_pairs_add(&settled, pair->a, pair->num_a, pair->b, pair->num_b, err);
    }
    release_pairs(pairs);
    settled.num_unmeasured = settled.num_pairs - measured;
    settled.num_pairs = measured;
    *pairs = settled;
    return status;
}

enum bs_status bs_pairs_find(struct bs_pairs *pairs, struct bs_error *err)
{
    size_t rows_a = (size_t)pairs->a->num_rows, rows_b = (size_t)pairs->b->num_rows;
    pairs->paired_a = bs_calloc(rows_a, sizeof *pairs->paired_a);
    pairs->paired_b = bs_calloc(rows_b, sizeof *pairs->paired_b);
    pairs->open_a = bs_calloc(rows_a, sizeof *pairs->open_a);
    pairs->open_b = bs_calloc(rows_b, sizeof *pairs->open_b);
    const struct bs_row **a = bs_alloc(rows_a, sizeof(const struct bs_row *));
    const struct bs_row **b = bs_alloc(rows_b, sizeof(const struct bs_row *));
    bool enough = pairs->paired_a && pairs->paired_b && pairs->open_a && pairs->open_b && a && b;
    enum bs_status status = enough ? BS_OK : bs_fail_memory(err);
    for (int likeness = 0; likeness < LIKENESSES && !status; likeness++)
        status = pair_alike(pairs, (enum likeness)likeness, a, b, err);
    if (!status)
        status = bs_pairs_settle(pairs, err);
    bs_free(b);
    bs_free(a);
    return status;
}

/* ---- how they compare ---- */

/* A row from a file may hold any numbers; reading its arrays refuses those that do not fit them. */
static struct bs_layout layout_of(const struct bs_row *row)
{
    return (struct bs_layout){.windows = row->windows > 0 ? row->windows : 0,
                              .per_window = row->tokens > 0 ? row->tokens - 1 : 0,
                              .scored = (size_t)row->scored};
}

/* The mean of the trials' NLLs or divergences, token by token, and of each trial over its tokens,
 * [num_rows]. */
static enum bs_status mean_tokens(const struct bs_row *const *rows, int num_rows,
                                  enum bs_figure figure, float **mean, double *means,
                                  struct bs_error *err)
{
    const struct bs_layout layout = layout_of(rows[0]);
    size_t count = (size_t)layout.windows * (size_t)layout.per_window;
    *mean = NULL;
    for (int r = 0; r < num_rows; r++) {
        void *array;
        if (bs_results_read_figure(rows[r]->file, rows[r], figure, &array, err))
            return err->status;
        float *values = array;
        means[r] = bs_mean_of(values, &layout).mean;
        if (r == 0) {
            *mean = values;
            continue;
        }
        for (size_t i = 0; i < count; i++)
            (*mean)[i] += (values[i] - (*mean)[i]) / (float)(r + 1);
        bs_free(values);
    }
    return BS_OK;
}

/* Sum of squares of the trials' means about their own mean. */
static double squares_of(const double *means, int num_rows)
{
    double mean = 0, squares = 0;
    for (int r = 0; r < num_rows; r++)
        mean += means[r] / num_rows;
    for (int r = 0; r < num_rows; r++)
        squares += (means[r] - mean) * (means[r] - mean);
    return squares;
}

double bs_pair_calibration_variance(const struct bs_pair *pair, const double *means_a,
                                    const double *means_b)
{
    double df = pair->num_a + pair->num_b - 2;
    double pooled = (squares_of(means_a, pair->num_a) + squares_of(means_b, pair->num_b)) / df;
    return pooled * (1.0 / pair->num_a + 1.0 / pair->num_b);
}

void bs_pair_add_calibrations(struct bs_pair *pair, const double *means_a, const double *means_b,
                              const struct bs_mean *mean, double scale)
{
    double df = pair->num_a + pair->num_b - 2;
    double calibrations = bs_pair_calibration_variance(pair, means_a, means_b);
    double text = mean->se * mean->se, all = text + calibrations;
    pair->flipped = false;
    pair->t = all > 0 ? mean->mean / sqrt(all) : (double)NAN;
    pair->df = all * all / (text * text / mean->df + calibrations * calibrations / df);
    pair->p = all > 0 ? bs_student_p(pair->t, pair->df) : mean->mean == 0;
    pair->calibration_se = scale * sqrt(calibrations);
    double se = pair->difference.se;
    pair->difference.se = sqrt(se * se + pair->calibration_se * pair->calibration_se);
}

/* The means of both sides, token by token; both are the caller's, also where it fails. */
static enum bs_status mean_sides(const struct bs_pair *pair, enum bs_figure figure, float **a,
                                 float **b, double *means, struct bs_error *err)
{
    *a = *b = NULL;
    if (mean_tokens(pair->a, pair->num_a, figure, a, means, err))
        return err->status;
    return mean_tokens(pair->b, pair->num_b, figure, b, means + pair->num_a, err);
}

/* Whether all of the trials were compared with the unquantized model. */
static bool have_divergence(const struct bs_row *const *rows, int num_rows)
{
    bool have = true;
    for (int r = 0; r < num_rows; r++)
        have = have && bs_row_value(rows[r], rows[r]->evaluation, "kld_mean");
    return have;
}

/* pair->divergence, where both sides have one. */
static enum bs_status compare_divergence(struct bs_pair *pair, double *means, struct bs_error *err)
{
    struct bs_mean *difference = &pair->divergence;
    float *a, *b;
    if (!have_divergence(pair->a, pair->num_a) || !have_divergence(pair->b, pair->num_b))
        return BS_OK;
    enum bs_status status = mean_sides(pair, BS_KLD, &a, &b, means, err);
    if (!status) {
        struct bs_layout layout = layout_of(pair->a[0]);
        *difference = bs_mean_difference(b, a, &layout);
        if (pair->num_a + pair->num_b > 2)
            difference->se = sqrt(difference->se * difference->se +
                                  bs_pair_calibration_variance(pair, means, means + pair->num_a));
    }
    bs_free(a);
    bs_free(b);
    return status;
}

/* `means` has room for those of A's trials, then B's. */
static enum bs_status compare(struct bs_pair *pair, double *means, struct bs_error *err)
{
    float *a, *b;
    double *means_b = means + pair->num_a;
    enum bs_status status = mean_sides(pair, BS_NLL, &a, &b, means, err);
    if (!status) {
        assert(a && b);
        struct bs_layout layout = layout_of(pair->a[0]);
        size_t values = (size_t)layout.windows * (size_t)layout.per_window;
        struct bs_test test = bs_test_difference(b, a, &layout);
        pair->identical = !memcmp(a, b, values * sizeof *a);
        pair->value_a = bs_perplexity_of(a, &layout);
        pair->value_b = bs_perplexity_of(b, &layout);
        pair->difference = bs_perplexity_difference(b, a, &layout);
        pair->t = test.t;
        pair->df = test.difference.df;
        pair->p = test.p;
        pair->flipped = test.flipped;
        pair->blocks = test.blocks;
        if (pair->num_a + pair->num_b > 2)
            bs_pair_add_calibrations(pair, means, means_b, &test.difference,
                                     sqrt(pair->value_a.mean * pair->value_b.mean));
        pair->p_holm = pair->p;
    }
    bs_free(a);
    bs_free(b);
    return status ? status : compare_divergence(pair, means, err);
}

/* Holm's correction over the pairs of which the same is compared. */
static void correct(struct bs_pairs *pairs, enum bs_compared what, double **p)
{
    int count = 0;
    for (int i = 0; i < pairs->num_pairs; i++) {
        struct bs_pair *pair = &pairs->pairs[i];
        /* identical ones test nothing */
        if (pair->what == what && !pair->identical && !isnan(pair->p))
            p[count++] = &pair->p_holm;
    }
    bs_holm(p, count);
}

enum bs_status bs_pairs_compare(struct bs_pairs *pairs, struct bs_error *err)
{
    double **p = bs_alloc((size_t)pairs->num_pairs, sizeof *p);
    double *means =
        bs_alloc((size_t)pairs->a->num_rows + (size_t)pairs->b->num_rows, sizeof *means);
    enum bs_status status = p && means ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < pairs->num_pairs && !status; i++) {
        struct bs_pair *pair = &pairs->pairs[i];
        pair->divergence = (struct bs_mean){.mean = (double)NAN, .se = (double)NAN};
        status = pair->what == BS_COMPARE_TOKENS ? compare(pair, means, err)
                                                 : bs_pair_compare_items(pairs, pair, means, err);
    }
    for (int what = 0; what < BS_NUM_COMPARED && !status; what++)
        correct(pairs, (enum bs_compared)what, p);
    bs_free(means);
    bs_free(p);
    return status;
}

void bs_pairs_release(struct bs_pairs *pairs)
{
    release_pairs(pairs);
    bs_free(pairs->paired_a);
    bs_free(pairs->paired_b);
    bs_free(pairs->open_a);
    bs_free(pairs->open_b);
    *pairs = (struct bs_pairs){.num_pairs = 0};
}
