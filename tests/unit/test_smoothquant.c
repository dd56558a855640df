/* SmoothQuant: its formula, and that it changes nothing but where the difficulty lies. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/run/apply.h"
#include "tests/support/close.h"
#include "tests/support/recipes.h"
#include "tests/support/small_block.h"

static struct bs_block *block = &random_.block;
static struct bs_block smooth;
static struct bs_recipe recipe;

static int teardown(void **state)
{
    bs_block_release(&smooth);
    return small_block_teardown(state);
}

static void prepare(double alpha)
{
    char settings[64];
    snprintf(settings, sizeof settings, "bits=8 alpha=%g", alpha);
    recipe_build(&recipe, "smoothquant", settings);
    random_block_prepare(&random_, &recipe, &smooth);
    bs_recipe_release(&recipe);
}

static const struct bs_program *program(void) { return &random_.architecture.programs[0]; }

/* The largest |w| of a column over the linears that read a norm's output. */
static double column_maximum(const struct bs_block *of, int site, int column)
{
    int slots[BS_MAX_SLOTS], count = bs_program_readers(program(), site, slots);
    double most = 0;
    for (int k = 0; k < count; k++) {
        const struct bs_linear *linear = &of->linears[slots[k]];
        for (int i = 0; i < linear->out_features; i++)
            most = fmax(most, fabs((double)linear->weight[i * linear->in_features + column]));
    }
    return most;
}

static const double *input_maxima(int site)
{
    static double most[64];
    struct site_inputs shown = random_block_site_inputs(&random_);
    int width = small_shape.hidden;
    memset(most, 0, sizeof most);
    for (int t = 0; t < small_shape.windows * small_shape.tokens; t++)
        for (int j = 0; j < width; j++)
            most[j] = fmax(most[j], fabs((double)shown.x[site][t * width + j]));
    site_inputs_release(&shown);
    return most;
}

static void scales_follow_equation_4(void **state)
{
    (void)state;
    static const double alphas[] = {0, 0.3, 0.5, 0.85, 1};
    for (int k = 0; k < 5; k++) {
        prepare(alphas[k]);
        for (int norm = BS_NORM_ATTENTION; norm <= BS_NORM_MLP; norm++) {
            int site = random_block_input(&random_, norm == BS_NORM_ATTENTION ? 0 : 2);
            const double *most = input_maxima(site);
            int slots[BS_MAX_SLOTS], count = bs_program_readers(program(), site, slots);
            for (int j = 0; j < small_shape.hidden; j++) {
                double want =
                    pow(most[j], alphas[k]) / pow(column_maximum(block, site, j), 1 - alphas[k]);
                for (int l = 0; l < count; l++)
                    assert_close((double)smooth.linears[slots[l]].in.list[0].values[j], want, 0,
                                 1e-5);
                assert_close((double)smooth.norms[norm].weight[j],
                             (double)block->norms[norm].weight[j] / want, 0, 1e-5);
                /* the linears' columns are multiplied by it */
                const struct bs_linear *first = &smooth.linears[slots[0]];
                assert_close(
                    (double)first->weight[3 * first->in_features + j],
                    want * (double)block->linears[slots[0]].weight[3 * first->in_features + j], 0,
                    1e-5);
            }
        }
    }
}

static void only_what_a_norm_makes_is_smoothed(void **state)
{
    (void)state;
    prepare(0.5);
    for (int role = SLOT_O; role <= SLOT_DOWN; role += SLOT_DOWN - SLOT_O) {
        const struct bs_linear *got = &smooth.linears[role], *was = &block->linears[role];
        assert_memory_equal(got->weight, was->weight,
                            (size_t)(was->out_features * was->in_features) * sizeof(float));
        for (int j = 0; j < got->in_features; j++)
            assert_true(got->in.list[0].values[j] == 1);
    }
    for (int r = 0; r < NUM_SLOTS; r++) /* nothing is folded into rows */
        for (int i = 0; i < smooth.linears[r].out_features; i++)
            assert_true(smooth.linears[r].out.list[0].values[i] == 1);
}

static void the_function_stays(void **state)
{
    (void)state;
    static const double alphas[] = {0, 0.5, 1};
    for (int k = 0; k < 3; k++) {
        prepare(alphas[k]);
        double apart = outputs_apart(&random_, block, &smooth);
        assert_true(apart > 0 && apart < 2e-6);
    }
}

static void alpha_says_which_side_becomes_even(void **state)
{
    (void)state;
    prepare(0); /* the weights: every column's largest is 1 */
    for (int j = 0; j < small_shape.hidden; j++)
        assert_close(column_maximum(&smooth, random_block_input(&random_, 0), j), 1, 0, 1e-5);
    prepare(1); /* the activations: every channel's largest is 1 */
    struct bs_block original = *block;
    *block = smooth;
    for (int k = 0; k <= 2; k += 2) {
        const double *most = input_maxima(random_block_input(&random_, k));
        for (int j = 0; j < small_shape.hidden; j++)
            assert_close(most[j], 1, 0, 1e-4);
    }
    *block = original;
}

static void dead_channels_and_columns_have_a_scale(void **state)
{
    (void)state;
    const int dead = 4, empty = 9;
    struct bs_block kept = {.architecture = NULL};
    struct bs_error err;
    assert_int_equal(bs_block_copy(&kept, block, &err), BS_OK);
    block->norms[0].weight[dead] = 0;
    for (int r = SLOT_Q; r <= SLOT_V; r++)
        for (int i = 0; i < block->linears[r].out_features; i++)
            block->linears[r].weight[i * small_shape.hidden + empty] = 0;
    for (int k = 0; k < 2; k++) {
        double alpha = k ? 0.5 : 1;
        double most = input_maxima(random_block_input(&random_, 0))[empty];
        prepare(alpha);
        const float *scale = smooth.linears[SLOT_K].in.list[0].values;
        /* |X| = 0: the least scale. |W| = 0 counts as 1e-5. */
        assert_close((double)scale[dead], 1e-5, 0, 1e-6);
        assert_close((double)scale[empty], pow(most, alpha) / pow(1e-5, 1 - alpha), 0, 1e-4);
        assert_true(outputs_apart(&random_, block, &smooth) < 2e-6);
    }
    assert_int_equal(bs_block_copy(block, &kept, &err), BS_OK);
    bs_block_release(&kept);
}

/* Relative error of the block under a recipe, at 8 bits for activations and weights. */
static double error_of(const char *chain, const char *granularity)
{
    struct bs_error err;
    char settings[96];
    snprintf(settings, sizeof settings, "bits=8 grid=smoothquant a.bits=8 a.sharing=%s",
             granularity);
    recipe_build(&recipe, chain, settings);
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .scratch = random_.scratch};
    assert_int_equal(bs_block_copy(&smooth, block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(&recipe, &smooth, &inputs, &err), BS_OK);
    assert_ptr_equal(smooth.sites[random_block_input(&random_, 0)].setting, &recipe.activations);
    double error = outputs_apart(&random_, block, &smooth);
    bs_recipe_release(&recipe);
    return error;
}

static void it_helps_where_activations_have_outliers(void **state)
{
    (void)state;
    static const char *const granularities[] = {"token", "window", "static"};
    struct bs_error err;
    struct bs_block kept = {.architecture = NULL};
    float scale[64];
    for (int j = 0; j < small_shape.hidden; j++)
        scale[j] = j % 20 == 7 ? 1.0f / 64 : 1;
    assert_int_equal(bs_block_copy(&kept, block, &err), BS_OK);
    for (int k = 0; k <= 2; k += 2) /* two channels become 64 times larger, their columns smaller */
        assert_int_equal(bs_block_fold(block, random_block_input(&random_, k), scale, &err), BS_OK);
    for (int k = 0; k < 3; k++)
        assert_true(error_of("smoothquant", granularities[k]) <
                    0.5 * error_of("rtn", granularities[k]));
    assert_int_equal(bs_block_copy(block, &kept, &err), BS_OK);
    bs_block_release(&kept);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct bs_error err;
    recipe_build(&recipe, "smoothquant", "bits=8");
    struct bs_statistics statistics = random_block_step_statistics(&random_, &recipe);
    assert_int_equal(bs_block_copy(&smooth, block, &err), BS_OK);
    struct bs_job job = random_block_job(&random_, &smooth, &statistics, &recipe.weights);
    bs_alloc_fail_at(1);
    assert_int_equal(
        bs_algorithm_of(&recipe.steps[0])->prepare_block(recipe.steps[0].options, &job, &err),
        BS_ENOMEM);
    bs_alloc_fail_at(0);
    assert_true(same_block(&smooth, block));
    bs_recipe_release(&recipe);
    bs_statistics_release(&statistics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_follow_equation_4),
        cmocka_unit_test(only_what_a_norm_makes_is_smoothed),
        cmocka_unit_test(the_function_stays),
        cmocka_unit_test(alpha_says_which_side_becomes_even),
        cmocka_unit_test(dead_channels_and_columns_have_a_scale),
        cmocka_unit_test(it_helps_where_activations_have_outliers),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, small_block_setup, teardown);
}
