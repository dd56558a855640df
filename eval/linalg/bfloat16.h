/* Rounding to bfloat16, the upper half of a float32: to nearest, ties to even. */
#ifndef BS_EVAL_LINALG_BFLOAT16_H
#define BS_EVAL_LINALG_BFLOAT16_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/float_bits.h"

/* What is no number keeps its upper half, with a bit that an infinity does not have. */
static inline uint16_t bs_to_bfloat16(float x)
{
    uint32_t bits = bs_bits_of_float(x);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x == x ? rounded : (bits >> 16 | 0x40));
}

/* The same number as a float. */
static inline float bs_round_to_bfloat16(float x)
{
    return bs_float_of_bits((uint32_t)bs_to_bfloat16(x) << 16);
}

/* The same of `count` numbers. */
static inline void bs_round_all_to_bfloat16(const float *x, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = bs_round_to_bfloat16(x[i]);
}

#endif
