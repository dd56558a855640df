#include "eval/config/model_list.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/model_name.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96 };

/* As many bytes of a model's name as the result file holds: they must tell models apart. */
enum { MODEL_BYTES = 127 };

const struct bs_config_key bs_model_keys[] = {
    {"path", "a folder or a hub name", "where the model is", true},
    {"name", "a text", "what tables, charts, `--model` and `expected` call it", false},
    {.name = NULL},
};

/* An entry as it is read. */
struct entry {
    const struct bs_yaml_node *node, *place, *name; /* name: NULL = none given */
};

static bool is_filled(const struct bs_yaml_node *node)
{
    return node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node) && *node->text;
}

static void report_wrong(struct bs_report *report, const char *what,
                         const struct bs_yaml_node *node, const char *allowed)
{
    char found[FOUND_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(report, node->line, node->column, "%s is %s, expected %s", what, found, allowed);
}

/* The keys of {path: ..., name: ...}. */
static bool read_mapping(const struct bs_yaml_node *node, struct bs_report *report,
                         struct entry *entry)
{
    struct bs_names names = {0};
    for (int k = 0; bs_model_keys[k].name; k++)
        bs_names_add(&names, bs_model_keys[k].name);
    bool good = true;
    for (int i = 0; i < node->num_items; i += 2) {
        const struct bs_yaml_node *key = node->items[i];
        if (!key->text || !strcmp(key->text, "path") || !strcmp(key->text, "name"))
            continue;
        bs_report_unknown_key(report, key->line, key->column, key->text, &names, "");
        good = false;
    }
    entry->place = bs_yaml_get(node, "path");
    entry->name = bs_yaml_get(node, "name");
    if (!entry->place)
        bs_report_add(report, node->line, node->column, "path is missing, expected %s",
                      bs_model_keys[0].allowed);
    if (entry->name && !is_filled(entry->name)) {
        report_wrong(report, "name", entry->name, bs_model_keys[1].allowed);
        good = false;
    }
    return good && entry->place;
}

/* Checks the entry; false where it is wrong, which is reported. */
static bool read_entry(const struct bs_yaml_node *node, struct bs_report *report,
                       struct entry *entry)
{
    *entry = (struct entry){.node = node, .place = node};
    bool mapping = node->kind == BS_YAML_MAPPING;
    if (mapping && !read_mapping(node, report, entry))
        return false;
    if (is_filled(entry->place))
        return true;
    report_wrong(report, mapping ? "path" : "model", entry->place,
                 mapping ? bs_model_keys[0].allowed
                         : "a folder or a hub name, or a mapping with "
                           "path and name");
    return false;
}

static bool same_name(const char *a, const char *b) { return !strncmp(a, b, MODEL_BYTES); }

/* A short name that another model has too tells nothing: those are called by their places. */
static enum bs_status settle_names(const struct entry *entries, struct bs_config *config,
                                   struct bs_error *err)
{
    bool shared[BS_MAX_MODELS] = {false};
    for (int m = 0; m < config->num_models; m++)
        for (int k = 0; k < config->num_models; k++)
            shared[m] |= k != m && same_name(config->models[m], config->models[k]);
    for (int m = 0; m < config->num_models; m++) {
        if (!shared[m] || entries[m].name)
            continue;
        bs_free(config->models[m]);
        config->models[m] = bs_strdup(config->model_places[m]);
        if (!config->models[m])
            return bs_fail_memory(err);
    }
    return BS_OK;
}

static void check_names(const struct entry *entries, struct bs_report *report,
                        const struct bs_config *config)
{
    for (int m = 1; m < config->num_models; m++)
        for (int k = 0; k < m; k++) {
            const struct bs_yaml_node *node = entries[m].name ? entries[m].name : entries[m].node;
            bool place = !strcmp(config->model_places[k], config->model_places[m]);
            if (!place && !same_name(config->models[k], config->models[m]))
                continue;
            bs_report_add(report, node->line, node->column,
                          place ? "model '%.*s' a second time, expected it once"
                                : "another model is called '%.*s' too, expected a name: of its own",
                          MODEL_BYTES, place ? config->model_places[m] : config->models[m]);
            break;
        }
}

static enum bs_status add_model(const struct entry *entry, struct bs_config *config,
                                struct bs_error *err)
{
    int m = config->num_models++;
    config->model_places[m] = bs_strdup(entry->place->text);
    config->models[m] =
        entry->name ? bs_strdup(entry->name->text) : bs_model_short_name(entry->place->text);
    return config->models[m] && config->model_places[m] ? BS_OK : bs_fail_memory(err);
}

/* Which of the models the others are compared with. */
static enum bs_status read_reference(const struct bs_yaml_node *node, struct bs_report *report,
                                     struct entry *entries, struct bs_config *config,
                                     struct bs_error *err)
{
    struct entry *entry = &entries[config->num_models];
    if (node->kind == BS_YAML_SCALAR && is_filled(node)) {
        config->reference = bs_config_find_model(config, node->text);
        config->has_reference = true;
        if (config->reference >= 0)
            return BS_OK;
    }
    if (!read_entry(node, report, entry))
        return BS_OK;
    config->has_reference = true;
    config->reference = config->num_models;
    return add_model(entry, config, err);
}

enum bs_status bs_model_list_read(const struct bs_yaml_node *node,
                                  const struct bs_yaml_node *reference, struct bs_report *report,
                                  struct bs_config *config, struct bs_error *err)
{
    bool list = node->kind == BS_YAML_SEQUENCE;
    int count = list ? node->num_items : 1;
    if (count == 0) {
        bs_report_add(report, node->line, node->column, "model is an empty list, expected %s",
                      bs_config_keys[0].allowed);
        return BS_OK;
    }
    int most = reference ? BS_MAX_MODELS - 1 : BS_MAX_MODELS;
    if (count > most) {
        bs_report_add(report, node->line, node->column, "%d models, expected at most %d", count,
                      most);
        return BS_OK;
    }
    config->models = bs_calloc((size_t)count + 1, sizeof *config->models);
    config->model_places = bs_calloc((size_t)count + 1, sizeof *config->model_places);
    if (!config->models || !config->model_places)
        return bs_fail_memory(err);
    struct entry entries[BS_MAX_MODELS];
    enum bs_status status = BS_OK;
    for (int i = 0; i < count && !status; i++) {
        struct entry *entry = &entries[config->num_models];
        if (read_entry(list ? node->items[i] : node, report, entry))
            status = add_model(entry, config, err);
    }
    if (!status && reference)
        status = read_reference(reference, report, entries, config, err);
    if (!status)
        status = settle_names(entries, config, err);
    if (!status)
        check_names(entries, report, config);
    return status;
}

int bs_config_find_model(const struct bs_config *config, const char *word)
{
    for (int m = 0; m < config->num_models; m++)
        if (!strcmp(config->models[m], word))
            return m;
    for (int m = 0; m < config->num_models; m++)
        if (!strcmp(config->model_places[m], word))
            return m;
    return -1;
}

enum bs_status bs_config_select(const struct bs_config *config, const char *const *names,
                                int num_names, uint64_t *models, struct bs_error *err)
{
    *models = 0;
    for (int m = 0; m < config->num_models && num_names == 0; m++)
        *models |= UINT64_C(1) << m;
    for (int i = 0; i < num_names; i++) {
        int m = bs_config_find_model(config, names[i]);
        if (m < 0) {
            struct bs_names known = {0};
            char list[LIST_TEXT];
            for (m = 0; m < config->num_models; m++)
                bs_names_add(&known, config->models[m]);
            bs_names_print(&known, names[i], list, sizeof list);
            return bs_fail(err, BS_ECONFIG, "%s has no model '%s', expected %s", config->path,
                           names[i], list);
        }
        *models |= UINT64_C(1) << m;
    }
    return BS_OK;
}
