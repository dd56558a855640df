#include "eval/config/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/chart_list.h"
#include "eval/config/expected.h"
#include "eval/config/model_list.h"
#include "eval/config/load.h"
#include "eval/config/sensitivity.h"
#include "eval/config/settings.h"
#include "eval/config/sweep.h"

const struct bs_config_key bs_config_keys[] = {
    {"model", "a folder or a hub name, a mapping with path and name, or a list of them",
     "Hugging Face models: each a folder, or org/name[@revision]; weights that are quantized "
     "already, see layout, are measured as they are, with inputs of linears quantized where the "
     "files say so, and a LoRA is merged into its base",
     true},
    {"calibration", "a mapping, see calibration, or a list of them",
     "what the algorithms look at; a list within it is an axis: `seed: [0, 1, 2]` says how much of "
     "a difference is the draw's",
     false},
    {"evaluation", "a mapping, see evaluation", "what is measured", true},
    {"sweep", "a list of grids", "each grid is the product of its lists", true},
    {"expected", "a list of mappings, see expected",
     "published figures, which `bitsweep table` prints beside the measured ones", false},
    {"charts", "a list of chart names, and of mappings, see chart",
     "what `bitsweep run` draws when it is done: perplexity_vs_bits, pareto, layer_error, "
     "perplexity_by_position (where in the window the damage is), kv_cache (what is lost over the "
     "bits of a cached value), heatmap (over bits of weights, activations and cache), sensitivity "
     "(a map of what one place costs), channels (the largest values of a site's channels before "
     "and after), xy (any number over any other), and of any value "
     "NAME_vs_bits, pareto_NAME, kv_cache_NAME, heatmap_NAME and sensitivity_NAME, of one of "
     "linears layer_NAME, of a figure of predictions NAME_by_position; "
     "beside a text, tasks have charts of the values that are named: acc_vs_bits, pareto_acc",
     false},
    {"export", "a list of mappings, see export",
     "recipes that `bitsweep run` writes as other programs read them, when their trials have run",
     false},
    {"accept_unknown", "a list of keys",
     "keys of a model's config.json that look like arithmetic, are not understood, and are passed "
     "over all the same; recorded, and part of what a trial is",
     false},
    {"numerics", "a name, see numerics",
     "by what matrices are multiplied (portable); --numerics goes before it", false},
    {"reference", "a name or place of one of the models, or another model",
     "the model that the others are compared with: each of these is measured as its files have it, "
     "against the reference in place of itself, and recipes are for the reference alone",
     false},
    {.name = NULL},
};

const struct bs_config_key bs_expected_keys[] = {
    {"source", "where the figures were published", "paper and table, or a file and its version",
     true},
    {"text", "the name of an evaluation text", "what was predicted", true},
    {"figure", "the name of a value",
     "what was published, as `bitsweep describe evaluation` names "
     "it, in its unit (perplexity, else the first value of the text's evaluation)",
     false},
    {"values", "a mapping from models to figures",
     "for each model a mapping from labels, as `bitsweep plan` prints them, to what was published",
     true},
    {"numerics", "a name, see numerics",
     "of figures that bitsweep measured by what: a table says so where a trial's are others",
     false},
    {.name = NULL},
};

/* Figures are checked against models, texts and recipes: where these have errors (`sound` is
 * false), only the keys are. */
static enum bs_status read_expected(struct bs_load *load, const struct bs_yaml_node *node,
                                    bool sound)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bs_load_no_list(load, "expected", node, "a list of mappings with source, text and values");
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        if (bs_load_section(load, "an entry of expected", node->items[i], bs_expected_keys, NULL,
                            NULL) &&
            sound)
            status = bs_expected_read(node->items[i], load->report, load->config, load->err);
    return status;
}

static enum bs_status read_accepted(struct bs_load *load, const struct bs_yaml_node *node)
{
    enum bs_status status = BS_OK;
    bool right = node->kind == BS_YAML_SEQUENCE && node->num_items > 0;
    for (int i = 0; right && i < node->num_items; i++) {
        const struct bs_yaml_node *key = node->items[i];
        right = key->kind == BS_YAML_SCALAR && !bs_yaml_is_null(key) && *key->text;
        if (right && !status)
            status = bs_lines_add(&load->config->accept_unknown, load->err, "%s", key->text);
    }
    if (!right)
        bs_load_wrong(load, "accept_unknown", node, "a list of keys");
    return status;
}

/* A recipe that is only for models that are compared with the reference would be nobody's. */
static void check_reference(struct bs_load *load, const struct bs_yaml_node *node)
{
    const struct bs_config *config = load->config;
    for (int r = 1; config->has_reference && r < config->num_recipes; r++)
        if (!(config->recipe_models[r] >> config->reference & 1)) {
            bs_report_add(load->report, node->line, node->column,
                          "a grid is for other models than the reference '%s' alone, but those are "
                          "measured as their files have them",
                          config->models[config->reference]);
            return;
        }
}

static enum bs_status read_root(struct bs_load *load, const struct bs_yaml_node *root)
{
    if (!bs_load_section(load, "the file", root, bs_config_keys, NULL, NULL))
        return BS_OK;
    const struct bs_yaml_node *model = bs_yaml_get(root, "model");
    const struct bs_yaml_node *calibration = bs_yaml_get(root, "calibration");
    const struct bs_yaml_node *evaluation = bs_yaml_get(root, "evaluation");
    const struct bs_yaml_node *sweep = bs_yaml_get(root, "sweep");
    const struct bs_yaml_node *expected = bs_yaml_get(root, "expected");
    const struct bs_yaml_node *charts = bs_yaml_get(root, "charts");
    const struct bs_yaml_node *exports = bs_yaml_get(root, "export");
    const struct bs_yaml_node *accepted = bs_yaml_get(root, "accept_unknown");
    const struct bs_yaml_node *numerics = bs_yaml_get(root, "numerics");
    const struct bs_yaml_node *reference = bs_yaml_get(root, "reference");
    enum bs_status status =
        model ? bs_model_list_read(model, reference, load->report, load->config, load->err) : BS_OK;
    if (!status && calibration)
        status = bs_calibrations_read(load, calibration);
    if (!status && evaluation)
        status = bs_evaluation_read(load, evaluation);
    if (!status && sweep)
        status = bs_sweep_expand(load, sweep, calibration != NULL);
    if (!status && reference)
        check_reference(load, reference);
    if (!status && expected)
        status = read_expected(load, expected, load->report->num_kept == 0);
    if (!status && charts)
        status = bs_charts_read(load, charts);
    if (!status && exports)
        status = bs_exports_read(load, exports);
    if (!status && accepted)
        status = read_accepted(load, accepted);
    if (numerics)
        load->config->numerics = bs_load_numerics(load->report, numerics);
    return status;
}

/* A checkpoint named by mistake is refused before gigabytes of it are read. */
static enum bs_status read_source(const char *path, char **source, size_t *size,
                                  struct bs_error *err)
{
    struct stat info;
    if (!stat(path, &info) && S_ISREG(info.st_mode) && info.st_size > BS_YAML_MAX_BYTES)
        return bs_fail(err, BS_ECONFIG,
                       "%s:1:1: error: %lld bytes, expected a config of at most %d", path,
                       (long long)info.st_size, BS_YAML_MAX_BYTES);
    return bs_file_read(path, source, size, err);
}

enum bs_status bs_config_load(const char *path, const char *const *charts, struct bs_config *config,
                              struct bs_error *err)
{
    return bs_config_load_set(path, NULL, 0, charts, config, err);
}

/* A config's text, where settings are in it also that without them. */
struct source {
    const char *path, *text;
    size_t size;
    const char *original;
    const char *const *settings;
    int num_settings;
};

static enum bs_status parse(const struct source *source, const char *const *charts,
                            struct bs_config *config, struct bs_error *err);

static enum bs_status parse_set(const char *path, const char *text, const char *const *settings,
                                int num_settings, const char *const *charts,
                                struct bs_config *config, struct bs_error *err)
{
    char *set;
    enum bs_status status = bs_settings_apply(path, text, settings, num_settings, &set, err);
    if (!status) {
        const struct source source = {path, set, strlen(set), text, settings, num_settings};
        status = parse(&source, charts, config, err);
    }
    bs_free(set);
    return status;
}

enum bs_status bs_config_load_set(const char *path, const char *const *settings, int num_settings,
                                  const char *const *charts, struct bs_config *config,
                                  struct bs_error *err)
{
    char *text = NULL;
    size_t size;
    memset(config, 0, sizeof *config);
    struct stat info;
    enum bs_status status = read_source(path, &text, &size, err);
    if (!status)
        status = num_settings ? parse_set(path, text, settings, num_settings, charts, config, err)
                              : bs_config_parse(path, text, size, charts, config, err);
    if (!status && !stat(path, &info) && !S_ISREG(info.st_mode))
        config->folder[0] = '\0'; /* a pipe has no folder that a path could start from */
    bs_free(text);
    return status;
}

/* What the config keeps of where it comes from. */
static enum bs_status keep_source(const struct source *source, struct bs_config *config,
                                  struct bs_error *err)
{
    config->path = bs_strdup(source->path);
    config->folder = bs_path_folder(source->path);
    config->source = bs_calloc(source->size + 1, 1);
    config->settings = bs_calloc((size_t)source->num_settings + 1, sizeof *config->settings);
    if (!config->path || !config->folder || !config->source || !config->settings)
        return bs_fail_memory(err);
    memcpy(config->source, source->text, source->size);
    for (int i = 0; i < source->num_settings; i++, config->num_settings++)
        if (!(config->settings[i] = bs_strdup(source->settings[i])))
            return bs_fail_memory(err);
    return BS_OK;
}

static enum bs_status parse(const struct source *source, const char *const *charts,
                            struct bs_config *config, struct bs_error *err)
{
    memset(config, 0, sizeof *config);
    bs_options_default(bs_layer_error_options, &config->layer_error);
    bs_options_default(bs_channels_options, &config->channels);
    struct bs_yaml *yaml = NULL;
    struct bs_report report;
    bs_report_init(&report, source->path, source->settings);
    enum bs_status status = keep_source(source, config, err);
    if (!status)
        status = bs_yaml_parse(source->path, config->source, source->size, &yaml, err);
    if (!status && source->num_settings)
        status =
            bs_settings_place(yaml, source->original, source->settings, source->num_settings, err);
    if (status)
        goto done;
    bs_yaml_check_keys(yaml, &report);
    struct bs_load load = {config, &report, charts, err};
    status = read_root(&load, bs_yaml_root(yaml));
    if (!status)
        status = bs_report_finish(&report, err);
done:
    bs_report_release(&report);
    bs_yaml_free(yaml);
    if (status)
        bs_config_release(config);
    return status;
}

enum bs_status bs_config_parse(const char *path, const char *text, size_t size,
                               const char *const *charts, struct bs_config *config,
                               struct bs_error *err)
{
    const struct source source = {.path = path, .text = text, .size = size};
    return parse(&source, charts, config, err);
}

void bs_config_place(const struct bs_config *config, int line, int column, char out[BS_PLACE_TEXT])
{
    bs_place_print(config->path, (const char *const *)config->settings, line, column, out);
}

void bs_config_release(struct bs_config *config)
{
    for (int i = 0; i < config->num_settings; i++)
        bs_free(config->settings[i]);
    bs_free(config->settings);
    bs_free(config->path);
    bs_free(config->folder);
    bs_free(config->source);
    for (int m = 0; m < config->num_models; m++)
        bs_free(config->models[m]), bs_free(config->model_places[m]);
    bs_free(config->models);
    bs_free(config->model_places);
    for (int c = 0; c < config->num_calibrations; c++)
        bs_calibration_release(&config->calibrations[c]);
    bs_free(config->calibrations);
    for (int i = 0; i < config->num_evaluations; i++)
        bs_evaluation_release(&config->evaluations[i]);
    for (int i = 0; i < config->channels.num_sites; i++)
        bs_free(config->channels.sites[i]);
    bs_recipes_free(config->recipes, config->num_recipes);
    bs_lines_release(&config->notices);
    bs_free(config->recipe_models);
    bs_free(config->recipe_texts);
    bs_free(config->recipe_digests);
    bs_spreads_free(config->spreads, config->num_spreads);
    for (int i = 0; i < config->num_sources; i++)
        bs_free(config->sources[i]);
    bs_free(config->sources);
    for (int i = 0; i < config->num_expected; i++) {
        bs_free(config->expected[i].label);
        bs_free(config->expected[i].printed);
    }
    bs_free(config->expected);
    bs_charts_release(config);
    bs_exports_free(config->exports, config->num_exports);
    bs_lines_release(&config->accept_unknown);
    memset(config, 0, sizeof *config);
}

bool bs_config_wants(const struct bs_config *config, int recipe, int model)
{
    if (config->has_reference && model != config->reference && recipe)
        return false;
    return config->recipe_models[recipe] >> model & 1;
}

bool bs_config_spans_tokens(const struct bs_config *config, int model)
{
    bool any = false;
    for (int r = 0; r < config->num_recipes && !any; r++)
        any = bs_config_wants(config, r, model) && bs_recipe_spans_tokens(&config->recipes[r]);
    return any;
}
