#include "eval/config/settings.h"

#include <stdbool.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/config/config.h"
#include "eval/config/yaml_set.h"

/* Whether the first part of a key is one of the file; else it is one of a grid. */
static bool is_of_file(const char *key, size_t length)
{
    for (const struct bs_config_key *own = bs_config_keys; own->name; own++)
        if (strlen(own->name) == length && !strncmp(own->name, key, length))
            return true;
    return false;
}

/* Where a setting goes, in new memory. */
static enum bs_status read_path(const char *setting, char **path, struct bs_error *err)
{
    size_t length = strcspn(setting, "=");
    bool empty = !setting[length] || !setting[length + 1];
    for (size_t at = 0; at <= length && !empty; at += strcspn(setting + at, ".=") + 1)
        empty = strchr(".=", setting[at]);
    *path = NULL;
    if (empty)
        return bs_fail(err, BS_ECONFIG,
                       "--set '%.100s': expected KEY=VALUE, such as weights.bits=3,4", setting);
    *path = bs_printf("%s%.*s", is_of_file(setting, strcspn(setting, ".=")) ? "" : "sweep.",
                      (int)length, setting);
    return *path ? BS_OK : bs_fail_memory(err);
}

/* Places of a tree that settings are in. `paths` [count] of the settings. */
struct placing {
    char *const *paths;
    int count;
};

/* The last setting of what stands at a path, from 1; else the first of what stands below it where
 * `below`; 0 for none. */
static int setting_at(const struct placing *placing, const char *path, bool below)
{
    size_t length = strlen(path);
    for (int i = placing->count; i > 0 && !below; i--)
        if (!strcmp(placing->paths[i - 1], path))
            return i;
    for (int i = 1; i <= placing->count && below; i++)
        if (!strncmp(placing->paths[i - 1], path, length) && placing->paths[i - 1][length] == '.')
            return i;
    return 0;
}

static void place_all(struct bs_yaml_node *node, int line)
{
    node->line = line;
    node->column = 1;
    for (int i = 0; i < node->num_items; i++)
        place_all(node->items[i], line);
}

static enum bs_status place(const struct placing *placing, struct bs_yaml_node *node,
                            const struct bs_yaml_node *original, const char *path,
                            struct bs_error *err);

/* A key and its value. */
static enum bs_status place_pair(const struct placing *placing, struct bs_yaml_node *key,
                                 struct bs_yaml_node *value, const struct bs_yaml_node *original,
                                 const char *path, struct bs_error *err)
{
    const struct bs_yaml_node *old = NULL;
    for (int i = 0; i < original->num_items && key->text && !old; i += 2) {
        const struct bs_yaml_node *own = original->items[i];
        if (!own->text || strcmp(own->text, key->text))
            continue;
        key->line = own->line;
        key->column = own->column;
        old = original->items[i + 1];
    }
    char *longer = bs_printf("%s%s%s", path, *path ? "." : "", key->text ? key->text : "");
    if (!longer)
        return bs_fail_memory(err);
    int own = setting_at(placing, longer, false);
    own = own || old ? own : setting_at(placing, longer, true);
    if (own)
        place_all(value, -own);
    if (own && !old)
        place_all(key, -own);
    enum bs_status status = own || !old ? BS_OK : place(placing, value, old, longer, err);
    bs_free(longer);
    return status;
}

/* The elements of a list have its path, as settings go to all of them. */
static enum bs_status place(const struct placing *placing, struct bs_yaml_node *node,
                            const struct bs_yaml_node *original, const char *path,
                            struct bs_error *err)
{
    enum bs_status status = BS_OK;
    node->line = original->line;
    node->column = original->column;
    bool is_mapping = node->kind == BS_YAML_MAPPING && original->kind == BS_YAML_MAPPING;
    for (int i = 0; is_mapping && i + 1 < node->num_items && !status; i += 2)
        status = place_pair(placing, node->items[i], node->items[i + 1], original, path, err);
    for (int i = 0; !is_mapping && i < node->num_items && i < original->num_items && !status; i++)
        status = place(placing, node->items[i], original->items[i], path, err);
    return status;
}

enum bs_status bs_settings_place(struct bs_yaml *set, const char *text, const char *const *settings,
                                 int count, struct bs_error *err)
{
    struct bs_yaml *original = NULL;
    char **paths = bs_calloc((size_t)count, sizeof *paths);
    enum bs_status status = paths ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < count && !status; i++)
        status = read_path(settings[i], &paths[i], err);
    if (!status)
        status = bs_yaml_parse("", text, strlen(text), &original, err);
    const struct placing placing = {paths, count};
    if (!status)
        status = place(&placing, bs_yaml_edit(set), bs_yaml_root(original), "", err);
    bs_yaml_free(original);
    for (int i = 0; i < count && paths; i++)
        bs_free(paths[i]);
    bs_free(paths);
    return status;
}

/* The comment, and the text after it. */
static char *with_comment(const char *path, const char *const *settings, int count,
                          const char *text)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    bs_print_line(out, "# %s with", path);
    for (int i = 0; i < count; i++)
        bs_print_line(out, "#   --set '%s'", settings[i]);
    fputs(text, out);
    return bs_print_end(&printing);
}

enum bs_status bs_settings_apply(const char *path, const char *text, const char *const *settings,
                                 int count, char **set, struct bs_error *err)
{
    struct bs_yaml *yaml = NULL;
    *set = NULL;
    if (bs_yaml_parse(path, text, strlen(text), &yaml, err))
        return err->status;
    bs_yaml_free(yaml);
    struct bs_yaml_setting *all = bs_calloc((size_t)count, sizeof *all);
    enum bs_status status = all ? BS_OK : bs_fail_memory(err);
    char *made = NULL, **paths = bs_calloc((size_t)count, sizeof *paths);
    status = paths ? status : bs_fail_memory(err);
    for (int i = 0; i < count && !status; i++) {
        status = read_path(settings[i], &paths[i], err);
        if (!status)
            all[i] = (struct bs_yaml_setting){paths[i], strchr(settings[i], '=') + 1, settings[i]};
    }
    if (!status)
        status = bs_yaml_set(text, all, count, &made, err);
    if (!status && !(*set = with_comment(path, settings, count, made)))
        status = bs_fail_memory(err);
    bs_free(made);
    for (int i = 0; i < count && paths; i++)
        bs_free(paths[i]);
    bs_free(paths);
    bs_free(all);
    return status == BS_ECONFIG ? bs_fail_within(err, "%s", path) : status;
}
