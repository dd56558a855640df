#include "algorithms/ldl_columns.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64, COLUMNS = 128 };

enum bs_status bs_ldl_check(int greedy_passes, const struct bs_setting *weights,
                            struct bs_error *err)
{
    if (greedy_passes && bs_setting_quantizes(weights) && weights->rounding != BS_NEAREST)
        return bs_fail(err, BS_ECONFIG,
                       "greedy_passes round to the nearest level, expected rounding: nearest, or "
                       "greedy_passes: 0");
    return BS_OK;
}

/* One linear on its way; columns stand in the factor's order. */
struct solve {
    const struct bs_ldl *how;
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
    if (!s->how->greedy_passes)
        return;
    bs_gemm_nn(rows, s->in, s->in, 1, error, s->in, s->damped, s->in, 0, slopes, s->in);
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * in;
        for (int pass = 0; pass < s->how->greedy_passes; pass++)
            if (!descend(s, first + r, weight + at, error + at, slopes + at))
                break;
    }
}

/* A weight, within its levels where the solver wants that. */
static float take_weight(const struct solve *s, int row, int column)
{
    const struct bs_codes *codes = &s->linear->codes;
    float w = s->linear->weight[(size_t)row * (size_t)s->in + (size_t)column];
    if (!s->how->clip)
        return w;
    struct bs_cell cell = bs_codes_cell(codes, row, bs_codes_group(codes, column));
    float a = bs_cell_decode(&cell, 0), b = bs_cell_decode(&cell, cell.levels->count - 1);
    float low = a < b ? a : b, high = a < b ? b : a;
    w = w > low ? w : low;
    return w < high ? w : high;
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
            weight[r * in + i] = take_weight(s, first + (int)r, s->factor->order[i]);
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
    if (s->how->greedy_passes)
        s->damped = bs_alloc(in, in * sizeof(float));
    if (!s->weight || !s->error || !s->moved || (s->how->greedy_passes && !s->damped))
        return bs_fail_memory(err);
    if (s->damped)
        bs_factor_damped(s->factor, hessian, s->in, s->damped);
    return BS_OK;
}

enum bs_status bs_ldl_round(const struct bs_ldl *how, const struct bs_job *job, int slot,
                            struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->program->slots[slot].input;
    struct solve s = {.how = how, .linear = linear, .in = linear->in_features};
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err) ||
        bs_factor_of(job->statistics, site, &how->factor, &s.factor, err))
        return err->status;
    const float *hessian = bs_statistics_of(job->statistics, &bs_stat_hessian, site);
    bs_factor_record(s.factor, &how->factor, linear);
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
void bs_ldl_cost(const struct bs_ldl *how, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    struct bs_cost once = {.flops = 0};
    for (int s = 0; s < p->num_slots; s++) {
        if (!bs_setting_quantizes(extent->weights[s]))
            continue;
        bs_columns_add(&p->slots[s], &once);
        double in = p->slots[s].in, floats = 3.0 * bs_threads() * ROWS_A_TASK * in;
        floats += how->greedy_passes ? in * in : 0;
        cost->bytes = fmax(cost->bytes, floats * sizeof(float));
    }
    cost->flops += once.flops * (how->greedy_passes ? 3 + 2 * how->greedy_passes : 1);
    cost->weights += once.weights * (1 + how->greedy_passes);
}
