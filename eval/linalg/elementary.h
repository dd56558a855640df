/* Elementary functions with the same bits on every machine: the C library's are not the same on
 * every processor, and its vector forms differ from its plain ones. Each is a fixed sequence of
 * IEEE operations and explicit fused multiply-adds without a branch, so that the compiler makes
 * vectors of them in the loops of _isa.c sources, and a value alone or in a vector of any width
 * gets the same bits. Subnormal results are rounded like others; NaN gives NaN.
 *
 * Errors are the largest that tests/unit/test_elementary.c may find against MPFR, in units in the
 * last place of the exact value's neighbours (ulp; 0.5 is the least there can be). Polynomials are
 * minimax ones, found by Sollya (Debian's package) for the stated interval.
 *
 * Why not SLEEF (Debian's libsleef-dev), whose functions named finz_ have the same bits too: there
 * are none for a processor without fused multiply-adds nor for 128-bit vectors without AVX2; and a
 * call per vector costs what these save by being part of the loop around them. */
#ifndef BS_EVAL_LINALG_ELEMENTARY_H
#define BS_EVAL_LINALG_ELEMENTARY_H

#include <math.h>
#include <stdint.h>

#include "eval/base/float_bits.h"

/* Beyond which results do not change. Not known where these functions are compiled: of a comparison
 * with a constant GCC makes no minimum or maximum instruction. */
struct bs_limits {
    float expf_low, expf_high, tanhf_low, erff_high;
    double exp_low, exp_high;
};
extern const struct bs_limits bs_limits;

/* exp(x) = 2^n (1 + e) with e = exp(r) - 1, |r| <= ln(2) / 2. The last bits of `shifted` are
 * n + 254, whatever the sign of n. For |x| < 2^21. */
struct bs_expf_parts {
    float e, shifted;
};
static inline struct bs_expf_parts bs_expf_reduce(float x)
{
    const float shift = 0x1.8p23f + 254; /* the sum has no room for a fraction: it is rounded */
    float shifted = fmaf(x, 0x1.715476p0f, shift);
    float n = shifted - shift;
    float r = fmaf(n, 0x1.05c61p-29f, fmaf(n, -0x1.62e43p-1f, x));
    float r2 = r * r; /* error 2^-28 of exp(r) */
    float low = fmaf(0x1.555492p-3f, r, 0x1.fffffap-2f);
    float high = fmaf(0x1.694c9cp-10f, r2, fmaf(0x1.12398p-7f, r, 0x1.555a26p-5f));
    return (struct bs_expf_parts){fmaf(fmaf(high, r2, low), r2, r), shifted};
}

/* 2^n, for -126 <= n <= 127. */
static inline float bs_expf_power(float shifted)
{
    return bs_float_of_bits((bs_bits_of_float(shifted) - 127) << 23);
}

/* e^x. Error: 1.1 ulp. */
static inline float bs_expf(float x)
{
    float high = bs_limits.expf_high, low = bs_limits.expf_low;
    x = high < x ? high : x;
    x = low > x ? low : x; /* a NaN passes both */
    struct bs_expf_parts p = bs_expf_reduce(x);
    /* 2^n may be no number where the result is one: it is taken in two halves. */
    uint32_t n = bs_bits_of_float(p.shifted), half = n >> 1 << 23, rest = (n << 23) - half;
    return (1 + p.e) * bs_float_of_bits(half) * bs_float_of_bits(rest);
}

/* tanh(x). Error: 2.5 ulp. */
static inline float bs_tanhf(float x)
{
    float y = -2 * fabsf(x), low = bs_limits.tanhf_low;
    y = low > y ? low : y;
    struct bs_expf_parts p = bs_expf_reduce(y);
    float power = bs_expf_power(p.shifted);
    float minus_1 = fmaf(power, p.e, power - 1); /* exp(y) - 1 */
    return copysignf(-minus_1 / (2 + minus_1), x);
}

/* erf(x) = 2 / sqrt(pi) integral of exp(-t^2) from 0 to x. Error: 1.2 ulp. */
static inline float bs_erff(float x)
{
    float a = fabsf(x), z = x * x;
    float z2 = z * z; /* erf(a) / a - 1 where a <= 0.9: error 2^-31 */
    float high = fmaf(-0x1.aaff0ep-11f, z, 0x1.54d5cap-8f);
    float near = fmaf(-0x1.812742p-2f, z, 0x1.06eba8p-3f);
    high = fmaf(0x1.6007bcp-14f, z2, high);
    near = fmaf(fmaf(high, z2, fmaf(-0x1.b80eeap-6f, z, 0x1.ce2dfap-4f)), z2, near);
    near = fmaf(near, a, a);
    float t = bs_limits.erff_high < a ? bs_limits.erff_high : a;
    float t2 = t * t; /* log(1 - erf(t)) where t <= 3.95: 2^-29 */
    float far = fmaf(-0x1.20b752p0f, t, -0x1.5d1114p-13f);
    high = fmaf(-0x1.91ccc6p-9f, t, 0x1.6d9cc8p-6f);
    high = fmaf(0x1.9fb25ap-13f, t2, high);
    far = fmaf(fmaf(high, t2, fmaf(-0x1.aa731ap-4f, t, -0x1.4621bap-1f)), t2, far);
    struct bs_expf_parts p = bs_expf_reduce(far);
    float power = bs_expf_power(p.shifted);
    far = fmaf(-power, p.e, 1 - power);
    return copysignf(a < 0.9f ? near : far, x);
}

/* e^x. Error: 1.1 ulp. */
static inline double bs_exp(double x)
{
    const double shift = 0x1.8p52 + 2046;
    double high = bs_limits.exp_high, low = bs_limits.exp_low;
    x = high < x ? high : x;
    x = low > x ? low : x;
    double shifted = fma(x, 0x1.71547652b82fep0, shift);
    double n = shifted - shift;
    double r = fma(n, -0x1.abc9e3b39803fp-56, fma(n, -0x1.62e42fefa39efp-1, x));
    double r2 = r * r; /* error 2^-57 of exp(r) */
    double q2 = fma(0x1.55555555554fep-3, r, 0x1.000000000000ap-1);
    double q4 = fma(0x1.1111111126b36p-7, r, 0x1.55555555506b9p-5);
    double q6 = fma(0x1.a01a012ff003ep-13, r, 0x1.6c16c1847815bp-10);
    double q8 = fma(0x1.71df18e74a9ap-19, r, 0x1.a019995b5d22fp-16);
    double q10 = fma(0x1.ad92ff4e19a54p-26, r, 0x1.28ae00ae17e66p-22);
    double q = fma(fma(fma(fma(q10, r2, q8), r2, q6), r2, q4), r2, q2);
    uint64_t bits = bs_bits_of_double(shifted), half = bits >> 1 << 52, rest = (bits << 52) - half;
    return (1 + fma(q, r2, r)) * bs_double_of_bits(half) * bs_double_of_bits(rest);
}

/* log2(x) of a normal positive x to 35 bits: enough for results in float. */
static inline double bs_log2_short(double x)
{
    /* x = 2^k (1 + f) with 1 + f from sqrt(1/2) to sqrt(2). */
    uint64_t bits = bs_bits_of_double(x);
    uint64_t biased = (bits + 0x00095f619980c433) >> 52;
    double f = bs_double_of_bits(bits - (biased << 52) + ((uint64_t)1023 << 52)) - 1;
    double k = bs_double_of_bits(biased | (uint64_t)1075 << 52) - (0x1p52 + 1023);
    double f2 = f * f, f4 = f2 * f2; /* log2(1 + f) / f: error 2^-35 */
    double q0 = fma(-0x1.715476565d244p-1, f, 0x1.71547652a1e99p0);
    double q2 = fma(-0x1.71547097b6002p-2, f, 0x1.ec709ebb9409ep-2);
    double q4 = fma(-0x1.ec72b58d80821p-3, f, 0x1.277651fc44e6dp-2);
    double q6 = fma(-0x1.71417199c271fp-3, f, 0x1.a63f445b781bdp-3);
    double q8 = fma(-0x1.252f318c78f94p-3, f, 0x1.45291a0476026p-3);
    double q10 = fma(-0x1.24890543a8007p-3, f, 0x1.2871db1c9daeep-3);
    q8 = fma(fma(0x1.3ce8efa918e89p-4, f2, q10), f2, q8);
    double q = fma(fma(q8, f4, fma(q6, f2, q4)), f4, fma(q2, f2, q0));
    return fma(f, q, k);
}

/* x^y for x >= 0, as C's powf; a negative x gives NaN where y is not 0, and -0 counts as 0. Error:
 *0.6 ulp. */
static inline float bs_powf(float x, float y)
{
    double base = (double)x, log2 = bs_log2_short(base);
    log2 = x > 0 ? log2 : x < 0 ? (double)NAN : (double)-INFINITY;
    log2 = x < INFINITY ? log2 : base; /* a NaN too */
    const double shift = 0x1.8p52 + 1023;
    double z = (double)y * log2;
    z = 150 < z ? 150 : z;
    z = -170 > z ? -170 : z;
    double shifted = z + shift, f = z - (shifted - shift);
    double f2 = f * f; /* 2^f: error 2^-28 */
    double high =
        fma(0x1.41fb837209d09p-13, f2, fma(0x1.5f3eab936efaap-10, f, 0x1.3b2d4e021c3c9p-7));
    double q = fma(0x1.c6aee7e55b594p-5, f, 0x1.ebfbdc39e54aep-3);
    q = fma(fma(high, f2, q), f2, fma(0x1.62e430af991edp-1, f, 1));
    float power = (float)(q * bs_double_of_bits(bs_bits_of_double(shifted) << 52));
    return y < 0 || y > 0 || isnan(y) ? (x < 1 || x > 1 || isnan(x) ? power : 1) : 1;
}

/* log(1 + x). Error: 0.6 ulp. */
static inline float bs_log1pf(float x)
{
    double d = (double)x, sum = 1 + d;
    double far = bs_log2_short(sum) * 0x1.62e42fefa39efp-1;
    double near = d * fma(d, fma(d, 1 / 3.0, -0.5), 1); /* |x| < 2^-10: 2^-31 */
    float log = (float)(fabs(d) < 0x1p-10 ? near : far);
    log = x > -1 ? log : x < -1 ? NAN : -INFINITY;
    return x < INFINITY ? log : x;
}

/* Natural logarithm of x, and of 1 + x. Error: 0.9 ulp. */
double bs_log(double x);
double bs_log1p(double x);

/* 2^x. Error: 1.2 ulp. */
double bs_exp2(double x);

/* sin(x) and cos(x) for any angle in radians. Error: 0.6 ulp. */
void bs_sin_cos(float x, float *sine, float *cosine);

/* The same in double, of an angle in whole turns: sin(2 pi x) and cos(2 pi x) for |x| <= 2^20.
 * Error: 2 ulp. */
void bs_sin_cos_of_turns(double x, double *sine, double *cosine);

/* 10^n for |n| <= 22: the double next to it. */
double bs_power_of_ten(int n);

#endif
