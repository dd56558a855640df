#include "eval/run/apply.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/recipe/assign.h"
#include "eval/run/static_scales.h"

/* Adds what a step looks at in the block of wanted->architecture, rounded as wanted->weights. */
static void step_wants(const struct bs_choice *step, struct bs_wanted *wanted)
{
    if (bs_algorithm_of(step)->needs)
        bs_algorithm_of(step)->needs(step->options, wanted);
}

static bool quantizes_set_by_set(const struct bs_choice *step)
{
    return bs_algorithm_of(step)->set_by_set && bs_algorithm_of(step)->set_by_set(step->options);
}

static bool rewrites_blocks(const struct bs_recipe *recipe)
{
    bool any = false;
    for (int i = 0; i < recipe->num_steps; i++)
        any |= bs_algorithm_of(&recipe->steps[i])->prepare_block != NULL ||
               bs_algorithm_of(&recipe->steps[i])->prepare_model != NULL;
    return any;
}

bool bs_apply_leaves(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                     int layer)
{
    const struct bs_program *p = bs_program_of(architecture, layer);
    struct bs_assignment places;
    if (!recipe->num_steps || recipe->compute != BS_FLOAT32 || rewrites_blocks(recipe))
        return false;
    bs_recipe_assign(recipe, architecture, layer, &places);
    bool any = false;
    for (int s = 0; s < p->num_slots; s++)
        any |= bs_setting_quantizes(places.weights[s]);
    for (int v = 0; v < p->num_values; v++)
        any |= bs_setting_quantizes(places.sites[v]);
    return !any;
}

/* Whether the step's own pass is one in which static ranges are seen too: it rounds what is
 * prepared, all of it from the unquantized model's inputs. */
static bool ranges_with(const struct bs_recipe *recipe, int step)
{
    return step >= 0 && bs_algorithm_of(&recipe->steps[step])->quantize &&
           bs_recipe_quantizes_weights(recipe) && !quantizes_set_by_set(&recipe->steps[step]) &&
           bs_recipe_calibrates_on(recipe, step) == BS_ON_UNQUANTIZED;
}

/* Whether the recipe's windows come to a layer as stream 0's. */
static bool same_inputs(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                        int layer)
{
    bool same = !bs_apply_embeds_own(recipe, architecture);
    for (int l = 0; l < layer && same; l++)
        same = bs_apply_leaves(recipe, architecture, l);
    return same;
}

struct bs_reach bs_apply_reach(const struct bs_recipe *recipe,
                               const struct bs_architecture *architecture)
{
    struct bs_reach reach = {.first = architecture->num_layers, .last = -1};
    for (int l = 0; l < architecture->num_layers; l++) {
        if (bs_apply_leaves(recipe, architecture, l))
            continue;
        reach.first = l < reach.first ? l : reach.first;
        reach.last = l;
    }
    if (bs_apply_embeds_own(recipe, architecture))
        reach.first = -1;
    return reach;
}

bool bs_apply_carries_own(const struct bs_recipe *recipe, const struct bs_reach *reach)
{
    return reach->last > reach->first && bs_apply_uses_own(recipe);
}

bool bs_apply_awaits_unquantized(const struct bs_recipe *recipe, const struct bs_reach *reach,
                                 int layer)
{
    if (reach->last < layer)
        return false;
    return bs_apply_uses_unquantized(recipe) ||
           (reach->first >= layer && bs_apply_uses_own(recipe));
}

/* bs_apply_share, where the layer's places are known. */
static void share(const struct bs_recipe *recipe, const struct bs_assignment *places,
                  struct bs_wanted *wanted)
{
    if (!rewrites_blocks(recipe))
        bs_static_want(places, wanted);
    for (int i = 0; i < recipe->num_steps; i++) {
        const struct bs_choice *step = &recipe->steps[i];
        struct bs_wanted own = {.architecture = wanted->architecture,
                                .layer = wanted->layer,
                                .weights = places->weights};
        step_wants(step, &own);
        bool looks = bs_wanted_any(&own);
        bool unquantized = bs_recipe_calibrates_on(recipe, i) == BS_ON_UNQUANTIZED;
        bool shares = looks && !quantizes_set_by_set(step) &&
                      (unquantized || same_inputs(recipe, wanted->architecture, wanted->layer));
        if (shares)
            bs_wanted_merge(wanted, &own);
        bs_wanted_release(&own);
        if (shares || bs_algorithm_of(step)->prepare_block)
            return;
    }
}

void bs_apply_share(const struct bs_recipe *recipe, struct bs_wanted *wanted)
{
    struct bs_assignment places;
    bs_recipe_assign(recipe, wanted->architecture, wanted->layer, &places);
    share(recipe, &places, wanted);
}

static bool uses(const struct bs_recipe *recipe, enum bs_calibrate_on on)
{
    bool any = false;
    for (int i = 0; i < recipe->num_steps && !any; i++) {
        struct bs_wanted own = {.architecture = NULL, .importance = bs_recipe_weighs(recipe)};
        step_wants(&recipe->steps[i], &own);
        any = bs_wanted_any(&own) && bs_recipe_calibrates_on(recipe, i) == on;
        bs_wanted_release(&own);
    }
    return any;
}

/* Whether any step compares its inputs with the unquantized model's. */
static bool compares(const struct bs_recipe *recipe)
{
    bool any = false;
    for (int i = 0; i < recipe->num_steps; i++) {
        struct bs_wanted own = {.architecture = NULL};
        step_wants(&recipe->steps[i], &own);
        any |= bs_wanted_compares(&own);
        bs_wanted_release(&own);
    }
    return any;
}

bool bs_apply_uses_unquantized(const struct bs_recipe *recipe)
{
    return bs_recipe_static_activations(recipe) || uses(recipe, BS_ON_UNQUANTIZED) ||
           compares(recipe);
}

/* Whether the block as it is before its first linear is rounded is looked at until the last one
 * is. */
static bool looks_at_unrounded(const struct bs_recipe *recipe)
{
    bool set_by_set = false;
    for (int i = 0; i < recipe->num_steps; i++)
        set_by_set |= quantizes_set_by_set(&recipe->steps[i]);
    return set_by_set && compares(recipe);
}

bool bs_apply_copies_unrounded(const struct bs_recipe *recipe)
{
    return looks_at_unrounded(recipe) && rewrites_blocks(recipe);
}

bool bs_apply_uses_own(const struct bs_recipe *recipe) { return uses(recipe, BS_ON_QUANTIZED); }

/* The next of the recipe's own passes, with nothing wanted yet. */
static struct bs_wanted *next_pass(struct bs_own_passes *passes, int step,
                                   const struct bs_architecture *architecture, int layer)
{
    passes->step[passes->count] = step;
    struct bs_wanted *wanted = &passes->wanted[passes->count++];
    *wanted = (struct bs_wanted){.architecture = architecture, .layer = layer};
    return wanted;
}

/* How many depths inputs of linears are at. */
static int num_depths(const struct bs_program *p)
{
    int depths[BS_MAX_VALUES], count = 0;
    bs_program_depths(p, depths);
    for (int k = 0; k < p->num_inputs; k++)
        count = depths[p->inputs[k]] >= count ? depths[p->inputs[k]] + 1 : count;
    return count;
}

/* Adds what is wanted at sites of one depth. */
static void merge_depth(struct bs_wanted *to, const struct bs_wanted *all, int depth)
{
    const struct bs_program *p = bs_wanted_program(all);
    int depths[BS_MAX_VALUES];
    bs_program_depths(p, depths);
    for (int k = 0; k < p->num_inputs; k++)
        if (depths[p->inputs[k]] == depth)
            bs_wanted_merge_site(to, all, p->inputs[k]);
}

/* The pass to the sites of one depth, where anything is wanted there. */
static void add_depth_pass(struct bs_own_passes *passes, int step, const struct bs_wanted *all,
                           int depth)
{
    struct bs_wanted *here = next_pass(passes, step, all->architecture, all->layer);
    merge_depth(here, all, depth);
    if (!bs_wanted_any(here) && !here->failed)
        passes->count--; /* which owns nothing */
}

void bs_apply_own_passes(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                         int layer, struct bs_own_passes *passes)
{
    struct bs_wanted shared = {.architecture = architecture, .layer = layer};
    struct bs_wanted ranges = {.architecture = architecture, .layer = layer};
    const struct bs_program *p = bs_program_of(architecture, layer);
    struct bs_assignment places;
    bool rewritten = false;
    bs_recipe_assign(recipe, architecture, layer, &places);
    share(recipe, &places, &shared);
    if (rewrites_blocks(recipe)) /* else they are shared */
        bs_static_want(&places, &ranges);
    passes->count = 0;
    for (int i = 0; i < recipe->num_steps; i++) {
        const struct bs_choice *step = &recipe->steps[i];
        struct bs_wanted own = {
            .architecture = architecture, .layer = layer, .weights = places.weights};
        step_wants(step, &own);
        bool each = quantizes_set_by_set(step);
        if (ranges_with(recipe, i)) {
            bs_wanted_merge(&own, &ranges);
            bs_wanted_release(&ranges);
        }
        bool served = !rewritten && bs_wanted_within(&own, &shared);
        for (int d = 0; d < num_depths(p) && each && bs_wanted_any(&own); d++)
            add_depth_pass(passes, i, &own, d);
        if (bs_wanted_any(&own) && !each && !served)
            bs_wanted_merge(next_pass(passes, i, architecture, layer), &own);
        bs_wanted_release(&own);
        rewritten |= bs_algorithm_of(step)->prepare_block != NULL;
    }
    bs_wanted_release(&shared);
    if (bs_wanted_any(&ranges))
        bs_wanted_merge(next_pass(passes, -1, architecture, layer), &ranges);
    bs_wanted_release(&ranges);
}

void bs_own_passes_release(struct bs_own_passes *passes)
{
    for (int i = 0; i < passes->count; i++)
        bs_wanted_release(&passes->wanted[i]);
    passes->count = 0;
}

/* A recipe being applied to a block. */
struct applying {
    const struct bs_recipe *recipe;
    const struct bs_inputs *inputs;
    struct bs_job job;
    struct bs_assignment places;      /* of the layer at hand */
    struct bs_statistics own;         /* taken for this recipe alone */
    const struct bs_block *unrounded; /* the block before its first linear is rounded, where that is
                                         still looked at; else NULL */
    struct bs_block copied;           /* that, where it is not the original; else empty */
    double *rows;   /* [values], calibration tokens that steps saw at a site; NaN: none
                                    looked there */
    bool rewritten; /* the block is no longer the original */
    const struct bs_wanted *ranges; /* of static scales, to be collected beside what a step wants */
    bool provided;                  /* what the step that rounds looks at was collected so */
};

static const struct bs_stream *inputs_of(const struct applying *at, int step)
{
    return bs_recipe_calibrates_on(at->recipe, step) == BS_ON_QUANTIZED ? at->inputs->quantized
                                                                        : at->inputs->unquantized;
}

/* Points the job at the statistics that are wanted, taking them where nobody has. */
static enum bs_status provide_statistics(struct applying *at, int step,
                                         const struct bs_wanted *wanted, struct bs_error *err)
{
    const struct bs_inputs *inputs = at->inputs;
    const struct bs_stream *stream = inputs_of(at, step);
    bs_statistics_release(&at->own);
    at->job.statistics = NULL;
    if (bs_wanted_check(wanted, err))
        return err->status;
    if (!bs_wanted_any(wanted))
        return BS_OK;
    if (!at->rewritten && stream == inputs->unquantized && inputs->shared &&
        bs_statistics_hold(inputs->shared, wanted)) {
        at->job.statistics = inputs->shared;
        return BS_OK;
    }
    const struct bs_block *block = at->job.block;
    const struct bs_block *unrounded = at->unrounded ? at->unrounded : block;
    struct bs_origin origin = {unrounded, inputs->unquantized};
    bool apart =
        bs_wanted_compares(wanted) && (unrounded != block || stream != inputs->unquantized);
    if (bs_calibrate(block, inputs->rope, stream, apart ? &origin : NULL, wanted, &at->own, NULL,
                     inputs->scratch, err))
        return err->status;
    at->job.statistics = &at->own;
    return BS_OK;
}

/* Notes how many tokens came by at each site that the step looks at. */
static void note_rows(struct applying *at, const struct bs_wanted *wanted)
{
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *w = &wanted->wishes[i];
        const struct bs_collected *c =
            bs_statistics_find(at->job.statistics, w->statistic, w->site, w->detail);
        at->rows[w->site] = c ? (double)c->of.rows : at->rows[w->site];
    }
}

/* What the step looks at: everywhere, or, where `depth` is not BS_EVERY_SITE, at the sites with so
 * many linears before them. */
static enum bs_status provide_step(struct applying *at, int step, int depth, struct bs_error *err)
{
    const struct bs_architecture *a = at->job.block->architecture;
    int layer = at->job.block->index;
    struct bs_wanted all = {.architecture = a, .layer = layer, .weights = at->places.weights};
    struct bs_wanted here = {.architecture = a, .layer = layer};
    step_wants(&at->recipe->steps[step], &all);
    const struct bs_wanted *wanted = depth == BS_EVERY_SITE ? &all : &here;
    if (depth != BS_EVERY_SITE)
        merge_depth(&here, &all, depth);
    struct bs_wanted together = {.architecture = a, .layer = layer};
    bs_wanted_merge(&together, wanted);
    if (at->ranges)
        bs_wanted_merge(&together, at->ranges);
    enum bs_status status = provide_statistics(at, step, &together, err);
    if (!status && at->job.statistics)
        note_rows(at, wanted);
    bs_wanted_release(&all);
    bs_wanted_release(&here);
    bs_wanted_release(&together);
    return status;
}

/* Rounds a linear that no calibration token reached: to nearest, every weight counting alike. */
static enum bs_status round_unseen(const struct applying *at, int slot, struct bs_error *err)
{
    const struct bs_setting *weights = at->places.weights[slot];
    struct bs_linear *linear = &at->job.block->linears[slot];
    linear->fallback = true;
    if (bs_block_init_codes(at->job.block, slot, weights, err))
        return err->status;
    return bs_codes_round(&linear->codes, linear->weight, at->job.shared, err);
}

/* Rounds one linear and puts the decoded weights in place. */
static enum bs_status round_linear(const struct applying *at, const struct bs_choice *step,
                                   int slot, struct bs_error *err)
{
    struct bs_linear *linear = &at->job.block->linears[slot];
    double start = bs_seconds();
    struct bs_job job = at->job;
    job.importance = bs_importance_of(at->inputs->importance, job.weights[slot],
                                      job.block->architecture, job.block->index, slot);
    linear->rows = at->rows[at->job.block->program->slots[slot].input];
    bool unseen = linear->rows == 0 && !job.importance; /* a file has seen more */
    enum bs_status status = unseen
                                ? round_unseen(at, slot, err)
                                : bs_algorithm_of(step)->quantize(step->options, &job, slot, err);
    if (status)
        return bs_fail_within(err, "%s", linear->name);
    if (linear->codes.codes)
        bs_codes_decode(&linear->codes, linear->weight);
    linear->seconds = bs_seconds() - start;
    return BS_OK;
}

/* What the linears first to last share: parameters that the format has of a whole tensor. Its bytes
 * are the caller's to free. */
static enum bs_status fit_fused(const struct applying *at, int first, int last,
                                struct bs_shared *shared, struct bs_error *err)
{
    const struct bs_linear *linears = at->job.block->linears;
    const struct bs_setting *weights = at->places.weights[first];
    int in = linears[first].in_features, out = 0;
    for (int s = first; s <= last; s++)
        out += linears[s].out_features;
    if (bs_setting_lay(weights, out, in, &shared->layout, err))
        return err->status;
    size_t count = (size_t)out * (size_t)in;
    float *all = bs_alloc(count, sizeof *all), *to = all;
    if (!all)
        return bs_fail_memory(err);
    for (int s = first; s <= last; s++) {
        size_t own = (size_t)linears[s].out_features * (size_t)in;
        memcpy(to, linears[s].weight, own * sizeof *to);
        to += own;
    }
    enum bs_status status = bs_tensor_fit(weights, &shared->layout, all, &shared->bytes, err);
    bs_free(all);
    return status;
}

/* Rounds one of the linears that read a site; `shared` goes from those that have it together
 * to the next. */
static enum bs_status round_reader(struct applying *at, const struct bs_choice *step, int slot,
                                   struct bs_shared *shared, struct bs_error *err)
{
    const struct bs_slot *own = &at->job.block->program->slots[slot];
    int first, last;
    bool whole = bs_recipe_sharing(at->job.block->program, at->places.weights, slot, &first, &last);
    if (whole && slot == first) {
        bs_free(shared->bytes);
        *shared = (struct bs_shared){.bytes = NULL};
        if (fit_fused(at, first, last, shared, err))
            return err->status;
    }
    at->job.shared = whole ? shared : NULL;
    enum bs_status status = round_linear(at, step, slot, err);
    at->job.shared = NULL;
    shared->first += own->out;
    return status;
}

/* Rounds the linears that read a site. */
static enum bs_status round_readers(struct applying *at, const struct bs_choice *step, int site,
                                    struct bs_error *err)
{
    const struct bs_program *p = at->job.block->program;
    int slots[BS_MAX_SLOTS], count = bs_program_readers(p, site, slots);
    struct bs_shared shared = {.bytes = NULL};
    enum bs_status status = BS_OK;
    for (int k = 0; k < count && !status; k++)
        if (bs_setting_quantizes(at->places.weights[slots[k]]))
            status = round_reader(at, step, slots[k], &shared, err);
    bs_free(shared.bytes);
    return status;
}

/* Rounds the linears that read sites of one depth. */
static enum bs_status round_depth(struct applying *at, const struct bs_choice *step, int depth,
                                  struct bs_error *err)
{
    const struct bs_program *p = at->job.block->program;
    int depths[BS_MAX_VALUES];
    bs_program_depths(p, depths);
    for (int k = 0; k < p->num_inputs; k++) {
        if (depths[p->inputs[k]] != depth)
            continue;
        if (round_readers(at, step, p->inputs[k], err))
            return err->status;
        bs_derived_release(&at->own, p->inputs[k]); /* nobody else has use for it */
        at->rewritten = true;
    }
    return BS_OK;
}

static enum bs_status keep_unrounded(struct applying *at, struct bs_error *err)
{
    at->unrounded = at->inputs->original;
    if (at->unrounded && !bs_apply_copies_unrounded(at->recipe))
        return BS_OK;
    at->unrounded = &at->copied;
    return bs_block_copy(&at->copied, at->job.block, err);
}

static enum bs_status round_block(struct applying *at, int index, struct bs_error *err)
{
    const struct bs_choice *step = &at->recipe->steps[index];
    bool each = quantizes_set_by_set(step);
    if (looks_at_unrounded(at->recipe) && keep_unrounded(at, err))
        return err->status;
    if (!each && !at->provided && provide_step(at, index, BS_EVERY_SITE, err))
        return err->status;
    for (int depth = 0; depth < num_depths(at->job.block->program); depth++) {
        if (each && provide_step(at, index, depth, err))
            return err->status;
        if (round_depth(at, step, depth, err))
            return err->status;
    }
    return BS_OK;
}

/* A chain without a rounding step rounds to nearest. */
static enum bs_status round_to_nearest(struct applying *at, struct bs_error *err)
{
    const struct bs_choice step = {.plugin = &bs_algorithm_usual()->plugin};
    const struct bs_program *p = at->job.block->program;
    for (int k = 0; k < p->num_inputs; k++)
        if (round_readers(at, &step, p->inputs[k], err))
            return err->status;
    return BS_OK;
}

/* Static scales come from the unquantized model's inputs, through the block as prepared: from what
 * recipes share, or with what the step that rounds looks at, or else by themselves. */
static enum bs_status fix_static_scales(struct applying *at, int rounder, struct bs_error *err)
{
    struct bs_block *block = at->job.block;
    const struct bs_inputs *inputs = at->inputs;
    struct bs_statistics own = {.windows = 0};
    const struct bs_statistics *ranges = &own;
    struct bs_wanted wanted = {.architecture = block->architecture, .layer = block->index};
    bs_static_want(&at->places, &wanted);
    enum bs_status status = bs_wanted_check(&wanted, err);
    if (!status && !at->rewritten && inputs->shared &&
        bs_statistics_hold(inputs->shared, &wanted)) {
        ranges = inputs->shared;
    } else if (!status && ranges_with(at->recipe, rounder)) {
        at->ranges = &wanted;
        status = provide_step(at, rounder, BS_EVERY_SITE, err);
        ranges = at->job.statistics;
    } else if (!status) {
        bs_statistics_release(&at->own); /* what the steps before have looked at */
        at->job.statistics = NULL;
        status = bs_calibrate(block, inputs->rope, inputs->unquantized, NULL, &wanted, &own, NULL,
                              inputs->scratch, err);
    }
    if (!status)
        status = bs_static_fix(&at->places, ranges, block, err);
    at->provided = at->ranges != NULL;
    at->ranges = NULL;
    bs_statistics_release(&own);
    bs_wanted_release(&wanted);
    return status;
}

static enum bs_status apply(struct applying *at, struct bs_error *err)
{
    const struct bs_recipe *recipe = at->recipe;
    int rounder = -1;
    for (int i = 0; i < recipe->num_steps; i++) {
        const struct bs_choice *step = &recipe->steps[i];
        if (bs_algorithm_of(step)->quantize)
            rounder = i;
        if (!bs_algorithm_of(step)->prepare_block)
            continue;
        if (bs_block_fixes_inputs(at->job.block))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s changes activations, of which the checkpoint quantizes some by "
                           "scales that are fixed; take the model that it was made from",
                           step->plugin->name);
        if (provide_step(at, i, BS_EVERY_SITE, err) ||
            bs_algorithm_of(step)->prepare_block(step->options, &at->job, err))
            return bs_fail_within(err, "%s", step->plugin->name);
        at->rewritten = true;
    }
    if (bs_static_any(&at->places, at->job.block->program) && fix_static_scales(at, rounder, err))
        return err->status;
    if (!bs_recipe_quantizes_weights(recipe))
        return BS_OK;
    return rounder < 0 ? round_to_nearest(at, err) : round_block(at, rounder, err);
}

/* The basis of the residual stream, for a caller that has not made it. */
static enum bs_status make_residual(struct applying *at, struct bs_bases *own, struct bs_error *err)
{
    const struct bs_architecture *a = at->job.block->architecture;
    at->job.residual = at->inputs->residual;
    if (at->job.residual || !bs_recipe_turns(at->recipe))
        return BS_OK;
    at->job.residual = own;
    return bs_bases_init(own, a->hidden_size, err) ? err->status
                                                   : bs_apply_model(at->recipe, a, own, err);
}

enum bs_status bs_apply_recipe(const struct bs_recipe *recipe, struct bs_block *block,
                               const struct bs_inputs *inputs, struct bs_error *err)
{
    struct bs_bases own = {.count = 0};
    struct applying at = {
        .recipe = recipe,
        .inputs = inputs,
        .job = {.block = block, .rope = inputs->rope, .scratch = inputs->scratch}};
    bs_recipe_assign(recipe, block->architecture, block->index, &at.places);
    at.job.weights = at.places.weights;
    at.job.sites = at.places.sites;
    int values = block->program->num_values;
    at.rows = bs_alloc((size_t)values, sizeof *at.rows);
    for (int v = 0; at.rows && v < values; v++)
        at.rows[v] = NAN;
    enum bs_status status = at.rows ? make_residual(&at, &own, err) : bs_fail_memory(err);
    if (!status)
        status = apply(&at, err);
    bs_bases_release(&own);
    bs_free(at.rows);
    bs_statistics_release(&at.own);
    bs_block_release(&at.copied);
    return status ? status : bs_block_quantize_sites(block, at.places.sites, err);
}
