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

/* Recipes that are to ride, and what is measured of each. */
struct riders {
    int count;
    const struct bs_recipe *const *recipes;
    const unsigned *texts; /* NULL = all */
};

/* How recipes ride with their streams in memory, or in a scratch directory. */
struct sharing {
    struct bs_walk_bytes fixed, most; /* of a walk; of the recipe that needs most, of each kind */
    struct bs_walk_bytes fullest;     /* of the fullest walk */
    int walks, recipes_a_walk;        /* walks 0: not even one recipe fits */
};

static struct bs_walk_bytes plus(struct bs_walk_bytes a, struct bs_walk_bytes b)
{
    return (struct bs_walk_bytes){a.memory + b.memory, a.disk + b.disk, a.kept + b.kept};
}

static struct bs_walk_bytes larger(struct bs_walk_bytes a, struct bs_walk_bytes b)
{
    return (struct bs_walk_bytes){fmax(a.memory, b.memory), fmax(a.disk, b.disk),
                                  fmax(a.kept, b.kept)};
}

/* Of the fullest walk of so many recipes each, in their order. */
static struct bs_walk_bytes fullest(const struct sharing *sharing, const struct bs_walk_bytes *each,
                                    int count, int a_walk)
{
    struct bs_walk_bytes most = sharing->fixed;
    for (int first = 0; first < count; first += a_walk) {
        struct bs_walk_bytes walk = sharing->fixed;
        for (int i = first; i < count && i < first + a_walk; i++)
            walk = plus(walk, each[i]);
        most = larger(most, walk);
    }
    return most;
}

/* As few walks as fit. */
static void cut(struct sharing *sharing, const struct bs_walk_bytes *each, int count, double memory,
                double disk)
{
    for (int walks = 1; walks <= count || walks == 1; walks++) {
        int a_walk = (count + walks - 1) / walks;
        sharing->fullest = fullest(sharing, each, count, a_walk);
        if (sharing->fullest.memory > memory || sharing->fullest.disk > disk)
            continue;
        sharing->walks = count ? (count + a_walk - 1) / a_walk : 1;
        sharing->recipes_a_walk = a_walk;
        return;
    }
}

static enum bs_status share_out(const struct bs_walk *walk, const struct riders *riders,
                                double memory, double disk, struct sharing *sharing,
                                struct bs_error *err)
{
    struct bs_walk_bytes *each = bs_alloc((size_t)riders->count, sizeof *each);
    if (!each)
        return bs_fail_memory(err);
    *sharing = (struct sharing){.fixed = bs_walk_fixed_bytes(walk, riders->recipes, riders->count)};
    for (int i = 0; i < riders->count; i++) {
        unsigned texts = riders->texts ? riders->texts[i] : ~0u;
        each[i] = bs_walk_recipe_bytes(walk, riders->recipes[i], texts);
        sharing->most = larger(sharing->most, each[i]);
    }
    cut(sharing, each, riders->count, memory, disk);
    bs_free(each);
    return BS_OK;
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

/* Decides where streams are: of as few walks as can be. */
static enum bs_status place_streams(struct bs_walk walk, const struct riders *riders,
                                    const struct bs_limits *limits, struct sharing *best,
                                    const char **scratch, struct bs_error *err)
{
    double memory = limits->memory, room = (double)INFINITY;
    struct sharing spilled;
    *scratch = NULL;
    if (share_out(&walk, riders, memory, room, best, err))
        return err->status;
    if (best->walks == 1)
        return BS_OK;
    walk.scratch = limits->scratch;
    if (share_out(&walk, riders, memory, room, &spilled, err))
        return err->status;
    if (!best->walks && !spilled.walks)
        return bs_fail(err, BS_ENOMEM,
                       "the smallest walk needs %.0f MB, and --memory, which is half of what is "
                       "free where it is not given, allows %.0f MB",
                       ceil(fmin(plus(best->fixed, best->most).memory,
                                 plus(spilled.fixed, spilled.most).memory) /
                            1e6),
                       memory / 1e6);
    if (!worth_spilling(&spilled, best, riders->count))
        return BS_OK;
    if (bs_spill_room(limits->scratch, &room, err) ||
        share_out(&walk, riders, memory, room, &spilled, err))
        return err->status;
    if (!best->walks && !spilled.walks)
        return bs_fail(err, BS_ENOMEM,
                       "the smallest walk needs %.0f MB of memory, or %.0f MB in the "
                       "scratch folder '%s', which has room for %.0f MB",
                       ceil(plus(best->fixed, best->most).memory / 1e6),
                       ceil(plus(spilled.fixed, spilled.most).disk / 1e6), limits->scratch,
                       room / 1e6);
    if (worth_spilling(&spilled, best, riders->count)) {
        *best = spilled;
        *scratch = limits->scratch;
    }
    return BS_OK;
}

/* Decides where streams are: plan->walks and what follows from it. */
static enum bs_status plan_walks(const struct bs_sweep *sweep, const struct riders *riders,
                                 const struct bs_limits *limits, struct bs_sweep_plan *plan,
                                 struct bs_error *err)
{
    struct sharing best;
    if (place_streams(bs_sweep_walk(sweep), riders, limits, &best, &plan->scratch, err))
        return err->status;
    plan->walks = best.walks;
    plan->recipes_a_walk = best.recipes_a_walk;
    plan->bytes = best.fullest.memory;
    plan->checkpoint_bytes = best.fullest.kept;
    plan->scratch_bytes = best.fullest.disk;
    return BS_OK;
}

enum bs_status bs_sweep_place_streams(const struct bs_limits *limits, struct bs_walk *walk,
                                      const struct bs_recipe *const *recipes, const unsigned *texts,
                                      int count, struct bs_error *err)
{
    const struct riders riders = {count, recipes, texts};
    struct sharing sharing;
    double room, memory = limits->memory, any = (double)INFINITY;
    if (share_out(walk, &riders, any, any, &sharing, err))
        return err->status;
    if (sharing.fullest.memory <= memory)
        return BS_OK;
    walk->scratch = limits->scratch;
    if (share_out(walk, &riders, any, any, &sharing, err))
        return err->status;
    if (sharing.fullest.memory > memory)
        return bs_fail(err, BS_ENOMEM, "the walk needs %.0f MB, and the memory allowed is %.0f MB",
                       ceil(sharing.fullest.memory / 1e6), memory / 1e6);
    if (bs_spill_room(limits->scratch, &room, err))
        return err->status;
    if (sharing.fullest.disk > room)
        return bs_fail(err, BS_EIO,
                       "the walk needs %.0f MB in the scratch folder '%s', which has "
                       "room for %.0f MB",
                       ceil(sharing.fullest.disk / 1e6), limits->scratch, room / 1e6);
    return BS_OK;
}

static void add_common(struct bs_walk_common *to, struct bs_walk_common more)
{
    to->evaluations += more.evaluations;
    to->block_passes += more.block_passes;
    to->factors += more.factors;
    to->flops += more.flops;
}

unsigned bs_sweep_texts(const struct bs_sweep *sweep, const struct bs_recipe *recipe, bool kept)
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
static void plan_work(const struct bs_sweep *sweep, const struct riders *riders,
                      const struct bs_pace *pace, struct bs_sweep_plan *plan)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    double evaluation = bs_walk_evaluation_flops(&walk);
    for (int i = 0; i < riders->count; i++)
        plan_recipe(&walk, riders->recipes[i], riders->texts[i], plan);
    for (int w = 0; w < plan->walks; w++) {
        int first = w * plan->recipes_a_walk, left = riders->count - first;
        int count = left < plan->recipes_a_walk ? left : plan->recipes_a_walk;
        const struct bs_recipe *const *recipes = riders->recipes + first;
        struct bs_walk_common common = bs_walk_common(&walk, recipes, count);
        add_common(&plan->shared, common);
        plan->evaluation_flops += evaluation;
        plan->quantize_flops += common.flops - evaluation;
        plan->seconds +=
            pace ? bs_pace_seconds(pace, &walk, recipes, riders->texts + first, count, 1) : 0;
    }
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
        texts[i] = bs_sweep_texts(sweep, recipes[i], true);
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
    unsigned *texts = bs_calloc((size_t)sweep->config->num_recipes, sizeof *texts);
    enum bs_status status = open && texts ? BS_OK : bs_fail_memory(err);
    plan->recipes = status ? 0 : list_recipes(sweep, bs_trial_is_open, false, open);
    for (int i = 0; i < plan->recipes; i++)
        texts[i] = bs_sweep_texts(sweep, open[i], false);
    for (int i = 0; i < sweep->num_trials; i++)
        plan->open_trials += bs_trial_is_open(&sweep->trials[i]);
    const struct riders riders = {plan->recipes, open, texts};
    if (!status && plan->open_trials)
        status = plan_walks(sweep, &riders, limits, plan, err);
    if (!status && plan->open_trials)
        plan_work(sweep, &riders, pace, plan);
    bs_free(texts);
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
