/* Weights rounded by the importance of their inputs: what it is, and who gets it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/run/apply.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"

static struct random_block random_;

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    random_block_init(&random_, &block_shapes[0]);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    random_block_release(&random_);
    return 0;
}

static struct bs_statistics squares_and_hessians(void)
{
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, &bs_stat_meansquare, BS_EVERY_SITE, 0);
    bs_want(&wanted, &bs_stat_hessian, BS_EVERY_SITE, 0);
    struct bs_statistics statistics = random_block_statistics(&random_, &wanted);
    bs_wanted_release(&wanted);
    return statistics;
}

/* The Hessian is 2 / windows times the sum of products over all windows and tokens. */
static void importance_is_the_mean_square(void **state)
{
    (void)state;
    struct bs_statistics statistics = squares_and_hessians();
    const struct bs_program *p = &random_.architecture.programs[0];
    for (int k = 0; k < p->num_inputs; k++) {
        int width = p->values[p->inputs[k]].width;
        const float *mean = bs_statistics_of(&statistics, &bs_stat_meansquare, p->inputs[k]);
        const float *hessian = bs_statistics_of(&statistics, &bs_stat_hessian, p->inputs[k]);
        for (int j = 0; j < width; j++) {
            double want = (double)hessian[j * (width + 1)] / 2 / random_.inputs.tokens;
            assert_true(want > 0 && fabs((double)mean[j] / want - 1) < 1e-5);
        }
    }
    bs_statistics_release(&statistics);
}

static void apply(const char *algorithm, const char *settings, struct bs_block *block)
{
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .scratch = random_.scratch};
    recipe_build(&recipe, algorithm, settings);
    assert_int_equal(bs_block_copy(block, &random_.block, &err), BS_OK);
    if (bs_apply_recipe(&recipe, block, &inputs, &err))
        fail_msg("%s", err.message);
    bs_recipe_release(&recipe);
}

/* Each linear is rounded by the squares of its own input, and not alike to one that is not. */
static void rounding_to_nearest_lets_errors_count_by_it(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_block block = {.architecture = NULL}, alike = {.architecture = NULL};
    struct bs_statistics statistics = squares_and_hessians();
    const struct bs_program *p = &random_.architecture.programs[0];
    const struct bs_setting *setting = weights_setting("format=q4_0 importance=imatrix");
    apply("rtn", "format=q4_0 importance=imatrix", &block);
    apply("rtn", "format=q4_0", &alike);
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_linear *original = &random_.block.linears[s];
        size_t count = (size_t)original->out_features * (size_t)original->in_features;
        struct bs_codes codes;
        assert_int_equal(
            bs_codes_init(&codes, setting, 0, original->out_features, original->in_features, &err),
            BS_OK);
        codes.importance = bs_statistics_of(&statistics, &bs_stat_meansquare, p->slots[s].input);
        assert_int_equal(bs_codes_round(&codes, original->weight, NULL, &err), BS_OK);
        assert_memory_equal(block.linears[s].codes.codes, codes.codes, count);
        assert_memory_not_equal(alike.linears[s].codes.codes, codes.codes, count);
        bs_codes_release(&codes);
    }
    bs_block_release(&block);
    bs_block_release(&alike);
    bs_statistics_release(&statistics);
}

/* Where nothing looks at it, it is as if it had not been asked for. */
static void it_is_forgotten_where_nothing_looks_at_it(void **state)
{
    (void)state;
    static const char *const deaf[] = {"format=q8_0", "format=tq2_0", "format=int bits=4",
                                       "format=int bits=4 range=mse"};
    for (size_t k = 0; k < sizeof deaf / sizeof *deaf; k++) {
        char text[96];
        snprintf(text, sizeof text, "%s importance=imatrix", deaf[k]);
        assert_true(bs_setting_equal(weights_setting(text), weights_setting(deaf[k])));
    }
    assert_int_equal(
        weights_setting("bits=4 range=mse range_weighted=true importance=imatrix")->importance.word,
        BS_MEAN_SQUARE);
}

static void a_chain_that_ends_without_rounding_is_refused(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    recipe_build_unresolved(&recipe, "smoothquant", "format=q4_0 importance=imatrix");
    assert_int_equal(bs_recipe_resolve(&recipe, &err), BS_ECONFIG);
    assert_non_null(strstr(err.message, "no algorithm of the chain rounds"));
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(importance_is_the_mean_square),
        cmocka_unit_test(rounding_to_nearest_lets_errors_count_by_it),
        cmocka_unit_test(it_is_forgotten_where_nothing_looks_at_it),
        cmocka_unit_test(a_chain_that_ends_without_rounding_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
