#include "eval/config/load.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96 };

const char bs_lines_help[] = "plain text: each line is a document, else the whole file is one";

void bs_load_wrong(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                   const char *allowed)
{
    char found[FOUND_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(load->report, node->line, node->column, "%s is %s, expected %s", what, found,
                  allowed);
}

void bs_load_no_list(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const char *allowed)
{
    char found[FOUND_TEXT];
    bs_yaml_print_found(node, found, sizeof found);
    bs_report_add(load->report, node->line, node->column, "%s is %s, expected %s", what,
                  node->kind == BS_YAML_SEQUENCE ? "an empty list" : found, allowed);
}

const struct bs_numerics *bs_load_numerics(struct bs_report *report,
                                           const struct bs_yaml_node *node)
{
    bool named = node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node);
    const struct bs_numerics *numerics = named ? bs_numerics_find(node->text) : NULL;
    if (numerics)
        return numerics;
    char found[FOUND_TEXT], list[LIST_TEXT];
    struct bs_names names = {0};
    bs_names_add_rows(&names, &bs_numerics_registry);
    bs_yaml_print_found(node, found, sizeof found);
    bs_names_print(&names, named ? node->text : "", list, sizeof list);
    bs_report_add(report, node->line, node->column, "numerics is %s, expected %s", found, list);
    return NULL;
}

static void read_option(struct bs_load *load, const struct bs_option *option,
                        const struct bs_yaml_node *value, void *values)
{
    if (value->kind != BS_YAML_SCALAR || bs_yaml_is_null(value)) {
        char allowed[LIST_TEXT];
        bs_option_print_allowed(option, allowed, sizeof allowed);
        bs_load_wrong(load, option->name, value, allowed);
    } else {
        bs_report_parse(load->report, value->line, value->column, option, value->text, values);
    }
}

/* Reads the value of a key that is an option of one of the targets; false where it is none. */
static bool read_target(struct bs_load *load, const struct bs_load_target *targets, int num_targets,
                        const char *key, const struct bs_yaml_node *value)
{
    for (int t = 0; t < num_targets; t++) {
        const struct bs_option *option =
            targets[t].options ? bs_option_find(targets[t].options, key) : NULL;
        if (option) {
            read_option(load, option, value, targets[t].values);
            return true;
        }
    }
    return false;
}

bool bs_load_targets(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const struct bs_config_key *keys, const struct bs_load_target *targets,
                     int num_targets)
{
    struct bs_names names = {0};
    for (int k = 0; keys && keys[k].name; k++)
        bs_names_add(&names, keys[k].name);
    for (int t = 0; t < num_targets; t++)
        bs_names_add_options(&names, targets[t].options);
    if (node->kind != BS_YAML_MAPPING) {
        char list[LIST_TEXT], allowed[LIST_TEXT + 32];
        bs_names_print(&names, "", list, sizeof list);
        snprintf(allowed, sizeof allowed, "a mapping with %s", list);
        bs_load_wrong(load, what, node, allowed);
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
        bool known = false;
        for (int k = 0; keys && keys[k].name; k++)
            known |= !strcmp(keys[k].name, key->text);
        if (!known && !read_target(load, targets, num_targets, key->text, node->items[i + 1]))
            bs_report_unknown_key(load->report, key->line, key->column, key->text, &names, "");
    }
    return true;
}

bool bs_load_section(struct bs_load *load, const char *what, const struct bs_yaml_node *node,
                     const struct bs_config_key *keys, const struct bs_option *options,
                     void *values)
{
    return bs_load_targets(load, what, node, keys, &(struct bs_load_target){options, values}, 1);
}

enum bs_status bs_load_text(struct bs_load *load, const struct bs_yaml_node *node,
                            const struct bs_config_key *key, char **text)
{
    const struct bs_yaml_node *value = bs_yaml_get(node, key->name);
    if (!value)
        return BS_OK;
    if (value->kind != BS_YAML_SCALAR || bs_yaml_is_null(value) ||
        (!*value->text && strcmp(key->name, "join"))) {
        bs_load_wrong(load, key->name, value, key->allowed);
        return BS_OK;
    }
    *text = bs_strdup(value->text);
    return *text ? BS_OK : bs_fail_memory(load->err);
}

void bs_load_idle(struct bs_load *load, const struct bs_yaml_node *node, const char *name,
                  bool idle, const char *why)
{
    const struct bs_yaml_node *value = bs_yaml_get(node, name);
    if (value && idle)
        bs_report_add(load->report, value->line, value->column, "%s %s", name, why);
}

bool bs_same_text(const char *a, const char *b) { return (!a && !b) || (a && b && !strcmp(a, b)); }
