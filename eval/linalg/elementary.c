/* What no hot loop needs, or only to fill a table: branches are taken. */
#include "eval/linalg/elementary.h"

#include <assert.h>
#include <float.h>

const struct bs_limits bs_limits = {.expf_low = -104,
                                    .expf_high = 89,
                                    .tanhf_low = -20,
                                    .erff_high = 3.95f,
                                    .exp_low = -746,
                                    .exp_high = 710};

/* ln(2), and what it lacks. */
static const double ln2 = 0x1.62e42fefa39efp-1, ln2_rest = 0x1.abc9e3b39803fp-56;

/* x = 2^k (1 + f), x normal and positive, 1 + f from sqrt(1/2) to sqrt(2). */
static double split(double x, int *k)
{
    uint64_t bits = bs_bits_of_double(x);
    uint64_t biased = (bits + 0x00095f619980c433) >> 52;
    *k = (int)biased - 1023;
    return bs_double_of_bits(bits - (biased << 52) + ((uint64_t)1023 << 52)) - 1;
}

/* k ln(2) + log(1 + f) + rest. With s = f / (2 + f) the logarithm of 1 + f is that of
 * (1 + s) / (1 - s) = 2 s + s R(s^2), and 2 s = f - f^2 / 2 + s f^2 / 2. */
static double log_of_parts(int k, double f, double rest)
{
    double s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    double r = fma(0x1.101e903bcb855p-3, z, 0x1.0f4a9be5a32e4p-3); /* z r = R: 2^-64 */
    r = fma(r, z, 0x1.3b2153d48de73p-3);
    r = fma(r, z, 0x1.745cdb9028219p-3);
    r = fma(r, z, 0x1.c71c725c1a07p-3);
    r = fma(r, z, 0x1.249249242f0a3p-2);
    r = fma(r, z, 0x1.9999999999d58p-2);
    r = fma(r, z, 0x1.5555555555555p-1);
    double small = fma(s, fma(r, z, half), fma(k, ln2_rest, rest)) - half;
    return fma(k, ln2, f + small);
}

double bs_log(double x)
{
    int k = 0, raised = 0;
    if (!(x > 0))
        return x < 0 ? (double)NAN : isnan(x) ? x : (double)-INFINITY;
    if (isinf(x))
        return x;
    if (x < DBL_MIN) {
        raised = 54;
        x *= 0x1p54;
    }
    double f = split(x, &k);
    return log_of_parts(k - raised, f, 0);
}

double bs_log1p(double x)
{
    int k = 0;
    if (!(x > -1))
        return x < -1 ? (double)NAN : isnan(x) ? x : (double)-INFINITY;
    if (isinf(x) || fabs(x) < 0x1p-54)
        return x;
    if (x > -0.29 && x < 0.41)
        return log_of_parts(0, x, 0);
    double sum = 1 + x, lost = x < 1 ? x - (sum - 1) : 1 - (sum - x);
    double f = split(sum, &k);
    return log_of_parts(k, f, lost / sum);
}

double bs_exp2(double x)
{
    if (isnan(x))
        return x;
    x = x > 1100 ? 1100 : x < -1100 ? -1100 : x;
    double n = rint(x);
    return ldexp(bs_exp((x - n) * ln2), (int)n);
}

/* The angle less a multiple of pi / 2: from -pi / 4 to pi / 4, and which multiple, modulo 4. */
static double reduce(float x, unsigned *quarter)
{
    double n = rint((double)x * 0x1.45f306dc9c883p-1);
    double r = fma(n, -0x1.921fb54442d18p0, (double)x);
    *quarter = (unsigned)(int)n & 3;
    return fma(n, -0x1.1a62633145c07p-54, r);
}

/* The same for 2^28 <= x: with x = m 2^e, m a whole number of 24 bits, those bits of 2 / pi alone
 * matter whose product with 2^e is less than 4, and of them 96 are enough (Payne and Hanek, SIGNUM
 * Newsletter 18, 1983). */
static double reduce_large(float x, unsigned *quarter)
{
    static const uint32_t two_over_pi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0,
                                           0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
    uint32_t bits = bs_bits_of_float(x), window[3], product[3];
    uint64_t m = (bits & 0x7fffff) | 0x800000, carry = 0;
    unsigned e = (bits >> 23) - 150, first = e - 2; /* bits of 2 / pi that are left out */
    for (unsigned i = 0; i < 3; i++) {
        const uint32_t *word = two_over_pi + first / 32 + i;
        window[i] = (uint32_t)(((uint64_t)word[0] << 32 | word[1]) >> (32 - first % 32));
    }
    for (int i = 2; i >= 0; i--) { /* modulo 4 x 2^94: what is above falls off */
        carry += m * window[i];
        product[i] = (uint32_t)carry;
        carry >>= 32;
    }
    uint64_t high = (uint64_t)product[0] << 32 | product[1];
    uint64_t nearest = (high + ((uint64_t)1 << 61)) >> 62;
    *quarter = (unsigned)nearest;
    double fraction = (double)(int64_t)(high - (nearest << 62)) * 0x1p-62;
    return (fraction + (double)product[2] * 0x1p-94) * 0x1.921fb54442d18p0;
}

void bs_sin_cos(float x, float *sine, float *cosine)
{
    if (!isfinite(x)) {
        *sine = *cosine = NAN;
        return;
    }
    float a = fabsf(x);
    unsigned quarter;
    double r = a < 0x1p28f ? reduce(a, &quarter) : reduce_large(a, &quarter), z = r * r;
    double s = fma(-0x1.a960525565c39p-26, z, 0x1.71d7698637519p-19); /* sin(r) / r: 2^-47 */
    s = fma(s, z, -0x1.a019f932cbf9ep-13);
    s = fma(s, z, 0x1.1111110c826e9p-7);
    s = fma(s, z, -0x1.55555555521f6p-3);
    s = fma(s * z, r, r);
    double c = fma(-0x1.23c868406323p-22, z, 0x1.a00eb3b0cda5cp-16); /* cos(r): 2^-43 */
    c = fma(c, z, -0x1.6c16b33d6cf4cp-10);
    c = fma(c, z, 0x1.55555545b46bp-5);
    c = fma(c, z, -0x1.ffffffffe96ccp-2);
    c = fma(c, z, 1);
    double turned_sine = quarter & 1 ? c : s, turned_cosine = quarter & 1 ? s : c;
    *sine = copysignf(1, x) * (float)(quarter & 2 ? -turned_sine : turned_sine);
    *cosine = (float)((quarter + 1) & 2 ? -turned_cosine : turned_cosine);
}

/* Taylor's series, for an angle of at most pi / 4: what they leave out is below 2^-58. */
static double sine_near_0(double r)
{
    static const double inverse[] = {272, 210, 156, 110, 72, 42, 20, 6}; /* (k - 1) k */
    double z = r * r, sum = 1;
    for (int k = 0; k < 8; k++)
        sum = 1 - z / inverse[k] * sum;
    return r * sum;
}

static double cosine_near_0(double r)
{
    static const double inverse[] = {240, 182, 132, 90, 56, 30, 12, 2};
    double z = r * r, sum = 1;
    for (int k = 0; k < 8; k++)
        sum = 1 - z / inverse[k] * sum;
    return sum;
}

void bs_sin_cos_of_turns(double x, double *sine, double *cosine)
{
    double quarters = rint(4 * x),
           r = (x - quarters / 4) * 0x1.921fb54442d18p2; /* exact, by 2 pi */
    unsigned quarter = (unsigned)(int)quarters & 3;
    double s = sine_near_0(r), c = cosine_near_0(r);
    double turned_sine = quarter & 1 ? c : s, turned_cosine = quarter & 1 ? s : c;
    *sine = quarter & 2 ? -turned_sine : turned_sine;
    *cosine = (quarter + 1) & 2 ? -turned_cosine : turned_cosine;
}

double bs_power_of_ten(int n)
{
    double power = 1;
    assert(n >= -22 && n <= 22);
    for (int i = 0; i < (n < 0 ? -n : n); i++) /* a double holds 10^22 */
        power *= 10;
    return n < 0 ? 1 / power : power;
}
