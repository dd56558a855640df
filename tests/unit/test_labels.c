/* Labels tell recipes apart: over many recipes at random two have one label exactly when they do
 * the same, which is what their canonical text says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/config/config.h"
#include "eval/recipe/recipe.h"

enum { RECIPES = 20000, VALUE_TEXT = 64 };

static uint64_t state_of_draws;

static int draw(int count)
{
    state_of_draws = state_of_draws * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((state_of_draws >> 33) % (uint64_t)count);
}

static const char *const lists[] = {"[-1, 0, 1]", "[1, 0, -1]", "[-1, 0.25, 1]",
                                    "[1, 2, 3, 4, 5, 6, 7, 8, 9]"};

/* One of a few values that the option takes, its default among them, so that many recipes meet. */
static void draw_value(const struct bs_option *option, char text[VALUE_TEXT])
{
    int words = 0;
    while (option->words && option->words[words])
        words++;
    if (option->type == BS_BOOL)
        snprintf(text, VALUE_TEXT, "%s", draw(2) ? "true" : "false");
    else if (option->type == BS_CHOICE || (words && draw(2)))
        snprintf(text, VALUE_TEXT, "%s", option->words[draw(words)]);
    else if (option->type == BS_INT)
        snprintf(text, VALUE_TEXT, "%.0f", option->min + draw(3));
    else if (option->type == BS_NUMBERS)
        snprintf(text, VALUE_TEXT, "%s", lists[draw(4)]);
    else
        snprintf(text, VALUE_TEXT, "%.17g",
                 option->min + (option->max - option->min) * draw(3) / 3);
}

static void set(struct bs_setting *setting, enum bs_use use, const char *key, const char *text)
{
    struct bs_error err;
    if (bs_setting_set(setting, use, key, text, &err) && err.status == BS_ENOMEM)
        fail_msg("%s", err.message);
}

static void draw_options(struct bs_setting *setting, enum bs_use use,
                         const struct bs_option *options)
{
    char text[VALUE_TEXT];
    for (const struct bs_option *o = options; o && o->name; o++)
        if (!draw(3)) {
            draw_value(o, text);
            set(setting, use, o->name, text);
        }
}

static const struct bs_plugin *draw_plugin(const struct bs_registry *registry)
{
    int rows = 0;
    while (registry->rows[rows])
        rows++;
    return registry->rows[draw(rows)];
}

static void draw_setting(struct bs_setting *setting, enum bs_use use)
{
    const struct bs_plugin *format = draw(5) ? draw_plugin(&bs_format_registry) : NULL;
    set(setting, use, "format", format ? format->name : "none");
    if (!draw(3))
        set(setting, use, "range", draw_plugin(&bs_range_registry)->name);
    if (format)
        draw_options(setting, use, format->options);
    draw_options(setting, use, setting->range.plugin->options);
    draw_options(setting, use, use == BS_FOR_WEIGHTS ? bs_weights_options : bs_activations_options);
}

static void draw_rules(struct bs_recipe *recipe)
{
    static const char *const weights[] = {"*.down_proj", "layer[0,-1].*", "*.down_proj *.o_proj"};
    static const char *const sites[] = {"down_input", "inputs", "layer[0].*"};
    static const char *const where[] = {"inputs", "qkv", "inputs qkv", "qkv inputs", "down_input"};
    struct bs_error err;
    if (!draw(3))
        assert_int_equal(bs_recipe_set_where(recipe, where[draw(5)], &err), BS_OK);
    for (int rules = draw(6) - 3; rules > 0; rules--) {
        enum bs_use use = draw(2) ? BS_FOR_WEIGHTS : BS_FOR_ACTIVATIONS;
        struct bs_rule *rule;
        assert_int_equal(bs_recipe_add_rule(
                             recipe, use, use == BS_FOR_WEIGHTS ? weights[draw(3)] : sites[draw(3)],
                             use == BS_FOR_WEIGHTS ? &recipe->weights : &recipe->activations, &rule,
                             &err),
                         BS_OK);
        draw_setting(&rule->setting, use);
    }
}

/* False where the parts do not fit together. */
static bool draw_recipe(struct bs_recipe *recipe)
{
    struct bs_error err;
    char text[VALUE_TEXT];
    bs_recipe_init(recipe);
    for (int steps = draw(3); steps >= 0; steps--)
        if (bs_recipe_add(recipe, (const struct bs_algorithm *)draw_plugin(&bs_algorithm_registry),
                          &err))
            break; /* it has rounded, or is there already */
    for (int s = 0; s < recipe->num_steps; s++)
        for (const struct bs_option *o = recipe->steps[s].plugin->options; o && o->name; o++)
            if (!draw(4)) {
                draw_value(o, text);
                assert_int_equal(bs_option_parse(o, text, recipe->steps[s].options, &err), BS_OK);
            }
    for (const struct bs_option *o = bs_recipe_options; o->name; o++)
        if (!draw(4)) {
            draw_value(o, text);
            assert_int_equal(bs_option_parse(o, text, recipe, &err), BS_OK);
        }
    draw_setting(&recipe->weights, BS_FOR_WEIGHTS);
    draw_setting(&recipe->activations, BS_FOR_ACTIVATIONS);
    draw_rules(recipe);
    return !bs_recipe_resolve(recipe, &err);
}

struct texts {
    char *label, *canonical;
};

static int by_label(const void *a, const void *b)
{
    return strcmp(((const struct texts *)a)->label, ((const struct texts *)b)->label);
}

static int by_canonical(const void *a, const void *b)
{
    return strcmp(((const struct texts *)a)->canonical, ((const struct texts *)b)->canonical);
}

/* Neighbours that are alike in one text and not in the other. */
static int check_neighbours(struct texts *all, int count,
                            int (*compare)(const void *a, const void *b))
{
    int alike = 0;
    qsort(all, (size_t)count, sizeof *all, compare);
    for (int i = 1; i < count; i++) {
        bool labels = !by_label(&all[i - 1], &all[i]);
        bool canonical = !by_canonical(&all[i - 1], &all[i]);
        if (labels != canonical)
            fail_msg("one has the label '%s' and does\n%s\nanother has the label '%s' and does\n%s",
                     all[i - 1].label, all[i - 1].canonical, all[i].label, all[i].canonical);
        alike += labels;
    }
    return alike;
}

static void test_labels(void **state)
{
    (void)state;
    static struct texts all[RECIPES];
    int count = 0, drawn = 0;
    state_of_draws = 1;
    for (; count < RECIPES && drawn < 20 * RECIPES; drawn++) {
        struct bs_recipe recipe;
        if (draw_recipe(&recipe)) {
            all[count].label = bs_recipe_text(&recipe, bs_recipe_print_label);
            all[count].canonical = bs_recipe_text(&recipe, bs_recipe_print);
            assert_non_null(all[count].label);
            assert_non_null(all[count].canonical);
            count++;
        }
        bs_recipe_release(&recipe);
    }
    assert_int_equal(count, RECIPES);
    assert_true(check_neighbours(all, count, by_label) > RECIPES / 100); /* some did meet */
    check_neighbours(all, count, by_canonical);
    for (int i = 0; i < count; i++) {
        bs_free(all[i].label);
        bs_free(all[i].canonical);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
