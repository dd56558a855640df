/* Numbers of few bits, with a sign, an exponent and a mantissa: IEEE 754's halves, bfloat16 and the
 * floating-point elements of OCP's specifications of 8-bit numbers and of microscaling. They are
 * encoded and decoded by arithmetic. Magnitudes have codes in the order of their bits; the code of
 * a level is `top` plus its magnitude's, or less it where the value is negative. Zero has one code;
 * a value that is rounded to it in place keeps its sign. */
#ifndef BS_EVAL_QUANT_MINIFLOAT_H
#define BS_EVAL_QUANT_MINIFLOAT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/float_bits.h"
#include "eval/base/isa.h"

/* Where a value goes that is as far from the level below as from the one above. */
enum bs_ties {
    BS_TIES_EVEN,    /* to the even code */
    BS_TIES_INWARD,  /* to the one nearer to zero */
    BS_TIES_OUTWARD, /* to the one farther from zero */
    BS_TIES_DOWN,    /* below; not of minifloats */
};

/* How they are laid out. */
struct bs_minifloat {
    int exponent_bits; /* 1 to 8; the bias is 2^(exponent_bits - 1) - 1 */
    int mantissa_bits; /* 0 to 14 */
    int top;           /* the code of the largest magnitude, at most 32767 */
    bool infinite;     /* which is infinity */
    enum bs_ties ties; /* even: to the even code */
};

enum { BS_FLOAT_MANTISSA = 23, BS_FLOAT_SIGN = 31 };

/* Levels from the least to the largest. */
static inline int bs_minifloat_levels(const struct bs_minifloat *f) { return 2 * f->top + 1; }

/* What a float's exponent field is of the least number that is not subnormal. */
static inline uint32_t bs_minifloat_least_exponent(const struct bs_minifloat *f)
{
    return 129 - (1u << (f->exponent_bits - 1));
}

/* The code of the magnitude nearest to that of the float whose bits, without the sign, are `bits`;
 * `top` beyond it. */
static inline uint32_t bs_minifloat_magnitude(const struct bs_minifloat *f, uint32_t bits)
{
    const uint32_t hidden = 1u << BS_FLOAT_MANTISSA;
    uint32_t field = bits >> BS_FLOAT_MANTISSA, exponent = field > 1 ? field : 1;
    uint32_t least = bs_minifloat_least_exponent(f), top = (uint32_t)f->top;
    uint32_t significand = (bits & (hidden - 1)) + (field ? hidden : 0);
    uint32_t above = exponent > least ? exponent - least : 0;
    uint32_t below = exponent < least ? least - exponent : 0;
    uint32_t shift = BS_FLOAT_MANTISSA - (uint32_t)f->mantissa_bits + below;
    shift = shift < 25 ? shift : 25; /* all of the significand is far below a half */
    uint32_t kept = significand >> shift, half = (1u << shift) >> 1;
    uint32_t rest = significand - (kept << shift), code = kept + (above << f->mantissa_bits);
    uint32_t odd = f->ties == BS_TIES_EVEN ? code & 1 : f->ties == BS_TIES_OUTWARD;
    code += rest + odd > half ? 1 : 0;
    return code < top ? code : top;
}

/* The bits of a float that is the value of a magnitude's code once the one of `less` is subtracted:
 * a subnormal number is one of the binade above it, less where that begins. */
static inline uint32_t bs_minifloat_value_bits(const struct bs_minifloat *f, uint32_t code,
                                               uint32_t *less)
{
    const uint32_t infinity = 255u << BS_FLOAT_MANTISSA;
    uint32_t mantissa = (uint32_t)f->mantissa_bits, least = bs_minifloat_least_exponent(f);
    uint32_t subnormal = code >> mantissa ? 0 : 1;
    uint32_t bits = (code + ((least - 1 + subnormal) << mantissa))
                    << (BS_FLOAT_MANTISSA - mantissa);
    *less = subnormal * (least << BS_FLOAT_MANTISSA);
    return f->infinite && code == (uint32_t)f->top ? infinity : bits;
}

/* The value of a magnitude's code. */
static inline float bs_minifloat_value(const struct bs_minifloat *f, uint32_t code)
{
    uint32_t begins, bits = bs_minifloat_value_bits(f, code, &begins);
    return bs_float_of_bits(bits) - bs_float_of_bits(begins);
}

/* The level's code nearest to u. Of a NaN, 0. */
static inline int bs_minifloat_encode(const struct bs_minifloat *f, float u)
{
    uint32_t bits = bs_bits_of_float(u);
    int magnitude = (int)bs_minifloat_magnitude(f, bits & ~(1u << BS_FLOAT_SIGN));
    return isnan(u) ? 0 : f->top + (bits >> BS_FLOAT_SIGN ? -magnitude : magnitude);
}

/* The level that a code stands for. */
static inline float bs_minifloat_decode(const struct bs_minifloat *f, int code)
{
    float value = bs_minifloat_value(f, (uint32_t)(code < f->top ? f->top - code : code - f->top));
    return code < f->top ? -value : value;
}

/* The code's bits in a file, the sign above the magnitude's. */
static inline uint32_t bs_minifloat_bits(const struct bs_minifloat *f, int code)
{
    uint32_t sign = 1u << (f->exponent_bits + f->mantissa_bits);
    return code < f->top ? sign + (uint32_t)(f->top - code) : (uint32_t)(code - f->top);
}

/* The code of such bits; of what is no number the largest. */
static inline int bs_minifloat_code(const struct bs_minifloat *f, uint32_t bits)
{
    uint32_t sign = 1u << (f->exponent_bits + f->mantissa_bits);
    int magnitude = (int)(bits & (sign - 1));
    magnitude = magnitude < f->top ? magnitude : f->top; /* what is no number in a damaged file */
    return bits & sign ? f->top - magnitude : f->top + magnitude;
}

/* The nearest value of the format, by its ties. A NaN stays. */
static inline float bs_minifloat_nearest(const struct bs_minifloat *f, float u)
{
    return isnan(u) ? u : bs_minifloat_decode(f, bs_minifloat_encode(f, u));
}

/* The loops over many of them, at one level of instructions. */
struct bs_minifloat_loops {
    void (*round)(const struct bs_minifloat *f, float scale, float inverse, float *x, size_t count);
    void (*encode)(const struct bs_minifloat *f, float scale, float inverse, const float *x,
                   size_t count, bool wide, void *codes);
};
extern const struct bs_minifloat_loops *const bs_minifloat_loops[BS_NUM_ISA];

/* Replaces each of count values x by scale times the level nearest to x / scale, or to x * inverse
 * where that is not 0; a NaN stays one. */
static inline void bs_minifloat_round(const struct bs_minifloat *f, float scale, float inverse,
                                      float *x, size_t count)
{
    bs_minifloat_loops[bs_isa()]->round(f, scale, inverse, x, count);
}

/* The codes of the levels that bs_minifloat_round finds, uint8_t or, where `wide`, uint16_t; of a
 * NaN, 0. */
static inline void bs_minifloat_encode_all(const struct bs_minifloat *f, float scale, float inverse,
                                           const float *x, size_t count, bool wide, void *codes)
{
    bs_minifloat_loops[bs_isa()]->encode(f, scale, inverse, x, count, wide, codes);
}

#endif
