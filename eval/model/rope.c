#include "eval/model/rope.h"

#include <math.h>

#include "eval/base/mem.h"

struct rope_table {
    float *cos, *sin; /* [tokens][half] */
};

struct bs_rope {
    int half;                    /* of the dimensions that are rotated */
    struct rope_table tables[2]; /* of global and of local layers */
};

/* Llama 3: long wavelengths are stretched by `factor`, short ones left alone, those between blended
 * (transformers, modeling_rope_utils.py). */
static float llama3_frequency(const struct bs_rope_settings *rope, float frequency)
{
    float wavelength = 6.2831853f / frequency;
    float original = (float)rope->original_positions, factor = (float)rope->factor;
    float low = (float)rope->low_freq_factor, high = (float)rope->high_freq_factor;
    if (wavelength < original / high)
        return frequency;
    if (wavelength > original / low)
        return frequency / factor;
    float smooth = (original / wavelength - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
}

static bool fill_table(struct rope_table *table, const struct bs_rope_settings *rope,
                       int rotary_dim, int tokens)
{
    int half = rotary_dim / 2;
    size_t count = (size_t)tokens * (size_t)half;
    table->cos = bs_alloc(count, sizeof(float));
    table->sin = bs_alloc(count, sizeof(float));
    if (!table->cos || !table->sin)
        return false;
    for (int j = 0; j < half; j++) {
        /* In float as transformers has it: the rounding of the frequency shows at late positions.
         */
        float power = powf((float)rope->theta, (float)(2 * j) / (float)rotary_dim);
        float frequency = 1.0f / power;
        if (rope->kind == BS_ROPE_LINEAR)
            frequency /= (float)rope->factor;
        if (rope->kind == BS_ROPE_LLAMA3)
            frequency = llama3_frequency(rope, frequency);
        for (int t = 0; t < tokens; t++) {
            size_t at = (size_t)t * (size_t)half + (size_t)j;
            table->cos[at] = cosf((float)t * frequency);
            table->sin[at] = sinf((float)t * frequency);
        }
    }
    return true;
}

struct bs_rope *bs_rope_create(const struct bs_architecture *a, int tokens)
{
    struct bs_rope *rope = bs_calloc(1, sizeof *rope);
    if (!rope)
        return NULL;
    rope->half = a->rotary_dim / 2;
    if (fill_table(&rope->tables[0], &a->rope, a->rotary_dim, tokens) &&
        (!a->sliding_window || fill_table(&rope->tables[1], &a->local_rope, a->rotary_dim, tokens)))
        return rope;
    bs_rope_free(rope);
    return NULL;
}

void bs_rope_free(struct bs_rope *rope)
{
    if (!rope)
        return;
    for (int k = 0; k < 2; k++) {
        bs_free(rope->tables[k].cos);
        bs_free(rope->tables[k].sin);
    }
    bs_free(rope);
}

void bs_rotate(const struct bs_rope *rope, bool local, float *x, int tokens, int heads,
               int head_dim, int width)
{
    size_t half = (size_t)rope->half;
    for (int t = 0; t < tokens; t++) {
        const float *c = rope->tables[local].cos + (size_t)t * half;
        const float *s = rope->tables[local].sin + (size_t)t * half;
        for (int h = 0; h < heads; h++) {
            float *low = x + (size_t)t * (size_t)width + (size_t)(h * head_dim);
            float *high = low + half;
            for (size_t j = 0; j < half; j++) {
                float a = low[j], b = high[j];
                low[j] = a * c[j] - b * s[j];
                high[j] = b * c[j] + a * s[j];
            }
        }
    }
}
