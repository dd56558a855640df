/* Rounding values in place by a setting: activations on their way, and weights that are tried. */
#ifndef BS_EVAL_QUANT_VALUES_H
#define BS_EVAL_QUANT_VALUES_H

#include "eval/base/parallel.h"
#include "eval/quant/format.h"

/* Parameters that are fixed from the calibration, of a format that needs as many bytes: those of a
 * row, or where rows share something, that. And the extremes that they were made from. */
struct bs_fixed {
    _Alignas(max_align_t) unsigned char bytes[BS_FIXED_BYTES]; /* so that copies have all of them */
    float low, high;
};

/* How many of these a static setting has, of values of this width and so many heads. */
int bs_values_parts(const struct bs_setting *setting, int width, int heads);

/* The values of a site in one window: rows, a token each, of `width` values `stride` apart, which
 * `heads` heads of equal width share. */
struct bs_values {
    float *x;
    int rows, width, stride, heads;
};

/* Whether values of this width, of so many heads, can be rounded on their way by a resolved setting
 * of activations. BS_ECONFIG. */
enum bs_status bs_values_check(const struct bs_setting *setting, int width, int heads,
                               struct bs_error *err);

/* The same of attention's probabilities, rows of any length: by token or head, of which either is a
 * row, or static, for all or for each head. BS_ECONFIG. */
enum bs_status bs_probabilities_check(const struct bs_setting *setting, struct bs_error *err);

/* How wide a row of so many is to the format: where that takes whole blocks, zeros fill the
 * last. */
int bs_probabilities_width(const struct bs_setting *setting, int keys);

/* The parameters of values between these extremes. */
void bs_values_fix(const struct bs_setting *setting, int width, float low, float high,
                   struct bs_fixed *fixed);

/* The same of a scale and a zero point as a file has them (bs_format.set_scale). BS_ECONFIG where
 * the format has no such parameters. */
enum bs_status bs_values_set(const struct bs_setting *setting, int width, float scale, float zero,
                             struct bs_fixed *fixed, struct bs_error *err);

/* The one cell of x, `rows` rows of `width` values, `stride` apart, or of `extremes` where they are
 * known already (else NULL); of `fixed` where sharing is static. For a setting with a group a
 * row. */
struct bs_cell bs_values_cell(const struct bs_setting *setting, const struct bs_fixed *fixed,
                              const float *x, int rows, int width, int stride,
                              const float *extremes);

/* Replaces values by their quantized values; the rounder's draws are counted token by token, by
 * channels where these share a scale. `fixed` [bs_values_parts] is looked at where sharing is
 * static. Where a format has parameters of a tensor and of its spans, sharing says who shares the
 * former, and spans have their own.
 *
 * keep = s: of the values that share a scale those stay that are up to their quantile s / 2 or from
 * 1 - s / 2 on (linear between two values, as torch.quantile), and the others are fitted as if the
 * median, the lower one, stood in their place (SqueezeAILab/KVQuant get_outliers_dynamic,
 * quant_fn_zp). With static_channel those stay that are beyond the extremes of their channel's
 * parameters (get_outliers, there). threshold: all is rounded to float16; where that has any |x|
 * from the threshold on, the column stays so; scales are fitted to the other values, those from the
 * threshold on being 0 (bitsandbytes int8_vectorwise_quant). Takes bs_values_floats of scratch. */
void bs_values_round(const struct bs_setting *setting, const struct bs_fixed *fixed,
                     struct bs_rounder rounder, const struct bs_values *values,
                     struct bs_scratch *scratch);
size_t bs_values_floats(int rows, int width);

/* Makes what all of a matrix, weight [layout->out][layout->in], shares: bytes for bs_free, or NULL
 * where that is nothing. BS_ENOMEM. */
enum bs_status bs_tensor_fit(const struct bs_setting *setting, const struct bs_code_layout *layout,
                             const float *weight, unsigned char **tensor, struct bs_error *err);

/* Replaces the values of one span of a row, `columns` of them, by those that codes of their own
 * would decode to; the first is the index-th value of its matrix, `tensor` what that shares (NULL
 * where that is nothing). `importance` [columns] or NULL. */
void bs_span_round(const struct bs_setting *setting, const struct bs_code_layout *layout,
                   const void *tensor, struct bs_rounder rounder, uint64_t index,
                   const float *importance, float *x, int columns);

/* Replaces weights [rows][layout->in], the first-th and later rows of a matrix, by the values that
 * codes of their own would decode to: each span fitted to what is given, with `importance` [in] or
 * NULL, and `tensor` as above. */
void bs_weights_round(const struct bs_setting *setting, const struct bs_code_layout *layout,
                      const void *tensor, struct bs_rounder rounder, int first,
                      const float *importance, float *x, int rows);

/* A value that lies between two ranks, as numpy and torch.quantile have it: `part` of the way from
 * the lower one. */
static inline float bs_between(float below, float above, float part)
{
    return part < 0.5f ? below + part * (above - below) : above - (above - below) * (1 - part);
}

#endif
