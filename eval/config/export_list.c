/* `export:`, a list of recipes that a run writes. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/config/load.h"
#include "eval/config/model_list.h"
#include "eval/export/writer.h"

enum { LIST_TEXT = 800 };

const struct bs_config_key bs_export_keys[] = {
    {"recipe", "a label, or a pattern of them",
     "what is written, as `bitsweep plan` prints it; * stands for any letters", true},
    {"as", "a layout, see writer", "how it is written", true},
    {"out", "a folder, or a file",
     "where, from the config's folder on: {recipe} and {model} in it stand for their names. What "
     "is "
     "there already and is this very export stays as it is; anything else there is an error",
     true},
    {"model", "the name of a model", "of which model, where there are several (each)", false},
    {.name = NULL},
};

const struct bs_option bs_export_options[] = {
    BS_OPT(struct bs_export_config, verify, false, 0, 1,
           "read back what was written, compare all weights, and measure it on the config's texts"),
    {.name = NULL},
};

static void release(struct bs_export_config *entry)
{
    bs_free(entry->recipe);
    bs_free(entry->model);
    bs_free(entry->out);
    bs_choice_release(&entry->how);
}

void bs_exports_free(struct bs_export_config *exports, int count)
{
    for (int i = 0; i < count; i++)
        release(&exports[i]);
    bs_free(exports);
}

/* The writer that `as` names, with its usual options. */
static enum bs_status read_writer(struct bs_load *load, const struct bs_yaml_node *as,
                                  struct bs_export_config *entry)
{
    const struct bs_writer *writer = as && as->text ? bs_writer_find(as->text) : NULL;
    if (writer)
        return bs_choice_init(&entry->how, &writer->plugin, load->err);
    char list[LIST_TEXT];
    struct bs_names names = {0};
    bs_names_add_rows(&names, &bs_writer_registry);
    bs_names_print(&names, as && as->text ? as->text : "", list, sizeof list);
    if (as)
        bs_load_wrong(load, "as", as, list);
    return BS_OK;
}

/* Braces that stand for no name are a slip of the pen. */
static void check_out(struct bs_load *load, const struct bs_yaml_node *out)
{
    static const char *const names[] = {"{recipe}", "{model}"};
    const char *at = out && out->text ? strchr(out->text, '{') : NULL;
    while (at) {
        bool known = false;
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            known |= !strncmp(at, names[n], strlen(names[n]));
        if (!known)
            bs_load_wrong(load, "out", out, "{recipe} or {model} where there are braces");
        at = known ? strchr(at + 1, '{') : NULL;
    }
}

static void check_model(struct bs_load *load, const struct bs_yaml_node *model)
{
    char list[LIST_TEXT];
    struct bs_names names = {0};
    if (!model || (model->text && bs_config_find_model(load->config, model->text) >= 0))
        return;
    for (int m = 0; m < load->config->num_models; m++)
        bs_names_add(&names, load->config->models[m]);
    bs_names_print(&names, model->text ? model->text : "", list, sizeof list);
    bs_load_wrong(load, "model", model, list);
}

static enum bs_status read_texts(struct bs_load *load, const struct bs_yaml_node *node,
                                 struct bs_export_config *entry)
{
    const struct bs_config_key *keys = bs_export_keys;
    char **const texts[] = {&entry->recipe, NULL, &entry->out, &entry->model};
    enum bs_status status = BS_OK;
    for (int k = 0; keys[k].name && !status; k++)
        if (texts[k])
            status = bs_load_text(load, node, &keys[k], texts[k]);
    return status;
}

static enum bs_status read_entry(struct bs_load *load, const struct bs_yaml_node *node,
                                 struct bs_export_config *entry)
{
    const struct bs_yaml_node *as = node->kind == BS_YAML_MAPPING ? bs_yaml_get(node, "as") : NULL;
    bs_options_default(bs_export_options, entry);
    entry->line = node->line;
    entry->column = node->column;
    if (read_writer(load, as, entry))
        return load->err->status;
    const struct bs_plugin *writer = entry->how.plugin;
    const struct bs_load_target targets[] = {{bs_export_options, entry},
                                             {writer ? writer->options : NULL, entry->how.options}};
    if (!bs_load_targets(load, "an entry of export", node, bs_export_keys, targets, 2))
        return BS_OK;
    check_out(load, bs_yaml_get(node, "out"));
    check_model(load, bs_yaml_get(node, "model"));
    return read_texts(load, node, entry);
}

enum bs_status bs_exports_read(struct bs_load *load, const struct bs_yaml_node *node)
{
    struct bs_config *config = load->config;
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bs_load_no_list(load, "export", node, "a list of mappings with recipe, as and out");
        return BS_OK;
    }
    config->exports = bs_calloc((size_t)node->num_items, sizeof *config->exports);
    if (!config->exports)
        return bs_fail_memory(load->err);
    enum bs_status status = BS_OK;
    for (int i = 0; i < node->num_items && !status; i++)
        status = read_entry(load, node->items[i], &config->exports[config->num_exports++]);
    return status;
}
