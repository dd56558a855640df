/* One recipe at one block: which statistics each step gets, and what is left of the block. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/run/apply.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"
#include "tests/support/small_block.h"

static struct random_block other; /* only its inputs are used */
static struct bs_block got, want;

static int setup(void **state)
{
    int status = small_block_setup(state);
    struct random_shape shape = small_shape;
    shape.seed = 99;
    random_block_init(&other, &shape);
    return status;
}

static int teardown(void **state)
{
    bs_block_release(&got);
    bs_block_release(&want);
    random_block_release(&other);
    return small_block_teardown(state);
}

/* `got` is the block under the recipe, where stream 0 is random_'s and the recipe's own is `own`.
 */
static void quantize(const struct bs_recipe *recipe, const struct bs_stream *own,
                     struct bs_statistics *shared)
{
    struct bs_error err;
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = own,
                               .shared = shared,
                               .scratch = random_.scratch};
    assert_int_equal(bs_block_copy(&got, &random_.block, &err), BS_OK);
    if (bs_apply_recipe(recipe, &got, &inputs, &err))
        fail_msg("%s", err.message);
}

static struct bs_statistics statistics_of(const struct bs_block *block,
                                          const struct bs_stream *inputs,
                                          const struct bs_statistic *statistic)
{
    struct bs_error err;
    struct bs_statistics statistics;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, statistic, BS_EVERY_SITE, 0);
    assert_int_equal(bs_calibrate(block, random_.rope, inputs, NULL, &wanted, &statistics, NULL,
                                  random_.scratch, &err),
                     BS_OK);
    bs_wanted_release(&wanted);
    return statistics;
}

static int input(int k) { return random_block_input(&random_, k); }

static int site_called(const char *name)
{
    return bs_program_find(&random_.architecture.programs[0], name);
}

/* Rounds the linears of `want` that read the k-th input by the recipe's last step, decoded weights
 * in place. */
static void round_set(const struct bs_recipe *recipe, struct bs_statistics *statistics, int k)
{
    struct bs_error err;
    const struct bs_choice *step = &recipe->steps[recipe->num_steps - 1];
    struct bs_job job = random_block_job(&random_, &want, statistics, &recipe->weights);
    int slots[BS_MAX_SLOTS];
    int count = bs_program_readers(&random_.architecture.programs[0], input(k), slots);
    for (int i = 0; i < count; i++) {
        struct bs_linear *linear = &want.linears[slots[i]];
        assert_int_equal(bs_algorithm_of(step)->quantize(step->options, &job, slots[i], &err),
                         BS_OK);
        bs_codes_decode(&linear->codes, linear->weight);
    }
}

/* Rounds every set of `want` with one set of statistics of it as it is, on these inputs. */
static void round_block(const struct bs_recipe *recipe, const struct bs_stream *inputs)
{
    struct bs_statistics statistics = statistics_of(&want, inputs, &bs_stat_hessian);
    for (int s = 0; s < 4; s++)
        round_set(recipe, &statistics, s);
    bs_statistics_release(&statistics);
}

static void gptq_calibrates_on_its_own_inputs_unless_told_otherwise(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe own, unquantized;
    recipe_build(&own, "gptq", "bits=3");
    recipe_build(&unquantized, "gptq", "bits=3");
    unquantized.calibrate_on = BS_ON_UNQUANTIZED;
    quantize(&own, &other.inputs, NULL);
    assert_int_equal(bs_block_copy(&want, &random_.block, &err), BS_OK);
    round_block(&own, &other.inputs);
    assert_true(same_block(&got, &want));
    quantize(&unquantized, &other.inputs, NULL);
    assert_false(same_block(&got, &want));
    assert_int_equal(bs_block_copy(&want, &random_.block, &err), BS_OK);
    round_block(&unquantized, &random_.inputs);
    assert_true(same_block(&got, &want));
    assert_true(bs_apply_uses_own(&own) && !bs_apply_uses_unquantized(&own));
    assert_true(!bs_apply_uses_own(&unquantized) && bs_apply_uses_unquantized(&unquantized));
    bs_recipe_release(&own);
    bs_recipe_release(&unquantized);
}

static void true_sequential_takes_each_hessian_after_the_sets_before(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe, plain;
    recipe_build(&recipe, "gptq", "bits=3 true_sequential=true");
    recipe_build(&plain, "gptq", "bits=3");
    quantize(&recipe, &random_.inputs, NULL);
    assert_int_equal(bs_block_copy(&want, &random_.block, &err), BS_OK);
    for (int s = 0; s < 4; s++) {
        /* All statistics anew, of the block as far as it is quantized. */
        struct bs_statistics statistics = statistics_of(&want, &random_.inputs, &bs_stat_hessian);
        round_set(&plain, &statistics, s);
        bs_statistics_release(&statistics);
    }
    assert_true(same_block(&got, &want));
    quantize(&plain, &random_.inputs, NULL);
    assert_false(same_block(&got, &want));
    bs_recipe_release(&recipe);
    bs_recipe_release(&plain);
}

static void a_step_sees_the_block_as_the_one_before_left_it(void **state)
{
    (void)state;
    struct bs_recipe chain, smooth;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    recipe_build(&chain, "smoothquant gptq", "bits=4");
    recipe_build(&smooth, "smoothquant", "bits=4");
    random_block_prepare(&random_, &smooth, &want);
    round_block(&chain, &random_.inputs);
    quantize(&chain, &random_.inputs, NULL);
    assert_true(same_block(&got, &want));
    /* Statistics of the original block that others share serve the first step only. */
    bs_want(&wanted, &bs_stat_hessian, BS_EVERY_SITE, 0);
    bs_want(&wanted, &bs_stat_absmax, BS_EVERY_SITE, 0);
    struct bs_statistics shared = random_block_statistics(&random_, &wanted);
    bs_wanted_release(&wanted);
    quantize(&chain, &random_.inputs, &shared);
    assert_true(same_block(&got, &want));
    bs_statistics_release(&shared);
    bs_recipe_release(&chain);
    bs_recipe_release(&smooth);
}

static void shared_statistics_give_what_own_ones_give(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"gptq", "bits=3"},
                                           {"gptq", "bits=4 group_size=16"}, /* by its factors */
                                           {"awq", "bits=3 group_size=16 clip_tokens=50"},
                                           /* by the outputs of modules that it has left */
                                           {"awq", "bits=4 group_size=8 clip_tokens=50"},
                                           {"awq", "bits=3 group_size=16 clip_tokens=20"},
                                           {"smoothquant", "bits=8"}};
    enum { CASES = sizeof cases / sizeof *cases };
    struct bs_recipe recipes[CASES];
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    for (size_t k = 0; k < CASES; k++) {
        recipe_build(&recipes[k], cases[k][0], cases[k][1]);
        bs_apply_share(&recipes[k], &wanted);
    }
    struct bs_statistics shared = random_block_statistics(&random_, &wanted);
    bs_wanted_release(&wanted);
    for (size_t k = 0; k < CASES; k++) {
        struct bs_error err;
        quantize(&recipes[k], &random_.inputs, NULL);
        assert_int_equal(bs_block_copy(&want, &got, &err), BS_OK);
        quantize(&recipes[k], &random_.inputs, &shared);
        for (int r = 0; r < NUM_SLOTS; r++) {
            size_t count = (size_t)(got.linears[r].out_features * got.linears[r].in_features);
            assert_memory_equal(got.linears[r].weight, want.linears[r].weight,
                                count * sizeof(float));
        }
        bs_recipe_release(&recipes[k]);
    }
    for (int k = 0; k < 4; k += 2) /* outputs of attention and MLP */
        assert_non_null(bs_statistics_at(&shared, &bs_stat_inputs, input(k), 0)->derived);
    for (int k = 0; k < 4; k++) { /* one factor */
        const struct bs_derived *factor =
            bs_statistics_at(&shared, &bs_stat_hessian, input(k), 0)->derived;
        assert_true(factor && !factor->next);
    }
    bs_statistics_release(&shared);
}

static bool wants(const struct bs_wanted *wanted, const struct bs_statistic *statistic)
{
    bool any = false;
    for (int i = 0; i < wanted->count; i++)
        any |= wanted->wishes[i].statistic == statistic;
    return any;
}

static void only_statistics_of_the_original_block_are_shared(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        bool first, hessian, absmax;
    } cases[] = {
        {"gptq", "bits=4", true, true, false},
        {"gptq", "bits=4", false, false, false}, /* from its own inputs */
        {"gptq", "bits=4 true_sequential=true", true, false, false},
        {"smoothquant gptq", "bits=4", true, false, true}, /* gptq sees a smoothed block */
        {"smoothquant gptq", "bits=4", false, false, true},
        {"outliers smoothquant", "bits=4", true, false, false},
        {"rtn", "bits=4", true, false, false},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_recipe recipe;
        struct bs_wanted wanted = {.architecture = &random_.architecture,
                                   .layer = cases[k].first ? 0 : 1};
        recipe_build(&recipe, cases[k].chain, cases[k].settings);
        bs_apply_share(&recipe, &wanted);
        assert_int_equal(wants(&wanted, &bs_stat_hessian), cases[k].hessian);
        assert_int_equal(wants(&wanted, &bs_stat_absmax), cases[k].absmax);
        bs_wanted_release(&wanted);
        bs_recipe_release(&recipe);
    }
}

/* Wishes for the statistic itself; with NULL, for what is made of any. */
static int count_of(const struct bs_wanted *wanted, const struct bs_statistic *statistic)
{
    int count = 0;
    for (int i = 0; i < wanted->count; i++) {
        const struct bs_wish *wish = &wanted->wishes[i];
        count += statistic ? !wish->derivation && wish->statistic == statistic : !!wish->derivation;
    }
    return count;
}

/* Sites at which nothing is rounded are not looked at, and nothing is worked out there: with no
 * more than was asked for, hooks find all that they look up. SmoothQuant acts on norms' outputs
 * whatever becomes of the weights. */
static void only_where_weights_are_rounded_is_anything_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *settings;
        int hessian, absmean, samples, inputs, absmax, derived, passes;
    } cases[] = {
        {"gptq", "bits=4", 4, 0, 0, 0, 0, 4, 0},
        {"gptq", "bits=4 @*.q_proj bits=16", 4, 0, 0, 0, 0, 4, 0}, /* k and v are */
        {"gptq", "bits=4 @*.down_proj bits=16 @*.o_proj bits=16", 2, 0, 0, 0, 0, 2, 0},
        {"gptq", "bits=4 @* bits=16", 0, 0, 0, 0, 0, 0, 0},
        {"gptq", "bits=4 @layer.1.* bits=16", 4, 0, 0, 0, 0, 4, 0}, /* this is layer 0 */
        {"gptq", "bits=4 true_sequential=true", 0, 0, 0, 0, 0, 0, 4},
        {"gptq", "bits=4 true_sequential=true @*.o_proj bits=16", 0, 0, 0, 0, 0, 0, 3},
        {"awq", "bits=4", 1, 3, 4, 2, 0, 2, 0},
        {"awq", "bits=4 @*.down_proj bits=16", 0, 2, 3, 2, 0, 2, 0},
        {"awq", "bits=4 @*.gate_proj bits=16 @*.up_proj bits=16", 1, 2, 3, 1, 0, 1, 0},
        {"awq", "bits=4 @*.v_proj bits=16", 1, 3, 3, 2, 0, 2, 0}, /* q, k are not clipped */
        {"awq", "bits=4 @* bits=16", 0, 0, 0, 0, 0, 0, 0},
        {"awq gptq", "bits=4 @*.down_proj bits=16", 0, 2, 3, 2, 0, 2, 1},
        {"smoothquant", "bits=8 a.bits=8", 0, 0, 0, 0, 2, 0, 0},
        {"smoothquant", "bits=16 a.bits=8", 0, 0, 0, 0, 2, 0, 0},
        {"smoothquant", "bits=8 a.bits=8 @*.gate_proj bits=16 @*.up_proj bits=16", 0, 0, 0, 0, 2, 0,
         0},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct bs_recipe recipe;
        struct bs_own_passes passes;
        struct bs_wanted wanted = {.architecture = &random_.architecture};
        recipe_build(&recipe, cases[k].chain, cases[k].settings);
        bs_apply_share(&recipe, &wanted);
        assert_int_equal(count_of(&wanted, &bs_stat_hessian), cases[k].hessian);
        assert_int_equal(count_of(&wanted, &bs_stat_absmean), cases[k].absmean);
        assert_int_equal(count_of(&wanted, &bs_stat_samples), cases[k].samples);
        assert_int_equal(count_of(&wanted, &bs_stat_inputs), cases[k].inputs);
        assert_int_equal(count_of(&wanted, &bs_stat_absmax), cases[k].absmax);
        assert_int_equal(count_of(&wanted, NULL), cases[k].derived);
        bs_apply_own_passes(&recipe, &random_.architecture, 0, &passes);
        assert_int_equal(passes.count, cases[k].passes);
        for (int i = 0; i < passes.count; i++)
            assert_true(bs_wanted_any(&passes.wanted[i]));
        bs_own_passes_release(&passes);
        struct bs_statistics shared = random_block_statistics(&random_, &wanted);
        quantize(&recipe, &random_.inputs, &shared);
        bs_statistics_release(&shared);
        bs_wanted_release(&wanted);
        bs_recipe_release(&recipe);
    }
}

/* Where a site's weights stay as they are, AWQ leaves the numbers before it as they are too. */
static void a_site_without_rounding_is_not_scaled(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    size_t bytes = 0;
    for (int k = 0; k < 2; k++) {
        recipe_build(&recipe, "awq",
                     k ? "bits=4 clip=false"
                       : "bits=4 clip=false @*_proj bits=16 @*.o_proj bits=4");
        quantize(&recipe, &random_.inputs, NULL);
        bytes = (size_t)got.linears[5].out_features * (size_t)got.linears[5].in_features * 4;
        assert_string_equal(got.linears[5].name, "mlp.up_proj");
        bool same = !memcmp(got.linears[5].weight, random_.block.linears[5].weight, bytes);
        assert_int_equal(same, k == 0);
        bs_recipe_release(&recipe);
    }
}

static void a_chain_without_rounding_rounds_to_nearest(void **state)
{
    (void)state;
    struct bs_recipe recipe;
    recipe_build(&recipe, "outliers", "bits=4 group_size=16");
    random_block_prepare(&random_, &recipe, &want);
    quantize(&recipe, &random_.inputs, NULL);
    for (int r = 0; r < NUM_SLOTS; r++) {
        struct bs_linear *linear = &want.linears[r];
        round_matrix(&recipe.weights, linear->weight, linear->out_features, linear->in_features);
        assert_non_null(got.linears[r].codes.codes);
        for (int i = 0; i < linear->out_features * linear->in_features; i++)
            assert_true(got.linears[r].weight[i] == linear->weight[i]);
    }
    bs_recipe_release(&recipe);
}

static void static_scales_span_the_unquantized_inputs_of_the_prepared_block(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    static const char *const names[] = {"attn_input", "o_input", "mlp_input", "down_input",
                                        "q",          "k",       "v"};
    enum { NAMES = sizeof names / sizeof *names };
    struct bs_statistics ranges;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    recipe_build(&recipe, "smoothquant",
                 "bits=4 a.bits=8 a.sharing=static a.symmetric=false a.grid=gptq "
                 "a.where=inputs,qkv");
    random_block_prepare(&random_, &recipe, &want);
    for (size_t i = 0; i < NAMES; i++)
        bs_want(&wanted, &bs_stat_extremes, site_called(names[i]), 0);
    assert_int_equal(bs_calibrate(&want, random_.rope, &random_.inputs, NULL, &wanted, &ranges,
                                  NULL, random_.scratch, &err),
                     BS_OK);
    bs_wanted_release(&wanted);
    quantize(&recipe, &other.inputs, NULL);
    for (size_t i = 0; i < NAMES; i++) {
        int site = site_called(names[i]);
        const struct bs_extremes *e = bs_statistics_of(&ranges, &bs_stat_extremes, site);
        struct bs_fixed fixed;
        memset(&fixed, 0, sizeof fixed);
        bs_values_fix(&recipe.activations, 40, e->low, e->high, &fixed);
        assert_memory_equal(&got.sites[site].fixed, &fixed, sizeof fixed);
        assert_ptr_equal(got.sites[site].setting, &recipe.activations);
    }
    bs_statistics_release(&ranges);
    assert_true(bs_apply_uses_unquantized(&recipe));
    bs_recipe_release(&recipe);
}

/* What places get is all that matters, not which rule says it; what no rule rounds is as it was. */
static void a_place_gets_what_the_last_rule_says(void **state)
{
    (void)state;
    static const char *const chains[] = {"rtn", "gptq", "awq gptq", "smoothquant"};
    struct bs_recipe plain, ruled, part;
    for (size_t i = 0; i < sizeof chains / sizeof *chains; i++) {
        recipe_build(&plain, chains[i], "bits=3 group_size=8");
        recipe_build(&ruled, chains[i], "bits=8 group_size=8 @* bits=5 @layer.*.*_proj bits=3");
        recipe_build(&part, chains[i], "bits=3 group_size=8 @*.q_proj bits=16 @*.v_proj bits=6");
        quantize(&plain, &random_.inputs, NULL);
        const struct bs_block swapped = want; /* a copy has no codes */
        want = got;
        got = swapped;
        quantize(&ruled, &random_.inputs, NULL);
        assert_true(same_block(&got, &want));
        quantize(&part, &random_.inputs, NULL);
        assert_null(got.linears[0].codes.codes);
        assert_string_equal(got.linears[2].name, "self_attn.v_proj");
        assert_int_equal(got.linears[2].codes.layout.code_bits, 6);
        assert_int_equal(got.linears[3].codes.layout.code_bits, 3);
        assert_false(same_block(&got, &want));
        bs_recipe_release(&plain);
        bs_recipe_release(&ruled);
        bs_recipe_release(&part);
    }
    recipe_build(&part, "rtn", "@*.o_proj bits=4");
    quantize(&part, &random_.inputs, NULL);
    for (int s = 0; s < random_.architecture.programs[0].num_slots; s++)
        assert_int_equal(got.linears[s].codes.codes != NULL,
                         !strcmp(got.linears[s].name, "self_attn.o_proj"));
    bs_recipe_release(&part);
}

static void an_error_says_which_step_or_linear(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .scratch = random_.scratch};
    recipe_build(&recipe, "outliers", "bits=4 channels=41");
    assert_int_equal(bs_block_copy(&got, &random_.block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(&recipe, &got, &inputs, &err), BS_ECONFIG);
    assert_ptr_equal(strstr(err.message, "outliers: "), err.message);
    bs_recipe_release(&recipe);
    /* A Hessian of nothing but negative squares has no factor at any damping. */
    struct bs_statistics statistics =
        statistics_of(&random_.block, &random_.inputs, &bs_stat_hessian);
    float *hessian = bs_statistics_at(&statistics, &bs_stat_hessian, input(2), 0)->data;
    for (int i = 0; i < 40 * 40; i++)
        hessian[i] *= -1;
    inputs.shared = &statistics;
    recipe_build(&recipe, "gptq", "bits=4");
    assert_int_equal(bs_block_copy(&got, &random_.block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(&recipe, &got, &inputs, &err), BS_ENUMERIC);
    assert_ptr_equal(strstr(err.message, "mlp.gate_proj: "), err.message);
    bs_statistics_release(&statistics);
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gptq_calibrates_on_its_own_inputs_unless_told_otherwise),
        cmocka_unit_test(true_sequential_takes_each_hessian_after_the_sets_before),
        cmocka_unit_test(a_step_sees_the_block_as_the_one_before_left_it),
        cmocka_unit_test(shared_statistics_give_what_own_ones_give),
        cmocka_unit_test(only_statistics_of_the_original_block_are_shared),
        cmocka_unit_test(only_where_weights_are_rounded_is_anything_asked_for),
        cmocka_unit_test(a_site_without_rounding_is_not_scaled),
        cmocka_unit_test(a_chain_without_rounding_rounds_to_nearest),
        cmocka_unit_test(static_scales_span_the_unquantized_inputs_of_the_prepared_block),
        cmocka_unit_test(a_place_gets_what_the_last_rule_says),
        cmocka_unit_test(an_error_says_which_step_or_linear),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
