/* A quantized matrix: what its codes decode to, and what it takes in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/quant/flat.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

enum { OUT = 100, IN = 37 };

static const int group_sizes[] = {BS_GROUP_CHANNEL, BS_GROUP_TENSOR, 1, 8, 37, 64};
enum { NUM_SIZES = sizeof group_sizes / sizeof *group_sizes };

static struct bs_flat format_of(int bits, int group_size, bool symmetric)
{
    return (struct bs_flat){
        .bits = bits, .group_size = group_size, .grid = BS_GRID_GPTQ, .symmetric = symmetric};
}

static struct bs_codes codes_of(const struct bs_flat *format, int out, int in)
{
    struct bs_error err;
    struct bs_codes codes;
    assert_int_equal(bs_codes_init(&codes, format, out, in, &err), BS_OK);
    return codes;
}

/* The bits of one 3 x 10 matrix. */
static double bits_of(int bits, int group_size, bool symmetric, bool indexed)
{
    struct bs_flat format = format_of(bits, group_size, symmetric);
    struct bs_codes codes = codes_of(&format, 3, 10);
    if (indexed)
        codes.group_index = bs_calloc(10, sizeof *codes.group_index);
    double counted = bs_codes_bits(&codes);
    bs_codes_release(&codes);
    return counted;
}

static void bits_are_counted_as_a_file_holds_them(void **state)
{
    (void)state;
    /* codes + groups * (16 for the scale + a zero point where there is one) */
    assert_true(bits_of(4, BS_GROUP_CHANNEL, false, false) == 120 + 3 * (16 + 4));
    assert_true(bits_of(4, BS_GROUP_CHANNEL, true, false) == 120 + 3 * 16);
    assert_true(bits_of(4, BS_GROUP_TENSOR, false, false) == 120 + 1 * (16 + 4));
    assert_true(bits_of(4, 5, false, false) == 120 + 6 * (16 + 4));
    assert_true(bits_of(4, 4, false, false) == 120 + 9 * (16 + 4)); /* 4 + 4 + 2 columns */
    assert_true(bits_of(3, 4, true, false) == 90 + 9 * 16);
    assert_true(bits_of(8, 64, false, false) == 240 + 3 * (16 + 8)); /* longer than a row */
    assert_true(bits_of(2, 4, false, true) == 60 + 9 * (16 + 2) + 10 * 32);
}

static void groups_of_a_row(void **state)
{
    (void)state;
    static const int columns[NUM_SIZES] = {37, 37, 1, 8, 37, 37};
    static const int groups[NUM_SIZES] = {1, 1, 37, 5, 1, 1};
    for (int k = 0; k < NUM_SIZES; k++) {
        struct bs_flat format = format_of(4, group_sizes[k], false);
        struct bs_codes codes = codes_of(&format, OUT, IN);
        assert_int_equal(bs_codes_group_columns(&codes), columns[k]);
        assert_int_equal(codes.groups, groups[k]);
        assert_int_equal(bs_codes_num_params(&codes),
                         group_sizes[k] == BS_GROUP_TENSOR ? 1 : OUT * groups[k]);
        bs_codes_release(&codes);
    }
}

static void parameters_come_back_as_they_were_set(void **state)
{
    (void)state;
    struct bs_flat format = format_of(8, 8, false);
    struct bs_codes codes = codes_of(&format, 3, 20);
    for (int i = 0; i < 3; i++)
        for (int g = 0; g < 3; g++)
            bs_codes_set_params(
                &codes, i, g,
                (struct bs_params){.scale = (float)(i + 10 * g), .zero_point = 255 - i - 10 * g});
    for (int i = 0; i < 3; i++)
        for (int g = 0; g < 3; g++) {
            struct bs_params params = bs_codes_params(&codes, i, g);
            assert_true(params.scale == (float)(i + 10 * g));
            assert_int_equal(params.zero_point, 255 - i - 10 * g);
        }
    bs_codes_release(&codes);
    format.group_size = BS_GROUP_TENSOR; /* one for all rows */
    codes = codes_of(&format, 3, 20);
    bs_codes_set_params(&codes, 0, 0, (struct bs_params){.scale = 7, .zero_point = 9});
    assert_true(bs_codes_params(&codes, 2, 0).scale == 7);
    bs_codes_release(&codes);
}

static void decoding_gives_what_rounding_the_matrix_gives(void **state)
{
    (void)state;
    struct bs_error err;
    static float weight[OUT * IN], rounded[OUT * IN], decoded[OUT * IN];
    random_fill(weight, OUT * IN, 1, 3);
    memset(weight + IN, 0, IN * sizeof *weight); /* a row of zeros */
    for (int bits = 2; bits <= 8; bits++)
        for (int symmetric = 0; symmetric < 2; symmetric++)
            for (int k = 0; k < NUM_SIZES; k++) {
                struct bs_flat format = format_of(bits, group_sizes[k], symmetric);
                struct bs_codes codes = codes_of(&format, OUT, IN);
                assert_int_equal(bs_codes_round_to_nearest(&codes, weight, NULL, &err), BS_OK);
                bs_codes_decode(&codes, decoded);
                memcpy(rounded, weight, sizeof rounded);
                bs_format_round_matrix(&format, rounded, OUT, IN);
                for (int i = 0; i < OUT * IN; i++)
                    assert_true(decoded[i] == rounded[i]);
                bs_codes_release(&codes);
            }
}

static void columns_decode_by_their_group_index(void **state)
{
    (void)state;
    struct bs_flat format = format_of(4, 2, false);
    struct bs_codes codes = codes_of(&format, 2, 5); /* groups of 2, 2 and 1 */
    static const int index[] = {2, 0, 1, 0, 1};
    codes.group_index = bs_alloc(5, sizeof *codes.group_index);
    memcpy(codes.group_index, index, sizeof index);
    for (int i = 0; i < 2; i++) {
        for (int g = 0; g < 3; g++)
            bs_codes_set_params(
                &codes, i, g, (struct bs_params){.scale = (float)(1 + g), .zero_point = 4 * i + g});
        for (int j = 0; j < 5; j++)
            codes.codes[i * 5 + j] = (uint8_t)(3 * j);
    }
    float weight[10];
    bs_codes_decode(&codes, weight);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 5; j++)
            assert_true(weight[i * 5 + j] ==
                        (float)((1 + index[j]) * (3 * j - (4 * i + index[j]))));
    bs_codes_release(&codes);
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    struct bs_error err;
    static float weight[OUT * IN], decoded[2][OUT * IN];
    random_fill(weight, OUT * IN, 1, 4);
    for (int k = 0; k < NUM_SIZES; k++) {
        struct bs_flat format = format_of(4, group_sizes[k], false);
        struct bs_codes codes[2] = {codes_of(&format, OUT, IN), codes_of(&format, OUT, IN)};
        size_t params = bs_codes_num_params(&codes[0]);
        static const int threads[] = {1, 2, 7};
        for (int t = 0; t < 3; t++) {
            bs_set_threads(threads[t]);
            assert_int_equal(bs_codes_round_to_nearest(&codes[t > 0], weight, NULL, &err), BS_OK);
            bs_codes_decode(&codes[t > 0], decoded[t > 0]);
            if (t == 0)
                continue;
            assert_memory_equal(codes[0].codes, codes[1].codes, OUT * IN);
            assert_memory_equal(codes[0].scale, codes[1].scale, params * sizeof(float));
            assert_memory_equal(codes[0].zero_point, codes[1].zero_point, params);
            assert_memory_equal(decoded[0], decoded[1], sizeof decoded[0]);
        }
        bs_codes_release(&codes[0]);
        bs_codes_release(&codes[1]);
    }
    bs_set_threads(0);
}

static void running_out_of_memory_leaves_nothing(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_flat format = format_of(4, 8, false);
    struct bs_codes codes;
    for (long n = 1; n <= 3; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_codes_init(&codes, &format, OUT, IN, &err), BS_ENOMEM);
        bs_alloc_fail_at(0);
        assert_null(codes.codes);
        bs_codes_release(&codes); /* and releasing that is fine */
    }
    bs_alloc_fail_at(4);
    assert_int_equal(bs_codes_init(&codes, &format, OUT, IN, &err), BS_OK);
    bs_alloc_fail_at(0);
    bs_codes_release(&codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_counted_as_a_file_holds_them),
        cmocka_unit_test(groups_of_a_row),
        cmocka_unit_test(parameters_come_back_as_they_were_set),
        cmocka_unit_test(decoding_gives_what_rounding_the_matrix_gives),
        cmocka_unit_test(columns_decode_by_their_group_index),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(running_out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
