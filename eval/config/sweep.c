/* A grid is read in two steps: its `algorithm` becomes chains, every other key becomes an axis of
 * one or more checked values. Then each chain is multiplied out over the axes that apply to it. */
#include "eval/config/sweep.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/model_list.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96, FIRST_CAPACITY = 64 };

const struct bs_option bs_recipe_options[] = {
    BS_OPT_WORDS(struct bs_recipe, calibrate_on, BS_CHOICE, BS_ON_AUTO, 0, 2, bs_calibrate_on_names,
                 "whose inputs calibrate a block; auto = as the algorithm's authors do"),
    BS_OPT_WORDS(struct bs_recipe, compute, BS_CHOICE, BS_FLOAT32, 0, 1, bs_compute_names,
                 "what evaluation multiplies in; bfloat16 is faster and rounds inputs and weights"),
    {.name = NULL},
};

const struct bs_config_key bs_sweep_keys[] = {
    {"algorithm", "a name, or a list of names and chains",
     "what is done to the weights; a chain is a list within the list", true},
    {"model", "a name, or a list of names, of the file's models",
     "the models that this grid is for; without it all of them", false},
    {"weights", "a mapping, see weights", "the weight format", false},
    {"activations", "a mapping, see activations", "the activation format", false},
    {"calibrate_on", "unquantized, quantized or auto",
     "whose inputs calibrate a block; auto = as the algorithm's authors do", false},
    {"compute", "float32 or bfloat16",
     "what evaluation multiplies in; bfloat16, for 16-bit activations only, is faster and rounds "
     "inputs and weights of linears and head",
     false},
    {.name = NULL},
};

const struct bs_config_key bs_setting_keys[] = {
    {"format", "a name, or none", "the number format; without it int, where an option is set",
     false},
    {"range", "a name", "what finds the extremes that a scale is fitted to", false},
    {.name = NULL},
};

/* Which part of a recipe an axis sets. */
enum target { TARGET_WEIGHTS, TARGET_ACTIVATIONS, TARGET_RECIPE, TARGET_STAGES };

struct axis {
    enum target target;
    const char *name;
    const struct bs_yaml_node *values; /* one scalar, or a list of them */
};

/* An element of `algorithm`: where it stands, and its recipe before any axis is applied. */
struct chain {
    const struct bs_yaml_node *node;
    struct bs_recipe recipe;
};

struct grid {
    const struct bs_yaml_node *node;
    int num_chains, num_axes, axes_capacity;
    struct chain *chains;
    struct axis *axes;
    uint64_t models;        /* that it is for */
    bool unknown_algorithm; /* its options cannot be told from slips */
    bool broken;            /* an error was found: recipes would be others than meant */
};

/* Recipes found so far, with the models each is for and the digest of its canonical text. */
struct collection {
    int count, capacity;
    struct bs_recipe *recipes;
    uint64_t *models;
    struct bs_digest *digests;
};

/* What every step needs. */
struct expansion {
    bool has_calibration;
    const struct bs_config *config;
    struct bs_report *report;
    struct bs_error *err;
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
    bs_free(grid->axes);
}

/* ---- algorithm: chains ---- */

static void unknown_algorithm(struct expansion *all, struct grid *grid,
                              const struct bs_yaml_node *node)
{
    struct bs_names names = {0};
    for (int a = 0; bs_algorithm_at(a); a++)
        bs_names_add(&names, bs_algorithm_at(a)->plugin.name);
    char found[FOUND_TEXT], list[LIST_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    bs_report_add(all->report, node->line, node->column, "algorithm is %s, expected %s", found,
                  list);
    grid->unknown_algorithm = grid->broken = true;
}

static enum bs_status add_stage(struct expansion *all, struct grid *grid, struct bs_recipe *recipe,
                                const struct bs_yaml_node *node)
{
    const struct bs_algorithm *algorithm = node->text ? bs_algorithm_find(node->text) : NULL;
    if (!algorithm) {
        unknown_algorithm(all, grid, node);
        return BS_OK;
    }
    enum bs_status status = bs_recipe_add(recipe, algorithm, all->err);
    if (status == BS_ENOMEM)
        return status;
    if (status) {
        bs_report_add(all->report, node->line, node->column, "%s", all->err->message);
        grid->broken = true;
    }
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
        return add_stage(all, grid, &chain->recipe, node);
    if (node->num_items == 0) {
        bs_report_add(all->report, node->line, node->column,
                      "an empty chain, expected names of algorithms");
        grid->broken = true;
    }
    for (int i = 0; i < node->num_items; i++) {
        enum bs_status status = add_stage(all, grid, &chain->recipe, node->items[i]);
        if (status)
            return status;
    }
    return BS_OK;
}

static enum bs_status read_chains(struct expansion *all, struct grid *grid)
{
    const struct bs_yaml_node *node = bs_yaml_get(grid->node, "algorithm");
    if (!node) {
        bs_report_add(all->report, grid->node->line, grid->node->column,
                      "algorithm is missing, expected a name or a list of names");
        grid->unknown_algorithm = grid->broken = true;
        return BS_OK;
    }
    bool list = node->kind == BS_YAML_SEQUENCE;
    if (list && node->num_items == 0) {
        bs_report_add(all->report, node->line, node->column,
                      "algorithm is an empty list, expected at least one name");
        grid->unknown_algorithm = grid->broken = true;
    }
    int count = list ? node->num_items : 1;
    grid->chains = bs_calloc((size_t)count, sizeof *grid->chains);
    if (!grid->chains)
        return bs_fail_memory(all->err);
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
    const struct bs_config *config = all->config;
    int known = node->text ? bs_config_find_model(config, node->text) : -1;
    if (known >= 0) {
        grid->models |= UINT64_C(1) << known;
        return;
    }
    struct bs_names names = {0};
    for (int m = 0; m < config->num_models; m++)
        bs_names_add(&names, config->models[m]);
    char found[FOUND_TEXT], list[LIST_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    if (config->num_models > 0) /* else the file's own key is at fault */
        bs_report_add(all->report, node->line, node->column, "model is %s, expected %s", found,
                      list);
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
        bs_report_add(all->report, node->line, node->column,
                      "model is an empty list, expected at least one name, or no such key");
        grid->broken = true;
    }
    for (int i = 0; i < (list ? node->num_items : 1); i++)
        add_model(all, grid, list ? node->items[i] : node);
}

/* ---- the other keys: axes ---- */

static int num_values(const struct axis *axis)
{
    return axis->values->kind == BS_YAML_SEQUENCE ? axis->values->num_items : 1;
}

static const struct bs_yaml_node *axis_value(const struct axis *axis, int i)
{
    return axis->values->kind == BS_YAML_SEQUENCE ? axis->values->items[i] : axis->values;
}

/* Checks one value by reading it into `room`, a struct that the option's table belongs to. */
static bool check_value(struct expansion *all, const struct bs_option *option,
                        const struct bs_yaml_node *value, void *room)
{
    if (value->kind == BS_YAML_SCALAR && !bs_yaml_is_null(value))
        return bs_report_parse(all->report, value->line, value->column, option, value->text, room);
    char found[FOUND_TEXT], allowed[LIST_TEXT];
    bs_yaml_print_found(value, found, sizeof found);
    bs_option_print_allowed(option, allowed, sizeof allowed);
    bs_report_add(all->report, value->line, value->column, "%s is %s, expected %s", option->name,
                  found, allowed);
    return false;
}

static bool check_values(struct expansion *all, const struct bs_option *option,
                         const struct axis *axis, void *room)
{
    bool good = num_values(axis) > 0;
    if (!good)
        bs_report_add(all->report, axis->values->line, axis->values->column,
                      "%s is an empty list, expected at least one value", axis->name);
    for (int i = 0; i < num_values(axis); i++)
        good &= check_value(all, option, axis_value(axis, i), room);
    return good;
}

/* Room for `count` more axes. */
static enum bs_status reserve_axes(struct expansion *all, struct grid *grid, int count)
{
    int wanted = grid->num_axes + count;
    if (wanted <= grid->axes_capacity)
        return BS_OK;
    struct axis *grown =
        bs_realloc(grid->axes, (size_t)grid->num_axes, (size_t)wanted, sizeof *grown);
    if (!grown)
        return bs_fail_memory(all->err);
    grid->axes = grown;
    grid->axes_capacity = wanted;
    return BS_OK;
}

static void keep_axis(struct grid *grid, struct axis axis, bool good)
{
    if (good)
        grid->axes[grid->num_axes++] = axis;
    else
        grid->broken = true;
}

static enum bs_use use_of(enum target target)
{
    return target == TARGET_WEIGHTS ? BS_FOR_WEIGHTS : BS_FOR_ACTIVATIONS;
}

/* The keys of `weights:` or `activations:`. */
static void add_setting_names(struct bs_names *names, enum target target)
{
    for (int k = 0; bs_setting_keys[k].name; k++)
        bs_names_add(names, bs_setting_keys[k].name);
    for (int i = 0; bs_format_registry.rows[i]; i++)
        bs_names_add_options(names, bs_format_registry.rows[i]->options);
    for (int i = 0; bs_range_registry.rows[i]; i++)
        bs_names_add_options(names, bs_range_registry.rows[i]->options);
    bs_names_add_options(names,
                         target == TARGET_WEIGHTS ? bs_weights_options : bs_activations_options);
}

/* The first option of this name that anything of a setting has, and the struct for its value. */
static const struct bs_option *setting_option(const char *name, enum target target,
                                              struct bs_choice *room, struct bs_error *err)
{
    const struct bs_registry *const registries[] = {&bs_format_registry, &bs_range_registry};
    *room = (struct bs_choice){.plugin = NULL};
    for (int r = 0; r < 2; r++)
        for (int i = 0; registries[r]->rows[i]; i++) {
            const struct bs_plugin *plugin = registries[r]->rows[i];
            const struct bs_option *option = bs_option_find(plugin->options, name);
            if (option)
                return bs_choice_init(room, plugin, err) ? NULL : option;
        }
    return bs_option_find(target == TARGET_WEIGHTS ? bs_weights_options : bs_activations_options,
                          name);
}

/* Names of formats or of ranges. */
static enum bs_status check_plugins(struct expansion *all, const struct axis *axis, bool *good)
{
    enum bs_status status = BS_OK;
    *good = num_values(axis) > 0;
    if (!*good)
        bs_report_add(all->report, axis->values->line, axis->values->column,
                      "%s is an empty list, expected at least one value", axis->name);
    for (int i = 0; i < num_values(axis) && status != BS_ENOMEM; i++) {
        const struct bs_yaml_node *value = axis_value(axis, i);
        struct bs_setting room;
        bs_setting_init(&room);
        status = bs_setting_set(&room, use_of(axis->target), axis->name,
                                value->text ? value->text : "", all->err);
        if (status) {
            bs_report_add(all->report, value->line, value->column, "%s", all->err->message);
            *good = false;
        }
        bs_setting_release(&room);
    }
    return status == BS_ENOMEM ? status : BS_OK;
}

static bool is_plugin_key(const char *name)
{
    return !strcmp(name, "format") || !strcmp(name, "range");
}

/* One key of `weights:` or `activations:`. */
static enum bs_status read_setting_key(struct expansion *all, struct grid *grid, enum target target,
                                       const struct bs_yaml_node *name,
                                       const struct bs_yaml_node *values,
                                       const struct bs_names *names)
{
    struct axis axis = {target, name->text, values};
    if (is_plugin_key(name->text)) {
        bool good;
        enum bs_status status = check_plugins(all, &axis, &good);
        keep_axis(grid, axis, good);
        return status;
    }
    struct bs_setting own;
    struct bs_choice room;
    bs_setting_init(&own);
    all->err->status = BS_OK;
    const struct bs_option *option = setting_option(name->text, target, &room, all->err);
    if (!option && all->err->status == BS_ENOMEM)
        return BS_ENOMEM;
    if (option) {
        void *values_of = room.plugin ? room.options : &own;
        keep_axis(grid, axis, check_values(all, option, &axis, values_of));
    } else {
        bs_report_unknown_key(all->report, name->line, name->column, name->text, names, "");
        grid->broken = true;
    }
    bs_choice_release(&room);
    return BS_OK;
}

/* The axes of `weights:` or `activations:`. */
static enum bs_status read_setting(struct expansion *all, struct grid *grid, const char *key,
                                   enum target target)
{
    const struct bs_yaml_node *node = bs_yaml_get(grid->node, key);
    if (!node)
        return BS_OK;
    struct bs_names names = {0};
    add_setting_names(&names, target);
    if (node->kind != BS_YAML_MAPPING || node->num_items == 0) {
        char found[FOUND_TEXT], list[LIST_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_names_print(&names, "", list, sizeof list);
        bs_report_add(all->report, node->line, node->column, "%s is %s, expected a mapping with %s",
                      key, node->kind == BS_YAML_MAPPING ? "empty" : found, list);
        grid->broken = true;
        return BS_OK;
    }
    enum bs_status status = reserve_axes(all, grid, node->num_items / 2);
    for (int i = 0; !status && i < node->num_items; i += 2)
        if (node->items[i]->text)
            status =
                read_setting_key(all, grid, target, node->items[i], node->items[i + 1], &names);
    return status;
}

static bool grid_names(const struct grid *grid, const struct bs_algorithm *algorithm)
{
    for (int c = 0; c < grid->num_chains; c++)
        for (int s = 0; s < grid->chains[c].recipe.num_stages; s++)
            if (grid->chains[c].recipe.stages[s].plugin == &algorithm->plugin)
                return true;
    return false;
}

/* Says what was perhaps meant by a key that no algorithm of the grid knows. */
static void unknown_grid_key(struct expansion *all, struct grid *grid,
                             const struct bs_yaml_node *key)
{
    struct bs_names names = {0};
    for (int k = 0; bs_sweep_keys[k].name; k++)
        bs_names_add(&names, bs_sweep_keys[k].name);
    char hint[FOUND_TEXT] = "";
    if (bs_setting_knows(BS_FOR_WEIGHTS, key->text))
        snprintf(hint, sizeof hint, "; it belongs under weights");
    else if (bs_setting_knows(BS_FOR_ACTIVATIONS, key->text))
        snprintf(hint, sizeof hint, "; it belongs under activations");
    for (int a = 0; bs_algorithm_at(a); a++) {
        if (grid->unknown_algorithm || grid_names(grid, bs_algorithm_at(a)))
            bs_names_add_options(&names, bs_algorithm_at(a)->plugin.options);
        else if (!hint[0] && bs_option_find(bs_algorithm_at(a)->plugin.options, key->text))
            snprintf(hint, sizeof hint, "; it is an option of %s, which this grid does not name",
                     bs_algorithm_at(a)->plugin.name);
    }
    bs_report_unknown_key(all->report, key->line, key->column, key->text, &names, hint);
    grid->broken = true;
}

/* An axis over an option of algorithms; the value must suit each of them that has it. */
static enum bs_status read_option(struct expansion *all, struct grid *grid,
                                  const struct bs_yaml_node *key, const struct bs_yaml_node *values)
{
    struct axis axis = {TARGET_STAGES, NULL, values};
    bool good = true;
    for (int a = 0; bs_algorithm_at(a); a++) {
        const struct bs_algorithm *algorithm = bs_algorithm_at(a);
        const struct bs_option *option = bs_option_find(algorithm->plugin.options, key->text);
        if (!option || !(grid->unknown_algorithm || grid_names(grid, algorithm)))
            continue;
        void *room = bs_calloc(1, algorithm->plugin.options_size);
        if (!room)
            return bs_fail_memory(all->err);
        axis.name = option->name;
        good &= check_values(all, option, &axis, room);
        bs_free(room);
    }
    if (axis.name)
        keep_axis(grid, axis, good);
    else
        unknown_grid_key(all, grid, key);
    return BS_OK;
}

/* Formats first, whatever the order of the file: the axes as a reader lists them. */
static enum bs_status read_axes(struct expansion *all, struct grid *grid)
{
    struct bs_recipe room;
    bs_recipe_init(&room);
    enum bs_status status = read_setting(all, grid, "weights", TARGET_WEIGHTS);
    if (!status)
        status = read_setting(all, grid, "activations", TARGET_ACTIVATIONS);
    if (!status)
        status = reserve_axes(all, grid, grid->node->num_items / 2);
    for (int i = 0; !status && i < grid->node->num_items; i += 2) {
        const struct bs_yaml_node *key = grid->node->items[i], *values = grid->node->items[i + 1];
        if (!key->text || !strcmp(key->text, "algorithm") || !strcmp(key->text, "model") ||
            !strcmp(key->text, "weights") || !strcmp(key->text, "activations"))
            continue;
        const struct bs_option *option = bs_option_find(bs_recipe_options, key->text);
        if (option) {
            struct axis axis = {TARGET_RECIPE, option->name, values};
            keep_axis(grid, axis, check_values(all, option, &axis, &room));
        } else {
            status = read_option(all, grid, key, values);
        }
    }
    return status;
}

/* ---- the product ---- */

static bool axis_applies(const struct axis *axis, const struct bs_recipe *recipe)
{
    if (axis->target != TARGET_STAGES)
        return true;
    for (int s = 0; s < recipe->num_stages; s++)
        if (bs_option_find(recipe->stages[s].plugin->options, axis->name))
            return true;
    return false;
}

/* Points of the product, or more than BS_MAX_RECIPES where it exceeds that. */
static long count_points(const struct grid *grid, const struct bs_recipe *recipe)
{
    long points = 1;
    for (int a = 0; a < grid->num_axes && points <= BS_MAX_RECIPES; a++)
        if (axis_applies(&grid->axes[a], recipe))
            points *= num_values(&grid->axes[a]);
    return points;
}

static void set_option(const struct bs_option *options, const struct axis *axis, const char *text,
                       void *values)
{
    struct bs_error ignored; /* the value was checked when the axis was read */
    const struct bs_option *option = bs_option_find(options, axis->name);
    if (option)
        bs_option_parse(option, text, values, &ignored);
}

/* Every value was checked when its axis was read: only memory may run out. */
static enum bs_status apply(const struct axis *axis, const char *text, struct bs_recipe *recipe,
                            struct bs_error *err)
{
    switch (axis->target) {
    case TARGET_WEIGHTS:
        return bs_setting_set(&recipe->weights, BS_FOR_WEIGHTS, axis->name, text, err);
    case TARGET_ACTIVATIONS:
        return bs_setting_set(&recipe->activations, BS_FOR_ACTIVATIONS, axis->name, text, err);
    case TARGET_RECIPE:
        set_option(bs_recipe_options, axis, text, recipe);
        break;
    case TARGET_STAGES:
        for (int s = 0; s < recipe->num_stages; s++)
            set_option(recipe->stages[s].plugin->options, axis, text, recipe->stages[s].options);
        break;
    }
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
    enum bs_status status = digest_recipe(recipe, &digest, all->err);
    if (!status && found->count == found->capacity)
        status = grow(found, all->err);
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
    if (bs_report_has(all->report, chain->node->line, chain->node->column, reason))
        return;
    char *label = bs_recipe_text(recipe, bs_recipe_print_label);
    bs_report_add(all->report, chain->node->line, chain->node->column, "%s (recipe '%s')", reason,
                  label ? label : "");
    bs_free(label);
}

/* Sets the axes that choose plug-ins, or those of their options. */
static enum bs_status apply_axes(const struct grid *grid, bool plugins, long point,
                                 struct bs_recipe *recipe, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int a = grid->num_axes - 1; a >= 0 && !status; a--) {
        const struct axis *axis = &grid->axes[a];
        if (!axis_applies(axis, recipe))
            continue;
        bool setting = axis->target == TARGET_WEIGHTS || axis->target == TARGET_ACTIVATIONS;
        if ((setting && is_plugin_key(axis->name)) == plugins)
            status =
                apply(axis, axis_value(axis, (int)(point % num_values(axis)))->text, recipe, err);
        point /= num_values(axis);
    }
    return status;
}

/* One point: the chain's recipe with the values of each axis, the last axis the fastest. */
static enum bs_status add_point(struct expansion *all, const struct grid *grid,
                                const struct chain *chain, long point)
{
    struct bs_recipe recipe;
    enum bs_status status = bs_recipe_copy(&recipe, &chain->recipe, all->err);
    if (status)
        return status;
    status = apply_axes(grid, true, point, &recipe, all->err);
    if (!status)
        status = apply_axes(grid, false, point, &recipe, all->err);
    if (!status)
        status = bs_recipe_resolve(&recipe, all->err);
    if (status == BS_ENOMEM) {
        bs_recipe_release(&recipe);
        return status;
    }
    if (status && !grid->broken)
        refuse(all, chain, &recipe, all->err->message);
    if (bs_recipe_needs_calibration(&recipe) && !all->has_calibration)
        refuse(all, chain, &recipe,
               "calibration is missing, expected a section calibration: {text: ...}");
    if (!status && !grid->broken)
        return collect(all, &recipe, grid->models);
    bs_recipe_release(&recipe);
    return BS_OK;
}

static enum bs_status multiply(struct expansion *all, const struct grid *grid)
{
    for (int c = 0; c < grid->num_chains; c++) {
        const struct chain *chain = &grid->chains[c];
        if (chain->recipe.num_stages == 0) /* its names were all unknown */
            continue;
        long points = count_points(grid, &chain->recipe);
        if (points + all->found.count > BS_MAX_RECIPES) {
            bs_report_add(all->report, chain->node->line, chain->node->column,
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

static enum bs_status add_unquantized(struct expansion *all)
{
    struct bs_recipe recipe;
    bs_recipe_init(&recipe);
    enum bs_status status = bs_recipe_resolve(&recipe, all->err);
    return !status ? collect(all, &recipe, ~UINT64_C(0)) : status;
}

static enum bs_status expand_grid(struct expansion *all, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_MAPPING) {
        char found[FOUND_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_report_add(all->report, node->line, node->column,
                      "%s in sweep, expected a grid: a mapping with algorithm", found);
        return BS_OK;
    }
    struct grid grid = {.node = node};
    read_models(all, &grid);
    enum bs_status status = read_chains(all, &grid);
    if (!status)
        status = read_axes(all, &grid);
    if (!status)
        status = multiply(all, &grid);
    grid_release(&grid);
    return status;
}

enum bs_status bs_sweep_expand(const struct bs_yaml_node *sweep, bool has_calibration,
                               struct bs_report *report, struct bs_config *config,
                               struct bs_error *err)
{
    struct expansion all = {
        .has_calibration = has_calibration, .config = config, .report = report, .err = err};
    if (sweep->kind != BS_YAML_SEQUENCE || sweep->num_items == 0) {
        char found[FOUND_TEXT];
        bs_yaml_print_found(sweep, found, sizeof found);
        bs_report_add(report, sweep->line, sweep->column, "sweep is %s, expected a list of grids",
                      sweep->kind == BS_YAML_SEQUENCE ? "an empty list" : found);
        return BS_OK;
    }
    enum bs_status status = add_unquantized(&all);
    for (int g = 0; !status && g < sweep->num_items; g++)
        status = expand_grid(&all, sweep->items[g]);
    bs_free(all.found.digests);
    if (status) {
        bs_recipes_free(all.found.recipes, all.found.count);
        bs_free(all.found.models);
        return status;
    }
    config->recipes = all.found.recipes;
    config->recipe_models = all.found.models;
    config->num_recipes = all.found.count;
    return BS_OK;
}
