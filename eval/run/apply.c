#include "eval/run/apply.h"

#include <math.h>
#include <string.h>

#include "algorithms/factor.h"
#include "eval/base/mem.h"

static void stage_needs(const struct bs_choice *stage, struct bs_needs *needs)
{
    *needs = (struct bs_needs){.hessian = false};
    if (bs_algorithm_of(stage)->needs)
        bs_algorithm_of(stage)->needs(stage->options, needs);
}

static bool static_activations(const struct bs_recipe *recipe)
{
    return recipe->activations.bits != BS_BITS_NONE &&
           recipe->activations.granularity == BS_ACT_TENSOR_STATIC;
}

static bool quantizes_set_by_set(const struct bs_choice *stage)
{
    return bs_algorithm_of(stage)->set_by_set && bs_algorithm_of(stage)->set_by_set(stage->options);
}

void bs_apply_shared_needs(const struct bs_recipe *recipe, bool first_block, struct bs_needs *needs)
{
    for (int i = 0; i < recipe->num_stages; i++) {
        struct bs_needs own;
        stage_needs(&recipe->stages[i], &own);
        bool same_inputs = first_block || bs_recipe_calibrates_on(recipe, i) == BS_ON_UNQUANTIZED;
        if (bs_needs_any(&own) && same_inputs && !quantizes_set_by_set(&recipe->stages[i])) {
            bs_needs_add(needs, &own);
            return;
        }
        if (bs_algorithm_of(&recipe->stages[i])->prepare_block)
            return;
    }
}

static bool uses(const struct bs_recipe *recipe, enum bs_calibrate_on on)
{
    for (int i = 0; i < recipe->num_stages; i++) {
        struct bs_needs own;
        stage_needs(&recipe->stages[i], &own);
        if (bs_needs_any(&own) && bs_recipe_calibrates_on(recipe, i) == on)
            return true;
    }
    return false;
}

bool bs_apply_uses_unquantized(const struct bs_recipe *recipe)
{
    return static_activations(recipe) || uses(recipe, BS_ON_UNQUANTIZED);
}

bool bs_apply_uses_own(const struct bs_recipe *recipe) { return uses(recipe, BS_ON_QUANTIZED); }

void bs_apply_own_passes(const struct bs_recipe *recipe, int num_sets, bool first_block,
                         struct bs_own_passes *passes)
{
    struct bs_needs shared = {.hessian = false};
    bool rewritten = false;
    bs_apply_shared_needs(recipe, first_block, &shared);
    passes->count = 0;
    for (int i = 0; i < recipe->num_stages; i++) {
        const struct bs_choice *stage = &recipe->stages[i];
        struct bs_needs needs;
        stage_needs(stage, &needs);
        bool each = quantizes_set_by_set(stage) && bs_needs_any(&needs);
        for (int s = 0; s < num_sets && each; s++) {
            passes->needs[passes->count] = needs;
            passes->needs[passes->count++].sets_left_out = ~(1u << s);
        }
        bool served = !rewritten && bs_needs_any(&shared) && bs_needs_within(&needs, &shared);
        if (bs_needs_any(&needs) && !each && !served)
            passes->needs[passes->count++] = needs;
        rewritten |= bs_algorithm_of(stage)->prepare_block != NULL;
    }
    if (static_activations(recipe))
        passes->needs[passes->count++] = (struct bs_needs){.hessian = false};
}

/* A recipe being applied to a block. */
struct applying {
    const struct bs_recipe *recipe;
    const struct bs_inputs *inputs;
    struct bs_job job;
    struct bs_statistics own; /* taken for this recipe alone */
    bool rewritten;           /* the block is no longer the original */
};

static const struct bs_stream *inputs_of(const struct applying *at, int stage)
{
    return bs_recipe_calibrates_on(at->recipe, stage) == BS_ON_QUANTIZED ? at->inputs->quantized
                                                                         : at->inputs->unquantized;
}

/* Points the job at the statistics that `needs` asks for, taking them where nobody has. */
static enum bs_status provide_statistics(struct applying *at, int stage,
                                         const struct bs_needs *needs, struct bs_error *err)
{
    const struct bs_inputs *inputs = at->inputs;
    const struct bs_stream *stream = inputs_of(at, stage);
    bs_statistics_release(&at->own);
    at->job.statistics = NULL;
    if (!bs_needs_any(needs))
        return BS_OK;
    if (!at->rewritten && stream == inputs->unquantized && inputs->shared &&
        bs_needs_within(needs, inputs->shared_needs)) {
        at->job.statistics = inputs->shared;
        return BS_OK;
    }
    if (bs_calibrate(at->job.block, inputs->rope, stream, needs, &at->own, NULL, NULL,
                     inputs->scratch, err))
        return err->status;
    at->job.statistics = &at->own;
    return BS_OK;
}

/* Rounds one linear and puts the decoded weights in place. */
static enum bs_status round_linear(const struct applying *at, const struct bs_choice *stage,
                                   int set, enum bs_role role, struct bs_error *err)
{
    struct bs_linear *linear = &at->job.block->linears[role];
    double start = bs_seconds();
    if (bs_algorithm_of(stage)->quantize(stage->options, &at->job, set, role, err))
        return bs_fail_within(err, "%s", linear->name);
    bs_codes_decode(&linear->codes, linear->weight);
    linear->seconds = bs_seconds() - start;
    return BS_OK;
}

/* The one scale that the linears first to last share where a checkpoint's tensor holds them all. */
static enum bs_status fit_fused(const struct applying *at, enum bs_role first, enum bs_role last,
                                struct bs_params *params, struct bs_error *err)
{
    const struct bs_linear *linears = at->job.block->linears;
    size_t in = (size_t)linears[first].in_features, count = 0;
    for (int r = (int)first; r <= (int)last; r++)
        count += (size_t)linears[r].out_features * in;
    float *all = bs_alloc(count, sizeof *all), *to = all;
    if (!all)
        return bs_fail_memory(err);
    for (int r = (int)first; r <= (int)last; r++) {
        size_t own = (size_t)linears[r].out_features * in;
        memcpy(to, linears[r].weight, own * sizeof *to);
        to += own;
    }
    *params = bs_format_fit(at->job.weights, all, count);
    bs_free(all);
    return BS_OK;
}

static enum bs_status round_set(struct applying *at, const struct bs_choice *stage, int set,
                                struct bs_error *err)
{
    const struct bs_architecture *a = at->job.block->architecture;
    const struct bs_set *s = &a->sets[set];
    struct bs_params params;
    enum bs_status status = BS_OK;
    for (int k = 0; k < s->num_linears && !status; k++) {
        enum bs_role role = s->linears[k], first, last;
        bs_tensor_roles(a, role, &first, &last);
        bool whole = first != last && at->job.weights->group_size == BS_GROUP_TENSOR;
        if (whole && role == first)
            status = fit_fused(at, first, last, &params, err);
        at->job.tensor_params = whole ? &params : NULL;
        if (!status)
            status = round_linear(at, stage, set, role, err);
    }
    at->job.tensor_params = NULL;
    return status;
}

static enum bs_status round_block(struct applying *at, int index, struct bs_error *err)
{
    const struct bs_choice *stage = &at->recipe->stages[index];
    int num_sets = at->job.block->architecture->num_sets;
    struct bs_needs needs;
    stage_needs(stage, &needs);
    bool each = quantizes_set_by_set(stage);
    if (!each && provide_statistics(at, index, &needs, err))
        return err->status;
    for (int s = 0; s < num_sets; s++) {
        needs.sets_left_out = ~(1u << s);
        if (each && provide_statistics(at, index, &needs, err))
            return err->status;
        if (round_set(at, stage, s, err))
            return err->status;
        bs_factors_release(&at->own.sets[s]); /* nobody else has use for them */
        at->rewritten = true;
    }
    return BS_OK;
}

/* A chain without a rounding step rounds to nearest. */
static enum bs_status round_to_nearest(struct applying *at, struct bs_error *err)
{
    const struct bs_choice stage = {.plugin = &bs_algorithm_find("rtn")->plugin};
    for (int s = 0; s < at->job.block->architecture->num_sets; s++)
        if (round_set(at, &stage, s, err))
            return err->status;
    return BS_OK;
}

/* Static scales come from the unquantized model's inputs, through the block as prepared. */
static enum bs_status fix_activation_scales(const struct applying *at, struct bs_error *err)
{
    struct bs_block *block = at->job.block;
    struct bs_format format = bs_activations_format(&at->recipe->activations);
    struct bs_ranges ranges;
    if (bs_calibrate(block, at->inputs->rope, at->inputs->unquantized, NULL, NULL, &ranges, NULL,
                     at->inputs->scratch, err))
        return err->status;
    if (block->architecture->family->fused_qkv) /* which is quantized as one */
        for (int i = 1; i < 3; i++) {
            ranges.bmm_low[0] = fminf(ranges.bmm_low[0], ranges.bmm_low[i]);
            ranges.bmm_high[0] = fmaxf(ranges.bmm_high[0], ranges.bmm_high[i]);
        }
    for (int s = 0; s < block->architecture->num_sets; s++)
        block->set_params[s] = bs_format_fit_range(&format, ranges.set_low[s], ranges.set_high[s]);
    for (int i = 0; i < 3; i++)
        block->bmm_params[i] = bs_format_fit_range(&format, ranges.bmm_low[i], ranges.bmm_high[i]);
    return BS_OK;
}

static enum bs_status apply(struct applying *at, struct bs_error *err)
{
    const struct bs_recipe *recipe = at->recipe;
    int rounder = -1;
    for (int i = 0; i < recipe->num_stages; i++) {
        const struct bs_choice *stage = &recipe->stages[i];
        if (bs_algorithm_of(stage)->quantize)
            rounder = i;
        if (!bs_algorithm_of(stage)->prepare_block)
            continue;
        struct bs_needs needs;
        stage_needs(stage, &needs);
        if (provide_statistics(at, i, &needs, err) ||
            bs_algorithm_of(stage)->prepare_block(stage->options, &at->job, err))
            return bs_fail_within(err, "%s", stage->plugin->name);
        at->rewritten = true;
    }
    if (static_activations(recipe) && fix_activation_scales(at, err))
        return err->status;
    if (recipe->weights.bits == BS_BITS_NONE)
        return BS_OK;
    return rounder < 0 ? round_to_nearest(at, err) : round_block(at, rounder, err);
}

enum bs_status bs_apply_recipe(const struct bs_recipe *recipe, struct bs_block *block,
                               const struct bs_inputs *inputs, struct bs_error *err)
{
    struct applying at = {.recipe = recipe,
                          .inputs = inputs,
                          .job = {.block = block,
                                  .weights = &recipe->weights,
                                  .rope = inputs->rope,
                                  .scratch = inputs->scratch}};
    enum bs_status status = apply(&at, err);
    bs_statistics_release(&at.own);
    return status ? status : bs_block_quantize_activations(block, &recipe->activations, err);
}
