#include "eval/recipe/recipe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/quant/gguf_block.h"

const char *const bs_calibrate_on_names[] = {
    [BS_ON_UNQUANTIZED] = "unquantized",
    [BS_ON_QUANTIZED] = "quantized",
    [BS_ON_AUTO] = "auto",
    NULL,
};

const char *const bs_compute_names[] = {
    [BS_FLOAT32] = "float32",
    [BS_BFLOAT16] = "bfloat16",
    [BS_AS_LLAMA_CPP] = "as llama.cpp",
    NULL,
};

const char bs_usual_where[] = "inputs";

const char *const bs_cached_names[] = {
    [BS_CACHED_KEYS] = "key", [BS_CACHED_VALUES] = "value", NULL};

void bs_recipe_init(struct bs_recipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    bs_setting_init(&recipe->weights);
    bs_setting_init(&recipe->activations);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        bs_setting_init_cache(&recipe->cache[c]);
    recipe->calibrate_on = BS_ON_AUTO;
}

void bs_recipe_release(struct bs_recipe *recipe)
{
    for (int s = 0; s < recipe->num_steps; s++)
        bs_choice_release(&recipe->steps[s]);
    bs_setting_release(&recipe->weights);
    bs_setting_release(&recipe->activations);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        bs_setting_release(&recipe->cache[c]);
    bs_free(recipe->where);
    for (int r = 0; r < recipe->num_rules; r++) {
        bs_setting_release(&recipe->rules[r].setting);
        bs_free(recipe->rules[r].where);
    }
    bs_free(recipe->rules);
    bs_free(recipe->allotted);
    memset(recipe, 0, sizeof *recipe);
}

enum bs_status bs_recipe_add(struct bs_recipe *recipe, const struct bs_algorithm *algorithm,
                             struct bs_error *err)
{
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct bs_algorithm *earlier = bs_algorithm_of(&recipe->steps[s]);
        if (earlier == algorithm)
            return bs_fail(err, BS_ECONFIG, "%s stands twice in a chain, expected once",
                           algorithm->plugin.name);
        if (earlier->prepare_model && algorithm->prepare_model)
            return bs_fail(err, BS_ECONFIG,
                           "%s follows %s, and either turns the residual stream, expected one that "
                           "does in a chain",
                           algorithm->plugin.name, earlier->plugin.name);
        if (earlier->quantize)
            return bs_fail(err, BS_ECONFIG,
                           "%s follows %s, which has rounded the weights, expected it before",
                           algorithm->plugin.name, earlier->plugin.name);
    }
    if (recipe->num_steps == BS_MAX_STEPS)
        return bs_fail(err, BS_ECONFIG,
                       "%s is one algorithm too many for a chain, expected up to %d",
                       algorithm->plugin.name, BS_MAX_STEPS);
    if (bs_choice_init(&recipe->steps[recipe->num_steps], &algorithm->plugin, err))
        return err->status;
    recipe->num_steps++;
    return BS_OK;
}

static enum bs_status copy_parts(struct bs_recipe *to, const struct bs_recipe *from,
                                 struct bs_error *err)
{
    if (bs_setting_copy(&to->weights, &from->weights, err) ||
        bs_setting_copy(&to->activations, &from->activations, err))
        return err->status;
    for (int c = 0; c < BS_NUM_CACHED; c++)
        if (bs_setting_copy(&to->cache[c], &from->cache[c], err))
            return err->status;
    if ((from->where && !(to->where = bs_strdup(from->where))) ||
        (from->allotted && !(to->allotted = bs_strdup(from->allotted))))
        return bs_fail_memory(err);
    for (int s = 0; s < from->num_steps; s++) {
        if (bs_choice_copy(&to->steps[s], &from->steps[s], err))
            return err->status;
        to->num_steps++;
    }
    for (int r = 0; r < from->num_rules; r++) {
        const struct bs_rule *rule = &from->rules[r];
        struct bs_rule *own = NULL;
        if (bs_recipe_add_rule(to, rule->use, rule->where, &rule->setting, &own, err))
            return err->status;
        assert(own);
        own->line = rule->line;
        own->column = rule->column;
    }
    return BS_OK;
}

enum bs_status bs_recipe_copy(struct bs_recipe *to, const struct bs_recipe *from,
                              struct bs_error *err)
{
    bs_recipe_init(to);
    to->calibrate_on = from->calibrate_on;
    to->compute = from->compute;
    enum bs_status status = copy_parts(to, from, err);
    if (status)
        bs_recipe_release(to);
    return status;
}

/* ---- rules ---- */

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The patterns in the order of the alphabet, each once: who names the same places in another order
 * means the same. */
static enum bs_status sort_where(char *where, struct bs_error *err)
{
    size_t size = strlen(where) + 1, count = 0, used = 0;
    char **words = bs_calloc(size / 2 + 1, sizeof *words), *sorted = bs_calloc(size, 1);
    if (!words || !sorted) {
        bs_free(words);
        bs_free(sorted);
        return bs_fail_memory(err);
    }
    char *rest;
    for (char *word = strtok_r(where, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 0; i < count; i++)
        if (!i || strcmp(words[i], words[i - 1]))
            used += (size_t)snprintf(sorted + used, size - used, "%s%s", i ? " " : "", words[i]);
    memcpy(where, sorted, used + 1);
    bs_free(words);
    bs_free(sorted);
    return BS_OK;
}

static enum bs_status copy_where(const char *from, char **to, struct bs_error *err)
{
    *to = bs_strdup(from);
    enum bs_status status = *to ? sort_where(*to, err) : bs_fail_memory(err);
    if (!status)
        return BS_OK;
    bs_free(*to);
    *to = NULL;
    return status;
}

enum bs_status bs_recipe_set_where(struct bs_recipe *recipe, const char *where,
                                   struct bs_error *err)
{
    char *sorted;
    if (copy_where(where, &sorted, err))
        return err->status;
    if (!strcmp(sorted, bs_usual_where)) {
        bs_free(sorted);
        sorted = NULL;
    }
    bs_free(recipe->where);
    recipe->where = sorted;
    return BS_OK;
}

enum bs_status bs_recipe_add_rule(struct bs_recipe *recipe, enum bs_use use, const char *where,
                                  const struct bs_setting *setting, struct bs_rule **rule,
                                  struct bs_error *err)
{
    size_t count = (size_t)recipe->num_rules;
    struct bs_rule *grown = bs_realloc(recipe->rules, count, count + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(err);
    recipe->rules = grown;
    struct bs_rule *new = &grown[count];
    *new = (struct bs_rule){.use = use};
    if (copy_where(where, &new->where, err))
        return err->status;
    if (bs_setting_copy(&new->setting, setting, err)) {
        bs_free(new->where);
        return err->status;
    }
    recipe->num_rules++;
    *rule = new;
    return BS_OK;
}

struct bs_preferences bs_recipe_preferences(const struct bs_recipe *recipe)
{
    struct bs_preferences all = {.lists = {NULL}};
    int count = 0;
    for (int s = recipe->num_steps - 1; s >= 0; s--)
        if (bs_algorithm_of(&recipe->steps[s])->preferences)
            all.lists[count++] = bs_algorithm_of(&recipe->steps[s])->preferences;
    return all;
}

/* Settles the weights of some places, and asks the algorithms that are to round them. */
static enum bs_status resolve_weights(const struct bs_recipe *recipe, struct bs_setting *weights,
                                      struct bs_error *err)
{
    struct bs_preferences preferences = bs_recipe_preferences(recipe);
    for (int i = 0; preferences.lists[i]; i++)
        bs_setting_prefer(weights, preferences.lists[i]);
    if (bs_setting_resolve(weights, BS_FOR_WEIGHTS, err))
        return bs_fail_within(err, "weights");
    if (recipe->compute == BS_AS_LLAMA_CPP && bs_setting_quantizes(weights) && !weights->mix &&
        !bs_gguf_type_of_format(weights->format.plugin->name))
        return bs_fail(err, BS_ECONFIG,
                       "compute is %s but GGUF files have no type for weights of format %s, "
                       "expected one of theirs, such as %s",
                       bs_compute_names[BS_AS_LLAMA_CPP], weights->format.plugin->name,
                       bs_gguf_type_find(BS_GGUF_USUAL)->format);
    if (recipe->compute == BS_AS_LLAMA_CPP && bs_setting_quantizes(weights) &&
        bs_recipe_drops_codes(recipe))
        return bs_fail(err, BS_ECONFIG,
                       "compute is %s, which multiplies codes, but the chain rounds in a basis of "
                       "its own and leaves none, expected compute: %s",
                       bs_compute_names[BS_AS_LLAMA_CPP], bs_compute_names[BS_FLOAT32]);
    if (recipe->num_rules && !bs_setting_quantizes(weights))
        return BS_OK;
    for (int s = 0; s < recipe->num_steps; s++) {
        const struct bs_algorithm *algorithm = bs_algorithm_of(&recipe->steps[s]);
        if (algorithm->check && algorithm->check(recipe->steps[s].options, weights, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status resolve_activations(const struct bs_recipe *recipe,
                                          struct bs_setting *activations, struct bs_error *err)
{
    if (bs_setting_resolve(activations, BS_FOR_ACTIVATIONS, err))
        return bs_fail_within(err, "activations");
    if (recipe->compute == BS_FLOAT32 || !bs_setting_quantizes(activations))
        return BS_OK;
    return bs_fail(err, BS_ECONFIG,
                   "compute is %s but activations are quantized, expected compute: float32, or "
                   "no format of activations",
                   bs_compute_names[recipe->compute]);
}

/* Whether a step rounds weights. */
static bool rounds(const struct bs_recipe *recipe)
{
    bool any = false;
    for (int s = 0; s < recipe->num_steps; s++)
        any |= bs_algorithm_of(&recipe->steps[s])->quantize != NULL;
    return any;
}

/* Whether any weights have this importance. */
static bool any_importance(const struct bs_recipe *recipe, enum bs_importance importance)
{
    bool any = recipe->weights.importance.word == (int)importance;
    for (int r = 0; r < recipe->num_rules; r++)
        any |= recipe->rules[r].use == BS_FOR_WEIGHTS &&
               recipe->rules[r].setting.importance.word == (int)importance;
    return any;
}

/* Importance is looked at by the step that rounds; that of a file is of the model's own inputs. */
static enum bs_status check_importance(const struct bs_recipe *recipe, struct bs_error *err)
{
    bool from_file = any_importance(recipe, BS_FROM_FILE);
    if (!from_file && !bs_recipe_weighs(recipe))
        return BS_OK;
    if (!rounds(recipe))
        return bs_fail(
            err, BS_ECONFIG,
            "importance is asked for, and no algorithm of the chain rounds: expected one "
            "at its end, %s perhaps",
            bs_algorithm_usual()->plugin.name);
    for (int s = 0; from_file && s < recipe->num_steps; s++)
        if (!bs_algorithm_of(&recipe->steps[s])->weighs_by_file)
            return bs_fail(err, BS_ECONFIG,
                           "importance is a file's, which is of the model's own inputs, and %s "
                           "changes them or looks at its own: expected imatrix, or %s alone",
                           recipe->steps[s].plugin->name, bs_algorithm_usual()->plugin.name);
    return BS_OK;
}

enum bs_status bs_recipe_resolve(struct bs_recipe *recipe, struct bs_error *err)
{
    if (resolve_weights(recipe, &recipe->weights, err) ||
        resolve_activations(recipe, &recipe->activations, err))
        return err->status;
    for (int c = 0; c < BS_NUM_CACHED; c++)
        if (bs_setting_resolve(&recipe->cache[c], BS_FOR_CACHE, err))
            return bs_fail_within(err, "kv_cache.%s", bs_cached_names[c]);
    recipe->cache[BS_CACHED_VALUES].pre_rope = false; /* they have no positions */
    bool quantizes = bs_setting_quantizes(&recipe->activations);
    for (int r = 0; r < recipe->num_rules; r++) {
        struct bs_rule *rule = &recipe->rules[r];
        enum bs_status status = rule->use == BS_FOR_WEIGHTS
                                    ? resolve_weights(recipe, &rule->setting, err)
                                    : resolve_activations(recipe, &rule->setting, err);
        if (status)
            return bs_fail_within(err, "except %s", rule->where);
        quantizes |= rule->use == BS_FOR_ACTIVATIONS && bs_setting_quantizes(&rule->setting);
    }
    if (check_importance(recipe, err))
        return err->status;
    if (!quantizes) { /* and then it does not matter where */
        bs_free(recipe->where);
        recipe->where = NULL;
    }
    return BS_OK;
}

bool bs_recipe_turns(const struct bs_recipe *recipe)
{
    bool turns = false;
    for (int s = 0; s < recipe->num_steps; s++)
        turns |= bs_algorithm_of(&recipe->steps[s])->prepare_model != NULL;
    return turns;
}

enum bs_status bs_recipe_check_model(const struct bs_recipe *recipe,
                                     const struct bs_architecture *architecture,
                                     struct bs_error *err)
{
    for (int i = 0; i < recipe->num_steps; i++) {
        const struct bs_algorithm *algorithm = bs_algorithm_of(&recipe->steps[i]);
        if (algorithm->check_model &&
            algorithm->check_model(recipe->steps[i].options, architecture, err))
            return bs_fail_within(err, "%s", algorithm->plugin.name);
    }
    return BS_OK;
}

bool bs_recipe_drops_codes(const struct bs_recipe *recipe)
{
    bool drops = false;
    for (int s = 0; s < recipe->num_steps; s++)
        drops |= bs_algorithm_of(&recipe->steps[s])->without_codes;
    return drops;
}

enum bs_calibrate_on bs_recipe_authors_choice(const struct bs_recipe *recipe, int step)
{
    enum bs_calibrate_on own = bs_algorithm_of(&recipe->steps[step])->calibrate_on;
    return own == BS_ON_AUTO ? BS_ON_UNQUANTIZED : own;
}

enum bs_calibrate_on bs_recipe_calibrates_on(const struct bs_recipe *recipe, int step)
{
    if (recipe->calibrate_on != BS_ON_AUTO)
        return (enum bs_calibrate_on)recipe->calibrate_on;
    return bs_recipe_authors_choice(recipe, step);
}

bool bs_recipe_step_calibrates(const struct bs_recipe *recipe, int step)
{
    const struct bs_algorithm *algorithm = bs_algorithm_of(&recipe->steps[step]);
    struct bs_wanted wanted = {.architecture = NULL, .importance = bs_recipe_weighs(recipe)};
    if (algorithm->needs)
        algorithm->needs(recipe->steps[step].options, &wanted);
    bool any = bs_wanted_any(&wanted);
    bs_wanted_release(&wanted);
    return any;
}

/* Whether it is so of activations at any place. */
static bool any_activations(const struct bs_recipe *recipe,
                            bool (*is_so)(const struct bs_setting *setting))
{
    bool any = is_so(&recipe->activations);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        any |= is_so(&recipe->cache[c]);
    for (int r = 0; r < recipe->num_rules; r++)
        any |= recipe->rules[r].use == BS_FOR_ACTIVATIONS && is_so(&recipe->rules[r].setting);
    return any;
}

bool bs_recipe_spans_tokens(const struct bs_recipe *recipe)
{
    return any_activations(recipe, bs_setting_spans_tokens);
}

/* Whether the patterns name attention's probabilities and nothing else; no star stands for them. */
static bool is_of_probabilities(const char *where)
{
    while (where && *(where += strspn(where, " "))) {
        size_t length = strcspn(where, " "), begin = length;
        while (begin > 0 && where[begin - 1] != '.')
            begin--;
        const char *names[] = {bs_probabilities_name, bs_site_word(BS_SITE_PROBABILITIES)};
        bool named = false;
        for (int i = 0; i < 2; i++)
            named |= length - begin == strlen(names[i]) &&
                     !strncmp(where + begin, names[i], length - begin);
        if (!named)
            return false;
        where += length;
    }
    return where != NULL;
}

/* Whether activations at places that these patterns name have scales of the calibration. */
static bool finds_scales(const struct bs_setting *setting, const char *where)
{
    return bs_setting_is_static(setting) &&
           (!is_of_probabilities(where) || bs_setting_watches(setting));
}

bool bs_recipe_static_activations(const struct bs_recipe *recipe)
{
    bool any = finds_scales(&recipe->activations, recipe->where);
    for (int c = 0; c < BS_NUM_CACHED; c++)
        any |= bs_setting_is_static(&recipe->cache[c]);
    for (int r = 0; r < recipe->num_rules; r++)
        any |= recipe->rules[r].use == BS_FOR_ACTIVATIONS &&
               finds_scales(&recipe->rules[r].setting, recipe->rules[r].where);
    return any;
}

bool bs_recipe_quantizes_activations(const struct bs_recipe *recipe)
{
    return any_activations(recipe, bs_setting_quantizes);
}

bool bs_recipe_quantizes_cache(const struct bs_recipe *recipe)
{
    return bs_setting_quantizes(&recipe->cache[BS_CACHED_KEYS]) ||
           bs_setting_quantizes(&recipe->cache[BS_CACHED_VALUES]);
}

bool bs_recipe_quantizes_weights(const struct bs_recipe *recipe)
{
    bool any = bs_setting_quantizes(&recipe->weights);
    for (int r = 0; r < recipe->num_rules; r++)
        any |= recipe->rules[r].use == BS_FOR_WEIGHTS &&
               bs_setting_quantizes(&recipe->rules[r].setting);
    return any;
}

bool bs_recipe_weighs(const struct bs_recipe *recipe)
{
    return any_importance(recipe, BS_MEAN_SQUARE);
}

bool bs_recipe_needs_calibration(const struct bs_recipe *recipe)
{
    bool needs = bs_recipe_static_activations(recipe);
    for (int s = 0; s < recipe->num_steps; s++)
        needs |= bs_recipe_step_calibrates(recipe, s);
    return needs;
}
