/* Products and the factorisation against textbook ones in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/blas.h"
#include "tests/support/close.h"
#include "tests/support/naive.h"
#include "tests/support/random_block.h"

enum { M = 9, N = 13, K = 21, LD = 24, SIDE = 40 };

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    return 0;
}

/* The element (row, column) of op(X) for X with row stride LD. */
static double element(const float *x, bool transposed, int row, int column)
{
    return (double)(transposed ? x[column * LD + row] : x[row * LD + column]);
}

static void products_equal_plain_ones(void **state)
{
    (void)state;
    static float a[LD * LD], b[LD * LD], before[LD * LD], c[LD * LD];
    random_fill(a, LD * LD, 1, 1);
    random_fill(b, LD * LD, 1, 2);
    random_fill(before, LD * LD, 1, 3);
    for (int form = 0; form < 3; form++) {
        bool a_transposed = form == 2, b_transposed = form == 0;
        memcpy(c, before, sizeof c);
        if (form == 0)
            bs_gemm_nt(M, N, K, 0.5f, a, LD, b, LD, -2, c, LD);
        else if (form == 1)
            bs_gemm_nn(M, N, K, 0.5f, a, LD, b, LD, -2, c, LD);
        else
            bs_gemm_tn(M, N, K, 0.5f, a, LD, b, LD, -2, c, LD);
        for (int i = 0; i < LD; i++)
            for (int j = 0; j < LD; j++) {
                double want = (double)before[i * LD + j];
                if (i < M && j < N) {
                    want *= -2;
                    for (int k = 0; k < K; k++)
                        want +=
                            0.5 * element(a, a_transposed, i, k) * element(b, b_transposed, k, j);
                    assert_close((double)c[i * LD + j], want, 1e-5, 0);
                } else {
                    assert_true(c[i * LD + j] == before[i * LD + j]); /* outside: untouched */
                }
            }
    }
}

static void beta_zero_does_not_read_the_result(void **state)
{
    (void)state;
    float a[] = {1, 2}, b[] = {3, 4}, c = NAN;
    bs_gemm_nt(1, 1, 2, 1, a, 2, b, 2, 0, &c, 1);
    assert_true(c == 11);
}

/* A random positive definite matrix, as X^T X of more rows than columns. */
static void positive_definite(float *a, int n, uint64_t seed)
{
    static float x[2 * SIDE * SIDE];
    random_fill(x, (size_t)(2 * n * n), 1, seed);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int t = 0; t < 2 * n; t++)
                sum += (double)x[t * n + i] * (double)x[t * n + j];
            a[i * n + j] = (float)(sum / n);
        }
}

static void cholesky_of_the_inverse_by_hand(void **state)
{
    (void)state;
    /* A = [4 2; 2 2], A^-1 = [.5 -.5; -.5 1] = U^T U with U = [r -r; 0 r], r = sqrt(.5) */
    float a[] = {4, 2, 2, 2};
    assert_true(bs_cholesky_of_inverse(a, 2));
    double r = sqrt(0.5);
    assert_close((double)a[0], r, 0, 1e-6);
    assert_close((double)a[1], -r, 0, 1e-6);
    assert_true(a[2] == 0);
    assert_close((double)a[3], r, 0, 1e-6);
    float one = 16;
    assert_true(bs_cholesky_of_inverse(&one, 1));
    assert_close((double)one, 0.25, 0, 1e-7);
}

static void cholesky_of_the_inverse_equals_the_textbook(void **state)
{
    (void)state;
    static const int sides[] = {1, 2, 3, 17, SIDE};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int n = sides[k];
        float a[SIDE * SIDE];
        double want[SIDE * SIDE];
        positive_definite(a, n, k + 1);
        for (int i = 0; i < n * n; i++)
            want[i] = (double)a[i];
        naive_invert(want, n);
        naive_cholesky(want, n);
        assert_true(bs_cholesky_of_inverse(a, n));
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                if (j < i)
                    assert_true(a[i * n + j] == 0);
                else /* U is the transpose of L */
                    assert_close((double)a[i * n + j], want[j * n + i], 2e-4, 2e-4);
            }
    }
}

static void what_is_not_positive_definite_is_refused(void **state)
{
    (void)state;
    float indefinite[] = {1, 2, 2, 1};
    assert_false(bs_cholesky_of_inverse(indefinite, 2));
    float negative[] = {-1};
    assert_false(bs_cholesky_of_inverse(negative, 1));
    float zero[] = {1, 0, 0, 0};
    assert_false(bs_cholesky_of_inverse(zero, 2));
    float nan[] = {1, 0, 0, NAN};
    assert_false(bs_cholesky_of_inverse(nan, 2));
    /* Late in a large matrix. */
    static float a[SIDE * SIDE];
    positive_definite(a, SIDE, 9);
    a[SIDE * SIDE - 1] = -1;
    assert_false(bs_cholesky_of_inverse(a, SIDE));
}

static void the_library_says_what_it_is(void **state)
{
    (void)state;
    assert_non_null(strstr(bs_blas_name(), "OpenBLAS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_plain_ones),
        cmocka_unit_test(beta_zero_does_not_read_the_result),
        cmocka_unit_test(cholesky_of_the_inverse_by_hand),
        cmocka_unit_test(cholesky_of_the_inverse_equals_the_textbook),
        cmocka_unit_test(what_is_not_positive_definite_is_refused),
        cmocka_unit_test(the_library_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
