/* The factor of one tile against what it is by definition, in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/factor_tile.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

enum { STRIDE = BS_FACTOR_TILE + 3 };

static float a[BS_FACTOR_TILE * STRIDE], u[BS_FACTOR_TILE * STRIDE];

/* A = X X^T / side + 1/10 I above the diagonal, -7 below it and beyond. */
static void fill(int side, uint64_t seed)
{
    static float x[BS_FACTOR_TILE][BS_FACTOR_TILE];
    random_fill(x[0], BS_FACTOR_TILE * BS_FACTOR_TILE, 1, seed);
    for (int i = 0; i < BS_FACTOR_TILE * STRIDE; i++)
        a[i] = -7;
    for (int i = 0; i < side; i++)
        for (int j = i; j < side; j++) {
            double sum = i == j ? 0.1 : 0;
            for (int t = 0; t < side; t++)
                sum += (double)x[i][t] * (double)x[j][t] / side;
            a[i * STRIDE + j] = (float)sum;
        }
    memcpy(u, a, sizeof u);
}

/* (U A U^T)[i][j] */
static double turned(int side, int i, int j)
{
    double sum = 0;
    for (int p = i; p < side; p++)
        for (int q = j; q < side; q++)
            sum += (double)u[i * STRIDE + p] *
                   (double)(p < q ? a[p * STRIDE + q] : a[q * STRIDE + p]) *
                   (double)u[j * STRIDE + q];
    return sum;
}

static void it_is_the_inverse_of_the_factor(void **state)
{
    (void)state;
    static const int sides[] = {1, 2, 3, 17, 64, 127, 128};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int side = sides[k];
        fill(side, k + 1);
        assert_true(bs_factor_tile(u, side, STRIDE));
        for (int i = 0; i < side; i++) {
            assert_true(u[i * STRIDE + i] > 0);
            for (int j = 0; j < i; j++)
                assert_true(u[i * STRIDE + j] == 0);
            for (int j = i; j<side; j += side> 32 ? 7 : 1)
                assert_close(turned(side, i, j), i == j, 2e-5, 0);
        }
        for (int i = 0; i < BS_FACTOR_TILE; i++) /* beyond the tile nothing is written */
            for (int j = i < side ? side : 0; j < STRIDE; j++)
                assert_true(u[i * STRIDE + j] == -7);
    }
}

/* By hand: A = R R^T with R = [1 2; 0 4], U = R^-1 = [1 -1/2; 0 1/4]. */
static void small_ones_are_exact(void **state)
{
    (void)state;
    float two[] = {5, 8, 0, 16};
    static const float want[] = {1, -0.5f, 0, 0.25f};
    assert_true(bs_factor_tile(two, 2, 2));
    assert_memory_equal(two, want, sizeof two);
}

static void what_has_no_factor_is_refused_and_left(void **state)
{
    (void)state;
    static const float strange[] = {0, -1, NAN, INFINITY};
    for (int k = 0; k < 4; k++)
        for (int at = 0; at < 20; at += 19) {
            fill(20, 3);
            a[at * (STRIDE + 1)] = u[at * (STRIDE + 1)] = strange[k];
            assert_false(bs_factor_tile(u, 20, STRIDE));
            assert_memory_equal(u, a, sizeof u);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_inverse_of_the_factor),
        cmocka_unit_test(small_ones_are_exact),
        cmocka_unit_test(what_has_no_factor_is_refused_and_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
