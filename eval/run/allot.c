#include "eval/run/allot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/config/sensitivity.h"
#include "eval/quant/format.h"
#include "eval/recipe/assign.h"
#include "eval/run/allot_internal.h"

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
    for (int i = 0; i < allotments->count; i++) {
        bs_recipe_release(&allotments->list[i].recipe);
        bs_free(allotments->list[i].taken);
    }
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

/* The weights of all linears. */
static double linear_weights(const struct bs_architecture *a)
{
    double weights = 0;
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        for (int s = 0; s < p->num_slots; s++)
            weights += (double)p->slots[s].out * p->slots[s].in;
    }
    return weights;
}

/* The bits and weights of what a recipe quantizes, as its formats lay them out. */
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

const struct bs_row *bs_allot_row(const struct bs_sweep *sweep, const struct bs_results *results,
                                  int recipe, int text)
{
    for (int i = 0; i < sweep->num_all; i++)
        if (sweep->all[i].recipe == recipe && sweep->all[i].text == text)
            return bs_results_find(results, sweep->all[i].id);
    return NULL;
}

/* The bits that a place of so many weights takes by its trial, which has the rest as it was: with
 * what an algorithm has a file say beside the format (act_order). Those of the format where
 * the model's own file is quantized. */
static double measured_bits(const struct bs_sweep *sweep, const struct bs_row *row,
                            const struct bs_row *unquantized, double weights, double laid)
{
    static const char name[] = "bits_per_weight";
    const struct bs_value_row *own = row ? bs_row_value(row, NULL, name) : NULL;
    const struct bs_value_row *plain = unquantized ? bs_row_value(unquantized, NULL, name) : NULL;
    double all = linear_weights(bs_model_architecture(sweep->model));
    if (!own || !plain || plain->value != BS_UNQUANTIZED_BITS)
        return laid;
    return floor(own->value * all - BS_UNQUANTIZED_BITS * (all - weights) + 0.5);
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
    const struct bs_row *row = index < 0 ? NULL : bs_allot_row(sweep, results, index, s->text);
    offer->bits = measured_bits(sweep, row, s->unquantized, weights, offer->bits);
    const char *name = bs_damage_values[spread->budget.by];
    const struct bs_value_row *value = row ? bs_row_value(row, NULL, name) : NULL;
    offer->row = row;
    offer->damage = value ? value->value : (double)NAN;
    offer->se = value ? value->se : (double)NAN;
    s->weights += candidate ? 0 : weights;
    s->num_open += !row;
    s->num_failed += row && !bs_row_is_done(row);
    if (!row || !bs_row_is_done(row) || value)
        return BS_OK;
    char at[BS_PLACE_TEXT];
    bs_config_place(sweep->config, spread->line, spread->column, at);
    return bs_fail(err, BS_ECONFIG,
                   "%s: error: sensitivity is measured on '%s', which has no %s, expected the name "
                   "of a text there",
                   at, row->text, name);
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
    char at[BS_PLACE_TEXT];
    bs_config_place(sweep->config, spread->line, spread->column, at);
    return bs_fail(err, BS_ECONFIG,
                   "%s: error: a candidate shares scales among linears that others part: expected "
                   "places: fused",
                   at);
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
                                   .text = bs_sensitivity_text(sweep->config, &spreads[first])};
    s->unquantized = bs_allot_row(sweep, results, 0, s->text);
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

/* ---- budgets ---- */

/* The i-th mix that a budget makes by itself: an amount's, or after those what is drawn. */
static struct bs_mix mix_of(const struct bs_budget_config *budget, int i)
{
    if (i < budget->count)
        return (struct bs_mix){.kind = BS_MIX_ALLOTTED, .number = i, .round = 1};
    return (struct bs_mix){.kind = BS_MIX_DRAWN, .number = 1 + i - budget->count};
}

static int num_mixes(const struct bs_budget_config *budget)
{
    return budget->count + (budget->random > 0); /* one that is drawn stands for all */
}

/* Whether recipes of both would be called the same. */
static enum bs_status compare_names(const struct bs_spread_config *a,
                                    const struct bs_spread_config *b, bool *same,
                                    struct bs_error *err)
{
    struct bs_recipe one = a->recipe, two = b->recipe; /* what they own stays theirs */
    *same = false;
    for (int i = 0; i < num_mixes(&a->budget); i++)
        for (int k = 0; k < num_mixes(&b->budget) && !*same; k++) {
            struct bs_mix left = mix_of(&a->budget, i), right = mix_of(&b->budget, k);
            one.allotted = bs_allot_name(a, &left);
            two.allotted = bs_allot_name(b, &right);
            char *first = one.allotted ? bs_recipe_text(&one, bs_recipe_print_label) : NULL;
            char *second = two.allotted ? bs_recipe_text(&two, bs_recipe_print_label) : NULL;
            bool whole = first && second;
            *same = whole && !strcmp(first, second);
            bs_free(first);
            bs_free(second);
            bs_free(one.allotted);
            bs_free(two.allotted);
            if (!whole)
                return bs_fail_memory(err);
        }
    return BS_OK;
}

static enum bs_status fail_names(const struct bs_config *config, const struct bs_spread_config *own,
                                 const struct bs_spread_config *other, struct bs_error *err)
{
    char at[BS_PLACE_TEXT], there[BS_PLACE_TEXT];
    bs_config_place(config, own->budget.line, own->budget.column, at);
    bs_config_place(config, other->budget.line, other->budget.column, there);
    return bs_fail(err, BS_ECONFIG,
                   "%s: error: recipes of this budget are called as those of another one (%s), "
                   "expected a name: in one of them",
                   at, there);
}

/* A name stands for one recipe of a model. */
static enum bs_status check_names(const struct bs_config *config, int spread, int model,
                                  struct bs_error *err)
{
    const struct bs_spread_config *own = &config->spreads[spread];
    for (int k = 0; k < spread; k++) {
        const struct bs_spread_config *other = &config->spreads[k];
        bool same;
        if (!(other->models >> model & 1) || are_rivals(other, own))
            continue;
        if (compare_names(other, own, &same, err))
            return err->status;
        if (same)
            return fail_names(config, own, other, err);
    }
    return BS_OK;
}

/* Refuses amounts that the smallest candidates do not fit in: before anything is measured. */
static enum bs_status check_amounts(const struct bs_config *config,
                                    const struct bs_sensitivities *s, struct bs_error *err)
{
    const struct bs_budget_config *budget = &config->spreads[s->spreads[0]].budget;
    double least = 0;
    for (int p = 0; p < s->places.count; p++) {
        double bits = (double)INFINITY;
        for (int c = 0; c < s->num_candidates; c++)
            bits = fmin(bits, s->offers[p * s->num_candidates + c].bits);
        least += bits;
    }
    for (int i = 0; i < budget->count; i++) {
        const struct bs_amount *amount = &budget->amounts[i];
        if (bs_allot_limit(amount, s->weights) >= least)
            continue;
        double shown = amount->bytes ? ceil(least / 8) : ceil(least / s->weights * 1e4) / 1e4;
        char at[BS_PLACE_TEXT];
        bs_config_place(config, amount->line, amount->column, at);
        return bs_fail(err, BS_ECONFIG,
                       "%s: error: budget of %s %s: the candidates take %.*f at least, expected "
                       "that or more",
                       at, amount->text, amount->bytes ? "bytes" : "bits a weight",
                       amount->bytes ? 0 : 4, shown);
    }
    return BS_OK;
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
        if (check_names(config, k, sweep->model_index, err))
            return err->status;
        size_t count = (size_t)allotments->num_sensitivities;
        struct bs_sensitivities *grown =
            bs_realloc(allotments->sensitivities, count, count + 1, sizeof *grown);
        if (!grown)
            return bs_fail_memory(err);
        allotments->sensitivities = grown;
        allotments->num_sensitivities++;
        if (gather(sweep, results, k, &grown[count], err) ||
            check_amounts(config, &grown[count], err) ||
            (!grown[count].num_open && bs_allot_share(sweep, results, allotments, err)))
            return err->status;
        if (grown[count].num_open)
            allotments->waiting += bs_allot_expected(config, &grown[count]);
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
        any |= num_mixes(&config->spreads[k].budget) > 0;
    return any;
}

/* Appends the mixes that the results give to the config's recipes, and gives them back. */
static enum bs_status add_mixes(struct bs_config *config, struct bs_allotments *all,
                                struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int i = 0; i < all->count && !status; i++) {
        struct bs_mix *mix = &all->list[i];
        const struct bs_sensitivities *s = &all->sensitivities[mix->sensitivities];
        bool all_texts = mix->kind != BS_MIX_NEIGHBOUR;
        uint64_t texts = all_texts ? ~UINT64_C(0) : UINT64_C(1) << s->text;
        status = bs_config_add_recipe(config, &mix->recipe, UINT64_C(1) << s->model, texts, err);
        mix->recipe = (struct bs_recipe){.num_steps = 0}; /* it is the config's */
    }
    bs_allotments_release(all);
    return status;
}

enum bs_status bs_allot_open(struct bs_config *config, uint64_t wanted, const char *path,
                             int *waiting, int *later, struct bs_error *err)
{
    struct bs_results results = {.num_rows = 0};
    *waiting = *later = 0;
    if (!any_budget(config))
        return BS_OK;
    if (!access(path, F_OK) && bs_results_read(path, &results, err))
        return err->status;
    enum bs_status status = BS_OK;
    /* What a mix came to is looked up once the config has it, and a round follows from that. */
    for (int before = -1; config->num_recipes > before && !status;) {
        struct bs_allotments allotments;
        before = config->num_recipes;
        status = bs_allot(config, wanted, &results, &allotments, err);
        if (!status) {
            *waiting = allotments.waiting;
            *later = allotments.later;
            status = add_mixes(config, &allotments, err);
        }
    }
    bs_results_release(&results);
    return status;
}
