/* A recipe in words: its label, and its canonical text. */
#include "eval/recipe/recipe.h"

#include "eval/base/mem.h"
#include "eval/base/print.h"

static const char *const use_words[] = {[BS_FOR_WEIGHTS] = "weights",
                                        [BS_FOR_ACTIVATIONS] = "activations",
                                        [BS_FOR_CACHE] = "kv_cache"};

void bs_recipe_print_algorithm(const struct bs_recipe *recipe, FILE *out)
{
    for (int s = 0; s < recipe->num_steps; s++)
        fprintf(out, "%s%s", s ? "+" : "", recipe->steps[s].plugin->name);
    if (recipe->num_steps == 0)
        fputs("unquantized", out);
}

/* A step where it stands. */
struct position {
    const struct bs_recipe *recipe;
    int step;
};

/* "alpha", or "awq.scale" where two algorithms of the chain have an option of that name. */
static const char *option_name(const void *context, const struct bs_option *option, char *room,
                               size_t size)
{
    const struct position *at = context;
    bool shared = false;
    for (int s = 0; s < at->recipe->num_steps; s++)
        shared |=
            s != at->step && bs_option_find(at->recipe->steps[s].plugin->options, option->name);
    if (!shared)
        return option->name;
    snprintf(room, size, "%s.%s", at->recipe->steps[at->step].plugin->name, option->name);
    return room;
}

/* Each after a space. */
static void append_step_options(const struct bs_recipe *recipe, FILE *out)
{
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct position at = {recipe, s};
        bs_choice_print_short(&recipe->steps[s], option_name, &at, out);
    }
}

/* The same with what tells recipes apart that somebody chose. */
static void append_options(const struct bs_recipe *recipe, FILE *out)
{
    if (recipe->allotted)
        fputs(" allotted", out);
    append_step_options(recipe, out);
}

/* " w4 g128 sym", " a8 token", of formats that are named " mxfp4", " a:fp8_e4m3 token"; 16 bits for
 * what is not quantized. `letters` say what it is of, "" for weights. */
static void append_named(const struct bs_recipe *recipe, const struct bs_setting *setting,
                         enum bs_use use, const char *letters, FILE *out)
{
    struct bs_preferences preferences = bs_recipe_preferences(recipe);
    bool weights = use == BS_FOR_WEIGHTS;
    bool named = setting->format.plugin && setting->format.plugin != bs_format_registry.rows[0];
    if (weights)
        fputs(named ? " " : " w", out);
    else
        fprintf(out, " %s%s", letters, named ? ":" : "");
    if (bs_setting_quantizes(setting))
        bs_setting_print_short(setting, use, weights ? preferences.lists : NULL, out);
    else
        fputs("16", out);
}

static void append_setting(const struct bs_recipe *recipe, const struct bs_setting *setting,
                           enum bs_use use, FILE *out)
{
    append_named(recipe, setting, use, "a", out);
}

/* Both parts of a cache, or one where they are alike: " kv4 head", " k2 g32 channel v2 head". */
static void append_cache(const struct bs_recipe *recipe, FILE *out)
{
    const struct bs_setting *keys = &recipe->cache[BS_CACHED_KEYS],
                            *values = &recipe->cache[BS_CACHED_VALUES];
    if (!bs_recipe_quantizes_cache(recipe))
        return;
    if (bs_setting_equal(keys, values)) {
        append_named(recipe, keys, BS_FOR_CACHE, "kv", out);
        return;
    }
    append_named(recipe, keys, BS_FOR_CACHE, "k", out);
    append_named(recipe, values, BS_FOR_CACHE, "v", out);
}

/* Patterns, a plus in place of the blanks between them. */
static void print_where(const char *where, FILE *out)
{
    for (; *where; where++)
        fputc(*where == ' ' ? '+' : *where, out);
}

static void append_rules(const struct bs_recipe *recipe, FILE *out)
{
    if (recipe->allotted) {
        fprintf(out, " allotted %s", recipe->allotted);
        return;
    }
    append_setting(recipe, &recipe->weights, BS_FOR_WEIGHTS, out);
    if (bs_setting_quantizes(&recipe->activations))
        append_setting(recipe, &recipe->activations, BS_FOR_ACTIVATIONS, out);
    if (recipe->where) {
        fputs(" at ", out);
        print_where(recipe->where, out);
    }
    append_cache(recipe, out);
    for (int r = 0; r < recipe->num_rules; r++) {
        const struct bs_rule *rule = &recipe->rules[r];
        fputs(" (", out);
        print_where(rule->where, out);
        append_setting(recipe, &rule->setting, rule->use, out);
        fputc(')', out);
    }
}

/* True where calibrate_on makes this recipe another one than `auto` would. It speaks of the steps:
 * static activation scales always come from the unquantized model. */
static bool calibrate_on_matters(const struct bs_recipe *recipe)
{
    bool matters = false;
    for (int s = 0; s < recipe->num_steps; s++)
        matters |= bs_recipe_step_calibrates(recipe, s) &&
                   bs_recipe_calibrates_on(recipe, s) != bs_recipe_authors_choice(recipe, s);
    return matters;
}

void bs_recipe_print_label(const struct bs_recipe *recipe, FILE *out)
{
    bs_recipe_print_algorithm(recipe, out);
    if (recipe->num_steps == 0)
        return;
    append_rules(recipe, out);
    append_step_options(recipe, out);
    if (calibrate_on_matters(recipe))
        fprintf(out, " calibrate_on=%s", bs_calibrate_on_names[recipe->calibrate_on]);
    if (recipe->compute != BS_FLOAT32)
        fprintf(out, " %s", bs_compute_names[recipe->compute]);
}

char *bs_recipe_text(const struct bs_recipe *recipe,
                     void (*print)(const struct bs_recipe *recipe, FILE *out))
{
    struct bs_print printing;
    if (!bs_print_begin(&printing))
        return NULL;
    print(recipe, printing.out);
    return bs_print_end(&printing);
}

void bs_recipe_print_options(const struct bs_recipe *recipe, FILE *out)
{
    char *text = bs_recipe_text(recipe, append_options);
    if (text)
        fputs(text + (*text == ' '), out);
    bs_free(text);
}

void bs_recipe_print(const struct bs_recipe *recipe, FILE *out)
{
    fputs("algorithm: ", out);
    bs_recipe_print_algorithm(recipe, out);
    if (recipe->allotted)
        fprintf(out, "\nallotted: %s", recipe->allotted);
    fprintf(out, "\ncompute: %s\n", bs_compute_names[recipe->compute]);
    bs_setting_print(&recipe->weights, use_words[BS_FOR_WEIGHTS], BS_FOR_WEIGHTS, out);
    bs_setting_print(&recipe->activations, use_words[BS_FOR_ACTIVATIONS], BS_FOR_ACTIVATIONS, out);
    if (recipe->where)
        fprintf(out, "activations.where: %s\n", recipe->where);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        if (bs_setting_quantizes(&recipe->cache[c])) {
            fprintf(out, "%s: %s\n", use_words[BS_FOR_CACHE], bs_cached_names[c]);
            bs_setting_print(&recipe->cache[c], use_words[BS_FOR_CACHE], BS_FOR_CACHE, out);
        }
    for (int r = 0; r < recipe->num_rules; r++) {
        const struct bs_rule *rule = &recipe->rules[r];
        fprintf(out, "except: %s\n", rule->where);
        bs_setting_print(&rule->setting, use_words[rule->use], rule->use, out);
    }
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct bs_choice *step = &recipe->steps[s];
        if (bs_recipe_step_calibrates(recipe, s))
            fprintf(out, "%s.calibrate_on: %s\n", step->plugin->name,
                    bs_calibrate_on_names[bs_recipe_calibrates_on(recipe, s)]);
        bs_choice_print_all(step, step->plugin->name, out);
    }
}
