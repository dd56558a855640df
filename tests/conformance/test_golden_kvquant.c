/* KVQuant's cache of uniform levels against the authors' simulation (tests/golden/kvquant.py): the
 * first layer's keys, and what the embedded model loses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/apply.h"
#include "eval/run/walk.h"
#include "tests/support/close.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { TOKENS = 256, WINDOWS = 8, CALIBRATION = 16, STEP = 97, MOST = 16 };

static struct bs_model *model;
static struct bs_windows evaluation, calibration;
static json_t *rows;
static struct bs_recipe recipes[MOST];
static int count;

static void build(const json_t *row, struct bs_recipe *recipe)
{
    static const char *const sides[] = {"keys", "values"};
    struct bs_error err;
    bs_recipe_init(recipe);
    assert_int_equal(bs_recipe_add(recipe, bs_algorithm_usual(), &err), BS_OK);
    for (int c = 0; c < BS_NUM_CACHED; c++) {
        char text[160], *rest;
        snprintf(text, sizeof text, "%s", json_string_value(json_object_get(row, sides[c])));
        for (char *key = strtok_r(text, " ", &rest); key; key = strtok_r(NULL, " ", &rest)) {
            char *value = strchr(key, '=');
            assert_non_null(value);
            *value++ = '\0';
            if (bs_setting_set(&recipe->cache[c], BS_FOR_CACHE, key, value, &err))
                fail_msg("%s", err.message);
        }
    }
    if (bs_recipe_resolve(recipe, &err))
        fail_msg("%s", err.message);
}

static int open_model(void **state)
{
    (void)state;
    struct bs_error err;
    json_error_t error;
    bs_blas_init();
    bs_set_threads(1); /* of models this small more would wait for each other */
    rows = json_load_file("tests/golden/kvquant.json", 0, &error);
    count = (int)json_array_size(rows);
    if (bs_model_open("datasets/tiny", NULL, &model, &err) || count < 8 || count > MOST)
        return -1;
    evaluation = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", CALIBRATION, TOKENS);
    for (int i = 0; i < count; i++)
        build(json_array_get(rows, (size_t)i), &recipes[i]);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    for (int i = 0; i < count; i++)
        bs_recipe_release(&recipes[i]);
    bs_windows_release(&evaluation);
    bs_windows_release(&calibration);
    bs_model_free(model);
    json_decref(rows);
    return 0;
}

/* ---- the first layer's keys ---- */

struct shown {
    const struct bs_program *program;
    float *keys;
};

static void show(void *context, int value, const float *x, int tokens, int stride)
{
    const struct shown *shown = context;
    const struct bs_value *is = &shown->program->values[value];
    for (int t = 0; t < tokens && !strcmp(is->name, "key"); t++)
        memcpy(shown->keys + (size_t)t * (size_t)is->width, x + (size_t)t * (size_t)stride,
               (size_t)is->width * sizeof *x);
}

static void first_keys_are_the_authors(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream inputs;
    struct bs_block original, block = {.architecture = NULL};
    const struct bs_architecture *a = bs_model_architecture(model);
    const int hidden = a->hidden_size, narrow = a->num_kv_heads * a->head_dim, tokens = TOKENS;
    struct bs_scratch *scratch = bs_scratch_create(1, bs_block_scratch_floats(a, TOKENS));
    struct bs_rope *rope = bs_rope_create(a, &tokens, 1);
    float *x = bs_alloc((size_t)TOKENS * (size_t)hidden, sizeof *x);
    float *y = bs_alloc((size_t)TOKENS * (size_t)hidden, sizeof *y);
    struct shown shown = {.keys = bs_alloc((size_t)TOKENS * (size_t)narrow, sizeof(float))};
    assert_int_equal(bs_block_load(model, 0, &original, &err), BS_OK);
    assert_int_equal(bs_stream_init(&inputs, CALIBRATION, TOKENS, hidden, &err), BS_OK);
    assert_int_equal(bs_model_embed(model, NULL, calibration.ids, CALIBRATION, TOKENS,
                                    bs_stream_window(&inputs, 0), &err),
                     BS_OK);
    assert_int_equal(bs_model_embed(model, NULL, evaluation.ids, 1, TOKENS, x, &err), BS_OK);
    shown.program = original.program;
    for (int i = 0; i < count; i++) {
        const struct bs_inputs from = {.rope = rope, .unquantized = &inputs, .scratch = scratch};
        const struct bs_observer observer = {.context = &shown, .site = show};
        const char *want =
            json_string_value(json_object_get(json_array_get(rows, (size_t)i), "rotated_keys"));
        assert_int_equal(bs_block_copy(&block, &original, &err), BS_OK);
        assert_int_equal(bs_apply_recipe(&recipes[i], &block, &from, &err), BS_OK);
        bs_block_forward(&block, rope, x, y, TOKENS, &observer, scratch);
        int k = 0;
        for (char *end; *want; want = end, k += STEP)
            assert_close((double)shown.keys[k], strtod(want, &end), 1e-5, 1e-5);
        assert_in_range(k, TOKENS * narrow, TOKENS * narrow + STEP - 1);
    }
    bs_free(x);
    bs_free(y);
    bs_free(shown.keys);
    bs_block_release(&block);
    bs_block_release(&original);
    bs_stream_release(&inputs);
    bs_rope_free(rope);
    bs_scratch_free(scratch, 1);
}

/* ---- the whole model ---- */

static double mean_nll(const struct bs_variant *variant)
{
    double sum = 0;
    const int predictions = WINDOWS * (TOKENS - 1);
    for (int i = 0; i < predictions; i++)
        sum += (double)bs_figure_floats(&variant->figures[0], BS_NLL)[i];
    return sum / predictions;
}

static void losses_are_the_authors(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_variant variants[MOST];
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &evaluation};
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < count; i++)
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    if (bs_walk_run(&walk, variants, count, &err))
        fail_msg("%s", err.message);
    for (int i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        double want = json_real_value(json_object_get(row, "mean_nll")), got;
        assert_int_equal(variants[i].status, BS_OK);
        got = mean_nll(&variants[i]);
        printf("%s: %+.3g of the perplexity\n", json_string_value(json_object_get(row, "keys")),
               exp(got - want) - 1);
        if (!(fabs(exp(got - want) - 1) < 1e-3))
            fail_msg("row %d: %.9g nats a token, not %.9g", i, got, want);
        bs_variant_release(&variants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_keys_are_the_authors),
                                       cmocka_unit_test(losses_are_the_authors)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
