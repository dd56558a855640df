/* A quantized weight matrix: codes, scales and zero points (quant/format.h). */
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/quant/flat.h"

enum { SCALE_BITS = 16, INDEX_BITS = 32, ROWS_A_TASK = 16 };

enum bs_status bs_codes_init(struct bs_codes *codes, const struct bs_flat *format, int out_features,
                             int in_features, struct bs_error *err)
{
    *codes = (struct bs_codes){
        .format = *format, .out_features = out_features, .in_features = in_features};
    int columns = bs_codes_group_columns(codes);
    codes->groups = (in_features + columns - 1) / columns;
    codes->codes = bs_alloc((size_t)out_features, (size_t)in_features);
    codes->scale = bs_calloc(bs_codes_num_params(codes), sizeof *codes->scale);
    codes->zero_point = bs_calloc(bs_codes_num_params(codes), 1);
    if (codes->codes && codes->scale && codes->zero_point)
        return BS_OK;
    bs_codes_release(codes);
    return bs_fail_memory(err);
}

void bs_codes_release(struct bs_codes *codes)
{
    bs_free(codes->codes);
    bs_free(codes->scale);
    bs_free(codes->zero_point);
    bs_free(codes->group_index);
    *codes = (struct bs_codes){.codes = NULL};
}

int bs_codes_group_columns(const struct bs_codes *codes)
{
    int size = codes->format.group_size;
    return size > 0 && size < codes->in_features ? size : codes->in_features;
}

size_t bs_codes_num_params(const struct bs_codes *codes)
{
    if (codes->format.group_size == BS_GROUP_TENSOR)
        return 1;
    return (size_t)codes->out_features * (size_t)codes->groups;
}

static size_t params_index(const struct bs_codes *codes, int i, int g)
{
    if (codes->format.group_size == BS_GROUP_TENSOR)
        return 0;
    return (size_t)i * (size_t)codes->groups + (size_t)g;
}

void bs_codes_set_params(struct bs_codes *codes, int i, int g, struct bs_params params)
{
    size_t at = params_index(codes, i, g);
    codes->scale[at] = params.scale;
    codes->zero_point[at] = (uint8_t)params.zero_point;
}

struct bs_params bs_codes_params(const struct bs_codes *codes, int i, int g)
{
    size_t at = params_index(codes, i, g);
    return (struct bs_params){.scale = codes->scale[at], .zero_point = codes->zero_point[at]};
}

struct rows_job {
    struct bs_codes *codes;
    const float *weight;
    float *decoded;
};

static void round_group(struct bs_codes *codes, const float *x, uint8_t *out, int i, int g, int n)
{
    if (codes->format.group_size != BS_GROUP_TENSOR)
        bs_codes_set_params(codes, i, g, bs_format_fit(&codes->format, x, (size_t)n));
    struct bs_params params = bs_codes_params(codes, i, g);
    bs_format_encode_all(&codes->format, params, x, (size_t)n, x, out);
}

static enum bs_status round_rows(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct rows_job *job = context;
    struct bs_codes *codes = job->codes;
    int columns = bs_codes_group_columns(codes);
    int end = (index + 1) * ROWS_A_TASK;
    for (int i = index * ROWS_A_TASK; i < end && i < codes->out_features; i++)
        for (int g = 0; g < codes->groups; g++) {
            size_t at = (size_t)i * (size_t)codes->in_features + (size_t)g * (size_t)columns;
            int left = codes->in_features - g * columns;
            round_group(codes, job->weight + at, codes->codes + at, i, g,
                        left < columns ? left : columns);
        }
    return BS_OK;
}

void bs_codes_fit_tensor(struct bs_codes *codes, const float *weight,
                         const struct bs_params *tensor_params)
{
    size_t count = (size_t)codes->out_features * (size_t)codes->in_features;
    bs_codes_set_params(
        codes, 0, 0, tensor_params ? *tensor_params : bs_format_fit(&codes->format, weight, count));
}

enum bs_status bs_codes_round_to_nearest(struct bs_codes *codes, const float *weight,
                                         const struct bs_params *tensor_params,
                                         struct bs_error *err)
{
    if (codes->format.group_size == BS_GROUP_TENSOR)
        bs_codes_fit_tensor(codes, weight, tensor_params);
    struct rows_job job = {.codes = codes, .weight = weight};
    return bs_parallel((codes->out_features + ROWS_A_TASK - 1) / ROWS_A_TASK, round_rows, &job,
                       err);
}

static void decode_row(const struct bs_codes *codes, int i, float *row)
{
    const uint8_t *from = codes->codes + (size_t)i * (size_t)codes->in_features;
    int columns = bs_codes_group_columns(codes);
    if (codes->group_index) {
        for (int j = 0; j < codes->in_features; j++)
            row[j] = bs_format_decode(bs_codes_params(codes, i, codes->group_index[j]), from[j]);
        return;
    }
    for (int g = 0; g < codes->groups; g++) {
        struct bs_params params = bs_codes_params(codes, i, g);
        int end = (g + 1) * columns < codes->in_features ? (g + 1) * columns : codes->in_features;
        for (int j = g * columns; j < end; j++)
            row[j] = bs_format_decode(params, from[j]);
    }
}

void bs_codes_decode(const struct bs_codes *codes, float *weight)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < codes->out_features; i++)
        decode_row(codes, i, weight + (size_t)i * (size_t)codes->in_features);
}

double bs_codes_bits(const struct bs_codes *codes)
{
    double weights = (double)codes->out_features * codes->in_features;
    int per_group = SCALE_BITS + (codes->format.symmetric ? 0 : codes->format.bits);
    double bits = weights * codes->format.bits + (double)bs_codes_num_params(codes) * per_group;
    return codes->group_index ? bits + (double)INDEX_BITS * codes->in_features : bits;
}
