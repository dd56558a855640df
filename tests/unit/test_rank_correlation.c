/* Rank correlations: by hand, and against what they are of. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/tasks/rank_correlation.h"
#include "tests/support/close.h"

/* The example of Wikipedia, "Spearman's rank correlation coefficient": 1 - 6 * 194 / (10 * 99). */
static void by_hand(void **state)
{
    (void)state;
    static const double iq[] = {86, 97, 99, 100, 101, 103, 106, 110, 112, 113};
    static const double hours[] = {2, 20, 28, 27, 50, 29, 7, 17, 6, 12};
    struct bs_rank_correlation got = bs_rank_correlation_of(iq, hours, 10);
    assert_int_equal(got.n, 10);
    assert_close(got.r, -29.0 / 165, 0, 1e-12);
    /* tanh(atanh(r) -+ 1.959964 sqrt((1 + r^2 / 2) / 7)), by numpy. */
    assert_close(got.low, -0.72783003, 0, 1e-6);
    assert_close(got.high, 0.51454666, 0, 1e-6);
}

/* Equal ones have the mean of their ranks: 1, 2.5, 2.5, 4 against 1, 3, 2, 4. */
static void ties(void **state)
{
    (void)state;
    static const double x[] = {0, 5, 5, 9}, y[] = {-3, 2, 1, 7};
    struct bs_rank_correlation got = bs_rank_correlation_of(x, y, 4);
    assert_close(got.r, 4.5 / sqrt(4.5 * 5), 0, 1e-12);
}

/* What keeps the order keeps the correlation; what turns it round turns the sign. */
static void of_order_alone(void **state)
{
    (void)state;
    enum { N = 30 };
    double x[N], y[N], grown[N], turned[N];
    for (int i = 0; i < N; i++) {
        x[i] = sin(7.0 * i);
        y[i] = x[i] + 0.8 * cos(11.0 * i * i);
        grown[i] = y[i] * y[i] * y[i] + 4;
        turned[i] = -y[i];
    }
    struct bs_rank_correlation got = bs_rank_correlation_of(x, y, N);
    struct bs_rank_correlation same = bs_rank_correlation_of(x, grown, N);
    struct bs_rank_correlation other = bs_rank_correlation_of(x, turned, N);
    assert_true(got.r > 0.3 && got.r < 0.95 && got.low < got.r && got.r < got.high);
    assert_true(same.r == got.r && same.low == got.low && same.high == got.high);
    assert_close(other.r, -got.r, 0, 1e-12);
    assert_close(other.low, -got.high, 0, 1e-12);
    struct bs_rank_correlation self = bs_rank_correlation_of(x, x, N);
    assert_true(self.r == 1 && self.low == 1 && self.high == 1);
}

static void what_says_nothing(void **state)
{
    (void)state;
    static const double x[] = {1, 2, 3}, equal[] = {1, 1, 1};
    assert_true(isnan(bs_rank_correlation_of(x, equal, 3).r));
    assert_true(isnan(bs_rank_correlation_of(x, x, 1).r));
    struct bs_rank_correlation few = bs_rank_correlation_of(x, x, 3);
    assert_true(few.r == 1 && isnan(few.low) && isnan(few.high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(ties),
        cmocka_unit_test(of_order_alone),
        cmocka_unit_test(what_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
