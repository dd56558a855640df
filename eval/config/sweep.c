/* A grid is read in two steps: its `algorithm` becomes chains, every other key becomes axes. Then
 * each chain is multiplied out over the axes that apply to it. */
#include "eval/config/sweep.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/axes.h"
#include "eval/config/model_list.h"
#include "eval/config/sensitivity.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96, FIRST_CAPACITY = 64, MOST_FILES = 64 };

/* An element of `algorithm`: where it stands, and its recipe before any axis is applied. */
struct chain {
    const struct bs_yaml_node *node;
    struct bs_recipe recipe;
};

struct grid {
    const struct bs_yaml_node *node;
    int num_chains, num_named;
    struct chain *chains;
    const struct bs_algorithm **named; /* of all chains; NULL-terminated */
    struct bs_axes axes;
    uint64_t models;                        /* that it is for */
    const struct bs_yaml_node *sensitivity; /* NULL: it has none */
    struct bs_spread_config spread;         /* what that says */
    bool unknown_algorithm;                 /* its options cannot be told from slips */
    bool broken; /* an error was found: recipes would be others than meant */
    struct {
        bool refused;                /* some point is */
        bool quantizes[BS_NUM_USES]; /* some setting does */
        bool ranges, importance;     /* some setting looks at that */
        bool stores;                 /* some setting of a cache says when: store */
    } any;
};

/* Recipes found so far, with the models each is for and the digest of its canonical text. */
struct collection {
    int count, capacity;
    struct bs_recipe *recipes;
    uint64_t *models;
    struct bs_digest *digests;
    int num_spreads;
    struct bs_spread_config *spreads;
};

/* What every step needs. */
struct expansion {
    bool has_calibration;
    struct bs_load *load;
    struct collection found;
};

void bs_recipes_free(struct bs_recipe *recipes, int num_recipes)
{
    for (int i = 0; recipes && i < num_recipes; i++)
        bs_recipe_release(&recipes[i]);
    bs_free(recipes);
}

static void grid_release(struct grid *grid)
{
    for (int c = 0; c < grid->num_chains; c++)
        bs_recipe_release(&grid->chains[c].recipe);
    bs_free(grid->chains);
    bs_free(grid->named);
    bs_axes_release(&grid->axes);
}

/* ---- algorithm: chains ---- */

static void unknown_algorithm(struct expansion *all, struct grid *grid,
                              const struct bs_yaml_node *node)
{
    struct bs_names names = {0};
    for (int a = 0; bs_algorithm_at(a); a++)
        bs_names_add(&names, bs_algorithm_at(a)->plugin.name);
    char list[LIST_TEXT];
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    bs_load_wrong(all->load, "algorithm", node, list);
    grid->unknown_algorithm = grid->broken = true;
}

static enum bs_status name_algorithm(struct expansion *all, struct grid *grid,
                                     const struct bs_algorithm *algorithm)
{
    const struct bs_algorithm **grown = bs_realloc(grid->named, (size_t)grid->num_named,
                                                   (size_t)grid->num_named + 2, sizeof *grown);
    if (!grown)
        return bs_fail_memory(all->load->err);
    grid->named = grown;
    grown[grid->num_named++] = algorithm;
    grown[grid->num_named] = NULL;
    return BS_OK;
}

static enum bs_status add_step(struct expansion *all, struct grid *grid, struct bs_recipe *recipe,
                               const struct bs_yaml_node *node)
{
    const struct bs_algorithm *algorithm = node->text ? bs_algorithm_find(node->text) : NULL;
    if (!algorithm) {
        unknown_algorithm(all, grid, node);
        return BS_OK;
    }
    enum bs_status status = bs_recipe_add(recipe, algorithm, all->load->err);
    if (status == BS_ENOMEM)
        return status;
    if (!status)
        return name_algorithm(all, grid, algorithm);
    bs_report_add(all->load->report, node->line, node->column, "%s", all->load->err->message);
    grid->broken = true;
    return BS_OK;
}

/* A scalar is a chain of one, a list the chain itself. */
static enum bs_status read_chain(struct expansion *all, struct grid *grid,
                                 const struct bs_yaml_node *node)
{
    struct chain *chain = &grid->chains[grid->num_chains++];
    chain->node = node;
    bs_recipe_init(&chain->recipe);
    if (node->kind != BS_YAML_SEQUENCE)
        return add_step(all, grid, &chain->recipe, node);
    if (node->num_items == 0) {
        bs_report_add(all->load->report, node->line, node->column,
                      "an empty chain, expected names of algorithms");
        grid->broken = true;
    }
    for (int i = 0; i < node->num_items; i++) {
        enum bs_status status = add_step(all, grid, &chain->recipe, node->items[i]);
        if (status)
            return status;
    }
    return BS_OK;
}

static enum bs_status read_chains(struct expansion *all, struct grid *grid)
{
    const struct bs_yaml_node *node = bs_yaml_get(grid->node, "algorithm");
    if (!node) {
        bs_report_add(all->load->report, grid->node->line, grid->node->column,
                      "algorithm is missing, expected a name or a list of names");
        grid->unknown_algorithm = grid->broken = true;
        return BS_OK;
    }
    bool list = node->kind == BS_YAML_SEQUENCE;
    if (list && node->num_items == 0) {
        bs_report_add(all->load->report, node->line, node->column,
                      "algorithm is an empty list, expected at least one name");
        grid->unknown_algorithm = grid->broken = true;
    }
    int count = list ? node->num_items : 1;
    grid->chains = bs_calloc((size_t)count, sizeof *grid->chains);
    if (!grid->chains)
        return bs_fail_memory(all->load->err);
    for (int c = 0; c < count; c++) {
        enum bs_status status = read_chain(all, grid, list ? node->items[c] : node);
        if (status)
            return status;
    }
    return BS_OK;
}

/* ---- model: a part of the file's models ---- */

static void add_model(struct expansion *all, struct grid *grid, const struct bs_yaml_node *node)
{
    const struct bs_config *config = all->load->config;
    int known = node->text ? bs_config_find_model(config, node->text) : -1;
    if (known >= 0) {
        grid->models |= UINT64_C(1) << known;
        return;
    }
    struct bs_names names = {0};
    for (int m = 0; m < config->num_models; m++)
        bs_names_add(&names, config->models[m]);
    char list[LIST_TEXT];
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    if (config->num_models > 0) /* else the file's own key is at fault */
        bs_load_wrong(all->load, "model", node, list);
    grid->broken = true;
}

static void read_models(struct expansion *all, struct grid *grid)
{
    const struct bs_yaml_node *node = bs_yaml_get(grid->node, "model");
    if (!node) {
        grid->models = ~UINT64_C(0);
        return;
    }
    bool list = node->kind == BS_YAML_SEQUENCE;
    if (list && node->num_items == 0) {
        bs_report_add(all->load->report, node->line, node->column,
                      "model is an empty list, expected at least one name, or no such key");
        grid->broken = true;
    }
    for (int i = 0; i < (list ? node->num_items : 1); i++)
        add_model(all, grid, list ? node->items[i] : node);
}

/* Takes a resolved recipe over, to be spread over the places of models. */
static enum bs_status collect_spread(struct expansion *all, const struct grid *grid,
                                     struct bs_recipe *recipe)
{
    struct collection *found = &all->found;
    size_t count = (size_t)found->num_spreads;
    struct bs_spread_config *grown = bs_realloc(found->spreads, count, count + 1, sizeof *grown);
    if (!grown) {
        bs_recipe_release(recipe);
        return bs_fail_memory(all->load->err);
    }
    found->spreads = grown;
    grown[count] = grid->spread;
    grown[count].recipe = *recipe;
    grown[count].models = grid->models;
    grown[count].grid = grid->node->line;
    found->num_spreads++;
    return BS_OK;
}

/* The digest of the recipe's canonical text. */
static enum bs_status digest_recipe(const struct bs_recipe *recipe, struct bs_digest *digest,
                                    struct bs_error *err)
{
    char *text = bs_recipe_text(recipe, bs_recipe_print);
    if (!text)
        return bs_fail_memory(err);
    *digest = bs_digest_of(text, strlen(text));
    bs_free(text);
    return BS_OK;
}

static enum bs_status grow(struct collection *found, struct bs_error *err)
{
    int capacity = found->capacity ? 2 * found->capacity : FIRST_CAPACITY;
    struct bs_recipe *recipes =
        bs_realloc(found->recipes, (size_t)found->count, (size_t)capacity, sizeof *recipes);
    if (!recipes)
        return bs_fail_memory(err);
    found->recipes = recipes;
    uint64_t *models =
        bs_realloc(found->models, (size_t)found->count, (size_t)capacity, sizeof *models);
    if (!models)
        return bs_fail_memory(err);
    found->models = models;
    struct bs_digest *digests =
        bs_realloc(found->digests, (size_t)found->count, (size_t)capacity, sizeof *digests);
    if (!digests)
        return bs_fail_memory(err);
    found->digests = digests;
    found->capacity = capacity;
    return BS_OK;
}

/* Takes a resolved recipe for these models into the collection, or releases it where one like it is
 * there, which is then for these models too. */
static enum bs_status collect(struct expansion *all, struct bs_recipe *recipe, uint64_t models)
{
    struct collection *found = &all->found;
    struct bs_digest digest;
    enum bs_status status = digest_recipe(recipe, &digest, all->load->err);
    if (!status && found->count == found->capacity)
        status = grow(found, all->load->err);
    bool known = false;
    for (int i = 0; !status && i < found->count && !known; i++) {
        known = !strcmp(found->digests[i].hex, digest.hex);
        found->models[i] |= known ? models : 0;
    }
    if (status || known) {
        bs_recipe_release(recipe);
        return status;
    }
    found->digests[found->count] = digest;
    found->models[found->count] = models;
    found->recipes[found->count++] = *recipe;
    return BS_OK;
}

/* Reports, once for each reason and chain, a recipe that is refused. */
static void refuse(struct expansion *all, const struct chain *chain, const struct bs_recipe *recipe,
                   const char *reason)
{
    if (bs_report_has(all->load->report, chain->node->line, chain->node->column, reason))
        return;
    char *label = bs_recipe_text(recipe, bs_recipe_print_label);
    bs_report_add(all->load->report, chain->node->line, chain->node->column, "%s (recipe '%s')",
                  reason, label ? label : "");
    bs_free(label);
}

/* Notes what a resolved setting looks at. */
static void look_at(struct grid *grid, enum bs_use use, const struct bs_setting *setting)
{
    grid->any.quantizes[use] |= bs_setting_quantizes(setting);
    grid->any.ranges |= setting->range.plugin != bs_range_registry.rows[0];
    grid->any.importance |= setting->importance.word != BS_ALIKE;
    grid->any.stores |= setting->when == BS_WHEN_STORED;
}

static void look_at_all(struct grid *grid, const struct bs_recipe *recipe)
{
    look_at(grid, BS_FOR_WEIGHTS, &recipe->weights);
    look_at(grid, BS_FOR_ACTIVATIONS, &recipe->activations);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        look_at(grid, BS_FOR_CACHE, &recipe->cache[c]);
    for (int r = 0; r < recipe->num_rules; r++)
        look_at(grid, recipe->rules[r].use, &recipe->rules[r].setting);
}

/* One point: the chain's recipe with the values of each axis, the last axis the fastest. */
static enum bs_status add_point(struct expansion *all, struct grid *grid, const struct chain *chain,
                                long point)
{
    struct bs_recipe recipe;
    enum bs_status status = bs_recipe_copy(&recipe, &chain->recipe, all->load->err);
    if (status)
        return status;
    bool known;
    status = bs_axes_apply(&grid->axes, point, &recipe, &known, all->load->err);
    if (!status && !known)
        status = bs_recipe_resolve(&recipe, all->load->err);
    if (status == BS_ENOMEM || known) {
        bs_recipe_release(&recipe);
        return status;
    }
    if (status && !grid->broken)
        refuse(all, chain, &recipe, all->load->err->message);
    if (status)
        grid->any.refused = true;
    else
        look_at_all(grid, &recipe);
    if (!status && bs_axes_note_idle(&grid->axes, &recipe, all->load->err)) {
        bs_recipe_release(&recipe);
        return all->load->err->status;
    }
    if (bs_recipe_needs_calibration(&recipe) && !all->has_calibration)
        refuse(all, chain, &recipe,
               "calibration is missing, expected a section calibration: {text: ...}");
    const char *reason = !status && grid->sensitivity ? bs_sensitivity_refuses(&recipe) : NULL;
    if (reason)
        refuse(all, chain, &recipe, reason);
    if (!status && !grid->broken && !reason)
        return grid->sensitivity ? collect_spread(all, grid, &recipe)
                                 : collect(all, &recipe, grid->models);
    bs_recipe_release(&recipe);
    return BS_OK;
}

static enum bs_status multiply(struct expansion *all, struct grid *grid)
{
    for (int c = 0; c < grid->num_chains; c++) {
        const struct chain *chain = &grid->chains[c];
        if (chain->recipe.num_steps == 0) /* its names were all unknown */
            continue;
        long points = bs_axes_points(&grid->axes, &chain->recipe, BS_MAX_RECIPES);
        if (points + all->found.count > BS_MAX_RECIPES) {
            bs_report_add(all->load->report, chain->node->line, chain->node->column,
                          "the sweep has more than %d trials here, expected fewer", BS_MAX_RECIPES);
            continue;
        }
        for (long point = 0; point < points; point++) {
            enum bs_status status = add_point(all, grid, chain, point);
            if (status)
                return status;
        }
    }
    return BS_OK;
}

/* Reports settings of which something is said, but neither format nor bits: none of it would show.
 */
static void refuse_unnamed(struct expansion *all, const struct grid *grid)
{
    static const char *const words[BS_NUM_USES] = {"weights", "activations", "kv_cache"};
    bool told[BS_NUM_USES] = {false};
    for (int a = 0; a < grid->axes.num_axes && !grid->broken && !grid->any.refused; a++) {
        const struct bs_axis *axis = &grid->axes.axes[a];
        enum bs_use use = axis->scope < 0 ? BS_NUM_USES : grid->axes.scopes[axis->scope].use;
        if (use == BS_NUM_USES || told[use] || grid->any.quantizes[use] ||
            bs_axes_name_format(&grid->axes, use))
            continue;
        told[use] = true;
        bs_report_add(all->load->report, axis->line, axis->column,
                      "%s has %s, but neither bits nor a format, and quantizes nothing without: "
                      "expected one of them",
                      words[use], axis->name);
    }
}

/* Reports an option that has another value than `usual`, where nothing in the grid looks at it. */
static void refuse_unheard(struct expansion *all, const struct grid *grid, const char *name,
                           const char *usual, bool heard, const char *wanted)
{
    const char *text;
    const struct bs_axis *axis = bs_axes_asks(&grid->axes, name, usual, &text);
    if (axis && !heard)
        bs_report_add(all->load->report, axis->line, axis->column, "%s is %s, but %s", name, text,
                      wanted);
}

/* Reports what is asked for and nothing in the grid looks at: without it results would be others
 * than meant. */
static void refuse_idle(struct expansion *all, const struct grid *grid)
{
    static const char never[] = "nothing in this grid is stored later than it is used: expected "
                                "when: store beside it";
    bool quantizes = false;
    for (int use = 0; use < BS_NUM_USES; use++)
        quantizes |= grid->any.quantizes[use];
    if (grid->broken || grid->any.refused || !quantizes)
        return;
    refuse_unheard(all, grid, "range", bs_range_registry.rows[0]->name, grid->any.ranges,
                   "no format of this grid asks for it: expected none, or a format that does not "
                   "look for its scales by itself");
    refuse_unheard(all, grid, "importance", "none", grid->any.importance,
                   "nothing in this grid looks at it: expected none, a format that does (most of "
                   "those of GGUF files), or a range that does (mse with range_weighted: true)");
    refuse_unheard(all, grid, "residual", "0", grid->any.stores, never);
    refuse_unheard(all, grid, "leave", "one", grid->any.stores, never);
}

static enum bs_status add_unquantized(struct expansion *all)
{
    struct bs_recipe recipe;
    bs_recipe_init(&recipe);
    enum bs_status status = bs_recipe_resolve(&recipe, all->load->err);
    return !status ? collect(all, &recipe, ~UINT64_C(0)) : status;
}

static enum bs_status expand_grid(struct expansion *all, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_MAPPING) {
        char found[FOUND_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_report_add(all->load->report, node->line, node->column,
                      "%s in sweep, expected a grid: a mapping with algorithm", found);
        return BS_OK;
    }
    static const struct bs_algorithm *const nothing[] = {NULL};
    struct grid grid = {.node = node, .sensitivity = bs_yaml_get(node, "sensitivity")};
    read_models(all, &grid);
    const struct bs_yaml_node *budget = bs_yaml_get(node, "budget");
    if ((grid.sensitivity || budget) &&
        !bs_sensitivity_read(all->load, grid.sensitivity, budget, &grid.spread))
        grid.broken = true;
    enum bs_status status = read_chains(all, &grid);
    if (!status)
        status = bs_axes_read(all->load, node, grid.named ? grid.named : nothing,
                              !grid.unknown_algorithm, &grid.axes);
    grid.broken |= grid.axes.broken;
    if (!status)
        status = multiply(all, &grid);
    if (!status) {
        refuse_unnamed(all, &grid);
        refuse_idle(all, &grid);
        status = bs_axes_tell(&grid.axes, all->load->report, &all->load->config->notices,
                              all->load->err);
    }
    grid_release(&grid);
    return status;
}

/* Labels name importance matrices as their files are called. */
static enum bs_status check_file_names(const struct bs_setting *a, const struct bs_setting *b,
                                       struct bs_error *err)
{
    const struct bs_file_choice *one = &a->importance, *two = &b->importance;
    if (one->word != BS_FROM_FILE || two->word != BS_FROM_FILE ||
        !strcmp(one->digest.hex, two->digest.hex) ||
        strcmp(bs_path_name(one->path), bs_path_name(two->path)))
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "importance: '%s' and '%s' are different files of one name, expected names that "
                   "tell them apart",
                   one->path, two->path);
}

/* Holds each setting with a file against the first ones: files, so they have to be there. */
static void check_all_file_names(struct expansion *all)
{
    const struct bs_setting *known[MOST_FILES];
    int count = 0;
    for (int i = 0; i < all->found.count; i++) {
        const struct bs_recipe *recipe = &all->found.recipes[i];
        for (int r = -1; r < recipe->num_rules; r++) {
            const struct bs_setting *setting = r < 0 ? &recipe->weights : &recipe->rules[r].setting;
            bool seen = setting->importance.word != BS_FROM_FILE;
            struct bs_error err;
            for (int k = 0; k < count && !seen; k++) {
                if (check_file_names(known[k], setting, &err)) {
                    bs_report_add(all->load->report, 1, 1, "%s", err.message);
                    return;
                }
                seen = !strcmp(known[k]->importance.digest.hex, setting->importance.digest.hex);
            }
            if (!seen && count < MOST_FILES)
                known[count++] = setting;
        }
    }
}

enum bs_status bs_sweep_expand(struct bs_load *load, const struct bs_yaml_node *sweep,
                               bool has_calibration)
{
    struct expansion all = {.has_calibration = has_calibration, .load = load};
    if (sweep->kind != BS_YAML_SEQUENCE || sweep->num_items == 0) {
        bs_load_no_list(load, "sweep", sweep, "a list of grids");
        return BS_OK;
    }
    enum bs_status status = add_unquantized(&all);
    for (int g = 0; !status && g < sweep->num_items; g++)
        status = expand_grid(&all, sweep->items[g]);
    if (!status && load->charts)
        check_all_file_names(&all);
    if (status) {
        bs_recipes_free(all.found.recipes, all.found.count);
        bs_free(all.found.models);
        bs_free(all.found.digests);
        bs_spreads_free(all.found.spreads, all.found.num_spreads);
        return status;
    }
    load->config->recipe_texts = bs_alloc((size_t)all.found.count, sizeof(uint64_t));
    for (int r = 0; load->config->recipe_texts && r < all.found.count; r++)
        load->config->recipe_texts[r] = ~UINT64_C(0);
    load->config->recipe_digests = all.found.digests;
    load->config->num_spreads = all.found.num_spreads;
    load->config->spreads = all.found.spreads;
    load->config->recipes = all.found.recipes;
    load->config->recipe_models = all.found.models;
    load->config->num_recipes = all.found.count;
    return load->config->recipe_texts ? BS_OK : bs_fail_memory(load->err);
}
