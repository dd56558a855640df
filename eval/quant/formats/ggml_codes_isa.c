#include "eval/quant/formats/ggml_codes.h"

#include <math.h>

enum { BLOCK = 32, LANES = 16 };

static inline int clip(int code, int least, int most)
{
    code = code < most ? code : most;
    return code > least ? code : least;
}

/* 1 / scale, 0 where there is no scale. */
static inline float inverse_of(float scale) { return scale != 0 ? 1 / scale : 0; }

/* By the table. */
static void table_codes(const float *x, int n, float inverse, uint8_t *codes)
{
    for (int i = 0; i < n; i++) {
        float u = inverse * x[i];
        int code = 0;
        for (int k = 0; k < 15; k++)
            code += u >= bs_ggml_table_middles[k];
        codes[i] = (uint8_t)code;
    }
}

static void requantize(const float *x, int n, float scale, float shift, int least, int most,
                       uint8_t *codes)
{
    if (scale == 0)
        return;
    for (int i = 0; i < n; i++)
        codes[i] = (uint8_t)(clip(bs_ggml_nearest((x[i] + shift) / scale), least, most) - least);
}

/* The first value of largest size. Sizes are compared by their bits, which are in order. */
static inline float find_extreme(const float *x, int n)
{
    const uint32_t sign = 1u << 31;
    uint32_t largest = 0, negative = 0, positive = 0;
    for (int i = 0; i < n; i++) {
        uint32_t size = bs_bits_of_float(x[i]) & ~sign;
        largest = size > largest ? size : largest;
    }
    for (int i = 0; i < n; i++) {
        negative |= bs_bits_of_float(x[i]) == (largest | sign);
        positive |= bs_bits_of_float(x[i]) == largest;
    }
    float size = bs_float_of_bits(largest);
    for (int i = 0; i < n && negative && positive; i++)
        if (fabsf(x[i]) == size)
            return largest ? x[i] : 0;
    return negative && largest ? -size : size;
}

static float extreme(const float *x, int n) { return find_extreme(x, n); }

/* codes = (x - low) * inverse + offset without its fraction, from 0 to `most`. */
static inline void encode_up(const float *x, float low, float inverse, float offset, int most,
                             uint8_t *codes)
{
    for (int j = 0; j < BLOCK; j++) {
        float level = (x[j] - low) * inverse + offset;
        level = level > 0 ? level : 0; /* which a NaN becomes too */
        level = level < (float)most ? level : (float)most;
        codes[j] = (uint8_t)(int)level;
    }
}

static float plain_signed(const float *x, int most, uint8_t *codes)
{
    float scale = find_extreme(x, BLOCK) / (float)-most;
    float inverse = inverse_of(scale);
    encode_up(x, 0, inverse, (float)most + 0.5f, 2 * most - 1, codes);
    return scale;
}

/* The extremes of twice `half` lanes in `half` of them. */
static inline void narrow(float less[LANES], float more[LANES], int half)
{
    for (int l = 0; l < half; l++) {
        less[l] = less[l + half] < less[l] ? less[l + half] : less[l];
        more[l] = more[l + half] > more[l] ? more[l + half] : more[l];
    }
}

static float plain_affine(const float *x, int most, float *low, uint8_t *codes)
{
    float least, largest, less[LANES], more[LANES];
    for (int l = 0; l < LANES; l++) {
        less[l] = x[l + LANES] < x[l] ? x[l + LANES] : x[l];
        more[l] = x[l + LANES] > x[l] ? x[l + LANES] : x[l];
    }
    narrow(less, more, 8);
    narrow(less, more, 4);
    narrow(less, more, 2);
    narrow(less, more, 1);
    least = less[0];
    largest = more[0];
    float scale = (largest - least) / (float)most;
    encode_up(x, least, inverse_of(scale), 0.5f, most, codes);
    *low = least;
    return scale;
}

static void away(const float *x, int n, float inverse, int most, int zero, uint8_t *codes)
{
    for (int j = 0; j < n; j++) {
        float level = x[j] * inverse;
        level = level > (float)-most ? level : (float)-most;
        level = level < (float)most ? level : (float)most;
        int whole = (int)level;
        float rest = level - (float)whole;
        codes[j] = (uint8_t)(zero + whole + (rest >= 0.5f) - (rest <= -0.5f));
    }
}

static void steps(const float *x, int n, const float middles[7], int zero, uint8_t *codes)
{
    for (int j = 0; j < n; j++) {
        float size = fabsf(x[j]);
        int beyond = 0;
        for (int k = 0; k < 7; k++)
            beyond += size > middles[k];
        codes[j] = (uint8_t)(x[j] < 0 ? zero - beyond : zero + beyond);
    }
}

const struct bs_ggml_code_loops BS_AT_LEVEL(bs_ggml_code_loops) = {
    .plain_signed = plain_signed,
    .plain_affine = plain_affine,
    .away = away,
    .steps = steps,
    .table = table_codes,
    .again = requantize,
    .extreme = extreme,
};
