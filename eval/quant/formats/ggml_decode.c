/* Blocks of up to 128 values with scales of their own, and the table of types. */
#include "eval/quant/formats/ggml_decode.h"

#include <math.h>
#include <string.h>

#include "eval/quant/bits.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read in place");

uint16_t bs_gguf_u16(const unsigned char *bytes)
{
    uint16_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

uint32_t bs_gguf_u32(const unsigned char *bytes)
{
    uint32_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

uint64_t bs_gguf_u64(const unsigned char *bytes)
{
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return number;
}

float bs_gguf_half(const unsigned char *bytes) { return bs_half_value(bs_gguf_u16(bytes)); }

const signed char bs_gguf_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};

/* Twice the values of E2M1. */
static const signed char e2m1_levels[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                            0, -1, -2, -3, -4, -6, -8, -12};

/* --- 32 values --- */

static void q4_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)((block[2 + j] & 15) - 8);
        out[j + 16] = scale * (float)((block[2 + j] >> 4) - 8);
    }
}

static void q4_1(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block), least = bs_gguf_half(block + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)(block[4 + j] & 15) + least;
        out[j + 16] = scale * (float)(block[4 + j] >> 4) + least;
    }
}

/* The code of 5 bits: four of `low`, and bit j of `high`. */
static int fifth(int low, uint32_t high, int j) { return low | (int)(high >> j & 1) << 4; }

static void q5_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    uint32_t high = bs_gguf_u32(block + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)(fifth(block[6 + j] & 15, high, j) - 16);
        out[j + 16] = scale * (float)(fifth(block[6 + j] >> 4, high, j + 16) - 16);
    }
}

static void q5_1(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block), least = bs_gguf_half(block + 2);
    uint32_t high = bs_gguf_u32(block + 4);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)fifth(block[8 + j] & 15, high, j) + least;
        out[j + 16] = scale * (float)fifth(block[8 + j] >> 4, high, j + 16) + least;
    }
}

static void q8_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int j = 0; j < 32; j++)
        out[j] = scale * (float)(signed char)block[2 + j];
}

static void iq4_nl(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)bs_gguf_iq4_levels[block[2 + j] & 15];
        out[j + 16] = scale * (float)bs_gguf_iq4_levels[block[2 + j] >> 4];
    }
}

/* The exponent is one less than that of the scale, for levels that are twice the values. */
static void mxfp4(const unsigned char *block, float *out)
{
    uint32_t exponent = block[0];
    uint32_t bits = exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    for (int j = 0; j < 16; j++) {
        out[j] = scale * (float)e2m1_levels[block[1 + j] & 15];
        out[j + 16] = scale * (float)e2m1_levels[block[1 + j] >> 4];
    }
}

/* --- others --- */

/* E4M3 without a sign, halved for levels that are twice the values; ggml takes NaN for 0. */
static float half_e4m3(unsigned char code)
{
    int exponent = code >> 3 & 15, mantissa = code & 7;
    if (code == 0x7f)
        return 0;
    return exponent ? ldexpf((float)(8 + mantissa), exponent - 11) : ldexpf((float)mantissa, -10);
}

static void nvfp4(const unsigned char *block, float *out)
{
    for (int s = 0; s < 4; s++) {
        float scale = half_e4m3(block[s]);
        const unsigned char *codes = block + 4 + 8 * s;
        for (int j = 0; j < 8; j++) {
            out[16 * s + j] = scale * (float)e2m1_levels[codes[j] & 15];
            out[16 * s + 8 + j] = scale * (float)e2m1_levels[codes[j] >> 4];
        }
    }
}

static void q1_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int j = 0; j < 128; j++)
        out[j] = block[2 + j / 8] >> j % 8 & 1 ? scale : -scale;
}

static void q2_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int j = 0; j < 64; j++)
        out[j] = (float)((block[2 + j / 4] >> 2 * (j % 4) & 3) - 1) * scale;
}

/* --- the table --- */

static const struct bs_gguf_type types[] = {
    {0, "F32", 1, 4, NULL, "F32", NULL},
    {1, "F16", 1, 2, NULL, "F16", "fp16"},
    {2, "Q4_0", 32, 18, q4_0, NULL, "q4_0"},
    {3, "Q4_1", 32, 20, q4_1, NULL, "q4_1"},
    {6, "Q5_0", 32, 22, q5_0, NULL, "q5_0"},
    {7, "Q5_1", 32, 24, q5_1, NULL, "q5_1"},
    {8, "Q8_0", 32, 34, q8_0, NULL, "q8_0"},
    {10, "Q2_K", 256, 84, bs_gguf_q2_k, NULL, "q2_k"},
    {11, "Q3_K", 256, 110, bs_gguf_q3_k, NULL, "q3_k"},
    {12, "Q4_K", 256, 144, bs_gguf_q4_k, NULL, "q4_k"},
    {13, "Q5_K", 256, 176, bs_gguf_q5_k, NULL, "q5_k"},
    {14, "Q6_K", 256, 210, bs_gguf_q6_k, NULL, "q6_k"},
    {16, "IQ2_XXS", 256, 66, bs_gguf_iq2_xxs, NULL, NULL},
    {17, "IQ2_XS", 256, 74, bs_gguf_iq2_xs, NULL, NULL},
    {18, "IQ3_XXS", 256, 98, bs_gguf_iq3_xxs, NULL, NULL},
    {19, "IQ1_S", 256, 50, bs_gguf_iq1_s, NULL, NULL},
    {20, "IQ4_NL", 32, 18, iq4_nl, NULL, "iq4_nl"},
    {21, "IQ3_S", 256, 110, bs_gguf_iq3_s, NULL, NULL},
    {22, "IQ2_S", 256, 82, bs_gguf_iq2_s, NULL, NULL},
    {23, "IQ4_XS", 256, 136, bs_gguf_iq4_xs, NULL, "iq4_xs"},
    {24, "I8", 1, 1, NULL, "I8", NULL},
    {25, "I16", 1, 2, NULL, "I16", NULL},
    {26, "I32", 1, 4, NULL, "I32", NULL},
    {27, "I64", 1, 8, NULL, "I64", NULL},
    {28, "F64", 1, 8, NULL, "F64", NULL},
    {29, "IQ1_M", 256, 56, bs_gguf_iq1_m, NULL, NULL},
    {30, "BF16", 1, 2, NULL, "BF16", "bf16"},
    {34, "TQ1_0", 256, 54, bs_gguf_tq1_0, NULL, "tq1_0"},
    {35, "TQ2_0", 256, 66, bs_gguf_tq2_0, NULL, "tq2_0"},
    {39, "MXFP4", 32, 17, mxfp4, NULL, "gguf_mxfp4"},
    {40, "NVFP4", 64, 36, nvfp4, NULL, "gguf_nvfp4"},
    {41, "Q1_0", 128, 18, q1_0, NULL, NULL},
    {42, "Q2_0", 64, 18, q2_0, NULL, NULL},
};

const struct bs_gguf_type *bs_gguf_type_find(uint32_t id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const struct bs_gguf_type *bs_gguf_type_of_format(const char *format)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].format && !strcmp(types[i].format, format))
            return &types[i];
    return NULL;
}
