/* GGUF's super-blocks of 256 values whose blocks have a scale and a minimum: q2_k, q4_k, q5_k. As
 * ggml's quantize_* (ggml-org/ggml src/ggml-quants.c at d99724f2): a search finds each block's
 * scale and minimum, these are rounded to few bits with two half-precision scales of the
 * super-block, and then all codes are made anew with what the file holds. */
#include <math.h>
#include <string.h>

#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_search.h"

enum { SUPER = BS_GGML_SUPER, MOST_BLOCKS = 16, LANES = BS_GGML_LANES };

/* A format of the family. */
struct affine {
    int bits, block; /* of a code; values of a block */
    int most;        /* code of a scale and of a minimum */
    size_t bytes;
    struct bs_ggml_grid plain, weighed; /* without importance, and with it */
    float sigma; /* times the mean of x^2: what importance is multiplied with,
                                           beside x^2, under a root */
};

/* As the file holds them: the values of block b are d scale[b] code - m minimum[b]. */
struct params {
    float d, m;
    uint8_t scale[MOST_BLOCKS], minimum[MOST_BLOCKS];
};

static int blocks_of(const struct affine *own) { return SUPER / own->block; }

/* --- blocks --- */

/* What the search finds of some blocks, and the sum of each one's weights. */
struct found {
    struct bs_ggml_lanes scale, minimum, weight;
};

/* What an error counts without importance: of q2_k |x|, else that and the block's root mean
 * square. */
static void plain_weights(const struct affine *own, const struct bs_ggml_blocks *x,
                          struct bs_ggml_blocks *weights)
{
    struct bs_ggml_lanes squares = {{0}};
    for (int i = 0; i < own->block; i++)
        for (int l = 0; l < LANES; l++)
            squares.v[l] += x->x[i].v[l] * x->x[i].v[l];
    for (int l = 0; l < LANES; l++)
        squares.v[l] = own->plain.absolute ? 0 : sqrtf(squares.v[l] / (float)own->block);
    for (int i = 0; i < own->block; i++)
        for (int l = 0; l < LANES; l++)
            weights->x[i].v[l] = squares.v[l] + fabsf(x->x[i].v[l]);
}

/* The same with importance, for whole super-blocks from x on. */
static void importance_weights(const struct affine *own, const float *x, const float *importance,
                               int count, struct bs_ggml_blocks *weights)
{
    float weighed[LANES * BS_GGML_MOST_BLOCK];
    for (int at = 0; at < count * own->block; at += SUPER) {
        float sigma2 = own->sigma * bs_ggml()->sum_squares(x + at, SUPER) / (float)SUPER;
        bs_ggml()->weigh(x + at, importance + at, sigma2, SUPER, weighed + at);
    }
    bs_ggml()->gather(weighed, own->block, count, weights);
}

static void search(const struct affine *own, const float *x, const float *importance, int count,
                   struct found *found, uint8_t *codes)
{
    struct bs_ggml_blocks blocks, weights;
    struct bs_ggml_codes made;
    bs_ggml()->gather(x, own->block, count, &blocks);
    if (importance)
        importance_weights(own, x, importance, count, &weights);
    else
        plain_weights(own, &blocks, &weights);
    bs_ggml()->affine(own->block, importance ? &own->weighed : &own->plain, &blocks, &weights,
                      &found->scale, &found->minimum, &made);
    bs_ggml()->scatter(&made, own->block, count, codes);
    found->weight = (struct bs_ggml_lanes){{0}};
    for (int i = 0; i < own->block; i++)
        for (int l = 0; l < LANES; l++)
            found->weight.v[l] += weights.x[i].v[l];
}

/* --- super-blocks --- */

/* The largest becomes the highest code; returns the scale. */
static float round_to_largest(const float *x, int n, int most, uint8_t *codes)
{
    float largest = 0;
    for (int i = 0; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    float inverse = largest > 0 ? (float)most / largest : 0;
    for (int i = 0; i < n; i++) {
        uint8_t code = (uint8_t)bs_ggml_nearest(inverse * x[i]);
        codes[i] = code < most ? code : (uint8_t)most;
    }
    return largest / (float)most;
}

static void finish(const struct affine *own, const float *x, bool weighed, const float *scales,
                   const float *minima, const float *weights, struct params *params, uint8_t *codes)
{
    int n = blocks_of(own);
    if (weighed) {
        params->d = bs_ggml()->positive(n, own->most, scales, weights, params->scale);
        params->m = bs_ggml()->positive(n, own->most, minima, weights, params->minimum);
    } else {
        params->d = round_to_largest(scales, n, own->most, params->scale);
        params->m = round_to_largest(minima, n, own->most, params->minimum);
    }
    params->d = bs_ggml_half(params->d);
    params->m = bs_ggml_half(params->m);
    for (int b = 0; b < n; b++)
        bs_ggml_code()->again(x + b * own->block, own->block, params->d * params->scale[b],
                              params->m * params->minimum[b], 0, (1 << own->bits) - 1,
                              codes + b * own->block);
}

static void affine_encode(const void *options, const struct bs_choice *range, const void *tensor,
                          const struct bs_sample *row, void *params, void *codes)
{
    (void)range, (void)tensor;
    const struct affine *own = options;
    struct params *to = params;
    int step = LANES * own->block, each = blocks_of(own);
    for (int at = 0; at < (int)row->count; at += step) {
        int left = (int)row->count - at, n = left < step ? left : step;
        const float *x = row->x + at, *importance = row->importance ? row->importance + at : NULL;
        uint8_t *made = (uint8_t *)codes + at;
        struct found found;
        search(own, x, importance, n / own->block, &found, made);
        for (int s = 0; s < n / SUPER; s++)
            finish(own, x + s * SUPER, importance, found.scale.v + s * each,
                   found.minimum.v + s * each, found.weight.v + s * each, to++, made + s * SUPER);
    }
}

/* --- layout, cells --- */

static enum bs_status affine_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    const struct affine *own = options;
    const struct bs_code_layout block = {.group = own->block,
                                         .span = SUPER,
                                         .code_bits = own->bits,
                                         .param_bytes = sizeof(struct params)};
    return bs_ggml_lay(own->bytes, out, in, block, layout, err);
}

static struct bs_cell affine_cell(const void *options, const void *tensor, const void *params,
                                  int g)
{
    (void)tensor;
    const struct affine *own = options;
    const struct params *p = params;
    return bs_ggml_cell((struct bs_cell){.levels = bs_ggml_whole(own->bits),
                                         .scale = p->d * p->scale[g],
                                         .shift = -(p->m * p->minimum[g])});
}

/* --- files --- */

enum { SCALE_BYTES = 12, PAIRS = 4, HIGH_BITS = SUPER / 8 };

/* Eight scales and eight minima of 6 bits: the first four of each in the low bits of bytes 0 to 7,
 * above them the two highest bits of the last four, whose low bits share bytes 8 to 11. */
static void pack_six(const struct params *p, struct bs_bits *to)
{
    uint8_t bytes[SCALE_BYTES];
    for (int j = 0; j < PAIRS; j++) {
        int scale = p->scale[j + PAIRS], minimum = p->minimum[j + PAIRS];
        bytes[j] = (uint8_t)(p->scale[j] | scale >> 4 << 6);
        bytes[j + PAIRS] = (uint8_t)(p->minimum[j] | minimum >> 4 << 6);
        bytes[j + 2 * PAIRS] = (uint8_t)((scale & 15) | (minimum & 15) << 4);
    }
    bs_ggml_put_bytes(to, bytes, SCALE_BYTES);
}

static void unpack_six(struct bs_bits *from, struct params *p)
{
    uint8_t bytes[SCALE_BYTES];
    bs_ggml_get_bytes(from, bytes, SCALE_BYTES);
    for (int j = 0; j < PAIRS; j++) {
        p->scale[j] = bytes[j] & 63;
        p->minimum[j] = bytes[j + PAIRS] & 63;
        p->scale[j + PAIRS] = (uint8_t)((bytes[j + 2 * PAIRS] & 15) | bytes[j] >> 6 << 4);
        p->minimum[j + PAIRS] = (uint8_t)(bytes[j + 2 * PAIRS] >> 4 | bytes[j + PAIRS] >> 6 << 4);
    }
}

/* q2_k: scales and minima of 4 bits, the codes of each half, then the two scales. */
static void pack_two(const struct params *p, const uint16_t *codes, struct bs_bits *to)
{
    uint8_t bytes[HIGH_BITS];
    for (int b = 0; b < MOST_BLOCKS; b++)
        bs_bits_put(to, p->scale[b] | (uint32_t)p->minimum[b] << 4, 8);
    for (int half = 0; half < SUPER; half += SUPER / 2) {
        bs_ggml_pack_codes(codes + half, SUPER / 2, HIGH_BITS, 2, 0, bytes);
        bs_ggml_put_bytes(to, bytes, HIGH_BITS);
    }
    bs_ggml_put_half(to, p->d);
    bs_ggml_put_half(to, p->m);
}

static void unpack_two(struct bs_bits *from, struct params *p, uint16_t *codes)
{
    uint8_t bytes[HIGH_BITS];
    for (int b = 0; b < MOST_BLOCKS; b++) {
        p->scale[b] = (uint8_t)bs_bits_get(from, 4);
        p->minimum[b] = (uint8_t)bs_bits_get(from, 4);
    }
    for (int half = 0; half < SUPER; half += SUPER / 2) {
        bs_ggml_get_bytes(from, bytes, HIGH_BITS);
        bs_ggml_unpack_codes(bytes, SUPER / 2, HIGH_BITS, 2, 0, codes + half);
    }
    p->d = bs_ggml_get_half(from);
    p->m = bs_ggml_get_half(from);
}

static void affine_pack(const void *options, const void *params, const uint16_t *codes, int count,
                        struct bs_bits *to)
{
    const struct affine *own = options;
    const struct params *p = params;
    uint8_t bytes[HIGH_BITS];
    if (own->bits == 2) {
        pack_two(p, codes, to);
        return;
    }
    bs_ggml_put_half(to, p->d);
    bs_ggml_put_half(to, p->m);
    pack_six(p, to);
    if (own->bits == 5) {
        bs_ggml_pack_codes(codes, count, HIGH_BITS, 1, 4, bytes);
        bs_ggml_put_bytes(to, bytes, HIGH_BITS);
    }
    for (int at = 0; at < count; at += 2 * HIGH_BITS) {
        bs_ggml_pack_codes(codes + at, 2 * HIGH_BITS, HIGH_BITS, 4, 0, bytes);
        bs_ggml_put_bytes(to, bytes, HIGH_BITS);
    }
}

static void affine_unpack(const void *options, const void *tensor, uint64_t index,
                          struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct affine *own = options;
    struct params *p = params;
    uint8_t bytes[HIGH_BITS];
    *p = (struct params){.d = 0};
    memset(codes, 0, (size_t)count * sizeof *codes);
    if (own->bits == 2) {
        unpack_two(from, p, codes);
        return;
    }
    p->d = bs_ggml_get_half(from);
    p->m = bs_ggml_get_half(from);
    unpack_six(from, p);
    if (own->bits == 5) {
        bs_ggml_get_bytes(from, bytes, HIGH_BITS);
        bs_ggml_unpack_codes(bytes, count, HIGH_BITS, 1, 4, codes);
    }
    for (int at = 0; at < count; at += 2 * HIGH_BITS) {
        bs_ggml_get_bytes(from, bytes, HIGH_BITS);
        bs_ggml_unpack_codes(bytes, 2 * HIGH_BITS, HIGH_BITS, 4, 0, codes + at);
    }
}

#define HOOKS                                                                                      \
    .own_search = true, .weighs = true, .lay = affine_lay, .encode = affine_encode,                \
    .cell = affine_cell, .pack = affine_pack, .unpack = affine_unpack

static const struct affine q2_k = {
    .bits = 2,
    .block = 16,
    .most = 15,
    .bytes = 84,
    .plain = {.most = 3, .steps = 15, .from = -0.5f, .step = 0.1f, .absolute = true},
    .weighed = {.most = 3, .steps = 36, .from = -0.9f, .step = 0.05f},
    .sigma = 1};

static const struct affine q4_k = {
    .bits = 4,
    .block = 32,
    .most = 63,
    .bytes = 144,
    .plain = {.most = 15, .steps = 20, .from = -1, .step = 0.1f},
    .weighed = {.most = 15, .steps = 36, .from = -0.9f, .step = 0.05f},
    .sigma = 2};

static const struct affine q5_k = {
    .bits = 5,
    .block = 32,
    .most = 63,
    .bytes = 176,
    .plain = {.most = 31, .steps = 15, .from = -0.5f, .step = 0.1f},
    .weighed = {.most = 31, .steps = 36, .from = -0.9f, .step = 0.05f},
    .sigma = 2};

const struct bs_format bs_format_q2_k = {
    .plugin = {.name = "q2_k",
               .summary = "GGUF: 2 bits, scale and minimum for 16 values, of 4 bits each",
               .reference = "ggml-org/ggml src/ggml-quants.c",
               .options_size = sizeof(struct affine),
               .variant = &q2_k},
    .family = BS_FAMILY_GGUF_K,
    HOOKS};

const struct bs_format bs_format_q4_k = {
    .plugin = {.name = "q4_k",
               .summary = "GGUF: 4 bits, scale and minimum for 32 values, of 6 bits each",
               .reference = "ggml-org/ggml src/ggml-quants.c",
               .options_size = sizeof(struct affine),
               .variant = &q4_k},
    .family = BS_FAMILY_GGUF_K,
    HOOKS};

const struct bs_format bs_format_q5_k = {
    .plugin = {.name = "q5_k",
               .summary = "GGUF: 5 bits, scale and minimum for 32 values, of 6 bits each",
               .reference = "ggml-org/ggml src/ggml-quants.c",
               .options_size = sizeof(struct affine),
               .variant = &q5_k},
    .family = BS_FAMILY_GGUF_K,
    HOOKS};
