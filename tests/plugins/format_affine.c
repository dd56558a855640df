/* A format whose zero point is a number like its scale, as HQQ has them (Badri & Shaji 2023): value
 * = scale * (code - zero). Both are half-precision numbers in a file. */
#include <math.h>

#include "eval/quant/format.h"

struct affine {
    int bits, group_size;
};

static const struct bs_option affine_options[] = {
    BS_OPT(struct affine, bits, 4, 1, 8, "bits of a code"),
    BS_OPT(struct affine, group_size, 64, 1, 65536, "columns that share scale and zero"),
    {.name = NULL},
};

struct params {
    float scale, zero;
};

enum { HALF = 16 };

static enum bs_status affine_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    (void)err;
    const struct affine *opt = options;
    int group = opt->group_size < in ? opt->group_size : in;
    double groups = (double)out * ((in + group - 1) / group);
    *layout = (struct bs_code_layout){.out = out,
                                      .in = in,
                                      .group = group,
                                      .span = group,
                                      .by_columns = true,
                                      .code_bits = opt->bits,
                                      .param_bytes = sizeof(struct params),
                                      .bits = (double)out * in * opt->bits + groups * 2 * HALF};
    return BS_OK;
}

static struct bs_cell cell_of(const struct affine *opt, struct params params)
{
    static const struct bs_levels levels[] = {{.count = 2},  {.count = 2},   {.count = 4},
                                              {.count = 8},  {.count = 16},  {.count = 32},
                                              {.count = 64}, {.count = 128}, {.count = 256}};
    return (struct bs_cell){
        .levels = &levels[opt->bits], .scale = params.scale, .shift = -params.scale * params.zero};
}

static struct params params_of(const struct affine *opt, float low, float high)
{
    float width = high - low, steps = (float)((1 << opt->bits) - 1);
    struct params params = {.scale = width > 0 ? width / steps : 1};
    params.zero = -low / params.scale;
    return params;
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    const struct affine *opt = context;
    struct bs_cell cell = cell_of(opt, params_of(opt, low, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static void affine_fit(const void *options, const struct bs_choice *range, const void *tensor,
                       const struct bs_sample *span, void *params)
{
    (void)tensor;
    const struct bs_range_trial trial = {.error = error_of, .context = options};
    struct params *own = params;
    float low, high;
    bs_sample_extremes(span, &low, &high);
    bs_range_find(range, span, &trial, &low, &high);
    *own = params_of(options, low, high);
}

static struct bs_cell affine_cell(const void *options, const void *tensor, const void *params,
                                  int g)
{
    (void)tensor, (void)g;
    const struct params *own = params;
    return cell_of(options, *own);
}

static void affine_pack(const void *options, const void *params, const uint16_t *codes, int count,
                        struct bs_bits *to)
{
    const struct affine *opt = options;
    const struct params *own = params;
    bs_bits_put(to, bs_half_of(own->scale), HALF);
    bs_bits_put(to, bs_half_of(own->zero), HALF);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], opt->bits);
}

static void affine_unpack(const void *options, const void *tensor, uint64_t index,
                          struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct affine *opt = options;
    struct params *own = params;
    own->scale = bs_half_value((uint16_t)bs_bits_get(from, HALF));
    own->zero = bs_half_value((uint16_t)bs_bits_get(from, HALF));
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_bits_get(from, opt->bits);
}

const struct bs_format bs_format_affine = {
    .plugin = {.name = "affine",
               .summary = "whole numbers with a scale and a zero point that are both any number",
               .reference = "Badri & Shaji 2023; mobiusml/hqq quantize.py",
               .options_size = sizeof(struct affine),
               .options = affine_options},
    .family = BS_FAMILY_INT,
    .lay = affine_lay,
    .fit = affine_fit,
    .cell = affine_cell,
    .pack = affine_pack,
    .unpack = affine_unpack,
};
