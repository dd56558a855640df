#include "eval/config/axes.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/recipe/where.h"

enum { LIST_TEXT = 800, FOUND_TEXT = 96, HINT_TEXT = 200, WHERE_TEXT = 512 };

static void release_axis(struct bs_axis *axis)
{
    for (int i = 0; axis->texts && i < axis->count; i++)
        bs_free(axis->texts[i]);
    bs_free(axis->texts);
    bs_lines_release(&axis->without);
}

void bs_axes_release(struct bs_axes *axes)
{
    for (int a = 0; a < axes->num_axes; a++)
        release_axis(&axes->axes[a]);
    bs_free(axes->scopes);
    bs_free(axes->axes);
    memset(axes, 0, sizeof *axes);
}

/* What reading needs. */
struct reading {
    struct bs_load *load;
    const struct bs_algorithm *const *named;
    bool sure;
    struct bs_axes *axes;
};

/* False, for what is not good. */
static bool wrong(struct reading *all, const char *what, const struct bs_yaml_node *node,
                  const char *allowed)
{
    bs_load_wrong(all->load, what, node, allowed);
    all->axes->broken = true;
    return false;
}

/* ---- values ---- */

static bool is_text(const struct bs_yaml_node *node)
{
    return node->kind == BS_YAML_SCALAR && !bs_yaml_is_null(node);
}

static bool is_none(const struct bs_yaml_node *node)
{
    return is_text(node) && !strcmp(node->text, "none");
}

static bool check_not_empty(struct reading *all, const char *name,
                            const struct bs_yaml_node *values)
{
    if (bs_yaml_num_values(values) > 0)
        return true;
    bs_load_no_list(all->load, name, values, "at least one value");
    all->axes->broken = true;
    return false;
}

/* Whether a node is one value of an option that is a list: then a list of lists is an axis. */
static bool is_one_list(const struct bs_yaml_node *node)
{
    return node->kind == BS_YAML_SEQUENCE &&
           (node->num_items == 0 || node->items[0]->kind != BS_YAML_SEQUENCE);
}

static int num_values(const struct bs_yaml_node *values, bool lists)
{
    return lists && is_one_list(values) ? 1 : bs_yaml_num_values(values);
}

static const struct bs_yaml_node *value_at(const struct bs_yaml_node *values, bool lists, int i)
{
    return lists && is_one_list(values) ? values : bs_yaml_value(values, i);
}

/* Whether an option can read the node: a scalar, or of a list one of scalars. */
static bool is_value(const struct bs_yaml_node *node, bool lists)
{
    bool good = lists && node->kind == BS_YAML_SEQUENCE;
    for (int i = 0; good && i < node->num_items; i++)
        good = is_text(node->items[i]);
    return good || is_text(node);
}

/* The text of such a node for an option, in new memory: "[-1, 0.5]" of a list, of a file the path
 * from here. */
static char *value_text(const struct reading *all, const struct bs_option *option,
                        const struct bs_yaml_node *node)
{
    struct bs_print printing;
    bool file = option && option->type == BS_FILE && node->kind != BS_YAML_SEQUENCE &&
                !bs_option_has_word(option, node->text);
    if (file)
        return bs_path_join(all->load->config->folder, node->text);
    if (node->kind != BS_YAML_SEQUENCE)
        return bs_strdup(node->text);
    if (!bs_print_begin(&printing))
        return NULL;
    for (int i = 0; i < node->num_items; i++)
        fprintf(printing.out, "%s%s", i ? ", " : "[", node->items[i]->text);
    fputs(node->num_items ? "]" : "[]", printing.out);
    return bs_print_end(&printing);
}

/* Whether a file that is named is there; a config that a result file holds is read without. */
static bool check_file(struct reading *all, const struct bs_option *option,
                       const struct bs_yaml_node *value, const char *text)
{
    struct bs_map map;
    struct bs_error err;
    if (option->type != BS_FILE || !all->load->charts || bs_option_has_word(option, text))
        return true;
    if (!bs_file_check(text, &err) && !bs_map_open(text, &map, &err)) {
        bs_map_close(&map);
        return true;
    }
    char allowed[LIST_TEXT];
    bs_option_print_allowed(option, allowed, sizeof allowed);
    bs_report_add(all->load->report, value->line, value->column, "%s: %s; expected %s",
                  option->name, err.message, allowed);
    return false;
}

/* Reads a value into room for the option's struct. BS_ENOMEM. */
static enum bs_status check_value(struct reading *all, const struct bs_option *option,
                                  const struct bs_yaml_node *value, void *room, bool *good)
{
    char allowed[LIST_TEXT];
    if (!is_value(value, option->type == BS_NUMBERS)) {
        bs_option_print_allowed(option, allowed, sizeof allowed);
        *good = wrong(all, option->name, value, allowed);
        return BS_OK;
    }
    char *text = value_text(all, option, value);
    if (!text)
        return bs_fail_memory(all->load->err);
    *good &= bs_report_parse(all->load->report, value->line, value->column, option, text, room) &&
             check_file(all, option, value, text);
    bs_free(text);
    return BS_OK;
}

/* Reads each value to see whether it is good. */
static enum bs_status check_values(struct reading *all, const struct bs_option *option,
                                   const struct bs_yaml_node *values, size_t room_size, bool *good)
{
    bool lists = option->type == BS_NUMBERS;
    void *room = bs_calloc(1, room_size);
    if (!room)
        return bs_fail_memory(all->load->err);
    if (!lists)
        *good &= check_not_empty(all, option->name, values);
    enum bs_status status = BS_OK;
    for (int i = 0; i < num_values(values, lists) && !status; i++)
        status = check_value(all, option, value_at(values, lists, i), room, good);
    all->axes->broken |= !*good;
    bs_free(room);
    return status;
}

/* Names of plug-ins; "none" where that is one of them. */
static bool check_names(struct reading *all, const struct bs_registry *registry, bool none,
                        const struct bs_yaml_node *values)
{
    struct bs_names names = {0};
    bs_names_add_rows(&names, registry);
    if (none)
        bs_names_add(&names, "none");
    bool good = check_not_empty(all, registry->kind, values);
    for (int i = 0; i < bs_yaml_num_values(values); i++) {
        const struct bs_yaml_node *value = bs_yaml_value(values, i);
        if (is_text(value) && ((none && is_none(value)) || bs_registry_find(registry, value->text)))
            continue;
        char list[LIST_TEXT];
        bs_names_print(&names, value->text ? value->text : "", list, sizeof list);
        good = wrong(all, registry->kind, value, list);
    }
    return good;
}

/* Adds an axis over values that were found good for an option; NULL = names of plug-ins. */
static enum bs_status add_axis(struct reading *all, struct bs_axis axis,
                               const struct bs_yaml_node *values, const struct bs_option *option)
{
    struct bs_axes *axes = all->axes;
    bool lists = option && option->type == BS_NUMBERS;
    struct bs_axis *grown =
        bs_realloc(axes->axes, (size_t)axes->num_axes, (size_t)axes->num_axes + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(all->load->err);
    axes->axes = grown;
    axis.line = values->line;
    axis.column = values->column;
    axis.count = num_values(values, lists);
    axis.texts = bs_calloc((size_t)axis.count, sizeof *axis.texts);
    bool whole = axis.texts != NULL;
    for (int i = 0; whole && i < axis.count; i++)
        whole = (axis.texts[i] = value_text(all, option, value_at(values, lists, i))) != NULL;
    grown[axes->num_axes++] = axis;
    return whole ? BS_OK : bs_fail_memory(all->load->err);
}

/* ---- settings ---- */

/* What a setting chooses from: both kinds in turn. */
static const struct bs_registry *const kinds[] = {&bs_format_registry, &bs_range_registry};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Whether a scope names the plug-in: the first of its kind where it names none, any where one of
 * the names is wrong. */
static bool names_plugin(const struct bs_axes_scope *scope, int kind,
                         const struct bs_plugin *plugin)
{
    const struct bs_yaml_node *names = scope->names[kind];
    bool named = scope->unsure || (!names && plugin == kinds[kind]->rows[0]);
    for (int i = 0; names && i < bs_yaml_num_values(names); i++)
        named |= is_text(bs_yaml_value(names, i)) &&
                 !strcmp(bs_yaml_value(names, i)->text, plugin->name);
    return named;
}

/* An exception has it beside its settings. */
static bool takes_where(const struct bs_axes_scope *scope)
{
    return scope->use == BS_FOR_ACTIVATIONS && !scope->exception;
}

/* What is of keys and values both can say what differs for one of them. */
static bool parts_cache(const struct bs_axes_scope *scope)
{
    return scope->use == BS_FOR_CACHE && scope->cached == BS_NUM_CACHED;
}

static void add_setting_names(const struct bs_axes_scope *scope, struct bs_names *names)
{
    for (int k = 0; k < KINDS; k++)
        bs_names_add(names, kinds[k]->kind);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; kinds[k]->rows[i]; i++)
            if (names_plugin(scope, k, kinds[k]->rows[i]))
                bs_names_add_options(names, kinds[k]->rows[i]->options);
    if (takes_where(scope))
        bs_names_add(names, bs_where_keys[0].name);
    for (int c = 0; parts_cache(scope) && bs_cached_keys[c].name; c++)
        bs_names_add(names, bs_cached_keys[c].name);
    bs_names_add_options(names, bs_setting_options(scope->use));
}

/* A key that nothing here has: whose it is where a plug-in that is not named has it. */
static void unknown_setting_key(struct reading *all, const struct bs_axes_scope *scope,
                                const struct bs_yaml_node *key)
{
    struct bs_names names = {0};
    char hint[HINT_TEXT] = "";
    add_setting_names(scope, &names);
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; !hint[0] && kinds[k]->rows[i]; i++)
            if (bs_option_find(kinds[k]->rows[i]->options, key->text))
                snprintf(hint, sizeof hint, "; it is an option of %s %s, which is not named here",
                         kinds[k]->kind, kinds[k]->rows[i]->name);
    bs_report_unknown_key(all->load->report, key->line, key->column, key->text, &names, hint);
    all->axes->broken = true;
}

/* An axis over an option; the value must suit each plug-in that is named and has it. */
static enum bs_status read_setting_option(struct reading *all, int index,
                                          const struct bs_yaml_node *key,
                                          const struct bs_yaml_node *values)
{
    const struct bs_axes_scope *scope = &all->axes->scopes[index];
    const struct bs_option *option = bs_option_find(bs_setting_options(scope->use), key->text);
    struct bs_axis axis = {.scope = index, .name = option ? option->name : NULL};
    const struct bs_option *kind = option; /* those of one name are of one type */
    bool good = true;
    if (option && check_values(all, option, values, sizeof(struct bs_setting), &good))
        return all->load->err->status;
    for (int k = 0; k < KINDS; k++)
        for (int i = 0; kinds[k]->rows[i]; i++) {
            const struct bs_plugin *plugin = kinds[k]->rows[i];
            option = bs_option_find(plugin->options, key->text);
            if (!option || !names_plugin(scope, k, plugin))
                continue;
            axis.name = option->name;
            kind = option;
            if (check_values(all, option, values, plugin->options_size, &good))
                return all->load->err->status;
        }
    if (axis.name)
        return good ? add_axis(all, axis, values, kind) : BS_OK;
    unknown_setting_key(all, scope, key);
    return BS_OK;
}

/* `where`: patterns of places, parted by blanks in the recipe. */
static bool check_where(struct reading *all, const struct bs_yaml_node *where)
{
    struct bs_error err;
    bool good = check_not_empty(all, "where", where);
    for (int i = 0; i < bs_yaml_num_values(where); i++) {
        const struct bs_yaml_node *value = bs_yaml_value(where, i);
        if (!is_text(value)) {
            good = wrong(all, "where", value, "a place, or a list of them");
        } else if (bs_where_check(value->text, &err)) {
            bs_report_add(all->load->report, value->line, value->column, "%s", err.message);
            good = false;
        }
    }
    all->axes->broken |= !good;
    return good;
}

/* A scope that begins as another one, NULL = without names. */
static enum bs_status add_scope(struct reading *all, enum bs_use use,
                                const struct bs_yaml_node *where, int like)
{
    struct bs_axes *axes = all->axes;
    struct bs_axes_scope *grown = bs_realloc(axes->scopes, (size_t)axes->num_scopes,
                                             (size_t)axes->num_scopes + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(all->load->err);
    axes->scopes = grown;
    struct bs_axes_scope *scope = &grown[axes->num_scopes++];
    *scope = (struct bs_axes_scope){
        .use = use, .cached = BS_NUM_CACHED, .where = where, .exception = where && like >= 0};
    for (int k = 0; like >= 0 && k < KINDS; k++)
        scope->names[k] = grown[like].names[k];
    return BS_OK;
}

/* The key of a plug-in: its names, and the axis over them. */
static enum bs_status read_choice(struct reading *all, int index, int kind,
                                  const struct bs_yaml_node *values)
{
    bool none = kinds[kind] == &bs_format_registry;
    struct bs_axis axis = {.scope = index, .choice = true, .name = kinds[kind]->kind};
    all->axes->scopes[index].names[kind] = values;
    if (check_names(all, kinds[kind], none, values))
        return add_axis(all, axis, values, NULL);
    all->axes->scopes[index].unsure = true;
    return BS_OK;
}

static void wrong_setting(struct reading *all, const struct bs_axes_scope *scope, const char *key,
                          const struct bs_yaml_node *node)
{
    struct bs_names names = {0};
    char list[LIST_TEXT], allowed[LIST_TEXT + 32];
    add_setting_names(scope, &names);
    bs_names_print(&names, "", list, sizeof list);
    snprintf(allowed, sizeof allowed, "none, or a mapping with %s", list);
    if (node->kind == BS_YAML_MAPPING)
        bs_report_add(all->load->report, node->line, node->column, "%s is empty, expected %s", key,
                      allowed);
    else
        bs_load_wrong(all->load, key, node, allowed);
    all->axes->broken = true;
}

static bool is_cached_key(const char *name)
{
    bool is = false;
    for (int c = 0; bs_cached_keys[c].name; c++)
        is |= !strcmp(bs_cached_keys[c].name, name);
    return is;
}

/* `weights:` or `activations:` below `key`, into the last scope: choices before options, as the
 * names say which options there are. */
static enum bs_status read_setting(struct reading *all, const char *key,
                                   const struct bs_yaml_node *node)
{
    int index = all->axes->num_scopes - 1;
    struct bs_axes_scope *scope = &all->axes->scopes[index];
    if (!node)
        return BS_OK;
    if (is_none(node)) {
        scope->names[0] = NULL;
        return add_axis(all,
                        (struct bs_axis){.scope = index, .choice = true, .name = kinds[0]->kind},
                        node, NULL);
    }
    if (node->kind != BS_YAML_MAPPING || node->num_items == 0) {
        wrong_setting(all, scope, key, node);
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int k = 0; k < KINDS && !status; k++)
        if (bs_yaml_get(node, kinds[k]->kind))
            status = read_choice(all, index, k, bs_yaml_get(node, kinds[k]->kind));
    scope->unnamed = !bs_yaml_get(node, kinds[0]->kind);
    for (int i = 0; i < node->num_items && !status; i += 2) {
        const struct bs_yaml_node *name = node->items[i], *values = node->items[i + 1];
        if (!name->text || !strcmp(name->text, kinds[0]->kind) ||
            !strcmp(name->text, kinds[1]->kind)) {
            continue;
        } else if (parts_cache(scope) && is_cached_key(name->text)) {
            continue; /* which are scopes of their own */
        } else if (takes_where(scope) && !strcmp(name->text, bs_where_keys[0].name)) {
            scope->where = check_where(all, values) ? values : NULL;
        } else {
            status = read_setting_option(all, index, name, values);
        }
    }
    return status;
}

/* `kv_cache:`, then what it says of keys and of values alone. */
static enum bs_status read_cache(struct reading *all, const struct bs_yaml_node *node)
{
    int both = all->axes->num_scopes;
    if (!node)
        return BS_OK;
    enum bs_status status = add_scope(all, BS_FOR_CACHE, NULL, -1);
    if (!status)
        status = read_setting(all, "kv_cache", node);
    for (int c = 0; c < BS_NUM_CACHED && node->kind == BS_YAML_MAPPING && !status; c++) {
        const struct bs_yaml_node *own = bs_yaml_get(node, bs_cached_keys[c].name);
        if (!own || (status = add_scope(all, BS_FOR_CACHE, NULL, both)))
            continue;
        all->axes->scopes[all->axes->num_scopes - 1].cached = c;
        status = read_setting(all, bs_cached_keys[c].name, own);
    }
    return status;
}

/* An entry of `except:`, a scope for each of the settings it changes. */
static enum bs_status read_exception(struct reading *all, const struct bs_yaml_node *node)
{
    const struct bs_yaml_node *where = bs_yaml_get(node, "where");
    const struct bs_yaml_node *settings[] = {[BS_FOR_WEIGHTS] = bs_yaml_get(node, "weights"),
                                             [BS_FOR_ACTIVATIONS] =
                                                 bs_yaml_get(node, "activations")};
    if (!bs_load_section(all->load, "an entry of except", node, bs_except_keys, NULL, NULL) ||
        !where) {
        all->axes->broken = true;
        return BS_OK;
    }
    if (!settings[0] && !settings[1])
        wrong(all, "an entry of except", node, "weights or activations in it");
    enum bs_status status = BS_OK;
    if (!check_where(all, where))
        return status;
    for (int use = 0; use < 2 && !status; use++)
        if (settings[use] && !(status = add_scope(all, (enum bs_use)use, where, use)))
            status = read_setting(all, bs_except_keys[1 + use].name, settings[use]);
    return status;
}

static enum bs_status read_exceptions(struct reading *all, const struct bs_yaml_node *node)
{
    if (node && (node->kind != BS_YAML_SEQUENCE || node->num_items == 0)) {
        bs_load_no_list(all->load, "except", node,
                        "a list of mappings with where, weights and activations");
        all->axes->broken = true;
        return BS_OK;
    }
    enum bs_status status = BS_OK;
    for (int i = 0; node && i < node->num_items && !status; i++)
        status = read_exception(all, node->items[i]);
    return status;
}

/* ---- options of the recipe and of its algorithms ---- */

static bool names_algorithm(const struct reading *all, const struct bs_algorithm *algorithm)
{
    bool named = !all->sure;
    for (int i = 0; !named && all->named[i]; i++)
        named = all->named[i] == algorithm;
    return named;
}

/* Adds one more algorithm to the hint whose option a key is. */
static void add_owner(char hint[HINT_TEXT], const struct bs_algorithm *algorithm)
{
    size_t length = strlen(hint);
    snprintf(hint + length, HINT_TEXT - length, "%s%s", length ? " and " : "; it is an option of ",
             algorithm->plugin.name);
}

/* Says what was perhaps meant by a key that no algorithm of the grid knows. */
static void unknown_grid_key(struct reading *all, const struct bs_yaml_node *key)
{
    struct bs_names names = {0};
    char hint[HINT_TEXT] = "";
    for (int k = 0; bs_sweep_keys[k].name; k++)
        bs_names_add(&names, bs_sweep_keys[k].name);
    bs_names_add_options(&names, bs_recipe_options);
    if (bs_setting_knows(BS_FOR_WEIGHTS, key->text))
        snprintf(hint, sizeof hint, "; it belongs under weights");
    else if (bs_setting_knows(BS_FOR_ACTIVATIONS, key->text))
        snprintf(hint, sizeof hint, "; it belongs under activations");
    bool belongs = hint[0];
    const struct bs_algorithm *algorithm;
    for (int a = 0; (algorithm = bs_algorithm_at(a)); a++) {
        if (names_algorithm(all, algorithm))
            bs_names_add_options(&names, algorithm->plugin.options);
        else if (!belongs && bs_option_find(algorithm->plugin.options, key->text))
            add_owner(hint, algorithm);
    }
    size_t length = strlen(hint);
    if (length && !belongs)
        snprintf(hint + length, sizeof hint - length, ", which this grid does not name");
    bs_report_unknown_key(all->load->report, key->line, key->column, key->text, &names, hint);
    all->axes->broken = true;
}

/* An axis over an option of algorithms; the value must suit each of them that has it. */
static enum bs_status read_option(struct reading *all, const struct bs_yaml_node *key,
                                  const struct bs_yaml_node *values)
{
    const struct bs_option *option = bs_option_find(bs_recipe_options, key->text);
    struct bs_axis axis = {.scope = -1, .name = option ? option->name : NULL};
    const struct bs_option *kind = option;
    bool good = true;
    if (option && check_values(all, option, values, sizeof(struct bs_recipe), &good))
        return all->load->err->status;
    const struct bs_algorithm *algorithm;
    for (int a = 0; (algorithm = bs_algorithm_at(a)); a++) {
        option = bs_option_find(algorithm->plugin.options, key->text);
        if (!option || !names_algorithm(all, algorithm))
            continue;
        axis.name = option->name;
        kind = option;
        if (check_values(all, option, values, algorithm->plugin.options_size, &good))
            return all->load->err->status;
    }
    if (axis.name)
        return good ? add_axis(all, axis, values, kind) : BS_OK;
    unknown_grid_key(all, key);
    return BS_OK;
}

static bool is_sweep_key(const char *name)
{
    bool is = false;
    for (int k = 0; bs_sweep_keys[k].name; k++)
        is |= !strcmp(bs_sweep_keys[k].name, name);
    return is;
}

enum bs_status bs_axes_read(struct bs_load *load, const struct bs_yaml_node *grid,
                            const struct bs_algorithm *const *named, bool sure,
                            struct bs_axes *axes)
{
    struct reading all = {load, named, sure, axes};
    memset(axes, 0, sizeof *axes);
    enum bs_status status = add_scope(&all, BS_FOR_WEIGHTS, NULL, -1);
    if (!status)
        status = read_setting(&all, "weights", bs_yaml_get(grid, "weights"));
    if (!status)
        status = add_scope(&all, BS_FOR_ACTIVATIONS, NULL, -1);
    if (!status)
        status = read_setting(&all, "activations", bs_yaml_get(grid, "activations"));
    if (!status)
        status = read_cache(&all, bs_yaml_get(grid, "kv_cache"));
    if (!status)
        status = read_exceptions(&all, bs_yaml_get(grid, "except"));
    for (int i = 0; i < grid->num_items && !status; i += 2)
        if (grid->items[i]->text && !is_sweep_key(grid->items[i]->text))
            status = read_option(&all, grid->items[i], grid->items[i + 1]);
    return status;
}
