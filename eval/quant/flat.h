/* Number formats: how a group of values is fitted, rounded and decoded. The only rounding there is.
 */
#ifndef BS_EVAL_QUANT_FLAT_H
#define BS_EVAL_QUANT_FLAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/option.h"
#include "eval/quant/setting.h"

/* The three published integer grids; they differ in range, scale and clipping (quant/format.c gives
 * each rule and its source). BS_GRID_AUTO: the one the algorithm's authors use. */
enum bs_grid { BS_GRID_GPTQ, BS_GRID_AWQ, BS_GRID_SMOOTHQUANT, BS_GRID_AUTO };

enum bs_flat_range {
    BS_RANGE_MINMAX, /* the extremes of the group */
    BS_RANGE_MSE,    /* the shrunk extremes with the least sum |error|^range_norm (gptq quant.py) */
};

/* Values of bs_format.symmetric; auto: as the grid's authors have it. */
enum { BS_ASYMMETRIC = 0, BS_SYMMETRIC = 1, BS_SYMMETRIC_AUTO = 2 };

/* Values of bs_format.group_size that are no count of columns. */
enum { BS_GROUP_CHANNEL = 0, BS_GROUP_TENSOR = -1 };

enum { BS_BITS_NONE = 16 };

/* An integer format with its granularity. */
struct bs_flat {
    int bits;       /* 2 to 8; 16 = not quantized */
    int group_size; /* columns that share scale and zero_point, or BS_GROUP_* */
    int symmetric;  /* BS_ASYMMETRIC, BS_SYMMETRIC, BS_SYMMETRIC_AUTO */
    int grid;       /* enum bs_grid */
    int range;      /* enum bs_flat_range */
    double range_norm, range_maxshrink;
    int range_grid;
};

/* What the options of the integer format and of the mse range are. */
struct bs_int {
    int bits, group_size, symmetric, grid;
};
struct bs_mse {
    double range_norm, range_maxshrink;
    int range_grid;
};

/* A resolved setting of the integer format in the form of the calls below. */
struct bs_flat bs_flat_of(const struct bs_setting *setting);

/* Name of a resolved grid ("gptq"). */
const char *bs_grid_name(enum bs_grid grid);

/* Replaces the auto values: grid by `preferred`, symmetric by the grid's own default. BS_ECONFIG
 * where the parts do not fit together (an asymmetric smoothquant grid). */
enum bs_status bs_format_resolve(struct bs_flat *format, enum bs_grid preferred,
                                 struct bs_error *err);

/* What decodes a code: value = scale * (code - zero_point). */
struct bs_params {
    float scale;
    int zero_point; /* 0 to 2^bits - 1 */
};

/* Scale and zero point for count values x (resolved format; group_size is not looked at). */
struct bs_params bs_format_fit(const struct bs_flat *format, const float *x, size_t count);

/* The same from a known range instead of values (static activations); minmax only. */
struct bs_params bs_format_fit_range(const struct bs_flat *format, float low, float high);

/* The code nearest to x, ties to even, and its decoded value. */
int bs_format_encode(const struct bs_flat *format, struct bs_params params, float x);
float bs_format_decode(struct bs_params params, int code);

/* Replaces each of count values by the value its code decodes to. */
void bs_format_round(const struct bs_flat *format, struct bs_params params, float *x, size_t count);

/* What is known of values once they are encoded. */
struct bs_encoded {
    uint32_t sum;              /* of the codes */
    bool finite;               /* every value is */
    float next_low, next_high; /* the extremes of the values that come next, as of bs_min_max */
};

/* The code of each of count >= 1 values; of one that is no number, any. The extremes of `next`, count
 * values too, cost nothing while the processor divides, and are what their scale is fitted to; x
 * itself where none are wanted. */
struct bs_encoded bs_format_encode_all(const struct bs_flat *format, struct bs_params params,
                                       const float *x, size_t count, const float *next,
                                       uint8_t *codes);

/* The same as bs_format_round for a matrix x [rows][columns], group by group as group_size says; of the tensor
 * granularity all rows given are one group. */
void bs_format_round_matrix(const struct bs_flat *format, float *x, int rows, int columns);

/* A quantized weight matrix as a file would hold it. */
struct bs_codes {
    struct bs_flat format;
    int out_features, in_features;
    int groups;          /* per row: ceil(in_features / group_size); 1 for channel and tensor */
    uint8_t *codes;      /* [out_features][in_features] */
    float *scale;        /* [out_features][groups]; tensor: one value */
    uint8_t *zero_point; /* as scale */
    int *group_index;    /* [in_features], group of each column where it is not j / group_size
                          * (GPTQ with act_order and groups fitted on the way), else NULL */
};

/* Allocates codes, scale and zero_point for a resolved format. BS_ENOMEM. */
enum bs_status bs_codes_init(struct bs_codes *codes, const struct bs_flat *format, int out_features,
                             int in_features, struct bs_error *err);
void bs_codes_release(struct bs_codes *codes);

/* Columns per group: in_features for channel and tensor. */
int bs_codes_group_columns(const struct bs_codes *codes);

/* Number of groups whose parameters are held. */
size_t bs_codes_num_params(const struct bs_codes *codes);

/* Sets and reads the parameters of row i, group g. */
void bs_codes_set_params(struct bs_codes *codes, int i, int g, struct bs_params params);
struct bs_params bs_codes_params(const struct bs_codes *codes, int i, int g);

/* Sets the one scale of a format for the whole tensor: tensor_params where it is given (weight
 * [out][in] is then part of a larger tensor), else fitted to weight. */
void bs_codes_fit_tensor(struct bs_codes *codes, const float *weight,
                         const struct bs_params *tensor_params);

/* Fits every group of weight [out][in] and rounds to nearest; tensor_params as above. */
enum bs_status bs_codes_round_to_nearest(struct bs_codes *codes, const float *weight,
                                         const struct bs_params *tensor_params,
                                         struct bs_error *err);

/* Decodes everything into weight [out][in]. */
void bs_codes_decode(const struct bs_codes *codes, float *weight);

/* Bits that a file needs: codes, 16 for a scale, `bits` for a zero point where the format is
 * asymmetric, 32 for each entry of group_index. */
double bs_codes_bits(const struct bs_codes *codes);

/* The activation format of a recipe. */
enum bs_act_granularity {
    BS_ACT_TOKEN,         /* a scale for each token, found as it passes */
    BS_ACT_TENSOR,        /* a scale for each linear input of a window, found as it passes */
    BS_ACT_TENSOR_STATIC, /* a scale for each linear input, fixed from calibration */
};

struct bs_activations {
    int bits;        /* 2 to 8; 16 = not quantized */
    int granularity; /* enum bs_act_granularity */
    int symmetric;
    int grid;
};

/* A resolved setting of the integer format as activations. */
struct bs_activations bs_activations_of(const struct bs_setting *setting);

/* As bs_format_resolve; the preferred grid is smoothquant's. */
enum bs_status bs_activations_resolve(struct bs_activations *activations, struct bs_error *err);

/* The value grid of activations as a weight-like format, for the calls above. */
struct bs_flat bs_activations_format(const struct bs_activations *activations);

#endif
