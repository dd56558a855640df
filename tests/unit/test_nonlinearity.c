/* The functions between matrices against torch, at every length around the lanes, and at the
 * edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/linalg/nonlinearity.h"
#include "tests/support/close.h"

enum { POINTS = 6, LENGTHS = 70 };

static const double points[POINTS] = {-11, -3, -0.7, 0.4, 2.5, 12};

/* torch 2.15, transformers 5.24: ACT2FN[name](torch.tensor(points, dtype=torch.float64)), %.12g. */
static const struct {
    const char *name;
    double values[POINTS];
} golden[] = {
    {"silu",
     {-0.000183715640329, -0.142277619533, -0.232268559482, 0.239475064045, 2.31035454995,
      11.9999262699}},
    {"swish",
     {-0.000183715640329, -0.142277619533, -0.232268559482, 0.239475064045, 2.31035454995,
      11.9999262699}},
    {"gelu", {-0, -0.00404969409489, -0.169374556556, 0.262168696644, 2.48447583669, 12}},
    {"gelu_python", {-0, -0.00404969409489, -0.169374556556, 0.262168696644, 2.48447583669, 12}},
    {"gelu_new", {-0, -0.00363739208177, -0.169429865295, 0.262161169427, 2.48491573391, 12}},
    {"gelu_pytorch_tanh",
     {-0, -0.00363739208177, -0.169429865295, 0.262161169427, 2.48491573391, 12}},
    {"gelu_python_tanh",
     {-0, -0.00363739208177, -0.169429865295, 0.262161169427, 2.48491573391, 12}},
    {"gelu_fast", {-0, -0.00363739208186, -0.169429865295, 0.262161169427, 2.48491573391, 12}},
    {"gelu_accurate", {-0, -0.00363739208177, -0.169429865295, 0.262161169427, 2.48491573391, 12}},
    {"gelu_10", {-0, -0.00404969409489, -0.169374556556, 0.262168696644, 2.48447583669, 10}},
    {"quick_gelu",
     {-8.13825683748e-08, -0.0180713097078, -0.163106048277, 0.265566890288, 2.46501383495,
      11.9999999838}},
    {"relu", {0, 0, 0, 0.4, 2.5, 12}},
    {"relu2", {0, 0, 0, 0.16, 6.25, 144}},
    {"relu6", {0, 0, 0, 0.4, 2.5, 6}},
    {"leaky_relu", {-0.11, -0.03, -0.007, 0.4, 2.5, 12}},
    {"hardswish", {-0, -0, -0.268333333333, 0.226666666667, 2.29166666667, 12}},
    {"mish",
     {-0.000183717174485, -0.145647461276, -0.267870234796, 0.289030534072, 2.47139230456,
      11.9999999991}},
    {"sigmoid",
     {1.67014218481e-05, 0.0474258731776, 0.331812227832, 0.598687660112, 0.924141819979,
      0.999993855825}},
    {"sqrtsoftplus",
     {0.00408675437461, 0.22042538777, 0.63496932909, 0.955518316099, 1.60589219261,
      3.46410250198}},
    {"tanh",
     {-0.999999999442, -0.995054753687, -0.604367777117, 0.379948962255, 0.986614298151,
      0.999999999924}},
    {"laplace", {0, 0, 3.04941947082e-07, 0.138150784142, 0.999999999896, 1}},
    {"linear", {-11, -3, -0.7, 0.4, 2.5, 12}},
};

enum { NUM_GOLDEN = sizeof golden / sizeof golden[0] };

static void every_name_is_torchs_function_at_every_length(void **state)
{
    (void)state;
    bool seen[BS_NUM_NONLINEARITIES] = {false};
    for (int g = 0; g < NUM_GOLDEN; g++) {
        enum bs_nonlinearity f;
        assert_true(bs_nonlinearity_find(golden[g].name, &f));
        seen[f] = true;
        for (size_t count = 0; count <= LENGTHS; count++) {
            float gate[LENGTHS], alone[LENGTHS], up[LENGTHS];
            for (size_t i = 0; i < LENGTHS; i++) {
                gate[i] = alone[i] = (float)points[i % POINTS];
                up[i] = 0.5f * (float)i - 7;
            }
            bs_nonlinearity_times(f, gate, up, count);
            bs_nonlinearity_apply(f, alone, count);
            for (size_t i = 0; i < LENGTHS; i++) {
                double own = i < count ? golden[g].values[i % POINTS] : points[i % POINTS];
                double gated = i < count ? own * (double)up[i] : own;
                assert_close((double)alone[i], own, 2e-6, 2e-6);
                assert_close((double)gate[i], gated, 2e-6 * fabs((double)up[i]), 2e-6);
            }
        }
    }
    for (int f = 0; f < BS_NUM_NONLINEARITIES; f++)
        assert_true(seen[f]);
}

static void names_are_listed_and_others_unknown(void **state)
{
    (void)state;
    enum bs_nonlinearity f;
    for (int g = 0; g < NUM_GOLDEN; g++)
        assert_string_equal(bs_nonlinearity_name(g), golden[g].name);
    assert_null(bs_nonlinearity_name(NUM_GOLDEN));
    assert_false(bs_nonlinearity_find("prelu", &f));
    assert_false(bs_nonlinearity_find(NULL, &f));
}

/* Where an exponential overflows or vanishes there is a limit, and a NaN is not lost. */
static void the_edges_are_finite(void **state)
{
    (void)state;
    for (int f = 0; f < BS_NUM_NONLINEARITIES; f++) {
        float values[] = {-1000, -100, 0, 100, 1000, NAN};
        bs_nonlinearity_apply((enum bs_nonlinearity)f, values, 6);
        for (int i = 0; i < 5; i++)
            assert_true(isfinite(values[i]));
        assert_true(isnan(values[5]));
    }
    float values[] = {-1000, -100, 0, 100, 1000};
    bs_nonlinearity_apply(BS_SILU, values, 5);
    assert_true(values[0] == 0 && fabsf(values[1]) < 1e-30f && values[2] == 0);
    assert_true(values[3] == 100 && values[4] == 1000);
}

/* f(c x) = c f(x) exactly where it is said, for powers of two; and not elsewhere. */
static void factors_pass_where_it_is_said(void **state)
{
    (void)state;
    for (int f = 0; f < BS_NUM_NONLINEARITIES; f++) {
        bool passes = true;
        for (int p = 0; p < POINTS; p++) {
            float plain = (float)points[p], scaled = 4 * plain;
            bs_nonlinearity_apply((enum bs_nonlinearity)f, &plain, 1);
            bs_nonlinearity_apply((enum bs_nonlinearity)f, &scaled, 1);
            passes = passes && scaled == 4 * plain;
        }
        assert_int_equal(passes, bs_nonlinearity_passes_factors((enum bs_nonlinearity)f));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_torchs_function_at_every_length),
        cmocka_unit_test(names_are_listed_and_others_unknown),
        cmocka_unit_test(the_edges_are_finite),
        cmocka_unit_test(factors_pass_where_it_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
