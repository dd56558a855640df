#include "eval/report/diff_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/tasks/evaluation.h"

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

/* Makes a pair of the rows found. */
static enum bs_status add_pair(struct bs_pairs *pairs, const struct bs_row **a, int num_a,
                               const struct bs_row **b, int num_b, struct bs_error *err)
{
    struct bs_pair *pair = &pairs->pairs[pairs->num_pairs];
    pair->a = bs_alloc((size_t)num_a, sizeof(const struct bs_row *));
    pair->b = bs_alloc((size_t)num_b, sizeof(const struct bs_row *));
    pairs->num_pairs++;
    if (!pair->a || !pair->b)
        return bs_fail_memory(err);
    for (int i = 0; i < num_a; i++) {
        pair->a[i] = a[i];
        pairs->paired_a[a[i] - pairs->a->rows] = true;
    }
    for (int i = 0; i < num_b; i++) {
        pair->b[i] = b[i];
        pairs->paired_b[b[i] - pairs->b->rows] = true;
    }
    pair->num_a = num_a;
    pair->num_b = num_b;
    pair->of_items = bs_evaluation_has_answers(a[0]->evaluation);
    pair->recalibrated =
        num_a == 1 && num_b == 1 && strcmp(a[0]->calibration_digest, b[0]->calibration_digest);
    return BS_OK;
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

/* In the order of A's rows. */
static int by_row(const void *left, const void *right)
{
    const struct bs_pair *a = left, *b = right;
    return (a->a[0] > b->a[0]) - (a->a[0] < b->a[0]);
}

static bool is_unmeasured(const struct bs_pairs *pairs, const struct bs_pair *pair)
{
    return pair->of_items && !(bs_row_has_convention(pair->a[0], pairs->convention) &&
                               bs_row_has_convention(pair->b[0], pairs->convention));
}

/* Puts the pairs last that the convention tells nothing of, in their order. BS_ENOMEM. */
static enum bs_status part_unmeasured(struct bs_pairs *pairs, struct bs_error *err)
{
    struct bs_pair *last = bs_alloc((size_t)pairs->num_pairs, sizeof *last);
    int measured = 0, unmeasured = 0;
    if (!last)
        return bs_fail_memory(err);
    for (int i = 0; i < pairs->num_pairs; i++)
        if (is_unmeasured(pairs, &pairs->pairs[i]))
            last[unmeasured++] = pairs->pairs[i];
        else
            pairs->pairs[measured++] = pairs->pairs[i];
    memcpy(pairs->pairs + measured, last, (size_t)unmeasured * sizeof *last);
    pairs->num_pairs = measured;
    pairs->num_unmeasured = unmeasured;
    bs_free(last);
    return BS_OK;
}

enum bs_status bs_pairs_find(struct bs_pairs *pairs, struct bs_error *err)
{
    size_t rows_a = (size_t)pairs->a->num_rows, rows_b = (size_t)pairs->b->num_rows;
    pairs->pairs = bs_calloc(rows_a, sizeof *pairs->pairs);
    pairs->paired_a = bs_calloc(rows_a, sizeof *pairs->paired_a);
    pairs->paired_b = bs_calloc(rows_b, sizeof *pairs->paired_b);
    pairs->open_a = bs_calloc(rows_a, sizeof *pairs->open_a);
    pairs->open_b = bs_calloc(rows_b, sizeof *pairs->open_b);
    const struct bs_row **a = bs_alloc(rows_a, sizeof(const struct bs_row *));
    const struct bs_row **b = bs_alloc(rows_b, sizeof(const struct bs_row *));
    bool enough = pairs->pairs && pairs->paired_a && pairs->paired_b && pairs->open_a &&
                  pairs->open_b && a && b;
    enum bs_status status = enough ? BS_OK : bs_fail_memory(err);
    for (int likeness = 0; likeness < LIKENESSES && !status; likeness++)
        status = pair_alike(pairs, (enum likeness)likeness, a, b, err);
    if (!status)
        qsort(pairs->pairs, (size_t)pairs->num_pairs, sizeof *pairs->pairs, by_row);
    if (!status)
        status = part_unmeasured(pairs, err);
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

/* The mean of the trials' NLLs, token by token, and of each trial over its tokens, [num_rows]. */
static enum bs_status mean_tokens(const struct bs_results *results,
                                  const struct bs_row *const *rows, int num_rows, float **mean,
                                  double *means, struct bs_error *err)
{
    const struct bs_layout layout = layout_of(rows[0]);
    size_t count = (size_t)layout.windows * (size_t)layout.per_window;
    *mean = NULL;
    for (int r = 0; r < num_rows; r++) {
        void *array;
        if (bs_results_read_figure(results->path, rows[r], BS_NLL, &array, err))
            return err->status;
        float *nll = array;
        means[r] = bs_mean_of(nll, &layout).mean;
        if (r == 0) {
            *mean = nll;
            continue;
        }
        for (size_t i = 0; i < count; i++)
            (*mean)[i] += (nll[i] - (*mean)[i]) / (float)(r + 1);
        bs_free(nll);
    }
    return BS_OK;
}

/* Sum of squares of the trials' mean NLLs about their own mean. */
static double squares_of(const double *nll, int num_rows)
{
    double mean = 0, squares = 0;
    for (int r = 0; r < num_rows; r++)
        mean += nll[r] / num_rows;
    for (int r = 0; r < num_rows; r++)
        squares += (nll[r] - mean) * (nll[r] - mean);
    return squares;
}

void bs_pair_add_calibrations(struct bs_pair *pair, const double *means_a, const double *means_b,
                              const struct bs_mean *mean, double scale)
{
    double df = pair->num_a + pair->num_b - 2;
    double pooled = (squares_of(means_a, pair->num_a) + squares_of(means_b, pair->num_b)) / df;
    double calibrations = pooled * (1.0 / pair->num_a + 1.0 / pair->num_b);
    double text = mean->se * mean->se, all = text + calibrations;
    pair->flipped = false;
    pair->t = all > 0 ? mean->mean / sqrt(all) : (double)NAN;
    pair->df = all * all / (text * text / mean->df + calibrations * calibrations / df);
    pair->p = all > 0 ? bs_student_p(pair->t, pair->df) : mean->mean == 0;
    pair->calibration_se = scale * sqrt(calibrations);
    double se = pair->difference.se;
    pair->difference.se = sqrt(se * se + pair->calibration_se * pair->calibration_se);
}

/* `means` has room for those of A's trials, then B's. */
static enum bs_status compare(const struct bs_pairs *pairs, struct bs_pair *pair, double *means,
                              struct bs_error *err)
{
    float *a = NULL, *b = NULL;
    double *means_b = means + pair->num_a;
    enum bs_status status = mean_tokens(pairs->a, pair->a, pair->num_a, &a, means, err);
    if (!status)
        status = mean_tokens(pairs->b, pair->b, pair->num_b, &b, means_b, err);
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
    return status;
}

/* Holm's correction over the pairs of texts, or those of tasks. */
static void correct(struct bs_pairs *pairs, bool of_items, double **p)
{
    int count = 0;
    for (int i = 0; i < pairs->num_pairs; i++) {
        struct bs_pair *pair = &pairs->pairs[i];
        /* identical ones test nothing */
        if (pair->of_items == of_items && !pair->identical && !isnan(pair->p))
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
        status = pair->of_items ? bs_pair_compare_items(pairs, pair, means, err)
                                : compare(pairs, pair, means, err);
    }
    for (int of_items = 0; of_items < 2 && !status; of_items++)
        correct(pairs, of_items, p);
    bs_free(means);
    bs_free(p);
    return status;
}

void bs_pairs_release(struct bs_pairs *pairs)
{
    for (int i = 0; i < pairs->num_pairs + pairs->num_unmeasured; i++) {
        bs_free((void *)pairs->pairs[i].a);
        bs_free((void *)pairs->pairs[i].b);
    }
    bs_free(pairs->pairs);
    bs_free(pairs->paired_a);
    bs_free(pairs->paired_b);
    bs_free(pairs->open_a);
    bs_free(pairs->open_b);
    *pairs = (struct bs_pairs){.num_pairs = 0};
}
