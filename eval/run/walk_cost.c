/* What a walk computes beside its evaluations. */
#include "eval/run/walk_cost.h"

#include <math.h>

#include "eval/recipe/assign.h"
#include "eval/run/apply.h"

static void raise_to(double *most, double to) { *most = to > *most ? to : *most; }

int bs_walk_alike_from(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                       int num_recipes)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    for (int i = 0; i < num_recipes; i++)
        if (bs_recipe_unlike_layers(recipes[i], a) > 1)
            return a->num_layers - 1;
    return a->num_layers > 1 ? 1 : 0;
}

double bs_walk_calibration_flops(const struct bs_walk *walk)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *windows = walk->calibration;
    return windows ? windows->windows * bs_total_flops(a, windows->tokens) : 0;
}

/* The same of one layer. */
static double layer_flops(const struct bs_walk *walk, int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *windows = walk->calibration;
    return windows ? windows->windows * bs_block_flops(a, layer, windows->tokens) : 0;
}

/* Of the calibration windows through one block up to the last site that is looked at. */
static double pass_to_inputs_flops(const struct bs_walk *walk, const struct bs_wanted *wanted)
{
    const struct bs_program *p = bs_wanted_program(wanted);
    const struct bs_windows *windows = walk->calibration;
    return windows->windows * bs_flops_until(p, bs_wanted_last(wanted), windows->tokens);
}

/* The same with these statistics taken, and to the end of the block where its outputs are
 * wanted. */
static double pass_flops(const struct bs_walk *walk, const struct bs_wanted *wanted, bool outputs)
{
    const struct bs_windows *windows = walk->calibration;
    double pass = outputs ? layer_flops(walk, wanted->layer) : pass_to_inputs_flops(walk, wanted);
    if (bs_wanted_compares(wanted) && !outputs) /* which goes through the unquantized model too */
        pass *= 2;
    return pass + bs_calibrate_flops(wanted, windows->windows, windows->tokens);
}

/* Of what is made of these statistics. */
static double derived_flops(const struct bs_walk *walk, const struct bs_wanted *wanted)
{
    return bs_derived_flops(wanted, walk->calibration->windows, walk->calibration->tokens);
}

/* What is done at one block, in the order of the walk. */
static struct bs_walk_common common_of_block(const struct bs_walk *walk,
                                             const struct bs_recipe *const *recipes,
                                             int num_recipes, int layer)
{
    struct bs_walk_common common = {.flops = 0};
    struct bs_wanted all = {.architecture = bs_model_architecture(walk->model), .layer = layer};
    bool goes_on = false;
    for (int i = 0; i < num_recipes; i++) {
        struct bs_reach reach = bs_apply_reach(recipes[i], all.architecture);
        bs_apply_share(recipes[i], &all);
        goes_on |= bs_apply_awaits_unquantized(recipes[i], &reach, layer + 1);
    }
    if (bs_wanted_any(&all) || goes_on) {
        common.block_passes++;
        common.flops += pass_flops(walk, &all, goes_on);
    }
    common.factors = bs_derived_count(&all);
    common.flops += all.failed ? (double)INFINITY : derived_flops(walk, &all);
    bs_wanted_release(&all);
    return common;
}

static void add_common(struct bs_walk_common *to, struct bs_walk_common block, int times)
{
    to->block_passes += times * block.block_passes;
    to->factors += times * block.factors;
    to->flops += times * block.flops;
}

struct bs_walk_common bs_walk_common(const struct bs_walk *walk,
                                     const struct bs_recipe *const *recipes, int num_recipes)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    int last = a->num_layers - 1, alike = bs_walk_alike_from(walk, recipes, num_recipes);
    struct bs_walk_common common = {.evaluations = 1, .flops = bs_walk_evaluation_flops(walk)};
    if (!walk->calibration)
        return common;
    for (int l = 0; l < alike && l < last; l++)
        add_common(&common, common_of_block(walk, recipes, num_recipes, l), 1);
    if (alike < last) /* the last one is not left by calibration windows */
        add_common(&common, common_of_block(walk, recipes, num_recipes, alike), last - alike);
    add_common(&common, common_of_block(walk, recipes, num_recipes, last), 1);
    return common;
}

static double own_passes_flops(const struct bs_walk *walk, const struct bs_recipe *recipe,
                               int layer)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    struct bs_own_passes passes;
    bs_apply_own_passes(recipe, a, layer, &passes);
    double flops = 0;
    for (int i = 0; i < passes.count; i++)
        flops +=
            pass_flops(walk, &passes.wanted[i], false) + derived_flops(walk, &passes.wanted[i]);
    bs_own_passes_release(&passes);
    struct bs_reach reach = bs_apply_reach(recipe, a);
    if (bs_apply_carries_own(recipe, &reach) && layer >= reach.first && layer < reach.last)
        flops += layer_flops(walk, layer);
    return flops;
}

/* Tells hooks of a layer; `at` is what its places are and has to stay. */
static void look_at_layer(const struct bs_recipe *recipe, struct bs_extent *extent, int layer,
                          struct bs_assignment *at)
{
    bs_recipe_assign(recipe, extent->architecture, layer, at);
    extent->layer = layer;
    extent->weights = at->weights;
    extent->sites = at->sites;
}

/* Adds what the hooks compute at one layer, so many times. */
static void add_layer_cost(const struct bs_recipe *recipe, struct bs_extent *extent, int layer,
                           int times, struct bs_cost *cost)
{
    struct bs_assignment at;
    struct bs_cost own = {.flops = 0};
    bool rounds = false;
    look_at_layer(recipe, extent, layer, &at);
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct bs_choice *step = &recipe->steps[s];
        rounds |= bs_algorithm_of(step)->quantize != NULL;
        if (bs_algorithm_of(step)->cost)
            bs_algorithm_of(step)->cost(step->options, extent, &own);
    }
    if (!rounds) /* then it is rounded to nearest */
        own.weights += bs_block_weights(extent->architecture, layer);
    cost->flops += times * own.flops;
    cost->weights += times * own.weights;
    raise_to(&cost->bytes, own.bytes);
    extent->weights = NULL;
    extent->sites = NULL;
}

/* What hooks are told of the walk, without a layer. */
static struct bs_extent extent_of(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *calibration = walk->calibration;
    struct bs_extent extent = {.architecture = a};
    if (calibration) {
        extent.windows = calibration->windows;
        extent.tokens = calibration->tokens;
    }
    struct bs_reach reach = bs_apply_reach(recipe, a);
    if (calibration && bs_apply_carries_own(recipe, &reach))
        extent.passed += (double)bs_windows_total(calibration);
    for (int t = 0; t < walk->num_texts; t++)
        extent.passed += (double)bs_windows_total(&walk->texts[t]);
    return extent;
}

double bs_walk_hooks_bytes(const struct bs_walk *walk, const struct bs_recipe *recipe, int step,
                           int layer)
{
    struct bs_extent extent = extent_of(walk, recipe);
    struct bs_assignment at;
    struct bs_cost cost = {.flops = 0};
    look_at_layer(recipe, &extent, layer, &at);
    const struct bs_choice *of = &recipe->steps[step];
    if (bs_algorithm_of(of)->cost)
        bs_algorithm_of(of)->cost(of->options, &extent, &cost);
    return cost.bytes;
}

struct bs_cost bs_walk_own_cost(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_windows *calibration = walk->calibration;
    struct bs_extent extent = extent_of(walk, recipe);
    struct bs_cost cost = {.flops = 0};
    int unlike = bs_recipe_unlike_layers(recipe, a);
    for (int l = 0; l < unlike; l++)
        add_layer_cost(recipe, &extent, l, a->num_layers / unlike, &cost);
    for (int l = 0; l < a->num_layers && calibration; l++)
        cost.flops += own_passes_flops(walk, recipe, l);
    cost.weights += bs_recipe_outer_size(recipe, a).weights;
    return cost;
}
