/* Elementary functions against MPFR, over all that their arguments can be: the error that the
 * header states is the bar. At every level of instructions the bits are the same. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <mpfr.h>

#include "eval/linalg/elementary.h"
#include "tests/support/random_block.h"

enum { BITS = 160, DRAWS = 20000 };

static mpfr_t exact; /* what MPFR made of the arguments */

static int open_exact(void **state)
{
    (void)state;
    mpfr_init2(exact, BITS);
    return 0;
}

static int close_exact(void **state)
{
    (void)state;
    mpfr_clear(exact);
    mpfr_free_cache();
    return 0;
}

/* |got - exact| in units of the last of `precision` bits, the exponent `least` being the smallest
 * that a unit has; infinite where one is no number and the other is. */
static double error_in_ulp(double got, int precision, int least, double largest)
{
    if (mpfr_nan_p(exact) || isnan(got))
        return mpfr_nan_p(exact) && isnan(got) ? 0 : (double)INFINITY;
    if (mpfr_inf_p(exact) || isinf(got)) {
        /* What rounds to an infinite number. */
        bool beyond = mpfr_cmpabs_ui(exact, 0) && fabs(mpfr_get_d(exact, MPFR_RNDZ)) >= largest;
        return isinf(got) && beyond && (got > 0) == (mpfr_sgn(exact) > 0) ? 0 : (double)INFINITY;
    }
    if (mpfr_zero_p(exact))
        return got != 0 || !!mpfr_signbit(exact) != !!signbit(got) ? (double)INFINITY : 0;
    mpfr_t difference;
    mpfr_init2(difference, BITS);
    mpfr_sub_d(difference, exact, got, MPFR_RNDN);
    long unit = (long)mpfr_get_exp(exact) - precision;
    mpfr_mul_2si(difference, difference, -(unit > least ? unit : least), MPFR_RNDN);
    double error = fabs(mpfr_get_d(difference, MPFR_RNDN));
    mpfr_clear(difference);
    return error;
}

static double float_error(float got) { return error_in_ulp((double)got, 24, -149, 0x1.ffffffp127); }

static double double_error(double got) { return error_in_ulp(got, 53, -1074, DBL_MAX); }

/* --- functions of one float --- */

static float sine(float x)
{
    float s, c;
    bs_sin_cos(x, &s, &c);
    return s;
}

static float cosine(float x)
{
    float s, c;
    bs_sin_cos(x, &s, &c);
    return c;
}

/* Wrapped: the header's are inline. */
static float exp_of(float x) { return bs_expf(x); }
static float tanh_of(float x) { return bs_tanhf(x); }
static float erf_of(float x) { return bs_erff(x); }
static float log1p_of(float x) { return bs_log1pf(x); }

static const struct {
    const char *name;
    float (*function)(float x);
    int (*exact)(mpfr_t out, const mpfr_t x, mpfr_rnd_t rounding);
    double bar;
} of_float[] = {
    {"exp", exp_of, mpfr_exp, 1.1}, {"tanh", tanh_of, mpfr_tanh, 2.5},
    {"erf", erf_of, mpfr_erf, 1.2}, {"log1p", log1p_of, mpfr_log1p, 0.6},
    {"sin", sine, mpfr_sin, 0.6},   {"cos", cosine, mpfr_cos, 0.6},
};

static double error_at(size_t f, float x)
{
    mpfr_t argument;
    mpfr_init2(argument, 24);
    mpfr_set_flt(argument, x, MPFR_RNDN);
    of_float[f].exact(exact, argument, MPFR_RNDN);
    mpfr_clear(argument);
    return float_error(of_float[f].function(x));
}

/* Every STRIDE-th of all floats, and all those around where the functions change. */
static void functions_of_a_float(void **state)
{
    (void)state;
    enum { STRIDE = 86969, AROUND = 40 };
    static const float places[] = {
        0,          1,          -1,        0.9f,        3.95f,    10,      89,       -104,
        88.72284f,  -87.33655f, 0x1p-10f,  0x1p28f,     FLT_MIN,  FLT_MAX, INFINITY, 1.5707964f,
        3.1415927f, 0.34657f,   -0.34657f, -103.97208f, 9.01091f, 22,      0x1p-24f, 0x1.07bp72f};
    for (size_t f = 0; f < sizeof of_float / sizeof *of_float; f++) {
        double worst = 0;
        float at = 0;
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
            float x = bs_float_of_bits((uint32_t)bits);
            double error = error_at(f, x);
            if (!(error <= worst)) {
                worst = error;
                at = x;
            }
        }
        for (size_t p = 0; p < sizeof places / sizeof *places; p++)
            for (int i = -AROUND; i <= AROUND; i++) {
                float x = bs_float_of_bits(bs_bits_of_float(places[p]) + (uint32_t)i);
                double error = error_at(f, x);
                if (!(error <= worst)) {
                    worst = error;
                    at = x;
                }
            }
        print_message("%s: %.3f ulp, at %a\n", of_float[f].name, worst, (double)at);
        assert_true(worst <= of_float[f].bar);
    }
}

/* --- functions of one double --- */

static double exp_of_double(double x) { return bs_exp(x); }

static const struct {
    const char *name;
    double (*function)(double x);
    int (*exact)(mpfr_t out, const mpfr_t x, mpfr_rnd_t rounding);
    double bar;
    double low, high; /* where most draws fall */
} of_double[] = {
    {"exp", exp_of_double, mpfr_exp, 1.1, -760, 720},
    {"exp near 0", exp_of_double, mpfr_exp, 1.1, -1, 1},
    {"log", bs_log, mpfr_log, 0.9, 0, 3},
    {"log1p", bs_log1p, mpfr_log1p, 0.9, -1, 3},
    {"exp2", bs_exp2, mpfr_exp2, 1.2, -1100, 1030},
    {"exp2 near 0", bs_exp2, mpfr_exp2, 1.2, -1, 1},
};

static double double_error_at(size_t f, double x)
{
    mpfr_t argument;
    mpfr_init2(argument, 53);
    mpfr_set_d(argument, x, MPFR_RNDN);
    of_double[f].exact(exact, argument, MPFR_RNDN);
    mpfr_clear(argument);
    return double_error(of_double[f].function(x));
}

static uint64_t draw(uint64_t *state)
{
    uint64_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits = bits << 16 | (uint64_t)(random_unit(state) * 65536);
    return bits;
}

static void functions_of_a_double(void **state)
{
    (void)state;
    static const double places[] = {0.0,      -0.0,     1,         -1,      INFINITY, -INFINITY,
                                    NAN,      DBL_MAX,  -DBL_MAX,  DBL_MIN, -DBL_MIN, 0x1p-1074,
                                    709.7827, -745.133, -708.3964, 710,     -746,     0.41,
                                    -0.29,    0x1p-54,  1024,      -1074,   -1075,    2};
    for (size_t f = 0; f < sizeof of_double / sizeof *of_double; f++) {
        double worst = 0, at = 0;
        uint64_t seed = 7;
        for (int i = 0; i < DRAWS; i++) {
            double unit = (double)(draw(&seed) >> 11) * 0x1p-53, x;
            if (i < (int)(sizeof places / sizeof *places))
                x = places[i];
            else if (i % 3)
                x = of_double[f].low + unit * (of_double[f].high - of_double[f].low);
            else
                x = bs_double_of_bits(draw(&seed));
            double error = double_error_at(f, x);
            if (!(error <= worst)) {
                worst = error;
                at = x;
            }
        }
        print_message("%s: %.3f ulp, at %a\n", of_double[f].name, worst, at);
        assert_true(worst <= of_double[f].bar);
    }
}

static void sine_and_cosine_of_turns(void **state)
{
    (void)state;
    double worst = 0;
    uint64_t seed = 9;
    mpfr_t argument;
    mpfr_init2(argument, 53);
    for (int i = 0; i < DRAWS; i++) {
        double x = ((double)(draw(&seed) >> 11) * 0x1p-53 - 0.5) * (i % 2 ? 2 : 1e6), sine, cosine;
        bs_sin_cos_of_turns(x, &sine, &cosine);
        mpfr_set_d(argument, x, MPFR_RNDN);
        mpfr_sinu(exact, argument, 1, MPFR_RNDN);
        worst = fmax(worst, double_error(sine));
        mpfr_cosu(exact, argument, 1, MPFR_RNDN);
        worst = fmax(worst, double_error(cosine));
    }
    mpfr_clear(argument);
    print_message("sine and cosine of turns: %.3f ulp\n", worst);
    assert_true(worst <= 2);
}

/* --- powers --- */

static double power_error(float x, float y)
{
    mpfr_t base, power;
    mpfr_inits2(24, base, power, (mpfr_ptr)NULL);
    mpfr_set_flt(base, x, MPFR_RNDN);
    mpfr_set_flt(power, y, MPFR_RNDN);
    mpfr_pow(exact, base, power, MPFR_RNDN);
    mpfr_clears(base, power, (mpfr_ptr)NULL);
    return float_error(bs_powf(x, y));
}

static void powers(void **state)
{
    (void)state;
    static const float special[] = {
        0,   1,  2,     0.5f, 3,  FLT_MIN, FLT_TRUE_MIN, FLT_MAX,        0.1f,          INFINITY,
        NAN, 24, -0.0f, -1,   -2, -0.5f,   -INFINITY,    0x1.fffffep-1f, 0x1.000002p0f, 1e30f};
    double worst = 0;
    uint64_t seed = 3;
    for (int i = 0; i < DRAWS; i++) {
        float x = bs_float_of_bits((uint32_t)draw(&seed) & 0x7fffffff);
        float y = bs_float_of_bits((uint32_t)draw(&seed));
        if (i % 4 > 0)
            y = (float)(draw(&seed) % 8001) / 1000 - 4;
        if (i % 4 == 2)
            x = 0.5f + (float)(draw(&seed) % 1000003) / 1000003;
        if (i % 4 == 3) { /* just in range, where the exponent counts most */
            x = 1 + (float)(draw(&seed) % 1000003) / 1000003;
            y = (float)((i % 8 ? 127.9 : -148) / log2((double)x));
        }
        double error = power_error(x, y);
        if (!(error <= worst))
            worst = error;
    }
    print_message("pow: %.3f ulp\n", worst);
    assert_true(worst <= 0.6);
    size_t count = sizeof special / sizeof *special;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            if (!signbit(special[i]))
                assert_true(power_error(special[i], special[j]) <= 0.6);
    assert_true(isnan(bs_powf(-2, 2)) && bs_powf(-2, 0) == 1); /* as the header says */
    assert_true(bs_powf(-0.0f, 3) == 0 && bs_powf(-0.0f, -1) == INFINITY);
}

static void powers_of_ten(void **state)
{
    (void)state;
    assert_true(bs_power_of_ten(0) == 1 && bs_power_of_ten(22) == 1e22);
    assert_true(bs_power_of_ten(-1) == 0.1 && bs_power_of_ten(-7) == 1e-7);
    assert_true(bs_power_of_ten(-22) == 1e-22 && bs_power_of_ten(3) == 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_of_a_float),
        cmocka_unit_test(functions_of_a_double),
        cmocka_unit_test(sine_and_cosine_of_turns),
        cmocka_unit_test(powers),
        cmocka_unit_test(powers_of_ten),
    };
    return cmocka_run_group_tests(tests, open_exact, close_exact);
}
