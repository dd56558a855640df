/* Whole numbers of 1 to 8 bits by the integer grids in use (int_grids.h), in float32. A code of 1
 * bit is a sign, + of 0, times the mean |x|, whatever the grid. */
#include <float.h>
#include <math.h>

#include "eval/linalg/bfloat16.h"
#include "eval/quant/format.h"
#include "eval/quant/formats/int_grids.h"

static const char *const symmetric_words[] = {"false", "true", "auto", NULL};
static const char *const grid_words[] = {"gptq",
                                         "awq",
                                         "smoothquant",
                                         "compressed_tensors",
                                         "auto_round",
                                         "torchao",
                                         "torchao_no_clipping",
                                         "hqq",
                                         "bitsandbytes",
                                         "kivi",
                                         "kvquant",
                                         "quip",
                                         "auto",
                                         NULL};
static const char *const group_words[] = {"channel", "tensor", NULL};
static const char *const zero_words[] = {"integer", "float", "auto", NULL};
static const char *const scales_words[] = {"float32", "float16", "bfloat16", "auto", NULL};

static const struct bs_option int_options[] = {
    {.name = "bits",
     .help = "bits of a code; 16 = not quantized",
     .offset = offsetof(struct bs_whole, bits),
     .type = BS_INT,
     .initial = NOT_QUANTIZED,
     .min = LEAST_BITS,
     .max = MOST_BITS,
     .also = NOT_QUANTIZED},
    BS_OPT_WORDS(struct bs_whole, group_size, BS_INT, GROUP_CHANNEL, 1, 1 << 24, group_words,
                 "columns that share scale and zero point; channel = a row, tensor = the matrix"),
    BS_OPT_WORDS(struct bs_whole, symmetric, BS_CHOICE, SYMMETRIC_AUTO, 0, 2, symmetric_words,
                 "no zero point; auto = as the grid's authors have it"),
    BS_OPT_WORDS(struct bs_whole, grid, BS_CHOICE, GRID_AUTO, 0, GRID_AUTO, grid_words,
                 "whose range rule; auto = that of the algorithm's authors"),
    BS_OPT_WORDS(struct bs_whole, zero_point, BS_CHOICE, ZERO_AUTO, 0, 2, zero_words,
                 "a code, or any number; auto = as the grid's authors have it"),
    BS_OPT_WORDS(struct bs_whole, scales, BS_CHOICE, SCALES_AUTO, 0, 3, scales_words,
                 "what scales are rounded to; auto = float16 of auto_round and kivi, else not"),
    {.name = NULL},
};

/* What decodes a code. */
struct params {
    float scale, inverse, zero, shift; /* as of a cell */
    int first;                         /* the level of code 0 */
};

/* --- parameters --- */

static bool has_zero_point(const struct bs_whole *opt) { return !opt->symmetric; }

static bool adds_zero(const struct bs_whole *opt)
{
    return has_zero_point(opt) && !bs_grid_rules[opt->grid].shifts &&
           (bs_grid_rules[opt->grid].adds || opt->zero_point == ZERO_FLOAT);
}

/* Parameters of a scale, and of a zero point as a code, any number of zero_point: float; of a grid
 * that shifts instead of it the lowest value. */
static struct params params_of(const struct bs_whole *opt, float scale, float inverse,
                               float zero_code)
{
    struct params params = {.scale = scale, .first = -bs_whole_middle(opt)};
    if (bs_grid_rules[opt->grid].multiplies)
        params.inverse = inverse;
    if (bs_grid_rules[opt->grid].shifts) {
        params.first = 0;
        params.shift = zero_code;
    } else if (opt->zero_point == ZERO_FLOAT && has_zero_point(opt)) {
        params.first = 0;
        params.zero = zero_code;
    } else if (bs_grid_rules[opt->grid].halves) {
        params.first = 0;
        params.zero = (float)bs_whole_maxq(opt) / 2;
    } else if (adds_zero(opt)) {
        params.zero = zero_code - (float)bs_whole_middle(opt);
    } else if (has_zero_point(opt)) {
        params.first = -(int)zero_code;
    }
    return params;
}

/* The code that stands for 0. */
static float zero_code_of(const struct bs_whole *opt, float low, float scale, float inverse)
{
    float zero = bs_grid_rules[opt->grid].inverse ? -low * inverse : -low / scale;
    if (opt->zero_point == ZERO_FLOAT)
        return zero == 0 ? 0 : bs_whole_stored(opt, zero);
    /* The library takes the lowest code off first and clips before it rounds; a tie goes to the
     * even level either way. */
    return fminf(fmaxf(rintf(zero), 0), (float)bs_whole_maxq(opt));
}

static struct params make_params(const struct bs_whole *opt, float low, float high)
{
    const struct bs_grid_rule *rule = &bs_grid_rules[opt->grid];
    if (rule->shifts)
        low = low == 0 ? 0 : bs_whole_stored(opt, low);
    float inverse = rule->inverse ? rule->inverse(opt, low, high) : 0;
    float scale = bs_whole_stored(opt, rule->scale ? rule->scale(opt, low, high) : 1 / inverse);
    if (rule->shifts)
        return params_of(opt, scale, 0, low);
    if (!rule->inverse)
        inverse = 1 / scale;
    float zero = has_zero_point(opt) ? zero_code_of(opt, low, scale, inverse) : 0;
    return params_of(opt, scale, inverse, zero);
}

/* --- options --- */

static bool int_idle(const void *options)
{
    const struct bs_whole *opt = options;
    return opt->bits == NOT_QUANTIZED;
}

/* A code of 1 bit is a sign: no grid and no zero point have a part in it. */
static enum bs_status resolve_sign(struct bs_whole *opt, enum bs_use use, struct bs_error *err)
{
    if (use != BS_FOR_WEIGHTS)
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
    struct bs_whole *opt = options;
    if (opt->bits == 1)
        return resolve_sign(opt, use, err);
    if (opt->grid == GRID_AUTO)
        opt->grid = use == BS_FOR_CACHE         ? GRID_KIVI
                    : use == BS_FOR_ACTIVATIONS ? GRID_SMOOTHQUANT
                                                : GRID_GPTQ;
    const struct bs_grid_rule *rule = &bs_grid_rules[opt->grid];
    if (opt->symmetric == SYMMETRIC_AUTO)
        opt->symmetric = opt->zero_point == ZERO_FLOAT ? ASYMMETRIC : rule->symmetric;
    if (rule->only != SYMMETRIC_AUTO && opt->symmetric != rule->only)
        return bs_fail(err, BS_ECONFIG, "grid %s is %s only, but symmetric is %s",
                       grid_words[opt->grid], rule->only ? "symmetric" : "asymmetric",
                       symmetric_words[opt->symmetric]);
    if (opt->symmetric && opt->zero_point == ZERO_FLOAT)
        return bs_fail(err, BS_ECONFIG,
                       "zero_point is float, but symmetric is true, which has no zero point");
    if (rule->shifts && opt->zero_point == ZERO_INTEGER)
        return bs_fail(err, BS_ECONFIG,
                       "grid %s keeps the lowest value of a group, expected zero_point: float",
                       grid_words[opt->grid]);
    if (opt->zero_point == ZERO_AUTO)
        opt->zero_point = opt->symmetric ? ZERO_INTEGER : rule->zero_point;
    if (opt->scales == SCALES_AUTO)
        opt->scales = rule->scales;
    return BS_OK;
}

static void int_print_short(const void *options, const void *natural, const char *sharing,
                            FILE *out)
{
    const struct bs_whole *opt = options, *usual = natural;
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
static int zero_point_bits(const struct bs_whole *opt)
{
    if (!has_zero_point(opt))
        return 0;
    return opt->zero_point == ZERO_FLOAT ? SCALE_BITS : opt->bits;
}

static enum bs_status int_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                              struct bs_error *err)
{
    (void)err;
    const struct bs_whole *opt = options;
    bool tensor = opt->group_size == GROUP_TENSOR;
    int group = opt->group_size > 0 && opt->group_size < in ? opt->group_size : in;
    int in_row = (in + group - 1) / group;
    double groups = tensor ? 1 : (double)out * in_row;
    const struct bs_grid_rule *rule = &bs_grid_rules[opt->grid];
    bool divides =
        opt->bits > 1 && !rule->multiplies && !rule->shifts && !rule->halves && !adds_zero(opt);
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
        .halves = opt->bits > 1 && rule->halves,
        .free_zero = opt->bits > 1 && !tensor && adds_zero(opt) && opt->zero_point == ZERO_FLOAT,
        .whole_numbers = divides};
    return BS_OK;
}

/* A sign: what is not below 0 is above. */
static const float sign_values[] = {-1, 1}, sign_bounds[] = {-FLT_TRUE_MIN};

static struct bs_cell cell_of(const struct bs_whole *opt, struct params params)
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
                            .shift = params.shift,
                            .inverse = params.inverse};
}

static struct bs_cell int_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)g;
    const struct params *own = tensor ? tensor : params;
    return cell_of(options, *own);
}

/* --- fitting --- */

static struct params sign_params(const struct bs_whole *opt, float mean)
{
    return (struct params){.scale = bs_whole_stored(opt, mean > 0 ? mean : FLT_MIN)};
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    const struct bs_whole *opt = context;
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

static struct params fit(const struct bs_whole *opt, const struct bs_choice *range,
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
    bs_grid_rules[opt->grid].range(opt, &low, &high);
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
    own->zero = zero == 0 ? 0 : bs_whole_stored(options, zero);
}

static void int_set_scale(const void *options, float scale, float zero, void *params)
{
    struct params *own = params;
    *own = params_of(options, scale, 1 / scale, zero);
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

static void put_scale(const struct bs_whole *opt, float scale, struct bs_bits *to)
{
    bool bfloat16 = opt->scales == SCALES_BFLOAT16;
    bs_bits_put(to, bfloat16 ? bs_to_bfloat16(scale) : bs_half_of(scale), SCALE_BITS);
}

static float get_scale(const struct bs_whole *opt, struct bs_bits *from)
{
    uint32_t bits = bs_bits_get(from, SCALE_BITS);
    return opt->scales == SCALES_BFLOAT16 ? bs_float_of_bits(bits << 16)
                                          : bs_half_value((uint16_t)bits);
}

static void put_params(const struct bs_whole *opt, const struct params *params, struct bs_bits *to)
{
    put_scale(opt, params->scale, to);
    if (!has_zero_point(opt))
        return;
    if (opt->zero_point == ZERO_FLOAT)
        put_scale(opt, bs_grid_rules[opt->grid].shifts ? params->shift : params->zero, to);
    else
        bs_bits_put(to, (uint32_t)((int)params->zero - params->first), opt->bits);
}

static void get_params(const struct bs_whole *opt, struct bs_bits *from, struct params *params)
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
    const struct bs_whole *opt = options;
    if (opt->group_size != GROUP_TENSOR)
        put_params(opt, params, to);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], opt->bits);
}

static void int_unpack(const void *options, const void *tensor, uint64_t index,
                       struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct bs_whole *opt = options;
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
                            "intel/auto-round; pytorch/ao; mobiusml/hqq; bitsandbytes; "
                            "jy-yuan/KIVI; SqueezeAILab/KVQuant; Cornell-RelaxML/QuIP",
               .options_size = sizeof(struct bs_whole),
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
    .set_scale = int_set_scale,
    .pack_tensor = int_pack_tensor,
    .unpack_tensor = int_unpack_tensor,
    .pack = int_pack,
    .unpack = int_unpack,
};
