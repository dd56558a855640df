/* `evaluation:`, its texts and what they are called. */
#include "eval/config/load.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/config/task.h"

enum { MOST_WINDOWS = 1 << 20, MOST_TOKENS = 1 << 20 };

const struct bs_option bs_evaluation_options[] = {
    BS_OPT(struct bs_evaluation_config, tokens, 2048, 2, MOST_TOKENS, "tokens of a window"),
    BS_OPT(struct bs_evaluation_config, windows, 0, 0, MOST_WINDOWS,
           "windows of the text; 0 = all"),
    BS_OPT_WORDS(struct bs_evaluation_config, pick, BS_CHOICE, BS_PICK_AUTO, 0, 2, bs_pick_names,
                 "which, where not all: even = one of each of as many parts of the text, first = "
                 "from its start; auto = first for protocol llama.cpp and the c4 texts, as their "
                 "own tools do, else even"),
    BS_OPT(struct bs_evaluation_config, lines, false, 0, 1, bs_lines_help),
    {.name = NULL},
};

static const char *const position_words[] = {"model", NULL};

const struct bs_option bs_task_options[] = {
    BS_OPT_WORDS(struct bs_evaluation_config, tokens, BS_INT, 0, 2, MOST_TOKENS, position_words,
                 "positions that a request may take, else its context is cut from its beginning; "
                 "model = as many as the model has"),
    {.name = "limit",
     .help = "items, from the first on; 0 = all",
     .offset = offsetof(struct bs_evaluation_config, windows),
     .type = BS_INT,
     .max = MOST_WINDOWS},
    {.name = NULL},
};

const struct bs_option bs_layer_error_options[] = {
    BS_OPT(struct bs_layer_error_config, windows, 8, 0, MOST_WINDOWS,
           "windows of the first text over which the error of each linear is taken; 0 = none"),
    {.name = NULL},
};

const struct bs_option bs_channels_options[] = {
    BS_OPT(struct bs_channels_config, windows, 8, 1, MOST_WINDOWS,
           "windows of the first text, which is one of perplexity, that are looked at"),
    {.name = NULL},
};

const struct bs_config_key bs_channels_keys[] = {
    {"where", "a site, such as down_input, or a list of up to 8",
     "whose channels; `bitsweep plan --places` lists the sites", true},
    {.name = NULL},
};

const struct bs_config_key bs_evaluation_keys[] = {
    {"NAME", "a list of mappings with text",
     "for each evaluation what it is of, with its own options beside those below", false},
    {"layer_error", "a mapping, see layer_error", "the error of each linear", false},
    {"channels", "a mapping, see channels",
     "the largest |x| of every channel of some sites, which the chart `channels` draws", false},
    {.name = NULL},
};

const struct bs_config_key bs_text_keys[] = {
    {"text", "a file or a known text, see texts", "what is predicted", true},
    {"name", "a text", "what tables, charts and the result file call it (the file's name)", false},
    {"field", "a text", "JSON: the key of the document (text)", false},
    {"join", "a text", "what comes between documents (\\n\\n)", false},
    {.name = NULL},
};

const struct bs_config_key bs_task_keys[] = {
    {"task", "a known task, see known_tasks, or a YAML file", "what is asked", true},
    {"name", "a text", "what tables, charts and the result file call it (the task's name)", false},
    {"items", "a file", "its items, where not those of the record or the hub", false},
    {"shot_items", "a file", "what shots are drawn from, likewise", false},
    {.name = NULL},
};

/* As much of a text's name as the result file holds. */
enum { TEXT_NAME_BYTES = 63 };

/* True for a name that an earlier text has, or that the result file uses beside the texts. */
static bool name_is_taken(const struct bs_config *config, const char *name)
{
    bool taken = !strcmp(name, "layers") || !strcmp(name, "channels");
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
static void check_text_name(struct bs_load *load, const struct bs_yaml_node *node)
{
    const char *name = node->text;
    if (strlen(name) > TEXT_NAME_BYTES || strchr(name, '/') || strspn(name, ".") == strlen(name))
        bs_load_wrong(load, "name", node, "a short text without a slash");
    else if (name_is_taken(load->config, name))
        bs_load_wrong(load, "name", node,
                      "one that no other text has, and that is not 'layers' or 'channels'");
}

static bool same_evaluation(const struct bs_evaluation_config *a,
                            const struct bs_evaluation_config *b)
{
    return bs_same_text(a->text, b->text) && bs_same_text(a->field, b->field) &&
           bs_same_text(a->join, b->join) && a->lines == b->lines && a->windows == b->windows &&
           a->pick == b->pick && a->tokens == b->tokens && bs_same_text(a->items, b->items) &&
           bs_same_text(a->shot_items, b->shot_items) && bs_choice_equal(&a->how, &b->how);
}

void bs_evaluation_release(struct bs_evaluation_config *evaluation)
{
    bs_free(evaluation->text);
    bs_free(evaluation->field);
    bs_free(evaluation->join);
    bs_free(evaluation->name);
    bs_free(evaluation->items);
    bs_free(evaluation->shot_items);
    bs_task_free(evaluation->own_task);
    bs_choice_release(&evaluation->how);
}

/* Settles the evaluation's own options. What is wrong stands where the option is that the message
 * begins with. */
static void settle(struct bs_load *load, const struct bs_yaml_node *node,
                   struct bs_evaluation_config *entry)
{
    const struct bs_evaluation *evaluation = bs_evaluation_of(&entry->how);
    struct bs_error wrong;
    if (!evaluation->settle || !evaluation->settle(entry->how.options, entry->tokens, &wrong))
        return;
    const struct bs_yaml_node *place = node;
    for (int i = 0; i < node->num_items; i += 2) {
        const char *key = node->items[i]->text;
        size_t length = key ? strlen(key) : 0;
        if (length && !strncmp(wrong.message, key, length) && wrong.message[length] == ' ')
            place = node->items[i + 1];
    }
    bs_report_add(load->report, place->line, place->column, "%s", wrong.message);
}

static enum bs_status read_texts(struct bs_load *load, const struct bs_yaml_node *node,
                                 struct bs_evaluation_config *entry)
{
    enum bs_status status = bs_load_text(load, node, &bs_text_keys[0], &entry->text);
    if (!status)
        status = bs_load_text(load, node, &bs_text_keys[2], &entry->field);
    if (!status)
        status = bs_load_text(load, node, &bs_text_keys[3], &entry->join);
    if (!status)
        status = bs_load_text(load, node, &bs_text_keys[1], &entry->name);
    return status;
}

/* A path as seen from the config's folder, in the place of the text. */
static enum bs_status join_path(struct bs_load *load, char **path)
{
    if (!*path)
        return BS_OK;
    char *joined = bs_path_join(load->config->folder, *path);
    bs_free(*path);
    *path = joined;
    return joined ? BS_OK : bs_fail_memory(load->err);
}

/* What is wrong with a task's own file, each error of it as an error of the place that names it. */
static void add_lines(struct bs_report *report, const struct bs_yaml_node *at, char *lines)
{
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        bs_report_add(report, at->line, at->column, "task: %s", line);
}

/* The task that the entry names: a built-in one, or a file with its record. A config that a result
 * file holds stands elsewhere: what its record says is not asked for there. */
static enum bs_status find_task(struct bs_load *load, const struct bs_yaml_node *node,
                                struct bs_evaluation_config *entry)
{
    const struct bs_yaml_node *at = bs_yaml_get(node, "task");
    entry->task = bs_known_task(entry->text);
    if (entry->task)
        return BS_OK;
    if (!bs_ends_in(entry->text, ".yaml") && !bs_ends_in(entry->text, ".yml")) {
        struct bs_names names = {0};
        char list[512];
        for (const struct bs_task *task = bs_known_tasks; task->name; task++)
            bs_names_add(&names, task->name);
        bs_names_print(&names, entry->text, list, sizeof list);
        bs_report_add(load->report, at->line, at->column,
                      "task is '%s', expected a YAML file or %s", entry->text, list);
        return BS_OK;
    }
    if (!load->charts)
        return BS_OK;
    struct bs_error why;
    char *path = bs_path_join(load->config->folder, entry->text);
    enum bs_status status =
        path ? bs_task_read(path, &entry->own_task, &why) : bs_fail_memory(load->err);
    bs_free(path);
    if (status && status != BS_ENOMEM)
        add_lines(load->report, at, why.message);
    entry->task = entry->own_task;
    return status == BS_ENOMEM ? bs_fail_memory(load->err) : BS_OK;
}

/* The texts of an entry of tasks. */
static enum bs_status read_task(struct bs_load *load, const struct bs_yaml_node *node,
                                struct bs_evaluation_config *entry)
{
    entry->pick = BS_PICK_FIRST;
    enum bs_status status = bs_load_text(load, node, &bs_task_keys[0], &entry->text);
    if (!status)
        status = bs_load_text(load, node, &bs_task_keys[1], &entry->name);
    if (!status)
        status = bs_load_text(load, node, &bs_task_keys[2], &entry->items);
    if (!status)
        status = bs_load_text(load, node, &bs_task_keys[3], &entry->shot_items);
    if (!status)
        status = join_path(load, &entry->items);
    if (!status)
        status = join_path(load, &entry->shot_items);
    if (!status && entry->text)
        status = find_task(load, node, entry);
    return status;
}

static enum bs_status read_entry(struct bs_load *load, const struct bs_plugin *evaluation,
                                 const struct bs_yaml_node *node)
{
    struct bs_config *config = load->config;
    struct bs_evaluation_config entry = {0};
    char what[128];
    snprintf(what, sizeof what, "an entry of %s", evaluation->name);
    bool of_task = ((const struct bs_evaluation *)(const void *)evaluation)->subject == BS_OF_TASK;
    const struct bs_option *options = of_task ? bs_task_options : bs_evaluation_options;
    bs_options_default(options, &entry);
    if (bs_choice_init(&entry.how, evaluation, load->err))
        return load->err->status;
    const struct bs_load_target targets[] = {{options, &entry},
                                             {evaluation->options, entry.how.options}};
    if (!bs_load_targets(load, what, node, of_task ? bs_task_keys : bs_text_keys, targets, 2)) {
        bs_evaluation_release(&entry);
        return BS_OK;
    }
    settle(load, node, &entry);
    enum bs_status status =
        of_task ? read_task(load, node, &entry) : read_texts(load, node, &entry);
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
        bs_evaluation_release(&entry);
    else
        config->evaluations[config->num_evaluations++] = entry;
    return status;
}

static const char entries_allowed[] = "a list of mappings with text, of tasks with task";

/* The list of one evaluation's entries. */
static enum bs_status read_entries(struct bs_load *load, const struct bs_plugin *evaluation,
                                   const struct bs_yaml_node *node)
{
    int others = load->config->num_evaluations;
    if (node->kind != BS_YAML_SEQUENCE || node->num_items == 0) {
        bs_load_no_list(load, evaluation->name, node, entries_allowed);
        return BS_OK;
    }
    if (others + node->num_items > BS_MAX_TEXTS) {
        bs_report_add(load->report, node->line, node->column, "%d texts, expected at most %d",
                      others + node->num_items, BS_MAX_TEXTS);
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int i = 0; !status && i < node->num_items; i++)
        status = read_entry(load, evaluation, node->items[i]);
    return status;
}

enum { MOST_KEYS = 64 };

/* The keys of `evaluation`: the names of evaluations, for which the first row stands, and the
 * others. */
static void list_keys(struct bs_config_key keys[MOST_KEYS])
{
    int count = 0;
    for (int e = 0; bs_evaluation_registry.rows[e] && count < MOST_KEYS - 2; e++)
        keys[count++] = (struct bs_config_key){.name = bs_evaluation_registry.rows[e]->name,
                                               .allowed = entries_allowed};
    for (int k = 1; bs_evaluation_keys[k].name && count < MOST_KEYS - 1; k++)
        keys[count++] = bs_evaluation_keys[k];
    keys[count] = (struct bs_config_key){.name = NULL};
}

/* The sites; whether the model has them is known once it is open. */
static enum bs_status read_sites(struct bs_load *load, const struct bs_yaml_node *where)
{
    struct bs_channels_config *channels = &load->config->channels;
    int count = where ? bs_yaml_num_values(where) : 0;
    if (where && (count < 1 || count > BS_MOST_CHANNEL_SITES))
        bs_load_wrong(load, bs_channels_keys[0].name, where, bs_channels_keys[0].allowed);
    for (int i = 0; i < count && count <= BS_MOST_CHANNEL_SITES; i++) {
        const struct bs_yaml_node *site = bs_yaml_value(where, i);
        bool good = site->text && *site->text && strlen(site->text) < BS_CHANNEL_SITE_BYTES;
        for (int k = 0; good && k < channels->num_sites; k++)
            good = !!strcmp(channels->sites[k], site->text);
        if (!good) {
            bs_load_wrong(load, bs_channels_keys[0].name, site, "sites' names, each once");
            continue;
        }
        if (!(channels->sites[channels->num_sites] = bs_strdup(site->text)))
            return bs_fail_memory(load->err);
        channels->num_sites++;
    }
    return BS_OK;
}

static enum bs_status read_channels(struct bs_load *load, const struct bs_yaml_node *node)
{
    if (!bs_load_section(load, "channels", node, bs_channels_keys, bs_channels_options,
                         &load->config->channels))
        return BS_OK;
    enum bs_status status = read_sites(load, bs_yaml_get(node, bs_channels_keys[0].name));
    const struct bs_config *config = load->config;
    if (!status && config->num_evaluations &&
        bs_evaluation_has_answers(config->evaluations[0].how.plugin->name))
        bs_report_add(load->report, node->line, node->column,
                      "channels are those of the first text, expected perplexity before tasks");
    return status;
}

enum bs_status bs_evaluation_read(struct bs_load *load, const struct bs_yaml_node *node)
{
    struct bs_config_key keys[MOST_KEYS];
    list_keys(keys);
    if (!bs_load_section(load, "evaluation", node, keys, NULL, NULL))
        return BS_OK;
    const struct bs_yaml_node *layer_error = bs_yaml_get(node, "layer_error");
    if (layer_error)
        bs_load_section(load, "layer_error", layer_error, NULL, bs_layer_error_options,
                        &load->config->layer_error);
    bool any = false;
    enum bs_status status = BS_OK;
    for (int i = 0; i < node->num_items && !status; i += 2) {
        const char *key = node->items[i]->text;
        const struct bs_plugin *evaluation =
            key ? bs_registry_find(&bs_evaluation_registry, key) : NULL;
        if (evaluation)
            status = read_entries(load, evaluation, node->items[i + 1]);
        any |= evaluation != NULL;
    }
    const struct bs_yaml_node *channels = bs_yaml_get(node, "channels");
    if (channels && !status)
        status = read_channels(load, channels);
    if (!any)
        bs_report_add(load->report, node->line, node->column, "%s is missing, expected %s",
                      keys[0].name, entries_allowed);
    return status;
}
