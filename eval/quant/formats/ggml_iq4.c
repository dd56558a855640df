/* GGUF's blocks of 32 values on a table of 16 levels that are closer together near zero: iq4_nl,
 * each with a half-precision scale, and iq4_xs, eight of them with scales of 6 bits. As ggml's
 * quantize_* (ggml-org/ggml src/ggml-quants.c at d99724f2): codes are made with the scale before it
 * is rounded to half precision. */
#include <string.h>

#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_search.h"

enum { BLOCK = 32, LANES = BS_GGML_LANES, HALVES = BLOCK / 2 };

static const struct bs_levels table = {.count = 16, .values = bs_ggml_table_levels};

/* The scales of `count` blocks from x on; sigma2 is of `whole` values each. */
static void search(const float *x, const float *importance, int count, int whole,
                   struct bs_ggml_lanes *scale)
{
    struct bs_ggml_blocks blocks, weights;
    float weighed[LANES * BLOCK];
    for (int at = 0; importance && at < count * BLOCK; at += whole) {
        float sigma2 = bs_ggml()->sum_squares(x + at, whole) * (2.0f / (float)whole);
        bs_ggml()->weigh(x + at, importance + at, sigma2, whole, weighed + at);
    }
    for (int j = 0; !importance && j < count * BLOCK; j++)
        weighed[j] = x[j] * x[j];
    bs_ggml()->gather(x, BLOCK, count, &blocks);
    bs_ggml()->gather(weighed, BLOCK, count, &weights);
    bs_ggml()->table(BLOCK, &blocks, &weights, scale);
}

static int blocks_left(const struct bs_sample *row, size_t at)
{
    size_t left = (row->count - at) / BLOCK;
    return left < LANES ? (int)left : LANES;
}

/* --- iq4_nl --- */

static enum bs_status nl_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    (void)options;
    const struct bs_code_layout block = {
        .group = BLOCK, .span = BLOCK, .code_bits = 4, .param_bytes = sizeof(float)};
    return bs_ggml_lay(sizeof(uint16_t) + HALVES, out, in, block, layout, err);
}

static void nl_encode(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    float *to = params;
    for (size_t at = 0; at < row->count; at += LANES * BLOCK) {
        int count = blocks_left(row, at);
        struct bs_ggml_lanes scale;
        search(row->x + at, row->importance ? row->importance + at : NULL, count, BLOCK, &scale);
        for (int l = 0; l < count; l++) {
            size_t first = at + (size_t)l * BLOCK;
            *to++ = bs_ggml_half(scale.v[l]);
            bs_ggml_code()->table(row->x + first, BLOCK, scale.v[l] != 0 ? 1 / scale.v[l] : 0,
                                  (uint8_t *)codes + first);
        }
    }
}

static struct bs_cell nl_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)options, (void)tensor, (void)g;
    const float *scale = params;
    return bs_ggml_cell((struct bs_cell){.levels = &table, .scale = *scale});
}

static void nl_pack(const void *options, const void *params, const uint16_t *codes, int count,
                    struct bs_bits *to)
{
    (void)options;
    const float *scale = params;
    uint8_t halves[HALVES];
    bs_ggml_put_half(to, *scale);
    bs_ggml_pack_codes(codes, count, HALVES, 4, 0, halves);
    bs_ggml_put_bytes(to, halves, HALVES);
}

static void nl_unpack(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                      void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    float *scale = params;
    uint8_t halves[HALVES];
    memset(codes, 0, (size_t)count * sizeof *codes);
    *scale = bs_ggml_get_half(from);
    bs_ggml_get_bytes(from, halves, HALVES);
    bs_ggml_unpack_codes(halves, count, HALVES, 4, 0, codes);
}

/* --- iq4_xs --- */

enum { SUPER = BS_GGML_SUPER, BLOCKS = SUPER / BLOCK, MIDDLE = 32 };

/* As the file holds them: the values of block b are (d scale[b]) level. */
struct super {
    float d;
    int8_t scale[BLOCKS];
};

static enum bs_status xs_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    (void)options;
    const size_t scales = BLOCKS * 6 / 8;
    const struct bs_code_layout block = {
        .group = BLOCK, .span = SUPER, .code_bits = 4, .param_bytes = sizeof(struct super)};
    return bs_ggml_lay(sizeof(uint16_t) + scales + SUPER / 2, out, in, block, layout, err);
}

static void xs_finish(const float *x, const float *scales, struct super *to, uint8_t *codes)
{
    float d = -bs_ggml_code()->extreme(scales, BLOCKS) / (float)MIDDLE,
          inverse = d != 0 ? 1 / d : 0;
    to->d = bs_ggml_half(d);
    for (int b = 0; b < BLOCKS; b++) {
        int code = bs_ggml_nearest(inverse * scales[b]);
        code = code < MIDDLE - 1 ? code : MIDDLE - 1;
        code = code > -MIDDLE ? code : -MIDDLE;
        to->scale[b] = (int8_t)code;
        float own = d * (float)code;
        bs_ggml_code()->table(x + b * BLOCK, BLOCK, own != 0 ? 1 / own : 0, codes + b * BLOCK);
    }
}

static void xs_encode(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    struct super *to = params;
    for (size_t at = 0; at < row->count; at += LANES * BLOCK) {
        int count = blocks_left(row, at);
        struct bs_ggml_lanes scale;
        search(row->x + at, row->importance ? row->importance + at : NULL, count, SUPER, &scale);
        for (int s = 0; s < count / BLOCKS; s++) {
            size_t first = at + (size_t)s * SUPER;
            xs_finish(row->x + first, scale.v + s * BLOCKS, to++, (uint8_t *)codes + first);
        }
    }
}

static struct bs_cell xs_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)options, (void)tensor;
    const struct super *p = params;
    return bs_ggml_cell((struct bs_cell){.levels = &table, .scale = p->d * p->scale[g]});
}

/* The scale, the two highest bits of the blocks' scales, their low halves of bytes, the codes of
 * one block after the other. */
static void xs_pack(const void *options, const void *params, const uint16_t *codes, int count,
                    struct bs_bits *to)
{
    (void)options;
    const struct super *p = params;
    uint8_t halves[HALVES];
    bs_ggml_put_half(to, p->d);
    for (int b = 0; b < BLOCKS; b++)
        bs_bits_put(to, (uint32_t)(p->scale[b] + MIDDLE) >> 4, 2);
    for (int b = 0; b < BLOCKS; b++)
        bs_bits_put(to, (uint32_t)(p->scale[b] + MIDDLE) & 15, 4);
    for (int at = 0; at < count; at += BLOCK) {
        bs_ggml_pack_codes(codes + at, BLOCK, HALVES, 4, 0, halves);
        bs_ggml_put_bytes(to, halves, HALVES);
    }
}

static void xs_unpack(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                      void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    struct super *p = params;
    uint8_t halves[HALVES], high[BLOCKS];
    memset(codes, 0, (size_t)count * sizeof *codes);
    p->d = bs_ggml_get_half(from);
    for (int b = 0; b < BLOCKS; b++)
        high[b] = (uint8_t)bs_bits_get(from, 2);
    for (int b = 0; b < BLOCKS; b++)
        p->scale[b] = (int8_t)((int)(bs_bits_get(from, 4) | (uint32_t)high[b] << 4) - MIDDLE);
    for (int at = 0; at < count; at += BLOCK) {
        bs_ggml_get_bytes(from, halves, HALVES);
        bs_ggml_unpack_codes(halves, BLOCK, HALVES, 4, 0, codes + at);
    }
}

const struct bs_format bs_format_iq4_nl = {
    .plugin = {.name = "iq4_nl",
               .summary = "GGUF: 16 uneven levels, a half-precision scale for 32 values",
               .reference = "ggml-org/ggml src/ggml-quants.c"},
    .family = BS_FAMILY_GGUF_IQ,
    .own_search = true,
    .weighs = true,
    .lay = nl_lay,
    .encode = nl_encode,
    .cell = nl_cell,
    .pack = nl_pack,
    .unpack = nl_unpack};

const struct bs_format bs_format_iq4_xs = {
    .plugin = {.name = "iq4_xs",
               .summary = "GGUF: 16 uneven levels, a scale of 6 bits for 32 values",
               .reference = "ggml-org/ggml src/ggml-quants.c"},
    .family = BS_FAMILY_GGUF_IQ,
    .own_search = true,
    .weighs = true,
    .lay = xs_lay,
    .encode = xs_encode,
    .cell = xs_cell,
    .pack = xs_pack,
    .unpack = xs_unpack};
