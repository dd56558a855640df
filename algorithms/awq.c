/* AWQ (Lin et al. 2024, arXiv 2306.00978): protects the weights that meet large activations by
 * scaling their columns up before rounding, then clips each group where that lessens the error.
 *
 * Scale search, per set of linears with a common input X: for alpha = k / scale_grid,
 *   s = max(mean|X_c|^alpha, 1e-4), normalised by sqrt(max s * min s),
 * the set's weights become Q(W s) / s, and the alpha is kept whose inspected module (the attention,
 * the MLP, or the linear itself) comes nearest to its unquantized output on the calibration inputs.
 * Clip search, per row and group: clip_max_shrink * clip_grid steps down from the largest weight;
 * the one with the least squared error of the group's partial products on clip_tokens sampled
 * inputs.
 *
 * As mit-han-lab/llm-awq auto_scale.py and auto_clip.py, in float32: scales are searched on
 * unscaled weights, all of a block before any is applied; q and k are not clipped, nor is a fused
 * query_key_value; o_proj is scaled only where v_proj has its shape, and out of a fused tensor only
 * for the models that casper-hansen/AutoAWQ does it for; after an activation that no factor passes
 * through, the activation is divided; groups are clamped to +-m in asymmetric formats too. Two sums
 * are arranged differently and equal in exact arithmetic: for a linear on its own, and for the
 * partial products, the squared error is dW (X^T X) dW^T. Beyond the original, which stops there, a
 * whole row can be the group that is clipped. */
#include "algorithms/awq.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"

/* The side of the tiles in which differences of weights are multiplied by a Hessian. */
enum { TILE = 256 };

static const struct bs_option awq_options[] = {
    BS_OPT(struct bs_awq, scale, true, 0, 1, "search the per-channel scales"),
    BS_OPT(struct bs_awq, clip, true, 0, 1, "search the clipping of each group"),
    BS_OPT(struct bs_awq, scale_grid, 20, 1, 1000, "exponents tried: 0, 1/n, ... (n-1)/n"),
    BS_OPT(struct bs_awq, clip_grid, 20, 1, 1000, "steps from no clipping to zero"),
    BS_OPT(struct bs_awq, clip_max_shrink, 0.5, 0, 1, "share of those steps that is tried"),
    BS_OPT(struct bs_awq, clip_tokens, 512, 1, 1 << 20,
           "calibration tokens the clip search looks at"),
    {.name = NULL},
};

static enum bs_status awq_check(const void *options, const struct bs_setting *weights,
                                struct bs_error *err)
{
    (void)options;
    if (!bs_setting_quantizes(weights))
        return bs_fail(err, BS_ECONFIG, "awq searches for a weight format: it is none");
    return BS_OK;
}

/* Whether a scale can be folded in front of the site, by the authors' rule: into v where o_proj has
 * its shape. */
static bool folds(const struct bs_program *p, int site)
{
    if (!bs_folds_into(p, site, BS_OP_LINEAR))
        return p->folds[site].op >= 0;
    const struct bs_slot *before = &p->slots[p->folds[site].slot];
    bool square = !bs_is_made_by(p, site, BS_OP_ATTEND) || before->in == p->values[site].width;
    return square && before->out == p->values[site].width;
}

/* Whether the site's scale is searched: where no weight that it scales is rounded, none is better
 * than another. */
static bool is_scaled(const struct bs_program *p, const struct bs_setting *const *weights, int site)
{
    bool any = false;
    for (int s = 0; s < p->num_slots && folds(p, site); s++)
        any |= bs_setting_quantizes(weights[s]) && bs_program_is_from(p, p->slots[s].input, site);
    return any;
}

static bool is_clipped(const struct bs_program *p, const struct bs_setting *const *weights,
                       int site)
{
    bool any = false;
    for (int s = 0; s < p->num_slots; s++)
        any |= p->slots[s].input == site && bs_awq_clips(&p->slots[s], weights[s]);
    return any;
}

/* What the part of the block by which a site is judged makes of its inputs in the block as it came:
 * what versions of it are compared with. Trials that share the inputs share it. */
struct part_outputs {
    struct bs_derived derived;
    struct bs_stream stream; /* [windows][tokens][hidden] */
};

static double outputs_bytes(const struct bs_architecture *architecture,
                            const struct bs_observed *of)
{
    return (double)of->windows * of->tokens * architecture->hidden_size * (double)sizeof(float);
}

static void free_outputs(struct bs_derived *derived)
{
    struct part_outputs *outputs = (struct part_outputs *)derived;
    bs_stream_release(&outputs->stream);
    bs_free(outputs);
}

static const struct bs_derivation outputs_of_parts = {
    .of = &bs_stat_inputs, .in_stream = true, .bytes = outputs_bytes, .free = free_outputs};
static const struct bs_derived_choice one_of_a_kind;

static void scaling_needs(const struct bs_program *p, int site, struct bs_wanted *wanted)
{
    struct bs_part part;
    bs_want(wanted, &bs_stat_absmean, site, 0);
    if (bs_program_inspected(p, site, &part))
        bs_want_derived(wanted, &outputs_of_parts, site, 0, one_of_a_kind);
    else
        bs_want(wanted, &bs_stat_hessian, site, 0);
}

static void awq_needs(const void *options, struct bs_wanted *wanted)
{
    const struct bs_awq *opt = options;
    if (!wanted->architecture) {
        if (opt->scale || opt->clip)
            bs_want(wanted, &bs_stat_absmean, BS_EVERY_SITE, 0);
        return;
    }
    const struct bs_program *p = bs_wanted_program(wanted);
    for (int k = 0; k < p->num_inputs; k++) {
        int site = p->inputs[k];
        if (opt->scale && is_scaled(p, wanted->weights, site))
            scaling_needs(p, site, wanted);
        if (opt->clip && is_clipped(p, wanted->weights, site))
            bs_want(wanted, &bs_stat_samples, site, opt->clip_tokens);
    }
}

/* The block with the set's weights as an exponent leaves them. */
struct version {
    float *scale;          /* [in] */
    float *importance;     /* [in], mean squares of the divided inputs: what an error counts */
    unsigned char *tensor; /* what all of the linear at hand shares; NULL where that is nothing */
    struct bs_block block; /* the job's, but for these weights, which are its own */
};

/* The search for one set. The job's block stays as it came. */
struct search {
    const struct bs_job *job;
    int site;
    int slots[BS_MAX_SLOTS], num_slots; /* that its scale is for */
    bool alone;                         /* the only one of them is looked at by itself */
    struct bs_part part;                /* else the part of the block that is */
    /* What is known of the site: either of inputs and outputs, or the Hessian. */
    const float *absmean, *hessian;
    struct bs_collected *inputs;
    const struct part_outputs *outputs;
    int in;
    struct version versions[BS_MOST_VERSIONS];
    int num_versions, tried; /* the first of them, side by side */
    int parts;               /* windows, or tiles, that an error is the sum of */
    double *errors;          /* [parts][tried] */
    float *products;         /* [threads][TILE][TILE] */
    int slot;                /* whose linear tasks work on */
    struct bs_code_layout layout;
    struct bs_rounder rounder;
};

/* Some rows of the linear at hand in one of the versions. */
struct rows {
    const struct version *version;
    const float *from;
    float *to;
    int first, count;
};

static struct rows rows_of(const struct search *s, int index)
{
    const struct bs_linear *original = &s->job->block->linears[s->slot];
    const struct version *version = &s->versions[index % s->tried];
    int first = index / s->tried * BS_AWQ_ROWS, left = original->out_features - first;
    size_t at = (size_t)first * (size_t)s->in;
    return (struct rows){.version = version,
                         .from = original->weight + at,
                         .to = version->block.linears[s->slot].weight + at,
                         .first = first,
                         .count = left < BS_AWQ_ROWS ? left : BS_AWQ_ROWS};
}

/* weight = original * s */
static enum bs_status scale_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct search *s = context;
    struct rows rows = rows_of(s, index);
    size_t in = (size_t)s->in;
    for (size_t i = 0; i < (size_t)rows.count; i++)
        for (size_t j = 0; j < in; j++)
            rows.to[i * in + j] = rows.from[i * in + j] * rows.version->scale[j];
    return BS_OK;
}

/* weight = Q(weight) / s; of a linear alone the difference from the original is all that is looked
 * at, and is what weight becomes. */
static enum bs_status round_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct search *s = context;
    struct rows rows = rows_of(s, index);
    size_t in = (size_t)s->in;
    if (bs_setting_quantizes(s->job->weights[s->slot]))
        bs_weights_round(s->job->weights[s->slot], &s->layout, rows.version->tensor, s->rounder,
                         rows.first, rows.version->importance, rows.to, rows.count);
    for (size_t i = 0; i < (size_t)rows.count; i++)
        for (size_t j = 0; j < in; j++)
            rows.to[i * in + j] /= rows.version->scale[j];
    for (size_t i = 0; s->alone && i < (size_t)rows.count * in; i++)
        rows.to[i] -= rows.from[i];
    return BS_OK;
}

/* Both, where nothing is to be known of the whole scaled matrix in between. */
static enum bs_status scale_and_round(void *context, int index, int thread, struct bs_error *err)
{
    enum bs_status status = scale_rows(context, index, thread, err);
    return status ? status : round_rows(context, index, thread, err);
}

static enum bs_status module_output(void *context, int window, int thread, struct bs_error *err)
{
    (void)err;
    const struct search *s = context;
    const struct bs_job *job = s->job;
    const struct bs_stream *inputs = &s->inputs->stream, *outputs = &s->outputs->stream;
    bs_part_forward(job->block, s->part, job->rope, bs_stream_window(inputs, window),
                    bs_stream_window(outputs, window), inputs->tokens, &job->scratch[thread]);
    bs_stream_forget(inputs, window);
    bs_stream_forget(outputs, window);
    return BS_OK;
}

static enum bs_status module_error(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    struct search *s = context;
    const struct bs_job *job = s->job;
    struct bs_scratch *scratch = &job->scratch[thread];
    const struct bs_stream *inputs = &s->inputs->stream, *outputs = &s->outputs->stream;
    const struct version *version = &s->versions[index % s->tried];
    int window = index / s->tried;
    size_t count = (size_t)outputs->tokens * (size_t)outputs->width, mark = scratch->used;
    float *got = bs_scratch_take(scratch, count);
    bs_part_forward(&version->block, s->part, job->rope, bs_stream_window(inputs, window), got,
                    inputs->tokens, scratch);
    bs_stream_forget(inputs, window);
    s->errors[index] = bs_sum_squared_difference(got, bs_stream_window(outputs, window), count);
    bs_stream_forget(outputs, window);
    scratch->used = mark;
    return BS_OK;
}

static int tiles_of(int count) { return (count + TILE - 1) / TILE; }

static int tile_side(int count, int tile)
{
    return count - tile * TILE < TILE ? count - tile * TILE : TILE;
}

/* One tile's part of the sum of dW H dW^T, dW [out][in] being what is in the place of the weight.
 * H is symmetric, so that twice what is above its diagonal does for what is below. */
static enum bs_status linear_error(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    struct search *s = context;
    const struct bs_linear *linear = &s->versions[index % s->tried].block.linears[s->slot];
    int in = s->in, columns = tiles_of(in), tile = index / s->tried;
    /* The columns with the longest products come first. */
    int column = columns - 1 - tile % columns, row = tile / columns, above = column * TILE;
    int m = tile_side(linear->out_features, row), n = tile_side(in, column);
    const float *delta = linear->weight + (size_t)row * TILE * (size_t)in;
    const float *hessian = s->hessian + above;
    float *product = s->products + (size_t)thread * TILE * TILE;
    if (above)
        bs_gemm_nn(m, n, above, 2, delta, in, hessian, in, 0, product, n);
    bs_gemm_nn(m, n, n, 1, delta + above, in, hessian + (size_t)above * (size_t)in, in,
               above ? 1 : 0, product, n);
    s->errors[index] = 0;
    for (int i = 0; i < m; i++)
        s->errors[index] += bs_dot(delta + (size_t)i * (size_t)in + above,
                                   product + (size_t)i * (size_t)n, (size_t)n);
    return BS_OK;
}

/* scale [in] for the exponent alpha. */
static void scale_for(const float *absmean, int in, float alpha, float *scale)
{
    bs_power(absmean, (size_t)in, alpha, scale);
    for (int j = 0; j < in; j++)
        scale[j] = fmaxf(scale[j], 1e-4f);
    float low, high;
    bs_min_max(scale, (size_t)in, &low, &high);
    float middle = sqrtf(high * low);
    for (int j = 0; j < in; j++)
        scale[j] /= middle;
}

static enum bs_status make_outputs(struct search *s, struct part_outputs *outputs,
                                   struct bs_error *err)
{
    const struct bs_stream *inputs = &s->inputs->stream;
    int hidden = s->job->block->architecture->hidden_size;
    if (bs_stream_init_beside(inputs, &outputs->stream, hidden, err))
        return err->status;
    s->outputs = outputs;
    return bs_parallel(inputs->windows, module_output, s, err);
}

/* The module's outputs as the block came, unless another trial has left them with the
 * statistics. */
static enum bs_status provide_outputs(struct search *s, struct bs_error *err)
{
    struct bs_derived *known = bs_derived_find(s->inputs, &outputs_of_parts, one_of_a_kind);
    s->outputs = (const struct part_outputs *)known;
    if (known)
        return BS_OK;
    struct part_outputs *outputs = bs_calloc(1, sizeof *outputs);
    if (!outputs)
        return bs_fail_memory(err);
    outputs->derived.derivation = &outputs_of_parts;
    if (make_outputs(s, outputs, err)) {
        free_outputs(&outputs->derived);
        return err->status;
    }
    bs_derived_keep(s->inputs, &outputs->derived);
    return BS_OK;
}

/* Points the search at what it looks at. */
static enum bs_status provide(struct search *s, struct bs_error *err)
{
    const struct bs_statistics *statistics = s->job->statistics;
    s->absmean = bs_statistics_of(statistics, &bs_stat_absmean, s->site);
    if (s->alone) {
        s->hessian = bs_statistics_of(statistics, &bs_stat_hessian, s->site);
        return BS_OK;
    }
    s->inputs = bs_statistics_at(statistics, &bs_stat_inputs, s->site, 0);
    return provide_outputs(s, err);
}

/* Keeps the scale of the least error, the first of equals. */
static void compare(const struct search *s, double *least, float *best)
{
    for (int v = 0; v < s->tried; v++) {
        double error = 0;
        for (int i = 0; i < s->parts; i++)
            error += s->errors[i * s->tried + v];
        if (error < *least) {
            *least = error;
            memcpy(best, s->versions[v].scale, (size_t)s->in * sizeof *best);
        }
    }
}

/* Rounds the linear at hand with each version's scale, where all of a matrix shares something. */
static enum bs_status try_whole(struct search *s, int tasks, struct bs_error *err)
{
    enum bs_status status = bs_parallel(tasks, scale_rows, s, err);
    for (int v = 0; v < s->tried && !status; v++)
        status = bs_tensor_fit(s->job->weights[s->slot], &s->layout,
                               s->versions[v].block.linears[s->slot].weight, &s->versions[v].tensor,
                               err);
    if (!status)
        status = bs_parallel(tasks, round_rows, s, err);
    for (int v = 0; v < s->tried; v++) {
        bs_free(s->versions[v].tensor);
        s->versions[v].tensor = NULL;
    }
    return status;
}

/* Fills s->errors for the versions' scales. */
static enum bs_status try_scales(struct search *s, struct bs_error *err)
{
    for (int k = 0; k < s->num_slots; k++) {
        s->slot = s->slots[k];
        const struct bs_setting *weights = s->job->weights[s->slot];
        const struct bs_linear *linear = &s->job->block->linears[s->slot];
        bool rounds = bs_setting_quantizes(weights);
        s->rounder = bs_rounder_of(weights, bs_draw_place(s->job->block->index, false, s->slot));
        if (rounds &&
            bs_setting_lay(weights, linear->out_features, linear->in_features, &s->layout, err))
            return bs_fail_within(err, "%s", linear->name);
        int tasks = bs_awq_row_tasks(linear) * s->tried;
        if (rounds && s->layout.tensor_bytes ? try_whole(s, tasks, err)
                                             : bs_parallel(tasks, scale_and_round, s, err))
            return err->status;
    }
    return bs_parallel(s->parts * s->tried, s->alone ? linear_error : module_error, s, err);
}

/* By the Hessian's diagonal where it is known, else by the mean size of inputs. */
static void weigh(const struct search *s, const struct version *version)
{
    size_t in = (size_t)s->in;
    for (size_t j = 0; j < in; j++) {
        float known = s->hessian ? s->hessian[j * in + j] : s->absmean[j] * s->absmean[j];
        version->importance[j] = known / (version->scale[j] * version->scale[j]);
    }
}

static enum bs_status search_scales(struct search *s, int grid, float *best, struct bs_error *err)
{
    if (provide(s, err))
        return err->status;
    double least = INFINITY;
    for (int first = 0; first < grid; first += s->tried) {
        s->tried = grid - first < s->num_versions ? grid - first : s->num_versions;
        for (int v = 0; v < s->tried; v++) {
            scale_for(s->absmean, s->in, (float)((double)(first + v) / grid), s->versions[v].scale);
            weigh(s, &s->versions[v]);
        }
        if (try_scales(s, err))
            return err->status;
        compare(s, &least, best);
    }
    if (isinf(least))
        return bs_fail(err, BS_ENUMERIC, "%s: no scale gives a finite error",
                       s->job->block->program->values[s->site].name);
    return BS_OK;
}

/* A version with weights of its own; without memory for all of them, with what there was. */
static bool allocate_version(const struct search *s, struct version *version)
{
    if (!bs_block_view(s->job->block, &version->block))
        return false;
    for (int k = 0; k < s->num_slots; k++)
        version->block.linears[s->slots[k]].weight = NULL;
    version->scale = bs_alloc((size_t)s->in, sizeof *version->scale);
    version->importance = bs_alloc((size_t)s->in, sizeof *version->importance);
    bool enough = version->scale && version->importance;
    for (int k = 0; k < s->num_slots && enough; k++) {
        struct bs_linear *linear = &version->block.linears[s->slots[k]];
        linear->weight = bs_alloc((size_t)linear->out_features * (size_t)linear->in_features,
                                  sizeof *linear->weight);
        enough = linear->weight != NULL;
    }
    return enough;
}

static void free_version(const struct search *s, struct version *version)
{
    for (int k = 0; version->block.linears && k < s->num_slots; k++)
        bs_free(version->block.linears[s->slots[k]].weight);
    bs_free(version->block.linears);
    bs_free(version->scale);
    bs_free(version->importance);
}

static void free_search(struct search *s)
{
    for (int v = 0; v < s->num_versions; v++)
        free_version(s, &s->versions[v]);
    bs_free(s->errors);
    bs_free(s->products);
}

/* A linear alone has tiles enough for all threads. */
static enum bs_status allocate_search(struct search *s, int grid, struct bs_error *err)
{
    int windows = s->job->statistics->windows;
    int versions = s->alone ? 1 : bs_side_by_side(windows, BS_MOST_VERSIONS);
    const struct bs_linear *first = &s->job->block->linears[s->slots[0]];
    s->in = first->in_features;
    s->parts = s->alone ? tiles_of(first->out_features) * tiles_of(s->in) : windows;
    versions = versions < grid ? versions : grid;
    bool enough = true;
    for (; s->num_versions < versions && enough; s->num_versions++)
        enough = allocate_version(s, &s->versions[s->num_versions]);
    s->errors = bs_alloc((size_t)s->parts * (size_t)versions, sizeof *s->errors);
    s->products = bs_alloc((size_t)bs_threads() * TILE, TILE * sizeof *s->products);
    return enough && s->errors && s->products ? BS_OK : bs_fail_memory(err);
}

/* best [in] = the scale of this site. */
static enum bs_status best_scale(const struct bs_job *job, int site, int grid, float *best,
                                 struct bs_error *err)
{
    const struct bs_program *p = job->block->program;
    struct search s = {.job = job, .site = site};
    s.num_slots = bs_program_scaled(p, site, s.slots);
    s.alone = !bs_program_inspected(p, site, &s.part);
    enum bs_status status = allocate_search(&s, grid, err);
    if (!status)
        status = search_scales(&s, grid, best, err);
    free_search(&s);
    return status;
}

/* What is gathered or copied from a scaled site is scaled as it is. */
static void hand_on(const struct bs_program *p, int from, float *const *scales)
{
    const struct bs_value *value = &p->values[p->inputs[from]];
    for (int k = 0; k < p->num_inputs; k++)
        if (k != from && bs_program_is_from(p, p->inputs[k], p->inputs[from]))
            memcpy(scales[k], scales[from], (size_t)value->width * sizeof(float));
}

/* scales: of each input of linears. */
static enum bs_status search_block(const struct bs_awq *opt, const struct bs_job *job,
                                   float *const *scales, struct bs_error *err)
{
    const struct bs_program *p = job->block->program;
    bool scaled[BS_MAX_SLOTS] = {false};
    for (int k = 0; k < p->num_inputs; k++) {
        if (!opt->scale || !is_scaled(p, job->weights, p->inputs[k]) ||
            !bs_block_folds(job->block, p->inputs[k]))
            continue;
        scaled[k] = true;
        if (best_scale(job, p->inputs[k], opt->scale_grid, scales[k], err))
            return err->status;
    }
    for (int k = 0; k < p->num_inputs; k++)
        if (scaled[k] && bs_block_fold(job->block, p->inputs[k], scales[k], err))
            return err->status;
    for (int k = 0; k < p->num_inputs; k++)
        if (scaled[k])
            hand_on(p, k, scales);
    for (int k = 0; k < p->num_inputs && opt->clip; k++)
        if (is_clipped(p, job->weights, p->inputs[k]) &&
            bs_awq_clip_site(opt, job, p->inputs[k], scales[k], err))
            return err->status;
    return BS_OK;
}

static enum bs_status awq_prepare(const void *options, const struct bs_job *job,
                                  struct bs_error *err)
{
    const struct bs_program *p = job->block->program;
    float *scales[BS_MAX_SLOTS] = {NULL};
    enum bs_status status = BS_OK;
    for (int k = 0; k < p->num_inputs && !status; k++) {
        int in = p->values[p->inputs[k]].width;
        scales[k] = bs_alloc((size_t)in, sizeof(float));
        if (!scales[k])
            status = bs_fail_memory(err);
        for (int j = 0; j < in && scales[k]; j++)
            scales[k][j] = 1;
    }
    if (!status)
        status = search_block(options, job, scales, err);
    for (int k = 0; k < p->num_inputs; k++)
        bs_free(scales[k]);
    return status;
}

/* Each exponent rounds the weights that read the site and takes them through the part of the block
 * that is judged, run once more to compare with; or, of a linear alone, half of dW (X^T X) dW^T. */
static void add_scale_cost(const struct bs_awq *opt, const struct bs_extent *extent, int site,
                           struct bs_cost *cost)
{
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    double in = p->values[site].width, weights = bs_site_weights(p, site),
           tried = opt->scale_grid + 1.0;
    struct bs_part part;
    bool inspected = bs_program_inspected(p, site, &part);
    double versions = inspected ? bs_side_by_side(extent->windows, BS_MOST_VERSIONS) : 1;
    double floats = versions * (weights + 2 * in) + (double)bs_threads() * TILE * TILE;
    cost->weights += tried * weights;
    cost->flops += inspected ? tried * extent->windows * bs_part_flops(p, part, extent->tokens)
                             : opt->scale_grid * weights * (in + 1);
    cost->bytes = fmax(cost->bytes, floats * sizeof(float));
}

static void awq_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct bs_awq *opt = options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    for (int k = 0; k < p->num_inputs && opt->scale; k++)
        if (is_scaled(p, extent->weights, p->inputs[k]))
            add_scale_cost(opt, extent, p->inputs[k], cost);
    for (int s = 0; s < p->num_slots && opt->clip; s++)
        if (bs_awq_clips(&p->slots[s], extent->weights[s]))
            bs_awq_clip_cost(opt, extent, s, cost);
}

static const struct bs_preference awq_preferences[] = {{"int", "grid", "awq"}, {.format = NULL}};

const struct bs_algorithm bs_alg_awq = {
    .plugin =
        {
            .name = "awq",
            .summary = "activation-aware scaling of columns and clipping of groups",
            .reference = "Lin et al. 2024, arXiv 2306.00978; mit-han-lab/llm-awq",
            .options_size = sizeof(struct bs_awq),
            .options = awq_options,
        },
    .preferences = awq_preferences,
    .calibrate_on = BS_ON_UNQUANTIZED,
    .check = awq_check,
    .needs = awq_needs,
    .prepare_block = awq_prepare,
    .cost = awq_cost,
};
