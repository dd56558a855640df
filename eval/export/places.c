#include "eval/export/places.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/gguf_target.h"
#include "eval/recipe/assign.h"

void bs_export_places_release(struct bs_export_places *places)
{
    for (int i = 0; i < places->count; i++)
        bs_free(places->items[i].module);
    bs_free(places->items);
    *places = (struct bs_export_places){.count = 0};
}

struct bs_export_place *bs_export_places_find(struct bs_export_places *places, const char *module)
{
    int i = 0;
    while (i < places->count - 1 && strcmp(places->items[i].module, module))
        i++;
    return &places->items[i];
}

enum bs_status bs_export_refuse(const struct bs_export_place *place, struct bs_error *err,
                                const char *format, ...)
{
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    return bs_fail(err, BS_EUNSUPPORTED, "%s: %s", place->module, reason);
}

const char *bs_export_option(const struct bs_setting *setting, const char *key,
                             char text[BS_EXPORT_TEXT])
{
    return bs_setting_text(setting, key, text, BS_EXPORT_TEXT);
}

bool bs_export_says(const struct bs_setting *setting, const char *key, const char *word)
{
    char text[BS_EXPORT_TEXT];
    return !strcmp(bs_export_option(setting, key, text), word);
}

int bs_export_number(const struct bs_setting *setting, const char *key)
{
    char text[BS_EXPORT_TEXT];
    return (int)strtol(bs_export_option(setting, key, text), NULL, 10); /* 0 of a word */
}

enum bs_status bs_export_check_input(const struct bs_export_place *place,
                                     const char *const (*options)[2], struct bs_error *err)
{
    char text[BS_EXPORT_TEXT];
    for (; (*options)[0]; options++)
        if (!bs_export_says(place->input, (*options)[0], (*options)[1]))
            return bs_export_refuse(
                place, err,
                "its input is quantized with %s: %s, and whoever reads the layout quantizes it "
                "anew as it runs, with %s: %s: expected that in the recipe's activations",
                (*options)[0], bs_export_option(place->input, (*options)[0], text), (*options)[0],
                (*options)[1]);
    return BS_OK;
}

bool bs_export_is(const struct bs_setting *setting, const char *format)
{
    return setting && !strcmp(setting->format.plugin->name, format);
}

static bool step_says(const struct bs_choice *step, const char *key, const char *word)
{
    char text[BS_EXPORT_TEXT];
    const struct bs_option *option = bs_option_find(step->plugin->options, key);
    if (!option)
        return false;
    bs_option_print(option, step->options, text, sizeof text);
    return !strcmp(text, word);
}

bool bs_export_orders_groups(const struct bs_recipe *recipe, const struct bs_export_place *place)
{
    bool orders = false;
    for (int s = 0; s < recipe->num_steps; s++)
        orders |= step_says(&recipe->steps[s], "act_order", "true") &&
                  step_says(&recipe->steps[s], "static_groups", "false");
    return orders && place->weights && bs_export_number(place->weights, "group_size") > 0;
}

/* ---- the list ---- */

static const struct bs_setting *if_any(const struct bs_setting *setting)
{
    return bs_setting_quantizes(setting) ? setting : NULL;
}

static bool same(const struct bs_setting *a, const struct bs_setting *b)
{
    return !a || !b ? a == b : bs_setting_equal(a, b);
}

/* What stands in one tensor is rounded as one. */
static enum bs_status check_joined(const struct bs_stored_linear *stored,
                                   const struct bs_assignment *at, const struct bs_program *p,
                                   struct bs_error *err)
{
    if (stored->stacked)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: the checkpoint keeps experts in one tensor of three dimensions, which "
                       "no layout has codes for",
                       stored->module);
    for (int s = stored->first; s <= stored->last; s++)
        if (!same(if_any(at->weights[s]), if_any(at->weights[stored->first])))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: '%s' and '%s' stand in one tensor and are rounded each in its own "
                           "way",
                           stored->module, p->slots[stored->first].name, p->slots[s].name);
    return BS_OK;
}

/* Values are quantized where a model is served only as they go into linears. */
static enum bs_status check_sites(const struct bs_assignment *at, const struct bs_program *p,
                                  int layer, struct bs_error *err)
{
    for (int v = 0; v < p->num_values; v++)
        if (p->values[v].name && !bs_is_input(&p->values[v]) && if_any(at->sites[v]))
            return bs_fail(
                err, BS_EUNSUPPORTED,
                "layer %d, %s: the recipe quantizes values there, and a folder says only "
                "how inputs of linears are",
                layer, p->values[v].name);
    return BS_OK;
}

static enum bs_status add(struct bs_export_places *places, const char *module,
                          const struct bs_export_place *place, struct bs_error *err)
{
    struct bs_export_place *to = &places->items[places->count];
    *to = *place;
    to->module = bs_strdup(module);
    if (!to->module)
        return bs_fail_memory(err);
    places->count++;
    return BS_OK;
}

static enum bs_status add_layer(const struct bs_export *export, int layer,
                                struct bs_stored_linear *list, struct bs_export_places *places,
                                struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(export->model);
    const struct bs_program *p = bs_program_of(a, layer);
    struct bs_assignment at;
    bs_recipe_assign(export->recipe, a, layer, &at);
    if (check_sites(&at, p, layer, err))
        return err->status;
    int count = bs_stored_linears(export->model, layer, list);
    for (int k = 0; k < count; k++) {
        const struct bs_stored_linear *l = &list[k];
        const struct bs_export_place place = {.weights = if_any(at.weights[l->first]),
                                              .input = if_any(at.sites[p->slots[l->first].input]),
                                              .out = l->out,
                                              .in = l->in,
                                              .transposed = l->transposed};
        if (check_joined(l, &at, p, err) || add(places, l->module, &place, err))
            return err->status;
    }
    return BS_OK;
}

/* Head and embedding. */
static enum bs_status add_outer(const struct bs_export *export, struct bs_export_places *places,
                                struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(export->model);
    const struct bs_tensor *embedding = bs_model_outer_tensor(export->model, BS_EMBEDDING);
    char module[BS_STORED_NAME_BYTES];
    struct bs_outer_assignment outer;
    struct bs_export_place place = {.out = a->vocab_size, .in = a->embedding_size};
    bs_recipe_assign_outer(export->recipe, a, &outer);
    bs_stored_head(export->model, module);
    place.weights = a->tied_head ? NULL : if_any(outer.of[BS_HEAD]);
    places->outer[BS_HEAD] = places->count;
    places->outer[BS_EMBEDDING] = -1;
    if (add(places, module, &place, err))
        return err->status;
    place.weights = if_any(outer.of[BS_EMBEDDING]);
    if (!place.weights)
        return BS_OK;
    places->outer[BS_EMBEDDING] = places->count;
    int length = (int)(strlen(embedding->name) - strlen(".weight"));
    snprintf(module, sizeof module, "%.*s", length, embedding->name);
    return add(places, module, &place, err);
}

enum bs_status bs_export_places_list(const struct bs_export *export,
                                     struct bs_export_places *places, struct bs_error *err)
{
    const struct bs_architecture *a = bs_model_architecture(export->model);
    if (bs_model_quantizes_inputs(export->model))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: the model quantizes inputs of its linears in every run, which what is "
                       "written would leave out; export the model that it was made from",
                       bs_model_directory(export->model));
    size_t most = (size_t)bs_total_linears(a) + BS_NUM_OUTER;
    struct bs_stored_linear *list = bs_alloc(BS_MAX_SLOTS, sizeof *list);
    *places = (struct bs_export_places){.items = bs_calloc(most, sizeof *places->items)};
    enum bs_status status = list && places->items ? BS_OK : bs_fail_memory(err);
    for (int layer = 0; layer < a->num_layers && !status; layer++)
        status = add_layer(export, layer, list, places, err);
    if (!status)
        status = add_outer(export, places, err);
    bs_free(list);
    if (status)
        bs_export_places_release(places);
    return status;
}
