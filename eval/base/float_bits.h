/* Numbers as the bits that they are in memory. */
#ifndef BS_EVAL_BASE_FLOAT_BITS_H
#define BS_EVAL_BASE_FLOAT_BITS_H

#include <stdint.h>
#include <string.h>

/* The bits of a number, and the number with these bits. */
static inline uint32_t bs_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline float bs_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static inline uint64_t bs_bits_of_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline double bs_double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
