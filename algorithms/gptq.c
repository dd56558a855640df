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
#include "algorithms/factor.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64 };

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

static enum bs_status gptq_check(const void *options, const struct bs_setting *weights,
                                 struct bs_error *err)
{
    const struct gptq *opt = options;
    if (opt->static_groups && bs_setting_quantizes(weights) &&
        !bs_setting_layout(weights).by_columns)
        return bs_fail(
            err, BS_ECONFIG,
            "static_groups needs a group_size in columns: a row of the format is one group");
    return BS_OK;
}

static struct bs_factor_choice factor_choice(const struct gptq *opt)
{
    return (struct bs_factor_choice){opt->act_order, opt->percdamp};
}

static void gptq_needs(const void *options, struct bs_wanted *wanted)
{
    struct bs_factor_choice choice = factor_choice(options);
    bs_want_factors(wanted, &choice);
}

static bool gptq_set_by_set(const void *options)
{
    const struct gptq *opt = options;
    return opt->true_sequential;
}

/* One linear on its way. */
struct solve {
    const struct gptq *opt;
    const struct bs_shared *shared;
    struct bs_linear *linear;
    int in;
    const float *hessian;
    const struct bs_factor *factor;
    const int *order;               /* the factor's: the column processed i-th */
    float *weight;                  /* [threads][ROWS_A_TASK][in], columns in processing order */
    float *errors;                  /* [threads][ROWS_A_TASK][block_size] */
    float *columns;                 /* [threads][block_size]: a row's part of the lazy block */
    float *own_diagonal, *diagonal; /* [in] of the Hessian; in processing order */
    struct bs_cell *cells; /* [threads][ROWS_A_TASK][groups], where groups are static; else NULL */
};

/* Zeroes the columns of W that never see an input. */
static void drop_dead_columns(const struct solve *s)
{
    size_t in = (size_t)s->in;
    for (size_t j = 0; j < in; j++) {
        if (s->hessian[j * in + j] != 0)
            continue;
        s->linear->dead_columns++;
        for (int i = 0; i < s->linear->out_features; i++)
            s->linear->weight[(size_t)i * in + j] = 0;
    }
}

/* Group of the i-th processed column, and whether its span is fitted when it comes up. */
static int group_of(const struct solve *s, int i)
{
    return (s->opt->static_groups ? s->order[i] : i) / s->linear->codes.layout.group;
}

static bool fits_here(const struct solve *s, int i)
{
    const struct bs_code_layout *layout = &s->linear->codes.layout;
    return layout->by_columns && !s->opt->static_groups && i % layout->span == 0;
}

/* Fits the span that begins with the i-th processed column to what is left of the row. */
static void fit_span(const struct solve *s, int row, const float *weight, int i)
{
    struct bs_codes *codes = &s->linear->codes;
    int span = i / codes->layout.span;
    struct bs_sample sample = bs_sample_of(weight + i, (size_t)bs_codes_span_columns(codes, span));
    sample.importance = s->diagonal + i;
    bs_codes_fit(codes, row, span, &sample);
}

/* Rounds columns [start, end) of one row, `weight`, on `b`, a copy of that part of it, and leaves
 * each column's scaled error in `error`. `cells` are the row's where groups are static. */
static void round_row(const struct solve *s, int row, const float *weight,
                      const struct bs_cell *cells, int start, int end, float *b, float *error)
{
    struct bs_codes *codes = &s->linear->codes;
    struct bs_cell cell = {.scale = 1};
    int held = -1; /* the group whose cell that is */
    memcpy(b, weight + start, (size_t)(end - start) * sizeof *b);
    for (int i = start; i < end; i++) {
        const float *u = s->factor->upper + (size_t)i * (size_t)s->in;
        int g = group_of(s, i), column = s->order[i];
        if (fits_here(s, i))
            fit_span(s, row, weight, i);
        if (g != held)
            cell = cells ? cells[g] : bs_codes_cell(codes, row, g);
        held = g;
        float w = b[i - start];
        int code = bs_cell_encode(&cell, codes->rounder, bs_codes_index(codes, row, column), w);
        bs_codes_set(codes, row, column, code);
        float e = (w - bs_cell_decode(&cell, code)) / u[i];
        for (int j = i; j < end; j++)
            b[j - start] -= e * u[j];
        error[i - start] = e;
    }
}

/* The row's cells, where they do not change any more and columns take them in any order. */
static struct bs_cell *take_cells(const struct solve *s, int row, struct bs_cell *cells)
{
    for (int g = 0; cells && g < s->linear->codes.groups; g++)
        cells[g] = bs_codes_cell(&s->linear->codes, row, g);
    return cells;
}

static void take_row(const struct solve *s, int row, float *weight)
{
    const float *from = s->linear->weight + (size_t)row * (size_t)s->in;
    for (int j = 0; j < s->in; j++)
        weight[j] = from[s->order[j]];
}

/* Rows are independent of each other once U is known. */
static enum bs_status solve_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct solve *s = context;
    int block = s->opt->block_size, first = index * ROWS_A_TASK;
    int rows = s->linear->out_features - first;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    size_t in = (size_t)s->in, own = (size_t)thread * ROWS_A_TASK;
    float *weight = s->weight + own * in, *errors = s->errors + own * (size_t)block;
    float *b = s->columns + (size_t)thread * (size_t)block;
    struct bs_cell *cells[ROWS_A_TASK];
    size_t groups = (size_t)s->linear->codes.groups;
    for (int r = 0; r < rows; r++) {
        take_row(s, first + r, weight + (size_t)r * in);
        cells[r] =
            take_cells(s, first + r, s->cells ? s->cells + (own + (size_t)r) * groups : NULL);
    }
    for (int start = 0; start < s->in; start += block) {
        int end = s->in - start < block ? s->in : start + block;
        for (int r = 0; r < rows; r++)
            round_row(s, first + r, weight + (size_t)r * in, cells[r], start, end, b,
                      errors + (size_t)r * (size_t)block);
        if (end < s->in)
            bs_gemm_nn(rows, s->in - end, end - start, -1, errors, block,
                       s->factor->upper + (size_t)start * in + end, s->in, 1, weight + end, s->in);
    }
    return BS_OK;
}

/* Parameters of whole rows from W as it came; static groups once dead columns are zero. */
static void fit_before(struct solve *s, bool groups)
{
    struct bs_codes *codes = &s->linear->codes;
    size_t in = (size_t)s->in;
    if (groups != codes->layout.by_columns)
        return;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < s->linear->out_features; i++)
        for (int k = 0; k < codes->spans; k++) {
            size_t at = (size_t)k * (size_t)codes->layout.span;
            struct bs_sample sample = bs_sample_of(s->linear->weight + (size_t)i * in + at,
                                                   (size_t)bs_codes_span_columns(codes, k));
            sample.importance = s->own_diagonal + at;
            bs_codes_fit(codes, i, k, &sample);
        }
}

/* Where groups follow the processing order a file must say which group a column is in. */
static enum bs_status record_groups(struct solve *s, struct bs_error *err)
{
    if (!s->opt->act_order || s->opt->static_groups || !s->linear->codes.layout.by_columns)
        return BS_OK;
    int *index = bs_alloc((size_t)s->in, sizeof *index);
    if (!index)
        return bs_fail_memory(err);
    for (int i = 0; i < s->in; i++)
        index[s->order[i]] = group_of(s, i);
    s->linear->codes.group_index = index;
    return BS_OK;
}

static enum bs_status solve_linear(struct solve *s, struct bs_error *err)
{
    if (bs_codes_fit_tensor(&s->linear->codes, s->linear->weight, s->shared, err))
        return err->status;
    fit_before(s, false);
    drop_dead_columns(s);
    if (s->opt->static_groups)
        fit_before(s, true);
    if (record_groups(s, err))
        return err->status;
    int tasks = (s->linear->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK;
    return bs_parallel(tasks, solve_rows, s, err);
}

/* The factor that the linear's input has, and what it took, for the record. */
static enum bs_status find_factor(struct solve *s, const struct bs_statistics *statistics, int site,
                                  struct bs_error *err)
{
    struct bs_factor_choice choice = factor_choice(s->opt);
    if (bs_factor_of(statistics, site, &choice, &s->factor, err))
        return err->status;
    s->hessian = bs_statistics_of(statistics, &bs_stat_hessian, site);
    s->order = s->factor->order;
    s->linear->damping = s->factor->damping;
    s->linear->fallback = s->factor->damping != choice.percdamp;
    return BS_OK;
}

static enum bs_status allocate(struct solve *s, struct bs_error *err)
{
    size_t threads = (size_t)bs_threads(), rows = threads * ROWS_A_TASK, in = (size_t)s->in;
    size_t block = (size_t)s->opt->block_size, groups = (size_t)s->linear->codes.groups;
    s->weight = bs_alloc(rows, in * sizeof(float));
    s->errors = bs_alloc(rows, block * sizeof(float));
    s->columns = bs_alloc(threads, block * sizeof(float));
    s->diagonal = bs_alloc(in, sizeof(float));
    s->own_diagonal = bs_alloc(in, sizeof(float));
    if (s->opt->static_groups)
        s->cells = bs_alloc(rows * groups, sizeof *s->cells);
    if (!s->weight || !s->errors || !s->columns || !s->diagonal || !s->own_diagonal ||
        (s->opt->static_groups && !s->cells))
        return bs_fail_memory(err);
    for (size_t j = 0; j < in; j++)
        s->own_diagonal[j] = s->hessian[j * in + j];
    for (size_t j = 0; j < in; j++)
        s->diagonal[j] = s->own_diagonal[s->order[j]];
    return BS_OK;
}

static enum bs_status gptq_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->architecture->program.slots[slot].input;
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    struct solve s = {
        .opt = options, .shared = job->shared, .linear = linear, .in = linear->in_features};
    if (find_factor(&s, job->statistics, site, err))
        return err->status;
    enum bs_status status = allocate(&s, err);
    if (!status)
        status = solve_linear(&s, err);
    bs_free(s.weight);
    bs_free(s.errors);
    bs_free(s.columns);
    bs_free(s.diagonal);
    bs_free(s.own_diagonal);
    bs_free(s.cells);
    return status;
}

/* Each column's error is carried to the columns after it. */
static void gptq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    (void)options;
    const struct bs_program *p = &extent->architecture->program;
    for (int s = 0; s < p->num_slots; s++)
        if (bs_setting_quantizes(extent->weights[s])) {
            double weights = (double)p->slots[s].out * p->slots[s].in;
            cost->flops += weights * p->slots[s].in;
            cost->weights += weights;
        }
}

static const struct bs_preference gptq_preferences[] = {{"int", "grid", "gptq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_gptq = {
    .plugin =
        {
            .name = "gptq",
            .summary = "rounds column by column, correcting the rest by second-order information",
            .reference = "Frantar et al. 2023, arXiv 2210.17323; IST-DASLab/gptq",
            .options_size = sizeof(struct gptq),
            .options = gptq_options,
        },
    .preferences = gptq_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .check = gptq_check,
    .needs = gptq_needs,
    .set_by_set = gptq_set_by_set,
    .quantize = gptq_quantize,
    .cost = gptq_cost,
};
