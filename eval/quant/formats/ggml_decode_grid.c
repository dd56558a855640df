/* Super-blocks of 256 values whose codes are indices of a codebook: 4 or 8 values each. */
#include "eval/quant/formats/ggml_decode.h"

/* Signs of 8 values from 7 bits: the eighth makes their number even. */
static unsigned even_signs(unsigned seven)
{
    return seven | (unsigned)__builtin_parity(seven & 127) << 7;
}

/* Eight values of a point of IQ2, times a scale, negative where a bit of `signs` is set. */
static void put_iq2(enum bs_gguf_grid grid, unsigned index, float scale, unsigned signs, float *out)
{
    static const float levels[4] = {8, 25, 43, 0};
    unsigned point = bs_gguf_grids[grid][index];
    for (int j = 0; j < 8; j++) {
        float value = scale * levels[point >> 2 * j & 3];
        out[j] = signs >> j & 1 ? -value : value;
    }
}

void bs_gguf_iq2_xxs(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int b = 0; b < 8; b++, block += 8) { /* of 32 values */
        uint32_t signs = bs_gguf_u32(block + 6);
        float own = scale * (0.5f + (float)(signs >> 28)) * 0.25f;
        for (int g = 0; g < 4; g++)
            put_iq2(BS_GRID_IQ2_XXS, block[2 + g], own, even_signs(signs >> 7 * g & 127),
                    out + 32 * b + 8 * g);
    }
}

/* The scale of 16 values, of 4 bits. */
static float iq2_scale(float scale, const unsigned char *scales, int b)
{
    return scale * (0.5f + (float)(scales[b / 2] >> b % 2 * 4 & 15)) * 0.25f;
}

void bs_gguf_iq2_xs(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int g = 0; g < 32; g++) {
        unsigned code = bs_gguf_u16(block + 2 + 2 * g);
        put_iq2(BS_GRID_IQ2_XS, code & 511, iq2_scale(scale, block + 66, g / 2),
                even_signs(code >> 9), out + 8 * g);
    }
}

void bs_gguf_iq2_s(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    const unsigned char *low = block + 2, *signs = block + 34, *high = block + 66;
    for (int g = 0; g < 32; g++) {
        unsigned index = low[g] | (high[g / 4] >> g % 4 * 2 & 3u) << 8;
        put_iq2(BS_GRID_IQ2_S, index, iq2_scale(scale, block + 74, g / 2), signs[g], out + 8 * g);
    }
}

/* Four values of a point of IQ3: `levels` are the eight that there are. */
static void put_iq3(enum bs_gguf_grid grid, unsigned index, const float levels[8], float scale,
                    unsigned signs, float *out)
{
    unsigned point = bs_gguf_grids[grid][index];
    for (int j = 0; j < 4; j++) {
        float value = scale * levels[point >> 3 * j & 7];
        out[j] = signs >> j & 1 ? -value : value;
    }
}

void bs_gguf_iq3_xxs(const unsigned char *block, float *out)
{
    static const float levels[8] = {4, 12, 20, 28, 36, 44, 52, 62};
    float scale = bs_gguf_half(block);
    for (int b = 0; b < 8; b++) {
        uint32_t packed = bs_gguf_u32(block + 66 + 4 * b);
        float own = scale * (0.5f + (float)(packed >> 28)) * 0.5f;
        for (int g = 0; g < 8; g++) {
            unsigned signs = even_signs(packed >> 7 * (g / 2) & 127) >> g % 2 * 4;
            put_iq3(BS_GRID_IQ3_XXS, block[2 + 8 * b + g], levels, own, signs,
                    out + 32 * b + 4 * g);
        }
    }
}

void bs_gguf_iq3_s(const unsigned char *block, float *out)
{
    static const float levels[8] = {1, 3, 5, 7, 9, 11, 13, 15};
    const unsigned char *low = block + 2, *high = block + 66, *signs = block + 74;
    const unsigned char *scales = block + 106;
    float scale = bs_gguf_half(block);
    for (int g = 0; g < 64; g++) {
        int b = g / 8;
        float own = scale * (float)(1 + 2 * (scales[b / 2] >> b % 2 * 4 & 15));
        unsigned index = low[g] | (high[b] >> g % 8 & 1u) << 8;
        put_iq3(BS_GRID_IQ3_S, index, levels, own, (unsigned)signs[g / 2] >> g % 2 * 4,
                out + 4 * g);
    }
}

/* Eight values of a point of IQ1, -1, 0 or 1 and all moved a little. */
static void put_iq1(unsigned index, float scale, bool down, float *out)
{
    unsigned point = bs_gguf_grids[BS_GRID_IQ1][index];
    float shift = down ? -0.125f : 0.125f;
    for (int j = 0; j < 8; j++)
        out[j] = scale * ((float)(int)(point >> 2 * j & 3) - 1 + shift);
}

void bs_gguf_iq1_s(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    for (int g = 0; g < 32; g++) {
        unsigned high = bs_gguf_u16(block + 34 + g / 4 * 2);
        unsigned index = block[2 + g] | (high >> g % 4 * 3 & 7) << 8;
        float own = scale * (float)(int)(2 * (high >> 12 & 7) + 1);
        put_iq1(index, own, high >> 15, out + 8 * g);
    }
}

/* The block's scale is in the high nibbles of the four words that hold those of 16 values. */
void bs_gguf_iq1_m(const unsigned char *block, float *out)
{
    const unsigned char *high = block + 32, *scales = block + 48;
    unsigned char half[2] = {0, 0};
    for (int w = 0; w < 4; w++)
        half[w / 2] |= (unsigned char)(scales[2 * w + 1] >> 4 << w % 2 * 4);
    float scale = bs_gguf_half(half);
    for (int g = 0; g < 32; g++) {
        unsigned top = (unsigned)high[g / 2] >> g % 2 * 4;
        unsigned own = (unsigned)bs_gguf_u16(scales + g / 8 * 2) >> g / 2 % 4 * 3 & 7;
        put_iq1(block[g] | (top & 7) << 8, scale * (float)(int)(2 * own + 1), top & 8, out + 8 * g);
    }
}
