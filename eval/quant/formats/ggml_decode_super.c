/* Super-blocks of 256 values whose blocks have scales of few bits. */
#include "eval/quant/formats/ggml_decode.h"

/* Of 32 values in 8 bytes' turns: bits `shift` and on of byte j are value j's. */
static int two(const unsigned char *bytes, int j, int shift) { return bytes[j] >> shift & 3; }

void bs_gguf_q2_k(const unsigned char *block, float *out)
{
    const unsigned char *scales = block, *codes = block + 16;
    float scale = bs_gguf_half(block + 80), least = bs_gguf_half(block + 82);
    for (int b = 0; b < 16; b++) { /* of 16 values */
        float own = scale * (float)(scales[b] & 15), below = least * (float)(scales[b] >> 4);
        const unsigned char *from = codes + b / 8 * 32 + b % 2 * 16;
        for (int j = 0; j < 16; j++)
            out[16 * b + j] = own * (float)two(from, j, b % 8 / 2 * 2) - below;
    }
}

void bs_gguf_q3_k(const unsigned char *block, float *out)
{
    const unsigned char *high = block, *codes = block + 32, *scales = block + 96;
    float scale = bs_gguf_half(block + 108);
    for (int b = 0; b < 16; b++) {
        int low = scales[b % 8] >> b / 8 * 4 & 15, top = two(scales + 8, b % 4, b / 4 * 2);
        float own = scale * (float)((low | top << 4) - 32);
        const unsigned char *from = codes + b / 8 * 32 + b % 2 * 16;
        for (int j = 0; j < 16; j++) {
            int third = high[b % 2 * 16 + j] >> b / 2 & 1; /* where it is not set, less 4 */
            out[16 * b + j] = own * (float)(two(from, j, b % 8 / 2 * 2) - (third ? 0 : 4));
        }
    }
}

/* Scale and minimum of block b, of 6 bits each: the first four of both stand in the low bits of
 * bytes 0 to 7, the others in the nibbles of bytes 8 to 11 and the two high bits of the first. */
static void scale_and_minimum(const unsigned char *packed, int b, int *scale, int *minimum)
{
    if (b < 4) {
        *scale = packed[b] & 63;
        *minimum = packed[b + 4] & 63;
        return;
    }
    *scale = (packed[b + 4] & 15) | packed[b - 4] >> 6 << 4;
    *minimum = packed[b + 4] >> 4 | packed[b] >> 6 << 4;
}

void bs_gguf_q4_k(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block), least = bs_gguf_half(block + 2);
    for (int b = 0; b < 8; b++) {
        int own, below;
        scale_and_minimum(block + 4, b, &own, &below);
        float times = scale * (float)own, less = least * (float)below;
        const unsigned char *codes = block + 16 + b / 2 * 32;
        for (int j = 0; j < 32; j++)
            out[32 * b + j] = times * (float)(codes[j] >> b % 2 * 4 & 15) - less;
    }
}

void bs_gguf_q5_k(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block), least = bs_gguf_half(block + 2);
    const unsigned char *high = block + 16;
    for (int b = 0; b < 8; b++) {
        int own, below;
        scale_and_minimum(block + 4, b, &own, &below);
        float times = scale * (float)own, less = least * (float)below;
        const unsigned char *codes = block + 48 + b / 2 * 32;
        for (int j = 0; j < 32; j++) {
            int code = (codes[j] >> b % 2 * 4 & 15) | (high[j] >> b & 1) << 4;
            out[32 * b + j] = times * (float)code - less;
        }
    }
}

void bs_gguf_q6_k(const unsigned char *block, float *out)
{
    const unsigned char *low = block, *high = block + 128, *scales = block + 192;
    float scale = bs_gguf_half(block + 208);
    for (int b = 0; b < 16; b++) {
        float own = scale * (float)(signed char)scales[b];
        int half = b / 8, quarter = b % 8 / 2, from = b % 2 * 16; /* of 128, of 32 values */
        const unsigned char *nibbles = low + 64 * half + 32 * (quarter % 2);
        for (int j = from; j < from + 16; j++) {
            int code = nibbles[j] >> quarter / 2 * 4 & 15;
            code |= two(high + 32 * half, j, 2 * quarter) << 4;
            out[16 * b + j - from] = own * (float)(code - 32);
        }
    }
}

void bs_gguf_iq4_xs(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block);
    unsigned high = bs_gguf_u16(block + 2);
    for (int b = 0; b < 8; b++) {
        int low = block[4 + b / 2] >> b % 2 * 4 & 15;
        float own = scale * (float)((low | (int)(high >> 2 * b & 3) << 4) - 32);
        const unsigned char *codes = block + 8 + 16 * b;
        for (int j = 0; j < 16; j++) {
            out[32 * b + j] = own * (float)bs_gguf_iq4_levels[codes[j] & 15];
            out[32 * b + j + 16] = own * (float)bs_gguf_iq4_levels[codes[j] >> 4];
        }
    }
}

/* --- three levels --- */

/* Digit n of base 3, the first highest, of a byte that holds five as a fraction of 256. */
static int trit(unsigned char byte, int n)
{
    static const unsigned char powers[] = {1, 3, 9, 27, 81};
    unsigned char rest = (unsigned char)(byte * powers[n]);
    return (rest * 3 >> 8) - 1;
}

void bs_gguf_tq1_0(const unsigned char *block, float *out)
{
    static const struct {
        int first, bytes, digits;
    } runs[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    float scale = bs_gguf_half(block + 52);
    for (int r = 0; r < 3; r++)
        for (int n = 0; n < runs[r].digits; n++)
            for (int j = 0; j < runs[r].bytes; j++)
                *out++ = scale * (float)trit(block[runs[r].first + j], n);
}

void bs_gguf_tq2_0(const unsigned char *block, float *out)
{
    float scale = bs_gguf_half(block + 64);
    for (int b = 0; b < 8; b++)
        for (int j = 0; j < 32; j++)
            out[32 * b + j] = scale * (float)(two(block + b / 4 * 32, j, b % 4 * 2) - 1);
}
