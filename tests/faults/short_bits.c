/* Planted: counts a scale of 8 bits where its file has one of 16. */
#include "eval/quant/format.h"

extern const struct bs_format bs_format_short_bits;

struct short_bits {
    int bits;
};

static const struct bs_option short_bits_options[] = {
    BS_OPT(struct short_bits, bits, 4, 2, 8, "bits of a code"),
    {.name = NULL},
};

enum { HALF = 16, COUNTED = 8 };

static enum bs_status short_bits_lay(const void *options, int out, int in,
                                     struct bs_code_layout *layout, struct bs_error *err)
{
    (void)err;
    const struct short_bits *opt = options;
    *layout = (struct bs_code_layout){.out = out,
                                      .in = in,
                                      .group = in,
                                      .span = in,
                                      .code_bits = opt->bits,
                                      .param_bytes = sizeof(float),
                                      .bits = (double)out * in * opt->bits + (double)out * COUNTED};
    return BS_OK;
}

static void short_bits_fit(const void *options, const struct bs_choice *range, const void *tensor,
                           const struct bs_sample *span, void *params)
{
    (void)range, (void)tensor;
    const struct short_bits *opt = options;
    float low, high, *scale = params;
    bs_sample_extremes(span, &low, &high);
    *scale = fmaxf(fmaxf(-low, high), 1e-6f) / (float)((1 << (opt->bits - 1)) - 1);
}

static struct bs_cell short_bits_cell(const void *options, const void *tensor, const void *params,
                                      int g)
{
    (void)tensor, (void)g;
    static const struct bs_levels levels[] = {
        [2] = {.count = 4},  [3] = {.count = 8},   [4] = {.count = 16}, [5] = {.count = 32},
        [6] = {.count = 64}, [7] = {.count = 128}, [8] = {.count = 256}};
    const struct short_bits *opt = options;
    const float *scale = params;
    return (struct bs_cell){
        .levels = &levels[opt->bits], .first = -(1 << (opt->bits - 1)), .scale = *scale};
}

static void short_bits_pack(const void *options, const void *params, const uint16_t *codes,
                            int count, struct bs_bits *to)
{
    const struct short_bits *opt = options;
    const float *scale = params;
    bs_bits_put(to, bs_half_of(*scale), HALF);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], opt->bits);
}

static void short_bits_unpack(const void *options, const void *tensor, uint64_t index,
                              struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct short_bits *opt = options;
    float *scale = params;
    *scale = bs_half_value((uint16_t)bs_bits_get(from, HALF));
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_bits_get(from, opt->bits);
}

const struct bs_format bs_format_short_bits = {
    .plugin = {.name = "short_bits",
               .summary = "whole numbers with a scale a row",
               .reference = "a planted fault",
               .options_size = sizeof(struct short_bits),
               .options = short_bits_options},
    .lay = short_bits_lay,
    .fit = short_bits_fit,
    .cell = short_bits_cell,
    .pack = short_bits_pack,
    .unpack = short_bits_unpack,
};
