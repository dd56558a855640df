/* What is measured at a token: by hand, by property, and at the ends of the number range. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/vector.h"
#include "eval/tasks/figure.h"
#include "tests/support/close.h"
#include "tests/support/random_block.h"

enum { VOCAB = 4099 };

static double p[VOCAB], q[VOCAB];
static float logits[VOCAB], other[VOCAB];

static struct bs_distribution seen; /* of the reference, by the last measure */

/* Every figure of a token. */
struct token {
    float nll, kld;
    int same_top, target_is_top;
};

/* In runs of `run` ids. */
static struct token measure_in(const float *reference, const float *got, int vocab, int target,
                               int run)
{
    struct bs_distribution q_seen = bs_distribution_none();
    double apart = 0;
    seen = bs_distribution_none();
    for (int first = 0; first < vocab; first += run) {
        int count = vocab - first < run ? vocab - first : run;
        double factor = bs_distribution_add(&seen, reference + first, first, count, target, p);
        bs_distribution_add(&q_seen, got + first, first, count, target, NULL);
        bs_apart_add(&apart, factor, p, reference + first, got + first, count);
    }
    const struct bs_prediction prediction = {&seen, &q_seen, apart, target};
    return (struct token){.nll = (float)bs_figure_types[BS_NLL].value(&prediction),
                          .kld = (float)bs_figure_types[BS_KLD].value(&prediction),
                          .same_top = (int)bs_figure_types[BS_SAME_TOP].value(&prediction),
                          .target_is_top =
                              (int)bs_figure_types[BS_TARGET_IS_TOP].value(&prediction)};
}

/* At once, and in runs: the same but for rounding. */
static struct token measure(const float *reference, const float *got, int vocab, int target)
{
    struct token whole = measure_in(reference, got, vocab, target, vocab);
    for (int run = 1; run < vocab && vocab < 100; run++) {
        struct token token = measure_in(reference, got, vocab, target, run);
        assert_int_equal(token.same_top, whole.same_top);
        assert_int_equal(token.target_is_top, whole.target_is_top);
        if (isfinite(whole.nll))
            assert_close((double)token.nll, (double)whole.nll, 1e-12, 1e-6);
        if (isfinite(whole.kld))
            assert_close((double)token.kld, (double)whole.kld, 2e-12, 1e-6);
        assert_true(isfinite(token.nll) == isfinite(whole.nll) &&
                    isfinite(token.kld) == isfinite(whole.kld));
    }
    return measure_in(reference, got, vocab, target, vocab);
}

static void uniform_logits_cost_the_log_of_the_vocabulary(void **state)
{
    (void)state;
    for (int vocab = 1; vocab <= VOCAB; vocab = 3 * vocab + 1)
        for (int level = -1; level <= 1; level++) {
            for (int i = 0; i < vocab; i++)
                logits[i] = (float)(1000 * level);
            struct token token = measure(logits, logits, vocab, vocab / 2);
            assert_close((double)token.nll, log(vocab), 1e-6, 1e-6);
            assert_true(token.kld == 0 && token.same_top == 1);
            assert_close(seen.sum, vocab, 0, 1e-12);
        }
}

static void a_distribution_is_no_distance_from_itself(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_fill(logits, VOCAB, 5, seed);
        memcpy(other, logits, sizeof other);
        struct token token = measure(logits, other, VOCAB, 17);
        assert_true(token.kld == 0);
        assert_true(token.same_top == 1);
    }
}

static void four_tokens_by_hand(void **state)
{
    (void)state;
    /* p = (1/2, 1/4, 1/8, 1/8), q = (1/4, 1/4, 1/4, 1/4); logits shifted by any constant */
    for (int i = 0; i < 4; i++) {
        logits[i] = (float)log((double[]){0.5, 0.25, 0.125, 0.125}[i]) + 3;
        other[i] = -7;
    }
    struct token token = measure(logits, other, 4, 0);
    double l2 = log(2);
    /* 1/2 log 2 + 1/4 log 1 + 1/4 log 1/2 */
    assert_close((double)token.kld, l2 / 4, 0, 1e-6);
    assert_close((double)token.nll, 2 * l2, 0, 1e-6);
    assert_int_equal(token.same_top, 1); /* the first of equals */
    /* the other way round: 1/4 (log 1/2 + 0 + log 2 + log 2) */
    token = measure(other, logits, 4, 3);
    assert_close((double)token.kld, l2 / 4, 0, 1e-6);
    assert_close((double)token.nll, 3 * l2, 0, 1e-6);
}

static void random_distributions_equal_the_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        random_fill(logits, VOCAB, 3, seed);
        random_fill(other, VOCAB, 3, seed + 100);
        double sum_p = 0, sum_q = 0, kld = 0;
        for (int i = 0; i < VOCAB; i++) {
            sum_p += exp((double)logits[i]);
            sum_q += q[i] = exp((double)other[i]);
        }
        for (int i = 0; i < VOCAB; i++) {
            double pi = exp((double)logits[i]) / sum_p;
            kld += pi * log(pi / (q[i] / sum_q));
        }
        struct token token = measure(logits, other, VOCAB, (int)seed);
        assert_close((double)token.kld, kld, 0, 1e-6);
        assert_close((double)token.nll, -log(q[seed] / sum_q), 0, 1e-6);
        struct token parts = measure_in(logits, other, VOCAB, (int)seed, 1000);
        assert_close((double)parts.kld, kld, 0, 1e-6);
        assert_close((double)parts.nll, -log(q[seed] / sum_q), 0, 1e-6);
        assert_int_equal(parts.same_top, token.same_top);
    }
}

static void a_small_divergence_is_not_lost_in_rounding(void **state)
{
    (void)state;
    /* One logit moved by d: KL = p (1 - p) d^2 / 2 to leading order, here about 1e-9. */
    random_fill(logits, 64, 1, 1);
    memcpy(other, logits, sizeof other);
    other[5] += 0x1p-12f;
    double d = (double)other[5] - (double)logits[5];
    struct token token = measure(logits, other, 64, 0);
    double p5 = exp((double)logits[5] - (double)seen.highest) / seen.sum;
    assert_close((double)token.kld, p5 * (1 - p5) * d * d / 2, 1e-14, 2e-3);
    assert_true(token.kld > 0);
}

static void ties_go_to_the_first(void **state)
{
    (void)state;
    static const float a[] = {1, 3, 3, 0}, b[] = {0, 1, 2, 2}, c[] = {3, 3, 1, 0};
    assert_int_equal(measure(a, a, 4, 0).same_top, 1);
    assert_int_equal(seen.top, 1);
    assert_int_equal(measure(a, b, 4, 0).same_top, 0); /* 1 against 2 */
    assert_int_equal(measure(a, c, 4, 0).same_top, 0); /* 1 against 0 */
    assert_int_equal(measure(b, c, 4, 0).same_top, 0);
    assert_int_equal(measure(a, b, 4, 2).target_is_top, 1);
    assert_int_equal(measure(a, b, 4, 3).target_is_top, 0);
    static const float last[] = {-5, -4, -3, -2};
    measure(last, last, 4, 0);
    assert_int_equal(seen.top, 3);
}

static void huge_logits_do_not_overflow(void **state)
{
    (void)state;
    static const float high[] = {3e38f, 3e38f, -3e38f, 0}, low[] = {-3e38f, -3e38f, -3e38f, -3e38f};
    struct token token = measure(high, high, 4, 1);
    assert_true(token.kld == 0);
    assert_true(isfinite(token.nll));
    token = measure(low, low, 4, 1);
    assert_true(token.kld == 0 && isfinite(token.nll));
    /* At 1e4, where exp overflows double, the figures are right to what a double of 1e4 can hold.
     */
    static const float large[] = {10000, 9999, 9990, -10000}, near_zero[] = {10, 9, 0, -19990};
    token = measure(large, near_zero, 4, 1);
    assert_close((double)token.kld, 0, 1e-7, 0);
    assert_close((double)token.nll, 1 + log1p(exp(-1) + exp(-10)), 0, 1e-6);
    token = measure(large, large, 4, 3); /* the least likely target */
    assert_close((double)token.nll, 20000 + log1p(exp(-1) + exp(-10)), 0, 1e-6);
}

static void what_is_not_finite_shows(void **state)
{
    (void)state;
    static const float fine[] = {1, 2, 3, 4}, nan[] = {1, NAN, 3, 4},
                       infinite[] = {1, INFINITY, 3, 4};
    assert_false(isfinite(measure(fine, nan, 4, 0).nll));
    assert_false(isfinite(measure(fine, nan, 4, 0).kld));
    assert_false(isfinite(measure(nan, fine, 4, 0).kld));
    assert_false(isfinite(measure(fine, infinite, 4, 0).kld));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_logits_cost_the_log_of_the_vocabulary),
        cmocka_unit_test(a_distribution_is_no_distance_from_itself),
        cmocka_unit_test(four_tokens_by_hand),
        cmocka_unit_test(random_distributions_equal_the_definition),
        cmocka_unit_test(a_small_divergence_is_not_lost_in_rounding),
        cmocka_unit_test(ties_go_to_the_first),
        cmocka_unit_test(huge_logits_do_not_overflow),
        cmocka_unit_test(what_is_not_finite_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
