#include "eval/recipe/assign.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/format.h"
#include "eval/quant/mix.h"
#include "eval/quant/values.h"
#include "eval/recipe/where.h"

enum { PATTERN_TEXT = 256, LIST_TEXT = 512 };

/* The next of the patterns that blanks part; false at the end. */
static bool next_pattern(const char **where, char pattern[PATTERN_TEXT])
{
    *where += strspn(*where, " ");
    size_t length = strcspn(*where, " ");
    snprintf(pattern, PATTERN_TEXT, "%.*s", (int)length, *where);
    *where += length;
    return length > 0;
}

static bool is_weight(const struct bs_place *place) { return place->out > 0; }

/* Routers stay as they are, as in all tools, unless a pattern without a star names them. */
static bool is_router(const struct bs_architecture *a, int layer, const struct bs_place *place)
{
    return is_weight(place) && bs_program_of(a, layer)->slots[place->index].routes;
}

/* So do attention's probabilities, whose rows are of any length: what fits all other sites may not
 * fit them. */
static bool is_named_alone(const struct bs_architecture *a, int layer, const struct bs_place *place)
{
    if (is_weight(place))
        return is_router(a, layer, place);
    return bs_program_of(a, layer)->values[place->index].kind == BS_SITE_PROBABILITIES;
}

static bool pattern_matches(const char *pattern, const struct bs_architecture *a, int layer,
                            const struct bs_place *place)
{
    return bs_where_matches(pattern,
                            &(struct bs_where_place){layer, a->num_layers, place->name,
                                                     is_weight(place) ? NULL : place->kind});
}

/* Whether a pattern of a rule speaks of the place. */
static bool speaks_of(const char *pattern, const struct bs_architecture *a, int layer,
                      const struct bs_place *place)
{
    return pattern_matches(pattern, a, layer, place) &&
           (!is_named_alone(a, layer, place) || !strchr(pattern, '*'));
}

static bool where_matches(const char *where, const struct bs_architecture *a, int layer,
                          const struct bs_place *place)
{
    char pattern[PATTERN_TEXT];
    while (next_pattern(&where, pattern))
        if (speaks_of(pattern, a, layer, place))
            return true;
    return false;
}

/* Whether a rule may be about the place: an exception is one from what the recipe quantizes. */
static bool is_open_to(const struct bs_recipe *recipe, enum bs_use use,
                       const struct bs_architecture *a, int layer, const struct bs_place *place)
{
    if (use == BS_FOR_WEIGHTS || is_weight(place))
        return use == BS_FOR_WEIGHTS && is_weight(place);
    return where_matches(recipe->where ? recipe->where : bs_usual_where, a, layer, place);
}

static const struct bs_setting none = {.format = {.plugin = NULL}};

/* What a linear is to a mix. Of queries, keys and values in one tensor all are as values. */
static enum bs_mix_role role_of(const struct bs_program *p, int slot)
{
    const struct bs_slot *own = &p->slots[slot];
    for (int s = own->first; s <= own->last; s++)
        if (!strcmp(p->slots[s].role, "v"))
            return BS_MIX_VALUE;
    if (!strcmp(own->role, "o"))
        return BS_MIX_OUTPUT;
    bool down = !strcmp(own->role, "down") || !strcmp(own->role, "shared_down");
    return down ? BS_MIX_DOWN : BS_MIX_OTHER;
}

static int heads_sharing(const struct bs_architecture *a) { return a->num_heads / a->num_kv_heads; }

static const struct bs_setting *mixed(const struct bs_setting *setting,
                                      const struct bs_architecture *a, int layer, int slot)
{
    const struct bs_mix_place place = {.role = role_of(bs_program_of(a, layer), slot),
                                       .layer = layer,
                                       .layers = a->num_layers,
                                       .sharing = heads_sharing(a),
                                       .in = bs_program_of(a, layer)->slots[slot].in};
    return bs_mix_setting(setting, &place);
}

/* The setting of the last rule that matches. */
static const struct bs_setting *setting_at(const struct bs_recipe *recipe,
                                           const struct bs_architecture *a, int layer,
                                           const struct bs_place *place)
{
    enum bs_use use = is_weight(place) ? BS_FOR_WEIGHTS : BS_FOR_ACTIVATIONS;
    if (!is_open_to(recipe, use, a, layer, place))
        return &none;
    const struct bs_setting *setting = use != BS_FOR_WEIGHTS        ? &recipe->activations
                                       : is_router(a, layer, place) ? &none
                                                                    : &recipe->weights;
    for (int r = 0; r < recipe->num_rules; r++)
        if (recipe->rules[r].use == use && where_matches(recipe->rules[r].where, a, layer, place))
            setting = &recipe->rules[r].setting;
    return use == BS_FOR_WEIGHTS ? mixed(setting, a, layer, place->index) : setting;
}

void bs_recipe_assign(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                      int layer, struct bs_assignment *assignment)
{
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(bs_program_of(architecture, layer), places);
    for (int s = 0; s < BS_MAX_SLOTS; s++)
        assignment->weights[s] = &none;
    for (int v = 0; v < BS_MAX_VALUES; v++)
        assignment->sites[v] = &none;
    for (int i = 0; i < count; i++) {
        const struct bs_setting *setting = setting_at(recipe, architecture, layer, &places[i]);
        if (is_weight(&places[i]))
            assignment->weights[places[i].index] = setting;
        else
            assignment->sites[places[i].index] = setting;
    }
    const struct bs_program *p = bs_program_of(architecture, layer);
    for (int c = 0; c < BS_NUM_CACHED; c++) {
        int site = bs_program_find(p, bs_cached_names[c]);
        if (site >= 0 && bs_setting_quantizes(&recipe->cache[c]))
            assignment->sites[site] = &recipe->cache[c];
    }
}

/* ---- outside the blocks ---- */

/* Whether a pattern is the place's name; a star speaks of the blocks. */
static bool names_outer(const char *where, const struct bs_place *place)
{
    char pattern[PATTERN_TEXT];
    while (next_pattern(&where, pattern))
        if (!strcmp(pattern, place->name))
            return true;
    return false;
}

/* The setting of the last rule that names one of the places in the set, bits 1 << enum
 * bs_outer. */
static const struct bs_setting *outer_setting(const struct bs_recipe *recipe,
                                              const struct bs_architecture *a, unsigned set)
{
    const struct bs_setting *setting = NULL;
    struct bs_place places[BS_NUM_OUTER];
    bs_outer_places(a, places);
    for (int r = 0; r < recipe->num_rules; r++)
        for (int w = 0; w < BS_NUM_OUTER; w++)
            if (recipe->rules[r].use == BS_FOR_WEIGHTS && set >> w & 1 &&
                names_outer(recipe->rules[r].where, &places[w]))
                setting = &recipe->rules[r].setting;
    return setting;
}

bool bs_recipe_ties(const struct bs_recipe *recipe, const struct bs_architecture *architecture)
{
    return architecture->tied_head && !bs_recipe_turns(recipe);
}

void bs_recipe_assign_outer(const struct bs_recipe *recipe,
                            const struct bs_architecture *architecture,
                            struct bs_outer_assignment *assignment)
{
    const unsigned both = (1u << BS_NUM_OUTER) - 1;
    bool tied = bs_recipe_ties(recipe, architecture);
    for (int w = 0; w < BS_NUM_OUTER; w++) {
        const struct bs_setting *setting =
            outer_setting(recipe, architecture, tied ? both : 1u << w);
        if (!setting && recipe->weights.mix)
            setting = &recipe->weights;
        const struct bs_mix_place place = {.role = w == BS_HEAD || tied ? BS_MIX_HEAD
                                                                        : BS_MIX_EMBEDDING,
                                           .layers = architecture->num_layers,
                                           .sharing = heads_sharing(architecture),
                                           .in = architecture->embedding_size};
        assignment->of[w] = setting ? bs_mix_setting(setting, &place) : &none;
    }
}

struct bs_outer_size bs_recipe_outer_size(const struct bs_recipe *recipe,
                                          const struct bs_architecture *architecture)
{
    struct bs_outer_assignment at;
    struct bs_outer_size size = {0, 0};
    bs_recipe_assign_outer(recipe, architecture, &at);
    int count = bs_recipe_ties(recipe, architecture) ? 1 : BS_NUM_OUTER;
    for (int w = 0; w < count; w++) {
        struct bs_code_layout layout = {.bits = 0};
        struct bs_error ignored; /* that it cannot be laid fails the trial elsewhere */
        if (!bs_setting_quantizes(at.of[w]))
            continue;
        (void)bs_setting_lay(at.of[w], architecture->vocab_size, architecture->embedding_size,
                             &layout, &ignored);
        size.weights += (double)architecture->vocab_size * architecture->embedding_size;
        size.bits += layout.bits;
    }
    return size;
}

/* ---- what cannot be ---- */

/* What places may be called, and the same as a list for people. */
struct place_names {
    const char *names[2 * BS_MAX_KINDS * BS_MAX_PLACES + BS_NUM_OUTER + 1];
    int count;
    char list[LIST_TEXT];
};

/* Adds those of one kind of layer that are not there yet. */
static void add_names(const struct bs_program *p, enum bs_use use, struct place_names *to)
{
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(p, places), before = to->count;
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (int k = 0; k < before; k++)
            known |= !strcmp(to->names[k], places[i].name);
        if (known || is_weight(&places[i]) != (use == BS_FOR_WEIGHTS))
            continue;
        size_t used = strlen(to->list);
        snprintf(to->list + used, sizeof to->list - used, "%s%s", used ? ", " : "", places[i].name);
        to->names[to->count++] = places[i].name;
        if (use == BS_FOR_ACTIVATIONS)
            to->names[to->count++] = places[i].kind;
    }
}

/* What may stand in `where`: names, nearest first in the message, and of sites their kinds. */
static enum bs_status fail_no_place(const char *pattern, enum bs_use use,
                                    const struct bs_architecture *a, struct bs_error *err)
{
    struct place_names at = {.count = 0};
    for (int k = 0; k < a->num_kinds; k++)
        add_names(&a->programs[k], use, &at);
    const char **names = at.names;
    int num_names = at.count;
    char list[LIST_TEXT];
    snprintf(list, sizeof list, "%s", at.list);
    struct bs_place outer[BS_NUM_OUTER];
    bs_outer_places(a, outer);
    for (int w = 0; w < BS_NUM_OUTER && use == BS_FOR_WEIGHTS; w++)
        names[num_names++] = outer[w].name;
    names[num_names] = NULL;
    char *near = bs_where_nearest(pattern, names);
    bs_fail(
        err, BS_ECONFIG,
        "where is '%.80s', which is no place of this model (%s) for %s; there are %s, in layers 0 "
        "to %d%s%s%s%s",
        pattern, a->family->model_type, use == BS_FOR_WEIGHTS ? "weights" : "activations", list,
        a->num_layers - 1, use == BS_FOR_WEIGHTS ? ", and embedding, head" : "",
        near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    bs_free(near);
    return err->status;
}

/* Whether a pattern matches a place of a layer; of an exception one that the recipe is about. Sets
 * *anywhere where any is matched. */
static bool matches_layer(const struct bs_recipe *recipe, enum bs_use use, const char *pattern,
                          bool within, const struct bs_architecture *a, int layer, bool *anywhere)
{
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(bs_program_of(a, layer), places);
    bool any = false;
    for (int i = 0; i < count && !any; i++) {
        bool here = is_weight(&places[i]) == (use == BS_FOR_WEIGHTS) &&
                    speaks_of(pattern, a, layer, &places[i]);
        *anywhere |= here;
        any = here && (!within || is_open_to(recipe, use, a, layer, &places[i]));
    }
    return any;
}

/* Each pattern of `where` matches a place; of an exception (`within`) one that the recipe is
 * about. */
static enum bs_status check_where(const struct bs_recipe *recipe, enum bs_use use,
                                  const char *where, bool within, const struct bs_architecture *a,
                                  struct bs_error *err)
{
    char pattern[PATTERN_TEXT];
    struct bs_place outer[BS_NUM_OUTER];
    bs_outer_places(a, outer);
    while (next_pattern(&where, pattern)) {
        bool any = false, anywhere = false;
        for (int w = 0; w < BS_NUM_OUTER && use == BS_FOR_WEIGHTS; w++)
            any |= names_outer(pattern, &outer[w]);
        if (bs_where_check_layers(pattern, a->num_layers, err))
            return err->status;
        for (int layer = 0; layer < a->num_layers && !any; layer++)
            any = matches_layer(recipe, use, pattern, within, a, layer, &anywhere);
        if (anywhere && !any)
            return bs_fail(err, BS_ECONFIG,
                           "where is '%.80s', a place at which activations stay as they are: "
                           "expected one of those that activations: {where: ...} names (%s)",
                           pattern, recipe->where ? recipe->where : bs_usual_where);
        if (!any)
            return fail_no_place(pattern, use, a, err);
    }
    return BS_OK;
}

bool bs_recipe_sharing(const struct bs_program *program, const struct bs_setting *const *weights,
                       int slot, int *first, int *last)
{
    *first = program->slots[slot].first;
    *last = program->slots[slot].last;
    if (!bs_setting_quantizes(weights[slot]))
        return false;
    struct bs_code_layout layout = bs_setting_layout(weights[slot]);
    if (layout.joined)
        bs_program_fused(program, slot, first, last);
    return layout.tensor_bytes > 0 && *first != *last;
}

/* Linears that stand in one tensor of the checkpoint, or that a format fuses, and share a scale for
 * all of it are rounded as one. */
static enum bs_status check_fused(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                  int layer, struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(a, layer);
    struct bs_assignment at;
    bs_recipe_assign(recipe, a, layer, &at);
    for (int s = 0; s < p->num_slots; s++) {
        int first, last;
        bool shares = bs_recipe_sharing(p, at.weights, s, &first, &last);
        for (int other = first; shares && other <= last; other++)
            if (!bs_setting_equal(at.weights[s], at.weights[other]))
                return bs_fail(err, BS_ECONFIG,
                               "%s and %s are one tensor %s, which has one scale, and get settings "
                               "that differ: expected one setting for both, or groups of columns",
                               p->slots[first].name, p->slots[other == first ? s : other].name,
                               p->slots[s].first != p->slots[s].last ? "of the checkpoint"
                                                                     : "where they are fused");
    }
    return BS_OK;
}

/* A tensor with two uses has one setting; and the format can take its shape. */
static enum bs_status check_outer(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                  struct bs_error *err)
{
    struct bs_place places[BS_NUM_OUTER];
    struct bs_outer_assignment at;
    bs_outer_places(a, places);
    const struct bs_setting *embedding = outer_setting(recipe, a, 1u << BS_EMBEDDING);
    const struct bs_setting *head = outer_setting(recipe, a, 1u << BS_HEAD);
    if (bs_recipe_ties(recipe, a) && embedding && head && !bs_setting_equal(embedding, head))
        return bs_fail(err, BS_ECONFIG,
                       "embedding and head are one tensor of this model (tie_word_embeddings), and "
                       "get settings that differ: expected one setting for both");
    bs_recipe_assign_outer(recipe, a, &at);
    for (int w = 0; w < BS_NUM_OUTER; w++) {
        struct bs_code_layout layout;
        if (bs_setting_quantizes(at.of[w]) &&
            bs_setting_lay(at.of[w], places[w].out, places[w].width, &layout, err))
            return bs_fail_within(err, "%s", places[w].name);
    }
    return BS_OK;
}

/* Formats can take the shapes of a layer's linears, and the rows of probabilities. */
static enum bs_status check_shapes(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                   int layer, struct bs_error *err)
{
    struct bs_assignment at;
    const struct bs_program *p = bs_program_of(a, layer);
    bs_recipe_assign(recipe, a, layer, &at);
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_slot *slot = &p->slots[s];
        struct bs_code_layout layout;
        if (bs_setting_quantizes(at.weights[s]) &&
            bs_setting_lay(at.weights[s], slot->out, slot->in, &layout, err))
            return bs_fail_within(err, "%s", slot->name);
    }
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].kind == BS_SITE_PROBABILITIES && bs_setting_quantizes(at.sites[v]) &&
            bs_probabilities_check(at.sites[v], err))
            return bs_fail_within(err, "%s", p->values[v].name);
    return BS_OK;
}

/* A cache has one format, and the shape of a head fits it. */
static enum bs_status check_cache(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                  int layer, struct bs_error *err)
{
    struct bs_place places[BS_MAX_PLACES];
    const struct bs_program *p = bs_program_of(a, layer);
    int count = bs_program_places(p, places);
    if (!bs_recipe_quantizes_cache(recipe))
        return BS_OK;
    if (a->latent.key_value)
        return bs_fail(
            err, BS_ECONFIG,
            "the cache of this model (%s) holds what keys and values are made of, expected "
            "activations: {where: kv_a}",
            a->family->model_type);
    if (recipe->cache[BS_CACHED_KEYS].pre_rope && a->unit_qk)
        return bs_fail(err, BS_ECONFIG,
                       "keys of this model (%s) are divided by their size after their positions, "
                       "expected pre_rope: false",
                       a->family->model_type);
    for (int i = 0; i < count; i++)
        for (int c = 0; c < BS_NUM_CACHED; c++) {
            const struct bs_value *value = &p->values[places[i].index];
            if (is_weight(&places[i]) || strcmp(places[i].name, bs_cached_names[c]) ||
                !bs_setting_quantizes(&recipe->cache[c]))
                continue;
            if (bs_setting_quantizes(setting_at(recipe, a, layer, &places[i])))
                return bs_fail(
                    err, BS_ECONFIG,
                    "%s is quantized by activations and by kv_cache, expected one of them",
                    places[i].name);
            if (bs_values_check(&recipe->cache[c], value->width, value->heads, err))
                return bs_fail_within(err, "kv_cache.%s", places[i].name);
        }
    return BS_OK;
}

/* Mixes have exceptions for one family that are not among their rules here. */
static enum bs_status check_mixes(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                  struct bs_error *err)
{
    int mix = recipe->weights.mix;
    for (int r = 0; r < recipe->num_rules; r++)
        if (recipe->rules[r].setting.mix)
            mix = recipe->rules[r].setting.mix;
    if (mix && !strcmp(a->family->model_type, "falcon"))
        return bs_fail(err, BS_ECONFIG,
                       "mix %s: llama-quantize has rules of its own for this family (%s), which "
                       "are not known here; expected a format",
                       bs_mix_words[mix], a->family->model_type);
    return BS_OK;
}

enum bs_status bs_recipe_check_places(const struct bs_recipe *recipe,
                                      const struct bs_architecture *architecture,
                                      const struct bs_rule **rule, struct bs_error *err)
{
    *rule = NULL;
    if (bs_recipe_check_model(recipe, architecture, err))
        return err->status;
    if (recipe->where &&
        check_where(recipe, BS_FOR_ACTIVATIONS, recipe->where, false, architecture, err))
        return bs_fail_within(err, "activations");
    for (int r = 0; r < recipe->num_rules; r++) {
        *rule = &recipe->rules[r];
        if (check_where(recipe, (*rule)->use, (*rule)->where, true, architecture, err))
            return err->status;
    }
    if (check_mixes(recipe, architecture, err) || check_outer(recipe, architecture, err))
        return err->status;
    int unlike = bs_recipe_unlike_layers(recipe, architecture);
    for (int layer = 0; layer < unlike; layer++)
        if (check_cache(recipe, architecture, layer, err) ||
            check_fused(recipe, architecture, layer, err) ||
            check_shapes(recipe, architecture, layer, err))
            return bs_fail_within(err, "layer %d", layer);
    return BS_OK;
}
