/* Products with packed matrices: of the values in float32, of the rounded ones in bfloat16, of any
 * number of rows; blocks and heads that use bfloat16 stay close to float32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/linalg/packed.h"
#include "tests/support/close.h"
#include "tests/support/processors.h"
#include "tests/support/small_block.h"

static struct bs_error err;

/* The nearest number with 8 bits, ties to even. */
static double rounded(float x)
{
    int exponent;
    double share = frexp((double)x, &exponent);
    return ldexp(rint(ldexp(share, 8)), exponent - 8);
}

static struct bs_packed *packed_of(enum bs_compute compute, int n, int k, const float *b)
{
    struct bs_packed *packed;
    assert_int_equal(bs_packed_create(compute, n, k, b, &packed, &err), BS_OK);
    return packed;
}

static double value_in(enum bs_compute compute, float x)
{
    return compute == BS_BFLOAT16 ? rounded(x) : (double)x;
}

static void assert_product(enum bs_compute compute, int m, int n, int k, int ldc)
{
    size_t mm = (size_t)m, nn = (size_t)n, kk = (size_t)k, stride = (size_t)ldc;
    float *a = bs_alloc(mm * kk, sizeof *a), *b = bs_alloc(nn * kk, sizeof *b);
    float *c = bs_calloc(mm * stride, sizeof *c);
    struct bs_scratch *scratch = bs_scratch_create(1, bs_gemm_nt_packed_floats(n, k));
    assert_true(a && b && c && scratch);
    random_fill(a, mm * kk, 1, 1);
    random_fill(b, nn * kk, 1, 2);
    a[0] = 1 + 1 / 256.0f; /* ties: to 1 and to 1 + 1/64 */
    a[kk - 1] = 1 + 3 / 256.0f;
    struct bs_packed *packed = packed_of(compute, n, k, b);
    bs_gemm_nt_packed(m, a, packed, c, ldc, scratch);
    assert_int_equal(scratch->used, 0);
    for (size_t t = 0; t < mm; t++)
        for (size_t i = 0; i < stride; i++) {
            double want = 0, size = 0;
            for (size_t j = 0; j < kk && i < nn; j++) {
                double term = value_in(compute, a[t * kk + j]) * value_in(compute, b[i * kk + j]);
                want += term;
                size += fabs(term);
            }
            assert_close((double)c[t * stride + i], want, size * 1e-6, 0);
        }
    bs_packed_free(packed);
    bs_scratch_free(scratch, 1);
    bs_free(a);
    bs_free(b);
    bs_free(c);
}

static void assert_products(enum bs_compute compute)
{
    assert_product(compute, 1, 1, 1, 1);
    assert_product(compute, 5, 33, 41, 40);
    assert_product(compute, 128, 64, 96, 64);
    assert_product(compute, 259, 70, 130, 70);
    assert_product(compute, 259, 70, 130, 75);
    assert_product(compute, 512 + 128 + 3, 20, 30, 20); /* many rows at a time, few, the rest */
}

static void products_are_those_of_the_values(void **state)
{
    (void)state;
    assert_products(BS_FLOAT32);
}

static void products_in_bfloat16_are_those_of_rounded_values(void **state)
{
    (void)state;
    assert_products(BS_BFLOAT16);
}

static void what_is_no_number_stays_so(void **state)
{
    (void)state;
    uint32_t bits = 0x7f800001; /* a NaN whose upper half is infinity's */
    float a[4] = {1, 0, INFINITY, 3e38f}, b[2] = {1, 1}, c[2];
    memcpy(a + 1, &bits, sizeof bits);
    struct bs_packed *packed = packed_of(BS_BFLOAT16, 1, 2, b);
    struct bs_scratch *scratch = bs_scratch_create(1, bs_gemm_nt_packed_floats(1, 2));
    bs_gemm_nt_packed(2, a, packed, c, 1, scratch);
    assert_true(isnan(c[0]) && isinf(c[1]));
    bs_scratch_free(scratch, 1);
    bs_packed_free(packed);
}

static struct bs_block short_block(void)
{
    struct bs_block block = {.architecture = NULL};
    assert_int_equal(bs_block_copy(&block, &random_.block, &err), BS_OK);
    assert_int_equal(bs_block_choose_kernels(&block, BS_BFLOAT16, &err), BS_OK);
    return block;
}

static void blocks_stay_close_to_float32(void **state)
{
    (void)state;
    struct bs_block block = short_block();
    double apart = outputs_apart(&random_, &random_.block, &block);
    assert_true(apart > 1e-5 && apart < 1e-2);
    assert_int_equal(bs_block_copy(&block, &random_.block, &err), BS_OK); /* which forgets it */
    assert_true(outputs_apart(&random_, &random_.block, &block) == 0);
    bs_block_release(&block);
}

static void a_block_is_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    struct bs_block block = short_block();
    assert_same_on_any_threads(&random_, &block);
    bs_block_release(&block);
}

static void rows_of(const void *context, int first, int count, float *rows)
{
    const int width = 40;
    memcpy(rows, (const float *)context + first * width, (size_t)(count * width) * sizeof *rows);
}

/* Logits in runs of 10 of 33 ids, the last shorter, capped and with a bias. */
static void logits_stay_close_to_float32(void **state)
{
    (void)state;
    enum { VOCAB = 33, TOKENS = 5, WIDTH = 40, RUN = 10 };
    struct bs_architecture a = random_.architecture;
    static float weight[VOCAB * WIDTH], bias[VOCAB];
    float in[TOKENS * WIDTH], want[TOKENS * RUN], got[TOKENS * RUN];
    struct bs_head head = {.architecture = &a, .run = RUN};
    struct bs_scratch *scratch = bs_scratch_create(1, bs_gemm_nt_packed_floats(RUN, WIDTH));
    a.vocab_size = VOCAB;
    a.logit_softcap = 30;
    random_fill(in, TOKENS * WIDTH, 1, 3);
    random_fill(bias, VOCAB, 5, 5);
    random_fill(weight, VOCAB * WIDTH, 1, 4);
    head.bias = bias;
    assert_int_equal(bs_head_pack(&head, BS_FLOAT32, rows_of, weight, &err), BS_OK);
    assert_int_equal(bs_head_pack(&head, BS_BFLOAT16, rows_of, weight, &err), BS_OK);
    for (int first = 0, count; first < VOCAB; first += count) {
        count = bs_head_logits(&head, BS_FLOAT32, in, TOKENS, first, want, scratch);
        bs_head_logits(&head, BS_BFLOAT16, in, TOKENS, first, got, scratch);
        for (int i = 0; i < TOKENS * count; i++)
            assert_close((double)got[i], (double)want[i], 20 * 1e-2, 0); /* of logits up to 20 */
        assert_memory_not_equal(got, want, (size_t)(TOKENS * count) * sizeof *got);
    }
    bs_scratch_free(scratch, 1);
    head.bias = NULL; /* not the head's own */
    bs_head_release(&head);
}

static void no_memory_is_reported(void **state)
{
    (void)state;
    enum bs_status status = BS_ENOMEM;
    for (long n = 1; status; n++) {
        struct bs_block block = {.architecture = NULL};
        assert_int_equal(bs_block_copy(&block, &random_.block, &err), BS_OK);
        bs_alloc_fail_at(n);
        status = bs_block_choose_kernels(&block, BS_BFLOAT16, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
        assert_true(n > 3 || status == BS_ENOMEM);
        bs_block_release(&block);
    }
}

/* So that what processors without AVX-512 do instead is tested on all. */
static void the_processor_is_the_one_it_is_told_to_be(void **state)
{
    (void)state;
    assert_int_equal(bs_packed_bytes(BS_FLOAT32), 4);
    if (told_avx2())
        assert_int_equal(bs_packed_bytes(BS_BFLOAT16), 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_processor_is_the_one_it_is_told_to_be),
        cmocka_unit_test(products_are_those_of_the_values),
        cmocka_unit_test(products_in_bfloat16_are_those_of_rounded_values),
        cmocka_unit_test(what_is_no_number_stays_so),
        cmocka_unit_test(blocks_stay_close_to_float32),
        cmocka_unit_test(a_block_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(logits_stay_close_to_float32),
        cmocka_unit_test(no_memory_is_reported),
    };
    (void)argc;
    int failed = run_again_with_avx2(argv);
    return cmocka_run_group_tests(tests, small_block_setup, small_block_teardown) || failed;
}
