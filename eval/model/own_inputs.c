/* Inputs of linears that a checkpoint quantizes in every run of its model. It says so linear by
 * linear; the forward pass rounds a value once, for all that read it. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/model_internal.h"

/* As many ways as a checkpoint may quantize inputs in; more are left as they are. */
enum { BS_MOST_OWN_SETTINGS = 64 };

struct bs_own_setting {
    char text[BS_SCHEME_BYTES];
    struct bs_setting setting;
};

/* What there is to say of it. */
struct found {
    struct bs_lines said; /* settings of sites */
    int sites, left;      /* that are quantized; that cannot be, as the checkpoint has it */
    char first[BS_TENSOR_NAME_BYTES]; /* of the latter */
};

void bs_own_inputs_release(struct bs_own_inputs *own, int num_layers)
{
    for (int i = 0; i < own->count; i++)
        bs_setting_release(&own->settings[i].setting);
    for (int l = 0; own->layers && l < num_layers; l++)
        bs_free(own->layers[l]);
    bs_free(own->layers);
    bs_free(own->settings);
    *own = (struct bs_own_inputs){.count = 0};
}

bool bs_model_quantizes_inputs(const struct bs_model *model) { return model->own.layers; }

/* Makes a setting of "format int bits 8". BS_ECONFIG where the parts do not fit together. */
static enum bs_status read_setting(const char *text, struct bs_setting *setting,
                                   struct bs_error *err)
{
    char copy[BS_SCHEME_BYTES], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    bs_setting_init(setting);
    for (char *key = strtok_r(copy, " ", &rest); key; key = strtok_r(NULL, " ", &rest))
        if (bs_setting_set(setting, BS_FOR_ACTIVATIONS, key, strtok_r(NULL, " ", &rest), err))
            return err->status;
    return bs_setting_resolve(setting, BS_FOR_ACTIVATIONS, err) ||
                   bs_setting_check_site(setting, BS_FOR_ACTIVATIONS, err)
               ? err->status
               : BS_OK;
}

/* The setting of this text: *found NULL where there can be none. There is room for one a site. */
static enum bs_status find_setting(struct bs_own_inputs *own, const char *text,
                                   const struct bs_setting **found, struct bs_error *err)
{
    *found = NULL;
    int i = 0;
    while (i < own->count && strcmp(own->settings[i].text, text))
        i++;
    struct bs_own_setting *at = &own->settings[i];
    if (i == own->count) {
        struct bs_error own_error;
        if (i == BS_MOST_OWN_SETTINGS)
            return BS_OK;
        if (read_setting(text, &at->setting, &own_error)) {
            bs_setting_release(&at->setting);
            return own_error.status == BS_ENOMEM ? bs_fail_memory(err) : BS_OK;
        }
        snprintf(at->text, sizeof at->text, "%s", text);
        own->count++;
    }
    *found = &at->setting;
    return BS_OK;
}

/* What the checkpoint does to the inputs of a linear; NULL: nothing. */
static const struct bs_coded_inputs *
inputs_of(const struct bs_model *model, const struct bs_program *p, const char *place, int slot)
{
    struct bs_slot_tensor t;
    bs_slot_tensor(model, p, place, slot, &t);
    const struct bs_tensor *weight = bs_checkpoint_find(model->checkpoint, t.weight);
    const struct bs_coded *coded = weight ? weight->coded : NULL;
    return coded && *coded->inputs.setting ? &coded->inputs : NULL;
}

static bool are_equal(const struct bs_coded_inputs *a, const struct bs_coded_inputs *b)
{
    return a && b && !strcmp(a->setting, b->setting) && a->scale == b->scale && a->zero == b->zero;
}

/* What all that read the value want of it: *any of them, and whether that is the same of each, and
 * nothing but linears reads it. */
static bool agree(const struct bs_model *model, const struct bs_program *p, const char *place,
                  int value, const struct bs_coded_inputs **any)
{
    int slots[BS_MAX_SLOTS], count = bs_program_readers(p, value, slots);
    const struct bs_coded_inputs *first = count ? inputs_of(model, p, place, slots[0]) : NULL;
    bool alike = true;
    *any = first;
    for (int k = 1; k < count; k++) {
        const struct bs_coded_inputs *next = inputs_of(model, p, place, slots[k]);
        alike &= are_equal(first, next);
        *any = *any ? *any : next;
    }
    for (int i = 0; i < p->num_ops; i++)
        for (int k = 0; k < 3; k++)
            alike &= p->ops[i].in[k] != value || p->ops[i].kind == BS_OP_LINEAR;
    return alike && p->values[value].name;
}

/* A value of a layer; `sites` are the layer's. */
static enum bs_status find_site(struct bs_model *model, int layer, const char *place, int value,
                                struct bs_site_setting *sites, struct found *found,
                                struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(&model->architecture, layer);
    const struct bs_value *is = &p->values[value];
    const struct bs_coded_inputs *inputs;
    const struct bs_setting *setting = NULL;
    struct bs_error own_error;
    bool alike = agree(model, p, place, value, &inputs);
    if (!inputs)
        return BS_OK;
    if (alike && find_setting(&model->own, inputs->setting, &setting, err))
        return err->status;
    struct bs_site_setting *site = &sites[value];
    if (!setting || bs_values_check(setting, is->width, is->heads, &own_error) ||
        (setting->sharing == BS_BY_STATIC &&
         bs_values_set(setting, is->width, inputs->scale, inputs->zero, &site->fixed,
                       &own_error))) {
        if (!found->left++)
            snprintf(found->first, sizeof found->first, "layer[%d].%s", layer,
                     is->name ? is->name : "?");
        return BS_OK;
    }
    site->setting = setting;
    site->rounder = bs_rounder_of(setting, bs_draw_place(layer, true, value));
    found->sites++;
    return bs_lines_have(&found->said, inputs->setting)
               ? BS_OK
               : bs_lines_add(&found->said, err, "%s", inputs->setting);
}

static enum bs_status find_layer(struct bs_model *model, int layer, struct found *found,
                                 struct bs_error *err)
{
    const struct bs_program *p = bs_program_of(&model->architecture, layer);
    char place[BS_PLACE_BYTES];
    bs_block_place(model, layer, place);
    struct bs_site_setting *sites = bs_calloc((size_t)p->num_values, sizeof *sites);
    if (!sites)
        return bs_fail_memory(err);
    int before = found->sites;
    for (int v = 0; v < p->num_values; v++)
        if (find_site(model, layer, place, v, sites, found, err)) {
            bs_free(sites);
            return err->status;
        }
    if (found->sites == before) {
        bs_free(sites);
        return BS_OK;
    }
    model->own.layers[layer] = sites;
    return BS_OK;
}

static enum bs_status note(struct bs_model *model, const struct found *found, struct bs_error *err)
{
    struct bs_lines *notices = &model->remarks.notices;
    for (int i = 0; i < found->said.count; i++)
        if (bs_lines_add(notices, err,
                         "the checkpoint quantizes inputs of its linears (%s), and so does every "
                         "pass here but calibration's; `activations` of a recipe takes its place",
                         found->said.lines[i]))
            return err->status;
    return found->left ? bs_lines_add(notices, err,
                                      "inputs at %d more sites (%s) are quantized where this model "
                                      "is served, in a way that bitsweep does not follow or not "
                                      "alike for all that read them: they stay as they are",
                                      found->left, found->first)
                       : BS_OK;
}

/* Whether any matrix that is used has quantized inputs. */
static bool has_any(const struct bs_model *model)
{
    const struct bs_tensor *tensor;
    for (size_t at = 0; (tensor = bs_checkpoint_coded(model->checkpoint, &at));)
        if (*tensor->coded->inputs.setting)
            return true;
    return false;
}

enum bs_status bs_own_inputs_find(struct bs_model *model, struct bs_error *err)
{
    int layers = model->architecture.num_layers;
    struct found found = {.sites = 0};
    enum bs_status status = BS_OK;
    if (!has_any(model))
        return BS_OK;
    model->own.settings = bs_calloc(BS_MOST_OWN_SETTINGS, sizeof *model->own.settings);
    model->own.layers = bs_calloc((size_t)layers, sizeof(struct bs_site_setting *));
    if (!model->own.settings || !model->own.layers)
        status = bs_fail_memory(err);
    for (int l = 0; l < layers && !status; l++)
        status = find_layer(model, l, &found, err);
    if (model->head->coded && *model->head->coded->inputs.setting && !found.left++)
        snprintf(found.first, sizeof found.first, "head"); /* whose input is no site */
    if (!status)
        status = note(model, &found, err);
    if (!status && !found.sites)
        bs_own_inputs_release(&model->own, layers);
    bs_lines_release(&found.said);
    return status;
}
