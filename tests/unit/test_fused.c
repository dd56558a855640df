/* Scales above those of blocks that matrices which inference fuses have together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "eval/recipe/assign.h"
#include "eval/run/apply.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

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

static void apply(const char *settings, struct bs_recipe *recipe, struct bs_block *block)
{
    struct bs_error err;
    struct bs_inputs inputs = {.rope = random_.rope, .scratch = random_.scratch};
    recipe_build(recipe, "rtn", settings);
    if (bs_block_copy(block, &random_.block, &err) || bs_apply_recipe(recipe, block, &inputs, &err))
        fail_msg("%s", err.message);
}

/* The scale of a whole matrix. */
static float scale_of(const struct bs_block *block, int slot)
{
    float scale;
    memcpy(&scale, block->linears[slot].codes.shared.bytes, sizeof scale);
    return scale;
}

static bool are_of(const char *set, const char *role)
{
    const char *at = strstr(set, role);
    return at && (at == set || at[-1] == ' ');
}

/* Of q, k and v the least of their inverse scales, as llm-compressor takes the minimum of its
 * weight_global_scale; of gate and up the same; o and down have their own. */
static void fused_matrices_have_the_scale_of_the_largest(void **state)
{
    (void)state;
    static const char *const sets[] = {"q k v", "gate up", "o", "down"};
    struct bs_recipe own_recipe, fused_recipe;
    struct bs_block own = {.architecture = NULL}, fused = {.architecture = NULL};
    const struct bs_program *p = &random_.architecture.programs[0];
    for (int s = 0; s < p->num_slots; s++) /* no two have one largest value */
        random_.block.linears[s].weight[5] = 3 + (float)((3 * s + 2) % p->num_slots);
    apply("format=nvfp4 scale_rule=compressed_tensors", &own_recipe, &own);
    apply("format=nvfp4 scale_rule=compressed_tensors fused=true", &fused_recipe, &fused);
    int changed = 0;
    for (int s = 0; s < p->num_slots; s++) {
        float least = scale_of(&own, s);
        for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
            for (int t = 0; are_of(sets[k], p->slots[s].role) && t < p->num_slots; t++)
                if (are_of(sets[k], p->slots[t].role) && scale_of(&own, t) < least)
                    least = scale_of(&own, t);
        assert_true(scale_of(&fused, s) == least);
        changed += scale_of(&own, s) != least;
    }
    assert_in_range(changed, 2, 3);
    bs_block_release(&own);
    bs_block_release(&fused);
    bs_recipe_release(&own_recipe);
    bs_recipe_release(&fused_recipe);
}

static void what_has_one_scale_has_one_setting(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_recipe recipe;
    struct bs_rule *added;
    const struct bs_rule *rule;
    const struct bs_program *p = &random_.architecture.programs[0];
    recipe_build(&recipe, "rtn", "format=nvfp4 fused=true");
    assert_int_equal(bs_recipe_check_places(&recipe, &random_.architecture, &rule, &err), BS_OK);
    struct bs_setting none;
    bs_setting_init(&none);
    const char *name = p->slots[bs_program_slot(p, "k")].name;
    assert_int_equal(bs_recipe_add_rule(&recipe, BS_FOR_WEIGHTS, name, &none, &added, &err), BS_OK);
    assert_int_equal(bs_recipe_check_places(&recipe, &random_.architecture, &rule, &err),
                     BS_ECONFIG);
    assert_non_null(strstr(err.message, "are one tensor where they are fused"));
    bs_recipe_release(&recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_matrices_have_the_scale_of_the_largest),
        cmocka_unit_test(what_has_one_scale_has_one_setting),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
