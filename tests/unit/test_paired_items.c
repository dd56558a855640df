/* Statistics of items against scipy's, statsmodels' and lm-evaluation-harness's
 * (tests/golden/paired_items.py), and how often the test of two models errs where nothing
 * differs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/tasks/paired_items.h"

enum { MOST_ITEMS = 300 };

static json_t *golden;

static int open_golden(void **state)
{
    (void)state;
    golden = json_load_file("tests/golden/paired_items.json", 0, NULL);
    return !golden;
}

static int close_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static double number(const json_t *row, const char *name)
{
    return json_number_value(json_object_get(row, name));
}

static int whole(const json_t *row, const char *name) { return (int)number(row, name); }

static double item(const json_t *row, const char *name, size_t i)
{
    return json_number_value(json_array_get(json_object_get(row, name), i));
}

static void assert_near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance * fmax(fabs(expected), 1e-3)))
        fail_msg("%.15g, expected %.15g", value, expected);
}

/* The script's recurrence. */
static void draw(double *out, int count, uint64_t x)
{
    for (int i = 0; i < count; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (double)(x >> 48) / 65536;
    }
}

static void test_mcnemar(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "mcnemar"), i, row)
    {
        struct bs_flips flips = {50, whole(row, "lost"), whole(row, "gained"), 7};
        struct bs_mcnemar test = bs_mcnemar(flips);
        assert_near(test.p, number(row, "p"), 1e-12);
        assert_int_equal(test.exact, flips.lost + flips.gained < 25);
        struct bs_flips turned = {7, flips.gained, flips.lost, 50};
        assert_true(bs_mcnemar(turned).p >= test.p && bs_mcnemar(turned).p <= test.p);
    }
    assert_true(i > 15);
}

static void test_wilson(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "wilson"), i, row)
    {
        struct bs_interval interval = bs_wilson(whole(row, "right"), whole(row, "items"));
        assert_near(interval.low, item(row, "interval", 0), 1e-10);
        assert_near(interval.high, item(row, "interval", 1), 1e-10);
    }
    assert_true(i > 5);
    assert_true(isnan(bs_wilson(0, 0).low));
}

/* A bootstrap of the same draws is the same; one of others is near. */
static void assert_bootstrap(struct bs_interval ours, const json_t *theirs)
{
    assert_near(ours.low, item(theirs, "interval", 0), 1e-12);
    assert_near(ours.high, item(theirs, "interval", 1), 1e-12);
    double width = item(theirs, "scipy_interval", 1) - item(theirs, "scipy_interval", 0);
    assert_true(fabs(ours.low - item(theirs, "scipy_interval", 0)) < 0.1 * width);
    assert_true(fabs(ours.high - item(theirs, "scipy_interval", 1)) < 0.1 * width);
}

/* Two models on the same items, as the script makes them. */
static void test_sample(const json_t *row)
{
    int items = whole(row, "items");
    uint64_t seed = (uint64_t)number(row, "seed");
    double level[MOST_ITEMS], own[MOST_ITEMS], right[2][MOST_ITEMS], nats[2][MOST_ITEMS];
    uint8_t flags[2][MOST_ITEMS];
    draw(level, items, seed);
    for (uint64_t m = 0; m < 2; m++) {
        int count = 0;
        draw(own, items, seed + 10 * (m + 1));
        for (int i = 0; i < items; i++) {
            flags[m][i] = level[i] + 0.3 * own[i] > 0.6;
            right[m][i] = flags[m][i];
            count += flags[m][i];
        }
        draw(own, items, seed + 10 * (m + 3));
        for (int i = 0; i < items; i++)
            nats[m][i] = -(4 * level[i] + own[i]);
        struct bs_mean mean = bs_item_mean(right[m], items);
        assert_int_equal(count, (int)item(row, "right", m));
        assert_near(mean.mean, (double)count / items, 1e-14);
        assert_near(mean.se, item(row, "se", m), 1e-12);
    }
    struct bs_flips flips = bs_flips_of(flags[0], flags[1], items);
    struct bs_mean change = bs_flips_change(flips);
    assert_int_equal(flips.both_right + flips.lost + flips.gained + flips.both_wrong, items);
    assert_int_equal(flips.both_right + flips.gained, (int)item(row, "right", 1));
    assert_near(change.mean, (item(row, "right", 1) - item(row, "right", 0)) / items, 1e-14);
    assert_near(change.se, number(row, "change_se"), 1e-12);
    struct bs_mean paired = bs_item_change(nats[0], nats[1], items);
    assert_near(bs_student_p(paired.mean / paired.se, paired.df), number(row, "t_p"), 1e-9);
    assert_bootstrap(bs_paired_bootstrap(right[0], right[1], items, NULL, 7),
                     json_object_get(row, "bootstrap"));
}

static void test_samples(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "samples"), i, row) test_sample(row);
    assert_int_equal(i, 3);
}

static void test_holm(void **state)
{
    (void)state;
    const json_t *row = json_object_get(golden, "holm");
    double values[6], *p[6];
    for (size_t i = 0; i < 6; i++) {
        values[i] = item(row, "p", i);
        p[i] = &values[i];
    }
    bs_holm(p, 6);
    for (size_t i = 0; i < 6; i++)
        assert_near(values[i], item(row, "corrected", i), 1e-14);
}

/* The difference that is said to be seen is seen by the test in about four of five cases: the
 * script's power is exact. */
static void test_detectable(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(golden, "detectable"), i, row)
    {
        double d = bs_detectable_difference(whole(row, "items"), number(row, "turned"), 0.05, 0.8);
        assert_near(d, number(row, "difference"), 1e-9);
        assert_true(number(row, "power") > 0.75 && number(row, "power") < 0.85);
    }
    assert_int_equal(i, 6);
    assert_true(isnan(bs_detectable_difference(50, 0.05, 0.05, 0.8)));
    assert_true(isnan(bs_detectable_difference(100, 0, 0.05, 0.8)));
}

/* Where the labels of two models are permuted item by item nothing differs, and a nominal 5 % is
 * 5 %. Each draw has its own items, of which a share of its own turns. */
static void test_type_one(void **state)
{
    (void)state;
    enum { DRAWS = 2000 };
    int called = 0, exact = 0, called_words = 0;
    for (uint64_t d = 0; d < DRAWS; d++) {
        double numbers[3 * MOST_ITEMS + 1];
        const double *level = numbers, *turn = level + MOST_ITEMS, *label = turn + MOST_ITEMS;
        uint8_t a[MOST_ITEMS], b[MOST_ITEMS];
        double nats_a[MOST_ITEMS], nats_b[MOST_ITEMS]; /* with a long tail, as of last words */
        draw(numbers, 3 * MOST_ITEMS + 1, 1000003 * d + 1);
        double share = 0.1 + 0.3 * numbers[(size_t)3 * MOST_ITEMS];
        for (int i = 0; i < MOST_ITEMS; i++) {
            uint8_t first = level[i] < 0.6, second = turn[i] < share ? !first : first;
            bool swapped = label[i] < 0.5;
            a[i] = swapped ? second : first;
            b[i] = swapped ? first : second;
            double before = 6 * level[i] * level[i], after = before + log(turn[i] + 1e-3);
            nats_a[i] = swapped ? after : before;
            nats_b[i] = swapped ? before : after;
        }
        struct bs_mean words = bs_item_change(nats_a, nats_b, MOST_ITEMS);
        called_words += bs_student_p(words.mean / words.se, words.df) < 0.05;
        struct bs_mcnemar test = bs_mcnemar(bs_flips_of(a, b, MOST_ITEMS));
        called += test.p < 0.05;
        exact += test.exact;
    }
    if (called < 0.04 * DRAWS || called > 0.06 * DRAWS)
        fail_msg("%d of %d draws are called significant", called, DRAWS);
    assert_true(exact < DRAWS / 20);
    if (called_words < 0.04 * DRAWS || called_words > 0.06 * DRAWS)
        fail_msg("of last words %d of %d draws are called significant", called_words, DRAWS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mcnemar),    cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_samples),    cmocka_unit_test(test_holm),
        cmocka_unit_test(test_detectable), cmocka_unit_test(test_type_one),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
