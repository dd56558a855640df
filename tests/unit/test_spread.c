/* Recipes for one place at a time, over the places of models of several kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/recipe/assign.h"
#include "eval/run/spread.h"
#include "tests/support/recipes.h"

static struct bs_architecture read_model(const char *model_type)
{
    struct bs_architecture a;
    struct bs_error err;
    struct bs_remarks remarks = {.notices = {.count = 0}};
    char directory[128];
    snprintf(directory, sizeof directory, "tests/golden/families/%s", model_type);
    if (bs_architecture_read(directory, NULL, &a, &remarks, &err))
        fail_msg("%s", err.message);
    bs_remarks_release(&remarks);
    return a;
}

/* Checks the places of a model, a line each. */
static void assert_places(const char *model_type, int places, const char *settings,
                          const char *want)
{
    struct bs_architecture a = read_model(model_type);
    struct bs_spread_config spread = {.places = places};
    struct bs_spread_places found;
    struct bs_error err;
    char got[16384] = "";
    recipe_build(&spread.recipe, "rtn", settings);
    assert_int_equal(bs_spread_list(&spread, &a, &found, &err), BS_OK);
    for (int i = 0; i < found.count; i++) {
        const struct bs_rule *rule;
        struct bs_recipe recipe;
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s\n", found.list[i].where);
        assert_int_equal(bs_spread_recipe(&spread, &found.list[i], &recipe, &err), BS_OK);
        if (bs_recipe_check_places(&recipe, &a, &rule, &err))
            fail_msg("%s: %s", found.list[i].where, err.message);
        bs_recipe_release(&recipe);
    }
    if (strstr(got, want) != got)
        fail_msg("got\n%swant\n%s", got, want);
    bs_spread_release(&found);
    bs_recipe_release(&spread.recipe);
}

static void test_places(void **state)
{
    (void)state;
    assert_places("llama", BS_OVER_LINEARS, "bits=4",
                  "layer[0].self_attn.q_proj\nlayer[0].self_attn.k_proj\n"
                  "layer[0].self_attn.v_proj\nlayer[0].self_attn.o_proj\n"
                  "layer[0].mlp.gate_proj\nlayer[0].mlp.up_proj\nlayer[0].mlp.down_proj\n"
                  "layer[1].self_attn.q_proj\n");
    assert_places("llama", BS_OVER_FUSED, "bits=4",
                  "layer[0].self_attn.q_proj layer[0].self_attn.k_proj layer[0].self_attn.v_proj\n"
                  "layer[0].self_attn.o_proj\n"
                  "layer[0].mlp.gate_proj layer[0].mlp.up_proj\nlayer[0].mlp.down_proj\n"
                  "layer[1].self_attn.q_proj layer[1].self_attn.k_proj");
    assert_places("llama", BS_OVER_BLOCKS, "bits=4", "layer[0].*\nlayer[1].*\n");
    assert_places("llama", BS_OVER_ROLES, "bits=4",
                  "self_attn.q_proj\nself_attn.k_proj\nself_attn.v_proj\nself_attn.o_proj\n"
                  "mlp.gate_proj\nmlp.up_proj\nmlp.down_proj\n");
}

/* Linears of one tensor that share a scale are one place, whatever is asked for. */
static void test_shared_scales(void **state)
{
    (void)state;
    assert_places("phi3", BS_OVER_LINEARS, "bits=4 group_size=tensor",
                  "layer[0].self_attn.qkv_proj.q layer[0].self_attn.qkv_proj.k "
                  "layer[0].self_attn.qkv_proj.v\n"
                  "layer[0].self_attn.o_proj\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_shared_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
