/* Microscaling (OCP Microscaling Formats Specification 1.0): blocks of 32 values along the input
 * channels share a power of two, 2^(e - 127) with 8 bits of e. Elements are E2M1, E2M3, E3M2, E4M3,
 * E5M2, or whole numbers of 1/64; what is too large becomes the largest. The exponent of a block's
 * largest |x| is read off its bits, less that of the largest element:
 *
 * floor       the specification's, which clips what lies above the largest element: torchao FLOOR
 * floor_log2  of log2 |x| in single precision, which rounds up just under a power of two:
 *             microsoft/microxcaling, ggml, auto-round
 * ceil        up where |x| is no power of two: torchao CEIL
 * rceil       the least power of two by which the largest element holds |x|: torchao RCEIL,
 *             modelopt, and the instruction of the processors that have it
 * even        of |x| rounded to the element's mantissa: torchao EVEN, compressed-tensors
 * even_fp4    of |x| rounded to FP4's mantissa: compressed-tensors for elements of 8 bits
 *
 * floor_log2 rounds a logarithm once, and rceil reads the bits of a quotient. Where a library's own
 * logarithm is less exact, it differs in the last place before a power of two. */
#include <math.h>

#include "eval/linalg/elementary.h"
#include "eval/quant/format.h"

enum { BLOCK = 32, SCALE_BITS = 8, BIAS = 127, MOST_EXPONENT = 254 };
enum { FLOOR, FLOOR_LOG2, CEIL, RCEIL, EVEN, EVEN_FP4 };
enum { INT8_TOP = 127, INT8_POINT = 6 }; /* of whole numbers: the largest, bits after the point */

struct mx {
    int element_bits;
    int largest_exponent; /* of the largest element */
    float largest;
    struct bs_minifloat element; /* without exponent_bits, whole numbers of 1/64 */
    int scale_rule, ties;
    bool scale_search;
    struct bs_levels levels; /* made of these */
};

static const char *const rule_words[] = {"floor", "floor_log2", "ceil", "rceil",
                                         "even",  "even_fp4",   NULL};
static const char *const ties_words[] = {"even", "zero", "away", NULL};

#define SCALES                                                                                     \
    BS_OPT_WORDS(struct mx, scale_rule, BS_CHOICE, FLOOR, 0, EVEN_FP4, rule_words,                 \
                 "how a block's power of two follows from its largest |x|"),                       \
        BS_OPT(struct mx, scale_search, false, 0, 1,                                               \
               "try half and double that |x| and keep the least squared error (auto-round)")

static const struct bs_option float_options[] = {
    SCALES,
    BS_OPT_WORDS(struct mx, ties, BS_CHOICE, BS_TIES_EVEN, 0, BS_TIES_OUTWARD, ties_words,
                 "where the middle of two elements goes: even; zero = toward it (modelopt, ggml); "
                 "away from zero (microxcaling)"),
    {.name = NULL},
};
static const struct bs_option whole_options[] = {SCALES, {.name = NULL}};

static bool is_whole(const struct mx *opt) { return opt->element.exponent_bits == 0; }

static enum bs_status mx_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    (void)use, (void)err;
    struct mx *opt = options;
    opt->levels = (struct bs_levels){.count = 2 * INT8_TOP + 1};
    if (is_whole(opt))
        return BS_OK;
    opt->levels.minifloat = opt->element;
    opt->levels.minifloat.ties = (enum bs_ties)opt->ties;
    opt->levels.count = bs_minifloat_levels(&opt->element);
    return BS_OK;
}

static enum bs_status mx_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                             struct bs_error *err)
{
    const struct mx *opt = options;
    *layout = (struct bs_code_layout){.group = BLOCK,
                                      .span = BLOCK,
                                      .code_bits = opt->element_bits,
                                      .param_bytes = 1,
                                      .whole_numbers = is_whole(opt)};
    return bs_lay_blocks(out, in, BLOCK * opt->element_bits + SCALE_BITS, layout, err);
}

static struct bs_cell cell_of(const struct mx *opt, int exponent)
{
    return (struct bs_cell){.levels = &opt->levels,
                            .first = -INT8_TOP,
                            .scale = ldexpf(1, exponent - BIAS - (is_whole(opt) ? INT8_POINT : 0))};
}

static struct bs_cell mx_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)tensor, (void)g;
    const unsigned char *exponent = params;
    return cell_of(options, *exponent);
}

/* --- fitting --- */

enum { MANTISSA = 23, FP4_MANTISSA = 1 };

/* The exponent field of the greatest power of two that x >= 0 holds, or with `up` of the least that
 * holds x; 0 is 2^-127. */
static int field_of(float x, bool up)
{
    uint32_t bits = bs_bits_of_float(x), fraction = bits & ((1u << MANTISSA) - 1);
    int field = (int)(bits >> MANTISSA);
    bool more = field ? fraction > 0 : fraction > 1u << (MANTISSA - 1);
    return field + (up && more ? 1 : 0);
}

static int field_rounded(float x, int mantissa)
{
    return (int)((bs_bits_of_float(x) + (1u << (MANTISSA - mantissa - 1))) >> MANTISSA);
}

static int exponent_of(const struct mx *opt, float high)
{
    int own = is_whole(opt) ? INT8_POINT : opt->element.mantissa_bits;
    switch (opt->scale_rule) {
    case FLOOR:
        return field_of(high, false) - opt->largest_exponent;
    case FLOOR_LOG2:
        return high > 0
                   ? (int)floorf((float)bs_log2_short((double)high)) + BIAS - opt->largest_exponent
                   : 0;
    case CEIL:
        return field_of(high, true) - opt->largest_exponent;
    case RCEIL:
        return field_of(high / opt->largest, true);
    case EVEN:
        return field_rounded(high, own) - opt->largest_exponent;
    default:
        return field_rounded(high, FP4_MANTISSA) - opt->largest_exponent;
    }
}

static int fit_high(const struct mx *opt, float high)
{
    int exponent = exponent_of(opt, high);
    exponent = exponent > 0 ? exponent : 0;
    return exponent < MOST_EXPONENT ? exponent : MOST_EXPONENT;
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    (void)low;
    struct bs_cell cell = cell_of(context, fit_high(context, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static float search(const struct mx *opt, const struct bs_sample *sample, float high)
{
    static const float factors[] = {1, 0.5f, 2};
    double least = INFINITY;
    float best = high;
    for (int k = 0; k < 3; k++) {
        double error = error_of(opt, sample, 0, factors[k] * high, 2, false);
        if (error < least) {
            least = error;
            best = factors[k] * high;
        }
    }
    return best;
}

static void mx_fit(const void *options, const struct bs_choice *range, const void *tensor,
                   const struct bs_sample *span, void *params)
{
    (void)tensor;
    const struct mx *opt = options;
    const struct bs_range_trial trial = {.error = error_of, .context = opt};
    unsigned char *exponent = params;
    float high = bs_range_magnitude(range, span, &trial);
    *exponent = (unsigned char)fit_high(opt, opt->scale_search ? search(opt, span, high) : high);
}

/* --- files: the exponent, and the elements --- */

static void mx_pack(const void *options, const void *params, const uint16_t *codes, int count,
                    struct bs_bits *to)
{
    const struct mx *opt = options;
    const unsigned char *exponent = params;
    bs_bits_put(to, *exponent, SCALE_BITS);
    for (int j = 0; j < count; j++)
        bs_bits_put(to,
                    is_whole(opt) ? (uint32_t)(codes[j] - INT8_TOP)
                                  : bs_minifloat_bits(&opt->element, codes[j]),
                    opt->element_bits);
}

/* The code of a byte: -128, which no encoder makes, is taken for -127. */
static int whole_code(uint32_t byte)
{
    int level = (int8_t)(uint8_t)byte;
    return (level < -INT8_TOP ? -INT8_TOP : level) + INT8_TOP;
}

static void mx_unpack(const void *options, const void *tensor, uint64_t index, struct bs_bits *from,
                      void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct mx *opt = options;
    unsigned char *exponent = params;
    uint32_t stored = bs_bits_get(from, SCALE_BITS);
    *exponent = (unsigned char)(stored < MOST_EXPONENT ? stored : MOST_EXPONENT);
    for (int j = 0; j < count; j++) {
        uint32_t bits = bs_bits_get(from, opt->element_bits);
        codes[j] =
            (uint16_t)(is_whole(opt) ? whole_code(bits) : bs_minifloat_code(&opt->element, bits));
    }
}

/* --- plug-ins --- */

#define HOOKS                                                                                      \
    .resolve = mx_resolve, .lay = mx_lay, .fit = mx_fit, .cell = mx_cell, .pack = mx_pack,         \
    .unpack = mx_unpack
#define PLUGIN(called, says, element, rows)                                                        \
    {                                                                                              \
        .name = called, .summary = "blocks of 32 share a power of two; " says,                     \
        .reference = "OCP Microscaling Formats Specification 1.0; microsoft/microxcaling; "        \
                     "pytorch/ao prototype/mx_formats",                                            \
        .options_size = sizeof(struct mx), .variant = &element, .options = rows                    \
    }

static const struct mx e2m1 = {.element_bits = 4,
                               .largest_exponent = 2,
                               .largest = 6,
                               .element = {.exponent_bits = 2, .mantissa_bits = 1, .top = 7}};
static const struct mx e2m3 = {.element_bits = 6,
                               .largest_exponent = 2,
                               .largest = 7.5f,
                               .element = {.exponent_bits = 2, .mantissa_bits = 3, .top = 31}};
static const struct mx e3m2 = {.element_bits = 6,
                               .largest_exponent = 4,
                               .largest = 28,
                               .element = {.exponent_bits = 3, .mantissa_bits = 2, .top = 31}};
static const struct mx e4m3 = {.element_bits = 8,
                               .largest_exponent = 8,
                               .largest = 448,
                               .element = {.exponent_bits = 4, .mantissa_bits = 3, .top = 126}};
static const struct mx e5m2 = {.element_bits = 8,
                               .largest_exponent = 15,
                               .largest = 57344,
                               .element = {.exponent_bits = 5, .mantissa_bits = 2, .top = 123}};
static const struct mx int8 = {.element_bits = 8, .largest_exponent = 0, .largest = 1.984375f};

const struct bs_format bs_format_mxfp4 = {
    .plugin = PLUGIN("mxfp4", "elements of 4 bits, to 6", e2m1, float_options),
    .family = BS_FAMILY_MX,
    HOOKS};
const struct bs_format bs_format_mxfp6_e2m3 = {
    .plugin = PLUGIN("mxfp6_e2m3", "elements of 6 bits, to 7.5", e2m3, float_options),
    .family = BS_FAMILY_MX,
    HOOKS};
const struct bs_format bs_format_mxfp6_e3m2 = {
    .plugin = PLUGIN("mxfp6_e3m2", "elements of 6 bits, to 28", e3m2, float_options),
    .family = BS_FAMILY_MX,
    HOOKS};
const struct bs_format bs_format_mxfp8_e4m3 = {
    .plugin = PLUGIN("mxfp8_e4m3", "elements of 8 bits, to 448", e4m3, float_options),
    .family = BS_FAMILY_MX,
    HOOKS};
const struct bs_format bs_format_mxfp8_e5m2 = {
    .plugin = PLUGIN("mxfp8_e5m2", "elements of 8 bits, to 57344", e5m2, float_options),
    .family = BS_FAMILY_MX,
    HOOKS};
const struct bs_format bs_format_mxint8 = {
    .plugin = PLUGIN("mxint8", "whole numbers of 8 bits, in 64ths", int8, whole_options),
    .family = BS_FAMILY_MX,
    HOOKS};
