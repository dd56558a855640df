#include "eval/quant/minifloat.h"

#include "eval/linalg/elementary.h"

#define INLINE static inline __attribute__((always_inline))

enum { WIDEST = 8, EXPONENT = 255 << BS_FLOAT_MANTISSA, QUIET = 1 << (BS_FLOAT_MANTISSA - 1) };

/* What rounding works with: bits of floats that are not negative, which are in order as integers.
 * All of it is integers but one sum, so that compilers make vectors of it. */
struct steps {
    int32_t least;   /* the least number that is not subnormal */
    int32_t top;     /* the largest magnitude, as if it were finite */
    int32_t to_sum;  /* from an exponent to the power of two whose last bit is the step there */
    int32_t to_half; /* and down to half a step */
    int32_t dropped; /* bits of a mantissa that a float has beyond the format's */
};

static inline float of_bits(int32_t bits) { return bs_float_of_bits((uint32_t)bits); }

static inline int32_t bits_of(float value) { return (int32_t)bs_bits_of_float(value); }

static struct steps steps_of(const struct bs_minifloat *f)
{
    struct bs_minifloat finite = *f;
    finite.infinite = false;
    return (struct steps){.least = (int32_t)(bs_minifloat_least_exponent(f) << BS_FLOAT_MANTISSA),
                          .top = bits_of(bs_minifloat_value(&finite, (uint32_t)f->top)),
                          .to_sum =
                              (BS_FLOAT_MANTISSA - f->mantissa_bits) * (1 << BS_FLOAT_MANTISSA),
                          .to_half = (f->mantissa_bits + 1) * (1 << BS_FLOAT_MANTISSA),
                          .dropped = BS_FLOAT_MANTISSA - f->mantissa_bits};
}

/* A sum with a power of two is rounded to that one's last bit, ties to even; where half a step was
 * missing to a tie the other way it is taken back. */
static inline int32_t by_sum(struct steps s, enum bs_ties ties, int32_t size)
{
    int32_t exponent = size & EXPONENT;
    exponent = exponent > s.least ? exponent : s.least;
    float magnitude = of_bits(size), power = of_bits(exponent + s.to_sum);
    float rounded = (magnitude + power) - power;
    if (ties == BS_TIES_EVEN)
        return bits_of(rounded);
    float half = of_bits(exponent - s.to_half), moved = rounded - magnitude;
    float wrong = ties == BS_TIES_INWARD ? half : -half;
    int32_t tie = bits_of(moved) == bits_of(wrong) ? -1 : 0;
    return bits_of(rounded - of_bits(tie & bits_of(2 * wrong)));
}

/* Of as many exponents as a float has: the bits that are kept are the number. */
INLINE int32_t by_bits(struct steps s, enum bs_ties ties, int32_t size)
{
    int32_t half = 1 << (s.dropped - 1);
    int32_t odd = ties == BS_TIES_EVEN ? size >> s.dropped & 1 : ties == BS_TIES_OUTWARD;
    return (size + half - 1 + odd) & -(1 << s.dropped); /* a tie goes up by the odd bit alone */
}

/* scale * the level nearest to u; a NaN stays one. */
static inline float rounded_one(struct steps s, bool wide, enum bs_ties ties, bool infinite,
                                float scale, float u)
{
    int32_t bits = bits_of(u), size = bits & INT32_MAX;
    int32_t strange = size > EXPONENT ? EXPONENT | QUIET : 0;
    size = size < s.top ? size : s.top;
    size = wide ? by_bits(s, ties, size) : by_sum(s, ties, size);
    if (infinite)
        size = size < s.top ? size : EXPONENT;
    return of_bits(bits_of(scale * of_bits(size | (bits & INT32_MIN))) | strange);
}

static inline void round_all(struct steps s, bool wide, enum bs_ties ties, bool infinite,
                             float scale, float inverse, float *x, size_t count)
{
    if (inverse != 0)
        for (size_t i = 0; i < count; i++)
            x[i] = rounded_one(s, wide, ties, infinite, scale, x[i] * inverse);
    else
        for (size_t i = 0; i < count; i++)
            x[i] = rounded_one(s, wide, ties, infinite, scale, x[i] / scale);
}

static void round_values(const struct bs_minifloat *f, float scale, float inverse, float *x,
                         size_t count)
{
    struct steps steps = steps_of(f);
    bool wide = f->exponent_bits == WIDEST, even = f->ties == BS_TIES_EVEN;
    if (scale == 1 && inverse == 0) /* a cast: what takes its time is to divide */
        inverse = 1;
    if (f->mantissa_bits == 0) /* the even code is not the even number of steps */
        for (size_t i = 0; i < count; i++)
            x[i] = scale * bs_minifloat_nearest(f, inverse != 0 ? x[i] * inverse : x[i] / scale);
    else if (!wide && !f->infinite && even)
        round_all(steps, false, BS_TIES_EVEN, false, scale, inverse, x, count);
    else if (!wide && even)
        round_all(steps, false, BS_TIES_EVEN, true, scale, inverse, x, count);
    else if (!wide)
        round_all(steps, false, f->ties, f->infinite, scale, inverse, x, count);
    else if (even)
        round_all(steps, true, BS_TIES_EVEN, f->infinite, scale, inverse, x, count);
    else
        round_all(steps, true, f->ties, f->infinite, scale, inverse, x, count);
}

/* ---- codes ---- */

enum { LANES = 32, FEW = 8 };

/* The code of the level nearest to a magnitude: the steps of its exponent, which a sum with a power
 * of two counts in its last bits, after those of the exponents below. */
INLINE int32_t code_by_sum(struct steps s, enum bs_ties ties, int32_t size)
{
    int32_t exponent = size & EXPONENT;
    exponent = exponent > s.least ? exponent : s.least;
    int32_t power = exponent + s.to_sum;
    int32_t sum = bits_of(of_bits(size) + of_bits(power));
    int32_t code = sum - power + ((exponent - s.least) >> s.dropped);
    if (ties == BS_TIES_EVEN)
        return code;
    int32_t half = exponent - s.to_half;
    int32_t wrong = ties == BS_TIES_INWARD ? half : half | INT32_MIN;
    float moved = of_bits(sum) - of_bits(power) - of_bits(size);
    int32_t tie = bits_of(moved) == wrong ? 1 : 0;
    return ties == BS_TIES_INWARD ? code - tie : code + tie;
}

/* The code of the level nearest to u, which clipping makes a number: of a NaN, 0. */
INLINE int32_t code_of(struct steps s, bool wide, enum bs_ties ties, int32_t top, float u)
{
    float most = of_bits(s.top);
    u = u > -most ? u : -most; /* which a NaN becomes too */
    u = u < most ? u : most;
    int32_t bits = bits_of(u), size = bits & INT32_MAX, sign = bits >> BS_FLOAT_SIGN;
    int32_t code = wide ? by_bits(s, ties, size) >> s.dropped : code_by_sum(s, ties, size);
    return top + ((code ^ sign) - sign);
}

INLINE void code_lanes(struct steps s, bool wide, enum bs_ties ties, int32_t top, float scale,
                       float inverse, const float *x, int lanes, int32_t *restrict codes)
{
    if (inverse != 0)
        for (int l = 0; l < lanes; l++)
            codes[l] = code_of(s, wide, ties, top, x[l] * inverse);
    else
        for (int l = 0; l < lanes; l++)
            codes[l] = code_of(s, wide, ties, top, x[l] / scale);
}

INLINE void put(const int32_t *codes, int lanes, bool two_bytes, void *to, size_t at)
{
    if (two_bytes)
        for (int l = 0; l < lanes; l++)
            ((uint16_t *)to)[at + (size_t)l] = (uint16_t)codes[l];
    else
        for (int l = 0; l < lanes; l++)
            ((uint8_t *)to)[at + (size_t)l] = (uint8_t)codes[l];
}

/* As many lanes at a time as there are values for. */
INLINE void code_all(struct steps s, bool wide, enum bs_ties ties, int32_t top, float scale,
                     float inverse, const float *x, size_t count, bool two_bytes, void *codes)
{
    int32_t some[LANES];
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        code_lanes(s, wide, ties, top, scale, inverse, x + i, LANES, some);
        put(some, LANES, two_bytes, codes, i);
    }
    for (; i + FEW <= count; i += FEW) {
        code_lanes(s, wide, ties, top, scale, inverse, x + i, FEW, some);
        put(some, FEW, two_bytes, codes, i);
    }
    for (; i < count; i++) {
        code_lanes(s, wide, ties, top, scale, inverse, x + i, 1, some);
        put(some, 1, two_bytes, codes, i);
    }
}

/* Of numbers without a mantissa the even code is not the even number of steps. */
static void code_powers(const struct bs_minifloat *f, float scale, float inverse, const float *x,
                        size_t count, bool two_bytes, void *codes)
{
    for (size_t i = 0; i < count; i++) {
        int32_t code = bs_minifloat_encode(f, inverse != 0 ? x[i] * inverse : x[i] / scale);
        put(&code, 1, two_bytes, codes, i);
    }
}

static void encode_values(const struct bs_minifloat *f, float scale, float inverse, const float *x,
                          size_t count, bool two_bytes, void *codes)
{
    struct steps s = steps_of(f);
    bool wide = f->exponent_bits == WIDEST;
    if (scale == 1 && inverse == 0) /* a cast */
        inverse = 1;
    if (f->mantissa_bits == 0)
        code_powers(f, scale, inverse, x, count, two_bytes, codes);
    else if (wide)
        code_all(s, true, f->ties, f->top, scale, inverse, x, count, two_bytes, codes);
    else if (f->ties != BS_TIES_EVEN)
        code_all(s, false, f->ties, f->top, scale, inverse, x, count, two_bytes, codes);
    else if (two_bytes)
        code_all(s, false, BS_TIES_EVEN, f->top, scale, inverse, x, count, true, codes);
    else
        code_all(s, false, BS_TIES_EVEN, f->top, scale, inverse, x, count, false, codes);
}

const struct bs_minifloat_loops BS_AT_LEVEL(bs_minifloat_loops) = {.round = round_values,
                                                                   .encode = encode_values};
