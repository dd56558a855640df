/* The program of latent attention, of layers with experts and without, by the sizes of the tiny
 * DeepSeek-V3 of tests/golden/families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/families.h"

enum { HIDDEN = 12, HEADS = 3, QUERY = 10, NARROW = 8, PLAIN = 6, TURNED = 4, VALUE = 5 };

static struct bs_architecture read_golden(void)
{
    struct bs_architecture a;
    struct bs_error err;
    if (bs_architecture_read(FAMILIES "deepseek_v3", NULL, &a, NULL, &err))
        fail_msg("%s", err.message);
    return a;
}

static int width_of(const struct bs_program *p, const char *site)
{
    int value = bs_program_find(p, site);
    assert_true(value > 0);
    return p->values[value].width;
}

static void keys_are_made_of_a_narrow_vector(void **state)
{
    (void)state;
    struct bs_architecture a = read_golden();
    for (int l = 0; l < a.num_layers; l++) {
        const struct bs_program *p = bs_program_of(&a, l);
        assert_int_equal(width_of(p, "q_b_input"), QUERY);
        assert_int_equal(width_of(p, "kv_b_input"), NARROW);
        assert_int_equal(width_of(p, "key"), HEADS * (PLAIN + TURNED));
        assert_int_equal(width_of(p, "value"), HEADS * VALUE);
        assert_int_equal(width_of(p, "o_input"), HEADS * VALUE);
        /* Close together, as kernels read rows, though it is made in a part of wider ones. */
        int narrow = bs_program_find(p, "kv_b_input");
        assert_int_equal(p->values[p->values[narrow].home].width, NARROW);
        assert_true(bs_folds_into(p, narrow, BS_OP_NORM));
        assert_int_equal(p->folds[bs_program_find(p, "o_input")].op, -1);
    }
}

static void each_layer_has_its_own_places(void **state)
{
    (void)state;
    struct bs_architecture a = read_golden();
    const struct bs_program *dense = bs_program_of(&a, 0), *sparse = bs_program_of(&a, 1);
    assert_int_equal(a.num_kinds, 2);
    assert_true(bs_program_find(dense, "down_input") > 0);
    assert_int_equal(bs_program_find(sparse, "down_input"), -1);
    assert_int_equal(bs_program_slot(dense, "router"), -1);
    assert_int_equal(bs_num_linears(&a, 1) - bs_num_linears(&a, 0), 1 + 6 * 3);
    assert_int_equal(bs_total_linears(&a), bs_num_linears(&a, 0) + bs_num_linears(&a, 1));
}

/* Every matrix once, of experts those that a token goes to; and heads of two widths. */
static void work_is_that_of_each_layer(void **state)
{
    enum { TOKENS = 6, MLP = 18, EXPERTS = 6, ACTIVE = 2, SIZE = 9, SHARED = 2 * SIZE };
    (void)state;
    struct bs_architecture a = read_golden();
    double attention = HIDDEN * (QUERY + NARROW + TURNED) + QUERY * HEADS * (PLAIN + TURNED) +
                       NARROW * HEADS * (PLAIN + VALUE) + HEADS * VALUE * HIDDEN;
    double pairs = TOKENS * TOKENS * HEADS * (PLAIN + TURNED + VALUE);
    double experts = HIDDEN * (EXPERTS + ACTIVE * 3 * SIZE + 3 * SHARED);
    double dense = 2 * TOKENS * (attention + 3 * HIDDEN * MLP) + pairs;
    double sparse = 2 * TOKENS * (attention + experts) + pairs;
    assert_true(bs_block_flops(&a, 0, TOKENS) == dense);
    assert_true(bs_block_flops(&a, 1, TOKENS) == sparse);
    assert_true(bs_total_flops(&a, TOKENS) == dense + sparse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_made_of_a_narrow_vector),
        cmocka_unit_test(each_layer_has_its_own_places),
        cmocka_unit_test(work_is_that_of_each_layer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
