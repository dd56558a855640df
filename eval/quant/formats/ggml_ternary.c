/* GGUF's three levels, -1, 0 and 1 times the largest |x| of 256 values: tq1_0, five of them in a
 * byte, and tq2_0, four. As ggml's quantize_* (ggml-org/ggml src/ggml-quants.c at d99724f2), which
 * look at no importance. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/linalg/vector.h"
#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_codes.h"

enum { SUPER = BS_GGML_SUPER, HALF = SUPER / 2, EIGHTHS = SUPER / 8 };

static void ternary_encode(const void *options, const struct bs_choice *range, const void *tensor,
                           const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    float *scales = params;
    for (size_t at = 0; at < row->count; at += SUPER) {
        const float *x = row->x + at;
        uint8_t *to = (uint8_t *)codes + at;
        float scale = bs_abs_max(x, SUPER), inverse = scale != 0 ? 1 / scale : 0;
        *scales++ = bs_ggml_half(scale);
        bs_ggml_code()->away(x, SUPER, inverse, 1, 1, to);
    }
}

/* A value and what an error in it counts. */
struct weighed {
    float size, weight;
};

static int by_size(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;
    return (x->size < y->size) - (x->size > y->size);
}

/* The scale of least weighted square error, for algorithms that round column by column: by the
 * largest |x| most of their columns would become 0. If the k largest values are not 0 the best
 * scale is their mean, and of all k that is best whose (sum)^2 / k is largest. */
static void ternary_fit(const void *options, const struct bs_choice *range, const void *tensor,
                        const struct bs_sample *span, void *params)
{
    (void)options, (void)range, (void)tensor;
    struct weighed all[SUPER];
    double sum = 0, weight = 0, best = 0;
    float *scale = params;
    for (size_t j = 0; j < span->count; j++)
        all[j] = (struct weighed){fabsf(span->x[j]), span->importance ? span->importance[j] : 1};
    qsort(all, span->count, sizeof *all, by_size);
    *scale = 0;
    for (size_t k = 0; k < span->count; k++) {
        sum += (double)all[k].weight * (double)all[k].size;
        weight += (double)all[k].weight;
        if (!(weight > 0 && sum * sum > best * weight))
            continue;
        best = sum * sum / weight;
        *scale = bs_ggml_half((float)(sum / weight));
    }
}

static enum bs_status lay(size_t bytes, int out, int in, struct bs_code_layout *layout,
                          struct bs_error *err)
{
    const struct bs_code_layout block = {.group = SUPER,
                                         .span = SUPER,
                                         .code_bits = 2,
                                         .param_bytes = sizeof(float),
                                         .whole_numbers = true};
    return bs_ggml_lay(bytes, out, in, block, layout, err);
}

static struct bs_cell ternary_cell(const void *options, const void *tensor, const void *params,
                                   int g)
{
    (void)options, (void)tensor, (void)g;
    static const struct bs_levels levels = {.count = 3};
    const float *scale = params;
    return bs_ggml_cell((struct bs_cell){.levels = &levels, .first = -1, .scale = *scale});
}

/* --- tq1_0: five codes of base 3 as a fraction of 256 --- */

enum { FIFTHS = 5, POWER = 243, PARTS = 3 };

/* Bytes whose codes are `stride` apart, `codes` of them each. */
static const struct part {
    int first, stride, codes;
} parts[PARTS] = {{0, 32, 5}, {160, 16, 5}, {240, 4, 4}};

static enum bs_status tq1_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                              struct bs_error *err)
{
    (void)options;
    const size_t bytes = 32 + 16 + 4;
    return lay(bytes + sizeof(uint16_t), out, in, layout, err);
}

static void tq1_pack(const void *options, const void *params, const uint16_t *codes, int count,
                     struct bs_bits *to)
{
    (void)options, (void)count;
    const float *scale = params;
    for (const struct part *p = parts; p < parts + PARTS; p++)
        for (int j = 0; j < p->stride; j++) {
            unsigned number = 0;
            for (int k = 0; k < FIFTHS; k++)
                number = 3 * number + (k < p->codes ? codes[p->first + j + k * p->stride] : 0u);
            bs_bits_put(to, (number * 256 + POWER - 1) / POWER, 8);
        }
    bs_ggml_put_half(to, *scale);
}

static void tq1_unpack(const void *options, const void *tensor, uint64_t index,
                       struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index, (void)count;
    float *scale = params;
    for (const struct part *p = parts; p < parts + PARTS; p++)
        for (int j = 0; j < p->stride; j++) {
            unsigned fraction = bs_bits_get(from, 8);
            for (int k = 0; k < p->codes; k++) {
                codes[p->first + j + k * p->stride] = (uint16_t)(fraction * 3 / 256);
                fraction = fraction * 3 % 256;
            }
        }
    *scale = bs_ggml_get_half(from);
}

/* --- tq2_0 --- */

static enum bs_status tq2_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                              struct bs_error *err)
{
    (void)options;
    return lay(SUPER / 4 + sizeof(uint16_t), out, in, layout, err);
}

static void tq2_pack(const void *options, const void *params, const uint16_t *codes, int count,
                     struct bs_bits *to)
{
    (void)options;
    const float *scale = params;
    uint8_t bytes[EIGHTHS];
    for (int at = 0; at < count; at += HALF) {
        bs_ggml_pack_codes(codes + at, HALF, EIGHTHS, 2, 0, bytes);
        bs_ggml_put_bytes(to, bytes, EIGHTHS);
    }
    bs_ggml_put_half(to, *scale);
}

static void tq2_unpack(const void *options, const void *tensor, uint64_t index,
                       struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    float *scale = params;
    uint8_t bytes[EIGHTHS];
    memset(codes, 0, (size_t)count * sizeof *codes);
    for (int at = 0; at < count; at += HALF) {
        bs_ggml_get_bytes(from, bytes, EIGHTHS);
        bs_ggml_unpack_codes(bytes, HALF, EIGHTHS, 2, 0, codes + at);
    }
    *scale = bs_ggml_get_half(from);
}

const struct bs_format bs_format_tq1_0 = {
    .plugin = {.name = "tq1_0",
               .summary = "GGUF: three levels, a half-precision scale for 256 values, 1.69 bits",
               .reference = "ggml-org/ggml src/ggml-quants.c"},
    .family = BS_FAMILY_GGUF_TERNARY,
    .own_search = true,
    .lay = tq1_lay,
    .fit = ternary_fit,
    .encode = ternary_encode,
    .cell = ternary_cell,
    .pack = tq1_pack,
    .unpack = tq1_unpack};

const struct bs_format bs_format_tq2_0 = {
    .plugin = {.name = "tq2_0",
               .summary = "GGUF: three levels, a half-precision scale for 256 values, 2.06 bits",
               .reference = "ggml-org/ggml src/ggml-quants.c"},
    .family = BS_FAMILY_GGUF_TERNARY,
    .own_search = true,
    .lay = tq2_lay,
    .fit = ternary_fit,
    .encode = ternary_encode,
    .cell = ternary_cell,
    .pack = tq2_pack,
    .unpack = tq2_unpack};
