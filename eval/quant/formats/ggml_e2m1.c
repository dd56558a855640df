/* GGUF's blocks of 4-bit floats: gguf_mxfp4, 32 values with a power of two, and gguf_nvfp4, four
 * times 16 values with an 8-bit float each. As ggml's quantize_* (ggml-org/ggml src/ggml-quants.c,
 * ggml-impl.h at d99724f2), which differ from the standards' own rules in scale and in ties: the
 * power of two is that of log2 rounded to float32, the 8-bit float is rounded half up and has no
 * values from 256 to 447, and a value between two levels goes to the one nearer to zero. Neither
 * looks at importance. */
#include <math.h>
#include <string.h>

#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"
#include "eval/quant/formats/ggml_block.h"
#include "eval/quant/formats/ggml_codes.h"

enum { BLOCK = 32, PART = 16, PARTS = 4, HALVES = BLOCK / 2, SIZES = 8, ZERO = SIZES - 1 };

/* Twice the levels, as ggml has them; scales are half as large. Code ZERO + k has the size k. */
static const float values[] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
static const struct bs_levels levels = {.count = 2 * SIZES - 1, .values = values};
static const float middles[SIZES - 1] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};

enum { FLOAT_MANTISSA = 23, FLOAT_BIAS = 127 };

static void encode(const float *x, int n, float scale, uint8_t *codes)
{
    float beyond[SIZES - 1];
    for (int k = 0; k < SIZES - 1; k++)
        beyond[k] = scale != 0 ? middles[k] * scale : INFINITY;
    bs_ggml_code()->steps(x, n, beyond, ZERO, codes);
}

/* --- codes in a file: size and sign, two in a byte; a zero has no sign --- */

static void pack_halves(const uint16_t *codes, int n, struct bs_bits *to)
{
    uint16_t signs_and_sizes[BLOCK];
    uint8_t halves[HALVES];
    for (int j = 0; j < n; j++)
        signs_and_sizes[j] =
            (uint16_t)(codes[j] < ZERO ? SIZES + ZERO - codes[j] : codes[j] - ZERO);
    bs_ggml_pack_codes(signs_and_sizes, n, n / 2, 4, 0, halves);
    bs_ggml_put_bytes(to, halves, n / 2);
}

static void unpack_halves(struct bs_bits *from, int n, uint16_t *codes)
{
    uint8_t halves[HALVES];
    memset(codes, 0, (size_t)n * sizeof *codes);
    bs_ggml_get_bytes(from, halves, n / 2);
    bs_ggml_unpack_codes(halves, n, n / 2, 4, 0, codes);
    for (int j = 0; j < n; j++) {
        int size = codes[j] % SIZES;
        codes[j] = (uint16_t)(codes[j] < SIZES ? ZERO + size : ZERO - size);
    }
}

/* --- gguf_mxfp4 --- */

/* Half of 2^(e - 127): of the two least a number below the normal ones. */
static float half_power(uint8_t e)
{
    return bs_float_of_bits(e < 2 ? 1u << (FLOAT_MANTISSA - 2 + e)
                                  : (uint32_t)(e - 1) << FLOAT_MANTISSA);
}

static uint8_t exponent_of(float largest)
{
    if (!(largest > 0))
        return 0;
    float e = floorf((float)bs_log2_short((double)largest)) - 2 + 127;
    return (uint8_t)(e > 0 ? e : 0);
}

static enum bs_status mx_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    (void)options;
    const struct bs_code_layout block = {
        .group = BLOCK, .span = BLOCK, .code_bits = 4, .param_bytes = sizeof(uint8_t)};
    return bs_ggml_lay(1 + HALVES, out, in, block, layout, err);
}

static void mx_encode(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    uint8_t *exponents = params;
    for (size_t at = 0; at < row->count; at += BLOCK) {
        uint8_t e = exponent_of(bs_abs_max(row->x + at, BLOCK));
        *exponents++ = e;
        encode(row->x + at, BLOCK, half_power(e), (uint8_t *)codes + at);
    }
}

static struct bs_cell mx_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)options, (void)tensor, (void)g;
    const uint8_t *e = params;
    return bs_ggml_cell((struct bs_cell){.levels = &levels, .scale = half_power(*e)});
}

static void mx_pack(const void *options, const void *params, const uint16_t *codes, int count,
                    struct bs_bits *to)
{
    (void)options;
    bs_ggml_put_bytes(to, params, 1);
    pack_halves(codes, count, to);
}

static void mx_unpack(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                      void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    bs_ggml_get_bytes(from, params, 1);
    unpack_halves(from, count, codes);
}

/* --- gguf_nvfp4 --- */

enum { MANTISSA = 3, EIGHT_BIAS = 7, LARGEST = 0x7e, NO_NUMBER = 0x7f };

/* Half of the value of an 8-bit float without a sign. */
static float half_eight(uint8_t byte)
{
    int exponent = byte >> MANTISSA, mantissa = byte & 7;
    if (byte == NO_NUMBER)
        return 0;
    if (exponent == 0)
        return (float)mantissa * 0x1p-10f;
    return bs_float_of_bits((uint32_t)(exponent - EIGHT_BIAS + FLOAT_BIAS - 1) << FLOAT_MANTISSA |
                            (uint32_t)mantissa << (FLOAT_MANTISSA - MANTISSA));
}

static uint8_t eight_of(float x)
{
    if (!(x > 0))
        return 0;
    uint32_t bits = bs_bits_of_float(x);
    int exponent = (int)(bits >> FLOAT_MANTISSA) - FLOAT_BIAS + EIGHT_BIAS;
    if (exponent <= 0) {
        int units = (int)(x * 512 + 0.5f);
        return (uint8_t)(units < 7 ? units : 7);
    }
    int sixteenths = bits >> (FLOAT_MANTISSA - MANTISSA - 1) & 15; /* the lowest is rounded up */
    int byte = (exponent << MANTISSA) + (sixteenths + 1) / 2;
    return (uint8_t)(byte >= 15 << MANTISSA ? LARGEST : byte);
}

static enum bs_status nv_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    (void)options;
    const struct bs_code_layout block = {
        .group = PART, .span = PART * PARTS, .code_bits = 4, .param_bytes = PARTS};
    return bs_ggml_lay(PARTS + PARTS * PART / 2, out, in, block, layout, err);
}

static void nv_encode(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *row, void *params, void *codes)
{
    (void)options, (void)range, (void)tensor;
    const float largest_level = 6;
    uint8_t *scales = params;
    for (size_t at = 0; at < row->count; at += PART) {
        uint8_t scale = eight_of(bs_abs_max(row->x + at, PART) / largest_level);
        *scales++ = scale;
        encode(row->x + at, PART, half_eight(scale), (uint8_t *)codes + at);
    }
}

static struct bs_cell nv_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)options, (void)tensor;
    const uint8_t *scales = params;
    return bs_ggml_cell((struct bs_cell){.levels = &levels, .scale = half_eight(scales[g])});
}

static void nv_pack(const void *options, const void *params, const uint16_t *codes, int count,
                    struct bs_bits *to)
{
    (void)options;
    bs_ggml_put_bytes(to, params, PARTS);
    for (int at = 0; at < count; at += PART)
        pack_halves(codes + at, PART, to);
}

static void nv_unpack(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                      void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    bs_ggml_get_bytes(from, params, PARTS);
    for (int at = 0; at < count; at += PART)
        unpack_halves(from, PART, codes + at);
}

const struct bs_format bs_format_gguf_mxfp4 = {
    .plugin = {.name = "gguf_mxfp4",
               .summary = "GGUF: mxfp4 with ggml's own scale and ties",
               .reference = "ggml-org/ggml src/ggml-quants.c; OCP MX 1.0"},
    .family = BS_FAMILY_MX,
    .own_search = true,
    .lay = mx_lay,
    .encode = mx_encode,
    .cell = mx_cell,
    .pack = mx_pack,
    .unpack = mx_unpack};

const struct bs_format bs_format_gguf_nvfp4 = {
    .plugin = {.name = "gguf_nvfp4",
               .summary = "GGUF: nvfp4 without a scale of the tensor, with ggml's own ties",
               .reference = "ggml-org/ggml src/ggml-quants.c"},
    .family = BS_FAMILY_MX,
    .own_search = true,
    .lay = nv_lay,
    .encode = nv_encode,
    .cell = nv_cell,
    .pack = nv_pack,
    .unpack = nv_unpack};
