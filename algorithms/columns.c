/* As IST-DASLab/gptq gptq.py, float32 throughout, its order of steps kept where it shows in the
 * result:
 * - a channel or tensor grid is fitted on W before dead columns are zeroed, group grids after;
 * - the groups of one lazy block are fitted on weights that lack the corrections of that block
 * itself (those are applied to a copy), which shows for group_size below block_size;
 * - act_order ranks a dead column by the value 1 that replaces its zero in H. Ties keep the order
 * of the columns (the original's sort leaves it open). Where the factorisation fails the damping
 * grows tenfold until it holds, and the linear is marked. */
#include "algorithms/columns.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"

enum { ROWS_A_TASK = 64 };

enum bs_status bs_columns_check(const struct bs_columns *how, const struct bs_setting *weights,
                                struct bs_error *err)
{
    if (!bs_setting_quantizes(weights))
        return BS_OK;
    struct bs_code_layout layout = bs_setting_layout(weights);
    if (how->static_groups && !layout.by_columns)
        return bs_fail(
            err, BS_ECONFIG,
            "static_groups needs a group_size in columns: a row of the format is one group");
    if (how->factor.act_order && layout.by_columns && !how->static_groups && !layout.group_index)
        return bs_fail(err, BS_ECONFIG,
                       "act_order puts columns into groups in its own order, and a file of format "
                       "%s has no room to say which group a column is in, expected "
                       "static_groups: true",
                       weights->format.plugin->name);
    return BS_OK;
}

/* One linear on its way. */
struct solve {
    const struct bs_columns *how;
    const struct bs_pull *pull;
    struct bs_linear *linear;
    int in;
    const float *hessian;
    const struct bs_factor *factor;
    const int *order;      /* the factor's: the column processed i-th */
    float *weight;         /* [threads][ROWS_A_TASK][in], columns in processing order */
    float *errors;         /* [threads][ROWS_A_TASK][block_size] */
    float *columns;        /* the same: the rows' part of the lazy block */
    float *diagonal;       /* [in] of the Hessian, in processing order */
    struct bs_cell *cells; /* [threads][ROWS_A_TASK][groups], where groups are static; else NULL */
};

/* Zeroes the columns of W that never see an input. */
static void drop_dead_columns(struct bs_linear *linear, const float *hessian)
{
    size_t in = (size_t)linear->in_features;
    for (size_t j = 0; j < in; j++) {
        if (hessian[j * in + j] != 0)
            continue;
        linear->dead_columns++;
        for (int i = 0; i < linear->out_features; i++)
            linear->weight[(size_t)i * in + j] = 0;
    }
}

static void fit_spans(struct bs_linear *linear, const float *importance)
{
    struct bs_codes *codes = &linear->codes;
    size_t in = (size_t)linear->in_features;
#pragma omp parallel for schedule(static)
    for (int i = 0; i < linear->out_features; i++)
        for (int k = 0; k < codes->spans; k++) {
            size_t at = (size_t)k * (size_t)codes->layout.span;
            struct bs_sample sample = bs_sample_of(linear->weight + (size_t)i * in + at,
                                                   (size_t)bs_codes_span_columns(codes, k));
            sample.importance = importance + at;
            bs_codes_fit(codes, i, k, &sample);
        }
}

enum bs_status bs_columns_fit(struct bs_linear *linear, const float *hessian,
                              const struct bs_shared *shared, bool groups, struct bs_error *err)
{
    size_t in = (size_t)linear->in_features;
    float *importance = bs_alloc(in, sizeof *importance);
    if (!importance)
        return bs_fail_memory(err);
    for (size_t j = 0; j < in; j++)
        importance[j] = hessian[j * in + j];
    bool by_columns = linear->codes.layout.by_columns;
    enum bs_status status = bs_codes_fit_tensor(&linear->codes, linear->weight, shared, err);
    if (!status && !by_columns)
        fit_spans(linear, importance);
    drop_dead_columns(linear, hessian);
    if (!status && by_columns && groups)
        fit_spans(linear, importance);
    bs_free(importance);
    return status;
}

/* Group of the i-th processed column, and whether its span is fitted when it comes up. */
static int group_of(const struct solve *s, int i)
{
    const struct bs_code_layout *layout = &s->linear->codes.layout;
    bool stays = s->how->static_groups || !layout->by_columns; /* fitted before any column moves */
    return (stays ? s->order[i] : i) / layout->group;
}

static bool fits_here(const struct solve *s, int i)
{
    const struct bs_code_layout *layout = &s->linear->codes.layout;
    return layout->by_columns && !s->how->static_groups && i % layout->span == 0;
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

static void pull_columns(const float *pull, float by, int i, int end, float *b)
{
    for (int j = i + 1; j < end; j++)
        b[j] += by * pull[j];
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
        size_t line = (size_t)i * (size_t)s->in;
        const float *u = s->factor->triangle + line;
        int g = group_of(s, i), column = s->order[i];
        if (fits_here(s, i))
            fit_span(s, row, weight, i);
        if (g != held)
            cell = cells ? cells[g] : bs_codes_cell(codes, row, g);
        held = g;
        float w = b[i - start];
        int code = bs_codes_encode(codes, row, column, &cell, w);
        float e = (w - bs_cell_decode(&cell, code)) / u[i];
        for (int j = i; j < end; j++)
            b[j - start] -= e * u[j];
        if (s->pull->rows)
            pull_columns(s->pull->rows + line, w * s->pull->factor, i, end, b - start);
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

/* What the columns [start, end) of some rows do to those after them. As the authors' code, the pull
 * of columns that are not in their block is that of their rounded values. */
static void update_rest(const struct solve *s, int rows, int start, int end, const float *errors,
                        const float *b, float *weight)
{
    int block = s->how->block_size, in = s->in, rest = in - end;
    size_t at = (size_t)start * (size_t)in + (size_t)end;
    if (rest <= 0)
        return;
    bs_gemm_nn(rows, rest, end - start, -1, errors, block, s->factor->triangle + at, in, 1,
               weight + end, in);
    if (s->pull->rows)
        bs_gemm_nn(rows, rest, end - start, s->pull->factor, b, block, s->pull->rows + at, in, 1,
                   weight + end, in);
}

/* Rows are independent of each other once U is known. */
static enum bs_status solve_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct solve *s = context;
    int first = index * ROWS_A_TASK, rows = s->linear->out_features - first;
    rows = rows < ROWS_A_TASK ? rows : ROWS_A_TASK;
    size_t in = (size_t)s->in, block = (size_t)s->how->block_size;
    size_t own = (size_t)thread * ROWS_A_TASK, groups = (size_t)s->linear->codes.groups;
    float *weight = s->weight + own * in, *errors = s->errors + own * block;
    float *b = s->columns + own * block;
    struct bs_cell *cells[ROWS_A_TASK];
    for (int r = 0; r < rows; r++) {
        take_row(s, first + r, weight + (size_t)r * in);
        cells[r] =
            take_cells(s, first + r, s->cells ? s->cells + (own + (size_t)r) * groups : NULL);
    }
    for (int start = 0; start < s->in; start += (int)block) {
        int end = s->in - start < (int)block ? s->in : start + (int)block;
        for (size_t r = 0; r < (size_t)rows; r++)
            round_row(s, first + (int)r, weight + r * in, cells[r], start, end, b + r * block,
                      errors + r * block);
        update_rest(s, rows, start, end, errors, b, weight);
    }
    return BS_OK;
}

/* Where groups follow the processing order a file must say which group a column is in. */
static enum bs_status record_groups(struct solve *s, struct bs_error *err)
{
    if (!s->how->factor.act_order || s->how->static_groups || !s->linear->codes.layout.by_columns)
        return BS_OK;
    int *index = bs_alloc((size_t)s->in, sizeof *index);
    if (!index)
        return bs_fail_memory(err);
    for (int i = 0; i < s->in; i++)
        index[s->order[i]] = group_of(s, i);
    s->linear->codes.group_index = index;
    return BS_OK;
}

static enum bs_status solve_linear(struct solve *s, const struct bs_shared *shared,
                                   struct bs_error *err)
{
    if (bs_columns_fit(s->linear, s->hessian, shared, s->how->static_groups, err) ||
        record_groups(s, err))
        return err->status;
    int tasks = (s->linear->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK;
    return bs_parallel(tasks, solve_rows, s, err);
}

static enum bs_status allocate(struct solve *s, struct bs_error *err)
{
    size_t threads = (size_t)bs_threads(), rows = threads * ROWS_A_TASK, in = (size_t)s->in;
    size_t block = (size_t)s->how->block_size, groups = (size_t)s->linear->codes.groups;
    s->weight = bs_alloc(rows, in * sizeof(float));
    s->errors = bs_alloc(rows, block * sizeof(float));
    s->columns = bs_alloc(rows, block * sizeof(float));
    s->diagonal = bs_alloc(in, sizeof(float));
    if (s->how->static_groups)
        s->cells = bs_alloc(rows * groups, sizeof *s->cells);
    if (!s->weight || !s->errors || !s->columns || !s->diagonal ||
        (s->how->static_groups && !s->cells))
        return bs_fail_memory(err);
    for (size_t j = 0; j < in; j++)
        s->diagonal[j] = s->hessian[(size_t)s->order[j] * in + (size_t)s->order[j]];
    return BS_OK;
}

/* The factor that the linear's input has, and what it took, for the record. */
static enum bs_status find_factor(struct solve *s, const struct bs_statistics *statistics, int site,
                                  struct bs_error *err)
{
    if (bs_factor_of(statistics, site, &s->how->factor, &s->factor, err))
        return err->status;
    s->hessian = bs_statistics_of(statistics, &bs_stat_hessian, site);
    s->order = s->factor->order;
    bs_factor_record(s->factor, &s->how->factor, s->linear);
    return BS_OK;
}

enum bs_status bs_columns_round(const struct bs_columns *how, const struct bs_pull *pull,
                                const struct bs_job *job, int slot, struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->program->slots[slot].input;
    struct solve s = {.how = how, .pull = pull, .linear = linear, .in = linear->in_features};
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err) ||
        find_factor(&s, job->statistics, site, err))
        return err->status;
    enum bs_status status = allocate(&s, err);
    if (!status)
        status = solve_linear(&s, job->shared, err);
    bs_free(s.weight);
    bs_free(s.errors);
    bs_free(s.columns);
    bs_free(s.diagonal);
    bs_free(s.cells);
    return status;
}

/* Each column's error is carried to the columns after it. */
void bs_columns_add(const struct bs_slot *slot, struct bs_cost *cost)
{
    double weights = (double)slot->out * slot->in;
    cost->flops += weights * slot->in;
    cost->weights += weights;
}

/* What `allocate` does. */
static double held_bytes(const struct bs_columns *how, const struct bs_setting *weights, double in)
{
    double rows = (double)bs_threads() * ROWS_A_TASK,
           groups = in / bs_setting_layout(weights).group;
    double cells = how->static_groups ? rows * ceil(groups) * sizeof(struct bs_cell) : 0;
    return cells + (rows * (in + 2.0 * how->block_size) + in) * sizeof(float);
}

void bs_columns_cost(const struct bs_columns *how, const struct bs_extent *extent,
                     struct bs_cost *cost)
{
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    for (int s = 0; s < p->num_slots; s++) {
        if (!bs_setting_quantizes(extent->weights[s]))
            continue;
        bs_columns_add(&p->slots[s], cost);
        cost->bytes = fmax(cost->bytes, held_bytes(how, extent->weights[s], p->slots[s].in));
    }
}
