#include "eval/quant/formats/int_grids.h"

#include <float.h>
#include <math.h>

#include "eval/linalg/bfloat16.h"
#include "eval/quant/bits.h"

float bs_whole_stored(const struct bs_whole *opt, float scale)
{
    const float most = 65504, least = opt->scales == SCALES_FLOAT16 ? 0x1p-24f : FLT_MIN;
    if (opt->scales == SCALES_FLOAT32)
        return scale;
    float size = fmaxf(fabsf(scale), least);
    size = opt->scales == SCALES_FLOAT16 ? bs_half_value(bs_half_of(fminf(size, most)))
                                         : bs_round_to_bfloat16(size);
    return copysignf(size, scale);
}

static void gptq_range(const struct bs_whole *opt, float *low, float *high)
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

static float gptq_scale(const struct bs_whole *opt, float low, float high)
{
    /* Among subnormal numbers the quotients are coarse: the scale must not become zero, nor the
     * zero point exceed maxq. Elsewhere neither bound is met. */
    float scale = (high - low) / (float)bs_whole_maxq(opt);
    return scale == 0 ? FLT_TRUE_MIN : scale;
}

static void absmax_range(const struct bs_whole *opt, float *low, float *high)
{
    if (!opt->symmetric)
        return;
    *high = fabsf(*low) > fabsf(*high) ? fabsf(*low) : fabsf(*high);
    *low = -*high;
}

static float absmax_scale(const struct bs_whole *opt, float low, float high)
{
    const float least = 1e-5f;
    if (opt->symmetric)
        return (high > least ? high : least) / (float)(bs_whole_middle(opt) - 1);
    float width = high - low > least ? high - low : least;
    return width / (float)bs_whole_maxq(opt);
}

static void zero_range(const struct bs_whole *opt, float *low, float *high)
{
    (void)opt;
    *low = *low < 0 ? *low : 0;
    *high = *high > 0 ? *high : 0;
}

/* Of a range that contains 0, by the larger side or by all of it. */
static float spread(const struct bs_whole *opt, float low, float high)
{
    if (!opt->symmetric)
        return (high - low) / (float)bs_whole_maxq(opt);
    return fmaxf(-low, high) / ((float)bs_whole_maxq(opt) / 2);
}

static float compressed_tensors_scale(const struct bs_whole *opt, float low, float high)
{
    float scale = spread(opt, low, high);
    return scale == 0 ? FLT_EPSILON : scale;
}

static float torchao_scale(const struct bs_whole *opt, float low, float high)
{
    return fmaxf(spread(opt, low, high), FLT_MIN);
}

static float torchao_no_clipping_scale(const struct bs_whole *opt, float low, float high)
{
    if (!opt->symmetric)
        return torchao_scale(opt, low, high);
    float below = low / -(float)bs_whole_middle(opt),
          above = high / (float)(bs_whole_middle(opt) - 1);
    return fmaxf(below > above ? below : above, FLT_MIN);
}

static float auto_round_scale(const struct bs_whole *opt, float low, float high)
{
    float least = bs_whole_stored(opt, 1e-5f);
    if (!opt->symmetric)
        return fmaxf(bs_whole_stored(opt, (high - low) / (float)bs_whole_maxq(opt)), least);
    float most = fmaxf(-low, high);
    float scale = bs_whole_stored(opt, (high < -low ? most : -most) / (float)bs_whole_middle(opt));
    return scale < 0 ? fminf(scale, -least) : fmaxf(scale, least);
}

/* hqq's scale is what values are multiplied with; torch divides by a tensor in two steps. */
static float hqq_inverse(const struct bs_whole *opt, float low, float high)
{
    const float narrow = 1e-4f, most = 2e4f;
    float width = high - low;
    return width <= narrow ? 1 : fminf((float)bs_whole_maxq(opt) * (1 / width), most);
}

static float bitsandbytes_scale(const struct bs_whole *opt, float low, float high)
{
    (void)low;
    return high * (1 / (float)(bs_whole_middle(opt) - 1));
}

static float bitsandbytes_inverse(const struct bs_whole *opt, float low, float high)
{
    (void)low;
    return (float)(bs_whole_middle(opt) - 1) * (1 / high); /* as torch divides by a tensor */
}

/* Zeros have a scale too. */
static void nonzero_range(const struct bs_whole *opt, float *low, float *high)
{
    const float least = 1e-30f;
    absmax_range(opt, low, high);
    *high = fmaxf(*high, least);
    *low = -*high;
}

static float kivi_scale(const struct bs_whole *opt, float low, float high)
{
    float scale = (high - low) / (float)bs_whole_maxq(opt);
    return scale > 0 ? scale : 1;
}

static float kvquant_inverse(const struct bs_whole *opt, float low, float high)
{
    float inverse = (float)bs_whole_maxq(opt) / (high - low);
    return isfinite(inverse) ? inverse : 1;
}

static float quip_scale(const struct bs_whole *opt, float low, float high)
{
    float scale = (high - low) / (float)bs_whole_maxq(opt);
    return scale > 0 ? scale : FLT_MIN;
}

static void own_range(const struct bs_whole *opt, float *low, float *high)
{
    (void)opt, (void)low, (void)high;
}

const struct bs_grid_rule bs_grid_rules[] = {
    [GRID_GPTQ] = {ASYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false, false, false,
                   false, gptq_range, gptq_scale, NULL},
    [GRID_AWQ] = {ASYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false, false, false,
                  false, absmax_range, absmax_scale, NULL},
    [GRID_SMOOTHQUANT] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC, false, false, false,
                          false, absmax_range, absmax_scale, NULL},
    [GRID_COMPRESSED_TENSORS] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, false,
                                 true, false, false, zero_range, compressed_tensors_scale, NULL},
    [GRID_AUTO_ROUND] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT16, SYMMETRIC_AUTO, false, false,
                         false, false, zero_range, auto_round_scale, NULL},
    [GRID_TORCHAO] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, true, false, false,
                      false, zero_range, torchao_scale, NULL},
    [GRID_TORCHAO_NO_CLIPPING] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC_AUTO, true,
                                  false, false, false, zero_range, torchao_no_clipping_scale, NULL},
    [GRID_HQQ] = {ASYMMETRIC, ZERO_FLOAT, SCALES_FLOAT32, ASYMMETRIC, true, true, false, false,
                  own_range, NULL, hqq_inverse},
    [GRID_BITSANDBYTES] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC, true, false, false,
                           false, nonzero_range, bitsandbytes_scale, bitsandbytes_inverse},
    [GRID_KIVI] = {ASYMMETRIC, ZERO_FLOAT, SCALES_FLOAT16, ASYMMETRIC, false, false, true, false,
                   own_range, kivi_scale, NULL},
    [GRID_KVQUANT] = {ASYMMETRIC, ZERO_FLOAT, SCALES_FLOAT32, ASYMMETRIC, true, true, false, false,
                      own_range, NULL, kvquant_inverse},
    [GRID_QUIP] = {SYMMETRIC, ZERO_INTEGER, SCALES_FLOAT32, SYMMETRIC, false, false, false, true,
                   absmax_range, quip_scale, NULL},
};
