/* GGUF's super-blocks of 256 values whose blocks of 16 have a scale with a sign: q3_k, q6_k. As
 * ggml's quantize_* (ggml-org/ggml src/ggml-quants.c at d99724f2): a search finds each block's
 * scale, these are rounded to 6 or 8 bits with a half-precision scale of the super-block, and then
 * all codes are made anew with what the file holds. */
#include <math.h>
#include <string.h>

#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_search.h"

enum { SUPER = BS_GGML_SUPER, BLOCK = 16, BLOCKS = SUPER / BLOCK, LANES = BS_GGML_LANES };

/* As the file holds them: the values of block b are (d scale[b]) level. */
struct params {
    float d;
    int8_t scale[BLOCKS];
};

/* A format of the family. */
struct signed_blocks {
    int bits, zero; /* of a code; the code of level 0 */
    size_t bytes;

    /* Scales and first codes of one super-block. */
    void (*fit)(const float *x, const float *importance, struct params *params, uint8_t *codes);

    void (*pack)(const struct params *params, const uint16_t *codes, struct bs_bits *to);
    void (*unpack)(struct bs_bits *from, struct params *params, uint16_t *codes);
};

static void gather_weights(const float *weights, struct bs_ggml_blocks *to)
{
    bs_ggml()->gather(weights, BLOCK, BLOCKS, to);
}

/* The scale of largest size; the first of several. */
static float largest_scale(const float *scales) { return bs_ggml_code()->extreme(scales, BLOCKS); }

/* --- q3_k --- */

enum { Q3_MOST = 4, Q3_SCALES = 32 };

static void q3_fit_plain(const float *x, struct params *params, uint8_t *codes)
{
    struct bs_ggml_blocks blocks;
    struct bs_ggml_codes made;
    struct bs_ggml_lanes scales;
    bs_ggml()->gather(x, BLOCK, BLOCKS, &blocks);
    bs_ggml()->descend(BLOCK, Q3_MOST, &blocks, &scales, &made);
    bs_ggml()->scatter(&made, BLOCK, BLOCKS, codes);
    float largest = largest_scale(scales.v);
    float inverse = largest != 0 ? -(float)Q3_SCALES / largest : 0;
    params->d = inverse != 0 ? 1 / inverse : 0;
    for (int b = 0; b < BLOCKS; b++) {
        int code = bs_ggml_nearest(inverse * scales.v[b]);
        code = code < Q3_SCALES - 1 ? code : Q3_SCALES - 1;
        code = code > -Q3_SCALES && inverse != 0 ? code : -Q3_SCALES;
        params->scale[b] = (int8_t)code;
    }
}

static void q3_fit(const float *x, const float *importance, struct params *params, uint8_t *codes)
{
    if (!importance) {
        q3_fit_plain(x, params, codes);
        return;
    }
    struct bs_ggml_blocks blocks, weights;
    struct bs_ggml_codes made;
    struct bs_ggml_lanes scales, sums = {{0}};
    float weighed[SUPER], sigma2 = 2 * bs_ggml()->sum_squares(x, SUPER) / (float)SUPER;
    uint8_t found[BLOCKS];
    bs_ggml()->weigh(x, importance, sigma2, SUPER, weighed);
    bs_ggml()->gather(x, BLOCK, BLOCKS, &blocks);
    gather_weights(weighed, &weights);
    for (int i = 0; i < BLOCK; i++)
        for (int l = 0; l < LANES; l++)
            sums.v[l] += weights.x[i].v[l];
    bs_ggml()->symmetric(BLOCK, Q3_MOST, &blocks, &weights, &scales, &made);
    bs_ggml()->scatter(&made, BLOCK, BLOCKS, codes);
    params->d = bs_ggml()->symmetric_one(BLOCKS, Q3_SCALES, scales.v, sums.v, found);
    for (int b = 0; b < BLOCKS; b++)
        params->scale[b] = (int8_t)(found[b] - Q3_SCALES);
}

enum { EIGHTHS = SUPER / 8, HALF = SUPER / 2, SCALE_BYTES = 12 };

/* Scales of 6 bits: the low 4 of the first eight in the low halves of bytes 0 to 7, those of the
 * last eight in the high halves; the rest of all in bytes 8 to 11. */
static void q3_pack(const struct params *p, const uint16_t *codes, struct bs_bits *to)
{
    uint8_t bytes[EIGHTHS];
    uint16_t scales[BLOCKS];
    for (int b = 0; b < BLOCKS; b++)
        scales[b] = (uint16_t)(p->scale[b] + Q3_SCALES);
    bs_ggml_pack_codes(codes, SUPER, EIGHTHS, 1, 2, bytes);
    bs_ggml_put_bytes(to, bytes, EIGHTHS);
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_pack_codes(codes + at, HALF, EIGHTHS, 2, 0, bytes);
        bs_ggml_put_bytes(to, bytes, EIGHTHS);
    }
    bs_ggml_pack_codes(scales, BLOCKS, 8, 4, 0, bytes);
    bs_ggml_pack_codes(scales, BLOCKS, 4, 2, 4, bytes + 8);
    bs_ggml_put_bytes(to, bytes, SCALE_BYTES);
    bs_ggml_put_half(to, p->d);
}

static void q3_unpack(struct bs_bits *from, struct params *p, uint16_t *codes)
{
    uint8_t bytes[EIGHTHS];
    uint16_t scales[BLOCKS] = {0};
    bs_ggml_get_bytes(from, bytes, EIGHTHS);
    bs_ggml_unpack_codes(bytes, SUPER, EIGHTHS, 1, 2, codes);
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_get_bytes(from, bytes, EIGHTHS);
        bs_ggml_unpack_codes(bytes, HALF, EIGHTHS, 2, 0, codes + at);
    }
    bs_ggml_get_bytes(from, bytes, SCALE_BYTES);
    bs_ggml_unpack_codes(bytes, BLOCKS, 8, 4, 0, scales);
    bs_ggml_unpack_codes(bytes + 8, BLOCKS, 4, 2, 4, scales);
    for (int b = 0; b < BLOCKS; b++)
        p->scale[b] = (int8_t)(scales[b] - Q3_SCALES);
    p->d = bs_ggml_get_half(from);
}

/* --- q6_k --- */

enum { Q6_MOST = 32 };

static void q6_fit(const float *x, const float *importance, struct params *params, uint8_t *codes)
{
    const float zero_below = 1e-15f, scale_codes = 128;
    struct bs_ggml_blocks blocks, weights;
    struct bs_ggml_codes made;
    struct bs_ggml_lanes scales;
    bs_ggml()->gather(x, BLOCK, BLOCKS, &blocks);
    if (importance)
        gather_weights(importance, &weights);
    for (int i = 0; !importance && i < BLOCK; i++)
        for (int l = 0; l < LANES; l++)
            weights.x[i].v[l] = blocks.x[i].v[l] * blocks.x[i].v[l];
    bs_ggml()->symmetric(BLOCK, Q6_MOST, &blocks, &weights, &scales, &made);
    bs_ggml()->scatter(&made, BLOCK, BLOCKS, codes);
    float largest = largest_scale(scales.v);
    *params = (struct params){.d = 0};
    if (fabsf(largest) < zero_below) {
        memset(codes, 0, SUPER);
        return;
    }
    float inverse = -scale_codes / largest;
    params->d = 1 / inverse;
    for (int b = 0; b < BLOCKS; b++) {
        int code = bs_ggml_nearest(inverse * scales.v[b]);
        params->scale[b] = (int8_t)(code < INT8_MAX ? code : INT8_MAX);
    }
}

static void q6_pack(const struct params *p, const uint16_t *codes, struct bs_bits *to)
{
    uint8_t bytes[HALF / 2];
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_pack_codes(codes + at, HALF, HALF / 2, 4, 0, bytes);
        bs_ggml_put_bytes(to, bytes, HALF / 2);
    }
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_pack_codes(codes + at, HALF, HALF / 4, 2, 4, bytes);
        bs_ggml_put_bytes(to, bytes, HALF / 4);
    }
    bs_ggml_put_bytes(to, (const uint8_t *)p->scale, BLOCKS);
    bs_ggml_put_half(to, p->d);
}

static void q6_unpack(struct bs_bits *from, struct params *p, uint16_t *codes)
{
    uint8_t bytes[HALF / 2];
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_get_bytes(from, bytes, HALF / 2);
        bs_ggml_unpack_codes(bytes, HALF, HALF / 2, 4, 0, codes + at);
    }
    for (int at = 0; at < SUPER; at += HALF) {
        bs_ggml_get_bytes(from, bytes, HALF / 4);
        bs_ggml_unpack_codes(bytes, HALF, HALF / 4, 2, 4, codes + at);
    }
    bs_ggml_get_bytes(from, (uint8_t *)p->scale, BLOCKS);
    p->d = bs_ggml_get_half(from);
}

/* --- both --- */

static void signed_encode(const void *options, const struct bs_choice *range, const void *tensor,
                          const struct bs_sample *row, void *params, void *codes)
{
    (void)range, (void)tensor;
    const struct signed_blocks *own = options;
    struct params *to = params;
    for (size_t at = 0; at < row->count; at += SUPER, to++) {
        const float *x = row->x + at;
        uint8_t *made = (uint8_t *)codes + at;
        own->fit(x, row->importance ? row->importance + at : NULL, to, made);
        to->d = bs_ggml_half(to->d);
        for (int b = 0; b < BLOCKS; b++)
            bs_ggml_code()->again(x + b * BLOCK, BLOCK, to->d * to->scale[b], 0, -own->zero,
                                  own->zero - 1, made + b * BLOCK);
    }
}

static enum bs_status signed_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    const struct signed_blocks *own = options;
    const struct bs_code_layout block = {.group = BLOCK,
                                         .span = SUPER,
                                         .code_bits = own->bits,
                                         .param_bytes = sizeof(struct params),
                                         .whole_numbers = true};
    return bs_ggml_lay(own->bytes, out, in, block, layout, err);
}

static struct bs_cell signed_cell(const void *options, const void *tensor, const void *params,
                                  int g)
{
    (void)tensor;
    const struct signed_blocks *own = options;
    const struct params *p = params;
    return bs_ggml_cell((struct bs_cell){
        .levels = bs_ggml_whole(own->bits), .first = -own->zero, .scale = p->d * p->scale[g]});
}

static void signed_pack(const void *options, const void *params, const uint16_t *codes, int count,
                        struct bs_bits *to)
{
    (void)count;
    const struct signed_blocks *own = options;
    own->pack(params, codes, to);
}

static void signed_unpack(const void *options, const void *tensor, uint64_t index,
                          struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct signed_blocks *own = options;
    memset(codes, 0, (size_t)count * sizeof *codes);
    own->unpack(from, params, codes);
}

#define HOOKS                                                                                      \
    .own_search = true, .weighs = true, .lay = signed_lay, .encode = signed_encode,                \
    .cell = signed_cell, .pack = signed_pack, .unpack = signed_unpack

static const struct signed_blocks q3_k = {3, Q3_MOST, 110, q3_fit, q3_pack, q3_unpack};
static const struct signed_blocks q6_k = {6, Q6_MOST, 210, q6_fit, q6_pack, q6_unpack};

const struct bs_format bs_format_q3_k = {
    .plugin = {.name = "q3_k",
               .summary = "GGUF: 3 bits, a scale of 6 bits for 16 values",
               .reference = "ggml-org/ggml src/ggml-quants.c",
               .options_size = sizeof(struct signed_blocks),
               .variant = &q3_k},
    .family = BS_FAMILY_GGUF_K,
    HOOKS};

const struct bs_format bs_format_q6_k = {
    .plugin = {.name = "q6_k",
               .summary = "GGUF: 6 bits, a scale of 8 bits for 16 values",
               .reference = "ggml-org/ggml src/ggml-quants.c",
               .options_size = sizeof(struct signed_blocks),
               .variant = &q6_k},
    .family = BS_FAMILY_GGUF_K,
    HOOKS};
