#include "eval/config/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/expected.h"
#include "eval/config/model_list.h"
#include "eval/config/report.h"
#include "eval/config/sweep.h"
#include "eval/config/yaml.h"
#include "eval/config/yaml_product.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96, MOST_WINDOWS = 1 << 20, MOST_TOKENS = 1 << 20 };

const char *const bs_sampling_names[] = {
    [BS_SAMPLING_SEQUENTIAL] = "sequential",
    [BS_SAMPLING_GPTQ] = "gptq",
    [BS_SAMPLING_GPTQ_DOCUMENTS] = "gptq_documents",
    [BS_SAMPLING_AWQ] = "awq",
    [BS_SAMPLING_AUTO] = "auto",
    NULL,
};

static const char *const stride_words[] = {"half", NULL};
static const char lines_help[] = "plain text: each line is a document, else the whole file is one";

const struct bs_option bs_calibration_options[] = {
    BS_OPT(struct bs_calibration_config, windows, 128, 1, MOST_WINDOWS,
           "windows cut from the text; not for sampling awq, which takes what its documents give"),
    BS_OPT(struct bs_calibration_config, tokens, 2048, 1, MOST_TOKENS,
           "tokens of a window; the authors of AWQ take 512"),
    BS_OPT(struct bs_calibration_config, seed, 0, 0, 2147483647,
           "of every sampling but sequential; the authors of AWQ take 42"),
    BS_OPT_WORDS(
        struct bs_calibration_config, sampling, BS_CHOICE, BS_SAMPLING_AUTO, 0, 4,
        bs_sampling_names,
        "sequential = consecutive from the start; gptq = random starts as its code draws "
        "them, in drawn documents for c4; gptq_documents = so for any text; awq = shuffled "
        "documents of at most `tokens` put together and cut; auto = gptq where a seed is given, "
        "else sequential"),
    BS_OPT(struct bs_calibration_config, documents, 128, 1, MOST_WINDOWS,
           "of sampling awq: how many are put together"),
    BS_OPT(struct bs_calibration_config, lines, false, 0, 1, lines_help),
    {.name = NULL},
};

const struct bs_option bs_evaluation_options[] = {
    BS_OPT(struct bs_evaluation_config, tokens, 2048, 2, MOST_TOKENS, "tokens of a window"),
    BS_OPT(struct bs_evaluation_config, windows, 0, 0, MOST_WINDOWS,
           "windows of the text; 0 = all"),
    BS_OPT_WORDS(struct bs_evaluation_config, pick, BS_CHOICE, BS_PICK_AUTO, 0, 2, bs_pick_names,
                 "which, where not all: even = one of each of as many parts of the text, first = "
                 "from its start; auto = first for protocol llama.cpp and the c4 texts, as their "
                 "own tools do, else even"),
    BS_OPT_WORDS(struct bs_evaluation_config, protocol, BS_CHOICE, BS_PROTOCOL_GPTQ, 0,
                 BS_NUM_PROTOCOLS - 1, bs_protocol_names,
                 "which predictions are scored, see protocols"),
    BS_OPT_WORDS(struct bs_evaluation_config, stride, BS_INT, 0, 1, MOST_TOKENS, stride_words,
                 "of protocol sliding: tokens from the start of a window to that of the next; half "
                 "= of tokens"),
    BS_OPT(struct bs_evaluation_config, lines, false, 0, 1, lines_help),
    {.name = NULL},
};

const struct bs_option bs_layer_error_options[] = {
    BS_OPT(struct bs_layer_error_config, windows, 8, 0, MOST_WINDOWS,
           "windows of the first text over which the error of each linear is taken; 0 = none"),
    {.name = NULL},
};

const struct bs_config_key bs_config_keys[] = {
    {"model", "a folder or a hub name, a mapping with path and name, or a list of them",
     "Hugging Face models: each a folder, or org/name[@revision]", true},
    {"calibration", "a mapping, see calibration, or a list of them",
     "what the algorithms look at; a list within it is an axis: `seed: [0, 1, 2]` says how much of "
     "a difference is the draw's",
     false},
    {"evaluation", "a mapping, see evaluation", "what is measured", true},
    {"sweep", "a list of grids", "each grid is the product of its lists", true},
    {"expected", "a list of mappings, see expected",
     "published figures, which `bitsweep table` prints beside the measured ones", false},
    {"charts", "a list of chart names", "what `bitsweep run` draws when it is done", false},
    {"accept_unknown", "a list of keys",
     "keys of a model's config.json that look like arithmetic, are not understood, and are passed "
     "over all the same; recorded, and part of what a trial is",
     false},
    {.name = NULL},
};

const struct bs_config_key bs_calibration_keys[] = {
    {"text", "a file or a known text, see texts", "where the windows are cut from", true},
    {"field", "a text", "JSON: the key of the document (text)", false},
    {"join", "a text", "what comes between documents (\\n\\n)", false},
    {.name = NULL},
};

const struct bs_config_key bs_evaluation_keys[] = {
    {"perplexity", "a list of mappings with text", "texts to predict", true},
    {"layer_error", "a mapping, see layer_error", "the error of each linear", false},
    {.name = NULL},
};

const struct bs_config_key bs_text_keys[] = {
    {"text", "a file or a known text, see texts", "what is predicted", true},
    {"name", "a text", "what tables, charts and the result file call it (the file's name)", false},
    {"field", "a text", "JSON: the key of the document (text)", false},
    {"join", "a text", "what comes between documents (\\n\\n)", false},
    {.name = NULL},
};

const struct bs_config_key bs_expected_keys[] = {
    {"source", "where the figures were published", "paper and table, or a file and its version",
     true},
    {"text", "the name of an evaluation text", "what was predicted", true},
    {"values", "a mapping from models to figures",
     "for each model a mapping from labels, as `bitsweep plan` prints them, to perplexities", true},
    {.name = NULL},
};

/* The state of one load. */
struct load {
    struct bs_config *config;
    struct bs_report *report;
    const char *const *charts;
    struct bs_error *err;
};

static void add_names(struct bs_names *names, const struct bs_config_key *keys,
                      const struct bs_option *options)
{
    for (int k = 0; keys && keys[k].name; k++)
        bs_names_add(names, keys[k].name);
    bs_names_add_options(names, options);
}

/* "what is <found>, expected <allowed>" */
static void report_wrong(struct load *load, const char *what, const struct bs_yaml_node *node,
                         const char *allowed)
{
    char found[FOUND_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(load->report, node->line, node->column, "%s is %s, expected %s", what, found,
                  allowed);
}

static void read_option(struct load *load, const struct bs_option *option,
                        const struct bs_yaml_node *value, void *values)
{
    if (value->kind != BS_YAML_SCALAR || bs_yaml_is_null(value)) {
        char allowed[LIST_TEXT];
        bs_option_print_allowed(option, allowed, sizeof allowed);
        report_wrong(load, option->name, value, allowed);
    } else {
        bs_report_parse(load->report, value->line, value->column, option, value->text, values);
    }
}

/* Checks a mapping's keys against keys and options, and reads the options into values. False where
 * the node is no mapping. */
static bool read_section(struct load *load, const char *what, const struct bs_yaml_node *node,
                         const struct bs_config_key *keys, const struct bs_option *options,
                         void *values)
{
    struct bs_names names = {0};
    add_names(&names, keys, options);
    if (node->kind != BS_YAML_MAPPING) {
        char list[LIST_TEXT], allowed[LIST_TEXT + 32];
        bs_names_print(&names, "", list, sizeof list);
        snprintf(allowed, sizeof allowed, "a mapping with %s", list);
        report_wrong(load, what, node, allowed);
        return false;
    }
    for (int k = 0; keys && keys[k].name; k++)
        if (keys[k].required && !bs_yaml_get(node, keys[k].name))
            bs_report_add(load->report, node->line, node->column, "%s is missing, expected %s",
                          keys[k].name, keys[k].allowed);
    for (int i = 0; i < node->num_items; i += 2) {
        const struct bs_yaml_node *key = node->items[i];
        if (!key->text) /* reported by bs_yaml_check_keys */
            continue;
        const struct bs_option *option = bs_option_find(options, key->text);
        bool known = false;
        for (int k = 0; keys && keys[k].name; k++)
            known |= !strcmp(keys[k].name, key->text);
        if (option)
            read_option(load, option, node->items[i + 1], values);
        else if (!known)
            bs_report_unknown_key(load->report, key->line, key->column, key->text, &names, "");
    }
    return true;
}

/* Reads the text below `key` where it is there; what is missing was reported by read_section. Only
 * a join may be empty. */
static enum bs_status read_text(struct load *load, const struct bs_yaml_node *node,
                                const struct bs_config_key *key, char **text)
{
    const struct bs_yaml_node *value = bs_yaml_get(node, key->name);
    if (!value)
        return BS_OK;
    if (value->kind != BS_YAML_SCALAR || bs_yaml_is_null(value) ||
        (!*value->text && strcmp(key->name, "join"))) {
        report_wrong(load, key->name, value, key->allowed);
        return BS_OK;
    }
    *text = bs_strdup(value->text);
    return *text ? BS_OK : bs_fail_memory(load->err);
}

/* Reports an option that is given although another one leaves it without meaning. */
static void report_idle(struct load *load, const struct bs_yaml_node *node, const char *name,
                        bool idle, const char *why)
{
    const struct bs_yaml_node *value = bs_yaml_get(node, name);
    if (value && idle)
        bs_report_add(load->report, value->line, value->column, "%s %s", name, why);
}

static bool same_text(const char *a, const char *b)
{
    return (!a && !b) || (a && b && !strcmp(a, b));
}

static void release_calibration(struct bs_calibration_config *calibration)
{
    bs_free(calibration->text);
    bs_free(calibration->field);
    bs_free(calibration->join);
}

int bs_calibration_seed(const struct bs_calibration_config *calibration)
{
    return calibration->sampling == BS_SAMPLING_SEQUENTIAL ? -1 : calibration->seed;
}

/* Whether both cut the same windows. */
static bool same_calibration(const struct bs_calibration_config *a,
                             const struct bs_calibration_config *b)
{
    bool awq = a->sampling == BS_SAMPLING_AWQ;
    return same_text(a->text, b->text) && same_text(a->field, b->field) &&
           same_text(a->join, b->join) && a->lines == b->lines && a->tokens == b->tokens &&
           a->sampling == b->sampling && bs_calibration_seed(a) == bs_calibration_seed(b) &&
           (awq ? a->documents == b->documents : a->windows == b->windows);
}

/* Takes the calibration over, or releases it where one like it is there. */
static enum bs_status keep_calibration(struct load *load, struct bs_calibration_config *calibration)
{
    struct bs_config *config = load->config;
    bool known = !calibration->text;
    for (int c = 0; c < config->num_calibrations; c++)
        known = known || same_calibration(&config->calibrations[c], calibration);
    if (known) {
        release_calibration(calibration);
        return BS_OK;
    }
    struct bs_calibration_config *grown =
        bs_realloc(config->calibrations, (size_t)config->num_calibrations,
                   (size_t)config->num_calibrations + 1, sizeof *grown);
    if (!grown) {
        release_calibration(calibration);
        return bs_fail_memory(load->err);
    }
    config->calibrations = grown;
    grown[config->num_calibrations++] = *calibration;
    return BS_OK;
}

/* One point of a calibration's axes. */
struct calibration_axes {
    struct load *load;
    bool samplings, seeds; /* these are axes: what is idle for one is not for another */
};

static enum bs_status read_calibration_point(void *context, const struct bs_yaml_node *node)
{
    const struct calibration_axes *axes = context;
    struct load *load = axes->load;
    struct bs_calibration_config calibration = {.text = NULL};
    bs_options_default(bs_calibration_options, &calibration);
    if (!read_section(load, "calibration", node, bs_calibration_keys, bs_calibration_options,
                      &calibration))
        return BS_OK;
    if (calibration.sampling == BS_SAMPLING_AUTO)
        calibration.sampling =
            bs_yaml_get(node, "seed") ? BS_SAMPLING_GPTQ : BS_SAMPLING_SEQUENTIAL;
    bool awq = calibration.sampling == BS_SAMPLING_AWQ;
    if (!axes->samplings) {
        report_idle(load, node, "windows", awq,
                    "is not for sampling awq, which cuts what its documents give, expected "
                    "documents");
        report_idle(load, node, "documents", !awq, "is for sampling awq only, expected windows");
        report_idle(
            load, node, "seed", axes->seeds && calibration.sampling == BS_SAMPLING_SEQUENTIAL,
            "is not for sampling sequential, which draws nothing, expected another sampling "
            "or no list of seeds");
    }
    enum bs_status status = read_text(load, node, &bs_calibration_keys[0], &calibration.text);
    if (!status)
        status = read_text(load, node, &bs_calibration_keys[1], &calibration.field);
    if (!status)
        status = read_text(load, node, &bs_calibration_keys[2], &calibration.join);
    if (!status)
        return keep_calibration(load, &calibration);
    release_calibration(&calibration);
    return status;
}

static bool is_list(const struct bs_yaml_node *node)
{
    return node && node->kind == BS_YAML_SEQUENCE && node->num_items > 1;
}

static enum bs_status read_calibration(struct load *load, const struct bs_yaml_node *node)
{
    struct calibration_axes axes = {load, is_list(bs_yaml_get(node, "sampling")),
                                    is_list(bs_yaml_get(node, "seed"))};
    if (node->kind != BS_YAML_MAPPING) {
        report_wrong(load, "calibration", node, bs_config_keys[1].allowed);
        return BS_OK;
    }
    if (load->config->num_calibrations + bs_yaml_points(node, BS_MAX_CALIBRATIONS) >
        BS_MAX_CALIBRATIONS) {
        bs_report_add(load->report, node->line, node->column,
                      "more than %d calibrations, expected fewer", BS_MAX_CALIBRATIONS);
        return BS_OK;
    }
    return bs_yaml_each_point(node, read_calibration_point, &axes, load->err);
}

/* One mapping, or a list of them. */
static enum bs_status read_calibrations(struct load *load, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0)
        return read_calibration(load, node);
    enum bs_status status = BS_OK;
    for (int i = 0; i < node->num_items && !status; i++)
        status = read_calibration(load, node->items[i]);
    return status;
}

/* As much of a text's name as the result file holds. */
enum { TEXT_NAME_BYTES = 63 };

/* True for a name that an earlier text has, or that the result file uses beside the texts. */
static bool name_is_taken(const struct bs_config *config, const char *name)
{
    bool taken = !strcmp(name, "layers");
    for (int i = 0; i < config->num_evaluations; i++)
        taken |= !strcmp(config->evaluations[i].name, name);
    return taken;
}

static int without_ending(const char *name, int length, const char *ending)
{
    int end = (int)strlen(ending);
    return length > end && !strncmp(name + length - end, ending, (size_t)end) ? length - end
                                                                              : length;
}

/* The file's name without folder and ending (of packed files both); "_2" and so on where that is
 * taken, as when one text is cut into windows of several lengths. NULL when memory runs out. */
static char *name_of_text(const struct bs_config *config, const char *path)
{
    const char *base = bs_path_name(path);
    int length = without_ending(base, (int)strlen(base), ".gz");
    length = without_ending(base, length, ".zst");
    for (int at = length - 1; at > 0; at--)
        if (base[at] == '.') {
            length = at;
            break;
        }
    if (length == 0 || strspn(base, ".") == strlen(base)) { /* HDF5 gives dots a meaning */
        base = "text";
        length = 4;
    }
    char *name = bs_printf("%.*s", length, base);
    for (int k = 2; name && name_is_taken(config, name); k++) {
        bs_free(name);
        name = bs_printf("%.*s_%d", length, base, k);
    }
    return name;
}

/* It is a group's name in the result file, where a slash would part it and dots have a meaning. */
static void check_text_name(struct load *load, const struct bs_yaml_node *node)
{
    const char *name = node->text;
    if (strlen(name) > TEXT_NAME_BYTES || strchr(name, '/') || strspn(name, ".") == strlen(name))
        report_wrong(load, "name", node, "a short text without a slash");
    else if (name_is_taken(load->config, name))
        report_wrong(load, "name", node, "one that no other text has, and that is not 'layers'");
}

static void check_stride(struct load *load, const struct bs_yaml_node *node,
                         const struct bs_evaluation_config *entry)
{
    const struct bs_yaml_node *stride = bs_yaml_get(node, "stride");
    report_idle(load, node, "stride", !bs_protocols[entry->protocol].slides,
                "is for protocol sliding only, expected protocol: sliding or no stride");
    if (stride && entry->stride > entry->tokens)
        bs_report_add(load->report, stride->line, stride->column,
                      "stride is %d, expected at most tokens, which is %d", entry->stride,
                      entry->tokens);
}

int bs_evaluation_stride(const struct bs_evaluation_config *evaluation)
{
    if (!bs_protocols[evaluation->protocol].slides)
        return evaluation->tokens;
    return evaluation->stride ? evaluation->stride : evaluation->tokens / 2;
}

static bool same_evaluation(const struct bs_evaluation_config *a,
                            const struct bs_evaluation_config *b)
{
    return same_text(a->text, b->text) && same_text(a->field, b->field) &&
           same_text(a->join, b->join) && a->lines == b->lines && a->windows == b->windows &&
           a->pick == b->pick && a->tokens == b->tokens && a->protocol == b->protocol &&
           a->stride == b->stride;
}

static void release_evaluation(struct bs_evaluation_config *evaluation)
{
    bs_free(evaluation->text);
    bs_free(evaluation->field);
    bs_free(evaluation->join);
    bs_free(evaluation->name);
}

static enum bs_status read_evaluation_text(struct load *load, const struct bs_yaml_node *node)
{
    struct bs_config *config = load->config;
    struct bs_evaluation_config entry = {0};
    bs_options_default(bs_evaluation_options, &entry);
    if (!read_section(load, "an entry of perplexity", node, bs_text_keys, bs_evaluation_options,
                      &entry))
        return BS_OK;
    check_stride(load, node, &entry);
    enum bs_status status = read_text(load, node, &bs_text_keys[0], &entry.text);
    if (!status)
        status = read_text(load, node, &bs_text_keys[2], &entry.field);
    if (!status)
        status = read_text(load, node, &bs_text_keys[3], &entry.join);
    if (!status)
        status = read_text(load, node, &bs_text_keys[1], &entry.name);
    if (!status && entry.text) {
        for (int i = 0; i < config->num_evaluations; i++)
            if (same_evaluation(&config->evaluations[i], &entry))
                bs_report_add(load->report, node->line, node->column,
                              "the same text and settings a second time, expected them once");
        if (entry.name)
            check_text_name(load, bs_yaml_get(node, "name"));
        else
            entry.name = name_of_text(config, entry.text);
        status = entry.name ? BS_OK : bs_fail_memory(load->err);
    }
    if (status || !entry.text)
        release_evaluation(&entry);
    else
        config->evaluations[config->num_evaluations++] = entry;
    return status;
}

static enum bs_status read_perplexity(struct load *load, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bool empty = node->kind == BS_YAML_SEQUENCE;
        char found[FOUND_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_report_add(load->report, node->line, node->column,
                      "perplexity is %s, expected a list of mappings with text",
                      empty ? "an empty list" : found);
        return BS_OK;
    }
    if (node->num_items > BS_MAX_TEXTS) {
        bs_report_add(load->report, node->line, node->column, "%d texts, expected at most %d",
                      node->num_items, BS_MAX_TEXTS);
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        status = read_evaluation_text(load, node->items[i]);
    return status;
}

static enum bs_status read_evaluation(struct load *load, const struct bs_yaml_node *node)
{
    if (!read_section(load, "evaluation", node, bs_evaluation_keys, NULL, NULL))
        return BS_OK;
    const struct bs_yaml_node *layer_error = bs_yaml_get(node, "layer_error");
    if (layer_error)
        read_section(load, "layer_error", layer_error, NULL, bs_layer_error_options,
                     &load->config->layer_error);
    const struct bs_yaml_node *perplexity = bs_yaml_get(node, "perplexity");
    return perplexity ? read_perplexity(load, perplexity) : BS_OK;
}

static enum bs_status read_chart(struct load *load, const struct bs_yaml_node *node)
{
    struct bs_config *config = load->config;
    struct bs_names names = {0};
    bool known = false;
    for (int i = 0; load->charts && load->charts[i]; i++) {
        bs_names_add(&names, load->charts[i]);
        known |= node->text && !strcmp(load->charts[i], node->text);
    }
    if (load->charts ? !known : !node->text) {
        char list[LIST_TEXT];
        bs_names_print(&names, node->text ? node->text : "", list, sizeof list);
        report_wrong(load, "chart", node, load->charts ? list : "a name");
        return BS_OK;
    }
    for (int i = 0; i < config->num_charts; i++)
        if (!strcmp(config->charts[i], node->text)) {
            bs_report_add(load->report, node->line, node->column,
                          "chart '%s' a second time, expected it once", node->text);
            return BS_OK;
        }
    char *copy = bs_strdup(node->text);
    if (!copy)
        return bs_fail_memory(load->err);
    config->charts[config->num_charts++] = copy;
    return BS_OK;
}

static enum bs_status read_charts(struct load *load, const struct bs_yaml_node *node)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bool empty = node->kind == BS_YAML_SEQUENCE;
        char found[FOUND_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_report_add(load->report, node->line, node->column,
                      "charts is %s, expected a list of chart names, or no such key",
                      empty ? "an empty list" : found);
        return BS_OK;
    }
    load->config->charts = bs_calloc((size_t)node->num_items, sizeof *load->config->charts);
    if (!load->config->charts)
        return bs_fail_memory(load->err);
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        status = read_chart(load, node->items[i]);
    return status;
}

/* Figures are checked against models, texts and recipes: where these have errors (`sound` is
 * false), only the keys are. */
static enum bs_status read_expected(struct load *load, const struct bs_yaml_node *node, bool sound)
{
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bool empty = node->kind == BS_YAML_SEQUENCE;
        char found[FOUND_TEXT];
        bs_yaml_print_found(node, found, sizeof found);
        bs_report_add(load->report, node->line, node->column,
                      "expected is %s, expected a list of mappings with source, text and values",
                      empty ? "an empty list" : found);
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        if (read_section(load, "an entry of expected", node->items[i], bs_expected_keys, NULL,
                         NULL) &&
            sound)
            status = bs_expected_read(node->items[i], load->report, load->config, load->err);
    return status;
}

static enum bs_status read_accepted(struct load *load, const struct bs_yaml_node *node)
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
        report_wrong(load, "accept_unknown", node, "a list of keys");
    return status;
}

static enum bs_status read_root(struct load *load, const struct bs_yaml_node *root)
{
    if (!read_section(load, "the file", root, bs_config_keys, NULL, NULL))
        return BS_OK;
    const struct bs_yaml_node *model = bs_yaml_get(root, "model");
    const struct bs_yaml_node *calibration = bs_yaml_get(root, "calibration");
    const struct bs_yaml_node *evaluation = bs_yaml_get(root, "evaluation");
    const struct bs_yaml_node *sweep = bs_yaml_get(root, "sweep");
    const struct bs_yaml_node *expected = bs_yaml_get(root, "expected");
    const struct bs_yaml_node *charts = bs_yaml_get(root, "charts");
    const struct bs_yaml_node *accepted = bs_yaml_get(root, "accept_unknown");
    enum bs_status status =
        model ? bs_model_list_read(model, load->report, load->config, load->err) : BS_OK;
    if (!status && calibration)
        status = read_calibrations(load, calibration);
    if (!status && evaluation)
        status = read_evaluation(load, evaluation);
    if (!status && sweep)
        status = bs_sweep_expand(sweep, calibration != NULL, load->report, load->config, load->err);
    if (!status && expected)
        status = read_expected(load, expected, load->report->num_kept == 0);
    if (!status && charts)
        status = read_charts(load, charts);
    if (!status && accepted)
        status = read_accepted(load, accepted);
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
    char *text = NULL;
    size_t size;
    memset(config, 0, sizeof *config);
    struct stat info;
    enum bs_status status = read_source(path, &text, &size, err);
    if (!status)
        status = bs_config_parse(path, text, size, charts, config, err);
    if (!status && !stat(path, &info) && !S_ISREG(info.st_mode))
        config->folder[0] = '\0'; /* a pipe has no folder that a path could start from */
    bs_free(text);
    return status;
}

enum bs_status bs_config_parse(const char *path, const char *text, size_t size,
                               const char *const *charts, struct bs_config *config,
                               struct bs_error *err)
{
    memset(config, 0, sizeof *config);
    bs_options_default(bs_layer_error_options, &config->layer_error);
    struct bs_yaml *yaml = NULL;
    struct bs_report report;
    bs_report_init(&report, path);
    enum bs_status status = BS_OK;
    config->path = bs_strdup(path);
    config->folder = bs_path_folder(path);
    config->source = bs_calloc(size + 1, 1);
    if (!config->path || !config->folder || !config->source) {
        status = bs_fail_memory(err);
        goto done;
    }
    memcpy(config->source, text, size);
    status = bs_yaml_parse(path, config->source, size, &yaml, err);
    if (status)
        goto done;
    bs_yaml_check_keys(yaml, &report);
    struct load load = {config, &report, charts, err};
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

void bs_config_release(struct bs_config *config)
{
    bs_free(config->path);
    bs_free(config->folder);
    bs_free(config->source);
    for (int m = 0; m < config->num_models; m++)
        bs_free(config->models[m]), bs_free(config->model_places[m]);
    bs_free(config->models);
    bs_free(config->model_places);
    for (int c = 0; c < config->num_calibrations; c++)
        release_calibration(&config->calibrations[c]);
    bs_free(config->calibrations);
    for (int i = 0; i < config->num_evaluations; i++)
        release_evaluation(&config->evaluations[i]);
    bs_recipes_free(config->recipes, config->num_recipes);
    bs_free(config->recipe_models);
    for (int i = 0; i < config->num_sources; i++)
        bs_free(config->sources[i]);
    bs_free(config->sources);
    for (int i = 0; i < config->num_expected; i++) {
        bs_free(config->expected[i].label);
        bs_free(config->expected[i].printed);
    }
    bs_free(config->expected);
    for (int i = 0; i < config->num_charts; i++)
        bs_free(config->charts[i]);
    bs_free(config->charts);
    bs_lines_release(&config->accept_unknown);
    memset(config, 0, sizeof *config);
}

bool bs_config_wants(const struct bs_config *config, int recipe, int model)
{
    return config->recipe_models[recipe] >> model & 1;
}
