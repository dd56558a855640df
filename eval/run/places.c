#include "eval/run/places.h"

#include <string.h>

#include "eval/base/listing.h"
#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/hub/hub.h"
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
