#include "eval/quant/bits.h"

#include <math.h>

void bs_bits_put(struct bs_bits *bits, uint32_t value, int count)
{
    for (int i = 0; i < count; i++, bits->at++)
        if (value >> i & 1)
            bits->bytes[bits->at / 8] |= (unsigned char)(1u << bits->at % 8);
}

uint32_t bs_bits_get(struct bs_bits *bits, int count)
{
    uint32_t value = 0;
    for (int i = 0; i < count; i++, bits->at++)
        value |= (uint32_t)(bits->bytes[bits->at / 8] >> bits->at % 8 & 1) << i;
    return value;
}

enum { MANTISSA = 10, LEAST_EXPONENT = -14, BIAS = 15, INFINITE = 0x7c00 };

uint16_t bs_half_of(float x)
{
    const float most = 65520; /* from here on the nearest is infinity */
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    float size = fabsf(x);
    if (isnan(x))
        return INFINITE | 1;
    if (size >= most)
        return sign | INFINITE;
    int exponent = 0;
    if (size > 0)
        exponent = ilogbf(size) > LEAST_EXPONENT ? ilogbf(size) : LEAST_EXPONENT;
    /* In units of the last place; a whole number that carries into the exponent by itself. */
    uint32_t units = (uint32_t)rintf(ldexpf(size, MANTISSA - exponent));
    if (units == 0)
        return sign;
    if (units < 1u << MANTISSA)
        return (uint16_t)(sign | units);
    return (uint16_t)(sign |
                      (((uint32_t)(exponent + BIAS) << MANTISSA) + units - (1u << MANTISSA)));
}

float bs_half_value(uint16_t half)
{
    int exponent = (half & INFINITE) >> MANTISSA;
    float units = (float)(half & ((1u << MANTISSA) - 1));
    float size = exponent == 0 ? ldexpf(units, LEAST_EXPONENT - MANTISSA)
                               : ldexpf(units + (1u << MANTISSA), exponent - BIAS - MANTISSA);
    if ((half & INFINITE) == INFINITE)
        size = units > 0 ? NAN : INFINITY;
    return half & 0x8000 ? -size : size;
}
