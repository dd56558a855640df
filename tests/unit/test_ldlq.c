/* LDLQ on one linear with a Hessian at hand: it is GPTQ in the reversed order, which nothing in its
 * code is made from; its factors; its greedy passes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/ldl.h"
#include "tests/support/close.h"
#include "tests/support/one_linear.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

/* The same linear with its columns in the reversed order. */
static void reverse(struct problem *to, const struct problem *from)
{
    for (int r = 0; r < OUT; r++)
        for (int j = 0; j < IN; j++)
            to->original[r * IN + j] = from->original[r * IN + IN - 1 - j];
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++)
            to->hessian[i * IN + j] = from->hessian[(IN - 1 - i) * IN + IN - 1 - j];
}

/* Rows whose codes differ in any column. */
static int rows_apart(const struct problem *p, const struct problem *reversed)
{
    int apart = 0;
    for (int r = 0; r < OUT; r++) {
        bool same = true;
        for (int j = 0; j < IN; j++)
            same &= bs_codes_get(&linear_of(p)->codes, r, j) ==
                    bs_codes_get(&linear_of(reversed)->codes, r, IN - 1 - j);
        apart += !same;
    }
    return apart;
}

/* Theorem 6 of the paper. Sums in another order decide ties otherwise, and a row from there on. */
static void it_equals_gptq_in_the_reversed_order(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=4", "bits=2 percdamp=0.1", "bits=3 symmetric=true",
                                           "bits=8 group_size=tensor"};
    static struct problem p, reversed;
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        problem_init(&p, 20 + k);
        problem_init(&reversed, 0);
        reverse(&reversed, &p);
        solve_by(&p, "ldlq", settings[k]);
        solve_by(&reversed, "gptq", settings[k]);
        assert_in_range(rows_apart(&p, &reversed), 0, 2);
        assert_close(linear_of(&p)->damping, linear_of(&reversed)->damping, 0, 0);
        problem_release(&p);
        problem_release(&reversed);
    }
}

/* With static groups too, and both take the largest diagonal first. */
static void it_equals_gptq_with_act_order(void **state)
{
    (void)state;
    static struct problem p, q;
    problem_init(&p, 30);
    problem_init(&q, 30);
    for (int j = 0; j < IN; j++) { /* no two alike */
        p.hessian[j * IN + j] *= 1 + 0.01f * (float)j;
        q.hessian[j * IN + j] = p.hessian[j * IN + j];
    }
    solve_by(&p, "ldlq", "bits=3 group_size=8 act_order=true");
    solve_by(&q, "gptq", "bits=3 group_size=8 act_order=true static_groups=true");
    int differ = 0;
    for (int i = 0; i < OUT * IN; i++)
        differ += bs_codes_get(&linear_of(&p)->codes, i / IN, i % IN) !=
                  bs_codes_get(&linear_of(&q)->codes, i / IN, i % IN);
    assert_in_range(differ, 0, OUT * IN / 100);
    assert_null(linear_of(&p)->codes.group_index);
    problem_release(&p);
    problem_release(&q);
}

static void greedy_passes_lower_the_objective(void **state)
{
    (void)state;
    static struct problem p;
    double before = INFINITY;
    static const char *const settings[] = {"bits=2", "bits=2 greedy_passes=1",
                                           "bits=2 greedy_passes=9"};
    problem_init(&p, 40);
    for (int k = 0; k < 3; k++) {
        solve_by(&p, "ldlq", settings[k]);
        double got = objective(&p, p.decoded);
        assert_true(got < before);
        before = got;
        problem_release(&p);
    }
}

static void greedy_passes_are_for_nearest_rounding(void **state)
{
    (void)state;
    struct bs_error err;
    static const char *const settings[] = {"bits=4 greedy_passes=1 rounding=stochastic",
                                           "bits=4 rounding=stochastic", "bits=4 greedy_passes=1"};
    for (int k = 0; k < 3; k++) {
        struct bs_recipe recipe;
        recipe_build_unresolved(&recipe, "ldlq", settings[k]);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), k ? BS_OK : BS_ECONFIG);
        assert_true(k || strstr(err.message, "greedy_passes"));
        bs_recipe_release(&recipe);
    }
}

/* Sizes around those of its tiles. */
static void the_factors_multiply_to_the_matrix(void **state)
{
    (void)state;
    static const int sizes[] = {1, 5, 128, 129, 300};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        size_t n = (size_t)sizes[k];
        float *x = malloc(n * n * sizeof *x), *a = malloc(n * n * sizeof *a);
        float *l = malloc(n * n * sizeof *l);
        random_fill(x, n * n, 1, k);
        bs_gemm_nt((int)n, (int)n, (int)n, 1 / (float)n, x, (int)n, x, (int)n, 0, a, (int)n);
        for (size_t i = 0; i < n; i++)
            a[i * n + i] += 0.5f;
        memcpy(l, a, n * n * sizeof *l);
        assert_true(bs_ldl(l, (int)n));
        double *d = calloc(n, sizeof *d);
        for (size_t j = 0; j < n; j++) { /* of the diagonal of A */
            d[j] = (double)a[j * n + j];
            for (size_t i = 0; i < j; i++)
                d[j] -= d[i] * (double)l[j * n + i] * (double)l[j * n + i];
        }
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t m = 0; m <= i && m <= j; m++)
                    sum += d[m] * (double)l[i * n + m] * (double)l[j * n + m];
                assert_close(sum, (double)a[i * n + j], 1e-4, 1e-4);
                assert_true(j <= i || l[i * n + j] == 0);
            }
        memset(a, 0, n * n * sizeof *a);
        a[n * n - 1] = -1;
        assert_false(bs_ldl(a, (int)n));
        free(x), free(a), free(l), free(d);
    }
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    static struct problem p;
    static float first[OUT * IN];
    problem_init(&p, 9);
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        solve_by(&p, "ldlq", "bits=3 group_size=8 act_order=true greedy_passes=2");
        if (t == 0)
            memcpy(first, p.decoded, sizeof first);
        assert_memory_equal(p.decoded, first, sizeof first);
        problem_release(&p);
    }
    bs_set_threads(0);
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_equals_gptq_in_the_reversed_order),
        cmocka_unit_test(it_equals_gptq_with_act_order),
        cmocka_unit_test(greedy_passes_lower_the_objective),
        cmocka_unit_test(greedy_passes_are_for_nearest_rounding),
        cmocka_unit_test(the_factors_multiply_to_the_matrix),
        cmocka_unit_test(threads_do_not_change_a_byte),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
