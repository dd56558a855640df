#include "eval/base/plugin.h"

#include <string.h>

#include "eval/base/mem.h"

enum { NAME_TEXT = 128 };

const struct bs_plugin *bs_registry_find(const struct bs_registry *registry, const char *name)
{
    for (int i = 0; registry->rows[i]; i++)
        if (!strcmp(registry->rows[i]->name, name))
            return registry->rows[i];
    return NULL;
}

enum bs_status bs_choice_init(struct bs_choice *choice, const struct bs_plugin *plugin,
                              struct bs_error *err)
{
    *choice = (struct bs_choice){.plugin = NULL};
    if (!plugin)
        return BS_OK;
    if (plugin->options_size) {
        choice->options = bs_calloc(1, plugin->options_size);
        if (!choice->options)
            return bs_fail_memory(err);
        if (plugin->variant)
            memcpy(choice->options, plugin->variant, plugin->options_size);
        bs_options_default(plugin->options, choice->options);
    }
    choice->plugin = plugin;
    return BS_OK;
}

enum bs_status bs_choice_copy(struct bs_choice *to, const struct bs_choice *from,
                              struct bs_error *err)
{
    if (bs_choice_init(to, from->plugin, err))
        return err->status;
    if (to->options)
        memcpy(to->options, from->options, from->plugin->options_size);
    if (to->options && to->plugin->copied)
        to->plugin->copied(to->options);
    return BS_OK;
}

void bs_choice_release(struct bs_choice *choice)
{
    bs_free(choice->options);
    *choice = (struct bs_choice){.plugin = NULL};
}

static const struct bs_option *options_of(const struct bs_choice *choice)
{
    static const struct bs_option none = {.name = NULL};
    return choice->plugin && choice->plugin->options ? choice->plugin->options : &none;
}

/* Option by option: the bytes between members mean nothing. */
bool bs_choice_equal(const struct bs_choice *a, const struct bs_choice *b)
{
    bool equal = a->plugin == b->plugin;
    for (const struct bs_option *o = options_of(a); equal && o->name; o++)
        equal = bs_option_equal(o, a->options, b->options);
    return equal;
}

void bs_choice_print_value(const struct bs_option *option, const void *options, FILE *out)
{
    char value[BS_OPTION_TEXT];
    bs_option_print(option, options, value, sizeof value);
    fputs(value, out);
}

void bs_choice_print_all(const struct bs_choice *choice, const char *prefix, FILE *out)
{
    for (const struct bs_option *o = options_of(choice); o->name; o++) {
        char text[BS_OPTION_TEXT];
        bs_option_print_identity(o, choice->options, text, sizeof text);
        fprintf(out, "%s.%s: %s\n", prefix, o->name, text);
    }
}

void bs_choice_print_short(const struct bs_choice *choice,
                           const char *(*name)(const void *context, const struct bs_option *option,
                                               char *room, size_t size),
                           const void *context, FILE *out)
{
    for (const struct bs_option *o = options_of(choice); o->name; o++) {
        if (bs_option_is_default(o, choice->options))
            continue;
        char value[BS_OPTION_TEXT], room[NAME_TEXT];
        bs_option_print(o, choice->options, value, sizeof value);
        const char *shown = name ? name(context, o, room, sizeof room) : o->name;
        if (o->type == BS_BOOL)
            fprintf(out, " %s%s", !strcmp(value, "true") ? "" : "no_", shown);
        else
            fprintf(out, " %s=%s", shown, value);
    }
}
