/* QuIP (Chee et al. 2023, arXiv 2307.13304): a linear is rounded in a basis of its own, in which no
 * weight and no direction of its inputs stands out, and brought back. With H of its input, s =
 * (diag(H) / diag(W^T W))^(1/4) and U, V drawn at random, orthogonal:
 *   W' = U W diag(s) V^T,  H' = V diag(s)^-1 H diag(s)^-1 V^T,
 * and what is rounded of W' becomes U^T W' V diag(s)^-1. The model runs as it did: nothing is
 * turned online here, as in the authors' evaluation. Where QuIP is served, both sides of a linear
 * are.
 *
 * As Cornell-RelaxML/QuIP method.py, bal.py and gptq.py with --incoh_processing, in float32, with
 * these differences: the draws are ours (theirs are scipy's, whose versions differ), one for each
 * side of each linear; a linear's levels are fitted once, where theirs, with gptq and grid quip,
 * are fitted to each column anew; weights stay float32 where they make them float16. Their flag
 * means --pre_proj_extra 1 (project: kronecker, which the paper has) and runs 0 (blocks). The
 * levels that go with it are grid quip, range rms and group_size tensor. */
#include <math.h>
#include <string.h>

#include "algorithms/incoherence.h"
#include "algorithms/ldl_columns.h"
#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

enum solver { BY_LDLQ, BY_GPTQ, BY_NEAREST };

struct quip {
    int seed, solver, project;
    double percdamp;
    bool rescale, act_order, true_sequential;
    int greedy_passes;
};

static const char *const solver_words[] = {"ldlq", "gptq", "nearest", NULL};
static const char *const project_words[] = {"none", "blocks", "kronecker", "unpermuted", NULL};

static const struct bs_option quip_options[] = {
    BS_OPT_WORDS(struct quip, solver, BS_CHOICE, BY_LDLQ, 0, 2, solver_words,
                 "what rounds in that basis"),
    BS_OPT_WORDS(struct quip, project, BS_CHOICE, BS_PROJECT_BLOCKS, 0, 3, project_words,
                 "what the matrices are: a product of two that mix blocks of channels, of two that "
                 "are the same in all blocks, the first without permutations"),
    BS_OPT(struct quip, rescale, true, 0, 1, "balance the sizes of channels in W and H first"),
    BS_OPT(struct quip, seed, 0, 0, 2147483647, "of the matrices"),
    BS_OPT(struct quip, percdamp, 0.01, 0, 1, "damping, as a share of the mean of diag(H')"),
    BS_OPT(struct quip, act_order, false, 0, 1,
           "quantize columns by decreasing diag(H') (LDLQ-RG with greedy_passes)"),
    BS_OPT(struct quip, greedy_passes, 0, 0, 1000, "of ldlq: passes of coordinate descent"),
    BS_OPT(struct quip, true_sequential, false, 0, 1,
           "take each set's H after the sets before it in the block are quantized"),
    {.name = NULL},
};

static struct bs_ldl ldl_of(const struct quip *opt)
{
    return (struct bs_ldl){
        .factor = {.ldl = true, .act_order = opt->act_order, .percdamp = opt->percdamp},
        .greedy_passes = opt->greedy_passes,
        .clip = true};
}

static struct bs_columns columns_of(const struct quip *opt)
{
    return (struct bs_columns){.factor = {.act_order = opt->act_order, .percdamp = opt->percdamp},
                               .block_size = 128};
}

static enum bs_status quip_check(const void *options, const struct bs_setting *weights,
                                 struct bs_error *err)
{
    const struct quip *opt = options;
    struct bs_columns how = columns_of(opt);
    if (opt->solver != BY_LDLQ && opt->greedy_passes)
        return bs_fail(err, BS_ECONFIG,
                       "greedy_passes are of ldlq, expected solver: %s, or "
                       "greedy_passes: 0",
                       solver_words[BY_LDLQ]);
    if (opt->solver == BY_NEAREST && opt->act_order)
        return bs_fail(err, BS_ECONFIG,
                       "rounding to nearest has no order, expected act_order: "
                       "false, or another solver");
    if (bs_ldl_check(opt->greedy_passes, weights, err))
        return err->status;
    return opt->solver == BY_GPTQ ? bs_columns_check(&how, weights, err) : BS_OK;
}

static void quip_needs(const void *options, struct bs_wanted *wanted)
{
    (void)options;
    bs_want(wanted, &bs_stat_hessian, BS_ROUNDED_SITES, 0);
}

static bool quip_set_by_set(const void *options)
{
    const struct quip *opt = options;
    return opt->true_sequential;
}

/* A linear on its way. */
struct turned {
    const struct quip *opt;
    struct bs_linear *linear;
    size_t out, in;
    float *hessian;              /* [in][in], H' */
    float *scale;                /* [in], s */
    float *room;                 /* of the larger of W and H */
    struct bs_projector outputs; /* U */
    struct bs_projector inputs;  /* V */
};

/* The seed of a side of a linear: no two of a model have the same. */
static uint32_t seed_of(const struct quip *opt, int layer, int slot, int side)
{
    uint32_t place = (uint32_t)layer << 16 | (uint32_t)slot << 1 | (uint32_t)side;
    return (uint32_t)opt->seed + place * 0x9e3779b1u;
}

static enum bs_status init(struct turned *t, const struct bs_job *job, int slot,
                           const float *hessian, struct bs_error *err)
{
    enum bs_projection how = (enum bs_projection)t->opt->project;
    size_t square = t->in * t->in, most = t->out > t->in ? t->out * t->in : square;
    int layer = job->block->index;
    t->hessian = bs_alloc(square, sizeof *t->hessian);
    t->scale = bs_alloc(t->in, sizeof *t->scale);
    t->room = bs_alloc(most, sizeof *t->room);
    if (!t->hessian || !t->scale || !t->room)
        return bs_fail_memory(err);
    memcpy(t->hessian, hessian, square * sizeof *hessian);
    if (bs_projector_init(&t->outputs, how, (int)t->out, seed_of(t->opt, layer, slot, 0), err))
        return err->status;
    return bs_projector_init(&t->inputs, how, (int)t->in, seed_of(t->opt, layer, slot, 1), err);
}

static void release(struct turned *t)
{
    bs_free(t->hessian);
    bs_free(t->scale);
    bs_free(t->room);
    bs_projector_release(&t->outputs);
    bs_projector_release(&t->inputs);
}

/* s, and what becomes of W and H. */
static void rescale(struct turned *t)
{
    const float least = 1e-8f;
    float *w = t->linear->weight, *h = t->hessian, largest = bs_abs_max(h, t->in * t->in);
    for (size_t i = 0; i < t->in * t->in && largest > 0; i++)
        h[i] /= largest;
    for (size_t j = 0; j < t->in; j++) {
        double squares = 0;
        for (size_t i = 0; i < t->out; i++)
            squares += (double)w[i * t->in + j] * (double)w[i * t->in + j];
        float of_h = fmaxf(h[j * t->in + j], least), of_w = fmaxf((float)squares, least);
        t->scale[j] = fmaxf(sqrtf(sqrtf(of_h / of_w)), least);
    }
    for (size_t i = 0; i < t->out; i++)
        for (size_t j = 0; j < t->in; j++)
            w[i * t->in + j] *= t->scale[j];
    for (size_t i = 0; i < t->in; i++)
        for (size_t j = 0; j < t->in; j++)
            h[i * t->in + j] = h[i * t->in + j] / t->scale[j] / t->scale[i];
}

/* to [columns][rows] */
static void transpose(const float *from, size_t rows, size_t columns, float *to)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            to[j * rows + i] = from[i * columns + j];
}

/* A turn of the inputs of W [out][in], V or V^T. */
static enum bs_status turn_inputs(struct turned *t, bool transposed, struct bs_error *err)
{
    transpose(t->linear->weight, t->out, t->in, t->room);
    if (bs_project(&t->inputs, transposed, t->room, (int)t->out, err))
        return err->status;
    transpose(t->room, t->in, t->out, t->linear->weight);
    return BS_OK;
}

/* H made to have the trace of the unit matrix and a hundredth of that more, then V H V^T. */
static enum bs_status turn_hessian(struct turned *t, struct bs_error *err)
{
    const double least = 1e-8, added = 1e-2;
    float *h = t->hessian;
    double trace = 0;
    for (size_t j = 0; j < t->in; j++)
        trace += (double)h[j * t->in + j];
    float factor = (float)((double)t->in / (trace + least));
    for (size_t i = 0; i < t->in; i++) {
        for (size_t j = 0; j < t->in; j++)
            h[i * t->in + j] *= factor;
        h[i * t->in + i] += (float)added;
    }
    if (bs_project(&t->inputs, false, h, (int)t->in, err))
        return err->status;
    transpose(h, t->in, t->in, t->room);
    if (bs_project(&t->inputs, false, t->room, (int)t->in, err))
        return err->status;
    memcpy(h, t->room, t->in * t->in * sizeof *h);
    return BS_OK;
}

static enum bs_status turn(struct turned *t, struct bs_error *err)
{
    if (t->opt->rescale)
        rescale(t);
    if (t->opt->project == BS_PROJECT_NOT)
        return BS_OK;
    if (bs_project(&t->outputs, false, t->linear->weight, (int)t->in, err) ||
        turn_inputs(t, false, err))
        return err->status;
    return turn_hessian(t, err);
}

/* Decodes what was rounded and brings it back; a file would hold the codes, s and the seed. */
static enum bs_status bring_back(struct turned *t, struct bs_error *err)
{
    const double scale_bits = 16;
    struct bs_linear *linear = t->linear;
    if (!t->opt->rescale && t->opt->project == BS_PROJECT_NOT)
        return BS_OK;
    bs_codes_decode(&linear->codes, linear->weight);
    if (bs_project(&t->outputs, true, linear->weight, (int)t->in, err) ||
        (t->opt->project != BS_PROJECT_NOT && turn_inputs(t, true, err)))
        return err->status;
    for (size_t i = 0; i < t->out && t->opt->rescale; i++)
        for (size_t j = 0; j < t->in; j++)
            linear->weight[i * t->in + j] /= t->scale[j];
    linear->file_bits =
        bs_codes_bits(&linear->codes) + (t->opt->rescale ? scale_bits * (double)t->in : 0);
    linear->file.tensor = NULL;
    bs_codes_release(&linear->codes);
    return BS_OK;
}

static enum bs_status solve(const struct quip *opt, const struct bs_job *job, int slot,
                            struct bs_error *err)
{
    const struct bs_pull none = {.rows = NULL};
    struct bs_ldl ldl = ldl_of(opt);
    struct bs_columns columns = columns_of(opt);
    struct bs_linear *linear = &job->block->linears[slot];
    if (opt->solver == BY_LDLQ)
        return bs_ldl_round(&ldl, job, slot, err);
    if (opt->solver == BY_GPTQ)
        return bs_columns_round(&columns, &none, job, slot, err);
    if (bs_block_init_codes(job->block, slot, job->weights[slot], err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, NULL, err);
}

static enum bs_status quip_quantize(const void *options, const struct bs_job *job, int slot,
                                    struct bs_error *err)
{
    struct bs_linear *linear = &job->block->linears[slot];
    int site = job->block->program->slots[slot].input;
    struct bs_collected own = *bs_statistics_at(job->statistics, &bs_stat_hessian, site, 0);
    struct turned t = {.opt = options,
                       .linear = linear,
                       .out = (size_t)linear->out_features,
                       .in = (size_t)linear->in_features};
    struct bs_statistics statistics = {.windows = job->statistics->windows,
                                       .tokens = job->statistics->tokens,
                                       .count = 1,
                                       .collected = &own};
    struct bs_job turned = *job; /* what the tensor around it shares is of the other basis */
    turned.statistics = &statistics;
    turned.shared = NULL;
    turned.importance = NULL;
    enum bs_status status = init(&t, job, slot, own.data, err);
    own.data = t.hessian;
    own.derived = NULL;
    if (!status)
        status = turn(&t, err);
    if (!status)
        status = solve(t.opt, &turned, slot, err);
    if (!status)
        status = bring_back(&t, err);
    bs_derived_release(&statistics, site);
    release(&t);
    return status;
}

/* What turning and the factor of one linear cost, and hold beside what the solver does. */
static void add_slot(const struct quip *opt, const struct bs_slot *slot, double solver,
                     struct bs_cost *cost)
{
    enum bs_projection how = (enum bs_projection)opt->project;
    double in = slot->in, out = slot->out, square = in * in,
           of_in = bs_project_flops(how, slot->in);
    double weights = 2 * (in * bs_project_flops(how, slot->out) + out * of_in);
    double factor = square * in / (opt->solver == BY_LDLQ ? 3 : 1.5);
    double floats =
        square * (opt->solver == BY_NEAREST ? 1 : 2) + in + (out > in ? in * out : square);
    floats += bs_projector_floats(how, slot->in) + bs_projector_floats(how, slot->out);
    cost->flops += weights + 2 * in * of_in + (opt->solver == BY_NEAREST ? 0 : factor);
    cost->bytes = fmax(cost->bytes, floats * sizeof(float) + solver);
}

static void quip_cost(const void *options, const struct bs_extent *extent, struct bs_cost *cost)
{
    const struct quip *opt = options;
    const struct bs_program *p = bs_program_of(extent->architecture, extent->layer);
    struct bs_ldl ldl = ldl_of(opt);
    struct bs_columns columns = columns_of(opt);
    struct bs_cost solver = {.flops = 0};
    if (opt->solver == BY_LDLQ)
        bs_ldl_cost(&ldl, extent, &solver);
    if (opt->solver == BY_GPTQ)
        bs_columns_cost(&columns, extent, &solver);
    cost->flops += solver.flops;
    cost->weights += solver.weights;
    for (int s = 0; s < p->num_slots; s++)
        if (bs_setting_quantizes(extent->weights[s])) {
            add_slot(opt, &p->slots[s], solver.bytes, cost);
            cost->weights += (double)p->slots[s].out * p->slots[s].in;
        }
}

static const struct bs_preference quip_preferences[] = {{"int", "grid", "quip"}, {.format = NULL}};

const struct bs_algorithm bs_alg_quip = {
    .plugin =
        {
            .name = "quip",
            .summary = "rounds in a random basis, in which no weight and no input stands out",
            .reference = "Chee et al. 2023, arXiv 2307.13304; Cornell-RelaxML/QuIP",
            .options_size = sizeof(struct quip),
            .options = quip_options,
        },
    .preferences = quip_preferences,
    .calibrate_on = BS_ON_QUANTIZED,
    .without_codes = true,
    .check = quip_check,
    .needs = quip_needs,
    .set_by_set = quip_set_by_set,
    .quantize = quip_quantize,
    .cost = quip_cost,
};
