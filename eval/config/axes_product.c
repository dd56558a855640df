/* A grid's axes, multiplied out. */
#include "eval/config/axes.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"

/* An option of the recipe or of one of its algorithms. */
static bool recipe_has(const struct bs_recipe *recipe, const char *name)
{
    bool has = bs_option_find(bs_recipe_options, name);
    for (int s = 0; s < recipe->num_steps; s++)
        has |= bs_option_find(recipe->steps[s].plugin->options, name) != NULL;
    return has;
}

static int num_points(const struct bs_axis *axis, const struct bs_recipe *recipe)
{
    return axis->scope >= 0 || recipe_has(recipe, axis->name) ? axis->count : 1;
}

long bs_axes_points(const struct bs_axes *axes, const struct bs_recipe *recipe, long most)
{
    long points = 1;
    for (int a = 0; a < axes->num_axes && points <= most; a++)
        points *= num_points(&axes->axes[a], recipe);
    return points;
}

const struct bs_axis *bs_axes_asks(const struct bs_axes *axes, const char *name, const char *usual,
                                   const char **text)
{
    for (int a = 0; a < axes->num_axes; a++)
        for (int i = 0; axes->axes[a].scope >= 0 && i < axes->axes[a].count; i++)
            if (!strcmp(axes->axes[a].name, name) && strcmp(axes->axes[a].texts[i], usual)) {
                *text = axes->axes[a].texts[i];
                return &axes->axes[a];
            }
    return NULL;
}

bool bs_axes_name_format(const struct bs_axes *axes, enum bs_use use)
{
    bool named = false;
    for (int a = 0; a < axes->num_axes; a++) {
        const struct bs_axis *axis = &axes->axes[a];
        if (axis->scope >= 0 && axes->scopes[axis->scope].use == use)
            named |= !strcmp(axis->name, bs_format_registry.kind) || !strcmp(axis->name, "bits") ||
                     !strcmp(axis->name, "mix");
    }
    return named;
}

/* Which value of an axis a point has. */
static int digit(const struct bs_axes *axes, int axis, long point, const struct bs_recipe *recipe)
{
    for (int a = axes->num_axes - 1; a > axis; a--)
        point /= num_points(&axes->axes[a], recipe);
    return (int)(point % num_points(&axes->axes[axis], recipe));
}

/* The values were checked when they were read: what may fail is memory. */
static void set_option(const struct bs_option *options, const char *name, const char *text,
                       void *values)
{
    struct bs_error ignored;
    const struct bs_option *option = bs_option_find(options, name);
    if (option)
        bs_option_parse(option, text, values, &ignored);
}

static void set_recipe(const struct bs_axis *axis, const char *text, struct bs_recipe *recipe)
{
    set_option(bs_recipe_options, axis->name, text, recipe);
    for (int s = 0; s < recipe->num_steps; s++)
        set_option(recipe->steps[s].plugin->options, axis->name, text, recipe->steps[s].options);
}

/* Patterns parted by blanks, in new memory. */
static char *join(const struct bs_yaml_node *where)
{
    char *text = bs_strdup("");
    for (int i = 0; text && i < bs_yaml_num_values(where); i++) {
        char *longer = bs_printf("%s%s%s", text, i ? " " : "", bs_yaml_value(where, i)->text);
        bs_free(text);
        text = longer;
    }
    return text;
}

static struct bs_setting *setting_of(const struct bs_axes_scope *scope, struct bs_recipe *recipe)
{
    if (scope->use == BS_FOR_CACHE)
        return &recipe
                    ->cache[scope->cached == BS_CACHED_VALUES ? BS_CACHED_VALUES : BS_CACHED_KEYS];
    return scope->use == BS_FOR_WEIGHTS ? &recipe->weights : &recipe->activations;
}

/* What is of keys and values both was set for the keys. */
static enum bs_status end_scope(const struct bs_axes_scope *scope, struct bs_recipe *recipe,
                                struct bs_error *err)
{
    if (scope->use != BS_FOR_CACHE || scope->cached != BS_NUM_CACHED)
        return BS_OK;
    bs_setting_release(&recipe->cache[BS_CACHED_VALUES]);
    return bs_setting_copy(&recipe->cache[BS_CACHED_VALUES], &recipe->cache[BS_CACHED_KEYS], err);
}

/* The setting that a scope is about, as it is before the scope's axes: of an exception what holds
 * without it. */
static enum bs_status begin_scope(const struct bs_axes_scope *scope, struct bs_recipe *recipe,
                                  struct bs_setting **setting, struct bs_error *err)
{
    *setting = setting_of(scope, recipe);
    char *where = scope->where ? join(scope->where) : NULL;
    enum bs_status status = scope->where && !where ? bs_fail_memory(err) : BS_OK;
    if (!status && scope->exception) {
        struct bs_rule *rule;
        status = bs_recipe_add_rule(recipe, scope->use, where, *setting, &rule, err);
        if (!status) {
            assert(scope->where); /* without it an exception is refused as it is read */
            rule->line = scope->where->line;
            rule->column = scope->where->column;
            *setting = &rule->setting;
        }
    } else if (!status && where) {
        status = bs_recipe_set_where(recipe, where, err);
    }
    bs_free(where);
    if (!status && scope->unnamed && !(*setting)->format.plugin)
        status = bs_setting_choose_format(*setting, bs_format_registry.rows[0], err);
    return status;
}

/* Choosing what is chosen already would give its options back their defaults. */
static bool is_chosen(const struct bs_setting *setting, const struct bs_axis *axis,
                      const char *text)
{
    const struct bs_plugin *plugin = !strcmp(axis->name, bs_format_registry.kind)
                                         ? setting->format.plugin
                                         : setting->range.plugin;
    return plugin && !strcmp(plugin->name, text);
}

static enum bs_status note(struct bs_axis *axis, const char *what, struct bs_error *err)
{
    return bs_lines_have(&axis->without, what) ? BS_OK
                                               : bs_lines_add(&axis->without, err, "%s", what);
}

/* Notes what in the setting lacks the option: its range, of an option that ranges have, or its
 * format. What is not quantized has no options at all, which need not be said. */
static enum bs_status note_lack(struct bs_axis *axis, const struct bs_setting *setting,
                                struct bs_error *err)
{
    bool of_ranges = false;
    for (int i = 0; bs_range_registry.rows[i]; i++)
        of_ranges |= bs_option_find(bs_range_registry.rows[i]->options, axis->name) != NULL;
    const struct bs_plugin *plugin = of_ranges ? setting->range.plugin : setting->format.plugin;
    return plugin && setting->format.plugin ? note(axis, plugin->name, err) : BS_OK;
}

static enum bs_status apply_scope(struct bs_axes *axes, int index, long point,
                                  struct bs_recipe *recipe, bool *known, struct bs_error *err)
{
    struct bs_setting *setting;
    enum bs_use use = axes->scopes[index].use;
    enum bs_status status = begin_scope(&axes->scopes[index], recipe, &setting, err);
    for (int choice = 1; choice >= 0; choice--)
        for (int a = 0; a < axes->num_axes && !status; a++) {
            struct bs_axis *axis = &axes->axes[a];
            if (axis->scope != index || axis->choice != choice)
                continue;
            int i = digit(axes, a, point, recipe);
            const char *text = axis->texts[i];
            if (choice && is_chosen(setting, axis, text))
                continue;
            if (choice || bs_setting_has(setting, use, axis->name)) {
                status = bs_setting_set(setting, use, axis->name, text, err);
            } else {
                *known |= i > 0;
                status = note_lack(axis, setting, err);
            }
        }
    return status ? status : end_scope(&axes->scopes[index], recipe, err);
}

enum bs_status bs_axes_apply(struct bs_axes *axes, long point, struct bs_recipe *recipe,
                             bool *known, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    *known = false;
    for (int s = 0; s < axes->num_scopes && !status; s++)
        status = apply_scope(axes, s, point, recipe, known, err);
    for (int a = 0; a < axes->num_axes && !status; a++) {
        const struct bs_axis *axis = &axes->axes[a];
        if (axis->scope < 0)
            set_recipe(axis, axis->texts[digit(axes, a, point, recipe)], recipe);
    }
    return status;
}

/* Whether some value of the axis asks for more than a setting has without it. */
static bool asks(const struct bs_axis *axis)
{
    const struct bs_option *option = bs_option_find(bs_cache_options, axis->name);
    char usual[BS_OPTION_TEXT] = "none";
    struct bs_setting plain;
    bs_setting_init_cache(&plain);
    if (axis->choice)
        snprintf(usual, sizeof usual, "%s", bs_range_registry.rows[0]->name);
    else if (option)
        bs_option_print(option, &plain, usual, sizeof usual);
    bool more = false;
    for (int i = 0; i < axis->count; i++)
        more = more || strcmp(axis->texts[i], usual);
    return more;
}

/* Notes what of the settings of a scope the axis does not apply to: of a cache both may be. */
static enum bs_status note_deaf(struct bs_axis *axis, const struct bs_axes_scope *scope,
                                struct bs_recipe *recipe, struct bs_error *err)
{
    const struct bs_setting *settings[BS_NUM_CACHED] = {setting_of(scope, recipe), NULL};
    if (scope->use == BS_FOR_CACHE && scope->cached == BS_NUM_CACHED)
        settings[1] = &recipe->cache[BS_CACHED_VALUES];
    enum bs_status status = BS_OK;
    for (int k = 0; k < BS_NUM_CACHED && settings[k] && !status; k++) {
        const char *deaf = bs_setting_deaf(settings[k], axis->name);
        if (deaf && asks(axis))
            status = note(axis, deaf, err);
    }
    return status;
}

enum bs_status bs_axes_note_idle(struct bs_axes *axes, struct bs_recipe *recipe,
                                 struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int a = 0; a < axes->num_axes && !status; a++) {
        struct bs_axis *axis = &axes->axes[a];
        if (axis->scope >= 0 && !axes->scopes[axis->scope].exception)
            status = note_deaf(axis, &axes->scopes[axis->scope], recipe, err);
    }
    return status;
}

/* "a, b and c", in new memory. */
static char *listed(const struct bs_lines *names)
{
    char *text = bs_strdup("");
    for (int i = 0; text && i < names->count; i++) {
        const char *between = !i ? "" : i + 1 < names->count ? ", " : " and ";
        char *longer = bs_printf("%s%s%s", text, between, names->lines[i]);
        bs_free(text);
        text = longer;
    }
    return text;
}

enum bs_status bs_axes_tell(const struct bs_axes *axes, const struct bs_report *report,
                            struct bs_lines *lines, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int a = 0; a < axes->num_axes && !status; a++) {
        const struct bs_axis *axis = &axes->axes[a];
        int count = axis->without.count;
        if (!count)
            continue;
        char at[BS_PLACE_TEXT], *names = listed(&axis->without), *once = bs_strdup("");
        bs_place_print(report->path, report->settings, axis->line, axis->column, at);
        if (axis->count > 1) {
            bs_free(once);
            once = bs_printf(", which %s there once for its %d values", count > 1 ? "are" : "is",
                             axis->count);
        }
        status = !names || !once ? bs_fail_memory(err)
                                 : bs_lines_add(lines, err, "%s: %s does not apply to %s%s", at,
                                                axis->name, names, once);
        bs_free(names);
        bs_free(once);
    }
    return status;
}
