/* What a walk is said to compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/run/walk_cost.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

static struct bs_model *model;

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    model = tiny_model_cut(folder.path, 1, NULL);
    return 0;
}

static int teardown(void **state)
{
    bs_model_free(model);
    return folder_teardown(state);
}

static struct bs_windows windows_of(int windows, int tokens)
{
    return tiny_model_windows("datasets/commons/calibration.txt", windows, tokens);
}

static void flops_by_hand(void **state)
{
    (void)state;
    struct bs_windows calibration = windows_of(3, 10),
                      texts[2] = {windows_of(2, 20), windows_of(5, 7)};
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 2, .texts = texts};
    /* A block: q, k, v, o of 256 x 256, 128, 128, 256 and three of 768 x 256; 4 heads of 64. Two
     * flops a weight and token; two products of 64 for each head and pair of tokens, half of them.
     */
    double weights = 256 * (256 + 128 + 128 + 256) + 3 * 768 * 256;
    double per_token = 2 * weights, pair = 4 * 64 * 2;
    assert_close(bs_walk_calibration_flops(&walk), 3 * (10 * per_token + 10 * 10 * pair), 0, 1e-12);
    double head = 2 * 4096 * 256;
    /* The head is asked for predictions only: one less than a window has tokens. */
    double first = 2 * (20 * per_token + 19 * head + 20 * 20 * pair);
    double second = 5 * (7 * per_token + 6 * head + 7 * 7 * pair);
    assert_close(bs_walk_evaluation_flops(&walk), first + second, 0, 1e-12);
    walk.calibration = NULL;
    assert_true(bs_walk_calibration_flops(&walk) == 0);
    bs_windows_release(&calibration);
    bs_windows_release(&texts[0]);
    bs_windows_release(&texts[1]);
}

/* What recipes alone would do on the unquantized model's streams, and what they do together, at the
 * one block. */
static void common_work_by_hand(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        int passes, factors; /* with the recipes before it */
    } cases[] = {
        {"rtn", "bits=4", 0, 0},
        {"gptq", "bits=4", 1, 4},
        {"gptq", "bits=3 group_size=64", 1, 4},
        {"gptq", "bits=3 act_order=true", 1, 8},
        {"gptq", "bits=3 true_sequential=true", 1, 8}, /* takes all for itself */
        {"awq", "bits=4 group_size=64", 1, 8},
        {"awq", "bits=4 group_size=64 clip_tokens=7", 1, 8}, /* samples other rows */
        {"smoothquant", "bits=8", 1, 8},
    };
    enum { CASES = sizeof cases / sizeof *cases };
    struct bs_windows calibration = windows_of(3, 10), text = windows_of(2, 20);
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &text};
    const double tokens = 30, evaluation = bs_walk_evaluation_flops(&walk);
    /* Without outputs no down_proj; half of each X^T X. */
    const double pass = bs_walk_calibration_flops(&walk) - 2 * tokens * 768 * 256;
    const double hessians = tokens * (3 * 256 * 256 + 768 * 768);
    const double factor = (3 * 256.0 * 256 * 256 + 768.0 * 768 * 768) * 2 / 3 / 4;
    struct bs_recipe recipes[CASES];
    const struct bs_recipe *all[CASES];
    for (int k = 0; k < CASES; k++) {
        recipe_build(&recipes[k], cases[k].chain, cases[k].settings);
        all[k] = &recipes[k];
        struct bs_walk_common got = bs_walk_common(&walk, all, k + 1);
        assert_int_equal(got.evaluations, 1);
        assert_int_equal(got.block_passes, cases[k].passes);
        assert_int_equal(got.factors, cases[k].factors);
        double want = evaluation + cases[k].factors * factor + cases[k].passes * (pass + hessians);
        assert_close(got.flops, want, 0, 1e-12);
    }
    struct bs_walk_common alone = bs_walk_common(&walk, all + CASES - 1, 1);
    assert_int_equal(alone.block_passes, 1);
    /* The largest |x| of norms' outputs only: not through gate_proj and up_proj. */
    assert_close(alone.flops, evaluation + pass - 2 * tokens * 2 * 768 * 256, 0, 1e-12);
    for (int k = 0; k < CASES; k++)
        bs_recipe_release(&recipes[k]);
    bs_windows_release(&calibration);
    bs_windows_release(&text);
}

/* What a recipe does for itself at the one block, beside the first pass, which all share. */
static void own_work_by_hand(void **state)
{
    (void)state;
    const double attention = 256.0 * (256 + 128 + 128 + 256), mlp = 3 * 768.0 * 256;
    const double weights = attention + mlp, pairs = 3 * 10 * 10 * 4 * 64 * 2;
    const double down = 2 * 30 * 768.0 * 256; /* of a pass that ends before down_proj */
    const double columns = 256.0 * (weights - 768 * 256) + 768.0 * 768 * 256;
    const double grams = 30.0 * (3 * 256 * 256 + 768 * 768);
    const double factors = (3 * 256.0 * 256 * 256 + 768.0 * 768 * 768) * 2 / 3;
    const double whole = 2 * 30 * weights + pairs;
    /* Of awq: 20 exponents and the original through attention for q, k, v, through the MLP for gate
     * and up; o_proj and down_proj by themselves (o_proj is not as v_proj is, and is left out); 10
     * clips of all linears but q and k, in groups of 64. */
    const double modules = 21 * whole, alone = 20 * 768.0 * 256 * 769;
    const double clipped = weights - 256 * (256 + 128);
    const double clips = 30 * 64 * (256.0 + 256 + 2 * 256 + 768) + 2 * 10 * clipped * 64;
    const double searched = weights - 256 * 256;
    /* Set by set: to the input of q, k, v, before any linear; of o_proj, of gate and up, of
     * down. */
    const double true_passes = (2 * 30 * 256.0 * (256 + 128 + 128) + pairs) +
                               (2 * 30 * attention + pairs) + (whole - down);
    const struct {
        const char *chain, *settings;
        double flops, weights;
    } cases[] = {
        {"rtn", "bits=4", 0, weights},
        {"gptq", "bits=4", columns, weights},
        {"gptq", "bits=4 true_sequential=true", columns + grams + factors + true_passes, weights},
        {"smoothquant", "bits=8", 0, weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"outliers", "bits=4", 0, weights + weights - 256 * 256 - 768 * 256},
        {"outliers", "bits=4 factor=1", 0, weights},
        {"awq", "bits=4 group_size=64 clip=false", modules + alone, 21 * searched + weights},
        {"awq", "bits=4 group_size=64 scale=false", clips, 11 * clipped + weights},
        {"smoothquant gptq", "bits=4", columns + grams + factors + whole - down,
         weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"smoothquant gptq", "bits=4 a.bits=8 a.sharing=static calibrate_on=unquantized",
         columns + grams + factors + whole - down, weights + 2 * (weights - 256 * 256 - 768 * 256)},
        {"rtn", "bits=8 a.bits=8 a.sharing=static grid=smoothquant", 0, weights},
        {"smoothquant", "bits=8 a.bits=8 a.sharing=static", whole - down,
         weights + 2 * (weights - 256 * 256 - 768 * 256)},
    };
    struct bs_windows calibration = windows_of(3, 10), text = windows_of(2, 20);
    struct bs_walk walk = {
        .model = model, .calibration = &calibration, .num_texts = 1, .texts = &text};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_recipe recipe;
        recipe_build(&recipe, cases[k].chain, cases[k].settings);
        struct bs_cost cost = bs_walk_own_cost(&walk, &recipe);
        assert_close(cost.flops, cases[k].flops, 0, 1e-12);
        assert_close(cost.weights, cases[k].weights, 0, 1e-12);
        bs_recipe_release(&recipe);
    }
    bs_windows_release(&calibration);
    bs_windows_release(&text);
}

/* Every registered algorithm: more calibration is no less work, and no calibration none of
 * products, but of what turns the model: that works on every token. */
static void own_work_grows_with_calibration(void **state)
{
    (void)state;
    struct bs_windows few = windows_of(2, 16), more = windows_of(5, 16), text = windows_of(2, 20);
    for (int k = 0; bs_algorithm_at(k); k++) {
        struct bs_walk walk = {.model = model, .num_texts = 1, .texts = &text};
        struct bs_recipe recipe;
        recipe_build(&recipe, bs_algorithm_at(k)->plugin.name, "bits=4 group_size=64");
        bool calibrates = bs_recipe_needs_calibration(&recipe);
        bool turns = bs_algorithm_at(k)->prepare_model;
        if (!calibrates) {
            struct bs_cost none = bs_walk_own_cost(&walk, &recipe);
            assert_true((none.flops > 0) == turns && none.weights > 0);
        }
        walk.calibration = &few;
        struct bs_cost least = bs_walk_own_cost(&walk, &recipe);
        const struct bs_recipe *one = &recipe;
        double common = bs_walk_common(&walk, &one, 1).flops;
        walk.calibration = &more;
        struct bs_cost most = bs_walk_own_cost(&walk, &recipe);
        assert_true(least.weights > 0 && most.weights == least.weights);
        assert_true(most.flops >= least.flops && (calibrates || turns || most.flops == 0));
        if (calibrates)
            assert_true(most.flops + bs_walk_common(&walk, &one, 1).flops > least.flops + common);
        bs_recipe_release(&recipe);
    }
    bs_windows_release(&few);
    bs_windows_release(&more);
    bs_windows_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flops_by_hand),
        cmocka_unit_test(common_work_by_hand),
        cmocka_unit_test(own_work_by_hand),
        cmocka_unit_test(own_work_grows_with_calibration),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
