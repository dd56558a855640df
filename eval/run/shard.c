#include "eval/run/shard.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/run/walk_cost.h"

/* What is not a product is counted as so many flops, as it takes about as long on a processor of
 * today: a weight that is gone over once, a weight that is read, a logit beside its product. The
 * paces that `plan` measures would be others on every machine, and so would the cut be. */
static const double weight_flops = 400, read_flops = 50, logit_flops = 128;

/* ---- what there is ---- */

/* `share`: of the way through the blocks. */
static double evaluation_cost(const struct bs_walk *walk, double share)
{
    int width = bs_model_architecture(walk->model)->embedding_size;
    double flops = 0;
    for (int t = 0; t < walk->num_texts; t++)
        flops += share * bs_walk_text_flops(walk, t) +
                 (2.0 * width + logit_flops) * bs_walk_text_logits(walk, t);
    return flops;
}

/* The unquantized model's unit, where no recipe rides with it, computes nothing but the common. */
static struct bs_shard_unit unit_of(const struct bs_sweep *sweep, const struct bs_walk *walk,
                                    int recipe)
{
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_recipe *own = &sweep->config->recipes[recipe];
    struct bs_walk_common common = bs_walk_common(walk, &own, 1);
    struct bs_shard_unit unit = {
        .model = sweep->model_index,
        .recipe = recipe,
        .common = common.flops - bs_walk_evaluation_flops(walk) + evaluation_cost(walk, 1) +
                  bs_walk_probe_flops(walk, NULL) + read_flops * bs_total_weights(a)};
    if (recipe || sweep->reference) {
        struct bs_cost cost = bs_walk_own_cost(walk, own);
        unit.own = cost.flops + weight_flops * cost.weights + bs_walk_probe_flops(walk, own) +
                   evaluation_cost(walk, bs_walk_own_share(walk, own));
    }
    return unit;
}

static int count_trials(const struct bs_sweep *sweep, int recipe)
{
    int count = 0;
    for (int i = 0; i < sweep->num_trials; i++)
        count += sweep->trials[i].recipe == recipe;
    return count;
}

static void add_unit(struct bs_shards *shards, const struct bs_sweep *sweep,
                     const struct bs_walk *walk, int calibration, int recipe)
{
    int trials = count_trials(sweep, recipe);
    if (!trials)
        return;
    struct bs_shard_unit *unit = &shards->units[shards->num_units++];
    *unit = unit_of(sweep, walk, recipe);
    unit->calibration = calibration;
    unit->trials = trials;
}

/* Those of the selected part. The unquantized model rides with the recipes, where there are any. */
static void add_part(struct bs_shards *shards, const struct bs_sweep *sweep, int calibration)
{
    struct bs_walk walk = bs_sweep_walk(sweep);
    int before = shards->num_units;
    for (int r = 1; r < sweep->config->num_recipes; r++)
        add_unit(shards, sweep, &walk, calibration, r);
    if (shards->num_units == before)
        add_unit(shards, sweep, &walk, calibration, 0);
}

/* Models are opened in any order: theirs are put where they belong. */
static void sort_models(struct bs_shards *shards)
{
    for (int i = 1; i < shards->num_units; i++) {
        struct bs_shard_unit unit = shards->units[i];
        int at = i;
        for (; at && shards->units[at - 1].model > unit.model; at--)
            shards->units[at] = shards->units[at - 1];
        shards->units[at] = unit;
    }
}

enum bs_status bs_shards_add(struct bs_shards *shards, struct bs_sweep *sweep, struct bs_error *err)
{
    int parts = bs_sweep_parts(sweep);
    size_t more = (size_t)parts * (size_t)sweep->config->num_recipes;
    struct bs_shard_unit *units = bs_realloc(shards->units, (size_t)shards->num_units,
                                             (size_t)shards->num_units + more, sizeof *units);
    if (!units)
        return bs_fail_memory(err);
    shards->units = units;
    for (int c = 0; c < parts; c++) {
        bs_sweep_select(sweep, c);
        add_part(shards, sweep, c);
    }
    bs_sweep_select(sweep, 0);
    sort_models(shards);
    return BS_OK;
}

void bs_shards_release(struct bs_shards *shards)
{
    bs_free(shards->units);
    *shards = (struct bs_shards){.count = 0};
}

/* ---- the cut ---- */

static bool same_walk(const struct bs_shard_unit *a, const struct bs_shard_unit *b)
{
    return a->model == b->model && a->calibration == b->calibration;
}

/* Units first .. end - 1 in one piece. Of what recipes have in common most is what the one with the
 * greatest needs has of it. */
static double cost_of(const struct bs_shards *shards, int first, int end)
{
    double cost = 0, common = 0;
    for (int i = first; i < end; i++) {
        const struct bs_shard_unit *unit = &shards->units[i];
        bool begins = i == first || !same_walk(unit, unit - 1);
        if (begins) {
            cost += common;
            common = 0;
        }
        common = unit->common > common ? unit->common : common;
        cost += unit->own;
    }
    return cost + common;
}

/* The end of the longest piece from `first` on that costs no more than `most`, one unit at least,
 * and leaves each of `others` pieces one. */
static int piece_end(const struct bs_shards *shards, int first, double most, int others)
{
    int end = first + 1, last = shards->num_units - others;
    double cost = shards->units[first].own, common = shards->units[first].common;
    for (; end < last; end++) {
        const struct bs_shard_unit *unit = &shards->units[end];
        if (!same_walk(unit, unit - 1)) {
            cost += common;
            common = 0;
        }
        common = unit->common > common ? unit->common : common;
        cost += unit->own;
        if (cost + common > most)
            break;
    }
    return end;
}

/* Cuts into `pieces` of at most `most` each; what is left goes to the last. True where that one
 * costs no more either. */
static bool cut_at(struct bs_shards *shards, int pieces, double most)
{
    int first = 0;
    for (int p = 1; p <= pieces; p++) {
        int end = p < pieces ? piece_end(shards, first, most, pieces - p) : shards->num_units;
        if (cost_of(shards, first, end) > most)
            return false;
        for (int i = first; i < end; i++)
            shards->units[i].shard = p;
        first = end;
    }
    return true;
}

void bs_shards_cut(struct bs_shards *shards, int count)
{
    int pieces = count < shards->num_units ? count : shards->num_units;
    double low = 0, high = cost_of(shards, 0, shards->num_units);
    const int steps = 60; /* to the last digit, whatever a unit costs */
    shards->count = count;
    for (int i = 0; i < steps; i++) {
        double middle = (low + high) / 2;
        if (cut_at(shards, pieces, middle))
            high = middle;
        else
            low = middle;
    }
    bool fits = cut_at(shards, pieces, high);
    assert(fits || !shards->num_units);
}

struct bs_shard_load bs_shards_load(const struct bs_shards *shards, int number)
{
    struct bs_shard_load load = {.flops = 0};
    int first = 0, end;
    while (first < shards->num_units && shards->units[first].shard < number)
        first++;
    for (end = first; end < shards->num_units && shards->units[end].shard == number; end++)
        load.trials += shards->units[end].trials;
    load.units = end - first;
    load.flops = cost_of(shards, first, end);
    return load;
}

double bs_shards_flops(const struct bs_shards *shards)
{
    return cost_of(shards, 0, shards->num_units);
}

bool bs_shards_has(const struct bs_shards *shards, int number, int model, int calibration,
                   int recipe)
{
    for (int i = 0; i < shards->num_units; i++) {
        const struct bs_shard_unit *unit = &shards->units[i];
        if (unit->shard == number && unit->model == model && unit->calibration == calibration &&
            (unit->recipe == recipe || !recipe))
            return true;
    }
    return false;
}

void bs_shards_keep(const struct bs_shards *shards, int number, struct bs_sweep *sweep)
{
    int kept = 0;
    for (int i = 0; i < sweep->num_all; i++) {
        struct bs_trial trial = sweep->all[i];
        if (bs_shards_has(shards, number, sweep->model_index, trial.calibration, trial.recipe))
            sweep->all[kept++] = trial;
        else
            bs_trial_release(&trial);
    }
    sweep->num_all = kept;
    bs_sweep_select(sweep, 0);
}

char *bs_shard_path(const char *path, struct bs_shard shard)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    if (!dot || dot == name)
        dot = name + strlen(name);
    return bs_printf("%.*s.%d-of-%d%s", (int)(dot - path), path, shard.number, shard.count, dot);
}
