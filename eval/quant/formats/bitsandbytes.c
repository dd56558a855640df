/* The 4-bit formats of bitsandbytes, by its CUDA code (csrc/kernels.cu): blocks of a row-major
 * matrix, each with the largest |x| of its values as a float32; u = x * (1 / absmax) in float32;
 * the code of u by thresholds, of which a value must be above one to go up.
 *
 * nf4  quantiles of a normal distribution (Dettmers et al. 2023, arXiv 2305.14314, appendix E);
 *      thresholds are the middles.
 * fp4  0, 1/192, 1/6, 1/4, 1/3, 1/2, 2/3, 1 and a sign: no OCP E2M1. Thresholds are the decimal
 *      numbers of the code, up to 3.6e-7 off the middles, and are of |u|: a tie goes to zero.
 *
 * double_quant: the absmax of a block becomes a code of 8 bits: less the mean of all (here of a
 * float64 sum), in blocks of 256 with an absmax of their own, by bitsandbytes' dynamic map, found
 * by bisection. Codes of values are found with the absmax as it was, and decoded with what its code
 * stands for.
 *
 * Where the CPU code of bitsandbytes differs (backends/cpu, csrc/cpu_ops.cpp) this is CUDA's way: a
 * block of zeros decodes to zeros in both, but has the code 0 there and that of the level 0 here
 * and on the CPU; ties of negative values in fp4; the codes of absmax, which the CPU takes from a
 * table of 65,536 places; and fp4's 1/192, which some CPUs have as 5.208333e-03. Blocks that do not
 * end with a row are refused: bitsandbytes counts them through the whole tensor. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/base/float_bits.h"
#include "eval/quant/dynamic_map.h"
#include "eval/quant/format.h"

enum { LEAST_BLOCK = 32, MOST_BLOCK = 4096, NESTED = 256, CODE_BITS = 4, FLOAT_BITS = 32 };

struct blocks {
    int group_size;
    bool double_quant;
};

static const struct bs_option options_of_both[] = {
    BS_OPT(struct blocks, group_size, 64, LEAST_BLOCK, MOST_BLOCK,
           "values that share an absmax, a power of two"),
    BS_OPT(struct blocks, double_quant, false, 0, 1, "the absmax of blocks in 8 bits"),
    {.name = NULL},
};

/* Of a block. */
struct params {
    float inverse; /* values are multiplied by it to find their codes */
    float scale;   /* and codes by this one */
    int code;      /* of double_quant */
};

/* Of a matrix with double_quant: the mean of the absmax, then the absmax of each NESTED of them. */
struct nested {
    float offset;
    float absmax[];
};

/* ---- levels ---- */

static const float nf4_values[] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

static struct bs_levels nf4_levels = {.count = 16, .values = nf4_values, .ties = BS_TIES_DOWN};

static const float fp4_values[] = {
    -1.0f,        -0.66666667f,     -0.5f, -0.33333333f,    -0.25f,
    -0.16666667f, -0.005208333333f, 0.0f,  0.005208333333f, 0.16666667f,
    0.25f,        0.33333333f,      0.5f,  0.66666667f,     1.0f,
};

static const float fp4_bounds[] = {
    -0.8333333f, -0.583333f, -0.4166667f, -0.29166667f, -0.20833333f, -0.0859375f, -0.00260417f,
    0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,  0.4166667f,   0.583333f,   0.8333333f,
};

static struct bs_levels fp4_levels = {
    .count = 15, .values = fp4_values, .bounds = fp4_bounds, .ties = BS_TIES_INWARD};

/* Once for all settings. */
static void index_levels(void)
{
    static struct bs_level_index nf4, fp4;
#pragma omp critical(bitsandbytes_levels)
    if (!nf4_levels.index) {
        bs_levels_index(&nf4_levels, &nf4);
        bs_levels_index(&fp4_levels, &fp4);
        nf4_levels.index = &nf4;
        fp4_levels.index = &fp4;
    }
}

/* ---- options and layout ---- */

static enum bs_status blocks_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    const struct blocks *opt = options;
    if (opt->group_size & (opt->group_size - 1))
        return bs_fail(err, BS_ECONFIG, "group_size is %d, expected a power of two from %d to %d",
                       opt->group_size, LEAST_BLOCK, MOST_BLOCK);
    if (use != BS_FOR_WEIGHTS && opt->double_quant)
        return bs_fail(err, BS_ECONFIG,
                       "double_quant is of weights: activations have no file to be smaller in");
    bs_dynamic_map_make();
    index_levels();
    return BS_OK;
}

static enum bs_status blocks_lay(const void *options, int out, int in,
                                 struct bs_code_layout *layout, struct bs_error *err)
{
    const struct blocks *opt = options;
    if (in % opt->group_size)
        return bs_fail(
            err, BS_ECONFIG,
            "blocks of %d do not fit in rows of %d, expected a group_size that divides it",
            opt->group_size, in);
    size_t count = (size_t)out * (size_t)(in / opt->group_size);
    size_t nested = (count + NESTED - 1) / NESTED;
    *layout = (struct bs_code_layout){
        .out = out,
        .in = in,
        .group = opt->group_size,
        .span = opt->group_size,
        .by_columns = true,
        .code_bits = CODE_BITS,
        .param_bytes = sizeof(struct params),
        .tensor_bytes = opt->double_quant ? sizeof(struct nested) + nested * sizeof(float) : 0,
        .bits = (double)out * in * CODE_BITS + (double)count * FLOAT_BITS};
    if (opt->double_quant)
        layout->bits =
            (double)out * in * CODE_BITS + 8 * (double)count + FLOAT_BITS * (double)(nested + 1);
    return BS_OK;
}

/* ---- fitting ---- */

static struct bs_cell cell_of(const struct bs_levels *levels, const struct params *params)
{
    return (struct bs_cell){.levels = levels, .scale = params->scale, .inverse = params->inverse};
}

static struct params params_of(float absmax)
{
    /* Zeros have zero for a code whatever the scale, which must not be zero. */
    float size = absmax > FLT_MIN ? absmax : FLT_MIN;
    return (struct params){.inverse = 1 / size, .scale = size};
}

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    (void)low;
    struct params params = params_of(high);
    struct bs_cell cell = cell_of(context, &params);
    return bs_cell_error(&cell, sample, power, weighted);
}

static float absmax_of(const struct bs_levels *levels, const struct bs_choice *range,
                       const struct bs_sample *block)
{
    const struct bs_range_trial trial = {.error = error_of, .context = levels};
    return bs_range_magnitude(range, block, &trial);
}

static size_t block_of(const struct blocks *opt, uint64_t index)
{
    return (size_t)(index / (uint64_t)opt->group_size);
}

/* What the block's code stands for: its scale. */
static void take_code(const struct nested *nested, size_t block, struct params *params)
{
    float scale = bs_dynamic_map()[params->code] * nested->absmax[block / NESTED] + nested->offset;
    params->scale = scale != 0 ? scale : FLT_MIN;
}

static void fit_block(const struct blocks *opt, const struct bs_levels *levels,
                      const struct bs_choice *range, const struct nested *nested,
                      const struct bs_sample *block, struct params *params)
{
    float absmax = absmax_of(levels, range, block);
    *params = params_of(absmax);
    if (!nested)
        return;
    size_t at = block_of(opt, block->index);
    float most = nested->absmax[at / NESTED];
    params->code = bs_dynamic_code(most > 0 ? (absmax - nested->offset) * (1 / most) : 0);
    take_code(nested, at, params);
}

static void fit_nested(const struct blocks *opt, const struct bs_levels *levels,
                       const struct bs_choice *range, const struct bs_sample *all,
                       struct nested *nested)
{
    size_t size = (size_t)opt->group_size, count = all->rows * all->count / size;
    double sum = 0;
    for (size_t b = 0; b < count; b++) {
        struct bs_sample block = bs_sample_of(all->x + b * size, size);
        sum += (double)absmax_of(levels, range, &block);
    }
    nested->offset = (float)(sum / (double)count);
    memset(nested->absmax, 0, (count + NESTED - 1) / NESTED * sizeof *nested->absmax);
    for (size_t b = 0; b < count; b++) {
        struct bs_sample block = bs_sample_of(all->x + b * size, size);
        float *most = &nested->absmax[b / NESTED];
        *most = fmaxf(*most, fabsf(absmax_of(levels, range, &block) - nested->offset));
    }
}

/* ---- files: as bitsandbytes packs them, the first code of a pair in the high half ---- */

static void put_block(const struct blocks *opt, const struct params *params, struct bs_bits *to)
{
    float absmax = params->scale > FLT_MIN ? params->scale : 0;
    if (opt->double_quant)
        bs_bits_put(to, (uint32_t)params->code, 8);
    else
        bs_bits_put(to, bs_bits_of_float(absmax), FLOAT_BITS);
}

static float get_float(struct bs_bits *from)
{
    return bs_float_of_bits(bs_bits_get(from, FLOAT_BITS));
}

static void get_block(const struct blocks *opt, const struct nested *nested, uint64_t index,
                      struct bs_bits *from, struct params *params)
{
    if (!opt->double_quant) {
        *params = params_of(get_float(from));
        return;
    }
    params->code = (int)bs_bits_get(from, 8);
    take_code(nested, block_of(opt, index), params);
    params->inverse = 1 / params->scale;
}

static size_t count_nested(const struct bs_code_layout *layout)
{
    return (layout->tensor_bytes - sizeof(struct nested)) / sizeof(float);
}

static void blocks_pack_tensor(const void *options, const struct bs_code_layout *layout,
                               const void *tensor, struct bs_bits *to)
{
    (void)options;
    const struct nested *nested = tensor;
    for (size_t i = 0; i <= count_nested(layout); i++)
        bs_bits_put(to, bs_bits_of_float(i ? nested->absmax[i - 1] : nested->offset), FLOAT_BITS);
}

static void blocks_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                                 struct bs_bits *from, void *tensor)
{
    (void)options;
    struct nested *nested = tensor;
    nested->offset = get_float(from);
    for (size_t i = 0; i < count_nested(layout); i++)
        nested->absmax[i] = get_float(from);
}

/* Levels by bitsandbytes' codes: fp4's are no order of size, and have a sign. */
static const uint16_t fp4_codes[] = {11, 10, 13, 12, 15, 14, 9, 0, 1, 6, 7, 4, 5, 2, 3};

static uint16_t code_of(const struct bs_levels *levels, uint16_t level)
{
    return levels == &fp4_levels ? fp4_codes[level] : level;
}

/* -0 is a code of fp4's too. */
static uint16_t level_of(const struct bs_levels *levels, uint16_t code)
{
    const uint16_t minus_zero = 8;
    if (levels != &fp4_levels)
        return code;
    uint16_t level = 0;
    while (fp4_codes[level] != (code == minus_zero ? 0 : code))
        level++;
    return level;
}

static void pack(const struct blocks *opt, const struct bs_levels *levels,
                 const struct params *params, const uint16_t *codes, int count, struct bs_bits *to)
{
    put_block(opt, params, to);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, code_of(levels, codes[j ^ 1]), CODE_BITS);
}

static void unpack(const struct bs_levels *levels, struct bs_bits *from, uint16_t *codes, int count)
{
    for (int j = 0; j < count; j++)
        codes[j ^ 1] = level_of(levels, (uint16_t)bs_bits_get(from, CODE_BITS));
}

/* ---- the two formats ---- */

/* Hooks of one of them. */
#define BLOCKS_OF(f)                                                                               \
    static void f##_fit_tensor(const void *options, const struct bs_choice *range,                 \
                               const struct bs_code_layout *layout, const struct bs_sample *all,   \
                               void *tensor)                                                       \
    {                                                                                              \
        (void)layout;                                                                              \
        fit_nested(options, &f##_levels, range, all, tensor);                                      \
    }                                                                                              \
    static void f##_fit(const void *options, const struct bs_choice *range, const void *tensor,    \
                        const struct bs_sample *span, void *params)                                \
    {                                                                                              \
        fit_block(options, &f##_levels, range, tensor, span, params);                              \
    }                                                                                              \
    static struct bs_cell f##_cell(const void *options, const void *tensor, const void *params,    \
                                   int g)                                                          \
    {                                                                                              \
        (void)options, (void)tensor, (void)g;                                                      \
        return cell_of(&f##_levels, params);                                                       \
    }                                                                                              \
    static void f##_pack(const void *options, const void *params, const uint16_t *codes,           \
                         int count, struct bs_bits *to)                                            \
    {                                                                                              \
        pack(options, &f##_levels, params, codes, count, to);                                      \
    }                                                                                              \
    static void f##_unpack(const void *options, const void *tensor, uint64_t index,                \
                           struct bs_bits *from, void *params, uint16_t *codes, int count)         \
    {                                                                                              \
        get_block(options, tensor, index, from, params);                                           \
        unpack(&f##_levels, from, codes, count);                                                   \
    }

BLOCKS_OF(nf4)
BLOCKS_OF(fp4)

const struct bs_format bs_format_nf4 = {
    .plugin = {.name = "nf4",
               .summary = "bitsandbytes' 4 bits by quantiles of a normal distribution, in blocks",
               .reference = "bitsandbytes csrc/kernels.cu; Dettmers et al. 2023, arXiv 2305.14314",
               .options_size = sizeof(struct blocks),
               .options = options_of_both},
    .family = BS_FAMILY_LOOKUP,
    .resolve = blocks_resolve,
    .lay = blocks_lay,
    .fit_tensor = nf4_fit_tensor,
    .fit = nf4_fit,
    .cell = nf4_cell,
    .pack_tensor = blocks_pack_tensor,
    .unpack_tensor = blocks_unpack_tensor,
    .pack = nf4_pack,
    .unpack = nf4_unpack,
};

const struct bs_format bs_format_fp4 = {
    .plugin = {.name = "fp4",
               .summary = "bitsandbytes' floats of 4 bits, in blocks",
               .reference = "bitsandbytes csrc/kernels.cu",
               .options_size = sizeof(struct blocks),
               .options = options_of_both},
    .family = BS_FAMILY_LOOKUP,
    .resolve = blocks_resolve,
    .lay = blocks_lay,
    .fit_tensor = fp4_fit_tensor,
    .fit = fp4_fit,
    .cell = fp4_cell,
    .pack_tensor = blocks_pack_tensor,
    .unpack_tensor = blocks_unpack_tensor,
    .pack = fp4_pack,
    .unpack = fp4_unpack,
};
