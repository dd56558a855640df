/* Means, standard errors and quantiles on cases worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/metrics/statistics.h"

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
    /* One value a window: the textbook s / sqrt(n); s^2 = 10/3, n = 4. */
    mean = bs_mean_of(x, &(struct bs_layout){4, 1, 4});
    assert_near(mean.se, sqrt(10.0 / 3 / 4), 1e-15);
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

static void test_p_value(void **state)
{
    (void)state;
    /* Abramowitz and Stegun, table 26.1: 1 - P(x) of the normal distribution, times two. */
    assert_near(bs_p_value(0), 1, 0);
    assert_near(bs_p_value(1), 0.31731050786291415, 1e-12);
    assert_near(bs_p_value(-2), 0.04550026389635842, 1e-12);
    assert_true(isnan(bs_p_value(NAN)));
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
        cmocka_unit_test(test_mean),       cmocka_unit_test(test_windows_count_once),
        cmocka_unit_test(test_too_little), cmocka_unit_test(test_nan_is_kept),
        cmocka_unit_test(test_not_scored), cmocka_unit_test(test_not_scored),
        cmocka_unit_test(test_perplexity), cmocka_unit_test(test_differences),
        cmocka_unit_test(test_p_value),    cmocka_unit_test(test_quantile),
        cmocka_unit_test(test_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
