/* Experts: where tokens go, what calibration sees of them, and one that no token reaches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/model/experts.h"
#include "eval/run/apply.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

static void tokens_go_to_the_largest(void **state)
{
    (void)state;
    const float products[5] = {1, 3, 2, 3, -1}; /* exp: 2.718 20.09 7.389 20.09 0.3679 */
    struct bs_experts experts = {.count = 5, .per_token = 3, .normed = true};
    float weights[5];
    bs_experts_route(&experts, NULL, products, weights);
    assert_close((double)weights[1], 20.0855 / 47.5601, 1e-5, 0);
    assert_close((double)weights[2], 7.38906 / 47.5601, 1e-5, 0);
    assert_true(weights[0] == -1 && weights[4] == -1 && weights[3] == weights[1]);
    experts.normed = false;
    bs_experts_route(&experts, NULL, products, weights);
    assert_close((double)weights[1], 20.0855 / 50.6463, 1e-5, 0);
    experts.routing = BS_ROUTE_SOFTMAX_CHOSEN;
    experts.per_token = 1; /* the first of equals */
    bs_experts_route(&experts, NULL, products, weights);
    assert_true(weights[1] == 1 && weights[3] == -1);
}

static void sigmoids_are_chosen_with_a_correction(void **state)
{
    (void)state;
    const float products[6] = {0, 2, -1, 1, 3, -2};
    const float correction[6] = {0.6f, 0,     0,
                                 0,    -0.9f, 0}; /* sigmoid: .5 .881 .269 .731 .953 .119 */
    struct bs_experts experts = {.count = 6, .per_token = 2, .routing = BS_ROUTE_SIGMOID};
    float weights[6];
    bs_experts_route(&experts, correction, products, weights);
    assert_close((double)weights[0], 0.5, 1e-6, 0);
    assert_close((double)weights[1], 0.880797, 1e-5, 0);
    assert_true(weights[4] == -1);
    experts.normed = true;
    experts.scale = 2.5f;
    bs_experts_route(&experts, correction, products, weights);
    assert_close((double)weights[0], 2.5 * 0.5 / 1.380797, 1e-5, 0);
    /* Groups of two by the sum of theirs: 1.1 + .881, .269 + .731, .053 + .119. */
    experts = (struct bs_experts){.count = 6,
                                  .per_token = 2,
                                  .routing = BS_ROUTE_SIGMOID,
                                  .groups = 3,
                                  .groups_per_token = 1};
    const float none[6] = {0}; /* .5 + .881 is more than .953 + .119 */
    bs_experts_route(&experts, none, products, weights);
    assert_true(weights[0] > 0 && weights[1] > 0 && weights[4] == -1);
    /* By the largest: 2, 1, 3. */
    experts.routing = BS_ROUTE_SOFTMAX;
    bs_experts_route(&experts, NULL, products, weights);
    assert_true(weights[4] > 0 && weights[5] > 0 && weights[1] == -1);
}

/* Also where all that experts are chosen by is negative. */
static void a_constant_in_all_corrections_changes_nothing(void **state)
{
    (void)state;
    const float products[6] = {0, 2, -1, 1, 3, -2};
    const float constants[] = {0, -4, 4};
    struct bs_experts experts = {.count = 6,
                                 .per_token = 2,
                                 .routing = BS_ROUTE_SIGMOID,
                                 .groups = 3,
                                 .groups_per_token = 1};
    for (int c = 0; c < 3; c++) {
        float correction[6], weights[6];
        for (int i = 0; i < 6; i++)
            correction[i] = constants[c];
        bs_experts_route(&experts, correction, products, weights);
        assert_close((double)weights[0], 0.5, 1e-6, 0);
        assert_close((double)weights[1], 0.880797, 1e-5, 0);
        for (int i = 2; i < 6; i++)
            assert_true(weights[i] == -1);
    }
}

/* Float32 has no number between their sigmoids. */
static void large_products_are_told_apart(void **state)
{
    (void)state;
    const float products[2] = {20, 30};
    struct bs_experts experts = {.count = 2, .per_token = 1, .routing = BS_ROUTE_SIGMOID};
    float weights[2];
    bs_experts_route(&experts, NULL, products, weights);
    assert_true(weights[0] == -1 && weights[1] == 1);
}

/* The block as a recipe leaves it; bs_block_release. */
static struct bs_block applied(const struct random_block *random, const char *chain)
{
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_block block = {.architecture = NULL};
    struct bs_inputs inputs = {.rope = random->rope,
                               .unquantized = &random->inputs,
                               .quantized = &random->inputs,
                               .scratch = random->scratch};
    recipe_build(&recipe, chain, "bits=3 group_size=8");
    assert_int_equal(bs_block_copy(&block, &random->block, &err), BS_OK);
    if (bs_apply_recipe(&recipe, &block, &inputs, &err))
        fail_msg("%s: %s", chain, err.message);
    bs_recipe_release(&recipe);
    return block;
}

static void an_expert_is_calibrated_on_its_own_tokens(void **state)
{
    (void)state;
    static struct random_block random;
    random_block_init(&random, &expert_shape);
    struct bs_block gptq = applied(&random, "gptq"), rtn = applied(&random, "rtn");
    double rows = 0;
    for (int s = 0; s < gptq.program->num_slots; s++) {
        const struct bs_slot *slot = &gptq.program->slots[s];
        const struct bs_linear *linear = &gptq.linears[s];
        size_t bytes = (size_t)slot->out * (size_t)slot->in * sizeof(float);
        bool unreached = slot->expert == UNREACHED;
        if (slot->routes) {
            assert_null(linear->codes.codes);
            continue;
        }
        assert_true(linear->fallback == unreached && (linear->rows == 0) == unreached);
        assert_true(!memcmp(linear->weight, rtn.linears[s].weight, bytes) == unreached);
        rows += slot->expert >= 0 && !strcmp(slot->role, "down") ? linear->rows : 0;
    }
    assert_true(rows == expert_shape.windows * expert_shape.tokens * expert_shape.per_token);
    bs_block_release(&gptq);
    bs_block_release(&rtn);
    random_block_release(&random);
}

static void a_factor_for_all_experts_keeps_the_function(void **state)
{
    (void)state;
    static struct random_block random;
    struct bs_error err;
    struct bs_block folded = {.architecture = NULL};
    float scale[64];
    random_block_init(&random, &expert_shape);
    int site = bs_program_find(random.block.program, "mlp_input");
    for (int j = 0; j < 64; j++)
        scale[j] = j % 3 ? 2.0f : 0.25f;
    assert_int_equal(bs_block_copy(&folded, &random.block, &err), BS_OK);
    assert_int_equal(bs_block_fold(&folded, site, scale, &err), BS_OK);
    assert_true(outputs_apart(&random, &random.block, &folded) < 1e-5);
    bs_block_release(&folded);
    random_block_release(&random);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_go_to_the_largest),
        cmocka_unit_test(sigmoids_are_chosen_with_a_correction),
        cmocka_unit_test(a_constant_in_all_corrections_changes_nothing),
        cmocka_unit_test(large_products_are_told_apart),
        cmocka_unit_test(an_expert_is_calibrated_on_its_own_tokens),
        cmocka_unit_test(a_factor_for_all_experts_keeps_the_function),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
