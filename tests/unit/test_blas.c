/* Products and the factorisation against textbook ones in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <lapacke.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "tests/support/close.h"
#include "tests/support/naive.h"
#include "tests/support/random_block.h"

enum { M = 9, N = 13, K = 21, LD = 24, SIDE = 40, LARGE = 420 };

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

/* A matrix [n][n] as GPTQ's Hessians are: channels that share a large common part, some of them
 * thirty times the others, and a hundredth of the mean diagonal added. bs_free. */
static float *hessian_like(int n)
{
    size_t side = (size_t)n, tokens = 2 * side;
    float *x = bs_alloc(tokens * side, sizeof *x), *a = bs_alloc(side * side, sizeof *a);
    assert_true(x && a);
    uint64_t seed = 5;
    for (size_t t = 0; t < tokens; t++) {
        float common = 3 * random_normal(&seed);
        for (size_t j = 0; j < side; j++)
            x[t * side + j] = (j % 50 == 3 ? 30 : 1) * (random_normal(&seed) + common);
    }
    bs_gemm_tn(n, n, (int)tokens, 1, x, n, x, n, 0, a, n);
    double mean = 0;
    for (size_t i = 0; i < side; i++)
        mean += (double)a[i * side + i] / n;
    for (size_t i = 0; i < side; i++)
        a[i * side + i] += (float)(0.01 * mean);
    bs_free(x);
    return a;
}

/* How far U is from the exact one, by LAPACK in double, relative to it. */
static double distance(const float *a, const float *u, int n)
{
    size_t count = (size_t)n * (size_t)n;
    double *exact = bs_alloc(count, sizeof *exact);
    assert_non_null(exact);
    for (size_t i = 0; i < count; i++)
        exact[i] = (double)a[i];
    assert_int_equal(LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', n, exact, n), 0);
    assert_int_equal(LAPACKE_dpotri(LAPACK_COL_MAJOR, 'L', n, exact, n), 0);
    assert_int_equal(LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'L', n, exact, n), 0);
    double difference = 0, all = 0;
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t j = i; j < (size_t)n; j++) {
            double want = exact[i * (size_t)n + j], off = (double)u[i * (size_t)n + j] - want;
            difference += off * off;
            all += want * want;
        }
    bs_free(exact);
    return sqrt(difference / all);
}

/* Sizes on either side of the tiles' edges, in an ill-conditioned matrix: nearer to the exact
 * factor than the authors' three steps in float32 (Cholesky, inverse, Cholesky). */
static void an_ill_conditioned_factor_is_nearer_than_by_three_steps(void **state)
{
    (void)state;
    static const int sides[] = {127, 128, 129, 256, LARGE};
    for (size_t k = 0; k < sizeof sides / sizeof *sides; k++) {
        int n = sides[k];
        size_t side = (size_t)n, count = side * side;
        float *a = hessian_like(n), *got = bs_alloc(count, sizeof *got);
        float *three = bs_alloc(count, sizeof *three);
        assert_true(got && three);
        memcpy(got, a, count * sizeof *a);
        memcpy(three, a, count * sizeof *a);
        assert_true(bs_cholesky_of_inverse(got, n));
        assert_int_equal(LAPACKE_spotrf(LAPACK_COL_MAJOR, 'L', n, three, n), 0);
        assert_int_equal(LAPACKE_spotri(LAPACK_COL_MAJOR, 'L', n, three, n), 0);
        assert_int_equal(LAPACKE_spotrf(LAPACK_COL_MAJOR, 'L', n, three, n), 0);
        double off = distance(a, got, n);
        assert_true(off < 2e-5 && off < distance(a, three, n));
        for (size_t i = 0; i < side; i++)
            for (size_t j = 0; j < i; j++)
                assert_true(got[i * side + j] == 0);
        bs_free(a);
        bs_free(got);
        bs_free(three);
    }
}

static void only_the_upper_triangle_is_read(void **state)
{
    (void)state;
    size_t count = (size_t)LARGE * LARGE;
    float *whole = hessian_like(LARGE), *upper = bs_alloc(count, sizeof *upper);
    assert_non_null(upper);
    for (size_t i = 0; i < LARGE; i++)
        for (size_t j = 0; j < LARGE; j++)
            upper[i * LARGE + j] = j < i ? -7 : whole[i * LARGE + j];
    assert_true(bs_cholesky_of_inverse(whole, LARGE) && bs_cholesky_of_inverse(upper, LARGE));
    assert_memory_equal(upper, whole, count * sizeof *whole);
    bs_free(whole);
    bs_free(upper);
}

static void the_factor_has_the_same_bytes_on_any_number_of_threads(void **state)
{
    (void)state;
    size_t count = (size_t)LARGE * LARGE;
    float *a = hessian_like(LARGE), *want = bs_alloc(count, sizeof *a);
    float *got = bs_alloc(count, sizeof *a);
    assert_true(want && got);
    for (int threads = 1; threads <= 5; threads += 2) {
        float *to = threads == 1 ? want : got;
        memcpy(to, a, count * sizeof *a);
        bs_set_threads(threads);
        assert_true(bs_cholesky_of_inverse(to, LARGE));
        assert_memory_equal(to, want, count * sizeof *a);
    }
    bs_set_threads(0);
    bs_free(a);
    bs_free(want);
    bs_free(got);
}

static void a_large_matrix_that_is_not_positive_definite_is_refused(void **state)
{
    (void)state;
    static const int places[] = {0, 200, LARGE - 1};
    static const float values[] = {-1, 0, NAN};
    for (size_t k = 0; k < sizeof places / sizeof *places; k++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            float *a = hessian_like(LARGE);
            a[places[k] * (LARGE + 1)] = values[v];
            assert_false(bs_cholesky_of_inverse(a, LARGE));
            bs_free(a);
        }
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
        cmocka_unit_test(an_ill_conditioned_factor_is_nearer_than_by_three_steps),
        cmocka_unit_test(only_the_upper_triangle_is_read),
        cmocka_unit_test(the_factor_has_the_same_bytes_on_any_number_of_threads),
        cmocka_unit_test(a_large_matrix_that_is_not_positive_definite_is_refused),
        cmocka_unit_test(the_library_says_what_it_is),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
