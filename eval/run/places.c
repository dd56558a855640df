#include "eval/run/places.h"

#include <string.h>

#include "eval/base/listing.h"
#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/hub/hub.h"
#include "eval/quant/format.h"
#include "eval/quant/mix.h"
#include "eval/recipe/assign.h"

enum { CELL_TEXT = 64, LINE_TEXT = 1200 };

static enum bs_status print_model(const char *model, const struct bs_architecture *a, FILE *out,
                                  struct bs_error *err)
{
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(&a->program, places);
    struct bs_listing listing = {.head = {"layers", "place", "kind", "shape"}};
    char layers[CELL_TEXT], shape[CELL_TEXT];
    snprintf(layers, sizeof layers, "0-%d", a->num_layers - 1);
    for (int i = 0; i < count; i++) {
        const char *rows = places[i].out ? "" : "tokens";
        snprintf(shape, sizeof shape, "%s%.0d x %d", rows, places[i].out, places[i].width);
        bs_listing_add(&listing,
                       (const char *const[]){layers, places[i].name, places[i].kind, shape});
    }
    struct bs_place outer[BS_NUM_OUTER];
    bs_outer_places(a, outer);
    for (int w = 0; w < BS_NUM_OUTER; w++) {
        snprintf(shape, sizeof shape, "%d x %d", outer[w].out, outer[w].width);
        bs_listing_add(&listing, (const char *const[]){a->tied_head ? "one tensor" : "-",
                                                       outer[w].name, outer[w].kind, shape});
    }
    bs_print_folded(out, bs_terminal_limit(out), "%s (%s)", model, a->family->model_type);
    bool whole = bs_listing_print(&listing, false, out);
    bs_listing_release(&listing);
    return whole ? BS_OK : bs_fail_memory(err);
}

/* ---- what mixes make of the weights ---- */

static const char *format_name(const struct bs_setting *setting)
{
    return bs_setting_quantizes(setting) ? setting->format.plugin->name : "none";
}

/* "0-2,5": the layers in which a slot has the format that it has in layer `like`; "" where an
 * earlier layer has it too. */
static void print_layers(const struct bs_recipe *recipe, const struct bs_architecture *a, int slot,
                         int like, char *text, size_t size)
{
    const char *wanted = NULL;
    size_t used = 0;
    int first = -1;
    struct bs_assignment at;
    bs_recipe_assign(recipe, a, like, &at);
    wanted = format_name(at.weights[slot]);
    text[0] = '\0';
    for (int layer = 0; layer <= a->num_layers; layer++) {
        if (layer < a->num_layers)
            bs_recipe_assign(recipe, a, layer, &at);
        bool has = layer < a->num_layers && !strcmp(format_name(at.weights[slot]), wanted);
        if (has && layer < like)
            return;
        if (has && first < 0)
            first = layer;
        if (has || first < 0)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%d", used ? "," : "", first);
        used = used < size ? used : size - 1;
        if (layer - 1 > first)
            used += (size_t)snprintf(text + used, size - used, "-%d", layer - 1);
        used = used < size ? used : size - 1;
        first = -1;
    }
}

/* A row of a mix: a weight [out][in]. */
static void add_mixed(struct bs_listing *listing, const char *place,
                      const struct bs_setting *setting, int out, int in, const char *layers)
{
    struct bs_code_layout layout = {.bits = 0};
    struct bs_error ignored; /* the rules were checked */
    char bits[CELL_TEXT] = "-";
    if (bs_setting_quantizes(setting) && !bs_setting_lay(setting, out, in, &layout, &ignored))
        snprintf(bits, sizeof bits, "%.4g", layout.bits / out / in);
    bs_listing_add(listing, (const char *const[]){place, format_name(setting), bits, layers});
}

static enum bs_status print_mix(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                FILE *out, struct bs_error *err)
{
    struct bs_listing listing = {.head = {"place", "format", "bits", "layers"}};
    struct bs_assignment at;
    struct bs_outer_assignment outer;
    struct bs_place places[BS_NUM_OUTER];
    char layers[LINE_TEXT];
    for (int s = 0; s < a->program.num_slots; s++)
        for (int layer = 0; layer < a->num_layers; layer++) {
            const struct bs_slot *slot = &a->program.slots[s];
            print_layers(recipe, a, s, layer, layers, sizeof layers);
            bs_recipe_assign(recipe, a, layer, &at);
            if (layers[0])
                add_mixed(&listing, slot->name, at.weights[s], slot->out, slot->in, layers);
        }
    bs_outer_places(a, places);
    bs_recipe_assign_outer(recipe, a, &outer);
    for (int w = 0; w < BS_NUM_OUTER; w++)
        add_mixed(&listing, places[w].name, outer.of[w], places[w].out, places[w].width,
                  a->tied_head ? "one tensor" : "-");
    fprintf(out, "mix %s%s\n", bs_mix_words[recipe->weights.mix],
            bs_recipe_weighs(recipe) ? ", by importance" : "");
    bool whole = bs_listing_print(&listing, false, out);
    bs_listing_release(&listing);
    return whole ? BS_OK : bs_fail_memory(err);
}

/* Of every mix that a recipe has, once. */
static enum bs_status print_mixes(const struct bs_config *config, const struct bs_architecture *a,
                                  FILE *out, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int r = 0; r < config->num_recipes && !status; r++) {
        const struct bs_recipe *recipe = &config->recipes[r];
        bool seen = !recipe->weights.mix;
        for (int k = 0; k < r; k++)
            seen |= bs_setting_equal(&config->recipes[k].weights, &recipe->weights);
        if (!seen)
            status = print_mix(recipe, a, out, err);
    }
    return status;
}

enum bs_status bs_places_print(const struct bs_config *config, uint64_t wanted, FILE *out,
                               struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int m = 0; m < config->num_models && !status; m++) {
        struct bs_architecture architecture;
        struct bs_remarks remarks = {.notices = {.count = 0}};
        char *directory = NULL;
        if (!(wanted >> m & 1))
            continue;
        status = bs_hub_model(config->model_places[m], config->folder, &directory, err);
        if (!status)
            status = bs_architecture_read(directory, &config->accept_unknown, &architecture,
                                          &remarks, err);
        if (!status)
            status = print_model(config->models[m], &architecture, out, err);
        if (!status)
            status = print_mixes(config, &architecture, out, err);
        bs_remarks_release(&remarks);
        bs_free(directory);
    }
    if (!status)
        bs_print_folded(out, bs_terminal_limit(out),
                        "`where` takes a place (in all layers), layer[0,2-5,-1].PLACE, a kind of "
                        "site, and * for any letters; embedding and head by their names alone, "
                        "and where they are one tensor a rule for either is for both");
    return status;
}

/* Where the rule stands, or which recipe it is of. */
static char *place_in_config(const struct bs_config *config, const struct bs_recipe *recipe,
                             const struct bs_rule *rule)
{
    if (rule && rule->line)
        return bs_printf("%s:%d:%d: error", config->path, rule->line, rule->column);
    char *label = bs_recipe_text(recipe, bs_recipe_print_label);
    char *place = label ? bs_printf("%s: error: recipe '%s'", config->path, label) : NULL;
    bs_free(label);
    return place;
}

/* Appends a line that is not there yet, where there is room for it. */
static void add_line(struct bs_error *all, const char *line)
{
    size_t used = strlen(all->message), length = strlen(line);
    if (strstr(all->message, line) || used + length + 2 > sizeof all->message)
        return;
    snprintf(all->message + used, sizeof all->message - used, "%s%s", used ? "\n" : "", line);
}

enum bs_status bs_places_check(const struct bs_config *config, int model,
                               const struct bs_architecture *architecture, struct bs_error *err)
{
    struct bs_error all = {.status = BS_OK};
    for (int r = 0; r < config->num_recipes; r++) {
        const struct bs_recipe *recipe = &config->recipes[r];
        const struct bs_rule *rule;
        if (!bs_config_wants(config, r, model) ||
            !bs_recipe_check_places(recipe, architecture, &rule, err))
            continue;
        if (err->status != BS_ECONFIG)
            return err->status;
        char *place = place_in_config(config, recipe, rule);
        char *line = place ? bs_printf("%s: %s", place, err->message) : NULL;
        bs_free(place);
        if (!line)
            return bs_fail_memory(err);
        add_line(&all, line);
        all.status = BS_ECONFIG;
        bs_free(line);
    }
    if (all.status)
        *err = all;
    return all.status;
}
