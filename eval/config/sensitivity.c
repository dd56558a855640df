/* `sensitivity:` of a grid, and the recipes that come of it once a model's places are known. */
#include "eval/config/sensitivity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"

enum { LIST_TEXT = 800 };

static const char *const spread_words[] = {
    [BS_OVER_LINEARS] = "linear",
    [BS_OVER_FUSED] = "fused",
    [BS_OVER_BLOCKS] = "block",
    [BS_OVER_ROLES] = "role",
    NULL,
};

const struct bs_option bs_sensitivity_options[] = {
    BS_OPT_WORDS(struct bs_spread_config, places, BS_CHOICE, BS_OVER_LINEARS, 0, 3, spread_words,
                 "what is one place: a linear; the linears that inference fuses (q, k and v; gate "
                 "and up); a block; the same linear in all blocks"),
    {.name = NULL},
};

const struct bs_config_key bs_sensitivity_keys[] = {
    {"text", "the name of an evaluation, or a list of them",
     "what it is measured on, of which the first of the config decides; without it all that is "
     "evaluated",
     false},
    {.name = NULL},
};

/* Notes the evaluation of this name; false where there is none. */
static bool add_text(struct bs_load *load, const struct bs_yaml_node *node, uint64_t *texts)
{
    const struct bs_config *config = load->config;
    struct bs_names names = {0};
    for (int t = 0; t < config->num_evaluations; t++) {
        bs_names_add(&names, config->evaluations[t].name);
        if (node->text && !strcmp(config->evaluations[t].name, node->text)) {
            *texts |= UINT64_C(1) << t;
            return true;
        }
    }
    char list[LIST_TEXT];
    bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
    if (config->num_evaluations > 0) /* else that is at fault */
        bs_load_wrong(load, "text", node, list);
    return false;
}

/* ---- budget ---- */

const char *const bs_damage_words[] = {
    [BS_BY_KL] = "kl",
    [BS_BY_NLL] = "delta_nll",
    [BS_BY_OUTPUTS] = "output_error",
    [BS_BY_WEIGHTS] = "weight_error",
    NULL,
};

const char *const bs_damage_values[] = {
    [BS_BY_KL] = "kld_mean",
    [BS_BY_NLL] = "nll_delta",
    [BS_BY_OUTPUTS] = "relative_output_error",
    [BS_BY_WEIGHTS] = "weight_mse",
};

const struct bs_option bs_budget_options[] = {
    BS_OPT_WORDS(struct bs_budget_config, by, BS_CHOICE, BS_BY_KL, 0, 3, bs_damage_words,
                 "what is added up over the places: the KL divergence of the text or what its NLL "
                 "rises by, with one place quantized; the mean relative error of outputs or of "
                 "weights"),
    BS_OPT(struct bs_budget_config, rounds, 1, 1, 8,
           "times that an amount is shared out: from the second on by what another candidate at "
           "one place changes in the mix before, which takes places x (candidates - 1) trials "
           "more, of whole models"),
    BS_OPT(struct bs_budget_config, random, 0, 0, 1000,
           "further mixes that give each place one of the candidates at random: how well the sum "
           "predicts what is measured of all together, as a rank correlation"),
    BS_OPT(struct bs_budget_config, seed, 0, 0, 1000000, "of the mixes at random"),
    {.name = NULL},
};

const struct bs_config_key bs_budget_keys[] = {
    {"bits_per_weight", "a number above 0, or a list of them",
     "of the linears, scales and zero points included", false},
    {"bytes", "a number above 0, or a list of them", "of the linears in a file", false},
    {"name", "a short text", "what tells its recipes from those of another budget", false},
    {.name = NULL},
};

/* Reads one amount; false after a report. */
static bool add_amount(struct bs_load *load, const char *name, const struct bs_yaml_node *node,
                       struct bs_budget_config *budget)
{
    char *end = NULL;
    bool scalar = node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node);
    double value = scalar ? strtod(node->text, &end) : 0;
    struct bs_amount *amount = &budget->amounts[budget->count];
    if (!scalar || *end || !isfinite(value) || value <= 0 ||
        strlen(node->text) >= sizeof amount->text) {
        bs_load_wrong(load, name, node, "a number above 0");
        return false;
    }
    if (budget->count == BS_MOST_AMOUNTS) {
        bs_report_add(load->report, node->line, node->column,
                      "budget has more than %d amounts, expected fewer", BS_MOST_AMOUNTS);
        return false;
    }
    amount->value = value;
    amount->bytes = !strcmp(name, bs_budget_keys[1].name);
    amount->line = node->line;
    amount->column = node->column;
    snprintf(amount->text, sizeof amount->text, "%s", node->text);
    budget->count++;
    return true;
}

/* Damage that would need what is not computed is refused with the reason. */
static bool refuse_fisher(struct bs_load *load, const struct bs_yaml_node *by)
{
    if (!by || !by->text || strcmp(by->text, "fisher"))
        return false;
    bs_report_add(
        load->report, by->line, by->column,
        "by is 'fisher', which is made of gradients, and none are computed here: expected "
        "kl, which measures what it estimates");
    return true;
}

/* `name`; false after a report. */
static bool read_name(struct bs_load *load, const struct bs_yaml_node *node,
                      struct bs_budget_config *budget)
{
    bool scalar = node && node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node);
    budget->name[0] = '\0';
    if (!node)
        return true;
    if (!scalar || !*node->text || strlen(node->text) >= sizeof budget->name ||
        strchr(node->text, '\n')) {
        bs_load_wrong(load, "name", node, "a short text");
        return false;
    }
    snprintf(budget->name, sizeof budget->name, "%s", node->text);
    return true;
}

static bool read_budget(struct bs_load *load, const struct bs_yaml_node *node,
                        struct bs_budget_config *budget)
{
    bs_options_default(bs_budget_options, budget);
    if (refuse_fisher(load, bs_yaml_get(node, "by")) ||
        !bs_load_section(load, "budget", node, bs_budget_keys, bs_budget_options, budget))
        return false;
    bool good = read_name(load, bs_yaml_get(node, "name"), budget), any = false;
    budget->line = node->line;
    budget->column = node->column;
    for (int k = 0; k < 2; k++) { /* the kinds of amounts */
        const struct bs_yaml_node *values = bs_yaml_get(node, bs_budget_keys[k].name);
        any |= values && bs_yaml_num_values(values) > 0;
        for (int i = 0; values && i < bs_yaml_num_values(values); i++)
            good &= add_amount(load, bs_budget_keys[k].name, bs_yaml_value(values, i), budget);
    }
    any |= budget->random > 0;
    if (!any)
        bs_report_add(load->report, node->line, node->column,
                      "budget names no amount, expected bits_per_weight or bytes");
    return good && any;
}

int bs_sensitivity_text(const struct bs_config *config, const struct bs_spread_config *spread)
{
    int text = 0;
    while (text + 1 < config->num_evaluations && !(spread->texts >> text & 1))
        text++;
    return text;
}

/* Whether what a budget adds up will be measured; false after a report. */
static bool check_damage(struct bs_load *load, const struct bs_spread_config *spread)
{
    const struct bs_config *config = load->config;
    const struct bs_budget_config *budget = &spread->budget;
    bool of_text = budget->by == BS_BY_KL || budget->by == BS_BY_NLL;
    if (!config->num_evaluations) /* that is at fault */
        return true;
    const struct bs_evaluation_config *text =
        &config->evaluations[bs_sensitivity_text(config, spread)];
    if (of_text && !bs_value_type_find(text->how.plugin->name, bs_damage_values[budget->by])) {
        bs_report_add(load->report, budget->line, budget->column,
                      "budget is by %s, which '%s' does not have, expected a text for sensitivity",
                      bs_damage_words[budget->by], text->name);
        return false;
    }
    if (budget->by == BS_BY_OUTPUTS && !config->layer_error.windows) {
        bs_report_add(load->report, budget->line, budget->column,
                      "budget is by output_error, which layer_error: {windows: 0} leaves out, "
                      "expected windows there");
        return false;
    }
    return true;
}

bool bs_sensitivity_read(struct bs_load *load, const struct bs_yaml_node *node,
                         const struct bs_yaml_node *budget, struct bs_spread_config *spread)
{
    if (!node) {
        bs_report_add(load->report, budget->line, budget->column,
                      "budget is shared out by what sensitivity measures, which this grid does not "
                      "have: expected sensitivity: {places: linear}, or so");
        return false;
    }
    const struct bs_yaml_node *texts = bs_yaml_get(node, "text");
    bs_options_default(bs_sensitivity_options, spread);
    spread->line = node->line;
    spread->column = node->column;
    spread->texts = texts ? 0 : ~UINT64_C(0);
    bool good = bs_load_section(load, "sensitivity", node, bs_sensitivity_keys,
                                bs_sensitivity_options, spread);
    if (texts && bs_yaml_num_values(texts) == 0) {
        bs_load_no_list(load, "text", texts, "at least one name, or no such key");
        good = false;
    }
    for (int i = 0; texts && i < bs_yaml_num_values(texts); i++)
        good &= add_text(load, bs_yaml_value(texts, i), &spread->texts);
    if (budget)
        good &= read_budget(load, budget, &spread->budget);
    return good && (!budget || check_damage(load, spread));
}

const char *bs_sensitivity_refuses(const struct bs_recipe *recipe)
{
    if (!bs_recipe_quantizes_weights(recipe))
        return "sensitivity is of weights, and none are quantized: expected a format";
    if (recipe->weights.mix)
        return "sensitivity is of one place at a time, and a mix is of all: expected a format";
    if (recipe->num_rules || bs_recipe_quantizes_activations(recipe) ||
        bs_recipe_quantizes_cache(recipe))
        return "sensitivity is of weights at one place at a time: expected none of except, "
               "activations and kv_cache beside it";
    return NULL;
}

void bs_spreads_free(struct bs_spread_config *spreads, int num_spreads)
{
    for (int i = 0; i < num_spreads; i++)
        bs_recipe_release(&spreads[i].recipe);
    bs_free(spreads);
}

/* One more of each list that stands by recipes. */
static bool grow_lists(struct bs_config *config)
{
    size_t count = (size_t)config->num_recipes;
    struct bs_recipe *recipes =
        bs_realloc(config->recipes, count, count + 1, sizeof *config->recipes);
    config->recipes = recipes ? recipes : config->recipes;
    uint64_t *models =
        bs_realloc(config->recipe_models, count, count + 1, sizeof *config->recipe_models);
    config->recipe_models = models ? models : config->recipe_models;
    uint64_t *texts =
        bs_realloc(config->recipe_texts, count, count + 1, sizeof *config->recipe_texts);
    config->recipe_texts = texts ? texts : config->recipe_texts;
    struct bs_digest *digests =
        bs_realloc(config->recipe_digests, count, count + 1, sizeof *config->recipe_digests);
    config->recipe_digests = digests ? digests : config->recipe_digests;
    return recipes && models && texts && digests;
}

/* The digest of a recipe's canonical text; false without memory. */
static bool digest_of(const struct bs_recipe *recipe, struct bs_digest *digest)
{
    char *text = bs_recipe_text(recipe, bs_recipe_print);
    if (text)
        *digest = bs_digest_of(text, strlen(text));
    bs_free(text);
    return text;
}

int bs_config_find_recipe(const struct bs_config *config, const struct bs_recipe *recipe)
{
    struct bs_digest digest;
    if (!digest_of(recipe, &digest))
        return -2;
    for (int r = 0; r < config->num_recipes; r++)
        if (!strcmp(config->recipe_digests[r].hex, digest.hex))
            return r;
    return -1;
}

enum bs_status bs_config_add_recipe(struct bs_config *config, struct bs_recipe *recipe,
                                    uint64_t models, uint64_t texts, struct bs_error *err)
{
    struct bs_digest digest;
    int known = bs_config_find_recipe(config, recipe);
    if (known == -2 || !digest_of(recipe, &digest) || (known < 0 && !grow_lists(config))) {
        bs_recipe_release(recipe);
        return bs_fail_memory(err);
    }
    if (known >= 0) {
        bs_recipe_release(recipe);
        config->recipe_models[known] |= models;
        config->recipe_texts[known] |= texts;
        return BS_OK;
    }
    config->recipe_digests[config->num_recipes] = digest;
    config->recipe_models[config->num_recipes] = models;
    config->recipe_texts[config->num_recipes] = texts;
    config->recipes[config->num_recipes++] = *recipe;
    return BS_OK;
}
