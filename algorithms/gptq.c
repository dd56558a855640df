/* GPTQ (Frantar et al. 2023, arXiv 2210.17323): rounds the columns of W one after the other and
 * lets the columns not yet rounded make up for each error. With H = 2/n X^T X, damped, and U the
 * upper Cholesky factor of H^-1: q_i = quantize(w_i),  e = (w_i - q_i) / U_ii,  W[:, i:] -= e U[i,
 * i:].
 *
 * As IST-DASLab/gptq gptq.py, float32 throughout, its order of steps kept where it shows in the
 * result:
 * - a channel or tensor grid is fitted on W before dead columns are zeroed, group grids after;
 * - the groups of one lazy block are fitted on weights that lack the corrections of that block
 * itself (those are applied to a copy), which shows for group_size below block_size;
 * - act_order ranks a dead column by the value 1 that replaces its zero in H. Ties keep the order
 * of the columns (the original's sort leaves it open). Where the factorisation fails the damping
 * grows tenfold until it holds, and the linear is marked. */
#include "algorithms/algorithm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 32 };

struct gptq {
    double percdamp;
    int block_size;
    bool act_order, static_groups, true_sequential;
};

static const struct bs_option gptq_options[] = {
    BS_OPT(struct gptq, percdamp, 0.01, 0, 1, "damping, as a share of the mean of diag(H)"),
    BS_OPT(struct gptq, block_size, 128, 1, 65536, "columns between lazy updates of the rest"),
    BS_OPT(struct gptq, act_order, false, 0, 1, "quantize columns by decreasing diag(H)"),
    BS_OPT(struct gptq, static_groups, false, 0, 1, "fit all group grids before any column moves"),
    BS_OPT(struct gptq, true_sequential, false, 0, 1,
           "take each set's H after the sets before it in the block are quantized"),
    {.name = NULL},
};

static enum bs_status gptq_check(const void *options, const struct bs_format *weights,
                                 struct bs_error *err)
{
    const struct gptq *opt = options;
    if (opt->static_groups && weights->group_size <= 0)
        return bs_fail(err, BS_ECONFIG, "static_groups needs a group_size in columns, not %s",
                       weights->group_size == BS_GROUP_CHANNEL ? "channel" : "tensor");
    return BS_OK;
}

static void gptq_needs(const void *options, struct bs_needs *needs)
{
    (void)options;
    needs->hessian = true;
}

static bool gptq_set_by_set(const void *options)
{
    const struct gptq *opt = options;
    return opt->true_sequential;
}

/* One linear on its way. */
struct solve {
    const struct gptq *opt;
    const struct bs_format *format;
    const struct bs_params *tensor_params;
    struct bs_linear *linear;
    int in, group_columns;
    float *weight;  /* [out][in], columns in processing order */
    float *factor;  /* U, [in][in] */
    int *order;     /* column processed i-th */
    float *errors;  /* [threads][ROWS_A_TASK][block_size] */
    float *columns; /* [threads][block_size]: a row's part of the lazy block */
};

struct ranked {
    float value;
    int column;
};

static int by_decreasing_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return x->column - y->column;
}

static enum bs_status choose_order(struct solve *s, const float *hessian, struct bs_error *err)
{
    for (int i = 0; i < s->in; i++)
        s->order[i] = i;
    if (!s->opt->act_order)
        return BS_OK;
    struct ranked *ranked = bs_alloc((size_t)s->in, sizeof *ranked);
    if (!ranked)
        return bs_fail_memory(err);
    for (int i = 0; i < s->in; i++)
        ranked[i] = (struct ranked){hessian[(size_t)i * (size_t)s->in + (size_t)i], i};
    qsort(ranked, (size_t)s->in, sizeof *ranked, by_decreasing_value);
    for (int i = 0; i < s->in; i++)
        s->order[i] = ranked[i].column;
    bs_free(ranked);
    return BS_OK;
}

/* Replaces zeros on the diagonal by 1 and zeroes the columns of W that never see an input. */
static void drop_dead_columns(struct solve *s, float *hessian)
{
    size_t in = (size_t)s->in;
    for (size_t j = 0; j < in; j++) {
        if (hessian[j * in + j] != 0)
            continue;
        hessian[j * in + j] = 1;
        s->linear->dead_columns++;
        for (int i = 0; i < s->linear->out_features; i++)
            s->linear->weight[(size_t)i * in + j] = 0;
    }
}

/* factor = U of the permuted, damped H; the damping grows until the factorisation holds. */
static enum bs_status factorise(struct solve *s, const float *hessian, struct bs_error *err)
{
    size_t in = (size_t)s->in;
    double mean = 0;
    for (size_t i = 0; i < in; i++)
        mean += (double)hessian[i * in + i] / (double)in;
    if (!isfinite(mean))
        return bs_fail(err, BS_ENUMERIC, "the Hessian is not finite");
    const double least = 1e-6, most = 1e6;
    double percdamp = s->opt->percdamp;
    for (;;) {
        float damp = (float)(percdamp * mean);
        for (size_t i = 0; i < in; i++) {
            const float *row = hessian + (size_t)s->order[i] * in;
            for (size_t j = 0; j < in; j++)
                s->factor[i * in + j] = row[s->order[j]];
            s->factor[i * in + i] += damp;
        }
        if (bs_cholesky_of_inverse(s->factor, s->in))
            break;
        s->linear->fallback = true;
        percdamp = percdamp > 0 ? 10 * percdamp : least;
        if (percdamp > most)
            return bs_fail(err, BS_ENUMERIC, "the Hessian has no Cholesky factor at any damping");
    }
    s->linear->damping = percdamp;
    return BS_OK;
}

/* Group of the i-th processed column, and whether its grid is fitted when it comes up. */
static int group_of(const struct solve *s, int i)
{
    return (s->opt->static_groups ? s->order[i] : i) / s->group_columns;
}

static bool fits_here(const struct solve *s, int i)
{
    return s->format->group_size > 0 && !s->opt->static_groups && i % s->group_columns == 0;
}

/* Rounds columns [start, end) of one row on `b`, a copy of that part of the row, and leaves each
 * column's scaled error in `error`. */
static void round_row(const struct solve *s, int row, int start, int end, float *b, float *error)
{
    struct bs_codes *codes = &s->linear->codes;
    const float *weight = s->weight + (size_t)row * (size_t)s->in;
    uint8_t *out = codes->codes + (size_t)row * (size_t)s->in;
    memcpy(b, weight + start, (size_t)(end - start) * sizeof *b);
    for (int i = start; i < end; i++) {
        const float *u = s->factor + (size_t)i * (size_t)s->in;
        int g = group_of(s, i);
        if (fits_here(s, i)) {
            int left = s->in - i < s->group_columns ? s->in - i : s->group_columns;
            bs_codes_set_params(codes, row, g, bs_format_fit(s->format, weight + i, (size_t)left));
        }
        struct bs_params params = bs_codes_params(codes, row, g);
        float w = b[i - start];
        int code = bs_format_encode(s->format, params, w);
        out[s->order[i]] = (uint8_t)code;
        float e = (w - bs_format_decode(params, code)) / u[i];
        for (int j = i; j < end; j++)
            b[j - start] -= e * u[j];
        error[i - start] = e;
    }
}

/* Rows are independent of each other once U is known. */
static enum bs_status solve_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct solve *s = context;
    int block = s->opt->block_size, first = index * ROWS_A_TASK;
    int rows = s->linear->out_features - first;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    float *errors = s->errors + (size_t)thread * ROWS_A_TASK * (size_t)block;
    float *b = s->columns + (size_t)thread * (size_t)block;
    for (int start = 0; start < s->in; start += block) {
        int end = s->in - start < block ? s->in : start + block;
        for (int r = 0; r < rows; r++)
            round_row(s, first + r, start, end, b, errors + (size_t)r * (size_t)block);
        if (end < s->in)
            bs_gemm_nn(rows, s->in - end, end - start, -1, errors, block,
                       s->factor + (size_t)start * (size_t)s->in + end, s->in, 1,
                       s->weight + (size_t)first * (size_t)s->in + end, s->in);
    }
    return BS_OK;
}

static void permute_columns(struct solve *s)
{
    size_t in = (size_t)s->in;
    for (int i = 0; i < s->linear->out_features; i++)
        for (size_t j = 0; j < in; j++)
            s->weight[(size_t)i * in + j] = s->linear->weight[(size_t)i * in + s->order[j]];
}

/* Whole-row and whole-matrix grids from W as it came; static groups once dead columns are zero. */
static void fit_before(struct solve *s, bool groups)
{
    struct bs_codes *codes = &s->linear->codes;
    const float *weight = s->linear->weight;
    size_t in = (size_t)s->in;
    if (!groups && s->format->group_size == BS_GROUP_TENSOR)
        bs_codes_fit_tensor(codes, weight, s->tensor_params);
    if (groups != (s->format->group_size > 0) || s->format->group_size == BS_GROUP_TENSOR)
        return;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < s->linear->out_features; i++)
        for (int g = 0; g < codes->groups; g++) {
            int at = g * s->group_columns;
            int n = s->in - at < s->group_columns ? s->in - at : s->group_columns;
            bs_codes_set_params(codes, i, g,
                                bs_format_fit(s->format, weight + (size_t)i * in + at, (size_t)n));
        }
}

/* Where groups follow the processing order a file must say which group a column is in. */
static enum bs_status record_groups(struct solve *s, struct bs_error *err)
{
    if (!s->opt->act_order || s->opt->static_groups || s->format->group_size <= 0)
        return BS_OK;
    int *index = bs_alloc((size_t)s->in, sizeof *index);
    if (!index)
        return bs_fail_memory(err);
    for (int i = 0; i < s->in; i++)
        index[s->order[i]] = group_of(s, i);
    s->linear->codes.group_index = index;
    return BS_OK;
}

static enum bs_status solve_linear(struct solve *s, float *hessian, struct bs_error *err)
{
    fit_before(s, false);
    drop_dead_columns(s, hessian);
    if (s->opt->static_groups)
        fit_before(s, true);
    if (choose_order(s, hessian, err) || record_groups(s, err))
        return err->status;
    permute_columns(s);
    if (factorise(s, hessian, err))
        return err->status;
    int tasks = (s->linear->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK;
    return bs_parallel(tasks, solve_rows, s, err);
}

static enum bs_status gptq_quantize(const void *options, const struct bs_job *job, int set,
                                    enum bs_role role, struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[role];
    size_t out = (size_t)linear->out_features, in = (size_t)linear->in_features;
    if (bs_codes_init(&linear->codes, job->weights, linear->out_features, linear->in_features, err))
        return err->status;
    struct solve s = {.opt = options,
                      .format = job->weights,
                      .tensor_params = job->tensor_params,
                      .linear = linear,
                      .in = linear->in_features,
                      .group_columns = bs_codes_group_columns(&linear->codes)};
    size_t threads = (size_t)bs_threads(), block = (size_t)s.opt->block_size;
    s.weight = bs_alloc(out * in, sizeof(float));
    s.factor = bs_alloc(in * in, sizeof(float));
    s.order = bs_alloc(in, sizeof(int));
    s.errors = bs_alloc(threads * ROWS_A_TASK * block, sizeof(float));
    s.columns = bs_alloc(threads * block, sizeof(float));
    float *hessian = bs_alloc(in * in, sizeof(float));
    enum bs_status status;
    if (s.weight && s.factor && s.order && s.errors && s.columns && hessian) {
        memcpy(hessian, job->statistics->sets[set].hessian, in * in * sizeof(float));
        status = solve_linear(&s, hessian, err);
    } else {
        status = bs_fail_memory(err);
    }
    bs_free(s.weight);
    bs_free(s.factor);
    bs_free(s.order);
    bs_free(s.errors);
    bs_free(s.columns);
    bs_free(hessian);
    return status;
}

const struct bs_algorithm bs_alg_gptq = {
    .name = "gptq",
    .summary = "rounds column by column, correcting the rest by second-order information",
    .reference = "Frantar et al. 2023, arXiv 2210.17323; IST-DASLab/gptq",
    .grid = BS_GRID_GPTQ,
    .calibrate_on = BS_ON_QUANTIZED,
    .options_size = sizeof(struct gptq),
    .options = gptq_options,
    .check = gptq_check,
    .needs = gptq_needs,
    .set_by_set = gptq_set_by_set,
    .quantize = gptq_quantize,
};
