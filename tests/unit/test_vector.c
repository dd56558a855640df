/* The vector loops against plain ones, at every length around the lanes, and at the edges. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/vector.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

enum { LENGTHS = 70, LONG = 3001 };

static float x[LONG], y[LONG];

static int fill(void **state)
{
    (void)state;
    random_fill(x, LONG, 3, 1);
    random_fill(y, LONG, 3, 2);
    return 0;
}

static void extremes_are_found_wherever_they_stand(void **state)
{
    (void)state;
    float values[LENGTHS];
    for (size_t count = 1; count <= LENGTHS; count++)
        for (size_t at = 0; at < count; at++) {
            float low, high;
            memcpy(values, x, sizeof values);
            values[at] = 50;
            values[(at + 1) % count] = -60;
            bs_min_max(values, count, &low, &high);
            assert_true(low == -60);
            assert_true(count == 1 || high == 50);
            assert_true(bs_max(values, count) == high);
            assert_true(bs_abs_max(values, count) == 60);
            values[(at + 1) % count] = 1;
            assert_true(count == 1 || bs_abs_max(values, count) == 50);
        }
    assert_true(bs_abs_max(values, 0) == 0);
    values[0] = -2; /* all values on one side of zero */
    values[1] = -3;
    float low, high;
    bs_min_max(values, 2, &low, &high);
    assert_true(low == -3 && high == -2);
}

static void extremes_pass_over_what_is_no_number(void **state)
{
    (void)state;
    static const float strange[] = {NAN, INFINITY, -INFINITY};
    for (size_t count = 1; count <= LENGTHS; count++)
        for (size_t at = 0; at < count; at++)
            for (int s = 0; s < 3; s++) {
                float values[LENGTHS], low, high, least = INFINITY, most = -INFINITY;
                memcpy(values, x, sizeof values);
                values[at] = strange[s];
                for (size_t i = 0; i < count; i++) {
                    least = values[i] < least ? values[i] : least;
                    most = values[i] > most ? values[i] : most;
                }
                bs_min_max(values, count, &low, &high);
                if (isnan(values[0])) { /* every comparison with it is false */
                    assert_true(isnan(low) && isnan(high) && isnan(bs_max(values, count)));
                } else {
                    assert_true(low == least && high == most);
                    assert_true(bs_max(values, count) == most);
                }
            }
}

static void sums_equal_plain_sums(void **state)
{
    (void)state;
    for (size_t count = 0; count <= LENGTHS; count++) {
        double squares = 0, dot = 0, difference = 0, power = 0, weighted = 0, p[LENGTHS];
        for (size_t i = 0; i < count; i++) {
            double d = (double)x[i] - (double)y[i];
            p[i] = 0.1 * (double)i;
            squares += (double)x[i] * (double)x[i];
            dot += (double)x[i] * (double)y[i];
            difference += d * d;
            power += pow(fabs(d), 2.4);
            weighted += p[i] * d;
        }
        assert_close(bs_sum_squares(x, count), squares, 0, 1e-14);
        assert_close(bs_dot(x, y, count), dot, 1e-12, 0);
        assert_close(bs_sum_squared_difference(x, y, count), difference, 0, 1e-14);
        assert_close(bs_weighted_difference(p, x, y, count), weighted, 1e-12, 0);
        assert_close((double)bs_sum_power_difference(x, y, count, 2.4f), power, 0, 2e-6);
    }
}

static void sums_are_taken_in_double(void **state)
{
    (void)state;
    /* 2^24 + 1 is no float. */
    float large[LENGTHS];
    for (size_t i = 0; i < LENGTHS; i++)
        large[i] = i == 0 ? 4096 : 1;
    assert_true(bs_sum_squares(large, LENGTHS) == 16777216.0 + LENGTHS - 1);
    assert_true(bs_dot(large, large, LENGTHS) == 16777216.0 + LENGTHS - 1);
    large[0] = 16777216;
    float ones[LENGTHS] = {0};
    for (size_t i = 0; i < LENGTHS; i++)
        ones[i] = -1;
    assert_true(bs_sum_squared_difference(large, ones, LENGTHS) ==
                16777217.0 * 16777217.0 + 4.0 * (LENGTHS - 1));
}

static void sums_do_not_depend_on_where_the_vector_lies(void **state)
{
    (void)state;
    static float moved[LONG + 16], copy[LONG];
    for (size_t offset = 0; offset < 16; offset++) {
        memcpy(moved + offset, x, sizeof x);
        assert_true(bs_sum_squares(moved + offset, LONG) == bs_sum_squares(x, LONG));
        assert_true(bs_sum_exp(moved + offset, LONG, 1) == bs_sum_exp(x, LONG, 1));
        assert_true(bs_sum_power_difference(moved + offset, y, LONG, 2.4f) ==
                    bs_sum_power_difference(x, y, LONG, 2.4f));
        memcpy(copy, x, sizeof x);
        assert_true(bs_exp_shifted(moved + offset, LONG, 1) == bs_exp_shifted(copy, LONG, 1));
        assert_memory_equal(moved + offset, copy, sizeof copy);
    }
}

static void exponentials_equal_the_library_ones(void **state)
{
    (void)state;
    for (size_t count = 0; count <= LENGTHS; count++) {
        float shifted[LENGTHS];
        double p[LENGTHS], sum = 0;
        memcpy(shifted, x, sizeof shifted);
        float got = bs_exp_shifted(shifted, count, 2.5f);
        assert_true(bs_exp_to_double(x, count, 2.5, p) == bs_sum_exp(x, count, 2.5));
        for (size_t i = 0; i < count; i++) {
            double want = exp((double)x[i] - 2.5);
            sum += want;
            assert_close((double)shifted[i], want, 0, 1e-6);
            assert_close(p[i], want, 0, 1e-14);
        }
        assert_close((double)got, sum, 0, 2e-6);
        assert_close(bs_sum_exp(x, count, 2.5), sum, 0, 1e-14);
        if (count < LENGTHS)
            assert_true(shifted[count] == x[count]); /* nothing after the end is written */
    }
}

static void exponentials_far_below_the_shift_vanish(void **state)
{
    (void)state;
    float values[20];
    for (int i = 0; i < 20; i++)
        values[i] = i == 7 ? 1e4f : -1e4f;
    assert_true(bs_sum_exp(values, 20, 1e4) == 1);
    assert_true(bs_exp_shifted(values, 20, 1e4f) == 1);
    for (int i = 0; i < 20; i++)
        assert_true(values[i] == (i == 7 ? 1.0f : 0.0f));
}

static void soft_cap(void **state)
{
    (void)state;
    float capped[LENGTHS];
    memcpy(capped, x, sizeof capped);
    bs_soft_cap(capped, LENGTHS, 0.7f);
    for (size_t i = 0; i < LENGTHS; i++)
        assert_close((double)capped[i], (double)0.7f * tanh((double)x[i] / (double)0.7f), 1e-7,
                     2e-6);
}

static void powers(void **state)
{
    (void)state;
    float positive[LENGTHS], out[LENGTHS];
    for (size_t i = 0; i < LENGTHS; i++)
        positive[i] = fabsf(x[i]);
    for (int k = 0; k <= 20; k++) {
        bs_power(positive, LENGTHS, (float)k / 20, out);
        for (size_t i = 0; i < LENGTHS; i++)
            assert_close((double)out[i], pow((double)positive[i], (double)((float)k / 20)), 0,
                         1e-6);
    }
    float zero = 0, one;
    bs_power(&zero, 1, 0, &one);
    assert_true(one == 1);
}

static void the_first_value_that_is_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 1, 15, 1023, 1024, 1025, 2048, LONG - 1};
    static float values[LONG];
    memcpy(values, x, sizeof values);
    values[5] = FLT_MAX;
    values[6] = FLT_TRUE_MIN;
    assert_int_equal(bs_first_not_finite(values, LONG), LONG);
    for (size_t b = 0; b < 3; b++)
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            memcpy(values, x, sizeof values);
            values[LONG - 1] = NAN; /* a later one does not hide it */
            values[places[p]] = bad[b];
            assert_int_equal(bs_first_not_finite(values, LONG), places[p]);
            assert_int_equal(bs_first_not_finite(values, places[p]), places[p]);
        }
}

static void rms_norm_by_hand_and_in_place(void **state)
{
    (void)state;
    /* mean square (9 + 16 + 0 + 0) / 4 = 6.25, plus 0 */
    float row[] = {3, -4, 0, 0}, weight[] = {1, 2, 3, 4}, out[4];
    bs_rms_norm(row, weight, 0, 1, 4, out);
    assert_close((double)out[0], 1.2, 0, 1e-7);
    assert_close((double)out[1], -3.2, 0, 1e-7);
    assert_true(out[2] == 0 && out[3] == 0);
    /* eps is inside the root: 6.25 + 2.75 = 9 */
    bs_rms_norm(row, weight, 2.75f, 1, 4, row);
    assert_close((double)row[0], 1, 0, 1e-7);
    assert_close((double)row[1], -8.0 / 3, 0, 1e-7);
    /* Each row has its own mean; a row of zeros stays zero. */
    float rows[] = {2, 2, 0, 0, -5, 5}, ones[] = {1, 1};
    bs_rms_norm(rows, ones, 1e-10f, 3, 2, rows);
    static const double want[] = {1, 1, 0, 0, -1, 1};
    for (int i = 0; i < 6; i++)
        assert_close((double)rows[i], want[i], 0, 1e-6);
}

static void layer_norm_by_hand_and_in_place(void **state)
{
    (void)state;
    /* mean 3, variance 5 (of all four, not of three); 4 more for eps makes a root of 3 */
    float rows[8] = {0, 2, 4, 6, 100, 102, 104, 106};
    const float weight[] = {3, 3, 6, 3}, bias[] = {1, 0, 0, -1};
    const float want[] = {-2, -1, 2, 2};
    float out[8];
    bs_layer_norm(rows, weight, bias, 4, 2, 4, out);
    for (int i = 0; i < 8; i++)
        assert_close((double)out[i], (double)want[i % 4], 1e-6, 0);
    bs_layer_norm(rows, weight, NULL, 4, 2, 4, rows);
    for (int i = 0; i < 8; i++)
        assert_close((double)rows[i], (double)(want[i % 4] - bias[i % 4]), 1e-6, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extremes_are_found_wherever_they_stand),
        cmocka_unit_test(extremes_pass_over_what_is_no_number),
        cmocka_unit_test(sums_equal_plain_sums),
        cmocka_unit_test(sums_are_taken_in_double),
        cmocka_unit_test(sums_do_not_depend_on_where_the_vector_lies),
        cmocka_unit_test(exponentials_equal_the_library_ones),
        cmocka_unit_test(exponentials_far_below_the_shift_vanish),
        cmocka_unit_test(soft_cap),
        cmocka_unit_test(layer_norm_by_hand_and_in_place),
        cmocka_unit_test(powers),
        cmocka_unit_test(the_first_value_that_is_not_finite),
        cmocka_unit_test(rms_norm_by_hand_and_in_place),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
