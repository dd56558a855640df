/* AWQ's clip search: awq.c says what it follows. */
#include "algorithms/awq.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"

/* The clip search for one linear. */
struct clipping {
    const struct bs_awq *opt;
    const struct bs_setting *weights;
    struct bs_code_layout layout;
    struct bs_rounder rounder;
    struct bs_linear *linear;
    const float *samples;             /* [num_samples][in], of the scaled input */
    int num_samples, columns, groups; /* of a span: what is fitted together is clipped together */
    float *grams;                     /* per group X_g^T X_g, [columns][columns] */
    float *importance;                /* [in], their diagonals */
    unsigned char *tensor;            /* what all of the unclipped matrix shares, or NULL */
    struct bs_scratch *scratch;       /* one a thread, BS_AWQ_ROWS rows twice and their extremes */
};

static int group_columns(const struct clipping *c, int g)
{
    int left = c->linear->in_features - g * c->columns;
    return left < c->columns ? left : c->columns;
}

static enum bs_status group_gram(void *context, int g, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct clipping *c = context;
    int n = group_columns(c, g), in = c->linear->in_features;
    const float *x = c->samples + (size_t)g * (size_t)c->columns;
    bs_gemm_tn(n, n, c->num_samples, 1, x, in, x, in, 0,
               c->grams + (size_t)g * (size_t)c->columns * (size_t)c->columns, n);
    const float *gram = c->grams + (size_t)g * (size_t)c->columns * (size_t)c->columns;
    for (int j = 0; j < n; j++)
        c->importance[g * c->columns + j] = gram[(size_t)j * ((size_t)n + 1)];
    return BS_OK;
}

/* delta [n] = Q(clip(w, -m, m)) - w. */
static void clipped_delta(const struct clipping *c, const float *w, float m, float *delta, int n)
{
    bs_clip(w, (size_t)n, m, delta);
    uint64_t index = (uint64_t)(w - c->linear->weight);
    bs_span_round(c->weights, &c->layout, c->tensor, c->rounder, index,
                  c->importance + index % (uint64_t)c->linear->in_features, delta, n);
    for (int j = 0; j < n; j++)
        delta[j] -= w[j];
}

static int clip_steps(const struct bs_awq *opt)
{
    return (int)(opt->clip_max_shrink * opt->clip_grid);
}

/* best [rows] = the clipping with the least error for each row of weight [rows][n], row stride in.
 */
static void search_clips(const struct clipping *c, const float *weight, const float *gram, int rows,
                         int n, float *best, struct bs_scratch *scratch)
{
    size_t mark = scratch->used, in = (size_t)c->linear->in_features, width = (size_t)n;
    float *delta = bs_scratch_take(scratch, BS_AWQ_ROWS * width);
    float *product = bs_scratch_take(scratch, BS_AWQ_ROWS * width);
    float *largest = bs_scratch_take(scratch, BS_AWQ_ROWS);
    double least[BS_AWQ_ROWS];
    for (int r = 0; r < rows; r++) {
        best[r] = largest[r] = bs_abs_max(weight + (size_t)r * in, width);
        least[r] = 1e9;
    }
    int steps = clip_steps(c->opt);
    for (int k = 0; k < steps; k++) {
        float kept = (float)(1 - (double)k / c->opt->clip_grid);
        for (int r = 0; r < rows; r++)
            clipped_delta(c, weight + (size_t)r * in, largest[r] * kept, delta + (size_t)r * width,
                          n);
        bs_gemm_nn(rows, n, n, 1, delta, n, gram, n, 0, product, n);
        for (int r = 0; r < rows; r++) {
            size_t at = (size_t)r * width;
            double error = bs_dot(delta + at, product + at, width) / c->num_samples;
            if (error < least[r]) {
                least[r] = error;
                best[r] = largest[r] * kept;
            }
        }
    }
    scratch->used = mark;
}

/* Clips a chunk of rows of one group. */
static enum bs_status clip_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct clipping *c = context;
    size_t in = (size_t)c->linear->in_features, columns = (size_t)c->columns;
    int g = index % c->groups, first = index / c->groups * BS_AWQ_ROWS, n = group_columns(c, g);
    int rows = c->linear->out_features - first;
    rows = rows < BS_AWQ_ROWS ? rows : BS_AWQ_ROWS;
    float *weight = c->linear->weight + (size_t)first * in + (size_t)g * columns;
    float best[BS_AWQ_ROWS];
    search_clips(c, weight, c->grams + (size_t)g * columns * columns, rows, n, best,
                 &c->scratch[thread]);
    for (int r = 0; r < rows; r++)
        bs_clip(weight + (size_t)r * in, (size_t)n, best[r], weight + (size_t)r * in);
    return BS_OK;
}

static enum bs_status clip_linear(const struct bs_awq *opt, const struct bs_job *job, int slot,
                                  const float *samples, int num_samples, struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    const struct bs_setting *weights = job->weights[slot];
    struct clipping c = {.opt = opt,
                         .weights = weights,
                         .rounder =
                             bs_rounder_of(weights, bs_draw_place(job->block->index, false, slot)),
                         .linear = linear,
                         .samples = samples,
                         .num_samples = num_samples};
    if (bs_setting_lay(weights, linear->out_features, linear->in_features, &c.layout, err))
        return bs_fail_within(err, "%s", linear->name);
    c.columns = c.layout.span;
    c.groups = (linear->in_features + c.columns - 1) / c.columns;
    size_t columns = (size_t)c.columns;
    c.grams = bs_alloc((size_t)c.groups * columns, columns * sizeof(float));
    c.scratch = bs_scratch_create(bs_threads(), (2 * columns + 4) * BS_AWQ_ROWS);
    c.importance = bs_alloc((size_t)linear->in_features, sizeof *c.importance);
    bool enough = c.grams && c.scratch && c.importance;
    enum bs_status status = enough ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_tensor_fit(weights, &c.layout, linear->weight, &c.tensor, err);
    if (!status)
        status = bs_parallel(c.groups, group_gram, &c, err);
    if (!status)
        status = bs_parallel(c.groups * bs_awq_row_tasks(linear), clip_rows, &c, err);
    bs_scratch_free(c.scratch, bs_threads());
    bs_free(c.grams);
    bs_free(c.importance);
    bs_free(c.tensor);
    return status;
}

/* As auto_clip.py goes by parts of names: queries and keys are left alone, and with them a fused
 * tensor whose name has one of the parts. */
bool bs_awq_clips(const struct bs_slot *slot, const struct bs_setting *setting)
{
    static const char *const left_alone[] = {"q_", "k_", "query", "key", "Wqkv"};
    for (size_t i = 0; i < sizeof left_alone / sizeof *left_alone; i++)
        if (strstr(slot->name, left_alone[i]))
            return false;
    return bs_setting_quantizes(setting);
}

enum bs_status bs_awq_clip_site(const struct bs_awq *opt, const struct bs_job *job, int site,
                                const float *scale, struct bs_error *err)
{
    const struct bs_program *p = job->block->program;
    const struct bs_collected *sampled =
        bs_statistics_at(job->statistics, &bs_stat_samples, site, opt->clip_tokens);
    const float *inputs = sampled->data;
    int slots[BS_MAX_SLOTS], num_slots = bs_program_readers(p, site, slots);
    int num_samples = bs_sample_rows(&sampled->of);
    size_t in = (size_t)p->values[site].width;
    size_t rows = (size_t)num_samples;
    if (!rows) /* no token reached this expert */
        return BS_OK;
    float *samples = bs_alloc(rows * in, sizeof *samples);
    if (!samples)
        return bs_fail_memory(err);
    for (size_t t = 0; t < rows; t++)
        for (size_t j = 0; j < in; j++)
            samples[t * in + j] = inputs[t * in + j] / scale[j];
    enum bs_status status = BS_OK;
    for (int k = 0; k < num_slots && !status; k++)
        if (bs_awq_clips(&p->slots[slots[k]], job->weights[slots[k]]))
            status = clip_linear(opt, job, slots[k], samples, num_samples, err);
    bs_free(samples);
    return status;
}

/* X^T X of the sampled inputs, group by group, and for each step dw (X^T X) dw^T. */
void bs_awq_clip_cost(const struct bs_awq *opt, const struct bs_extent *extent, int index,
                      struct bs_cost *cost)
{
    const struct bs_slot *slot = &bs_program_of(extent->architecture, extent->layer)->slots[index];
    double in = slot->in, weights = in * slot->out;
    double span = bs_setting_layout(extent->weights[index]).span, columns = span < in ? span : in;
    double tokens = (double)extent->windows * extent->tokens;
    double sampled = opt->clip_tokens < tokens ? opt->clip_tokens : tokens;
    double chunks = (double)bs_threads() * (2 * columns + 4) * BS_AWQ_ROWS;
    double floats = ceil(in / columns) * columns * columns + in + chunks;
    const struct bs_wish wish = {
        .statistic = &bs_stat_samples, .site = slot->input, .detail = opt->clip_tokens};
    struct bs_observed of = bs_observed_at(bs_program_of(extent->architecture, extent->layer),
                                           &wish, extent->windows, extent->tokens);
    cost->flops += sampled * in * columns + 2 * clip_steps(opt) * weights * columns;
    cost->weights += (clip_steps(opt) + 1) * weights;
    /* The site's samples once more, divided by its scale. */
    double copied = extent->windows ? (double)bs_stat_samples.bytes(&of) : 0;
    cost->bytes = fmax(cost->bytes, copied + floats * sizeof(float));
}
