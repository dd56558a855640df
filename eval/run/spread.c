#include "eval/run/spread.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/sweep.h"
#include "eval/hub/hub.h"
#include "eval/recipe/assign.h"

void bs_spread_release(struct bs_spread_places *places)
{
    for (int i = 0; i < places->count; i++)
        bs_free(places->list[i].where);
    bs_free(places->list);
    *places = (struct bs_spread_places){.count = 0};
}

/* Of an expert's linear "mlp.experts.*.down_proj", which the other experts have too. */
static char *name_of(const struct bs_slot *slot)
{
    const char *rest = slot->expert < 0 ? NULL : strstr(slot->name, ".0.");
    return rest ? bs_printf("%.*s.*%s", (int)(rest - slot->name), slot->name, rest + 2)
                : bs_strdup(slot->name);
}

/* Adds the patterns of one linear of a layer (-1: of all) to the place's. */
static enum bs_status add_pattern(struct bs_spread_place *place, const struct bs_slot *slot,
                                  int layer, struct bs_error *err)
{
    char *name = name_of(slot), *before = place->where, *where = NULL;
    const char *so_far = before ? before : "", *blank = before ? " " : "";
    if (name)
        where = layer < 0 ? bs_printf("%s%s%s", so_far, blank, name)
                          : bs_printf("%s%slayer[%d].%s", so_far, blank, layer, name);
    bs_free(name);
    if (!where)
        return bs_fail_memory(err);
    bs_free(before);
    place->where = where;
    return BS_OK;
}

static struct bs_spread_place *add_place(struct bs_spread_places *places, int block, int slot)
{
    size_t count = (size_t)places->count;
    struct bs_spread_place *grown = bs_realloc(places->list, count, count + 1, sizeof *grown);
    if (!grown)
        return NULL;
    places->list = grown;
    grown[count] = (struct bs_spread_place){.block = block, .slot = slot};
    return &grown[places->count++];
}

/* The linears that go with one, itself the first of them; none where an earlier one has it, or it
 * is no place. */
static bool group_of(const struct bs_spread_config *spread, const struct bs_program *p, int slot,
                     int *last)
{
    const struct bs_setting *weights[BS_MAX_SLOTS];
    int first;
    for (int s = 0; s < p->num_slots; s++)
        weights[s] = &spread->recipe.weights;
    bool shares = bs_recipe_sharing(p, weights, slot, &first, last);
    if (spread->places == BS_OVER_FUSED)
        bs_program_fused(p, slot, &first, last);
    else if (!shares) /* one scale is for all of them */
        first = *last = slot;
    return first == slot && !p->slots[slot].routes && p->slots[slot].expert <= 0;
}

/* A place for each group of linears of a layer. */
static enum bs_status list_linears(const struct bs_spread_config *spread,
                                   const struct bs_architecture *a, int layer,
                                   struct bs_spread_places *places, struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(a, layer);
    for (int s = 0, last; s < p->num_slots; s++) {
        if (!group_of(spread, p, s, &last))
            continue;
        struct bs_spread_place *place = add_place(places, layer, s);
        if (!place)
            return bs_fail_memory(err);
        for (int k = s; k <= last; k++)
            if (add_pattern(place, &p->slots[k], layer, err))
                return err->status;
    }
    return BS_OK;
}

/* All linears of a layer. */
static enum bs_status list_block(int layer, struct bs_spread_places *places, struct bs_error *err)
{
    struct bs_spread_place *place = add_place(places, layer, -1);
    if (!place || !(place->where = bs_printf("layer[%d].*", layer)))
        return bs_fail_memory(err);
    return BS_OK;
}

/* Adds a place that is the same linears in all blocks, unless it is there. */
static enum bs_status add_role(struct bs_spread_places *places, const struct bs_program *p,
                               int first, int last, struct bs_error *err)
{
    struct bs_spread_place role = {.block = -1, .slot = first};
    enum bs_status status = BS_OK;
    for (int k = first; k <= last && !status; k++)
        status = add_pattern(&role, &p->slots[k], -1, err);
    bool known = false;
    for (int i = 0; i < places->count && role.where; i++)
        known |= !strcmp(places->list[i].where, role.where);
    struct bs_spread_place *place = status || known ? NULL : add_place(places, -1, first);
    if (!status && !known && !place)
        status = bs_fail_memory(err);
    if (place)
        place->where = role.where;
    else
        bs_free(role.where);
    return status;
}

/* Linears by their names, which kinds of layers share. */
static enum bs_status list_roles(const struct bs_spread_config *spread,
                                 const struct bs_architecture *a, struct bs_spread_places *places,
                                 struct bs_error *err)
{
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        for (int s = 0, last; s < p->num_slots; s++)
            if (group_of(spread, p, s, &last) && add_role(places, p, s, last, err))
                return err->status;
    }
    return BS_OK;
}

enum bs_status bs_spread_list(const struct bs_spread_config *spread,
                              const struct bs_architecture *a, struct bs_spread_places *places,
                              struct bs_error *err)
{
    enum bs_status status = BS_OK;
    *places = (struct bs_spread_places){.count = 0};
    if (spread->places == BS_OVER_ROLES)
        status = list_roles(spread, a, places, err);
    for (int l = 0; l < a->num_layers && !status && spread->places != BS_OVER_ROLES; l++)
        status = spread->places == BS_OVER_BLOCKS ? list_block(l, places, err)
                                                  : list_linears(spread, a, l, places, err);
    if (status)
        bs_spread_release(places);
    return status;
}

enum bs_status bs_spread_recipe(const struct bs_spread_config *spread,
                                const struct bs_spread_place *place, struct bs_recipe *recipe,
                                struct bs_error *err)
{
    struct bs_rule *rule;
    if (bs_recipe_copy(recipe, &spread->recipe, err))
        return err->status;
    enum bs_status status = bs_recipe_add_rule(recipe, BS_FOR_WEIGHTS, place->where,
                                               &spread->recipe.weights, &rule, err);
    if (!status) {
        rule->line = spread->line;
        rule->column = spread->column;
        bs_setting_release(&recipe->weights);
        bs_setting_init(&recipe->weights);
        status = bs_recipe_resolve(recipe, err);
    }
    if (status)
        bs_recipe_release(recipe);
    return status;
}

/* Appends the recipes of one spread for one model. */
static enum bs_status open_spread(struct bs_config *config, const struct bs_spread_config *spread,
                                  int model, const struct bs_architecture *a, struct bs_error *err)
{
    struct bs_spread_places places;
    enum bs_status status = bs_spread_list(spread, a, &places, err);
    char at[BS_PLACE_TEXT];
    bs_config_place(config, spread->line, spread->column, at);
    if (!status && config->num_recipes + places.count > BS_MAX_RECIPES)
        status = bs_fail(err, BS_ECONFIG,
                         "%s: error: the sweep has more than %d trials here, expected fewer", at,
                         BS_MAX_RECIPES);
    for (int i = 0; i < places.count && !status; i++) {
        struct bs_recipe recipe;
        status = bs_spread_recipe(spread, &places.list[i], &recipe, err);
        if (!status)
            status =
                bs_config_add_recipe(config, &recipe, UINT64_C(1) << model, spread->texts, err);
    }
    bs_spread_release(&places);
    return status;
}

/* Those of one model. */
static enum bs_status open_model(struct bs_config *config, int model, struct bs_error *err)
{
    struct bs_architecture architecture;
    struct bs_remarks remarks = {.notices = {.count = 0}};
    char *directory = NULL;
    enum bs_status status =
        bs_hub_model(config->model_places[model], config->folder, &directory, err);
    if (!status)
        status =
            bs_architecture_read(directory, &config->accept_unknown, &architecture, &remarks, err);
    for (int i = 0; i < config->num_spreads && !status; i++)
        if (config->spreads[i].models >> model & 1)
            status = open_spread(config, &config->spreads[i], model, &architecture, err);
    bs_remarks_release(&remarks);
    bs_free(directory);
    return status;
}

enum bs_status bs_spread_open(struct bs_config *config, uint64_t wanted, struct bs_error *err)
{
    for (int m = 0; m < config->num_models && config->num_spreads; m++)
        if ((wanted >> m & 1) && (!config->has_reference || m == config->reference) &&
            open_model(config, m, err))
            return err->status;
    return BS_OK;
}
