/* Means, standard errors and quantiles on cases worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "eval/data/windows.h"
#include "eval/tasks/uncertainty.h"

/* False for NaN, unlike cmocka's own comparison. */
static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want) + 1e-300))
        fail_msg("got %.17g, want %.17g", got, want);
}

static void test_mean(void **state)
{
    (void)state;
    /* Two windows of two: mean 3; residual sums (1-3)+(2-3) = -3 and 3; se = sqrt(2/1 * 18) / 4. */
    const float x[] = {1, 2, 4, 5};
    struct bs_mean mean = bs_mean_of(x, &(struct bs_layout){2, 2, 4});
    assert_near(mean.mean, 3, 0);
    assert_near(mean.se, 1.5, 1e-15);
    assert_near(mean.df, 1, 1e-15);
    /* One value a window: the textbook s / sqrt(n) where neighbours do not resemble each other;
     * s^2 = 10/3, n = 4. */
    const float y[] = {1, 5, 2, 4};
    mean = bs_mean_of(y, &(struct bs_layout){4, 1, 4});
    assert_int_equal(mean.lag, 0);
    assert_near(mean.se, sqrt(10.0 / 3 / 4), 1e-15);
    assert_near(mean.df, 3, 1e-15);
}

/* Residuals -2, -1, 1, 2: c_0 = 10, c_1 = 3, a lag of W / 4 = 1 with weight 1/2. The weights' rows
 * sum to 1.5, 2, 2, 1.5: all 7, squares 12.5; theirs 5.5. T = 4 - 7/4; trace of the square 5.5 - 2
 * * 12.5 / 4 + 49/16. */
static void test_neighbours(void **state)
{
    (void)state;
    const float x[] = {1, 2, 4, 5};
    struct bs_mean mean = bs_mean_of(x, &(struct bs_layout){4, 1, 4});
    assert_int_equal(mean.windows, 4);
    assert_int_equal(mean.lag, 1);
    assert_near(mean.se, sqrt(4 / 2.25 * (10 + 2 * 0.5 * 3)) / 4, 1e-15);
    assert_near(mean.df, 2.25 * 2.25 / (5.5 - 6.25 + 49.0 / 16), 1e-14);
    struct bs_lag_weights plain = bs_lag_weights(12, 0);
    assert_near(plain.trace, 11, 1e-14);
    assert_near(plain.df, 11, 1e-14);
    /* rho = 0.5 + 2 * 2.5 / 205 = 0.5244, alpha = 2.0931, 1.1447 (2.0931 * 205)^(1/3) = 8.63 */
    assert_int_equal(bs_lag_of(0.5, 205), 8);
    assert_int_equal(bs_lag_of(-0.5, 205), 0);
    assert_int_equal(bs_lag_of(1, 3), 0);
    assert_int_equal(bs_lag_of(1, 100000), BS_MOST_LAG);
    assert_int_equal(bs_lag_of(NAN, 100), 0);
}

static void test_windows_count_once(void **state)
{
    (void)state;
    /* Values that only vary inside their windows do not move the mean of a window. */
    const float x[] = {1, -1, 1, -1, 1, -1};
    struct bs_mean mean = bs_mean_of(x, &(struct bs_layout){3, 2, 6});
    assert_true(mean.mean == 0 && mean.se == 0);
    /* Each value doubled within its window carries nothing new: the same se. */
    const float y[] = {1, 4, 2, 9}, doubled[] = {1, 1, 4, 4, 2, 2, 9, 9};
    assert_near(bs_mean_of(doubled, &(struct bs_layout){4, 2, 8}).se,
                bs_mean_of(y, &(struct bs_layout){4, 1, 4}).se, 1e-15);
}

static void test_too_little(void **state)
{
    (void)state;
    const float x[] = {2, 4};
    struct bs_mean mean = bs_mean_of(x, &(struct bs_layout){1, 2, 2});
    assert_near(mean.mean, 3, 0);
    assert_true(isnan(mean.se));
    assert_true(isnan(bs_perplexity_of(x, &(struct bs_layout){1, 2, 2}).se));
    assert_true(isnan(bs_mean_of(x, &(struct bs_layout){0, 2, 0}).mean));
    assert_true(isnan(bs_mean_of(x, &(struct bs_layout){2, 0, 0}).mean));
}

static void test_nan_is_kept(void **state)
{
    (void)state;
    const float x[] = {1, NAN, 2, 3};
    assert_true(isnan(bs_mean_of(x, &(struct bs_layout){2, 2, 4}).mean));
    assert_true(isnan(bs_perplexity_difference(x, x, &(struct bs_layout){2, 2, 4}).mean));
}

/* Windows with unlike numbers of scored positions: the rest is left out, wherever it stands. */
static void test_not_scored(void **state)
{
    (void)state;
    const float x[] = {NAN, 1, 2, 4, NAN, NAN, NAN, NAN, NAN};
    const struct bs_layout layout = {3, 3, 3};
    /* mean 7/3; residual sums (1+2) - 14/3 and 4 - 7/3; the third window has none and is none. */
    struct bs_mean mean = bs_mean_of(x, &layout);
    assert_near(mean.mean, 7.0 / 3, 1e-15);
    assert_near(mean.se, sqrt(2 * 2 * (5.0 / 3) * (5.0 / 3)) / 3, 1e-15);
    const float y[] = {NAN, 0.5F, 1.5F, 3.5F, NAN, NAN, NAN, NAN, NAN};
    struct bs_mean shift = bs_mean_difference(x, y, &layout);
    assert_near(shift.mean, 0.5, 0);
    assert_near(shift.se, 0, 0);
    /* One that is missing, or too many, is no mean at all. */
    assert_true(isnan(bs_mean_of(x, &(struct bs_layout){3, 3, 4}).mean));
    assert_true(isnan(bs_mean_of(x, &(struct bs_layout){3, 3, 2}).mean));
    const float z[] = {1, NAN, 1, 1, NAN, NAN, NAN, NAN, NAN};
    assert_true(isnan(bs_mean_difference(x, z, &layout).mean));
}

static void test_perplexity(void **state)
{
    (void)state;
    const float nll[] = {1, 2, 4, 5};
    struct bs_mean perplexity = bs_perplexity_of(nll, &(struct bs_layout){2, 2, 4});
    assert_near(perplexity.mean, exp(3), 1e-15);
    assert_near(perplexity.se, exp(3) * 1.5, 1e-15);
}

static void test_differences(void **state)
{
    (void)state;
    const float a[] = {1.5F, 2.5F, 4.5F, 5.5F}, b[] = {1, 2, 4, 5};
    /* A constant shift has no error, however much the values themselves vary. */
    struct bs_mean shift = bs_mean_difference(a, b, &(struct bs_layout){2, 2, 4});
    assert_near(shift.mean, 0.5, 0);
    assert_true(shift.se == 0);
    /* P_a a - P_b b: means m_a = 3.5, m_b = 3, residual sums -3 and 3 for both, so the combined
     * ones are -+3 (P_a - P_b) and se = (P_a - P_b) * 1.5. */
    struct bs_mean difference = bs_perplexity_difference(a, b, &(struct bs_layout){2, 2, 4});
    double apart = exp(3.5) - exp(3);
    assert_near(difference.mean, apart, 1e-14);
    assert_near(difference.se, apart * 1.5, 1e-14);
    struct bs_mean back = bs_perplexity_difference(b, a, &(struct bs_layout){2, 2, 4});
    assert_near(back.mean, -apart, 1e-14);
    assert_near(back.se, difference.se, 1e-14);
    struct bs_mean none = bs_perplexity_difference(a, a, &(struct bs_layout){2, 2, 4});
    assert_true(none.mean == 0 && none.se == 0);
}

static void test_student(void **state)
{
    (void)state;
    /* Two-sided: df = 1 is Cauchy's, 1 - 2/pi atan t; df = 2 is 1 - t / sqrt(2 + t^2); infinite is
     * the normal's (Abramowitz and Stegun, table 26.1); Student's own table for 10: 2.228, 5 %. */
    assert_near(bs_student_p(1, 1), 0.5, 1e-12);
    assert_near(bs_student_p(-3, 1), 1 - 2 / acos(-1) * atan(3), 1e-12);
    assert_near(bs_student_p(3, 2), 1 - 3 / sqrt(11), 1e-12);
    assert_near(bs_student_p(2.228138852, 10), 0.05, 1e-8);
    assert_near(bs_student_p(2, INFINITY), 0.04550026389635842, 1e-12);
    assert_near(bs_student_p(2, 1e9), 0.04550026389635842, 1e-6);
    assert_near(bs_student_p(0, 5), 1, 0);
    assert_true(bs_student_p(1e200, 3) >= 0 && bs_student_p(1e200, 3) < 1e-300);
    assert_true(isnan(bs_student_p(NAN, 3)) && isnan(bs_student_p(1, 0)));
    assert_near(bs_student_quantile(0.05, 10), 2.228138852, 1e-8);
    assert_near(bs_student_quantile(0.5, 1), 1, 1e-10);
    assert_true(isnan(bs_student_quantile(0, 4)) && isnan(bs_student_quantile(0.05, NAN)));
}

static void test_sign_flip(void **state)
{
    (void)state;
    /* +-1 +-2 +-4 takes each odd value from -7 to 7 once: 7 is reached by 2 of 8, 5 by 4. */
    const double x[] = {1, 2, 4}, y[] = {-1, 2, 4}, zeros[] = {0, 0}, one[] = {5};
    assert_near(bs_sign_flip_p(x, 3), 2.0 / 8, 0);
    assert_near(bs_sign_flip_p(y, 3), 4.0 / 8, 0);
    assert_near(bs_sign_flip_p(zeros, 2), 1, 0);
    assert_near(bs_sign_flip_p(one, 1), 1, 0);
    /* Equal sums stay equal whatever rounding makes of them. */
    const double tenths[] = {0.1, 0.2, 0.3};
    assert_near(bs_sign_flip_p(tenths, 3), 2.0 / 8, 0);
    const double cancel[] = {0.3, -0.1, -0.2};
    assert_near(bs_sign_flip_p(cancel, 3), 1, 0);
    double many[BS_MOST_FLIPPED];
    for (int i = 0; i < BS_MOST_FLIPPED; i++)
        many[i] = 1;
    assert_near(bs_sign_flip_p(many, BS_MOST_FLIPPED), ldexp(2, -BS_MOST_FLIPPED), 0);
}

static void test_holm(void **state)
{
    (void)state;
    /* Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.5. */
    double p[] = {0.03, 0.01, 0.5, 0.02}, *pointers[] = {&p[0], &p[1], &p[2], &p[3]};
    bs_holm(pointers, 4);
    const double want[] = {0.06, 0.04, 0.5, 0.06};
    for (int i = 0; i < 4; i++)
        assert_near(p[i], want[i], 1e-15);
    double high[] = {0.7, 0.9}, *two[] = {&high[0], &high[1]};
    bs_holm(two, 2);
    assert_true(high[0] == 1 && high[1] == 1);
    bs_holm(NULL, 0);
}

static void test_difference(void **state)
{
    (void)state;
    const float a[] = {1, 3, 1, 5, 2, 4}, b[] = {0, 0, 0, 0, 0, 0};
    /* All six differences have one sign: 2 of 64 choices are as far out, whatever the lag's rule
     * says of windows that alternate (lag 0). */
    struct bs_test test = bs_test_difference(a, b, &(struct bs_layout){6, 1, 6});
    assert_int_equal(test.difference.lag, 0);
    assert_true(test.flipped);
    assert_int_equal(test.blocks, 6);
    assert_near(test.p, 2.0 / 64, 0);
    assert_near(test.t, test.difference.mean / test.difference.se, 1e-15);
    test = bs_test_difference(a, a, &(struct bs_layout){6, 1, 6});
    assert_true(test.p == 1 && isnan(test.t));
    test = bs_test_difference(a, b, &(struct bs_layout){1, 6, 6});
    assert_true(isnan(test.p));
}

/* ---- on windows of a real text ---- */

enum { TEXT_WINDOWS = 205 };
static json_t *recorded;

static int open_recorded(void **state)
{
    (void)state;
    recorded = json_load_file("tests/golden/window_nll.json", 0, NULL);
    return !recorded;
}

static int close_recorded(void **state)
{
    (void)state;
    json_decref(recorded);
    return 0;
}

/* The mean NLLs of the text's windows under a recipe, less those under another where not NULL. */
static void load(const char *recipe, const char *other, double *out)
{
    const json_t *own = json_object_get(recorded, recipe);
    const json_t *minus = other ? json_object_get(recorded, other) : NULL;
    assert_int_equal(json_array_size(own), TEXT_WINDOWS);
    for (int w = 0; w < TEXT_WINDOWS; w++)
        out[w] = json_number_value(json_array_get(own, w)) -
                 (minus ? json_number_value(json_array_get(minus, w)) : 0);
}

static double mean_over(const double *x, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += x[i];
    return sum / count;
}

static double correlation(const double *x, int count)
{
    double mean = mean_over(x, count), squares = 0, products = 0;
    for (int i = 0; i < count; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
        products += i ? (x[i] - mean) * (x[i - 1] - mean) : 0;
    }
    return products / squares;
}

/* How often the 95 % interval of `windows` picked from the text holds the text's mean, the text
 * begun at each of its windows in turn. */
static double coverage(const double *text, int windows, bool even)
{
    double mean = mean_over(text, TEXT_WINDOWS);
    int covered = 0;
    for (int start = 0; start < TEXT_WINDOWS; start++) {
        float picked[TEXT_WINDOWS];
        for (int i = 0; i < windows; i++) {
            size_t at = even ? bs_pick_even(TEXT_WINDOWS, (size_t)windows, (size_t)i) : (size_t)i;
            picked[i] = (float)text[(at + (size_t)start) % TEXT_WINDOWS];
        }
        struct bs_mean got = bs_mean_of(picked, &(struct bs_layout){windows, 1, (size_t)windows});
        covered += fabs(got.mean - mean) <= bs_student_quantile(0.05, got.df) * got.se;
    }
    return covered / (double)TEXT_WINDOWS;
}

static void test_coverage(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"unquantized", NULL}, {"gptq w3 g128", "unquantized"}, {"rtn w2 g128", "unquantized"}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        double text[TEXT_WINDOWS], all = 0;
        load(pairs[p][0], pairs[p][1], text);
        for (int windows = 4; windows <= 12; windows++) {
            double share = coverage(text, windows, true);
            print_message("%s: %d of the text's windows cover its mean in %.1f %%\n", pairs[p][0],
                          windows, 100 * share);
            assert_true(share >= 0.88);
            all += share / 9;
        }
        assert_true(all >= 0.94);
    }
    /* The first windows do not say as much: neighbours resemble each other. */
    double text[TEXT_WINDOWS], consecutive = 0;
    load("unquantized", NULL, text);
    assert_true(correlation(text, TEXT_WINDOWS) > 0.45);
    for (int windows = 4; windows <= 12; windows++)
        consecutive += coverage(text, windows, false) / 9;
    assert_true(consecutive < 0.93);
}

/* Deviates for simulations; what is drawn is the same everywhere. */
static double uniform(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(2 * acos(-1) * uniform(state));
}

/* A text of that many windows whose neighbours correlate by rho. */
static void simulate(double rho, int windows, uint64_t *state, float *x)
{
    double value = normal(state);
    for (int w = 0; w < windows; w++) {
        x[w] = (float)value;
        value = rho * value + sqrt(1 - rho * rho) * normal(state);
    }
}

/* The whole text under which two systems differ, a stretch of it, which of the two is which drawn
 * anew for every `block` windows. */
static void relabel(const double *difference, int windows, int block, uint64_t *state, float *x)
{
    int start = (int)(uniform(state) * (TEXT_WINDOWS - windows + 1));
    int at = (int)(uniform(state) * block), sign = uniform(state) < 0.5 ? -1 : 1;
    for (int w = 0; w < windows; w++, at++) {
        if (at % block == 0)
            sign = uniform(state) < 0.5 ? -1 : 1;
        x[w] = (float)(sign * difference[start + w]);
    }
}

enum { RUNS = 3000 };
static const double level = 0.05;

static void check_errors(const char *what, int windows, int significant)
{
    double share = significant / (double)RUNS;
    print_message("%s, %d windows: %.1f %% significant at 5 %%\n", what, windows, 100 * share);
    assert_true(share <= 1.2 * level);
}

static const int extents[] = {2, 4, 8, 12, 24, 205};
enum { EXTENTS = sizeof extents / sizeof *extents };

static bool is_significant(const float *x, int windows)
{
    static const float zero[TEXT_WINDOWS];
    struct bs_layout layout = {windows, 1, (size_t)windows};
    return bs_test_difference(x, zero, &layout).p < level;
}

/* Nothing differs, so what is called significant is an error. The difference of two recipes
 * correlates far less from window to window than their losses do. */
static void test_type_one_error(void **state)
{
    (void)state;
    double difference[TEXT_WINDOWS], most = 0;
    static const char *const pairs[][2] = {{"gptq w3 g128", "gptq w3 g128 act_order"},
                                           {"gptq w3 g128", "rtn w3 g128"}};
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        uint64_t random = 1 + p;
        load(pairs[p][0], pairs[p][1], difference);
        double mean = mean_over(difference, TEXT_WINDOWS);
        for (int w = 0; w < TEXT_WINDOWS; w++)
            difference[w] -= mean;
        most = fmax(most, correlation(difference, TEXT_WINDOWS));
        for (int e = 0; e < EXTENTS; e++)
            for (int block = 1; block <= 8; block *= 2) {
                int significant = 0;
                for (int run = 0; run < RUNS; run++) {
                    float x[TEXT_WINDOWS];
                    relabel(difference, extents[e], block, &random, x);
                    significant += is_significant(x, extents[e]);
                }
                check_errors(pairs[p][0], extents[e], significant);
            }
    }
    print_message("differences correlate by up to %.2f\n", most);
    uint64_t random = 5;
    for (double rho = 0; rho < 0.06; rho += 0.05)
        for (int e = 0; e < EXTENTS; e++) {
            int significant = 0;
            for (int run = 0; run < RUNS; run++) {
                float x[TEXT_WINDOWS];
                simulate(rho, extents[e], &random, x);
                significant += is_significant(x, extents[e]);
            }
            check_errors("simulated", extents[e], significant);
        }
    assert_true(most < 0.15);
}

/* And what differs is found: by three quarters of a standard deviation, in 24 windows. */
static void test_power(void **state)
{
    (void)state;
    uint64_t random = 9;
    int found = 0;
    for (int run = 0; run < RUNS; run++) {
        float x[24];
        simulate(0, 24, &random, x);
        for (int w = 0; w < 24; w++)
            x[w] += 0.75F;
        found += is_significant(x, 24);
    }
    print_message("found in %.1f %%\n", 100.0 * found / RUNS);
    assert_true(found > 0.7 * RUNS);
}

static void test_quantile(void **state)
{
    (void)state;
    const float x[] = {1, 2, 4, 8, INFINITY};
    assert_near(bs_quantile(x, 4, 0.5), 3, 0);
    assert_near(bs_quantile(x, 4, 0.9), 4 + 0.7 * 4, 1e-14);
    assert_near(bs_quantile(x, 5, 0), 1, 0);
    assert_near(bs_quantile(x, 5, 0.75), 8, 0);
    assert_true(isinf(bs_quantile(x, 5, 1)));
    assert_near(bs_quantile(x, 1, 0.3), 1, 0);
    assert_true(isnan(bs_quantile(x, 0, 0.5)));
}

static void test_sort(void **state)
{
    (void)state;
    float x[] = {3, NAN, -1, INFINITY, 0, -INFINITY};
    bs_sort(x, 6);
    assert_true(isinf(x[0]) && x[0] < 0);
    assert_true(x[1] == -1 && x[2] == 0 && x[3] == 3);
    assert_true(isinf(x[4]) && isnan(x[5]));
    bs_sort(x, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_windows_count_once),
        cmocka_unit_test(test_too_little),
        cmocka_unit_test(test_nan_is_kept),
        cmocka_unit_test(test_not_scored),
        cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_sign_flip),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_type_one_error),
        cmocka_unit_test(test_power),
        cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_sort),
    };
    return cmocka_run_group_tests(tests, open_recorded, close_recorded);
}
