#include "eval/config/describe.h"

#include <string.h>

#include "eval/base/listing.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/config/config.h"
#include "eval/config/model_list.h"
#include "eval/config/registries.h"
#include "eval/config/report.h"
#include "eval/model/wrappers.h"
#include "eval/tasks/text_steps.h"

enum { NAME_TEXT = 64, ALLOWED_TEXT = 320, LIST_TEXT = 2000 };

/* A part of the config: its own keys, its options, and those of the entries of a list in it. */
struct section {
    const char *name, *title;
    const struct bs_config_key *keys;
    const struct bs_option *options;
    const char *entry_prefix;
    const struct bs_config_key *entry_keys;
    const struct bs_option *entry_options;
};

static const struct section sections[] = {
    {"config", "the keys of a config file", bs_config_keys, NULL, NULL, NULL, NULL},
    {"model", "an entry of model that is a mapping", bs_model_keys, NULL, NULL, NULL, NULL},
    {"sweep", "the keys of a grid, beside the options of the algorithms it names", bs_sweep_keys,
     bs_recipe_options, NULL, NULL, NULL},
    {"weights", "what weights are rounded to, beside the options of the formats and ranges named",
     bs_setting_keys, bs_weights_options, NULL, NULL, NULL},
    {"activations", "what activations are rounded to, as weights are", bs_setting_keys, NULL, "",
     bs_where_keys, bs_activations_options},
    {"kv_cache", "what the keys and values in a cache are rounded to, as weights are",
     bs_setting_keys, NULL, "", bs_cached_keys, bs_cache_options},
    {"except", "an entry of except: what is another one at some places", bs_except_keys, NULL, NULL,
     NULL, NULL},
    {"sensitivity", "one place at a time", bs_sensitivity_keys, bs_sensitivity_options, NULL, NULL,
     NULL},
    {"budget", "bits shared out among the places of sensitivity", bs_budget_keys, bs_budget_options,
     NULL, NULL, NULL},
    {"calibration", "the windows that algorithms look at", bs_calibration_keys,
     bs_calibration_options, NULL, NULL, NULL},
    {"evaluation", "the keys of what is measured; NAME is that of an evaluation",
     bs_evaluation_keys, NULL, "NAME[].", bs_text_keys, bs_evaluation_options},
    {"task", "an entry of tasks under evaluation", bs_task_keys, bs_task_options, NULL, NULL, NULL},
    {"layer_error", "the error of each linear", NULL, bs_layer_error_options, NULL, NULL, NULL},
    {"channels", "the largest values of the channels of some sites", bs_channels_keys,
     bs_channels_options, NULL, NULL, NULL},
    {"chart", "an entry of charts that is a mapping", bs_chart_keys, NULL, NULL, NULL, NULL},
    {"expected", "published figures beside the measured ones: an entry of the list",
     bs_expected_keys, NULL, NULL, NULL, NULL},
    {"export", "an entry of export, beside the options of the layout it names", bs_export_keys,
     bs_export_options, NULL, NULL, NULL},
    {.name = NULL},
};

static void add(struct bs_listing *listing, const char *first, const char *second,
                const char *third, const char *fourth)
{
    bs_listing_add(listing, (const char *const[]){first, second, third, fourth});
}

static void add_named(struct bs_listing *listing, const char *prefix, const char *name,
                      const char *initial, const char *allowed, const char *help)
{
    char whole[NAME_TEXT];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    add(listing, whole, initial, allowed, help);
}

static void add_keys(struct bs_listing *listing, const char *prefix,
                     const struct bs_config_key *keys)
{
    for (int k = 0; keys && keys[k].name; k++)
        add_named(listing, prefix, keys[k].name, keys[k].required ? "(required)" : "",
                  keys[k].allowed, keys[k].help);
}

static void add_options(struct bs_listing *listing, const char *prefix,
                        const struct bs_option *options)
{
    for (const struct bs_option *o = options; o && o->name; o++) {
        char initial[NAME_TEXT], allowed[ALLOWED_TEXT];
        bs_option_print_default(o, initial, sizeof initial);
        bs_option_print_allowed(o, allowed, sizeof allowed);
        add_named(listing, prefix, o->name, initial, allowed, o->help);
    }
}

/* What is printed, and how. */
struct describing {
    FILE *out;
    bool markdown;
    bool begun; /* something was printed: a blank line parts it from what follows */
    bool failed;
};

static void print_head(struct describing *to, const char *name, const char *title)
{
    if (to->begun)
        fputc('\n', to->out);
    to->begun = true;
    if (to->markdown)
        fprintf(to->out, "### %s\n\n%s\n\n", name, title);
    else
        bs_print_folded(to->out, bs_terminal_limit(to->out), "%s: %s", name, title);
}

static void finish(struct describing *to, struct bs_listing *listing)
{
    to->failed |= !bs_listing_print(listing, to->markdown, to->out);
    bs_listing_release(listing);
}

#define OPTION_HEAD                                                                                \
    {                                                                                              \
        "name", "default", "allowed", "meaning"                                                    \
    }

static void describe_section(struct describing *to, const struct section *section)
{
    struct bs_listing listing = {.head = OPTION_HEAD};
    add_keys(&listing, "", section->keys);
    add_options(&listing, "", section->options);
    if (section->entry_prefix) {
        add_keys(&listing, section->entry_prefix, section->entry_keys);
        add_options(&listing, section->entry_prefix, section->entry_options);
    }
    print_head(to, section->name, section->title);
    finish(to, &listing);
}

/* ---- plug-ins ---- */

/* Items below the head, a line each; Markdown wants a blank line after the last. */
static void print_items(struct describing *to, const char *lines)
{
    int width = to->markdown ? 0 : bs_terminal_limit(to->out);
    for (const char *line = lines; *line; line += strcspn(line, "\n") + 1)
        bs_print_folded(to->out, width, "%s%.*s", to->markdown ? "- " : "  ",
                        (int)strcspn(line, "\n"), line);
    if (to->markdown && *lines)
        fputc('\n', to->out);
}

static void print_facts(struct describing *to, const struct bs_registry *registry,
                        const struct bs_plugin *plugin)
{
    struct bs_print facts;
    if (!bs_print_begin(&facts)) {
        to->failed = true;
        return;
    }
    if (*plugin->reference)
        fprintf(facts.out, "reference: %s\n", plugin->reference);
    if (registry->print_facts)
        registry->print_facts(plugin, facts.out);
    char *text = bs_print_end(&facts);
    to->failed |= !text;
    print_items(to, text ? text : "");
    bs_free(text);
}

/* Under the plug-in's name, or another that says more. */
static void describe_plugin(struct describing *to, const struct bs_registry *registry,
                            const struct bs_plugin *plugin, const char *called)
{
    struct bs_listing listing = {.head = OPTION_HEAD};
    add_options(&listing, "", plugin->options);
    print_head(to, called, plugin->summary);
    print_facts(to, registry, plugin);
    if (listing.num_rows) {
        if (!to->markdown)
            fputc('\n', to->out);
        finish(to, &listing);
    } else {
        fputs(to->markdown ? "It has no options.\n" : "  no options\n", to->out);
    }
}

static void list_plugins(struct describing *to, const struct bs_registry *registry)
{
    struct bs_listing listing = {.head = {"name", "meaning", "reference"}};
    for (int i = 0; registry->rows[i]; i++)
        add(&listing, registry->rows[i]->name, registry->rows[i]->summary,
            registry->rows[i]->reference, "");
    print_head(to, registry->kind, registry->summary);
    finish(to, &listing);
}

/* The list, and all that is in it. */
static void describe_kind(struct describing *to, const struct bs_registry *registry)
{
    list_plugins(to, registry);
    for (int i = 0; registry->rows[i]; i++)
        describe_plugin(to, registry, registry->rows[i], registry->rows[i]->name);
}

/* ---- what is no plug-in ---- */

static void list_models(struct describing *to)
{
    static const char *const positions[] = {
        [BS_ROTARY] = "rotary", [BS_LEARNED] = "learned", [BS_ALIBI] = "ALiBi"};
    static const char *const wiring[] = {
        [BS_PRE_NORM] = "one after the other", [BS_PARALLEL] = "attention and MLP in parallel"};
    struct bs_listing listing = {.head = {"model_type", "positions", "wiring", "models"}};
    const struct bs_family *family;
    for (int f = 0; (family = bs_family_at(f)); f++)
        add(&listing, family->model_type, positions[family->positions_kind], wiring[family->wiring],
            family->models);
    const struct bs_wrapper *wrapper;
    for (int w = 0; (wrapper = bs_wrapper_at(w)); w++)
        add(&listing, wrapper->model_type, "-", "-", "the text part of it (text_config), alone");
    print_head(to, "models", "the model families, as config.json names them");
    finish(to, &listing);
}

static void list_protocols(struct describing *to)
{
    struct bs_listing listing = {.head = {"name", "fewest windows", "stride", "scored"}};
    for (int p = 0; p < BS_NUM_PROTOCOLS; p++) {
        const struct bs_protocol_rules *rules = &bs_protocols[p];
        char least[NAME_TEXT];
        snprintf(least, sizeof least, "%d", rules->least_windows);
        add(&listing, bs_protocol_names[p], least, rules->slides ? "stride" : "tokens",
            rules->summary);
    }
    print_head(to, "protocols", "how a text is cut into windows, and what of them is scored");
    finish(to, &listing);
}

/* Both uses of a text take a line each, as neither fits beside the other. */
static void list_texts(struct describing *to)
{
    struct bs_listing listing = {.head = {"name", "use", "part", "meaning"}};
    for (const struct bs_corpus *corpus = bs_corpora; corpus->name; corpus++) {
        const struct bs_corpus_part *parts[] = {&corpus->calibration, &corpus->evaluation};
        for (int p = 0; p < 2; p++) {
            char part[ALLOWED_TEXT];
            snprintf(part, sizeof part, "%s: %s", parts[p]->file ? parts[p]->source : "none",
                     parts[p]->file ? parts[p]->preparation : "for calibration only");
            add(&listing, corpus->name, p ? "evaluation" : "calibration", part, corpus->summary);
        }
    }
    print_head(to, "texts", "the known texts; any other name is a file");
    finish(to, &listing);
}

static void list_tasks(struct describing *to)
{
    struct bs_listing listing = {.head = {"name", "kind", "items", "meaning"}};
    for (const struct bs_task *task = bs_known_tasks; task->name; task++) {
        char place[ALLOWED_TEXT] = "a file";
        if (task->remote.repository)
            snprintf(place, sizeof place, "%s, %s", task->remote.repository, task->remote.path);
        add(&listing, task->name, bs_task_kind_names[task->kind], place, task->summary);
    }
    print_head(to, "known_tasks",
               "tasks that are built in; `bitsweep fetch NAME` brings the items");
    finish(to, &listing);
}

/* What an own task's file says. */
static void list_record(struct describing *to)
{
    static const char *const kinds[] = {[BS_TASK_TEXT] = "a text",
                                        [BS_TASK_LIST] = "a text or a list",
                                        [BS_TASK_WORD] = "a word",
                                        [BS_TASK_FLAG] = "true or false"};
    struct bs_listing listing = {.head = {"name", "value", "meaning"}};
    for (const struct bs_task_field *field = bs_task_fields; field->name; field++)
        add(&listing, field->name, field->is_template ? "a template" : kinds[field->kind],
            field->help, "");
    print_head(to, "task_record", "the YAML file of an own task: the same that known tasks are");
    finish(to, &listing);
}

static void list_steps(struct describing *to)
{
    struct bs_listing listing = {.head = {"name", "meaning"}};
    for (const struct bs_text_step *step = bs_text_steps; step->name; step++)
        add(&listing, step->name, step->summary, "", "");
    print_head(to, "text_steps",
               "what a template may do to a field, {field|step}, or a record to a whole text");
    finish(to, &listing);
}

static const struct {
    const char *name;
    void (*list)(struct describing *to);
} lists[] = {{"models", list_models},      {"protocols", list_protocols},
             {"texts", list_texts},        {"known_tasks", list_tasks},
             {"task_record", list_record}, {"text_steps", list_steps}};
enum { NUM_LISTS = sizeof lists / sizeof *lists };

/* ---- what is asked for ---- */

enum bs_status bs_describe_all(FILE *out, bool markdown, struct bs_error *err)
{
    struct describing to = {.out = out, .markdown = markdown};
    for (int r = 0; bs_registries[r]; r++) {
        if (markdown)
            describe_kind(&to, bs_registries[r]);
        else
            list_plugins(&to, bs_registries[r]);
    }
    for (const struct section *section = sections; section->name; section++)
        describe_section(&to, section);
    for (int l = 0; l < NUM_LISTS; l++)
        lists[l].list(&to);
    return to.failed ? bs_fail_memory(err) : BS_OK;
}

/* True where it is what is asked for; else it is among what could have been. */
static bool is_named(struct bs_names *names, const char *name, const char *asked)
{
    bs_names_add(names, name);
    return !strcmp(name, asked);
}

/* A plug-in that somebody asks for by its name. A writer is called as the layout it writes, which
 * may be called after an algorithm or a reader: then the head tells which of them this is. */
static void describe_named(struct describing *to, const struct bs_registry *registry,
                           const struct bs_plugin *plugin)
{
    char called[NAME_TEXT];
    int count = 0;
    for (int r = 0; bs_registries[r]; r++)
        count += bs_registry_find(bs_registries[r], plugin->name) != NULL;
    snprintf(called, sizeof called, "%s%s%s%s", plugin->name, count > 1 ? " (" : "",
             count > 1 ? registry->kind : "", count > 1 ? ")" : "");
    describe_plugin(to, registry, plugin, called);
}

enum bs_status bs_describe_one(const char *name, FILE *out, bool markdown, struct bs_error *err)
{
    struct describing to = {.out = out, .markdown = markdown};
    struct bs_names names = {0};
    for (int r = 0; bs_registries[r]; r++) {
        const struct bs_registry *registry = bs_registries[r];
        if (is_named(&names, registry->kind, name))
            describe_kind(&to, registry);
        for (int i = 0; registry->rows[i]; i++)
            if (is_named(&names, registry->rows[i]->name, name))
                describe_named(&to, registry, registry->rows[i]);
    }
    for (const struct section *section = sections; section->name; section++)
        if (is_named(&names, section->name, name))
            describe_section(&to, section);
    for (int l = 0; l < NUM_LISTS; l++)
        if (is_named(&names, lists[l].name, name))
            lists[l].list(&to);
    if (to.failed)
        return bs_fail_memory(err);
    if (to.begun)
        return BS_OK;
    char list[LIST_TEXT];
    bs_names_print(&names, name, list, sizeof list);
    return bs_fail(err, BS_ECONFIG, "'%.60s' is nothing to describe, expected %s", name, list);
}
