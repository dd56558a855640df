#include "tests/support/recipes.h"

#include "eval/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/config/config.h"

/* Copies the next word of *text into word and moves on; false at the end. */
static bool next_word(const char **text, char *word, size_t size)
{
    *text += strspn(*text, " ");
    size_t length = strcspn(*text, " ");
    assert_true(length < size);
    memcpy(word, *text, length);
    word[length] = '\0';
    *text += length;
    return length > 0;
}

static void parse(const struct bs_option *option, const char *value, void *values)
{
    struct bs_error err;
    if (bs_option_parse(option, value, values, &err))
        fail_msg("%s", err.message);
}

static void set_setting(struct bs_setting *setting, enum bs_use use, const char *key,
                        const char *value)
{
    struct bs_error err;
    if (bs_setting_set(setting, use, key, value, &err))
        fail_msg("%s", err.message);
}

/* "@*.down_proj" or "@a.down_input": an exception, which the words after it are about. */
static void add_rule(struct bs_recipe *recipe, const char *where)
{
    struct bs_error err;
    struct bs_rule *rule;
    bool activations = !strncmp(where, "@a.", 3);
    assert_int_equal(bs_recipe_add_rule(recipe, activations ? BS_FOR_ACTIVATIONS : BS_FOR_WEIGHTS,
                                        where + (activations ? 3 : 1),
                                        activations ? &recipe->activations : &recipe->weights,
                                        &rule, &err),
                     BS_OK);
}

/* What a config would part by blanks. */
static void put_blanks(char *value)
{
    for (char *comma = strchr(value, ','); comma; comma = strchr(comma, ','))
        *comma = ' ';
}

static void set_where(struct bs_recipe *recipe, char *where)
{
    struct bs_error err;
    put_blanks(where);
    assert_int_equal(bs_recipe_set_where(recipe, where, &err), BS_OK);
}

static void set(struct bs_recipe *recipe, char *setting)
{
    if (*setting == '@') {
        add_rule(recipe, setting);
        return;
    }
    char *value = strchr(setting, '=');
    assert_non_null(value);
    *value++ = '\0';
    if (recipe->num_rules) {
        struct bs_rule *rule = &recipe->rules[recipe->num_rules - 1];
        set_setting(&rule->setting, rule->use, setting, value);
        return;
    }
    if (!strcmp(setting, "a.where")) {
        set_where(recipe, value);
        return;
    }
    if (!strncmp(setting, "a.", 2)) {
        set_setting(&recipe->activations, BS_FOR_ACTIVATIONS, setting + 2, value);
        return;
    }
    if (!strncmp(setting, "kv.", 3)) {
        for (int c = 0; c < BS_NUM_CACHED; c++)
            set_setting(&recipe->cache[c], BS_FOR_CACHE, setting + 3, value);
        return;
    }
    if (bs_setting_knows(BS_FOR_WEIGHTS, setting)) {
        set_setting(&recipe->weights, BS_FOR_WEIGHTS, setting, value);
        return;
    }
    const struct bs_option *option = bs_option_find(bs_recipe_options, setting);
    if (option) {
        put_blanks(value);
        parse(option, value, recipe);
        return;
    }
    int taken = 0;
    for (int s = 0; s < recipe->num_steps; s++) {
        option = bs_option_find(recipe->steps[s].plugin->options, setting);
        if (option) {
            parse(option, value, recipe->steps[s].options);
            taken++;
        }
    }
    if (taken != 1)
        fail_msg("'%s' is an option of %d steps", setting, taken);
}

void recipe_build_unresolved(struct bs_recipe *recipe, const char *chain, const char *settings)
{
    struct bs_error err;
    char word[64];
    bs_recipe_init(recipe);
    while (next_word(&chain, word, sizeof word)) {
        assert_non_null(bs_algorithm_find(word));
        assert_int_equal(bs_recipe_add(recipe, bs_algorithm_find(word), &err), BS_OK);
    }
    while (next_word(&settings, word, sizeof word))
        set(recipe, word);
}

void recipe_build(struct bs_recipe *recipe, const char *chain, const char *settings)
{
    struct bs_error err;
    recipe_build_unresolved(recipe, chain, settings);
    if (bs_recipe_resolve(recipe, &err))
        fail_msg("%s", err.message);
}

void recipe_text(const struct bs_recipe *recipe,
                 void (*print)(const struct bs_recipe *recipe, FILE *out), char *text, size_t size)
{
    char *whole = bs_recipe_text(recipe, print);
    snprintf(text, size, "%s", whole ? whole : "");
    bs_free(whole);
}

void recipe_label(const struct bs_recipe *recipe, char *label, size_t size)
{
    recipe_text(recipe, bs_recipe_print_label, label, size);
}
