/* Floating-point numbers of 16 bits and less, with a scale or cast as they are.
 *
 * The nearest number, ties to the even mantissa, with gradual underflow. Beyond the largest finite
 * number a value becomes that, or infinity where `overflow` says so: nothing is left to what a
 * version of a library does (PyTorch's cast to float8_e4m3fn gave NaN once, and saturates now).
 *
 * Scales are those of compressed-tensors: the largest |x| over the largest finite number, and where
 * that is 0 the distance from 1 to the next number of the type that scales have. Values are divided
 * by the scale, clipped and cast. torchao and modelopt take the same scale. Blocks of 128 x 128 at
 * the edges of a matrix are smaller, which is what padding with zeros gives. */
#include <float.h>
#include <math.h>

#include "eval/linalg/bfloat16.h"
#include "eval/linalg/elementary.h"
#include "eval/quant/format.h"

enum { GROUP_CHANNEL = 0, GROUP_TENSOR = -1, GROUP_BLOCK = -2, GROUP_CAST = -3, BLOCK = 128 };
enum { FINITE, FN, IEEE };
enum { SATURATE, INFINITE };
enum { SCALES_FLOAT32, SCALES_FLOAT16, SCALES_BFLOAT16 };
enum { MOST_BITS = 16, WIDEST = 8 };

struct floating {
    int exponent_bits, mantissa_bits, variant;
    int group_size; /* columns that share a scale, or GROUP_* */
    int scales, overflow;
    struct bs_levels levels; /* made of these */
};

static const char *const variant_words[] = {"finite", "fn", "ieee", NULL};
static const char *const overflow_words[] = {"saturate", "infinity", NULL};
static const char *const group_words[] = {"channel", "tensor", "block", "cast", NULL};
static const char *const scales_words[] = {"float32", "float16", "bfloat16", NULL};

#define OVERFLOW(word)                                                                             \
    BS_OPT_WORDS(struct floating, overflow, BS_CHOICE, word, 0, 1, overflow_words,                 \
                 "what is beyond the largest finite number: that, or infinity as a cast gives")
#define SCALED                                                                                     \
    BS_OPT_WORDS(                                                                                  \
        struct floating, group_size, BS_INT, GROUP_CHANNEL, 1, 1 << 24, group_words,               \
        "columns that share a scale; channel = a row, tensor = the matrix, block = 128 x "         \
        "128, cast = no scale"),                                                                   \
        BS_OPT_WORDS(struct floating, scales, BS_CHOICE, SCALES_FLOAT32, 0, 2, scales_words,       \
                     "what scales are stored and computed as")

static const struct bs_option cast_options[] = {OVERFLOW(INFINITE), {.name = NULL}};
static const struct bs_option finite_options[] = {SCALED, {.name = NULL}};
static const struct bs_option ieee_options[] = {SCALED, OVERFLOW(SATURATE), {.name = NULL}};
static const struct bs_option any_options[] = {
    BS_OPT(struct floating, exponent_bits, 4, 1, WIDEST, "bits of the exponent"),
    BS_OPT(struct floating, mantissa_bits, 3, 0, 10, "bits of the mantissa"),
    BS_OPT_WORDS(struct floating, variant, BS_CHOICE, FINITE, 0, 2, variant_words,
                 "codes that are no finite number: none; the largest (fn); those of the largest "
                 "exponent (ieee)"),
    SCALED,
    OVERFLOW(SATURATE),
    {.name = NULL},
};

static int code_bits(const struct floating *opt)
{
    return 1 + opt->exponent_bits + opt->mantissa_bits;
}

static enum bs_status float_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    (void)use;
    struct floating *opt = options;
    if (code_bits(opt) > MOST_BITS)
        return bs_fail(err, BS_ECONFIG,
                       "exponent_bits %d and mantissa_bits %d make %d bits with the sign, expected "
                       "up to %d",
                       opt->exponent_bits, opt->mantissa_bits, code_bits(opt), MOST_BITS);
    int codes = 1 << (code_bits(opt) - 1), binade = 1 << opt->mantissa_bits;
    int top = opt->variant == IEEE ? codes - binade - 1 : codes - 1 - (opt->variant == FN);
    if (top < 1)
        return bs_fail(err, BS_ECONFIG, "variant %s leaves no number but 0, expected more bits",
                       variant_words[opt->variant]);
    if (opt->exponent_bits == WIDEST && opt->variant != IEEE)
        return bs_fail(
            err, BS_ECONFIG,
            "exponent_bits %d reach as far as single precision, which values are computed "
            "in, expected variant: ieee",
            WIDEST);
    bool infinite = opt->overflow == INFINITE;
    if (infinite && opt->variant != IEEE)
        return bs_fail(err, BS_ECONFIG,
                       "overflow: infinity needs a code for it, which variant %s does not have, "
                       "expected variant: ieee",
                       variant_words[opt->variant]);
    const struct bs_minifloat minifloat = {.exponent_bits = opt->exponent_bits,
                                           .mantissa_bits = opt->mantissa_bits,
                                           .top = top + infinite,
                                           .infinite = infinite};
    opt->levels =
        (struct bs_levels){.count = bs_minifloat_levels(&minifloat), .minifloat = minifloat};
    return BS_OK;
}

static const struct bs_minifloat *number_of(const struct floating *opt)
{
    return &opt->levels.minifloat;
}

static float largest(const struct floating *opt)
{
    const struct bs_minifloat *number = number_of(opt);
    return bs_minifloat_value(number, (uint32_t)(number->top - number->infinite));
}

/* "fp8_e4m3 g128", "float e2m3 channel" */
static void print_short(const struct floating *opt, const struct floating *usual, const char *name,
                        const char *sharing, FILE *out)
{
    fputs(name, out);
    if (opt->group_size > 0)
        fprintf(out, " g%d", opt->group_size);
    else if (opt->group_size != GROUP_CHANNEL || !sharing)
        fprintf(out, " %s", group_words[-opt->group_size]);
    if (sharing)
        fprintf(out, " %s", sharing);
    if (opt->variant != usual->variant)
        fprintf(out, " %s", variant_words[opt->variant]);
    if (opt->scales != usual->scales)
        fprintf(out, " scales=%s", scales_words[opt->scales]);
    if (opt->overflow != usual->overflow)
        fprintf(out, " overflow=%s", overflow_words[opt->overflow]);
}

static void float_print_short(const void *options, const void *natural, const char *sharing,
                              FILE *out)
{
    const struct floating *opt = options;
    char name[32];
    snprintf(name, sizeof name, "float e%dm%d", opt->exponent_bits, opt->mantissa_bits);
    print_short(opt, natural, name, sharing, out);
}

static void e4m3_print_short(const void *options, const void *natural, const char *sharing,
                             FILE *out)
{
    print_short(options, natural, "fp8_e4m3", sharing, out);
}

static void e5m2_print_short(const void *options, const void *natural, const char *sharing,
                             FILE *out)
{
    print_short(options, natural, "fp8_e5m2", sharing, out);
}

/* --- layout --- */

/* Scales of blocks, row of blocks by row of blocks. */
struct block_scales {
    int in, across; /* columns of the matrix, and blocks in a row of them */
    float scale[];
};

static int scale_bits(const struct floating *opt)
{
    return opt->scales == SCALES_FLOAT32 ? 32 : 16;
}

static int blocks(int size) { return (size + BLOCK - 1) / BLOCK; }

static enum bs_status float_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                                struct bs_error *err)
{
    (void)err;
    const struct floating *opt = options;
    int wanted = opt->group_size == GROUP_BLOCK ? BLOCK : opt->group_size;
    int group = wanted > 0 && wanted < in ? wanted : in, in_row = (in + group - 1) / group;
    bool tensor = opt->group_size == GROUP_TENSOR, block = opt->group_size == GROUP_BLOCK;
    bool none = opt->group_size == GROUP_CAST;
    size_t all_blocks = (size_t)blocks(out) * (size_t)blocks(in);
    double scales = block ? (double)all_blocks : tensor ? 1 : none ? 0 : (double)out * in_row;
    *layout = (struct bs_code_layout){
        .out = out,
        .in = in,
        .group = group,
        .span = group,
        .by_columns = opt->group_size > 0,
        .code_bits = code_bits(opt),
        .param_bytes = tensor || none ? 0 : sizeof(float),
        .tensor_bytes = tensor  ? sizeof(float)
                        : block ? sizeof(struct block_scales) + all_blocks * sizeof(float)
                                : 0,
        .bits = (double)out * in * code_bits(opt) + scales * scale_bits(opt)};
    return BS_OK;
}

static struct bs_cell cell_of(const struct floating *opt, float scale)
{
    return (struct bs_cell){.levels = &opt->levels, .scale = scale};
}

static struct bs_cell float_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)g;
    const struct floating *opt = options;
    const float *scale = opt->group_size == GROUP_TENSOR ? tensor : params;
    return cell_of(opt, opt->group_size == GROUP_CAST ? 1 : *scale);
}

/* --- fitting --- */

static uint32_t stored(const struct floating *opt, float scale)
{
    if (opt->scales == SCALES_FLOAT16)
        return bs_half_of(scale);
    if (opt->scales == SCALES_BFLOAT16)
        return bs_to_bfloat16(scale);
    return bs_bits_of_float(scale);
}

static float from_stored(const struct floating *opt, uint32_t bits)
{
    if (opt->scales == SCALES_FLOAT16)
        return bs_half_value((uint16_t)bits);
    return bs_float_of_bits(opt->scales == SCALES_BFLOAT16 ? bits << 16 : bits);
}

static float scale_of(const struct floating *opt, float high)
{
    static const float least[] = {FLT_EPSILON, 0x1p-10f, 0x1p-7f};
    float scale = from_stored(opt, stored(opt, high / largest(opt)));
    return scale == 0 ? least[opt->scales] : scale;
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    (void)low;
    struct bs_cell cell = cell_of(context, scale_of(context, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static float fit(const struct floating *opt, const struct bs_choice *range,
                 const struct bs_sample *sample)
{
    const struct bs_range_trial trial = {.error = error_of, .context = opt};
    return scale_of(opt, bs_range_magnitude(range, sample, &trial));
}

/* A block's scale is found with all others, from its rows and columns. */
static void float_fit(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *span, void *params)
{
    const struct floating *opt = options;
    const struct block_scales *known = tensor;
    float *scale = params;
    if (opt->group_size != GROUP_BLOCK) {
        *scale = fit(opt, range, span);
        return;
    }
    size_t in = (size_t)known->in, row = span->index / in / BLOCK;
    *scale = known->scale[row * (size_t)known->across + span->index % in / BLOCK];
}

static void float_set_scale(const void *options, float scale, float zero, void *params)
{
    (void)options, (void)zero;
    float *own = params;
    *own = scale;
}

static size_t least_of(size_t a, size_t b) { return a < b ? a : b; }

static void fit_blocks(const struct floating *opt, const struct bs_choice *range,
                       const struct bs_code_layout *layout, const struct bs_sample *all,
                       struct block_scales *to)
{
    size_t in = (size_t)layout->in, out = (size_t)layout->out;
    *to = (struct block_scales){.in = layout->in, .across = blocks(layout->in)};
    for (size_t i = 0, at = 0; i < out; i += BLOCK)
        for (size_t j = 0; j < in; j += BLOCK, at++) {
            const struct bs_sample block = {.x = all->x + i * in + j,
                                            .rows = least_of(out - i, BLOCK),
                                            .count = least_of(in - j, BLOCK),
                                            .stride = in};
            to->scale[at] = fit(opt, range, &block);
        }
}

static void float_fit_tensor(const void *options, const struct bs_choice *range,
                             const struct bs_code_layout *layout, const struct bs_sample *all,
                             void *tensor)
{
    const struct floating *opt = options;
    float *scale = tensor;
    if (opt->group_size == GROUP_BLOCK)
        fit_blocks(opt, range, layout, all, tensor);
    else
        *scale = fit(opt, range, all);
}

/* --- files: scales, and codes with the sign above the magnitude --- */

static void put_scales(const struct floating *opt, const float *scales, size_t count,
                       struct bs_bits *to)
{
    for (size_t i = 0; i < count; i++)
        bs_bits_put(to, stored(opt, scales[i]), scale_bits(opt));
}

static void get_scales(const struct floating *opt, struct bs_bits *from, float *scales,
                       size_t count)
{
    for (size_t i = 0; i < count; i++)
        scales[i] = from_stored(opt, bs_bits_get(from, scale_bits(opt)));
}

static size_t blocks_of(const struct bs_code_layout *layout)
{
    return (size_t)blocks(layout->out) * (size_t)blocks(layout->in);
}

static void float_pack_tensor(const void *options, const struct bs_code_layout *layout,
                              const void *tensor, struct bs_bits *to)
{
    const struct floating *opt = options;
    const struct block_scales *known = tensor;
    if (opt->group_size == GROUP_BLOCK)
        put_scales(opt, known->scale, blocks_of(layout), to);
    else
        put_scales(opt, tensor, 1, to);
}

static void float_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                                struct bs_bits *from, void *tensor)
{
    const struct floating *opt = options;
    struct block_scales *known = tensor;
    if (opt->group_size != GROUP_BLOCK) {
        get_scales(opt, from, tensor, 1);
        return;
    }
    *known = (struct block_scales){.in = layout->in, .across = blocks(layout->in)};
    get_scales(opt, from, known->scale, blocks_of(layout));
}

static bool has_own_scale(const struct floating *opt) { return opt->group_size >= GROUP_CHANNEL; }

static void float_pack(const void *options, const void *params, const uint16_t *codes, int count,
                       struct bs_bits *to)
{
    const struct floating *opt = options;
    if (has_own_scale(opt))
        put_scales(opt, params, 1, to);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, bs_minifloat_bits(number_of(opt), codes[j]), code_bits(opt));
}

static void float_unpack(const void *options, const void *tensor, uint64_t index,
                         struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    const struct floating *opt = options;
    if (has_own_scale(opt))
        get_scales(opt, from, params, 1);
    if (opt->group_size == GROUP_BLOCK)
        float_fit(opt, NULL, tensor, &(struct bs_sample){.index = index}, params);
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_minifloat_code(number_of(opt), bs_bits_get(from, code_bits(opt)));
}

/* --- plug-ins --- */

#define HOOKS                                                                                      \
    .resolve = float_resolve, .lay = float_lay, .fit_tensor = float_fit_tensor, .fit = float_fit,  \
    .set_scale = float_set_scale, .cell = float_cell, .pack_tensor = float_pack_tensor,            \
    .unpack_tensor = float_unpack_tensor, .pack = float_pack, .unpack = float_unpack
#define NUMBER(e, m, v, g)                                                                         \
    &(const struct floating)                                                                       \
    {                                                                                              \
        .exponent_bits = e, .mantissa_bits = m, .variant = v, .group_size = g                      \
    }

static const char scaled_reference[] = "Micikevicius et al. 2022, arXiv 2209.05433; OCP 8-bit "
                                       "Floating Point Specification 1.0; vllm-project/"
                                       "compressed-tensors quantization/utils/helpers.py";

const struct bs_format bs_format_fp16 = {
    .plugin = {.name = "fp16",
               .summary = "half precision, without a scale",
               .reference = "IEEE 754 binary16",
               .options_size = sizeof(struct floating),
               .variant = NUMBER(5, 10, IEEE, GROUP_CAST),
               .options = cast_options},
    .family = BS_FAMILY_FLOAT,
    HOOKS,
};

const struct bs_format bs_format_bf16 = {
    .plugin = {.name = "bf16",
               .summary = "the upper half of single precision, without a scale",
               .reference = "pytorch c10/util/BFloat16.h",
               .options_size = sizeof(struct floating),
               .variant = NUMBER(8, 7, IEEE, GROUP_CAST),
               .options = cast_options},
    .family = BS_FAMILY_FLOAT,
    HOOKS,
};

const struct bs_format bs_format_fp8_e4m3 = {
    .plugin = {.name = "fp8_e4m3",
               .summary = "8 bits, 4 of them the exponent, to 448, with scales or cast",
               .reference = scaled_reference,
               .options_size = sizeof(struct floating),
               .variant = NUMBER(4, 3, FN, GROUP_CHANNEL),
               .options = finite_options},
    .family = BS_FAMILY_FLOAT,
    .print_short = e4m3_print_short,
    HOOKS,
};

const struct bs_format bs_format_fp8_e5m2 = {
    .plugin = {.name = "fp8_e5m2",
               .summary = "8 bits, 5 of them the exponent, to 57344, with scales or cast",
               .reference = scaled_reference,
               .options_size = sizeof(struct floating),
               .variant = NUMBER(5, 2, IEEE, GROUP_CHANNEL),
               .options = ieee_options},
    .family = BS_FAMILY_FLOAT,
    .print_short = e5m2_print_short,
    HOOKS,
};

const struct bs_format bs_format_float = {
    .plugin = {.name = "float",
               .summary = "numbers of any exponent and mantissa up to 16 bits, with scales or cast",
               .reference = "graphcore-research/gfloat; vllm-project/compressed-tensors "
                            "quantization/utils/helpers.py",
               .options_size = sizeof(struct floating),
               .options = any_options},
    .family = BS_FAMILY_FLOAT,
    .print_short = float_print_short,
    HOOKS,
};
