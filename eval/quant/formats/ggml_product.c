/* The whole numbers of a block are what it decodes to where its scale is one: they are asked of the
 * decoder itself. */
#include "eval/quant/gguf_product.h"

#include <assert.h>
#include <string.h>

enum { MOST_BYTES = 256, ONE = 0x3c00, NONE = -1 };

/* Where a block keeps what its numbers are scaled by. */
enum scale_kind {
    HALVES,      /* half-precision numbers at `scale` and `least` */
    IN_NIBBLES,  /* one in the high nibbles of four words at `scale` */
    EXPONENT,    /* a byte of exponent at `scale`, and then codes that decode to 1 by 1 */
    SMALL_FLOATS /* four bytes of numbers at `scale`, and then such codes */
};

struct row {
    struct bs_gguf_product product;
    enum scale_kind kind;
    int scale, least; /* byte of the block; NONE = there is none */
    int parts;        /* of a scale that numbers count: 8 where values are eighths of it */
};

#define PLAIN(id, input)                                                                           \
    {                                                                                              \
        {id, input, 0, false, false}, HALVES, NONE, NONE, 1                                        \
    }
#define BY_32(id, kind, scale, parts)                                                              \
    {                                                                                              \
        {id, BS_GGUF_SHORT, 32, false, false}, kind, scale, NONE, parts                            \
    }
#define BY_256(id, kind, scale, parts)                                                             \
    {                                                                                              \
        {id, BS_GGUF_LONG, 256, false, false}, kind, scale, NONE, parts                            \
    }

static const struct row rows[] = {
    PLAIN(0, BS_GGUF_FLOAT),
    PLAIN(1, BS_GGUF_HALF),
    PLAIN(30, BS_GGUF_BFLOAT16),
    BY_32(2, HALVES, 0, 1),                                            /* Q4_0 */
    {{3, BS_GGUF_SHORT_SUM, 32, false, true}, HALVES, 0, 2, 1},        /* Q4_1 */
    BY_32(6, HALVES, 0, 1),                                            /* Q5_0 */
    {{7, BS_GGUF_SHORT_SUM, 32, false, true}, HALVES, 0, 2, 1},        /* Q5_1 */
    BY_32(8, HALVES, 0, 1),                                            /* Q8_0 */
    {{10, BS_GGUF_LONG, 256, true, false}, HALVES, 80, 82, 1},         /* Q2_K */
    BY_256(11, HALVES, 108, 1),                                        /* Q3_K */
    {{12, BS_GGUF_LONG, 256, true, false}, HALVES, 0, 2, 1},           /* Q4_K */
    {{13, BS_GGUF_LONG, 256, true, false}, HALVES, 0, 2, 1},           /* Q5_K */
    BY_256(14, HALVES, 208, 1),                                        /* Q6_K */
    BY_256(16, HALVES, 0, 8),                                          /* IQ2_XXS */
    BY_256(17, HALVES, 0, 8),                                          /* IQ2_XS */
    BY_256(18, HALVES, 0, 4),                                          /* IQ3_XXS */
    BY_256(19, HALVES, 0, 8),                                          /* IQ1_S */
    BY_32(20, HALVES, 0, 1),                                           /* IQ4_NL */
    BY_256(21, HALVES, 0, 1),                                          /* IQ3_S */
    BY_256(22, HALVES, 0, 8),                                          /* IQ2_S */
    BY_256(23, HALVES, 0, 1),                                          /* IQ4_XS */
    BY_256(29, IN_NIBBLES, 48, 8),                                     /* IQ1_M */
    BY_256(34, HALVES, 52, 1),                                         /* TQ1_0 */
    BY_256(35, HALVES, 64, 1),                                         /* TQ2_0 */
    BY_32(39, EXPONENT, 0, 1),                                         /* MXFP4 */
    {{40, BS_GGUF_SHORT, 16, false, false}, SMALL_FLOATS, 0, NONE, 1}, /* NVFP4 */
    BY_32(41, HALVES, 0, 1),                                           /* Q1_0 */
    BY_32(42, HALVES, 0, 1),                                           /* Q2_0 */
};

static const struct row *find(uint32_t type)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].product.id == type)
            return &rows[i];
    return NULL;
}

const struct bs_gguf_product *bs_gguf_product_find(uint32_t type)
{
    const struct row *row = find(type);
    return row ? &row->product : NULL;
}

static void put_half(unsigned char *block, int at, unsigned half)
{
    block[at] = (unsigned char)half;
    block[at + 1] = (unsigned char)(half >> 8);
}

/* Each of a block's scales is one from now on. */
static void set_scale(const struct row *row, unsigned char *block)
{
    const int bias = 128;    /* of an exponent whose levels are twice the values */
    const int e4m3_two = 64; /* halved, as decoders of such levels do: 1 */
    switch (row->kind) {
    case HALVES:
        put_half(block, row->scale, ONE);
        break;
    case IN_NIBBLES:
        for (int w = 0; w < 4; w++) {
            unsigned char *high = &block[row->scale + 2 * w + 1];
            *high = (unsigned char)((*high & 15) | (ONE >> 4 * w & 15) << 4);
        }
        break;
    case EXPONENT:
        block[row->scale] = (unsigned char)bias;
        break;
    case SMALL_FLOATS:
        memset(block + row->scale, e4m3_two, BS_GGUF_MOST_SCALES);
        break;
    }
}

/* The scales of a block whose codes do not say them: those of values whose level is one. */
static void read_scales(const struct bs_gguf_type *type, const struct row *row,
                        const unsigned char *block, float *scale)
{
    const int first = row->kind == EXPONENT ? 1 : BS_GGUF_MOST_SCALES;
    const int code = 0x11; /* two of level 1 */
    unsigned char ones[MOST_BYTES];
    float values[BS_GGUF_MOST_VALUES];
    memcpy(ones, block, (size_t)first);
    memset(ones + first, code, (size_t)(type->bytes - first));
    type->decode(ones, values);
    for (int g = 0; g < type->values / row->product.group; g++)
        scale[g] = values[g * row->product.group];
}

static float nibbles_half(const unsigned char *words)
{
    unsigned char half[2] = {0, 0};
    for (int w = 0; w < 4; w++)
        half[w / 2] |= (unsigned char)(words[2 * w + 1] >> 4 << w % 2 * 4);
    return bs_gguf_half(half);
}

static void fill_scales(const struct bs_gguf_type *type, const struct row *row,
                        const unsigned char *block, struct bs_gguf_numbers *numbers)
{
    int groups = type->values / row->product.group;
    numbers->least = row->least == NONE ? 0 : bs_gguf_half(block + row->least);
    if (row->kind == EXPONENT || row->kind == SMALL_FLOATS) {
        read_scales(type, row, block, numbers->scale);
        return;
    }
    float scale =
        row->kind == HALVES ? bs_gguf_half(block + row->scale) : nibbles_half(block + row->scale);
    for (int g = 0; g < groups; g++)
        numbers->scale[g] = scale / (float)row->parts;
}

void bs_gguf_numbers(const struct bs_gguf_type *type, const struct bs_gguf_product *product,
                     const unsigned char *block, struct bs_gguf_numbers *numbers)
{
    const struct row *row = find(product->id);
    unsigned char alone[MOST_BYTES];
    float values[BS_GGUF_MOST_VALUES];
    assert(row && type->bytes <= MOST_BYTES && type->values <= BS_GGUF_MOST_VALUES);
    memcpy(alone, block, type->bytes);
    set_scale(row, alone);
    if (row->least != NONE)
        put_half(alone, row->least, 0);
    type->decode(alone, values);
    for (int j = 0; j < type->values; j++)
        numbers->levels[j] = (int16_t)(values[j] * (float)row->parts);
    fill_scales(type, row, block, numbers);
    if (!product->minima)
        return;
    put_half(alone, row->scale, 0);
    put_half(alone, row->least, ONE);
    type->decode(alone, values);
    for (int j = 0; j < type->values / BS_GGUF_MINIMA; j++)
        numbers->minima[j] = (int16_t)-values[j * BS_GGUF_MINIMA];
}
