#include "eval/checkpoint/tensor.h"

#include <string.h>

#include "eval/base/float_bits.h"

/* The data may stand at any byte, so that elements are fetched with memcpy; compilers turn these
 * loops into vector loads. */
static void read_bf16(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* The exponent and mantissa moved to float32's places are the value times 2^-112, subnormals
 * included; multiplying that back is exact. The largest exponent means infinity or NaN in both. */
static inline uint32_t widen_f16(uint16_t half)
{
    uint32_t moved = (uint32_t)(half & 0x7fff) << 13;
    uint32_t bits = bs_bits_of_float(bs_float_of_bits(moved) * 0x1p112f);
    bits = moved >= 0x0f800000u ? moved | 0x7f800000u : bits;
    return bits | (uint32_t)(half & 0x8000) << 16;
}

static void read_f16(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t bits = widen_f16(half);
        memcpy(out + i, &bits, sizeof bits);
    }
}

static void read_e5m2(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = widen_f16((uint16_t)(data[i] << 8));
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* As widen_f16, with a bias of 7 instead of 15; the one NaN has the bits of a finite exponent. */
static void read_e4m3(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = data[i] & 0x7f;
        uint32_t bits = bs_bits_of_float(bs_float_of_bits(magnitude << 20) * 0x1p120f);
        bits = magnitude == 0x7f ? 0x7fc00000u : bits;
        bits |= (uint32_t)(data[i] & 0x80) << 24;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* To the nearest float32, as torch rounds it. */
static void read_f64(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, data + 8 * i, sizeof value);
        out[i] = (float)value;
    }
}

/* No early way out of these: a loop without one is a vector loop. */
static bool any_special8(const unsigned char *data, size_t count, unsigned char exponent)
{
    unsigned found = 0;
    for (size_t i = 0; i < count; i++)
        found |= (data[i] & exponent) == exponent;
    return found;
}

static bool any_special16(const unsigned char *data, size_t count, uint16_t exponent)
{
    unsigned found = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        found |= (bits & exponent) == exponent;
    }
    return found;
}

static bool any_special32(const unsigned char *data, size_t count)
{
    unsigned found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return found;
}

/* Beyond float32's range an element counts as infinite. */
static bool any_special64(const unsigned char *data, size_t count)
{
    unsigned found = 0;
    for (size_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, data + 8 * i, sizeof value);
        float narrow = (float)value;
        found |= narrow - narrow != 0;
    }
    return found;
}

const struct bs_tensor_loops BS_AT_LEVEL(bs_tensor_loops) = {
    .read_f16 = read_f16,
    .read_bf16 = read_bf16,
    .read_e4m3 = read_e4m3,
    .read_e5m2 = read_e5m2,
    .read_f64 = read_f64,
    .any_special8 = any_special8,
    .any_special16 = any_special16,
    .any_special32 = any_special32,
    .any_special64 = any_special64,
};
