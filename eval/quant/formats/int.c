/* Whole numbers by the three published integer grids, all in float32. Every one decodes
 * scale * (code - zero_point) and encodes clip(rte(x / scale) + zero_point, 0, maxq) with
 * maxq = 2^bits - 1 and rte = nearest, ties to even; they differ in the range that scale and
 * zero_point are made from.
 *
 * gptq         IST-DASLab/gptq quant.py. The range always contains 0. Symmetric: hi = max(|lo|,
 * hi),
 *              lo = -hi only where lo < 0, zero_point = 2^(bits-1): the levels are not symmetric
 *              around 0, and a group without negative values wastes half its range, as there.
 *              scale = (hi - lo) / maxq; an all-zero group has lo, hi = -1, 1.
 * awq          mit-han-lab/llm-awq quantizer.py. The range need not contain 0: zero_point is
 * clipped.
 *              hi - lo is at least 1e-5. Symmetric (its forks; the original cannot run it):
 *              scale = max(|x|, 1e-5) / (2^(bits-1) - 1).
 * smoothquant  mit-han-lab/smoothquant fake_quant.py. Symmetric only, the awq scale. The original
 * does
 *              not clip, and need not: its scale is always the group's own. A static activation
 *              scale can be exceeded; then codes clip at the ends. */
#include <float.h>
#include <math.h>

#include "eval/quant/format.h"

enum { GRID_GPTQ, GRID_AWQ, GRID_SMOOTHQUANT, GRID_AUTO };
enum { ASYMMETRIC, SYMMETRIC, SYMMETRIC_AUTO };
enum { GROUP_CHANNEL = 0, GROUP_TENSOR = -1 };
enum { NOT_QUANTIZED = 16, SCALE_BITS = 16, LEAST_BITS = 2, MOST_BITS = 8 };

struct whole {
    int bits;       /* of a code; 16 = not quantized */
    int group_size; /* columns that share parameters, or GROUP_* */
    int symmetric;
    int grid;
};

static const char *const symmetric_words[] = {"false", "true", "auto", NULL};
static const char *const grid_words[] = {"gptq", "awq", "smoothquant", "auto", NULL};
static const char *const group_words[] = {"channel", "tensor", NULL};

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
    BS_OPT_WORDS(struct whole, grid, BS_CHOICE, GRID_AUTO, 0, 3, grid_words,
                 "whose range rule; auto = that of the algorithm's authors"),
    {.name = NULL},
};

/* What decodes a code: value = scale * (code - zero_point). */
struct params {
    float scale;
    int zero_point; /* 0 to 2^bits - 1 */
};

static int maxq(const struct whole *opt) { return (1 << opt->bits) - 1; }

static int middle(const struct whole *opt) { return 1 << (opt->bits - 1); }

/* --- grids --- */

/* The range of a group whose extremes are low and high. */
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

static struct params gptq_params(const struct whole *opt, float low, float high)
{
    /* Among subnormal numbers the quotients are coarse: the scale must not become zero, nor the
     * zero point exceed maxq. Elsewhere neither bound is met. */
    struct params params = {.scale = (high - low) / (float)maxq(opt)};
    if (params.scale == 0)
        params.scale = FLT_TRUE_MIN;
    float zero = fminf(rintf(-low / params.scale), (float)maxq(opt));
    params.zero_point = opt->symmetric ? middle(opt) : (int)zero;
    return params;
}

static void absmax_range(const struct whole *opt, float *low, float *high)
{
    if (!opt->symmetric)
        return;
    *high = fabsf(*low) > fabsf(*high) ? fabsf(*low) : fabsf(*high);
    *low = -*high;
}

static struct params absmax_params(const struct whole *opt, float low, float high)
{
    const float least = 1e-5f;
    if (opt->symmetric)
        return (struct params){.scale = (high > least ? high : least) / (float)(middle(opt) - 1),
                               .zero_point = middle(opt)};
    float width = high - low > least ? high - low : least;
    struct params params = {.scale = width / (float)maxq(opt)};
    float zero = -rintf(low / params.scale);
    params.zero_point = (int)fminf(fmaxf(zero, 0), (float)maxq(opt));
    return params;
}

/* A grid is a row: what its range is, and what it makes of a range. */
static const struct grid_rule {
    int symmetric_default;
    bool symmetric_only;
    void (*range)(const struct whole *opt, float *low, float *high);
    struct params (*params)(const struct whole *opt, float low, float high);
} rules[] = {
    [GRID_GPTQ] = {ASYMMETRIC, false, gptq_range, gptq_params},
    [GRID_AWQ] = {ASYMMETRIC, false, absmax_range, absmax_params},
    [GRID_SMOOTHQUANT] = {SYMMETRIC, true, absmax_range, absmax_params},
};

/* --- options --- */

static bool int_idle(const void *options)
{
    const struct whole *opt = options;
    return opt->bits == NOT_QUANTIZED;
}

static enum bs_status int_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    struct whole *opt = options;
    if (opt->grid == GRID_AUTO)
        opt->grid = use == BS_FOR_ACTIVATIONS ? GRID_SMOOTHQUANT : GRID_GPTQ;
    const struct grid_rule *rule = &rules[opt->grid];
    if (opt->symmetric == SYMMETRIC_AUTO)
        opt->symmetric = rule->symmetric_default;
    if (rule->symmetric_only && !opt->symmetric)
        return bs_fail(err, BS_ECONFIG, "grid %s is symmetric only, but symmetric is false",
                       grid_words[opt->grid]);
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
}

/* --- layout --- */

/* Of a zero point in a file; none where the levels are symmetric. */
static int zero_point_bits(const struct whole *opt) { return opt->symmetric ? 0 : opt->bits; }

static enum bs_status int_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                              struct bs_error *err)
{
    (void)err;
    const struct whole *opt = options;
    bool tensor = opt->group_size == GROUP_TENSOR;
    int group = opt->group_size > 0 && opt->group_size < in ? opt->group_size : in;
    int in_row = (in + group - 1) / group;
    double groups = tensor ? 1 : (double)out * in_row;
    *layout = (struct bs_code_layout){.out = out,
                                      .in = in,
                                      .group = group,
                                      .span = group,
                                      .by_columns = opt->group_size > 0,
                                      .code_bits = opt->bits,
                                      .param_bytes = tensor ? 0 : sizeof(struct params),
                                      .tensor_bytes = tensor ? sizeof(struct params) : 0,
                                      .bits = (double)out * in * opt->bits +
                                              groups * (SCALE_BITS + zero_point_bits(opt)),
                                      .whole_numbers = true};
    return BS_OK;
}

static struct bs_cell cell_of(const struct whole *opt, struct params params)
{
    static const struct bs_levels levels[] = {
        [2] = {.count = 4},  [3] = {.count = 8},   [4] = {.count = 16}, [5] = {.count = 32},
        [6] = {.count = 64}, [7] = {.count = 128}, [8] = {.count = 256}};
    return (struct bs_cell){
        .levels = &levels[opt->bits], .first = -params.zero_point, .scale = params.scale};
}

static struct bs_cell int_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)g;
    const struct params *own = tensor ? tensor : params;
    return cell_of(options, *own);
}

/* --- fitting --- */

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    const struct whole *opt = context;
    struct bs_cell cell = cell_of(opt, rules[opt->grid].params(opt, low, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static struct params fit(const struct whole *opt, const struct bs_choice *range,
                         const struct bs_sample *sample)
{
    const struct bs_range_trial trial = {.error = error_of, .context = opt};
    float low, high;
    bs_sample_extremes(sample, &low, &high);
    rules[opt->grid].range(opt, &low, &high);
    bs_range_find(range, sample, &trial, &low, &high);
    return rules[opt->grid].params(opt, low, high);
}

static void int_fit(const void *options, const struct bs_choice *range, const void *tensor,
                    const struct bs_sample *span, void *params)
{
    (void)tensor;
    struct params *own = params;
    *own = fit(options, range, span);
}

static void int_fit_tensor(const void *options, const struct bs_choice *range,
                           const struct bs_code_layout *layout, const struct bs_sample *all,
                           void *tensor)
{
    (void)layout;
    struct params *own = tensor;
    *own = fit(options, range, all);
}

/* --- files: a scale of half precision, a zero point where there is one, the codes --- */

static void put_params(const struct whole *opt, const struct params *params, struct bs_bits *to)
{
    bs_bits_put(to, bs_half_of(params->scale), SCALE_BITS);
    bs_bits_put(to, (uint32_t)params->zero_point, zero_point_bits(opt));
}

static void get_params(const struct whole *opt, struct bs_bits *from, struct params *params)
{
    params->scale = bs_half_value((uint16_t)bs_bits_get(from, SCALE_BITS));
    params->zero_point =
        opt->symmetric ? middle(opt) : (int)bs_bits_get(from, zero_point_bits(opt));
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
               .summary = "whole numbers of 2 to 8 bits, with a scale and perhaps a zero point",
               .reference = "IST-DASLab/gptq quant.py; mit-han-lab/llm-awq quantizer.py; "
                            "mit-han-lab/smoothquant fake_quant.py",
               .options_size = sizeof(struct whole),
               .options = int_options},
    .idle = int_idle,
    .resolve = int_resolve,
    .print_short = int_print_short,
    .lay = int_lay,
    .fit_tensor = int_fit_tensor,
    .fit = int_fit,
    .cell = int_cell,
    .pack_tensor = int_pack_tensor,
    .unpack_tensor = int_unpack_tensor,
    .pack = int_pack,
    .unpack = int_unpack,
};
