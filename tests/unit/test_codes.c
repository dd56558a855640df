/* A quantized matrix: what its codes decode to, and what it takes in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/quant/codes.h"
#include "tests/support/random_block.h"
#include "tests/support/settings.h"

enum { OUT = 100, IN = 37 };

static const char *const group_sizes[] = {"channel", "tensor", "1", "8", "37", "64"};
enum { NUM_SIZES = sizeof group_sizes / sizeof *group_sizes };

static const struct bs_setting *setting_of(int bits, const char *group_size, bool symmetric)
{
    char text[80];
    snprintf(text, sizeof text, "bits=%d group_size=%s grid=gptq symmetric=%s", bits, group_size,
             symmetric ? "true" : "false");
    return weights_setting(text);
}

static struct bs_codes codes_of(const struct bs_setting *setting, int out, int in)
{
    struct bs_error err;
    struct bs_codes codes;
    assert_int_equal(bs_codes_init(&codes, setting, 0, out, in, &err), BS_OK);
    return codes;
}

/* The bits of one 3 x 10 matrix. */
static double bits_of(int bits, const char *group_size, bool symmetric, bool indexed)
{
    struct bs_codes codes = codes_of(setting_of(bits, group_size, symmetric), 3, 10);
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
    assert_true(bits_of(4, "channel", false, false) == 120 + 3 * (16 + 4));
    assert_true(bits_of(4, "channel", true, false) == 120 + 3 * 16);
    assert_true(bits_of(4, "tensor", false, false) == 120 + 1 * (16 + 4));
    assert_true(bits_of(4, "5", false, false) == 120 + 6 * (16 + 4));
    assert_true(bits_of(4, "4", false, false) == 120 + 9 * (16 + 4)); /* 4 + 4 + 2 columns */
    assert_true(bits_of(3, "4", true, false) == 90 + 9 * 16);
    assert_true(bits_of(8, "64", false, false) == 240 + 3 * (16 + 8)); /* longer than a row */
    assert_true(bits_of(2, "4", false, true) == 60 + 9 * (16 + 2) + 10 * 32);
}

static void groups_of_a_row(void **state)
{
    (void)state;
    static const int columns[NUM_SIZES] = {37, 37, 1, 8, 37, 37};
    static const int groups[NUM_SIZES] = {1, 1, 37, 5, 1, 1};
    static const bool by_columns[NUM_SIZES] = {false, false, true, true, true, true};
    for (int k = 0; k < NUM_SIZES; k++) {
        struct bs_codes codes = codes_of(setting_of(4, group_sizes[k], false), OUT, IN);
        assert_int_equal(codes.layout.group, columns[k]);
        assert_int_equal(codes.layout.span, columns[k]);
        assert_int_equal(codes.layout.by_columns, by_columns[k]);
        assert_int_equal(codes.groups, groups[k]);
        assert_int_equal(codes.spans, groups[k]);
        int last = IN - (groups[k] - 1) * columns[k];
        assert_int_equal(bs_codes_group_columns(&codes, groups[k] - 1), last);
        bs_codes_release(&codes);
    }
}

/* Each group's cell is the one of its own values, whichever were fitted after it. */
static void parameters_stay_where_they_were_fitted(void **state)
{
    (void)state;
    struct bs_error err;
    for (int k = 0; k < NUM_SIZES; k++) {
        const struct bs_setting *setting = setting_of(5, group_sizes[k], false);
        struct bs_codes codes = codes_of(setting, 3, IN);
        float weight[3 * IN];
        random_fill(weight, 3 * IN, 1, 9);
        assert_int_equal(bs_codes_fit_tensor(&codes, weight, NULL, &err), BS_OK);
        for (int i = 0; i < 3; i++)
            for (int s = 0; s < codes.spans; s++) {
                struct bs_sample sample = bs_sample_of(weight + i * IN + s * codes.layout.span,
                                                       (size_t)bs_codes_span_columns(&codes, s));
                bs_codes_fit(&codes, i, s, &sample);
            }
        for (int i = 0; i < 3; i++)
            for (int g = 0; g < codes.groups; g++) {
                const float *own = weight + i * IN + g * codes.layout.group;
                struct bs_cell want =
                    codes.layout.tensor_bytes
                        ? cell_of_values(setting, weight, 3 * IN)
                        : cell_of_values(setting, own, (size_t)bs_codes_group_columns(&codes, g));
                assert_true(same_cell(bs_codes_cell(&codes, i, g), want));
            }
        bs_codes_release(&codes);
    }
}

static void a_part_of_a_larger_tensor_has_its_parameters(void **state)
{
    (void)state;
    struct bs_error err;
    const struct bs_setting *setting = setting_of(4, "tensor", false);
    float whole[2 * OUT * IN];
    random_fill(whole, 2 * OUT * IN, 1, 8);
    whole[2 * OUT * IN - 1] = 30; /* in the second part */
    struct bs_codes all = codes_of(setting, 2 * OUT, IN), part = codes_of(setting, OUT, IN);
    assert_int_equal(bs_codes_round(&all, whole, NULL, &err), BS_OK);
    assert_int_equal(bs_codes_round(&part, whole, &all.shared, &err), BS_OK);
    assert_memory_equal(part.codes, all.codes, OUT * IN);
    assert_true(same_cell(bs_codes_cell(&part, 3, 0), bs_codes_cell(&all, 3, 0)));
    bs_codes_release(&all);
    bs_codes_release(&part);
}

static void decoding_gives_what_rounding_in_place_gives(void **state)
{
    (void)state;
    struct bs_error err;
    static float weight[OUT * IN], rounded[OUT * IN], decoded[OUT * IN];
    static const char *const modes[] = {"nearest", "half_away", "floor",
                                        "ceil",    "truncate",  "stochastic"};
    random_fill(weight, OUT * IN, 1, 3);
    memset(weight + IN, 0, IN * sizeof *weight); /* a row of zeros */
    for (int bits = 2; bits <= 8; bits++)
        for (int m = 0; m < 6; m++)
            for (int k = 0; k < NUM_SIZES; k++) {
                char text[100];
                snprintf(text, sizeof text, "bits=%d group_size=%s rounding=%s rounding_seed=5",
                         bits, group_sizes[k], modes[m]);
                const struct bs_setting *setting = weights_setting(text);
                struct bs_codes codes = codes_of(setting, OUT, IN);
                assert_int_equal(bs_codes_round(&codes, weight, NULL, &err), BS_OK);
                bs_codes_decode(&codes, decoded);
                memcpy(rounded, weight, sizeof rounded);
                struct bs_cell cell = bs_codes_cell(&codes, 0, 0);
                if (codes.layout.tensor_bytes)
                    bs_cell_round(&cell, codes.rounder, 0, rounded, OUT * IN);
                for (int i = 0; !codes.layout.tensor_bytes && i < OUT; i += 7)
                    bs_weights_round(setting, &codes.layout, NULL, codes.rounder, i, NULL,
                                     rounded + i * IN, OUT - i < 7 ? OUT - i : 7);
                for (int i = 0; i < OUT * IN; i++)
                    assert_true(decoded[i] == rounded[i]);
                bs_codes_release(&codes);
            }
}

static void columns_decode_by_their_group_index(void **state)
{
    (void)state;
    struct bs_codes codes = codes_of(setting_of(4, "2", false), 2, 5); /* of 2, 2 and 1 columns */
    static const int index[] = {2, 0, 1, 0, 1};
    codes.group_index = bs_alloc(5, sizeof *codes.group_index);
    memcpy(codes.group_index, index, sizeof index);
    for (int i = 0; i < 2; i++) {
        for (int g = 0; g < 3; g++) {
            float extremes[] = {-(float)(4 * i + g) * (float)(1 + g),
                                (float)(15 - 4 * i - g) * (float)(1 + g)};
            const struct bs_sample sample = {.extremes = extremes};
            bs_codes_fit(&codes, i, g, &sample); /* scale 1 + g, zero point 4 i + g */
        }
        for (int j = 0; j < 5; j++)
            bs_codes_set(&codes, i, j, 3 * j);
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
        char text[80];
        snprintf(text, sizeof text, "bits=4 group_size=%s rounding=%s", group_sizes[k],
                 k % 2 ? "stochastic" : "nearest");
        const struct bs_setting *setting = weights_setting(text);
        struct bs_codes codes[2] = {codes_of(setting, OUT, IN), codes_of(setting, OUT, IN)};
        static const int threads[] = {1, 2, 7};
        for (int t = 0; t < 3; t++) {
            bs_set_threads(threads[t]);
            assert_int_equal(bs_codes_round(&codes[t > 0], weight, NULL, &err), BS_OK);
            bs_codes_decode(&codes[t > 0], decoded[t > 0]);
            if (t == 0)
                continue;
            assert_true(same_codes(&codes[0], &codes[1]));
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
    const struct bs_setting *setting = setting_of(4, "8", false);
    struct bs_codes codes;
    for (long n = 1; n <= 3; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_codes_init(&codes, setting, 0, OUT, IN, &err), BS_ENOMEM);
        bs_alloc_fail_at(0);
        assert_null(codes.codes);
        bs_codes_release(&codes); /* and releasing that is fine */
    }
    bs_alloc_fail_at(4);
    assert_int_equal(bs_codes_init(&codes, setting, 0, OUT, IN, &err), BS_OK);
    bs_alloc_fail_at(0);
    bs_codes_release(&codes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_counted_as_a_file_holds_them),
        cmocka_unit_test(groups_of_a_row),
        cmocka_unit_test(parameters_stay_where_they_were_fitted),
        cmocka_unit_test(a_part_of_a_larger_tensor_has_its_parameters),
        cmocka_unit_test(decoding_gives_what_rounding_in_place_gives),
        cmocka_unit_test(columns_decode_by_their_group_index),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(running_out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
