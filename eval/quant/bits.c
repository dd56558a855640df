#include "eval/quant/bits.h"

#include <math.h>

#include "eval/base/float_bits.h"

/* How many of the bits to come are in the byte at hand. */
static int part_of_byte(const struct bs_bits *bits, int count)
{
    int left = 8 - (int)(bits->at % 8);
    return left < count ? left : count;
}

void bs_bits_put(struct bs_bits *bits, uint32_t value, int count)
{
    if (count == 8 && bits->at % 8 == 0) {
        bits->bytes[bits->at / 8] = (unsigned char)value;
        bits->at += 8;
        return;
    }
    for (int done = 0, some; done < count; done += some, bits->at += (size_t)some) {
        some = part_of_byte(bits, count - done);
        uint32_t part = value >> done & ((1u << some) - 1);
        bits->bytes[bits->at / 8] |= (unsigned char)(part << bits->at % 8);
    }
}

uint32_t bs_bits_get(struct bs_bits *bits, int count)
{
    uint32_t value = 0;
    for (int done = 0, some; done < count; done += some, bits->at += (size_t)some) {
        some = part_of_byte(bits, count - done);
        uint32_t part = (uint32_t)bits->bytes[bits->at / 8] >> bits->at % 8 & ((1u << some) - 1);
        value |= part << done;
    }
    return value;
}

/* Of the 23 + 8 bits of a float32 half precision leaves out 13 of the mantissa; its exponent is
 * less by 112. */
enum { DROPPED = 13, INFINITE = 0x7c00, LOWEST_MANTISSA = 0x3ff };
static const uint32_t rebias = 112u << 23, least_normal = 113u << 23;

uint16_t bs_half_of(float x)
{
    const uint32_t infinity = 255u << 23, most = 0x477ff000; /* 65520: the nearest is infinity */
    const float unit_carrier = 0.5f; /* whose last place is the smallest half-precision number */
    uint32_t bits = bs_bits_of_float(x);
    uint16_t sign = bits >> 16 & 0x8000;
    bits &= ~(1u << 31);
    if (bits > infinity)
        return INFINITE | 1;
    if (bits >= most)
        return sign | INFINITE;
    if (bits >= least_normal) /* ties go up from an odd last place only; may carry into exponent */
        return (uint16_t)(sign |
                          (bits - rebias + (1u << (DROPPED - 1)) - 1 + (bits >> DROPPED & 1)) >>
                              DROPPED);
    bits = bs_bits_of_float(fabsf(x) + unit_carrier);
    return (uint16_t)(sign | (bits - bs_bits_of_float(unit_carrier)));
}

float bs_half_value(uint16_t half)
{
    const float least = 0x1p-24f;
    int exponent = half & INFINITE, mantissa = half & LOWEST_MANTISSA;
    float size = bs_float_of_bits(((uint32_t)(exponent | mantissa) << DROPPED) + rebias);
    if (exponent == 0)
        size = (float)mantissa * least;
    if (exponent == INFINITE)
        size = mantissa ? NAN : INFINITY;
    return half & 0x8000 ? -size : size;
}
