/* A model that is compared with another one, as its files have it: it computes what it computes
 * alone, and is measured against the walk's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"
#include "tests/support/values.h"

enum { WINDOWS = 2, TOKENS = 24 };

/* The other model: values of a linear, of the final norm and of the embedding, which is the head
 * too, are others. */
static void change(char *weights)
{
    tiny_model_set(weights, "model.layers.1.mlp.up_proj.weight", 0, 7, 900, 0x3d00);
    tiny_model_set(weights, "model.norm.weight", 3, 5, 20, 0x4000);
    tiny_model_set(weights, "model.embed_tokens.weight", 11, 13, 5000, 0x3c80);
}

static struct folder second;
static struct bs_model *model, *other;
static struct bs_windows text;

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    second = folder_create();
    model = tiny_model_cut(folder.path, 2, NULL);
    other = tiny_model_cut(second.path, 2, change);
    text = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    return 0;
}

static int teardown(void **state)
{
    bs_windows_release(&text);
    bs_model_free(other);
    bs_model_free(model);
    folder_remove_path(second.path);
    return folder_teardown(state);
}

/* Walks over `of` with the unquantized recipe and, where there are two, `compared`. */
static void walk(const struct bs_model *of, const struct bs_model *compared,
                 const struct bs_recipe *recipe, struct bs_variant *variants, int count)
{
    const struct bs_walk asked = {
        .model = of, .num_texts = 1, .texts = &text, .layer_error_windows = 1};
    struct bs_error err;
    memset(variants, 0, (size_t)count * sizeof *variants);
    for (int i = 0; i < count; i++) {
        variants[i].recipe = recipe;
        variants[i].wanted[0] = true;
    }
    if (count > 1)
        variants[1].model = compared;
    assert_int_equal(bs_walk_run(&asked, variants, count, &err), BS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(variants[i].status, BS_OK);
}

static double sum_of(const struct bs_variant *variant, enum bs_figure figure)
{
    const float *values = bs_figure_floats(&variant->figures[0], figure);
    double sum = 0;
    for (size_t i = 0; i < WINDOWS * (TOKENS - 1); i++)
        sum += (double)values[i];
    return sum;
}

static void test_compared(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    struct bs_variant both[2], alone[1];
    recipe_build(&recipe, "", "");
    walk(model, other, &recipe, both, 2);
    walk(other, NULL, &recipe, alone, 1);
    assert_memory_equal(bs_figure_floats(&both[1].figures[0], BS_NLL),
                        bs_figure_floats(&alone[0].figures[0], BS_NLL),
                        WINDOWS * (TOKENS - 1) * sizeof(float));
    assert_true(sum_of(&both[1], BS_NLL) != sum_of(&both[0], BS_NLL));
    assert_true(sum_of(&both[1], BS_KLD) > 0.01);
    assert_int_equal(both[1].num_layers, 2 * 7);
    for (int l = 0; l < both[1].num_layers; l++) {
        const struct bs_layer_row *row = &both[1].layers[l];
        bool changed = row->block == 1 && !strcmp(row->name, "mlp.up_proj");
        assert_true((layer_value(row, "weight_mse") > 0) == changed);
    }
    bs_variant_release(&alone[0]);
    for (int i = 0; i < 2; i++)
        bs_variant_release(&both[i]);
    bs_recipe_release(&recipe);
}

/* Of one with the same weights nothing is left to tell apart. */
static void test_same(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    struct bs_variant both[2];
    recipe_build(&recipe, "", "");
    walk(model, model, &recipe, both, 2);
    assert_true(sum_of(&both[1], BS_KLD) == 0);
    assert_true(sum_of(&both[1], BS_NLL) == sum_of(&both[0], BS_NLL));
    for (int i = 0; i < 2; i++)
        bs_variant_release(&both[i]);
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compared),
        cmocka_unit_test(test_same),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
