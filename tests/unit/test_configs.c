/* Every config of the project is a valid one; those of papers name only what they have. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/config/config.h"
#include "eval/report/chart.h"
#include "tests/support/golden.h"
#include "tests/support/recipes.h"

/* Fails with the errors of the file. */
static struct bs_config load(const char *path)
{
    struct bs_config config;
    struct bs_error err;
    if (bs_config_load(path, bs_chart_patterns, &config, &err))
        fail_msg("%s", err.message);
    return config;
}

static void test_all(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("configs/*.yaml", 0, NULL, &found), 0);
    assert_int_equal(glob("configs/papers/*.yaml", GLOB_APPEND, NULL, &found), 0);
    assert_true(found.gl_pathc > 2);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct bs_config config = load(found.gl_pathv[i]);
        bs_config_release(&config);
    }
    globfree(&found);
}

/* How many figures there are for this trial. */
static int figures_of(const struct bs_config *config, int model, int recipe)
{
    int count = 0;
    for (int i = 0; i < config->num_expected; i++)
        count += config->expected[i].model == model && config->expected[i].recipe == recipe &&
                 config->expected[i].text == 0;
    return count;
}

/* A config without figures says why it has none. */
static void assert_says_why(const struct bs_config *config)
{
    if (!strstr(config->source, "# There is no `expected`: "))
        fail_msg("%s: no figures, and no word of why", config->path);
}

/* A paper's config has no trial, on its first text, that the paper has no figure for, or none with
 * one. */
static void test_papers(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob("configs/papers/*.yaml", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct bs_config config = load(found.gl_pathv[i]);
        if (!config.num_expected)
            assert_says_why(&config);
        for (int m = 0; m < config.num_models && config.num_expected; m++)
            for (int r = 0; r < config.num_recipes; r++)
                if (figures_of(&config, m, r) != bs_config_wants(&config, r, m)) {
                    char label[128];
                    recipe_label(&config.recipes[r], label, sizeof label);
                    fail_msg("%s: no figure for '%s' of '%s'", found.gl_pathv[i], label,
                             config.models[m]);
                }
        bs_config_release(&config);
    }
    globfree(&found);
}

/* agreement.yaml has the figures of the authors' code to the digits it prints. */
static void test_agreement(void **state)
{
    (void)state;
    struct bs_config config = load("configs/agreement.yaml");
    json_t *golden = json_load_file("tests/golden/reference.json", 0, NULL);
    assert_non_null(golden);
    int found = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(json_object_get(golden, "rows"), i, row)
    {
        struct bs_recipe recipe;
        char label[128];
        golden_recipe(row, &recipe);
        recipe_label(&recipe, label, sizeof label);
        bs_recipe_release(&recipe);
        for (int k = 0; k < config.num_expected; k++)
            if (!strcmp(config.expected[k].label, label)) {
                char printed[32];
                snprintf(printed, sizeof printed, "%.5f",
                         json_number_value(json_object_get(row, "perplexity")));
                assert_string_equal(config.expected[k].printed, printed);
                found++;
            }
    }
    assert_int_equal(found, config.num_expected);
    assert_int_equal(found, config.num_recipes);
    json_decref(golden);
    bs_config_release(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_papers),
        cmocka_unit_test(test_agreement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
