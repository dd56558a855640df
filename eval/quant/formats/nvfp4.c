/* NVFP4: E2M1 in blocks of 16 input channels with an E4M3 scale each, under a scale of the matrix
 * in single precision. With A the largest |x| of all and a that of a block:
 *
 * modelopt            t = A / (6 448); s = E4M3(a / (6 t)), at least 2^-9, and 1 for a block of
 *                     zeros; x / (s t)
 * compressed_tensors  the file holds g = 6 448 (1 / A); s = E4M3(g a / 6), 1/8 where that is 0;
 *                     x / (s / g)
 * torchao             t = A / (6 448); s = E4M3(a / 6 / t), at least 2^-6; x * ((1 / t) / s)
 * auto_round          g as there; s = E4M3(g (a (1/6))); r = 1 / (s (1 / g)); x * r, and back
 *                     by 1 / r; a block whose s is 0 is zeros
 *
 * With `fused` the matrices that inference fuses, q, k and v, gate and up, have one scale above the
 * blocks', of the largest |x| of all of them: what llm-compressor and modelopt make of them.
 *
 * Values round to nearest, ties to the even mantissa. Without the tensor's scale t is 1, as torchao
 * has it where it is given none. A of zeros alone leaves t at 1 in every rule. */
#include <math.h>

#include "eval/linalg/elementary.h"
#include "eval/quant/format.h"

enum { BLOCK = 16, CODE_BITS = 4, SCALE_BITS = 8, TENSOR_BITS = 32 };
enum { MODELOPT, COMPRESSED_TENSORS, TORCHAO, AUTO_ROUND };

struct nvfp4 {
    int scale_rule;
    bool tensor_scale, fused;
};

static const char *const rule_words[] = {"modelopt", "compressed_tensors", "torchao", "auto_round",
                                         NULL};

static const struct bs_option nvfp4_options[] = {
    BS_OPT_WORDS(struct nvfp4, scale_rule, BS_CHOICE, MODELOPT, 0, AUTO_ROUND, rule_words,
                 "whose arithmetic scales follow"),
    BS_OPT(struct nvfp4, tensor_scale, true, 0, 1, "a scale of the whole matrix above the blocks'"),
    BS_OPT(struct nvfp4, fused, false, 0, 1,
           "q, k and v have one such scale, and gate and up have one, as fused in inference"),
    {.name = NULL},
};

static const struct bs_levels levels = {
    .count = 15, .minifloat = {.exponent_bits = 2, .mantissa_bits = 1, .top = 7}};
static const struct bs_minifloat scale_number = {
    .exponent_bits = 4, .mantissa_bits = 3, .top = 126};
static const float largest = 6, largest_scale = 448;

static enum bs_status nvfp4_resolve(void *options, enum bs_use use, struct bs_error *err)
{
    struct nvfp4 *opt = options;
    if (use != BS_FOR_WEIGHTS && opt->fused)
        return bs_fail(err, BS_ECONFIG, "fused is of weights: an activation is one tensor");
    opt->fused = opt->fused && opt->tensor_scale;
    return BS_OK;
}

static enum bs_status nvfp4_lay(const void *options, int out, int in, struct bs_code_layout *layout,
                                struct bs_error *err)
{
    const struct nvfp4 *opt = options;
    *layout = (struct bs_code_layout){.group = BLOCK,
                                      .span = BLOCK,
                                      .code_bits = CODE_BITS,
                                      .param_bytes = sizeof(float),
                                      .tensor_bytes = opt->tensor_scale ? sizeof(float) : 0,
                                      .joined = opt->fused};
    enum bs_status status = bs_lay_blocks(out, in, BLOCK * CODE_BITS + SCALE_BITS, layout, err);
    layout->bits += opt->tensor_scale ? TENSOR_BITS : 0;
    return status;
}

/* --- the matrix: t, or g of the rules that have it; PyTorch divides a number by a tensor so --- */

static void nvfp4_fit_tensor(const void *options, const struct bs_choice *range,
                             const struct bs_code_layout *layout, const struct bs_sample *all,
                             void *tensor)
{
    (void)range, (void)layout;
    const struct nvfp4 *opt = options;
    float *scale = tensor, most = bs_sample_magnitude(all), whole = largest * largest_scale;
    bool inverse = opt->scale_rule == COMPRESSED_TENSORS || opt->scale_rule == AUTO_ROUND;
    *scale = !inverse ? most / whole : most > 0 ? whole * (1 / most) : 0;
    if (*scale == 0 || !isfinite(*scale))
        *scale = 1;
}

static void nvfp4_set_scale(const void *options, float scale, float zero, void *params)
{
    (void)options, (void)zero;
    float *tensor = params;
    *tensor = scale;
}

/* --- a block --- */

static float in_e4m3(float x, float least)
{
    x = x > least ? x : least;
    return bs_minifloat_nearest(&scale_number, x < largest_scale ? x : largest_scale);
}

/* The block's scale for a largest |x| of `high`. */
static float scale_of(const struct nvfp4 *opt, float tensor, float high)
{
    float scale;
    switch (opt->scale_rule) {
    case COMPRESSED_TENSORS:
        scale = in_e4m3(tensor * (high / largest), 0);
        return scale == 0 ? 0.125f : scale;
    case TORCHAO:
        return in_e4m3(high / largest / tensor, 0x1p-6f);
    case AUTO_ROUND:
        return in_e4m3(tensor * (high * (1 / largest)), 0);
    default:
        scale = high / (largest * tensor);
        return in_e4m3(scale == 0 ? 1 : scale, 0x1p-9f);
    }
}

/* A cell that makes everything zero has a scale beyond all values. */
static struct bs_cell cell_of(const struct nvfp4 *opt, float tensor, float scale)
{
    struct bs_cell cell = {.levels = &levels, .scale = scale * tensor};
    switch (opt->scale_rule) {
    case COMPRESSED_TENSORS:
        cell.scale = scale / tensor;
        break;
    case TORCHAO:
        cell.inverse = 1 / tensor / scale;
        break;
    case AUTO_ROUND:
        cell.inverse = scale == 0 ? 0x1p-149f : 1 / (scale * (1 / tensor));
        cell.scale = scale == 0 ? 1 : 1 / cell.inverse;
        break;
    default:
        break;
    }
    return cell;
}

static float tensor_of(const struct nvfp4 *opt, const void *tensor)
{
    const float *scale = tensor;
    return opt->tensor_scale ? *scale : 1;
}

static struct bs_cell nvfp4_cell(const void *options, const void *tensor, const void *params, int g)
{
    (void)g;
    const float *scale = params;
    return cell_of(options, tensor_of(options, tensor), *scale);
}

struct trying {
    const struct nvfp4 *opt;
    float tensor;
};

static double error_of(const void *context, const struct bs_sample *sample, float low, float high,
                       double power, bool weighted)
{
    (void)low;
    const struct trying *at = context;
    struct bs_cell cell = cell_of(at->opt, at->tensor, scale_of(at->opt, at->tensor, high));
    return bs_cell_error(&cell, sample, power, weighted);
}

static void nvfp4_fit(const void *options, const struct bs_choice *range, const void *tensor,
                      const struct bs_sample *span, void *params)
{
    const struct trying at = {.opt = options, .tensor = tensor_of(options, tensor)};
    const struct bs_range_trial trial = {.error = error_of, .context = &at};
    float *scale = params;
    *scale = scale_of(at.opt, at.tensor, bs_range_magnitude(range, span, &trial));
}

/* --- files: the block's scale, and the elements --- */

static void nvfp4_pack_tensor(const void *options, const struct bs_code_layout *layout,
                              const void *tensor, struct bs_bits *to)
{
    (void)options, (void)layout;
    const float *scale = tensor;
    bs_bits_put(to, bs_bits_of_float(*scale), TENSOR_BITS);
}

static void nvfp4_unpack_tensor(const void *options, const struct bs_code_layout *layout,
                                struct bs_bits *from, void *tensor)
{
    (void)options, (void)layout;
    float *scale = tensor;
    *scale = bs_float_of_bits(bs_bits_get(from, TENSOR_BITS));
}

static void nvfp4_pack(const void *options, const void *params, const uint16_t *codes, int count,
                       struct bs_bits *to)
{
    (void)options;
    const float *scale = params;
    bs_bits_put(to, bs_minifloat_bits(&scale_number, bs_minifloat_encode(&scale_number, *scale)),
                SCALE_BITS);
    for (int j = 0; j < count; j++)
        bs_bits_put(to, bs_minifloat_bits(&levels.minifloat, codes[j]), CODE_BITS);
}

static void nvfp4_unpack(const void *options, const void *tensor, uint64_t index,
                         struct bs_bits *from, void *params, uint16_t *codes, int count)
{
    (void)options, (void)tensor, (void)index;
    float *scale = params;
    *scale = bs_minifloat_decode(&scale_number,
                                 bs_minifloat_code(&scale_number, bs_bits_get(from, SCALE_BITS)));
    for (int j = 0; j < count; j++)
        codes[j] = (uint16_t)bs_minifloat_code(&levels.minifloat, bs_bits_get(from, CODE_BITS));
}

const struct bs_format bs_format_nvfp4 = {
    .plugin = {.name = "nvfp4",
               .summary = "FP4 in blocks of 16 with E4M3 scales, under a scale of the matrix",
               .reference = "NVIDIA/Model-Optimizer modelopt/torch/quantization/qtensor/"
                            "nvfp4_tensor.py; vllm-project/compressed-tensors; pytorch/ao "
                            "prototype/mx_formats; intel/auto-round data_type/nvfp.py",
               .options_size = sizeof(struct nvfp4),
               .options = nvfp4_options},
    .family = BS_FAMILY_MX,
    .resolve = nvfp4_resolve,
    .lay = nvfp4_lay,
    .fit_tensor = nvfp4_fit_tensor,
    .set_scale = nvfp4_set_scale,
    .fit = nvfp4_fit,
    .cell = nvfp4_cell,
    .pack_tensor = nvfp4_pack_tensor,
    .unpack_tensor = nvfp4_unpack_tensor,
    .pack = nvfp4_pack,
    .unpack = nvfp4_unpack,
};
