/* What attention reads and makes, quantized: a cache that is seen as it was stored, in one pass,
 * against the authors' caches token by token (tests/golden/cache.py), KIVI's and transformers'
 * QuantizedCache; and probabilities (tests/golden/probabilities.py). */
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

enum { TOKENS = 256, WINDOWS = 2, BATCHES = 3, MOST = 20 };

static struct bs_model *model;
static struct bs_windows evaluation, calibration;

static int open_model(void **state)
{
    (void)state;
    struct bs_error err;
    bs_blas_init();
    bs_set_threads(1); /* of models this small more would wait for each other */
    if (bs_model_open("datasets/tiny", NULL, &model, &err))
        return -1;
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", BATCHES, TOKENS);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    bs_windows_release(&evaluation);
    bs_windows_release(&calibration);
    bs_model_free(model);
    return 0;
}

/* "bits=2 grid=kivi": resolved with the recipe. */
static void set(struct bs_setting *setting, enum bs_use use, const char *settings)
{
    struct bs_error err;
    char text[160], *rest;
    snprintf(text, sizeof text, "%s", settings);
    for (char *key = strtok_r(text, " ", &rest); key; key = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(key, '=');
        assert_non_null(value);
        *value++ = '\0';
        if (bs_setting_set(setting, use, key, value, &err))
            fail_msg("%s", err.message);
    }
}

static void set_cache(const json_t *row, struct bs_recipe *recipe)
{
    set(&recipe->cache[BS_CACHED_KEYS], BS_FOR_CACHE,
        json_string_value(json_object_get(row, "keys")));
    set(&recipe->cache[BS_CACHED_VALUES], BS_FOR_CACHE,
        json_string_value(json_object_get(row, "values")));
}

static void set_probabilities(const json_t *row, struct bs_recipe *recipe)
{
    struct bs_error err;
    set(&recipe->activations, BS_FOR_ACTIVATIONS,
        json_string_value(json_object_get(row, "settings")));
    assert_int_equal(bs_recipe_set_where(recipe, "attn_probs", &err), BS_OK);
}

/* Of the first windows. */
static double mean_nll(const struct bs_variant *variant, int windows)
{
    double sum = 0;
    for (int i = 0; i < windows * (TOKENS - 1); i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / (windows * (TOKENS - 1));
}

/* Of so many windows, the mean losses of a file, each within `close`. */
static void assert_losses(const char *path, int windows,
                          void (*set_row)(const json_t *row, struct bs_recipe *recipe),
                          double close)
{
    json_error_t error;
    struct bs_error err;
    struct bs_recipe recipes[MOST];
    struct bs_variant variants[MOST];
    json_t *row, *rows = json_load_file(path, 0, &error);
    int count = (int)json_array_size(rows);
    size_t i;
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &evaluation};
    assert_in_range(count, 4, MOST);
    memset(variants, 0, sizeof variants);
    json_array_foreach(rows, i, row)
    {
        bs_recipe_init(&recipes[i]);
        assert_int_equal(bs_recipe_add(&recipes[i], bs_algorithm_usual(), &err), BS_OK);
        set_row(row, &recipes[i]);
        if (bs_recipe_resolve(&recipes[i], &err))
            fail_msg("row %zu: %s", i, err.message);
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    }
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    json_array_foreach(rows, i, row)
    {
        double want = json_real_value(json_object_get(row, "mean_nll"));
        double got = mean_nll(&variants[i], windows);
        if (!(fabs(got - want) < close))
            fail_msg("%s, row %zu: %.9g nats a token, not %.9g", path, i, got, want);
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
    json_decref(rows);
}

static void losses_are_those_token_by_token(void **state)
{
    (void)state;
    assert_losses("tests/golden/cache.json", 1, set_cache, 1e-5);
}

static void losses_of_rounded_probabilities(void **state)
{
    (void)state;
    assert_losses("tests/golden/probabilities.json", WINDOWS, set_probabilities, 2e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_are_those_token_by_token),
                                       cmocka_unit_test(losses_of_rounded_probabilities)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
