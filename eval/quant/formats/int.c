/* Whole numbers of 1 to 8 bits by the integer grids in use, in float32. With maxq = 2^bits - 1 and
 * rte = nearest, ties to even, a value becomes the code clip(rte(x / scale) + zero_point, 0, maxq),
 * which stands for scale * (code - zero_point). Grids differ in the range that scale and zero point
 * are made from, and where this says so in the arithmetic.
 *
 * gptq         IST-DASLab/gptq quant.py. The range always contains 0. Symmetric:
 *              hi = max(|lo|, hi), lo = -hi only where lo < 0, zero_point = 2^(bits-1): the
 *              levels are not symmetric around 0, and a group without negative values wastes half
 *              its range, as there.
 *              scale = (hi - lo) / maxq; an all-zero group has lo, hi = -1, 1.
 * awq          mit-han-lab/llm-awq quantizer.py. The range need not contain 0: zero_point is
 *              clipped. hi - lo is at least 1e-5. Symmetric (its forks; the original cannot run
 *              it): scale = max(|x|, 1e-5) / (2^(bits-1) - 1).
 * smoothquant  mit-han-lab/smoothquant fake_quant.py. Symmetric only, the awq scale. The original
 *              does not clip, and need not: its scale is always the group's own. A static
 *              activation scale can be exceeded; then codes clip at the ends.
 * compressed_tensors  vllm-project/compressed-tensors utils/helpers.py. The range contains 0;
 *              symmetric: scale = max |x| / (maxq / 2), 2^-23 for zeros. The zero point, of levels
 *              from -2^(bits-1), is added before rounding: rte(x / scale + zero_point).
 * auto_round   intel/auto-round data_type/int.py int_sym, int_asym. Symmetric: the extreme M of
 *              larger size, with its sign, is the level -2^(bits-1): the scale M / -2^(bits-1) may
 *              be negative. |scale| is at least 1e-5, and stored as float16 before it is used.
 * torchao      pytorch/ao quant_primitives.py. SYMMETRIC: scale = max |x| / (maxq / 2). Values are
 *              multiplied by 1 / scale.
 * torchao_no_clipping  the same, SYMMETRIC_NO_CLIPPING_ERR: the larger of lo / -2^(bits-1) and
 *              hi / (2^(bits-1) - 1).
 * hqq          mobiusml/hqq quantize.py. Asymmetric; values are multiplied by maxq / (hi - lo), at
 *              most 2e4 (1 where hi - lo is up to 1e-4), the zero point is any number, and is added
 *              before rounding.
 *
 * zero_point: float does the last for the other grids. A code of 1 bit is a sign, + of 0, times the
 * mean |x|, whatever the grid. `scales` is what the scale, and a zero point that is any number, are
 * rounded to before use; with float32 they are used as they are, though a file has 16 bits. */
#include <float.h>
#include <math.h>

#include "eval/linalg/bfloat16.h"
#include "eval/quant/format.h"

enum {
    GRID_GPTQ,
    GRID_AWQ,
    GRID_SMOOTHQUANT,
    GRID_COMPRESSED_TENSORS,
    GRID_AUTO_ROUND,
    GRID_TORCHAO,
    GRID_TORCHAO_NO_CLIPPING,
    GRID_HQQ,
    GRID_AUTO
};
enum { ASYMMETRIC, SYMMETRIC, SYMMETRIC_AUTO };
enum { ZERO_INTEGER, ZERO_FLOAT, ZERO_AUTO };
enum { SCALES_FLOAT32, SCALES_FLOAT16, SCALES_BFLOAT16, SCALES_AUTO };
enum { GROUP_CHANNEL = 0, GROUP_TENSOR = -1 };
enum { NOT_QUANTIZED = 16, SCALE_BITS = 16, LEAST_BITS = 1, MOST_BITS = 8 };

struct whole {
    int bits;       /* of a code; 16 = not quantized */
    int group_size; /* columns that share parameters, or GROUP_* */
    int symmetric;
    int grid;
    int zero_point, scales;
};

static const char *const symmetric_words[] = {"false", "true", "auto", NULL};
static const char *const grid_words[] = {
    "gptq",       "awq",     "smoothquant",         "compressed_tensors",
    "auto_round", "torchao", "torchao_no_clipping", "hqq",
    "auto",       NULL};
static const char *const group_words[] = {"channel", "tensor", NULL};
static const char *const zero_words[] = {"integer", "float", "auto", NULL};
static const char *const scales_words[] = {"float32", "float16", "bfloat16", "auto", NULL};

static const struct bs_option int_options[] = {
    {.name = "bits",
     .help = "bits of a code; 16 = not quantized",
     .offset = offsetof(struct whole, bits),
     .type = BS_INT,
     .initial = NOT_QUANTIZED,
     .min = LEAST_BITS,
     .max = MOST_BITS,
     .also = NOT_QUANTIZED},
    BS_OPT_WORDS(struct whole, group_size, BS_INT, GROUP_CHANNEL, 1, 1 << 24, group_words,
                 "columns that share scale and zero point; channel = a row, tensor = the matrix"),
    BS_OPT_WORDS(struct whole, symmetric, BS_CHOICE, SYMMETRIC_AUTO, 0, 2, symmetric_words,
                 "no zero point; auto = as the grid's authors have it"),
    BS_OPT_WORDS(struct whole, grid, BS_CHOICE, GRID_AUTO, 0, GRID_AUTO, grid_words,
                 "whose range rule; auto = that of the algorithm's authors"),
    BS_OPT_WORDS(struct whole, zero_point, BS_CHOICE, ZERO_AUTO, 0, 2, zero_words,
                 "a code, or any number; auto = as the grid's authors have it"),
    BS_OPT_WORDS(struct whole, scales, BS_CHOICE, SCALES_AUTO, 0, 3, scales_words,
                 "what scales are rounded to; auto = float16 of auto_round, else not"),
    {.name = NULL},
};

/* What decodes a code. */
struct params {
    float scale, inverse, zero; /* as of a cell */
    int first;                  /* the level of code 0 */
};

static int maxq(const struct whole *opt) { return (1 << opt->bits) - 1; }

static int middle(const struct whole *opt) { return 1 << (opt->bits - 1); }

/* A scale, or a zero point that is no code, as a file has it; it does not become 0. */
static float stored(const struct whole *opt, float scale)
{
    const float most = 65504, least = opt->scales == SCALES_FLOAT16 ? 0x1p-24f : FLT_MIN;
    if (opt->scales == SCALES_FLOAT32)
        return scale;
    float size = fmaxf(fabsf(scale), least);
    size = opt->scales == SCALES_FLOAT16 ? bs_half_value(bs_half_of(fminf(size, most)))
                                         : bs_round_to_bfloat16(size);
    return copysignf(size, scale);
}

/* --- grids: the range, and the scale of a range --- */

static void gptq_range(const struct whole *opt, float *low, float *high)
{
    *low = *low < 0 ? *low : 0;
    *high = *high > 0 ? *high : 0;
    if (opt->symmetric) {
        *high = fabsf(*low) > *high ? fabsf(*low) : *high;
        if (*low < 0)
            *low = -*high;
    }
    if (*low == 0 && *high == 0) {
        *low = -1;
        *high = 1;
    }
}

static float gptq_scale(const struct whole *opt, float low, float high)
{
    /* Among subnormal numbers the quotients are coarse: the scale must not become zero, nor the
     * zero point exceed maxq. Elsewhere neither bound is met. */
    float scale = (high - low) / (float)maxq(opt);
    return scale == 0 ? FLT_TRUE_MIN : scale;
}

static void absmax_range(const struct whole *opt, float *low, float *high)
{
    if (!opt->symmetric)
        return;
    *high = fabsf(*low) > fabsf(*high) ? fabsf(*low) : fabsf(*high);
    *low = -*high;
}

static float absmax_scale(const struct whole *opt, float low, float high)
{
    const float least = 1e-5f;
    if (opt->symmetric)
        return (high > least ? high : least) / (float)(middle(opt) - 1);
    float width = high - low > least ? high - low : least;
    return width / (float)maxq(opt);
}

static void zero_range(const struct whole *opt, float *low, float *high)
{
    (void)opt;
    *low = *low < 0 ? *low : 0;
    *high = *high > 0 ? *high : 0;
}

/* Of a range that contains 0, by the larger side or by all of it. */
static float spread(const struct whole *opt, float low, float high)
{
    if (!opt->symmetric)
        return (high - low) / (float)maxq(opt);
    return fmaxf(-low, high) / ((float)maxq(opt) / 2);
}

static float compressed_tensors_scale(const struct whole *opt, float low, float high)
{
    float scale = spread(opt, low, high);
    return scale == 0 ? FLT_EPSILON : scale;
}

static float torchao_scale(const struct whole *opt, float low, float high)
{
    return fmaxf(spread(opt, low, high), FLT_MIN);
}

static float torchao_no_clipping_scale(const struct whole *opt, float low, float high)
{
    if (!opt->symmetric)
        return torchao_scale(opt, low, high);
    float below = low / -(float)middle(opt), above = high / (float)(middle(opt) - 1);
    return fmaxf(below > above ? below : above, FLT_MIN);
}

static float auto_round_scale(const struct whole *opt, float low, float high)
{
    float least = stored(opt, 1e-5f);
    if (!opt->symmetric)
        return fmaxf(stored(opt, (high - low) / (float)maxq(opt)), least);
    float most = fmaxf(-low, high);
    float scale = stored(opt, (high < -low ? most : -most) / (float)middle(opt));
    return scale < 0 ? fminf(scale, -least) : fmaxf(scale, least);
}

/* hqq's scale is what values are multiplied with; torch divides by a tensor in two steps. */
static float hqq_inverse(const struct whole *opt, float low, float high)
{
    const float narrow = 1e-4f, most = 2e4f;
    float width = high - low;
    return width <= narrow ? 1 : fminf((float)maxq(opt) * (1 / width), most);
}

static void own_range(const struct whole *opt, float *low, float *high)
{
    (void)opt, (void)low, (void)high;
}

/* A grid is a row. */
static const struct grid_rule {
    int symmetric, zero_point, scales; /* of its authors */
    int only;                          /* symmetric or not, where it is but one; SYMMETRIC_AUTO */
    bool multiplies;                   /* by 1 / scale */
    bool adds;                         /* the zero point, before rounding */
    void (*range)(const struct whole *opt, float *low, float *high);
    float (*scale)(const struct whole *opt, float low, float high);
    float (*inverse)(const struct whole *opt, float low, float high); /* instead of the scale */
} rules[] = {
    [GRID_GPTQ] = {ASYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false, false,
                   gptq_range, gptq_scale, NULL},
    [GRID_AWQ] = {ASYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false, false,
                  absmax_range, absmax_scale, NULL},
    [GRID_SMOOTHQUANT] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC, false, false,
                          absmax_range, absmax_scale, NULL},
    [GRID_COMPRESSED_TENSORS] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false,
                                 true, zero_range, compressed_tensors_scale, NULL},
    [GRID_AUTO_ROUND] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT16, SYMMETRIC_AUTO, false, false,
                         zero_range, auto_round_scale, NULL},
    [GRID_TORCHAO] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, true, false,
                      zero_range, torchao_scale, NULL},
    [GRID_TORCHAO_NO_CLIPPING] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, true,
                                  false, zero_range, torchao_no_clipping_scale, NULL},
    [GRID_HQQ] = {ASYMMETRIC, ZERO_FLOAT, SCALES_FLOAT32, ASYMMETRIC, true, true, own_range, NULL,
                  hqq_inverse},
};

/* --- parameters --- */

static bool has_zero_point(const struct whole *opt) { return !opt->symmetric; }

static bool adds_zero(const struct whole *opt)
{
    return has_zero_point(opt) && (rules[opt->grid].adds || opt->zero_point == ZERO_FLOAT);
}

/* Parameters of a scale, and of a zero point as a code, any number of zero_point: float. */
static struct params params_of(const struct whole *opt, float scale, float inverse, float zero_code)
{
    struct params params = {.scale = scale, .first = -middle(opt)};
    if (rules[opt->grid].multiplies)
        params.inverse = inverse;
    if (opt->zero_point == ZERO_FLOAT && has_zero_point(opt)) {
        params.first = 0;
        params.zero = zero_code;
    } else if (adds_zero(opt)) {
        params.zero = zero_code - (float)middle(opt);
    } else if (has_zero_point(opt)) {
        params.first = -(int)zero_code;
    }
    return params;
}

/* The code that stands for 0. */
static float zero_code_of(const struct whole *opt, float low, float scale, float inverse)
{
    float zero = rules[opt->grid].inverse ? -low * inverse : -low / scale;
    if (opt->zero_point == ZERO_FLOAT)
        return zero == 0 ? 0 : stored(opt, zero);
    /* The library takes the lowest code off first and clips before it rounds; a tie goes to the
     * even level either way. */
    return fminf(fmaxf(rintf(zero), 0), (float)maxq(opt));
}

static struct params make_params(const struct whole *opt, float low, float high)
{
    const struct grid_rule *rule = &rules[opt->grid];
    float inverse = rule->inverse ? rule->inverse(opt, low, high) : 0;
    float scale = stored(opt, rule->inverse ? 1 / inverse : rule->scale(opt, low, high));
    if (!rule->inverse)
        inverse = 1 / scale;
    float zero = has_zero_point(opt) ? zero_code_of(opt, low, scale, inverse) : 0;
    return params_of(opt, scale, inverse, zero);
}

/* --- options --- */

static bool int_idle(const void *options)
{
    const struct whole *opt = options;
    return opt->bits == NOT_QUANTIZED;
}

/* A code of 1 bit is a sign: no grid and no zero point have a part in it. */
static enum bs_status resolve_sign(struct whole *opt, enum bs_use use, struct bs_error *err)
{
    if (use == BS_FOR_ACTIVATIONS)
        return bs_fail(err, BS_ECONFIG, "1 bit is of weights, expected bits of 2 to 8 or 16");
    if (opt->symmetric == ASYMMETRIC || opt->zero_point == ZERO_FLOAT)
        return bs_fail(err, BS_ECONFIG,
                       "a code of 1 bit is a sign and has no zero point, expected "
                       "symmetric: true and zero_point: integer");
    opt->grid = GRID_GPTQ;
    opt->symmetric = SYMMETRIC;
    opt->zero_point = ZERO_INTEGER;
    if (opt->scales == SCALES_AUTO)
        opt->scales = SCALES_FLOAT32;
    return BS_OK;
}

static enum bs_status int_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    struct whole *opt = options;
    if (opt->bits == 1)
        return resolve_sign(opt, use, err);
    if (opt->grid == GRID_AUTO)
        opt->grid = use == BS_FOR_ACTIVATIONS ? GRID_SMOOTHQUANT : GRID_GPTQ;
    const struct grid_rule *rule = &rules[opt->grid];
    if (opt->symmetric == SYMMETRIC_AUTO)
        opt->symmetric = opt->zero_point == ZERO_FLOAT ? ASYMMETRIC : rule->symmetric;
    if (rule->only != SYMMETRIC_AUTO && opt->symmetric != rule->only)
        return bs_fail(err, BS_ECONFIG, "grid %s is %s only, but symmetric is %s",
                       grid_words[opt->grid], rule->only ? "symmetric" : "asymmetric",
                       symmetric_words[opt->symmetric]);
    if (opt->symmetric && opt->zero_point == ZERO_FLOAT)
        return bs_fail(err, BS_ECONFIG,
                       "zero_point is float, but symmetric is true, which has no zero point");
    if (opt->zero_point == ZERO_AUTO)
        opt->zero_point = opt->symmetric ? ZERO_INTEGER : rule->zero_point;
    if (opt->scales == SCALES_AUTO)
        opt->scales = rule->scales;
    return BS_OK;
}

static void int_print_short(const void *options, const void *natural, const char *sharing,
                            FILE *out)
{
    const struct whole *opt = options, *usual = natural;
    fprintf(out, "%d", opt->bits);
    if (opt->group_size > 0)
        fprintf(out, " g%d", opt->group_size);
    else if (!sharing)
        fprintf(out, " %s", group_words[-opt->group_size]);
    if (sharing)
        fprintf(out, " %s", sharing);
    if (opt->symmetric != usual->symmetric)
        fputs(opt->symmetric == SYMMETRIC ? " sym" : " asym", out);
    if (opt->grid != usual->grid)
        fprintf(out, " grid=%s", grid_words[opt->grid]);
    if (opt->zero_point != usual->zero_point)
        fprintf(out, " zero_point=%s", zero_words[opt->zero_point]);
    if (opt->scales != usual->scales)
        fprintf(out, " scales=%s", scales_words[opt->scales]);
}

/* --- layout --- */

/* Of a zero point in a file; none where the levels are symmetric. */
static int zero_point_bits(const struct whole *opt)
{
    if (!has_zero_point(opt))
        return 0;
    return opt->zero_point == ZERO_FLOAT ? SCALE_BITS : opt->bits;
}

static enum bs_status int_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                              struct bs_error *err)
{
    (void)err;
    const struct whole *opt = options;
    bool tensor = opt->group_size == GROUP_TENSOR;
    int group = opt->group_size > 0 && opt->group_size < in ? opt->group_size : in;
    int in_row = (in + group - 1) / group;
    double groups = tensor ? 1 : (double)out * in_row;
    bool divides = opt->bits > 1 && !rules[opt->grid].multiplies && !adds_zero(opt);
    *layout = (struct bs_code_layout){
        .out = out,
        .in = in,
        .group = group,
        .span = group,
        .by_columns = opt->group_size > 0,
        .code_bits = opt->bits,
        .param_bytes = tensor ? 0 : sizeof(struct params),
        .tensor_bytes = tensor ? sizeof(struct params) : 0,
        .bits = (double)out * in * opt->bits + groups * (SCALE_BITS + zero_point_bits(opt)),
        .group_index = true,
        .free_zero =
            opt->bits > 1 && !tensor && has_zero_point(opt) && opt->zero_point == ZERO_FLOAT,
        .whole_numbers = divides};
    return BS_OK;
}

/* A sign: what is not below 0 is above. */
static const float sign_values[] = {-1, 1}, sign_bounds[] = {-FLT_TRUE_MIN};

static struct bs_cell cell_of(const struct whole *opt, struct params params)
{
    static const struct bs_levels levels[] = {
        [1] = {.count = 2, .values = sign_values, .bounds = sign_bounds, .ties = BS_TIES_DOWN},
        [2] = {.count = 4},
        [3] = {.count = 8},
        [4] = {.count = 16},
        [5] = {.count = 32},
        [6] = {.count = 64},
        [7] = {.count = 128},
        [8] = {.count = 256}};
    return (struct bs_cell){.levels = &levels[opt->bits],
                            .first = params.first,
                            .scale = params.scale,
                            .zero = params.zero,
                            .inverse = params.inverse};
}

static struct bs_cell int_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)g;
    const struct params *own = tensor ? tensor : params;
    return cell_of(options, *own);
}

/* --- fitting --- */

static struct params sign_params(const struct whole *opt, float mean)
{
    return (struct params){.scale = stored(opt, mean > 0 ? mean : FLT_MIN)};
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    const struct whole *opt = context;
    struct bs_cell cell =
        cell_of(opt, opt->bits == 1 ? sign_params(opt, high) : make_params(opt, low, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static float mean_size(const struct bs_sample *sample)
{
    double sum = 0;
    for (size_t r = 0; r < sample->rows; r++)
        for (size_t j = 0; j < sample->count; j++)
            sum += (double)fabsf(sample->x[r * sample->stride + j]);
    return (float)(sum / (double)(sample->rows * sample->count));
}

static struct params fit(const struct whole *opt, const struct bs_choice *range,
                         const struct bs_sample *sample)
{
    const struct bs_range_trial trial = {.error = error_of, .context = opt};
    float low, high;
    if (opt->bits == 1) {
        high = mean_size(sample);
        low = -high;
        bs_range_find(range, sample, &trial, &low, &high);
        return sign_params(opt, high);
    }
    bs_sample_extremes(sample, &low, &high);
    rules[opt->grid].range(opt, &low, &high);
    bs_range_find(range, sample, &trial, &low, &high);
    return make_params(opt, low, high);
}

static void int_fit(const void *options, const struct bs_choice *range, const void *tensor,
                    const struct bs_sample *span, void *params)
{
    (void)tensor;
    struct params *own = params;
    *own = fit(options, range, span);
}

static void int_set_zero(const void *options, float zero, void *params)
{
    struct params *own = params;
    own->zero = zero == 0 ? 0 : stored(options, zero);
}

static void int_fit_tensor(const void *options, const struct bs_choice *range,
                           const struct bs_code_layout *layout, const struct bs_sample *all,
                           void *tensor)
{
    (void)layout;
    struct params *own = tensor;
    *own = fit(options, range, all);
}

/* --- files: a scale of 16 bits, a zero point where there is one, the codes --- */

static void put_scale(const struct whole *opt, float scale, struct bs_bits *to)
{
    bool bfloat16 = opt->scales == SCALES_BFLOAT16;
    bs_bits_put(to, bfloat16 ? bs_to_bfloat16(scale) : bs_half_of(scale), SCALE_BITS);
}

static float get_scale(const struct whole *opt, struct bs_bits *from)
{
    uint32_t bits = bs_bits_get(from, SCALE_BITS);
    return opt->scales == SCALES_BFLOAT16 ? bs_float_of_bits(bits << 16)
                                          : bs_half_value((uint16_t)bits);
}

static void put_params(const struct whole *opt, const struct params *params, struct bs_bits *to)
{
    put_scale(opt, params->scale, to);
    if (!has_zero_point(opt))
        return;
    if (opt->zero_point == ZERO_FLOAT)
        put_scale(opt, params->zero, to);
    else
        bs_bits_put(to, (uint32_t)((int)params->zero - params->first), opt->bits);
}

static void get_params(const struct whole *opt, struct bs_bits *from, struct params *params)
{
    float scale = get_scale(opt, from), zero = 0;
    if (has_zero_point(opt))
        zero = opt->zero_point == ZERO_FLOAT ? get_scale(opt, from)
                                             : (float)bs_bits_get(from, opt->bits);
    *params = params_of(opt, scale, 1 / scale, zero);
}

static void int_pack_tensor(const void *options, const struct bs_code_layout *layout,
                            const void *tensor, struct bs_bits *to)
{
    (void)layout;
    put_params(options, tensor, to);
}

static void int_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                              struct bs_bits *from, void *tensor)
{
    (void)layout;
    get_params(options, from, tensor);
}

static void int_pack(const void *options, const void *params, const uint16_t *codes, int count,
                     struct bs_bits *to)
{
    const struct whole *opt = options;
    if (opt->group_size != GROUP_TENSOR)
        put_params(opt, params, to);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], opt->bits);
}

static void int_unpack(const void *options, const void *tensor, uint64_t index,
                       struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct whole *opt = options;
    if (opt->group_size != GROUP_TENSOR)
        get_params(opt, from, params);
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_bits_get(from, opt->bits);
}

const struct bs_format bs_format_int = {
    .plugin = {.name = "int",
               .summary = "whole numbers of 1 to 8 bits, with a scale and perhaps a zero point",
               .reference = "IST-DASLab/gptq quant.py; mit-han-lab/llm-awq quantizer.py; "
                            "mit-han-lab/smoothquant fake_quant.py; compressed-tensors; "
                            "intel/auto-round; pytorch/ao; mobiusml/hqq",
               .options_size = sizeof(struct whole),
               .options = int_options},
    .family = BS_FAMILY_INT,
    .idle = int_idle,
    .resolve = int_resolve,
    .print_short = int_print_short,
    .lay = int_lay,
    .fit_tensor = int_fit_tensor,
    .fit = int_fit,
    .cell = int_cell,
    .set_zero = int_set_zero,
    .pack_tensor = int_pack_tensor,
    .unpack_tensor = int_unpack_tensor,
    .pack = int_pack,
    .unpack = int_unpack,
};
