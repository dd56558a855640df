/* Rounding to bfloat16, the upper half of a float32: to nearest, ties to even. */
#ifndef BS_EVAL_LINALG_BFLOAT16_H
#define BS_EVAL_LINALG_BFLOAT16_H

#include <stdint.h>
#include <string.h>

/* What is no number keeps its upper half, with a bit that an infinity does not have. */
static inline uint16_t bs_to_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x == x ? rounded : (bits >> 16 | 0x40));
}

/* The same number as a float. */
static inline float bs_round_to_bfloat16(float x)
{
    uint32_t bits = (uint32_t)bs_to_bfloat16(x) << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
