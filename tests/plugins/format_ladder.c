/* A format of levels by a table, denser near zero, of any number of them up to 300, two groups of
 * columns in a span that is fitted together, and one factor for all of the matrix: what no format
 * of the program has. */
#include <math.h>
#include <stddef.h>

#include "eval/quant/format.h"

enum { MOST_LEVELS = 300, GROUPS = 2, HALF = 16 };

struct ladder {
    int levels, group_size;
};

static const struct bs_option ladder_options[] = {
    BS_OPT(struct ladder, levels, 16, 2, MOST_LEVELS, "levels from -1 to 1"),
    BS_OPT(struct ladder, group_size, 8, 1, 4096, "columns that share a scale; two share a span"),
    {.name = NULL},
};

struct params {
    float scale[GROUPS];
};

/* Levels i of count: the cube of equal steps, and a little of the step itself. */
static struct bs_levels levels_of(int count)
{
    static float values[MOST_LEVELS + 1][MOST_LEVELS];
    float *own = values[count];
    for (int i = 0; i < count; i++) {
        float step = (float)(2 * i - count + 1) / (float)(count - 1);
        own[i] = 0.2f * step + 0.8f * step * step * step;
    }
    return (struct bs_levels){.count = count, .values = own};
}

static int code_bits(int count)
{
    int bits = 1;
    while (1 << bits < count)
        bits++;
    return bits;
}

static enum bs_status ladder_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    const struct ladder *opt = options;
    if (in % 2)
        return bs_fail(err, BS_ECONFIG, "%d columns, expected an even number", in);
    int span = GROUPS * opt->group_size, bits = code_bits(opt->levels);
    double spans = (double)out * ((in + span - 1) / span);
    *layout =
        (struct bs_code_layout){.out = out,
                                .in = in,
                                .group = opt->group_size,
                                .span = span,
                                .by_columns = true,
                                .code_bits = bits,
                                .param_bytes = sizeof(struct params),
                                .tensor_bytes = sizeof(float),
                                .bits = (double)out * in * bits + spans * GROUPS * HALF + HALF};
    return BS_OK;
}

/* The largest value is 1 by this factor, so that scales are between 0 and 1. */
static void ladder_fit_tensor(const void *options, const struct bs_choice *range,
                              const struct bs_code_layout *layout, const struct bs_sample *all,
                              void *tensor)
{
    (void)options, (void)range, (void)layout;
    float low, high, *factor = tensor;
    bs_sample_extremes(all, &low, &high);
    *factor = fmaxf(fmaxf(-low, high), 1e-6f);
}

static void ladder_fit(const void *options, const struct bs_choice *range, const void *tensor,
                       const struct bs_sample *span, void *params)
{
    (void)range;
    const struct ladder *opt = options;
    const float *factor = tensor;
    struct params *own = params;
    for (size_t g = 0; g < GROUPS; g++) {
        size_t at = g * (size_t)opt->group_size;
        float most = 1e-6f;
        for (size_t j = at; j < at + (size_t)opt->group_size && j < span->count; j++)
            most = fmaxf(most, fabsf(span->x[j]));
        own->scale[g] = most / *factor;
    }
}

static struct bs_cell ladder_cell(const void *options, const void *tensor, const void *params,
                                  int g)
{
    static struct bs_levels levels[MOST_LEVELS + 1];
    const struct ladder *opt = options;
    const float *factor = tensor;
    const struct params *own = params;
#pragma omp critical(ladder)
    if (!levels[opt->levels].values)
        levels[opt->levels] = levels_of(opt->levels);
    /* A negative scale is as good as a positive one. */
    return (struct bs_cell){.levels = &levels[opt->levels], .scale = -own->scale[g] * *factor};
}

static void ladder_pack_tensor(const void *options, const struct bs_code_layout *layout,
                               const void *tensor, struct bs_bits *to)
{
    (void)options, (void)layout;
    const float *factor = tensor;
    bs_bits_put(to, bs_half_of(*factor), HALF);
}

static void ladder_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                                 struct bs_bits *from, void *tensor)
{
    (void)options, (void)layout;
    float *factor = tensor;
    *factor = bs_half_value((uint16_t)bs_bits_get(from, HALF));
}

static void ladder_pack(const void *options, const void *params, const uint16_t *codes, int count,
                        struct bs_bits *to)
{
    const struct ladder *opt = options;
    const struct params *own = params;
    for (int g = 0; g < GROUPS; g++)
        bs_bits_put(to, bs_half_of(own->scale[g]), HALF);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, codes[j], code_bits(opt->levels));
}

static void ladder_unpack(const void *options, const void *tensor, uint64_t index,
                          struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)tensor, (void)index;
    const struct ladder *opt = options;
    struct params *own = params;
    for (int g = 0; g < GROUPS; g++)
        own->scale[g] = bs_half_value((uint16_t)bs_bits_get(from, HALF));
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_bits_get(from, code_bits(opt->levels));
}

const struct bs_format bs_format_ladder = {
    .plugin = {.name = "ladder",
               .summary = "levels by a table, scales of groups and a factor of the matrix",
               .reference = "a test's own",
               .options_size = sizeof(struct ladder),
               .options = ladder_options},
    .family = BS_FAMILY_LOOKUP,
    .lay = ladder_lay,
    .fit_tensor = ladder_fit_tensor,
    .fit = ladder_fit,
    .cell = ladder_cell,
    .pack_tensor = ladder_pack_tensor,
    .unpack_tensor = ladder_unpack_tensor,
    .pack = ladder_pack,
    .unpack = ladder_unpack,
};
