/* The three published integer grids, all in float32. Every one decodes scale * (code - zero_point) and
 * encodes clip(rte(x / scale) + zero_point, 0, maxq) with maxq = 2^bits - 1 and rte = nearest, ties to
 * even; they differ in the range that scale and zero_point are made from.
 *
 * gptq         IST-DASLab/gptq quant.py. The range always contains 0. Symmetric: hi = max(|lo|, hi),
 *              lo = -hi only where lo < 0, zero_point = 2^(bits-1): the levels are not symmetric
 *              around 0, and a group without negative values wastes half its range, as there.
 *              scale = (hi - lo) / maxq; an all-zero group has lo, hi = -1, 1.
 * awq          mit-han-lab/llm-awq quantizer.py. The range need not contain 0: zero_point is clipped.
 *              hi - lo is at least 1e-5. Symmetric (its forks; the original cannot run it):
 *              scale = max(|x|, 1e-5) / (2^(bits-1) - 1).
 * smoothquant  mit-han-lab/smoothquant fake_quant.py. Symmetric only, the awq scale. The original does
 *              not clip, and need not: its scale is always the group's own. A static activation
 *              scale can be exceeded; then codes clip at the ends. */
#include "eval/quant/flat.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/linalg/vector.h"

static const char *const grid_words[] = {"gptq", "awq", "smoothquant", "auto", NULL};

static int maxq(const struct bs_flat *format) { return (1 << format->bits) - 1; }

static int middle(const struct bs_flat *format) { return 1 << (format->bits - 1); }

/* The range of a group whose extremes are low and high. */
static void gptq_range(const struct bs_flat *format, float *low, float *high)
{
    *low = *low < 0 ? *low : 0;
    *high = *high > 0 ? *high : 0;
    if (format->symmetric) {
        *high = fabsf(*low) > *high ? fabsf(*low) : *high;
        if (*low < 0)
            *low = -*high;
    }
    if (*low == 0 && *high == 0) {
        *low = -1;
        *high = 1;
    }
}

static struct bs_params gptq_params(const struct bs_flat *format, float low, float high)
{
    /* Among subnormal numbers the quotients are coarse: the scale must not become zero, nor the
     * zero point exceed maxq. Elsewhere neither bound is met. */
    struct bs_params params = {.scale = (high - low) / (float)maxq(format)};
    if (params.scale == 0)
        params.scale = FLT_TRUE_MIN;
    float zero = fminf(rintf(-low / params.scale), (float)maxq(format));
    params.zero_point = format->symmetric ? middle(format) : (int)zero;
    return params;
}

static void absmax_range(const struct bs_flat *format, float *low, float *high)
{
    if (!format->symmetric)
        return;
    *high = fabsf(*low) > fabsf(*high) ? fabsf(*low) : fabsf(*high);
    *low = -*high;
}

static struct bs_params absmax_params(const struct bs_flat *format, float low, float high)
{
    const float least = 1e-5f;
    if (format->symmetric)
        return (struct bs_params){.scale =
                                      (high > least ? high : least) / (float)(middle(format) - 1),
                                  .zero_point = middle(format)};
    float width = high - low > least ? high - low : least;
    struct bs_params params = {.scale = width / (float)maxq(format)};
    float zero = -rintf(low / params.scale);
    params.zero_point = (int)fminf(fmaxf(zero, 0), (float)maxq(format));
    return params;
}

/* A grid is a row: what its range is, and what it makes of a range. */
static const struct grid_rule {
    int symmetric_default;
    bool symmetric_only;
    void (*range)(const struct bs_flat *format, float *low, float *high);
    struct bs_params (*params)(const struct bs_flat *format, float low, float high);
} rules[] = {
    [BS_GRID_GPTQ] = {BS_ASYMMETRIC, false, gptq_range, gptq_params},
    [BS_GRID_AWQ] = {BS_ASYMMETRIC, false, absmax_range, absmax_params},
    [BS_GRID_SMOOTHQUANT] = {BS_SYMMETRIC, true, absmax_range, absmax_params},
};

const char *bs_grid_name(enum bs_grid grid) { return grid_words[grid]; }

enum bs_status bs_format_resolve(struct bs_flat *format, enum bs_grid preferred,
                                 struct bs_error *err)
{
    if (format->grid == BS_GRID_AUTO)
        format->grid = preferred == BS_GRID_AUTO ? BS_GRID_GPTQ : preferred;
    const struct grid_rule *rule = &rules[format->grid];
    if (format->symmetric == BS_SYMMETRIC_AUTO)
        format->symmetric = rule->symmetric_default;
    if (rule->symmetric_only && !format->symmetric)
        return bs_fail(err, BS_ECONFIG, "grid %s is symmetric only, but symmetric is false",
                       grid_words[format->grid]);
    return BS_OK;
}

/* Shrinks the range step by step and keeps the params with the least error (quant.py, mse). */
static struct bs_params fit_mse(const struct bs_flat *format, float low, float high, const float *x,
                                size_t count)
{
    enum { CHUNK = 1024 };
    const struct grid_rule *rule = &rules[format->grid];
    struct bs_params best = rule->params(format, low, high);
    float least = INFINITY;
    int steps = (int)(format->range_maxshrink * format->range_grid);
    for (int i = 0; i < steps; i++) {
        float p = (float)(1 - (double)i / format->range_grid);
        struct bs_params params = rule->params(format, p * low, p * high);
        float error = 0;
        for (size_t start = 0; start < count; start += CHUNK) {
            float rounded[CHUNK];
            size_t n = count - start < CHUNK ? count - start : CHUNK;
            memcpy(rounded, x + start, n * sizeof *x);
            bs_format_round(format, params, rounded, n);
            error += bs_sum_power_difference(rounded, x + start, n, (float)format->range_norm);
        }
        if (error < least) {
            least = error;
            best = params;
        }
    }
    return best;
}

struct bs_params bs_format_fit(const struct bs_flat *format, const float *x, size_t count)
{
    float low, high;
    bs_min_max(x, count, &low, &high);
    rules[format->grid].range(format, &low, &high);
    if (format->range == BS_RANGE_MSE)
        return fit_mse(format, low, high, x, count);
    return rules[format->grid].params(format, low, high);
}

struct bs_params bs_format_fit_range(const struct bs_flat *format, float low, float high)
{
    rules[format->grid].range(format, &low, &high);
    return rules[format->grid].params(format, low, high);
}

/* x in steps of scale, ties to even. */
static inline float nearest_step(float x, float scale) { return rintf(x / scale); }

/* The code relative to the zero point; lets a NaN through. */
static inline float nearest_level(float x, float scale, float lowest, float highest)
{
    float level = nearest_step(x, scale);
    level = level < lowest ? lowest : level;
    return level > highest ? highest : level;
}

int bs_format_encode(const struct bs_flat *format, struct bs_params params, float x)
{
    float lowest = (float)-params.zero_point, highest = (float)(maxq(format) - params.zero_point);
    return (int)nearest_level(x, params.scale, lowest, highest) + params.zero_point;
}

float bs_format_decode(struct bs_params params, int code)
{
    return params.scale * (float)(code - params.zero_point);
}

void bs_format_round(const struct bs_flat *format, struct bs_params params, float *x, size_t count)
{
    float lowest = (float)-params.zero_point, highest = (float)(maxq(format) - params.zero_point);
    for (size_t i = 0; i < count; i++)
        x[i] = params.scale * nearest_level(x[i], params.scale, lowest, highest);
}

enum { LANES = 32 };

/* What encoding gathers, in lanes so that its loops are vector loops. */
struct gathered {
    uint32_t sum[LANES];
    float strange[LANES]; /* NaN behind a value that is not finite, else 0 */
    float low[LANES], high[LANES];
};

/* A value for each of lanes. */
static inline void encode_lanes(struct bs_params params, float lowest, float highest,
                                const float *x, const float *next, int lanes,
                                uint8_t *restrict codes, struct gathered *to)
{
    for (int l = 0; l < lanes; l++) {
        float level = nearest_step(x[l], params.scale);
        level = level > lowest ? level : lowest; /* which a NaN becomes too */
        level = level < highest ? level : highest;
        int code = (int)level + params.zero_point;
        codes[l] = (uint8_t)code;
        to->sum[l] += (uint32_t)code;
        to->strange[l] += x[l] - x[l];
        to->low[l] = next[l] < to->low[l] ? next[l] : to->low[l];
        to->high[l] = next[l] > to->high[l] ? next[l] : to->high[l];
    }
}

/* Of the first lanes, a power of two. */
static struct bs_encoded fold(struct gathered *from, int lanes)
{
    for (int half = lanes / 2; half; half /= 2)
        for (int l = 0; l < half; l++) {
            int other = l + half;
            from->sum[l] += from->sum[other];
            from->strange[l] += from->strange[other];
            from->low[l] = from->low[other] < from->low[l] ? from->low[other] : from->low[l];
            from->high[l] = from->high[other] > from->high[l] ? from->high[other] : from->high[l];
        }
    return (struct bs_encoded){.sum = from->sum[0],
                               .finite = from->strange[0] == 0,
                               .next_low = from->low[0],
                               .next_high = from->high[0]};
}

struct bs_encoded bs_format_encode_all(const struct bs_flat *format, struct bs_params params,
                                       const float *x, size_t count, const float *next,
                                       uint8_t *codes)
{
    float lowest = (float)-params.zero_point, highest = (float)(maxq(format) - params.zero_point);
    struct gathered gathered = {.sum = {0}};
    for (int l = 0; l < LANES; l++)
        gathered.low[l] = gathered.high[l] = next[0];
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        encode_lanes(params, lowest, highest, x + i, next + i, LANES, codes + i, &gathered);
    for (; i < count; i++)
        encode_lanes(params, lowest, highest, x + i, next + i, 1, codes + i, &gathered);
    return fold(&gathered, count < LANES ? 1 : LANES);
}

void bs_format_round_matrix(const struct bs_flat *format, float *x, int rows, int columns)
{
    bool tensor = format->group_size == BS_GROUP_TENSOR;
    size_t row = tensor ? (size_t)rows * (size_t)columns : (size_t)columns;
    size_t group = format->group_size > 0 ? (size_t)format->group_size : row;
    for (int i = 0; i < (tensor ? 1 : rows); i++)
        for (size_t at = 0; at < row; at += group) {
            float *first = x + (size_t)i * row + at;
            size_t count = row - at < group ? row - at : group;
            bs_format_round(format, bs_format_fit(format, first, count), first, count);
        }
}

struct bs_flat bs_activations_format(const struct bs_activations *activations)
{
    return (struct bs_flat){.bits = activations->bits,
                            .group_size = BS_GROUP_TENSOR,
                            .symmetric = activations->symmetric,
                            .grid = activations->grid,
                            .range = BS_RANGE_MINMAX};
}

enum bs_status bs_activations_resolve(struct bs_activations *activations, struct bs_error *err)
{
    struct bs_flat format = bs_activations_format(activations);
    if (bs_format_resolve(&format, BS_GRID_SMOOTHQUANT, err))
        return bs_fail_within(err, "activations");
    activations->symmetric = format.symmetric;
    activations->grid = format.grid;
    return BS_OK;
}

struct bs_flat bs_flat_of(const struct bs_setting *setting)
{
    if (!setting->format.plugin)
        return (struct bs_flat){.bits = BS_BITS_NONE, .symmetric = 1};
    const struct bs_int *of_int = setting->format.options;
    struct bs_flat flat = {.bits = of_int->bits,
                           .group_size = of_int->group_size,
                           .symmetric = of_int->symmetric,
                           .grid = of_int->grid};
    if (setting->range.options) {
        const struct bs_mse *mse = setting->range.options;
        flat.range = BS_RANGE_MSE;
        flat.range_norm = mse->range_norm;
        flat.range_grid = mse->range_grid;
        flat.range_maxshrink = mse->range_maxshrink;
    }
    return flat;
}

struct bs_activations bs_activations_of(const struct bs_setting *setting)
{
    struct bs_flat flat = bs_flat_of(setting);
    return (struct bs_activations){.bits = flat.bits,
                                   .granularity = setting->sharing,
                                   .symmetric = flat.symmetric,
                                   .grid = flat.grid};
}
