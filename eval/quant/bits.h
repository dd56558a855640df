/* A stream of bits, the lowest bit of each byte first: how files hold codes and what decodes
 * them. */
#ifndef BS_EVAL_QUANT_BITS_H
#define BS_EVAL_QUANT_BITS_H

#include <stddef.h>
#include <stdint.h>

/* A row of bits that is filled or read from its beginning. */
struct bs_bits {
    unsigned char *bytes; /* borrowed; zero where nothing has been put yet */
    size_t at;            /* the bit that comes next */
};

/* The lowest `count` bits of value, at most 32. */
void bs_bits_put(struct bs_bits *bits, uint32_t value, int count);
uint32_t bs_bits_get(struct bs_bits *bits, int count);

/* The 16 bits of the half-precision number nearest to x, ties to even, and its value. */
uint16_t bs_half_of(float x);
float bs_half_value(uint16_t half);

#endif
