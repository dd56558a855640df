/* How the open trials of a sweep ride: walks, memory, work and time. */
#include "eval/run/sweep.h"

#include <math.h>

#include "eval/base/mem.h"
#include "eval/base/spill.h"

bool bs_trial_is_open(const struct bs_trial *trial) { return !trial->done && !trial->kept; }

bool bs_sweep_recipe_is_open(const struct bs_sweep *sweep, int recipe)
{
    for (int i = 0; i < sweep->num_trials; i++)
        if (sweep->trials[i].recipe == recipe && bs_trial_is_open(&sweep->trials[i]))
            return true;
    return false;
}

/* How recipes ride with their streams in memory, or in a scratch directory. */
struct sharing {
    struct bs_walk_memory needed;
    int walks, recipes_a_walk; /* walks 0: not even one recipe fits */
};

static struct sharing share_out(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                                int count, double memory, double disk)
{
    struct sharing sharing = {.needed = bs_walk_memory(walk, recipes, count)};
    const struct bs_walk_memory *needed = &sharing.needed;
    bool reference_fits = needed->fixed <= memory && needed->disk_fixed <= disk;
    double fit = floor((memory - needed->fixed) / needed->per_variant);
    if (needed->disk_per_variant > 0)
        fit = fmin(fit, floor((disk - needed->disk_fixed) / needed->disk_per_variant));
    if (!reference_fits || (count && fit < 1))
        return sharing;
    int most = fit < count ? (int)fit : count;
    sharing.walks = count ? (count + most - 1) / most : 1;
    sharing.recipes_a_walk = (count + sharing.walks - 1) / sharing.walks;
    return sharing;
}

/* A further walk evaluates the unquantized model once more. To write the streams to a file and read
 * them again, block by block, is counted as a twentieth of their evaluation. */
static bool worth_spilling(const struct sharing *spilled, const struct sharing *in_memory,
                           int recipes)
{
    if (!spilled->walks || !in_memory->walks)
        return spilled->walks;
    return 20 * (in_memory->walks - spilled->walks) > recipes + spilled->walks;
}

static double least_memory(const struct sharing *sharing, int count)
{
    return sharing->needed.fixed + (count ? sharing->needed.per_variant : 0);
}

static double least_disk(const struct sharing *sharing, int count)
{
    return sharing->needed.disk_fixed + (count ? sharing->needed.disk_per_variant : 0);
}

/* Decides where streams are: plan->walks and what follows from it. */
static enum bs_status plan_walks(const struct bs_sweep *sweep,
                                 const struct bs_recipe *const *recipes,
                                 const struct bs_limits *limits, struct bs_sweep_plan *plan,
                                 struct bs_error *err)
{
    int count = plan->recipes;
    double memory = limits->memory, room = (double)INFINITY;
    struct bs_walk walk = bs_sweep_walk(sweep);
    struct sharing best = share_out(&walk, recipes, count, memory, room);
    if (best.walks != 1) {
        walk.scratch = limits->scratch;
        struct sharing spilled = share_out(&walk, recipes, count, memory, room);
        if (!best.walks && !spilled.walks)
            return bs_fail(
                err, BS_ENOMEM,
                "the smallest walk needs %.0f MB, and --memory, which is half of what is free "
                "where it is not given, allows %.0f MB",
                ceil(fmin(least_memory(&best, count), least_memory(&spilled, count)) / 1e6),
                memory / 1e6);
        if (worth_spilling(&spilled, &best, count)) {
            if (bs_spill_room(limits->scratch, &room, err))
                return err->status;
            spilled = share_out(&walk, recipes, count, memory, room);
            if (!best.walks && !spilled.walks)
                return bs_fail(err, BS_ENOMEM,
                               "the smallest walk needs %.0f MB of memory, or %.0f MB in the "
                               "scratch folder '%s', which has room for %.0f MB",
                               ceil(least_memory(&best, count) / 1e6),
                               ceil(least_disk(&spilled, count) / 1e6), limits->scratch,
                               room / 1e6);
        }
        if (worth_spilling(&spilled, &best, count)) {
            best = spilled;
            plan->scratch = limits->scratch;
        }
    }
    plan->walks = best.walks;
    plan->recipes_a_walk = best.recipes_a_walk;
    plan->bytes = best.needed.fixed + best.recipes_a_walk * best.needed.per_variant;
    plan->checkpoint_bytes =
        best.needed.kept_fixed + best.recipes_a_walk * best.needed.kept_per_variant;
    plan->scratch_bytes =
        best.needed.disk_fixed + best.recipes_a_walk * best.needed.disk_per_variant;
    return BS_OK;
}

enum bs_status bs_sweep_place_streams(const struct bs_limits *limits, struct bs_walk *walk,
                                      const struct bs_recipe *const *recipes, int count,
                                      struct bs_error *err)
{
    struct bs_walk_memory needed = bs_walk_memory(walk, recipes, count);
    if (needed.fixed + count * needed.per_variant <= limits->memory)
        return BS_OK;
    double room;
    walk->scratch = limits->scratch;
    needed = bs_walk_memory(walk, recipes, count);
    double memory = needed.fixed + count * needed.per_variant;
    double disk = needed.disk_fixed + count * needed.disk_per_variant;
    if (memory > limits->memory)
        return bs_fail(err, BS_ENOMEM, "the walk needs %.0f MB, and the memory allowed is %.0f MB",
                       ceil(memory / 1e6), limits->memory / 1e6);
    if (bs_spill_room(limits->scratch, &room, err))
        return err->status;
    if (disk > room)
        return bs_fail(err, BS_EIO,
                       "the walk needs %.0f MB in the scratch folder '%s', which has "
                       "room for %.0f MB",
                       ceil(disk / 1e6), limits->scratch, room / 1e6);
    return BS_OK;
}

static void add_common(struct bs_walk_common *to, struct bs_walk_common more)
{
    to->evaluations += more.evaluations;
    to->block_passes += more.block_passes;
    to->factors += more.factors;
    to->flops += more.flops;
}

/* The texts of the recipe's trials: those that are open, or those that go on from a checkpoint. */
static unsigned texts_of(const struct bs_sweep *sweep, const struct bs_recipe *recipe, bool kept)
{
    unsigned texts = 0;
    for (int i = 0; i < sweep->num_trials; i++) {
        const struct bs_trial *trial = &sweep->trials[i];
        if (&sweep->config->recipes[trial->recipe] == recipe && !trial->done && trial->kept == kept)
            texts |= 1u << trial->text;
    }
    return texts;
}

/* What a recipe does for itself. */
static void plan_recipe(const struct bs_walk *walk, const struct bs_recipe *recipe, unsigned texts,
                        struct bs_sweep_plan *plan)
{
    int width = bs_model_architecture(walk->model)->embedding_size;
    for (int t = 0; t < walk->num_texts; t++)
        if (texts >> t & 1)
            plan->evaluation_flops +=
                bs_walk_own_share(walk, recipe) * bs_walk_text_flops(walk, t) +
                2 * width * bs_walk_text_logits(walk, t);
    plan->quantize_flops += bs_walk_own_cost(walk, recipe).flops;
    add_common(&plan->alone, bs_walk_common(walk, &recipe, 1));
}

/* What the walks compute. */
static enum bs_status plan_work(const struct bs_sweep *sweep, const struct bs_recipe *const *open,
                                const struct bs_pace *pace, struct bs_sweep_plan *plan,
                                struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    double evaluation = bs_walk_evaluation_flops(&walk);
    unsigned *texts = bs_calloc((size_t)plan->recipes + 1, sizeof *texts);
    if (!texts)
        return bs_fail_memory(err);
    for (int i = 0; i < plan->recipes; i++) {
        texts[i] = texts_of(sweep, open[i], false);
        plan_recipe(&walk, open[i], texts[i], plan);
    }
    for (int w = 0; w < plan->walks; w++) {
        int first = w * plan->recipes_a_walk, left = plan->recipes - first;
        int count = left < plan->recipes_a_walk ? left : plan->recipes_a_walk;
        struct bs_walk_common common = bs_walk_common(&walk, open + first, count);
        add_common(&plan->shared, common);
        plan->evaluation_flops += evaluation;
        plan->quantize_flops += common.flops - evaluation;
        plan->seconds +=
            pace ? bs_pace_seconds(pace, &walk, open + first, texts + first, count, 1) : 0;
    }
    bs_free(texts);
    return BS_OK;
}

/* Recipes with trials that `wanted` is true of, of what is selected or, where `all`, of all parts.
 * The unquantized model, which rides on every walk, is not among them, but a model that is compared
 * with a reference is. */
static int list_recipes(const struct bs_sweep *sweep, bool (*wanted)(const struct bs_trial *trial),
                        bool all, const struct bs_recipe **recipes)
{
    const struct bs_trial *trials = all ? sweep->all : sweep->trials;
    int num_trials = all ? sweep->num_all : sweep->num_trials, count = 0;
    for (int r = sweep->reference ? 0 : 1; r < sweep->config->num_recipes; r++)
        for (int i = 0; i < num_trials; i++)
            if (trials[i].recipe == r && wanted(&trials[i])) {
                recipes[count++] = &sweep->config->recipes[r];
                break;
            }
    return count;
}

static const struct bs_recipe **room_for_recipes(const struct bs_sweep *sweep)
{
    return bs_alloc((size_t)sweep->config->num_recipes, sizeof(const struct bs_recipe *));
}

static bool is_not_done(const struct bs_trial *trial) { return !trial->done; }
static bool is_kept(const struct bs_trial *trial) { return trial->kept; }

enum bs_status bs_sweep_pace(const struct bs_sweep *sweep, struct bs_pace *pace,
                             struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    const struct bs_recipe **recipes = room_for_recipes(sweep);
    if (!recipes)
        return bs_fail_memory(err);
    int count = list_recipes(sweep, is_not_done, true, recipes);
    enum bs_status status = bs_pace_measure(&walk, recipes, count, pace, err);
    bs_free(recipes);
    return status;
}

/* Of the rest of the walk that was kept, where it is of what is selected. */
static enum bs_status kept_seconds(const struct bs_sweep *sweep, const struct bs_pace *pace,
                                   double *seconds, struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    const struct bs_recipe **recipes = room_for_recipes(sweep);
    unsigned *texts = bs_calloc((size_t)sweep->config->num_recipes, sizeof *texts);
    enum bs_status status = recipes && texts ? BS_OK : bs_fail_memory(err);
    int count = status ? 0 : list_recipes(sweep, is_kept, false, recipes);
    for (int i = 0; i < count; i++)
        texts[i] = texts_of(sweep, recipes[i], true);
    *seconds = 0;
    for (int i = 0; i < sweep->num_trials && !status; i++)
        if (is_kept(&sweep->trials[i])) {
            *seconds = bs_pace_seconds(pace, &walk, recipes, texts, count, sweep->kept_blocks);
            break;
        }
    bs_free(recipes);
    bs_free(texts);
    return status;
}

enum bs_status bs_sweep_plan(const struct bs_sweep *sweep, const struct bs_limits *limits,
                             const struct bs_pace *pace, struct bs_sweep_plan *plan,
                             struct bs_error *err)
{
    *plan = (struct bs_sweep_plan){.seconds = pace ? 0 : (double)NAN};
    const struct bs_recipe **open = room_for_recipes(sweep);
    if (!open)
        return bs_fail_memory(err);
    plan->recipes = list_recipes(sweep, bs_trial_is_open, false, open);
    for (int i = 0; i < sweep->num_trials; i++)
        plan->open_trials += bs_trial_is_open(&sweep->trials[i]);
    enum bs_status status = plan->open_trials ? plan_walks(sweep, open, limits, plan, err) : BS_OK;
    if (!status && plan->open_trials)
        status = plan_work(sweep, open, pace, plan, err);
    bs_free(open);
    return status;
}

enum bs_status bs_sweep_plan_all(struct bs_sweep *sweep, const struct bs_limits *limits,
                                 const struct bs_pace *pace, struct bs_sweep_plan *plan,
                                 struct bs_error *err)
{
    const struct bs_sweep selected = *sweep;
    enum bs_status status = BS_OK;
    *plan = (struct bs_sweep_plan){.seconds = pace ? 0 : (double)NAN};
    for (int c = 0; c < bs_sweep_parts(sweep) && !status; c++) {
        struct bs_sweep_plan part;
        double kept = 0;
        bs_sweep_select(sweep, c);
        status = bs_sweep_plan(sweep, limits, pace, &part, err);
        if (!status && pace)
            status = kept_seconds(sweep, pace, &kept, err);
        if (status)
            break;
        plan->open_trials += part.open_trials;
        plan->recipes += part.recipes;
        plan->walks += part.walks;
        if (part.recipes_a_walk > plan->recipes_a_walk)
            plan->recipes_a_walk = part.recipes_a_walk;
        plan->bytes = fmax(plan->bytes, part.bytes);
        if (part.scratch)
            plan->scratch = part.scratch;
        plan->scratch_bytes = fmax(plan->scratch_bytes, part.scratch_bytes);
        plan->checkpoint_bytes = fmax(plan->checkpoint_bytes, part.checkpoint_bytes);
        plan->evaluation_flops += part.evaluation_flops;
        plan->quantize_flops += part.quantize_flops;
        plan->seconds += part.seconds + kept;
        add_common(&plan->shared, part.shared);
        add_common(&plan->alone, part.alone);
    }
    sweep->calibration = selected.calibration;
    sweep->trials = selected.trials;
    sweep->num_trials = selected.num_trials;
    return status;
}
