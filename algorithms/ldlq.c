/* LDLQ (QuIP, Chee et al. 2023, arXiv 2307.13304): rounds the columns of W from the last to the
 * first, each corrected by the errors of those after it. With H = L D L^T, L unit lower triangular:
 * q_i = quantize(w_i + sum over j > i of (w_j - q_j) L_ji). Over a whole row it does what GPTQ does
 * in the reversed order; here the errors are those of W itself, there of what W has become.
 *
 * As Cornell-RelaxML/QuIP vector_balance.py (round_ldl, with act_order round_sorted_ldlqRG),
 * without incoherence processing. Greedy passes then go over the columns again: q_i moves to where
 * the loss is least with all others as they are; it stays on its levels, where the authors bring it
 * back to them after a pass. Grids are fitted before any column is rounded. */
#include <string.h>

#include "algorithms/columns.h"
#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64, COLUMNS = 128 };

struct ldlq {
    double percdamp;
    bool act_order, true_sequential;
    int greedy_passes;
};

static const struct bs_option ldlq_options[] = {
    BS_OPT(struct ldlq, percdamp, 0.01, 0, 1, "damping, as a share of the mean of diag(H)"),
    BS_OPT(struct ldlq, act_order, false, 0, 1,
           "quantize columns by decreasing diag(H) (the authors' LDLQ-RG with greedy_passes)"),
    BS_OPT(struct ldlq, greedy_passes, 0, 0, 1000, "passes of coordinate descent afterwards"),
    BS_OPT(struct ldlq, true_sequential, false, 0, 1,
           "take each set's H after the sets before it in the block are quantized"),
    {.name = NULL},
};

static enum bs_status ldlq_check(const void *options, const struct bs_setting *weights,
                                 struct bs_error *err)
{
    const struct ldlq *opt = options;
    if (opt->greedy_passes && bs_setting_quantizes(weights) && weights->rounding != BS_NEAREST)
        return bs_fail(err, BS_ECONFIG,
                       "greedy_passes round to the nearest level, expected rounding: nearest, or "
                       "greedy_passes: 0");
    return BS_OK;
}

static struct bs_factor_choice factor_choice(const struct ldlq *opt)
{
    return (struct bs_factor_choice){
        .ldl = true, .act_order = opt->act_order, .percdamp = opt->percdamp};
}

static void ldlq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_factor_choice choice = factor_choice(options);
    bs_want_factors(wanted, &choice);
}

static bool ldlq_set_by_set(const void *options)
{
    const struct ldlq *opt = options;
    return opt->true_sequential;
}

/* One linear on its way; columns stand in the factor's order. */
struct solve {
    const struct ldlq *opt;
    struct bs_linear *linear;
    int in;
    const struct bs_factor *factor;
    float *damped;                 /* [in][in], H', for greedy passes; else NULL */
    float *weight, *error, *moved; /* [threads][ROWS_A_TASK][in]: W; W - Q; W with its corrections,
                                      then the slopes of the greedy passes */
};

/* Rounds column i of a row to what is nearest to x, and returns the value. */
static float round_column(const struct solve *s, int row, int i, float x)
{
    struct bs_codes *codes = &s->linear->codes;
    int column = s->factor->order[i];
    struct bs_cell cell = bs_codes_cell(codes, row, bs_codes_group(codes, column));
    return bs_cell_decode(&cell, bs_codes_encode(codes, row, column, &cell, x));
}

/* Columns end - 1 .. start of one row, with what they do to each other. */
static void round_row(const struct solve *s, int row, int start, int end, const float *weight,
                      float *moved, float *error)
{
    for (int i = end - 1; i >= start; i--) {
        const float *l = s->factor->triangle + (size_t)i * (size_t)s->in;
        float e = error[i] = weight[i] - round_column(s, row, i, moved[i]);
        for (int j = start; j < i; j++)
            moved[j] += e * l[j];
    }
}

/* One pass over a row's columns: the loss as a function of w_i alone is least at q_i + slope /
 * H_ii, slope = (W - Q) H. Returns whether any code has changed. */
static bool descend(const struct solve *s, int row, const float *weight, float *error, float *slope)
{
    bool changed = false;
    for (int i = s->in - 1; i >= 0; i--) {
        const float *h = s->damped + (size_t)i * (size_t)s->in;
        float before = error[i], best = weight[i] - before + slope[i] / h[i];
        error[i] = weight[i] - round_column(s, row, i, best);
        float by = before - error[i];
        if (by == 0)
            continue;
        changed = true;
        for (int j = 0; j < s->in; j++)
            slope[j] -= by * h[j];
    }
    return changed;
}

static void improve_rows(const struct solve *s, int first, int rows, const float *weight,
                         float *error, float *slopes)
{
    size_t in = (size_t)s->in;
    if (!s->opt->greedy_passes)
        return;
    bs_gemm_nn(rows, s->in, s->in, 1, error, s->in, s->damped, s->in, 0, slopes, s->in);
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * in;
        for (int pass = 0; pass < s->opt->greedy_passes; pass++)
            if (!descend(s, first + r, weight + at, error + at, slopes + at))
                break;
    }
}

static enum bs_status solve_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct solve *s = context;
    int first = index * ROWS_A_TASK, rows = s->linear->out_features - first, n = s->in;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    size_t in = (size_t)n, own = (size_t)thread * ROWS_A_TASK * in;
    float *weight = s->weight + own, *error = s->error + own, *moved = s->moved + own;
    for (size_t r = 0; r < (size_t)rows; r++)
        for (size_t i = 0; i < in; i++)
            weight[r * in + i] =
                s->linear->weight[((size_t)first + r) * in + (size_t)s->factor->order[i]];
    memcpy(moved, weight, (size_t)rows * in * sizeof *moved);
    for (int end = n, start; end > 0; end = start) {
        start = end > COLUMNS ? end - COLUMNS : 0;
        for (size_t r = 0; r < (size_t)rows; r++)
            round_row(s, first + (int)r, start, end, weight + r * in, moved + r * in,
                      error + r * in);
        if (start > 0)
            bs_gemm_nn(rows, start, end - start, 1, error + start, n,
                       s->factor->triangle + (size_t)start * in, n, 1, moved, n);
    }
    improve_rows(s, first, rows, weight, error, moved);
    return BS_OK;
}

static enum bs_status allocate(struct solve *s, const float *hessian, struct bs_error *err)
{
    size_t in = (size_t)s->in, rows = (size_t)bs_threads() * ROWS_A_TASK;
    s->weight = bs_alloc(rows, in * sizeof(float));
    s->error = bs_alloc(rows, in * sizeof(float));
    s->moved = bs_alloc(rows, in * sizeof(float));
    if (s->opt->greedy_passes)
        s->damped = bs_alloc(in, in * sizeof(float));
    if (!s->weight || !s->error || !s->moved || (s->opt->greedy_passes && !s->damped))
        return bs_fail_memory(err);
    if (s->damped)
        bs_factor_damped(s->factor, hessian, s->in, s->damped);
    return BS_OK;
}

static enum bs_status ldlq_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->program->slots[slot].input;
    struct solve s = {.opt = options, .linear = linear, .in = linear->in_features};
    struct bs_factor_choice choice = factor_choice(s.opt);
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err) ||
        bs_factor_of(job->statistics, site, &choice, &s.factor, err))
        return err->status;
    const float *hessian = bs_statistics_of(job->statistics, &bs_stat_hessian, site);
    bs_factor_record(s.factor, &choice, linear);
    enum bs_status status = allocate(&s, hessian, err);
    if (!status)
        status = bs_columns_fit(linear, hessian, job->shared, true, err);
    if (!status)
        status = bs_parallel((linear->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK, solve_rows, &s,
                             err);
    bs_free(s.damped);
    bs_free(s.weight);
    bs_free(s.error);
    bs_free(s.moved);
    return status;
}

/* The first pass goes over a triangle of H; the product by H before greedy passes is twice that,
 * and so is each of them at most. */
static void ldlq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct ldlq *opt = options;
    struct bs_cost once = {.flops = 0};
    bs_columns_cost(extent, &once);
    cost->flops += once.flops * (opt->greedy_passes ? 3 + 2 * opt->greedy_passes : 1);
    cost->weights += once.weights * (1 + opt->greedy_passes);
}

static const struct bs_preference ldlq_preferences[] = {{"int", "grid", "gptq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_ldlq = {
    .plugin =
        {
            .name = "ldlq",
            .summary = "rounds column by column by the LDL factors of the Hessian",
            .reference = "Chee et al. 2023, arXiv 2307.13304; Cornell-RelaxML/QuIP",
            .options_size = sizeof(struct ldlq),
            .options = ldlq_options,
        },
    .preferences = ldlq_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .check = ldlq_check,
    .needs = ldlq_needs,
    .set_by_set = ldlq_set_by_set,
    .quantize = ldlq_quantize,
    .cost = ldlq_cost,
};
