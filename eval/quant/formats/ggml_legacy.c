/* GGUF's blocks of 32 values with a scale, or a scale and a minimum, of their own: q4_0, q4_1,
 * q5_0, q5_1, q8_0. As ggml's quantize_* (ggml-org/ggml src/ggml-quants.c at d99724f2): codes are
 * made with the scale before it is rounded to half precision, and decoded with the rounded one.
 * With importance a search finds scale and codes together; q8_0 has none. */

#include "eval/linalg/vector.h"
#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_search.h"

enum { BLOCK = 32, HALVES = BLOCK / 2, EIGHTHS = BLOCK / 8 };

/* A format of the family. */
struct legacy {
    int bits;
    bool affine; /* with a minimum; else the levels are signed */
    size_t bytes;
};

/* As the file rounds them: value = scale * level + low. */
struct params {
    float scale, low;
};

/* --- without importance --- */

static void plain(const struct legacy *own, const struct bs_sample *row, struct params *params,
                  uint8_t *codes)
{
    const struct bs_ggml_code_loops *loops = bs_ggml_code();
    for (size_t at = 0; at < row->count; at += BLOCK, params++) {
        const float *x = row->x + at;
        float low = 0;
        float scale = own->affine ? loops->plain_affine(x, (1 << own->bits) - 1, &low, codes + at)
                                  : loops->plain_signed(x, 1 << (own->bits - 1), codes + at);
        *params = (struct params){bs_ggml_half(scale), bs_ggml_half(low)};
    }
}

/* --- with it --- */

/* Up to 16 blocks: what is searched, and what an error of each value counts. */
static void gather(const struct bs_sample *row, int first, int count, float sigma2,
                   struct bs_ggml_blocks *x, struct bs_ggml_blocks *weights)
{
    float weighed[BS_GGML_LANES * BLOCK];
    const float *from = row->x + (size_t)first * BLOCK;
    bs_ggml()->weigh(from, row->importance + (size_t)first * BLOCK, sigma2, count * BLOCK, weighed);
    bs_ggml()->gather(from, BLOCK, count, x);
    bs_ggml()->gather(weighed, BLOCK, count, weights);
}

static void searched(const struct legacy *own, const struct bs_sample *row, struct params *params,
                     uint8_t *codes)
{
    const struct bs_ggml_grid grid = {
        .most = (1 << own->bits) - 1, .steps = 36, .from = -0.9f, .step = 0.05f};
    int blocks = (int)row->count / BLOCK;
    float sigma2 = bs_ggml()->sum_squares(row->x, (int)row->count) / (float)row->count;
    struct bs_ggml_blocks x, weights;
    struct bs_ggml_codes found;
    struct bs_ggml_lanes scale, minimum = {{0}};
    for (int first = 0; first < blocks; first += BS_GGML_LANES) {
        int count = blocks - first < BS_GGML_LANES ? blocks - first : BS_GGML_LANES;
        gather(row, first, count, sigma2, &x, &weights);
        if (own->affine)
            bs_ggml()->affine(BLOCK, &grid, &x, &weights, &scale, &minimum, &found);
        else
            bs_ggml()->symmetric(BLOCK, 1 << (own->bits - 1), &x, &weights, &scale, &found);
        bs_ggml()->scatter(&found, BLOCK, count, codes + (size_t)first * BLOCK);
        for (int l = 0; l < count; l++)
            params[first + l] = (struct params){bs_ggml_half(scale.v[l]),
                                                own->affine ? bs_ggml_half(-minimum.v[l]) : 0};
    }
}

static void legacy_encode(const void *options, const struct bs_choice *range, const void *tensor,
                          const struct bs_sample *row, void *params, void *codes)
{
    (void)range, (void)tensor;
    (row->importance ? searched : plain)(options, row, params, codes);
}

/* --- layout, cells --- */

static enum bs_status legacy_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    const struct legacy *own = options;
    const struct bs_code_layout block = {.group = BLOCK,
                                         .span = BLOCK,
                                         .code_bits = own->bits,
                                         .param_bytes = sizeof(struct params),
                                         .whole_numbers = !own->affine};
    return bs_ggml_lay(own->bytes, out, in, block, layout, err);
}

static struct bs_cell legacy_cell(const void *options, const void *tensor, const void *params,
                                  int g)
{
    (void)tensor, (void)g;
    const struct legacy *own = options;
    const struct params *p = params;
    return bs_ggml_cell((struct bs_cell){.levels = bs_ggml_whole(own->bits),
                                         .first = own->affine ? 0 : -(1 << (own->bits - 1)),
                                         .scale = p->scale,
                                         .shift = p->low});
}

/* --- files: scale, minimum, the fifth bits of all codes, the rest in halves of bytes --- */

static void legacy_pack(const void *options, const void *params, const uint16_t *codes, int count,
                        struct bs_bits *to)
{
    const struct legacy *own = options;
    const struct params *p = params;
    uint8_t halves[HALVES];
    bs_ggml_pack_codes(codes, count, HALVES, 4, 0, halves);
    bs_ggml_put_half(to, p->scale);
    if (own->affine)
        bs_ggml_put_half(to, p->low);
    for (int j = 0; j < count && own->bits == 5; j++)
        bs_bits_put(to, codes[j] >> 4, 1);
    bs_ggml_put_bytes(to, halves, HALVES);
}

static void legacy_unpack(const void *options, const void *tensor, uint64_t index,
                          struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct legacy *own = options;
    struct params *p = params;
    uint8_t halves[HALVES];
    p->scale = bs_ggml_get_half(from);
    p->low = own->affine ? bs_ggml_get_half(from) : 0;
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)(own->bits == 5 ? bs_bits_get(from, 1) << 4 : 0);
    bs_ggml_get_bytes(from, halves, HALVES);
    bs_ggml_unpack_codes(halves, count, HALVES, 4, 0, codes);
}

/* --- q8_0: bytes with a sign, no search --- */

static enum bs_status q8_0_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                               struct bs_error *err)
{
    (void)options;
    const struct bs_code_layout block = {.group = BLOCK,
                                         .span = BLOCK,
                                         .code_bits = 8,
                                         .param_bytes = sizeof(float),
                                         .whole_numbers = true};
    return bs_ggml_lay(sizeof(uint16_t) + BLOCK, out, in, block, layout, err);
}

enum { ZERO = 128 }; /* the code of level 0 */

/* Ties away from zero. */
static void q8_0_encode(const void *options, const struct bs_choice *range, const void *tensor,
                        const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    const float most = 127;
    uint8_t *to = codes;
    float *scales = params;
    for (size_t at = 0; at < row->count; at += BLOCK) {
        const float *x = row->x + at;
        float scale = bs_abs_max(x, BLOCK) / most, inverse = scale != 0 ? 1 / scale : 0;
        *scales++ = bs_ggml_half(scale);
        bs_ggml_code()->away(x, BLOCK, inverse, 127, ZERO, to + at);
    }
}

static struct bs_cell q8_0_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)options, (void)tensor, (void)g;
    const float *scale = params;
    return bs_ggml_cell(
        (struct bs_cell){.levels = bs_ggml_whole(8), .first = -ZERO, .scale = *scale});
}

static void q8_0_pack(const void *options, const void *params, const uint16_t *codes, int count,
                      struct bs_bits *to)
{
    (void)options;
    const float *scale = params;
    bs_ggml_put_half(to, *scale);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, (uint8_t)(codes[j] - ZERO), 8);
}

static void q8_0_unpack(const void *options, const void *tensor, uint64_t index,
                        struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    float *scale = params;
    *scale = bs_ggml_get_half(from);
    for (int j = 0; j < count; j++)
        codes[j] = (uint8_t)(bs_bits_get(from, 8) + ZERO);
}

#define REFERENCE "ggml-org/ggml src/ggml-quants.c"
#define HOOKS                                                                                      \
    .own_search = true, .weighs = true, .lay = legacy_lay, .encode = legacy_encode,                \
    .cell = legacy_cell, .pack = legacy_pack, .unpack = legacy_unpack

const struct bs_format bs_format_q4_0 = {
    .plugin = {.name = "q4_0",
               .summary = "GGUF: 4 bits, a half-precision scale for 32 values",
               .reference = REFERENCE,
               .options_size = sizeof(struct legacy),
               .variant = &(const struct legacy){4, false, 18}},
    .family = BS_FAMILY_GGUF_LEGACY,
    HOOKS};

const struct bs_format bs_format_q4_1 = {
    .plugin = {.name = "q4_1",
               .summary = "GGUF: 4 bits, half-precision scale and minimum for 32 values",
               .reference = REFERENCE,
               .options_size = sizeof(struct legacy),
               .variant = &(const struct legacy){4, true, 20}},
    .family = BS_FAMILY_GGUF_LEGACY,
    HOOKS};

const struct bs_format bs_format_q5_0 = {
    .plugin = {.name = "q5_0",
               .summary = "GGUF: 5 bits, a half-precision scale for 32 values",
               .reference = REFERENCE,
               .options_size = sizeof(struct legacy),
               .variant = &(const struct legacy){5, false, 22}},
    .family = BS_FAMILY_GGUF_LEGACY,
    HOOKS};

const struct bs_format bs_format_q5_1 = {
    .plugin = {.name = "q5_1",
               .summary = "GGUF: 5 bits, half-precision scale and minimum for 32 values",
               .reference = REFERENCE,
               .options_size = sizeof(struct legacy),
               .variant = &(const struct legacy){5, true, 24}},
    .family = BS_FAMILY_GGUF_LEGACY,
    HOOKS};

const struct bs_format bs_format_q8_0 = {
    .plugin = {.name = "q8_0",
               .summary = "GGUF: 8 bits, a half-precision scale for 32 values",
               .reference = REFERENCE},
    .family = BS_FAMILY_GGUF_LEGACY,
    .own_search = true,
    .lay = q8_0_lay,
    .encode = q8_0_encode,
    .cell = q8_0_cell,
    .pack = q8_0_pack,
    .unpack = q8_0_unpack};
