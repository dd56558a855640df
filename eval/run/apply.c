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
    return bs_setting_quantizes(&recipe->activations) &&
           recipe->activations.sharing == BS_BY_STATIC;
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

static uint64_t all_but(int site) { return ~((uint64_t)1 << site); }

void bs_apply_own_passes(const struct bs_recipe *recipe, const struct bs_program *program,
                         bool first_block, struct bs_own_passes *passes)
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
        for (int k = 0; k < program->num_inputs && each; k++) {
            passes->needs[passes->count] = needs;
            passes->needs[passes->count++].sets_left_out = all_but(program->inputs[k]);
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
                                   int slot, struct bs_error *err)
{
    struct bs_linear *linear = &at->job.block->linears[slot];
    double start = bs_seconds();
    if (bs_algorithm_of(stage)->quantize(stage->options, &at->job, slot, err))
        return bs_fail_within(err, "%s", linear->name);
    bs_codes_decode(&linear->codes, linear->weight);
    linear->seconds = bs_seconds() - start;
    return BS_OK;
}

/* The one scale that the linears first to last share where a checkpoint's tensor holds them all. */
static enum bs_status fit_fused(const struct applying *at, int first, int last,
                                struct bs_params *params, struct bs_error *err)
{
    const struct bs_linear *linears = at->job.block->linears;
    size_t in = (size_t)linears[first].in_features, count = 0;
    for (int s = first; s <= last; s++)
        count += (size_t)linears[s].out_features * in;
    float *all = bs_alloc(count, sizeof *all), *to = all;
    if (!all)
        return bs_fail_memory(err);
    for (int s = first; s <= last; s++) {
        size_t own = (size_t)linears[s].out_features * in;
        memcpy(to, linears[s].weight, own * sizeof *to);
        to += own;
    }
    struct bs_flat flat = bs_flat_of(at->job.weights);
    *params = bs_format_fit(&flat, all, count);
    bs_free(all);
    return BS_OK;
}

/* Rounds the linears that read a site. */
static enum bs_status round_readers(struct applying *at, const struct bs_choice *stage, int site,
                                    struct bs_error *err)
{
    const struct bs_program *p = &at->job.block->architecture->program;
    int slots[BS_MAX_SLOTS], count = bs_program_readers(p, site, slots);
    struct bs_params params;
    enum bs_status status = BS_OK;
    for (int k = 0; k < count && !status; k++) {
        const struct bs_slot *slot = &p->slots[slots[k]];
        bool whole = slot->first != slot->last && bs_flat_of(at->job.weights).group_size == BS_GROUP_TENSOR;
        if (whole && slots[k] == slot->first)
            status = fit_fused(at, slot->first, slot->last, &params, err);
        at->job.tensor_params = whole ? &params : NULL;
        if (!status)
            status = round_linear(at, stage, slots[k], err);
    }
    at->job.tensor_params = NULL;
    return status;
}

static enum bs_status round_block(struct applying *at, int index, struct bs_error *err)
{
    const struct bs_choice *stage = &at->recipe->stages[index];
    const struct bs_program *p = &at->job.block->architecture->program;
    struct bs_needs needs;
    stage_needs(stage, &needs);
    bool each = quantizes_set_by_set(stage);
    if (!each && provide_statistics(at, index, &needs, err))
        return err->status;
    for (int k = 0; k < p->num_inputs; k++) {
        needs.sets_left_out = all_but(p->inputs[k]);
        if (each && provide_statistics(at, index, &needs, err))
            return err->status;
        if (round_readers(at, stage, p->inputs[k], err))
            return err->status;
        bs_factors_release(&at->own.sets[p->inputs[k]]); /* nobody else has use for them */
        at->rewritten = true;
    }
    return BS_OK;
}

/* A chain without a rounding step rounds to nearest. */
static enum bs_status round_to_nearest(struct applying *at, struct bs_error *err)
{
    const struct bs_choice stage = {.plugin = &bs_algorithm_find("rtn")->plugin};
    const struct bs_program *p = &at->job.block->architecture->program;
    for (int k = 0; k < p->num_inputs; k++)
        if (round_readers(at, &stage, p->inputs[k], err))
            return err->status;
    return BS_OK;
}

/* Static scales come from the unquantized model's inputs, through the block as prepared. */
static enum bs_status fix_activation_scales(const struct applying *at, struct bs_error *err)
{
    struct bs_block *block = at->job.block;
    struct bs_activations activations = bs_activations_of(&at->recipe->activations);
    struct bs_flat format = bs_activations_format(&activations);
    struct bs_ranges ranges;
    if (bs_calibrate(block, at->inputs->rope, at->inputs->unquantized, NULL, NULL, &ranges, NULL,
                     at->inputs->scratch, err))
        return err->status;
    const struct bs_program *p = &block->architecture->program;
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].name && ranges.low[v] <= ranges.high[v])
            block->sites[v].fixed = bs_format_fit_range(&format, ranges.low[v], ranges.high[v]);
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
    if (!bs_setting_quantizes(&recipe->weights))
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
    struct bs_activations activations = bs_activations_of(&recipe->activations);
    return status ? status : bs_block_quantize_activations(block, &activations, err);
}
