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

/* The expert that a place is of; -1: none. */
static int expert_of(const struct bs_program *p, const struct bs_place *place)
{
    return place->out ? p->slots[place->index].expert : p->values[place->index].expert;
}

/* One line for the same place of all experts: "mlp.experts.*.input", "8 of tokens x 64". */
static void name_all(const struct bs_program *p, const struct bs_place *place, char name[CELL_TEXT],
                     char shape[CELL_TEXT])
{
    char one[CELL_TEXT];
    const char *rest = strstr(place->name, ".0.");
    snprintf(one, sizeof one, "%s", shape);
    snprintf(name, CELL_TEXT, "%.*s.*%s", (int)(rest - place->name), place->name, rest + 2);
    snprintf(shape, CELL_TEXT, "%d of %.40s", p->num_experts, one);
}

/* "0-2,5": the layers that are in the set. */
static void print_layers(const bool *in, int num_layers, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int first = 0, next; first < num_layers; first = next + 1) {
        for (next = first; next < num_layers && in[next]; next++)
            ;
        if (next == first)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%d", used ? "," : "", first);
        used = used < size ? used : size - 1;
        if (next - 1 > first)
            used += (size_t)snprintf(text + used, size - used, "-%d", next - 1);
        used = used < size ? used : size - 1;
    }
}

/* Adds the places of one kind of layer. */
static void list_kind(const struct bs_architecture *a, int kind, struct bs_listing *listing)
{
    const struct bs_program *p = &a->programs[kind];
    struct bs_place places[BS_MAX_PLACES];
    int count = bs_program_places(p, places);
    char layers[LINE_TEXT], shape[CELL_TEXT], name[CELL_TEXT];
    bool in[BS_MAX_LAYERS];
    for (int l = 0; l < a->num_layers; l++)
        in[l] = a->kinds[l] == kind;
    print_layers(in, a->num_layers, layers, sizeof layers);
    for (int i = 0; i < count; i++) {
        if (expert_of(p, &places[i]) > 0)
            continue;
        const char *rows = places[i].out ? "" : "tokens";
        snprintf(shape, sizeof shape, "%s%.0d x %d", rows, places[i].out, places[i].width);
        if (!places[i].width)
            snprintf(shape, sizeof shape, "tokens x keys");
        if (expert_of(p, &places[i]) == 0)
            name_all(p, &places[i], name, shape);
        else
            snprintf(name, sizeof name, "%s", places[i].name);
        bs_listing_add(listing, (const char *const[]){layers, name, places[i].kind, shape});
    }
}

static enum bs_status print_model(const char *model, const struct bs_architecture *a, FILE *out,
                                  struct bs_error *err)
{
    struct bs_listing listing = {.head = {"layers", "place", "kind", "shape"}};
    char shape[CELL_TEXT];
    for (int k = 0; k < a->num_kinds; k++)
        list_kind(a, k, &listing);
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

/* The rows of one weight of one kind of layer, a row for each format that it has in some layer. */
static void add_slot(struct bs_listing *listing, const struct bs_recipe *recipe,
                     const struct bs_architecture *a, int kind, int slot)
{
    const struct bs_slot *own = &a->programs[kind].slots[slot];
    const char *formats[BS_MAX_LAYERS] = {NULL}; /* NULL: told already, or of another kind */
    const struct bs_setting *settings[BS_MAX_LAYERS];
    char layers[LINE_TEXT];
    struct bs_assignment at;
    for (int l = 0; l < a->num_layers; l++) {
        if (a->kinds[l] != kind)
            continue;
        bs_recipe_assign(recipe, a, l, &at);
        settings[l] = at.weights[slot];
        formats[l] = format_name(settings[l]);
    }
    for (int l = 0; l < a->num_layers; l++) {
        bool in[BS_MAX_LAYERS];
        const char *format = formats[l];
        if (!format)
            continue;
        for (int k = 0; k < a->num_layers; k++) {
            in[k] = formats[k] == format;
            formats[k] = in[k] ? NULL : formats[k];
        }
        print_layers(in, a->num_layers, layers, sizeof layers);
        add_mixed(listing, own->name, settings[l], own->out, own->in, layers);
    }
}

static enum bs_status print_mix(const struct bs_recipe *recipe, const struct bs_architecture *a,
                                FILE *out, struct bs_error *err)
{
    struct bs_listing listing = {.head = {"place", "format", "bits", "layers"}};
    struct bs_outer_assignment outer;
    struct bs_place places[BS_NUM_OUTER];
    for (int k = 0; k < a->num_kinds; k++)
        for (int s = 0; s < a->programs[k].num_slots; s++)
            add_slot(&listing, recipe, a, k, s);
    bs_outer_places(a, places);
    bs_recipe_assign_outer(recipe, a, &outer);
    for (int w = 0; w < BS_NUM_OUTER; w++)
        add_mixed(&listing, places[w].name, outer.of[w], places[w].out, places[w].width,
                  bs_recipe_ties(recipe, a) ? "one tensor" : "-");
    bs_recipe_print_label(recipe, out);
    fputc('\n', out);
    bool whole = bs_listing_print(&listing, false, out);
    bs_listing_release(&listing);
    return whole ? BS_OK : bs_fail_memory(err);
}

static bool has_mix(const struct bs_recipe *recipe)
{
    bool any = recipe->weights.mix != 0;
    for (int r = 0; r < recipe->num_rules; r++)
        any |= recipe->rules[r].setting.mix != 0;
    return any;
}

/* Of every recipe with a mix; once of those that say the same of all weights. */
static enum bs_status print_mixes(const struct bs_config *config, const struct bs_architecture *a,
                                  FILE *out, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int r = 0; r < config->num_recipes && !status; r++) {
        const struct bs_recipe *recipe = &config->recipes[r];
        bool seen = !has_mix(recipe);
        for (int k = 0; k < r && !recipe->num_rules; k++)
            seen |= !config->recipes[k].num_rules &&
                    bs_setting_equal(&config->recipes[k].weights, &recipe->weights);
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
    char at[BS_PLACE_TEXT];
    if (rule && rule->line) {
        bs_config_place(config, rule->line, rule->column, at);
        return bs_printf("%s: error", at);
    }
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

/* A line for each of the sites whose channels are asked for and that the model does not have. */
static void check_channels(const struct bs_config *config, const struct bs_architecture *a,
                           struct bs_error *all)
{
    char line[LINE_TEXT];
    for (int i = 0; i < config->channels.num_sites; i++) {
        const char *site = config->channels.sites[i];
        if (bs_channels_width(a, site))
            continue;
        snprintf(line, sizeof line,
                 "%s: error: channels: where is '%.80s', which is no site of this model (%s) that "
                 "has channels; bitsweep plan --places lists them",
                 config->path, site, a->family->model_type);
        add_line(all, line);
        all->status = BS_ECONFIG;
    }
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
        if (err->status != BS_ECONFIG && err->status != BS_EUNSUPPORTED)
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
    check_channels(config, architecture, &all);
    if (all.status)
        *err = all;
    return all.status;
}
