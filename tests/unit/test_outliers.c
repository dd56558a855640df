/* The step that makes outlier channels: the function stays, to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "tests/support/recipes.h"
#include "tests/support/small_block.h"

static struct bs_block *block = &random_.block;
static struct bs_block made;
static struct bs_recipe recipe;

static int teardown(void **state)
{
    bs_block_release(&made);
    return small_block_teardown(state);
}

static void prepare(const char *settings)
{
    recipe_build(&recipe, "outliers", settings);
    random_block_prepare(&random_, &recipe, &made);
    bs_recipe_release(&recipe);
}

/* How many of a linear's columns were divided by `factor`; no other may have moved. */
static int channels_of(int slot, float factor)
{
    int count = 0;
    for (int j = 0; j < made.linears[slot].in_features; j++) {
        float scale = made.linears[slot].in.list[0].values[j];
        assert_true(scale == 1 || scale == 1 / factor);
        count += scale != 1;
    }
    return count;
}

static void the_chosen_channels_grow_and_the_function_stays(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        int channels;
        float factor;
    } cases[] = {{"", 4, 64},
                 {"channels=1 factor=2", 1, 2},
                 {"channels=40 factor=1024", 40, 1024},
                 {"channels=7 factor=16 seed=12345", 7, 16}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        prepare(cases[k].settings);
        assert_true(outputs_apart(&random_, block, &made) == 0);
        for (int r = 0; r < NUM_SLOTS; r++) {
            bool reads_a_norm = r != SLOT_O && r != SLOT_DOWN;
            assert_int_equal(channels_of(r, cases[k].factor), reads_a_norm ? cases[k].channels : 0);
        }
        for (int n = BS_NORM_ATTENTION; n <= BS_NORM_MLP; n++)
            for (int j = 0; j < small_shape.hidden; j++) {
                /* the same channels in both norms */
                bool chosen = made.linears[SLOT_Q].in.list[0].values[j] != 1;
                assert_true(made.norms[n].weight[j] ==
                            block->norms[n].weight[j] * (chosen ? cases[k].factor : 1));
            }
    }
}

static void nothing_to_do(void **state)
{
    (void)state;
    prepare("channels=0");
    assert_true(same_block(&made, block));
    prepare("factor=1");
    assert_true(same_block(&made, block));
}

static void the_seed_says_which_channels(void **state)
{
    (void)state;
    int different = 0;
    struct bs_block first = {.architecture = NULL};
    struct bs_error err;
    prepare("seed=0");
    assert_int_equal(bs_block_copy(&first, &made, &err), BS_OK);
    prepare("");
    assert_true(same_block(&made, &first)); /* the default, and drawn the same again */
    for (int seed = 1; seed <= 5; seed++) {
        char settings[32];
        snprintf(settings, sizeof settings, "seed=%d", seed);
        prepare(settings);
        different += !same_block(&made, &first);
    }
    assert_in_range(different, 4, 5);
    bs_block_release(&first);
}

static void a_factor_must_be_a_power_of_two(void **state)
{
    (void)state;
    struct bs_error err;
    static const int factors[] = {1, 2, 3, 6, 63, 64, 65, 1 << 20, (1 << 20) - 1};
    static const bool fine[] = {true, true, false, false, false, true, false, true, false};
    for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
        char settings[32];
        snprintf(settings, sizeof settings, "factor=%d", factors[k]);
        recipe_build_unresolved(&recipe, "outliers", settings);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), fine[k] ? BS_OK : BS_ECONFIG);
        assert_true(fine[k] || strstr(err.message, "power of two"));
        bs_recipe_release(&recipe);
    }
}

static enum bs_status try_prepare(const char *settings, struct bs_error *err)
{
    recipe_build(&recipe, "outliers", settings);
    assert_int_equal(bs_block_copy(&made, block, err), BS_OK);
    struct bs_job job = random_block_job(&random_, &made, NULL, &recipe.weights);
    bs_alloc_fail_at(1);
    enum bs_status status =
        bs_algorithm_of(&recipe.steps[0])->prepare_block(recipe.steps[0].options, &job, err);
    bs_alloc_fail_at(0);
    bs_recipe_release(&recipe);
    assert_true(same_block(&made, block));
    return status;
}

static void more_channels_than_there_are_is_an_error(void **state)
{
    (void)state;
    struct bs_error err;
    assert_int_equal(try_prepare("channels=41", &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "41"));
    assert_non_null(strstr(err.message, "40"));
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct bs_error err;
    assert_int_equal(try_prepare("channels=3", &err), BS_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chosen_channels_grow_and_the_function_stays),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(the_seed_says_which_channels),
        cmocka_unit_test(a_factor_must_be_a_power_of_two),
        cmocka_unit_test(more_channels_than_there_are_is_an_error),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, small_block_setup, teardown);
}
