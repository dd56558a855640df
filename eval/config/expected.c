#include "eval/config/expected.h"

#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/config/load.h"
#include "eval/config/model_list.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96, LONGEST_QUOTE = 100 };

/* A perplexity is the inverse of a mean probability; other figures may be anything. */
static const struct bs_option perplexity_option = {.name = "a published perplexity",
                                                   .offset =
                                                       offsetof(struct bs_expected_config, value),
                                                   .type = BS_DOUBLE,
                                                   .initial = 1,
                                                   .min = 1,
                                                   .max = 1e12};
static const struct bs_option figure_option = {.name = "a published figure",
                                               .offset = offsetof(struct bs_expected_config, value),
                                               .type = BS_DOUBLE,
                                               .min = -1e300,
                                               .max = 1e300};

/* One entry as it is read. */
struct reading {
    struct bs_report *report;
    struct bs_config *config;
    struct bs_error *err;
    char **labels;    /* of the config's recipes */
    int source, text; /* of the config */
    const struct bs_numerics *numerics;
    const struct bs_value_type *type;
};

/* The index of the name, or -1 after an error with those there are. */
static int find(struct reading *reading, const struct bs_yaml_node *node, const char *what,
                const struct bs_names *names)
{
    for (int i = 0; node->text && i < names->count; i++)
        if (!strcmp(names->names[i], node->text))
            return i;
    char found[FOUND_TEXT], list[LIST_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_names_print(names, node->text ? node->text : "", list, sizeof list);
    bs_report_add(reading->report, node->line, node->column, "%s is %s, expected %s", what, found,
                  list);
    return -1;
}

/* The recipe of the model that has this label, or -1 after an error with the nearest. */
static enum bs_status find_recipe(struct reading *reading, const struct bs_yaml_node *node,
                                  int model, int *recipe)
{
    const struct bs_config *config = reading->config;
    const char **own = bs_calloc((size_t)config->num_recipes + 1, sizeof(const char *));
    if (!own)
        return bs_fail_memory(reading->err);
    int count = 0;
    *recipe = -1;
    for (int r = 0; r < config->num_recipes; r++) {
        if (!bs_config_wants(config, r, model))
            continue;
        own[count++] = reading->labels[r];
        if (!strcmp(reading->labels[r], node->text))
            *recipe = r;
    }
    if (*recipe < 0) {
        const char *near = bs_nearest_word(node->text, own);
        bs_report_add(reading->report, node->line, node->column,
                      "'%.*s' is no recipe of '%.*s', expected a label as `bitsweep plan` prints "
                      "it%s%s%s",
                      bs_cut(node->text, LONGEST_QUOTE), node->text,
                      bs_cut(config->models[model], LONGEST_QUOTE), config->models[model],
                      near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
    bs_free((void *)own);
    return BS_OK;
}

static enum bs_status add_figure(struct reading *reading, const struct bs_yaml_node *key,
                                 const struct bs_yaml_node *value, int model, int recipe)
{
    struct bs_config *config = reading->config;
    struct bs_expected_config figure = {.source = reading->source,
                                        .model = model,
                                        .text = reading->text,
                                        .recipe = recipe,
                                        .type = reading->type,
                                        .numerics = reading->numerics};
    const struct bs_option *option =
        !strcmp(reading->type->name, "perplexity") ? &perplexity_option : &figure_option;
    struct bs_error wrong;
    if (value->kind != BS_YAML_SCALAR || bs_yaml_is_null(value)) {
        char found[FOUND_TEXT];
        bs_yaml_print_found(value, found, sizeof found);
        bs_report_add(reading->report, value->line, value->column, "%s is %s, expected a number",
                      option->name, found);
        return BS_OK;
    }
    if (bs_option_parse(option, value->text, &figure, &wrong)) {
        bs_report_add(reading->report, value->line, value->column, "%s", wrong.message);
        return BS_OK;
    }
    for (int i = 0; i < config->num_expected; i++) {
        const struct bs_expected_config *other = &config->expected[i];
        if (other->model == model && other->text == figure.text && other->recipe == recipe &&
            other->type == figure.type) {
            bs_report_add(reading->report, key->line, key->column,
                          "a second figure for '%.*s' of '%.*s' on '%s', expected one",
                          bs_cut(key->text, LONGEST_QUOTE), key->text,
                          bs_cut(config->models[model], LONGEST_QUOTE), config->models[model],
                          config->evaluations[figure.text].name);
            return BS_OK;
        }
    }
    struct bs_expected_config *grown = bs_realloc(config->expected, (size_t)config->num_expected,
                                                  (size_t)config->num_expected + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(reading->err);
    config->expected = grown;
    figure.label = bs_strdup(key->text);
    figure.printed = bs_strdup(value->text);
    config->expected[config->num_expected++] = figure;
    return figure.label && figure.printed ? BS_OK : bs_fail_memory(reading->err);
}

static bool is_filled_mapping(struct reading *reading, const char *what,
                              const struct bs_yaml_node *node, const char *allowed)
{
    if (node->kind == BS_YAML_MAPPING && node->num_items > 0)
        return true;
    char found[FOUND_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(reading->report, node->line, node->column, "%s is %s, expected %s", what,
                  node->kind == BS_YAML_MAPPING ? "empty" : found, allowed);
    return false;
}

/* The figures of one model: label -> perplexity. */
static enum bs_status read_model(struct reading *reading, const struct bs_yaml_node *key,
                                 const struct bs_yaml_node *figures)
{
    const struct bs_config *config = reading->config;
    struct bs_names models = {0};
    for (int m = 0; m < config->num_models; m++)
        bs_names_add(&models, config->models[m]);
    int model = bs_config_find_model(config, key->text);
    if (model < 0)
        model = find(reading, key, "model", &models);
    if (model < 0 || !is_filled_mapping(reading, "a model's entry", figures,
                                        "a mapping from labels of recipes to figures"))
        return BS_OK;
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < figures->num_items; i += 2) {
        const struct bs_yaml_node *label = figures->items[i];
        int recipe = -1;
        if (!label->text)
            continue;
        status = find_recipe(reading, label, model, &recipe);
        if (!status && recipe >= 0)
            status = add_figure(reading, label, figures->items[i + 1], model, recipe);
    }
    return status;
}

static enum bs_status read_values(struct reading *reading, const struct bs_yaml_node *values)
{
    struct bs_config *config = reading->config;
    reading->labels = bs_calloc((size_t)config->num_recipes, sizeof *reading->labels);
    if (!reading->labels)
        return bs_fail_memory(reading->err);
    enum bs_status status = BS_OK;
    for (int r = 0; !status && r < config->num_recipes; r++)
        if (!(reading->labels[r] = bs_recipe_text(&config->recipes[r], bs_recipe_print_label)))
            status = bs_fail_memory(reading->err);
    for (int i = 0; !status && i < values->num_items; i += 2)
        if (values->items[i]->text)
            status = read_model(reading, values->items[i], values->items[i + 1]);
    for (int r = 0; r < config->num_recipes; r++)
        bs_free(reading->labels[r]);
    bs_free(reading->labels);
    return status;
}

/* What the entry's figures are: `figure`, else the perplexity, else the first value. False after an
 * error with the names there are. */
static bool find_type(struct reading *reading, const struct bs_yaml_node *figure)
{
    const char *evaluation = reading->config->evaluations[reading->text].how.plugin->name, *own;
    const struct bs_value_type *type;
    struct bs_names names = {0};
    reading->type = NULL;
    for (int i = 0; (type = bs_value_type_at(i, &own)); i++) {
        if (strcmp(own, evaluation) && strcmp(own, bs_model_values))
            continue;
        bs_names_add(&names, type->name);
        bool asked = figure ? figure->text && !strcmp(figure->text, type->name)
                            : !strcmp(type->name, "perplexity");
        if (asked || (!figure && !reading->type))
            reading->type = type;
    }
    if (!reading->type && figure)
        find(reading, figure, "figure", &names);
    return reading->type;
}

/* Keeps the source of the entry's figures. */
static enum bs_status add_source(struct reading *reading, const char *text)
{
    struct bs_config *config = reading->config;
    char **grown = bs_realloc(config->sources, (size_t)config->num_sources,
                              (size_t)config->num_sources + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(reading->err);
    config->sources = grown;
    char *copy = bs_strdup(text);
    if (!copy)
        return bs_fail_memory(reading->err);
    reading->source = config->num_sources;
    config->sources[config->num_sources++] = copy;
    return BS_OK;
}

enum bs_status bs_expected_read(const struct bs_yaml_node *entry, struct bs_report *report,
                                struct bs_config *config, struct bs_error *err)
{
    struct reading reading = {.report = report, .config = config, .err = err};
    const struct bs_yaml_node *source = bs_yaml_get(entry, "source");
    const struct bs_yaml_node *text = bs_yaml_get(entry, "text");
    const struct bs_yaml_node *values = bs_yaml_get(entry, "values");
    const struct bs_yaml_node *numerics = bs_yaml_get(entry, "numerics");
    if (!source || !text || !values) /* reported with the keys */
        return BS_OK;
    if (numerics && !(reading.numerics = bs_load_numerics(report, numerics)))
        return BS_OK;
    struct bs_names texts = {0};
    for (int t = 0; t < config->num_evaluations; t++)
        bs_names_add(&texts, config->evaluations[t].name);
    reading.text = find(&reading, text, "text", &texts);
    bool named = source->kind == BS_YAML_SCALAR && !bs_yaml_is_null(source) && *source->text;
    if (!named) {
        char found[FOUND_TEXT];
        bs_yaml_print_found(source, found, sizeof found);
        bs_report_add(report, source->line, source->column,
                      "source is %s, expected where the figures were published", found);
    }
    bool filled = is_filled_mapping(&reading, "values", values, "a mapping from models to figures");
    if (reading.text < 0 || !find_type(&reading, bs_yaml_get(entry, "figure")) || !named || !filled)
        return BS_OK;
    enum bs_status status = add_source(&reading, source->text);
    return !status ? read_values(&reading, values) : status;
}
