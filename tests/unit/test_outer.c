/* Embedding and head as places: a row at a time they are what codes of the whole decode to, the
 * walk computes with them, and their bits are counted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/recipe/assign.h"
#include "eval/run/walk.h"
#include "tests/support/folder.h"
#include "tests/support/plain.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"
#include "tests/support/tiny_model.h"

enum { TOKENS = 24, WINDOWS = 2, BLOCKS = 1 };

static struct bs_model *model;
static const struct bs_architecture *a;
static float *table; /* the embedding as the checkpoint has it */

static int open_model(void **state)
{
    struct bs_error err;
    folder_setup(state);
    model = tiny_model_cut(folder.path, BLOCKS, NULL);
    a = bs_model_architecture(model);
    size_t count = (size_t)a->vocab_size * (size_t)a->embedding_size;
    int32_t *ids = bs_alloc((size_t)a->vocab_size, sizeof *ids);
    table = bs_alloc(count, sizeof *table);
    for (int id = 0; id < a->vocab_size; id++)
        ids[id] = id;
    int status = bs_model_embed(model, NULL, ids, 1, a->vocab_size, table, &err);
    bs_free(ids);
    return status;
}

static int close_model(void **state)
{
    bs_free(table);
    bs_model_free(model);
    return folder_teardown(state);
}

static void rows_are_what_codes_of_the_whole_decode_to(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=4 group_size=64", "bits=3 group_size=channel",
                                           "bits=4 group_size=tensor",
                                           "bits=4 group_size=64 rounding=stochastic"};
    size_t width = (size_t)a->embedding_size;
    float *decoded = bs_alloc((size_t)a->vocab_size * width, sizeof *decoded);
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        struct bs_error err;
        struct bs_codes codes;
        struct bs_outer_rounding rounding;
        const struct bs_setting *setting = weights_setting(settings[k]);
        assert_int_equal(
            bs_outer_rounding_init(model, BS_HEAD, setting, NULL, NULL, &rounding, &err), BS_OK);
        assert_int_equal(bs_codes_init(&codes, setting, bs_draw_place(BS_MAX_LAYERS, false, 0),
                                       a->vocab_size, a->embedding_size, &err),
                         BS_OK);
        assert_int_equal(bs_codes_round(&codes, table, NULL, &err), BS_OK);
        bs_codes_decode(&codes, decoded);
        static const int firsts[] = {0, 5, 4000, 4095};
        for (size_t f = 0; f < 4; f++) {
            float rows[2 * 256];
            int count = firsts[f] < a->vocab_size - 1 ? 2 : 1;
            size_t at = (size_t)firsts[f] * width, bytes = (size_t)count * width * sizeof *rows;
            memcpy(rows, table + at, bytes);
            bs_outer_round(&rounding, firsts[f], count, rows);
            for (size_t j = 0; j < (size_t)count * width; j++)
                assert_true(rows[j] == decoded[at + j]);
            assert_memory_not_equal(rows, table + at, bytes);
        }
        bs_outer_rounding_release(&rounding);
        bs_codes_release(&codes);
    }
    bs_free(decoded);
}

/* The tensor is one: a rule for either name is about both of its uses. */
static void the_walk_computes_with_them(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "@embedding bits=4 group_size=64", "@head bits=4 group_size=64",
        "@embedding bits=4 group_size=64 @head bits=4 group_size=64"};
    enum { VARIANTS = 4 };
    struct bs_error err;
    struct bs_recipe recipes[VARIANTS];
    struct bs_variant variants[VARIANTS] = {{.recipe = NULL}};
    struct bs_windows text = tiny_model_windows("datasets/commons/evaluation.txt", WINDOWS, TOKENS);
    for (int i = 0; i < VARIANTS; i++) {
        bs_recipe_init(&recipes[i]);
        if (i)
            recipe_build(&recipes[i], "rtn", settings[i - 1]);
        variants[i] = (struct bs_variant){.recipe = &recipes[i], .wanted = {true}};
    }
    const struct bs_walk walk = {.model = model, .num_texts = 1, .texts = &text};
    assert_int_equal(bs_walk_run(&walk, variants, VARIANTS, &err), BS_OK);
    struct bs_outer_rounding rounding;
    const struct bs_setting *setting = weights_setting("bits=4 group_size=64");
    assert_int_equal(
        bs_outer_rounding_init(model, BS_EMBEDDING, setting, NULL, NULL, &rounding, &err), BS_OK);
    for (int w = 0; w < WINDOWS; w++) {
        double want[TOKENS];
        plain_nll(model, &rounding, text.ids + w * TOKENS, TOKENS, want);
        for (int i = 1; i < VARIANTS; i++)
            for (int t = 0; t + 1 < TOKENS; t++) {
                size_t at = (size_t)(w * (TOKENS - 1) + t);
                float got = bs_figure_floats(&variants[i].figures[0], BS_NLL)[at];
                assert_true(fabs((double)got - want[t]) < 1e-4);
                assert_true(got != bs_figure_floats(&variants[0].figures[0], BS_NLL)[at]);
            }
    }
    bs_outer_rounding_release(&rounding);
    for (int i = 0; i < VARIANTS; i++) {
        bs_variant_release(&variants[i]);
        bs_recipe_release(&recipes[i]);
    }
    bs_windows_release(&text);
}

static void a_tied_tensor_is_counted_once(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    double weights = (double)a->vocab_size * a->embedding_size;
    recipe_build(&recipe, "rtn",
                 "bits=3 @embedding bits=4 group_size=64 @head bits=4 group_size=64");
    struct bs_outer_size size = bs_recipe_outer_size(&recipe, a);
    assert_true(size.weights == weights && size.bits == weights * (4 + (16 + 4) / 64.0));
    struct bs_architecture untied = *a;
    untied.tied_head = false;
    assert_true(bs_recipe_outer_size(&recipe, &untied).weights == 2 * weights);
    bs_recipe_release(&recipe);
    recipe_build(&recipe, "rtn", "bits=3 @*.up_proj bits=4");
    assert_true(bs_recipe_outer_size(&recipe, a).weights == 0);
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_codes_of_the_whole_decode_to),
        cmocka_unit_test(the_walk_computes_with_them),
        cmocka_unit_test(a_tied_tensor_is_counted_once),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
