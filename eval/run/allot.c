#include "eval/run/allot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/quant/format.h"
#include "eval/recipe/assign.h"
#include "eval/run/sweep.h"

enum { PATTERN_ROOM = 160 }; /* a list of layers goes on in another pattern from there */

const char *const bs_damage_values[] = {
    [BS_BY_KL] = "kld_mean",
    [BS_BY_NLL] = "nll_delta",
    [BS_BY_OUTPUTS] = "relative_output_error",
    [BS_BY_WEIGHTS] = "weight_mse",
};

static void release_sensitivities(struct bs_sensitivities *s)
{
    for (int c = 0; s->labels && c < s->num_candidates; c++)
        bs_free(s->labels[c]);
    bs_free(s->labels);
    bs_free(s->spreads);
    bs_free(s->offers);
    bs_spread_release(&s->places);
}

void bs_allotments_release(struct bs_allotments *allotments)
{
    for (int i = 0; i < allotments->num_sensitivities; i++)
        release_sensitivities(&allotments->sensitivities[i]);
    bs_free(allotments->sensitivities);
    for (int i = 0; i < allotments->count; i++)
        bs_recipe_release(&allotments->list[i].recipe);
    bs_free(allotments->list);
    *allotments = (struct bs_allotments){.count = 0};
}

/* ---- what was measured ---- */

/* Whether two spreads are candidates for the same places: of one grid, alike but for weights. */
static bool are_rivals(const struct bs_spread_config *a, const struct bs_spread_config *b)
{
    struct bs_recipe one = a->recipe, two = b->recipe; /* what they own stays theirs */
    bs_setting_init(&one.weights);
    bs_setting_init(&two.weights);
    char *first = bs_recipe_text(&one, bs_recipe_print);
    char *second = bs_recipe_text(&two, bs_recipe_print);
    bool same = first && second && a->grid == b->grid && !strcmp(first, second);
    bs_free(first);
    bs_free(second);
    return same;
}

static int first_text(const struct bs_config *config, const struct bs_spread_config *spread)
{
    int text = 0;
    while (text + 1 < config->num_evaluations && !(spread->texts >> text & 1))
        text++;
    return text;
}

/* The bits and weights of what a recipe quantizes. */
static void size_of(const struct bs_recipe *recipe, const struct bs_architecture *a, double *bits,
                    double *weights)
{
    *bits = *weights = 0;
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        struct bs_assignment at;
        bs_recipe_assign(recipe, a, l, &at);
        for (int s = 0; s < p->num_slots; s++) {
            const struct bs_slot *slot = &p->slots[s];
            struct bs_code_layout layout;
            struct bs_error ignored; /* shapes were checked */
            if (!bs_setting_quantizes(at.weights[s]) ||
                bs_setting_lay(at.weights[s], slot->out, slot->in, &layout, &ignored))
                continue;
            *bits += layout.bits;
            *weights += (double)slot->out * slot->in;
        }
    }
}

/* The row of a recipe's trial; NULL: it has not run. */
static const struct bs_row *row_of(const struct bs_sweep *sweep, const struct bs_results *results,
                                   int recipe, int text)
{
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].recipe == recipe && sweep->all[i].text == text)
            return bs_results_find(results, sweep->all[i].id);
    return NULL;
}

/* Looks up one candidate at one place. */
static enum bs_status look_up(const struct bs_sweep *sweep, const struct bs_results *results,
                              const struct bs_spread_config *spread, struct bs_sensitivities *s,
                              int place, int candidate, struct bs_error *err)
{
    struct bs_measured_offer *offer = &s->offers[place * s->num_candidates + candidate];
    struct bs_recipe recipe;
    double weights;
    if (bs_spread_recipe(spread, &s->places.list[place], &recipe, err))
        return err->status;
    int index = bs_config_find_recipe(sweep->config, &recipe);
    size_of(&recipe, bs_model_architecture(sweep->model), &offer->bits, &weights);
    bs_recipe_release(&recipe);
    const struct bs_row *row = index < 0 ? NULL : row_of(sweep, results, index, s->text);
    const char *name = bs_damage_values[spread->budget.by];
    const struct bs_value_row *value = row ? bs_row_value(row, NULL, name) : NULL;
    offer->damage = value ? value->value : (double)NAN;
    offer->se = value ? value->se : (double)NAN;
    s->weights += candidate ? 0 : weights;
    s->num_open += !row;
    if (row && bs_row_is_done(row) && !value)
        return bs_fail(
            err, BS_ECONFIG,
            "%s:%d:%d: error: sensitivity is measured on '%s', which has no %s, expected "
            "the name of a text there",
            sweep->config->path, spread->line, spread->column, row->text, name);
    return BS_OK;
}

/* Candidates whose places differ, as a format shares scales among linears and another does not. */
static enum bs_status check_places(const struct bs_sweep *sweep,
                                   const struct bs_spread_config *spread,
                                   const struct bs_sensitivities *s, struct bs_error *err)
{
    struct bs_spread_places own;
    if (bs_spread_list(spread, bs_model_architecture(sweep->model), &own, err))
        return err->status;
    bool same = own.count == s->places.count;
    for (int i = 0; i < own.count && same; i++)
        same = !strcmp(own.list[i].where, s->places.list[i].where);
    bs_spread_release(&own);
    if (same)
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "%s:%d:%d: error: a candidate shares scales among linears that others part: "
                   "expected places: fused",
                   sweep->config->path, spread->line, spread->column);
}

/* The spreads that go with one, itself the first of them; none where an earlier one has it. */
static enum bs_status gather_candidates(const struct bs_sweep *sweep, int first,
                                        struct bs_sensitivities *s, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    size_t most = (size_t)config->num_spreads;
    s->spreads = bs_alloc(most, sizeof *s->spreads);
    s->labels = bs_calloc(most, sizeof *s->labels);
    if (!s->spreads || !s->labels)
        return bs_fail_memory(err);
    for (int k = first; k < config->num_spreads; k++) {
        if (!are_rivals(&config->spreads[first], &config->spreads[k]))
            continue;
        char *label = bs_recipe_text(&config->spreads[k].recipe, bs_recipe_print_label);
        if (!label)
            return bs_fail_memory(err);
        s->labels[s->num_candidates] = label;
        s->spreads[s->num_candidates++] = k;
    }
    return BS_OK;
}

static enum bs_status gather(const struct bs_sweep *sweep, const struct bs_results *results,
                             int first, struct bs_sensitivities *s, struct bs_error *err)
{
    const struct bs_spread_config *spreads = sweep->config->spreads;
    *s = (struct bs_sensitivities){.model = sweep->model_index,
                                   .text = first_text(sweep->config, &spreads[first])};
    if (gather_candidates(sweep, first, s, err) ||
        bs_spread_list(&spreads[first], bs_model_architecture(sweep->model), &s->places, err))
        return err->status;
    s->offers = bs_calloc((size_t)s->places.count * (size_t)s->num_candidates, sizeof *s->offers);
    if (!s->offers)
        return bs_fail_memory(err);
    for (int c = 0; c < s->num_candidates; c++) {
        const struct bs_spread_config *spread = &spreads[s->spreads[c]];
        if (check_places(sweep, spread, s, err))
            return err->status;
        for (int p = 0; p < s->places.count; p++)
            if (look_up(sweep, results, spread, s, p, c, err))
                return err->status;
    }
    return BS_OK;
}

/* ---- the choice, as a recipe ---- */

/* The next pattern of a place, "layer[3].mlp.down_proj": its layer (-1: in all) and its name. */
static bool next_part(const char **where, int *layer, const char **name, int *length)
{
    static const char layered[] = "layer[";
    *where += strspn(*where, " ");
    if (!**where)
        return false;
    const char *end = *where + strcspn(*where, " ");
    *name = *where;
    *layer = -1;
    if (!strncmp(*where, layered, strlen(layered))) {
        *layer = (int)strtol(*where + strlen(layered), NULL, 10);
        *name = strchr(*where, '.') + 1;
    }
    *length = (int)(end - *name);
    *where = end;
    return true;
}

/* Marks the layers in which places of a candidate have the name. */
static void mark_layers(const struct bs_sensitivities *s, const int *taken, int candidate,
                        const char *name, int length, bool layers[BS_MAX_LAYERS])
{
    for (int p = 0; p < s->places.count; p++) {
        const char *where = s->places.list[p].where, *other;
        int layer, other_length;
        while (taken[p] == candidate && next_part(&where, &layer, &other, &other_length))
            if (layer >= 0 && other_length == length && !strncmp(other, name, (size_t)length))
                layers[layer] = true;
    }
}

/* "layer[0,2-4].mlp.down_proj", in several patterns where the list is long. */
static void print_layers(const bool layers[BS_MAX_LAYERS], const char *name, int length, FILE *out)
{
    int used = 0;
    for (int first = 0, next; first < BS_MAX_LAYERS; first = next + 1) {
        for (next = first; next < BS_MAX_LAYERS && layers[next]; next++)
            ;
        if (next == first)
            continue;
        if (used + length > PATTERN_ROOM) {
            fprintf(out, "].%.*s", length, name);
            used = 0;
        }
        used += fprintf(out, "%s%d", used ? "," : " layer[", first);
        if (next - 1 > first)
            used += fprintf(out, "-%d", next - 1);
    }
    if (used)
        fprintf(out, "].%.*s", length, name);
}

/* Whether an earlier part of the candidate's places has the name. */
static bool is_told(const struct bs_sensitivities *s, const int *taken, int place, const char *name,
                    int length)
{
    for (int p = 0; p <= place; p++) {
        const char *where = s->places.list[p].where, *other;
        int layer, other_length;
        while (taken[p] == taken[place] && next_part(&where, &layer, &other, &other_length)) {
            if (other == name)
                return false;
            if (layer >= 0 && other_length == length && !strncmp(other, name, (size_t)length))
                return true;
        }
    }
    return false;
}

/* The patterns of all places that get a candidate, in new memory. */
static char *where_of(const struct bs_sensitivities *s, const int *taken, int candidate)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (int p = 0; p < s->places.count; p++) {
        const char *where = s->places.list[p].where, *name;
        int layer, length;
        while (taken[p] == candidate && next_part(&where, &layer, &name, &length)) {
            bool layers[BS_MAX_LAYERS] = {false};
            if (layer < 0) {
                fprintf(out, " %.*s", length, name);
            } else if (!is_told(s, taken, p, name, length)) {
                mark_layers(s, taken, candidate, name, length, layers);
                print_layers(layers, name, length, out);
            }
        }
    }
    bool failed = ferror(out);
    failed |= fclose(out) != 0;
    char *copy = failed ? NULL : bs_strdup(text);
    free(text);
    return copy;
}

/* Adds a rule for the places that get a candidate; none where none does. */
static enum bs_status add_rule(const struct bs_config *config, const struct bs_sensitivities *s,
                               const int *taken, int candidate, struct bs_recipe *recipe,
                               struct bs_error *err)
{
    struct bs_rule *rule;
    char *where = where_of(s, taken, candidate);
    if (!where)
        return bs_fail_memory(err);
    enum bs_status status = BS_OK;
    if (*where)
        status =
            bs_recipe_add_rule(recipe, BS_FOR_WEIGHTS, where,
                               &config->spreads[s->spreads[candidate]].recipe.weights, &rule, err);
    bs_free(where);
    return status;
}

/* The candidate that stands for all places that no exception names: the one with most bits. */
static int usual_candidate(const struct bs_sensitivities *s, const int *taken)
{
    int usual = 0;
    double most = -1;
    for (int c = 0; c < s->num_candidates; c++) {
        double bits = 0;
        for (int p = 0; p < s->places.count; p++)
            bits += taken[p] == c ? s->offers[p * s->num_candidates + c].bits : 0;
        usual = bits > most ? c : usual;
        most = bits > most ? bits : most;
    }
    return usual;
}

static enum bs_status build_recipe(const struct bs_config *config, const struct bs_sensitivities *s,
                                   const struct bs_amount *amount, const int *taken,
                                   struct bs_recipe *recipe, struct bs_error *err)
{
    static const char *const per[] = {[BS_OVER_LINEARS] = "",
                                      [BS_OVER_FUSED] = " per fused",
                                      [BS_OVER_BLOCKS] = " per block",
                                      [BS_OVER_ROLES] = " per role"};
    int usual = usual_candidate(s, taken);
    const struct bs_spread_config *spread = &config->spreads[s->spreads[usual]];
    if (bs_recipe_copy(recipe, &spread->recipe, err))
        return err->status;
    recipe->allotted = bs_printf("%s %s by %s%s", amount->text, amount->bytes ? "bytes" : "bits",
                                 bs_damage_words[spread->budget.by], per[spread->places]);
    enum bs_status status = recipe->allotted ? BS_OK : bs_fail_memory(err);
    for (int c = 0; c < s->num_candidates && !status; c++)
        if (c != usual)
            status = add_rule(config, s, taken, c, recipe, err);
    if (!status)
        status = bs_recipe_resolve(recipe, err);
    if (status)
        bs_recipe_release(recipe);
    return status;
}

static enum bs_status share_out(const struct bs_config *config, const struct bs_sensitivities *s,
                                const struct bs_amount *amount, int *taken,
                                struct bs_allotment *allotment, struct bs_error *err)
{
    int places = s->places.count, candidates = s->num_candidates;
    const struct bs_spread_config *spread = &config->spreads[s->spreads[0]];
    struct bs_offer *offers = bs_alloc((size_t)places * (size_t)candidates, sizeof *offers);
    if (!offers)
        return bs_fail_memory(err);
    for (int i = 0; i < places * candidates; i++) {
        double damage = s->offers[i].damage;
        offers[i] = (struct bs_offer){(int64_t)ceil(s->offers[i].bits),
                                      isnan(damage) ? (double)INFINITY : damage};
    }
    double limit = amount->bytes ? 8 * amount->value : amount->value * s->weights;
    enum bs_status status =
        bs_budget_choose(places, candidates, offers, (int64_t)fmin(limit, 9e18), taken, err);
    bs_free(offers);
    if (status == BS_ECONFIG)
        return bs_fail_within(err, "%s:%d:%d: error: budget of %s %s", config->path, spread->line,
                              spread->column, amount->text,
                              amount->bytes ? "bytes" : "bits a weight");
    if (status || build_recipe(config, s, amount, taken, &allotment->recipe, err))
        return err->status;
    for (int p = 0; p < places; p++) {
        allotment->bits += s->offers[p * candidates + taken[p]].bits;
        allotment->predicted += s->offers[p * candidates + taken[p]].damage;
    }
    return BS_OK;
}

/* All amounts of the budget of what was measured last. */
static enum bs_status share_out_all(const struct bs_config *config,
                                    struct bs_allotments *allotments, struct bs_error *err)
{
    int index = allotments->num_sensitivities - 1;
    const struct bs_sensitivities *s = &allotments->sensitivities[index];
    const struct bs_budget_config *budget = &config->spreads[s->spreads[0]].budget;
    size_t count = (size_t)allotments->count, more = count + (size_t)budget->count;
    struct bs_allotment *grown = bs_realloc(allotments->list, count, more, sizeof *grown);
    int *taken = bs_alloc((size_t)s->places.count, sizeof *taken);
    allotments->list = grown ? grown : allotments->list;
    enum bs_status status = grown && taken ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < budget->count && !status; i++) {
        struct bs_allotment *next = &allotments->list[allotments->count];
        *next = (struct bs_allotment){.sensitivities = index};
        status = share_out(config, s, &budget->amounts[i], taken, next, err);
        allotments->count += !status;
    }
    bs_free(taken);
    return status;
}

static bool is_first(const struct bs_config *config, int spread)
{
    for (int k = 0; k < spread; k++)
        if (are_rivals(&config->spreads[k], &config->spreads[spread]))
            return false;
    return true;
}

static enum bs_status allot_model(const struct bs_sweep *sweep, const struct bs_results *results,
                                  struct bs_allotments *allotments, struct bs_error *err)
{
    const struct bs_config *config = sweep->config;
    for (int k = 0; k < config->num_spreads; k++) {
        if (!(config->spreads[k].models >> sweep->model_index & 1) || !is_first(config, k))
            continue;
        size_t count = (size_t)allotments->num_sensitivities;
        struct bs_sensitivities *grown =
            bs_realloc(allotments->sensitivities, count, count + 1, sizeof *grown);
        if (!grown)
            return bs_fail_memory(err);
        allotments->sensitivities = grown;
        allotments->num_sensitivities++;
        if (gather(sweep, results, k, &grown[count], err) ||
            (!grown[count].num_open && share_out_all(config, allotments, err)))
            return err->status;
    }
    return BS_OK;
}

enum bs_status bs_allot(const struct bs_config *config, uint64_t wanted,
                        const struct bs_results *results, struct bs_allotments *allotments,
                        struct bs_error *err)
{
    enum bs_status status = BS_OK;
    *allotments = (struct bs_allotments){.count = 0};
    for (int m = 0; m < config->num_models && !status; m++) {
        struct bs_sweep sweep;
        if (!(wanted >> m & 1) || (config->has_reference && m != config->reference))
            continue;
        status = bs_sweep_open(config, m, &sweep, err);
        if (!status) {
            status = allot_model(&sweep, results, allotments, err);
            bs_sweep_close(&sweep);
        }
    }
    if (status)
        bs_allotments_release(allotments);
    return status;
}

static bool any_budget(const struct bs_config *config)
{
    bool any = false;
    for (int k = 0; k < config->num_spreads; k++)
        any |= config->spreads[k].budget.count > 0;
    return any;
}

enum bs_status bs_allot_open(struct bs_config *config, uint64_t wanted, const char *path,
                             bool *waiting, struct bs_error *err)
{
    struct bs_results results = {.num_rows = 0};
    struct bs_allotments allotments;
    *waiting = false;
    if (!any_budget(config))
        return BS_OK;
    if (!access(path, F_OK) && bs_results_read(path, &results, err))
        return err->status;
    enum bs_status status = bs_allot(config, wanted, &results, &allotments, err);
    bs_results_release(&results);
    if (status)
        return status;
    for (int i = 0; i < allotments.num_sensitivities; i++) {
        const struct bs_sensitivities *s = &allotments.sensitivities[i];
        *waiting |= s->num_open && config->spreads[s->spreads[0]].budget.count;
    }
    for (int i = 0; i < allotments.count && !status; i++) {
        struct bs_recipe *recipe = &allotments.list[i].recipe;
        int model = allotments.sensitivities[allotments.list[i].sensitivities].model;
        status = bs_config_add_recipe(config, recipe, UINT64_C(1) << model, ~UINT64_C(0), err);
        *recipe = (struct bs_recipe){.num_steps = 0}; /* it is the config's */
    }
    bs_allotments_release(&allotments);
    return status;
}

/* ---- as a config has it ---- */

/* "key: value" lines, each after a prefix, as a mapping. */
static void print_mapping(const char *lines, FILE *out)
{
    const char *parting = "{";
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1) {
        const char *dot = strchr(line, '.');
        fprintf(out, "%s%.*s", parting, (int)strcspn(dot + 1, "\n"), dot + 1);
        parting = ", ";
    }
    fputc('}', out);
}

static void print_setting(const struct bs_setting *setting, FILE *out)
{
    char *lines = NULL;
    size_t size;
    FILE *text = open_memstream(&lines, &size);
    if (!text)
        return;
    bs_setting_print(setting, "w", BS_FOR_WEIGHTS, text);
    fclose(text);
    if (lines)
        print_mapping(lines, out);
    free(lines);
}

/* Options that are not at their default, a line each. */
static void print_options(const struct bs_choice *step, FILE *out)
{
    const struct bs_option *options = step->plugin->options;
    for (const struct bs_option *o = options; o && o->name; o++) {
        char text[BS_OPTION_TEXT];
        if (bs_option_is_default(o, step->options))
            continue;
        bs_option_print(o, step->options, text, sizeof text);
        fprintf(out, "    %s: %s\n", o->name, text);
    }
}

static void print_where(const char *where, FILE *out)
{
    const char *parting = "[";
    for (where += strspn(where, " "); *where; where += strspn(where, " ")) {
        int length = (int)strcspn(where, " ");
        fprintf(out, "%s\"%.*s\"", parting, length, where);
        parting = ", ";
        where += length;
    }
    fputc(']', out);
}

void bs_allot_print_grid(const struct bs_recipe *recipe, FILE *out)
{
    fputs("  - algorithm: [[", out);
    for (int s = 0; s < recipe->num_steps; s++)
        fprintf(out, "%s%s", s ? ", " : "", recipe->steps[s].plugin->name);
    fputs("]]\n    weights: ", out);
    print_setting(&recipe->weights, out);
    fputc('\n', out);
    for (int s = 0; s < recipe->num_steps; s++)
        print_options(&recipe->steps[s], out);
    if (recipe->calibrate_on != BS_ON_AUTO)
        fprintf(out, "    calibrate_on: %s\n", bs_calibrate_on_names[recipe->calibrate_on]);
    if (recipe->compute != BS_FLOAT32)
        fprintf(out, "    compute: %s\n", bs_compute_names[recipe->compute]);
    if (recipe->num_rules)
        fputs("    except:\n", out);
    for (int r = 0; r < recipe->num_rules; r++) {
        fputs("      - where: ", out);
        print_where(recipe->rules[r].where, out);
        fputs("\n        weights: ", out);
        print_setting(&recipe->rules[r].setting, out);
        fputc('\n', out);
    }
}
