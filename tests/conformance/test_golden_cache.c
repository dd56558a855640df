/* A cache that is seen as it was stored, in one pass, against the authors' caches token by token
 * (tests/golden/cache.py): KIVI's, and transformers' QuantizedCache. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "tests/support/tiny_model.h"

enum { TOKENS = 256, MOST = 8 };

static struct bs_model *model;
static struct bs_windows evaluation;

static int open_model(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    bs_set_threads(1); /* of models this small more would wait for each other */
    if (bs_model_open("datasets/tiny", NULL, &model, &err))
        return -1;
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", 1, TOKENS);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    bs_windows_release(&evaluation);
    bs_model_free(model);
    return 0;
}

/* "bits=2 grid=kivi": resolved with the recipe. */
static void set_cache(struct bs_setting *setting, const char *settings)
{
    struct bs_error err;
    char text[160], *rest;
    snprintf(text, sizeof text, "%s", settings);
    for (char *key = strtok_r(text, " ", &rest); key; key = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(key, '=');
        assert_non_null(value);
        *value++ = '\0';
        if (bs_setting_set(setting, BS_FOR_CACHE, key, value, &err))
            fail_msg("%s", err.message);
    }
}

static void build(const json_t *row, struct bs_recipe *recipe)
{
    struct bs_error err;
    bs_recipe_init(recipe);
    assert_int_equal(bs_recipe_add(recipe, bs_algorithm_usual(), &err), BS_OK);
    set_cache(&recipe->cache[BS_CACHED_KEYS], json_string_value(json_object_get(row, "keys")));
    set_cache(&recipe->cache[BS_CACHED_VALUES], json_string_value(json_object_get(row, "values")));
    if (bs_recipe_resolve(recipe, &err))
        fail_msg("%s", err.message);
}

static double mean_nll(const struct bs_variant *variant)
{
    double sum = 0;
    for (int i = 0; i < TOKENS - 1; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / (TOKENS - 1);
}

static void losses_are_those_token_by_token(void **state)
{
    (void)state;
    json_error_t error;
    struct bs_error err;
    struct bs_recipe recipes[MOST];
    struct bs_variant variants[MOST];
    json_t *row, *rows = json_load_file("tests/golden/cache.json", 0, &error);
    int count = (int)json_array_size(rows);
    size_t i;
    struct bs_walk walk = {.model = model, .num_texts = 1, .texts = &evaluation};
    assert_in_range(count, 4, MOST);
    memset(variants, 0, sizeof variants);
    json_array_foreach(rows, i, row)
    {
        build(row, &recipes[i]);
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    }
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    json_array_foreach(rows, i, row)
    {
        double want = json_real_value(json_object_get(row, "mean_nll"));
        double got = mean_nll(&variants[i]);
        if (!(fabs(got - want) < 1e-5))
            fail_msg("row %zu: %.9g nats a token, not %.9g", i, got, want);
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_are_those_token_by_token)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
