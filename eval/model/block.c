/* A block in memory: its matrices and vectors, copies of them, and factors moved between them. */
#include "eval/model/model.h"

#include <assert.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/packed.h"
#include "eval/model/integer.h"

static void fill_ones(float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] = 1;
}

void bs_norm_release(struct bs_norm *norm)
{
    bs_free(norm->weight);
    bs_free(norm->bias);
    *norm = (struct bs_norm){.width = 0};
}

enum bs_status bs_norm_init(struct bs_norm *norm, enum bs_norm_kind kind, int width,
                            struct bs_error *err)
{
    bool biased = kind == BS_LAYER_NORM;
    *norm = (struct bs_norm){.kind = kind, .width = width};
    norm->weight = bs_alloc((size_t)width, sizeof(float));
    if (biased)
        norm->bias = bs_alloc((size_t)width, sizeof(float));
    if (!norm->weight || (biased && !norm->bias))
        return bs_fail_memory(err);
    fill_ones(norm->weight, width);
    return BS_OK;
}

static enum bs_status allocate_linear(struct bs_linear *linear, const struct bs_architecture *a,
                                      enum bs_role role, struct bs_error *err)
{
    *linear = (struct bs_linear){.name = a->family->linears[role],
                                 .role = role,
                                 .out_features = bs_out_features(a, role),
                                 .in_features = bs_in_features(a, role)};
    size_t out = (size_t)linear->out_features, in = (size_t)linear->in_features;
    bool biased = bs_has_bias(a, role);
    linear->weight = bs_alloc(out * in, sizeof(float));
    linear->in_scale = bs_alloc(in, sizeof(float));
    linear->out_scale = bs_alloc(out, sizeof(float));
    if (biased)
        linear->bias = bs_alloc(out, sizeof(float));
    bool enough = linear->weight && linear->in_scale && linear->out_scale;
    if (!enough || (biased && !linear->bias))
        return bs_fail_memory(err);
    fill_ones(linear->in_scale, linear->in_features);
    fill_ones(linear->out_scale, linear->out_features);
    return BS_OK;
}

enum bs_status bs_block_init(struct bs_block *block, const struct bs_architecture *a,
                             struct bs_error *err)
{
    *block = (struct bs_block){.architecture = a};
    block->activations.bits = BS_BITS_NONE;
    enum bs_status status = BS_OK;
    for (int r = 0; r < BS_NUM_ROLES && !status; r++)
        if (bs_has_role(a, (enum bs_role)r))
            status = allocate_linear(&block->linears[r], a, (enum bs_role)r, err);
    for (int n = 0; n < BS_NUM_NORMS && !status; n++)
        if (bs_has_norm(a, (enum bs_norm_place)n))
            status = bs_norm_init(&block->norms[n], bs_norm_kind_at(a, (enum bs_norm_place)n),
                                  bs_norm_width(a, (enum bs_norm_place)n), err);
    if (status)
        bs_block_release(block);
    return status;
}

static void copy_floats(float *to, const float *from, int count)
{
    if (to)
        memcpy(to, from, (size_t)count * sizeof *to);
}

static void copy_linear(struct bs_linear *to, const struct bs_linear *from)
{
    size_t out = (size_t)from->out_features, in = (size_t)from->in_features;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < out; i++)
        memcpy(to->weight + i * in, from->weight + i * in, in * sizeof(float));
    copy_floats(to->bias, from->bias, from->out_features);
    copy_floats(to->in_scale, from->in_scale, from->in_features);
    copy_floats(to->out_scale, from->out_scale, from->out_features);
    bs_codes_release(&to->codes);
    bs_integer_weights_free(to->integer);
    bs_packed_free(to->bfloat16);
    to->integer = NULL;
    to->bfloat16 = NULL;
    to->damping = 0;
    to->dead_columns = 0;
    to->fallback = false;
    to->seconds = 0;
}

static enum bs_status copy_hidden_scale(struct bs_block *to, const struct bs_block *from,
                                        struct bs_error *err)
{
    bs_free(to->hidden_scale);
    to->hidden_scale = NULL;
    if (!from->hidden_scale)
        return BS_OK;
    int width = from->architecture->intermediate_size;
    to->hidden_scale = bs_alloc((size_t)width, sizeof(float));
    if (!to->hidden_scale)
        return bs_fail_memory(err);
    copy_floats(to->hidden_scale, from->hidden_scale, width);
    return BS_OK;
}

enum bs_status bs_block_copy(struct bs_block *to, const struct bs_block *from, struct bs_error *err)
{
    const struct bs_architecture *a = from->architecture;
    if (!to->architecture && bs_block_init(to, a, err))
        return err->status;
    to->index = from->index;
    to->activations = from->activations;
    memcpy(to->set_params, from->set_params, sizeof to->set_params);
    memcpy(to->bmm_params, from->bmm_params, sizeof to->bmm_params);
    for (int r = 0; r < BS_NUM_ROLES; r++)
        if (from->linears[r].weight)
            copy_linear(&to->linears[r], &from->linears[r]);
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        copy_floats(to->norms[n].weight, from->norms[n].weight, from->norms[n].width);
        copy_floats(to->norms[n].bias, from->norms[n].bias, from->norms[n].width);
    }
    return copy_hidden_scale(to, from, err);
}

void bs_block_release(struct bs_block *block)
{
    for (int r = 0; r < BS_NUM_ROLES; r++) {
        bs_free(block->linears[r].weight);
        bs_free(block->linears[r].bias);
        bs_free(block->linears[r].in_scale);
        bs_free(block->linears[r].out_scale);
        bs_codes_release(&block->linears[r].codes);
        bs_integer_weights_free(block->linears[r].integer);
        bs_packed_free(block->linears[r].bfloat16);
    }
    for (int n = 0; n < BS_NUM_NORMS; n++)
        bs_norm_release(&block->norms[n]);
    bs_free(block->hidden_scale);
    *block = (struct bs_block){.architecture = NULL};
}

enum bs_status bs_block_quantize_activations(struct bs_block *block,
                                             const struct bs_activations *activations,
                                             struct bs_error *err)
{
    block->activations = *activations;
    for (int r = 0; r < BS_NUM_ROLES && activations->bits != BS_BITS_NONE; r++)
        if (bs_integer_weights_create(&block->linears[r], err))
            return err->status;
    return BS_OK;
}

enum bs_status bs_block_use_bfloat16(struct bs_block *block, struct bs_error *err)
{
    for (int r = 0; r < BS_NUM_ROLES; r++) {
        struct bs_linear *linear = &block->linears[r];
        if (linear->weight && !linear->bfloat16 &&
            bs_packed_create(BS_BFLOAT16, linear->out_features, linear->in_features, linear->weight,
                             &linear->bfloat16, err))
            return bs_fail_within(err, "%s", linear->name);
    }
    return BS_OK;
}

/* --- folding --- */

static void scale_columns(struct bs_linear *linear, const float *scale)
{
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++)
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] *= scale[j];
    for (size_t j = 0; j < in; j++)
        linear->in_scale[j] *= scale[j];
}

static void divide(float *x, const float *scale, int count)
{
    for (int i = 0; x && i < count; i++)
        x[i] /= scale[i];
}

static void divide_rows(struct bs_linear *linear, const float *scale)
{
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++) {
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] /= scale[i];
        linear->out_scale[i] *= scale[i];
    }
    divide(linear->bias, scale, linear->out_features);
}

static enum bs_status divide_hidden(struct bs_block *block, const float *scale,
                                    struct bs_error *err)
{
    int width = block->architecture->intermediate_size;
    if (!block->hidden_scale) {
        block->hidden_scale = bs_alloc((size_t)width, sizeof(float));
        if (!block->hidden_scale)
            return bs_fail_memory(err);
        fill_ones(block->hidden_scale, width);
    }
    for (int j = 0; j < width; j++)
        block->hidden_scale[j] *= scale[j];
    return BS_OK;
}

enum bs_status bs_block_fold(struct bs_block *block, int set, const float *scale,
                             struct bs_error *err)
{
    const struct bs_set *s = &block->architecture->sets[set];
    struct bs_norm *norm = &block->norms[s->norm];
    assert(s->before != BS_BEFORE_NOTHING);
    if (s->before == BS_BEFORE_ACTIVATION && divide_hidden(block, scale, err))
        return err->status;
    if (s->before == BS_BEFORE_LINEAR)
        divide_rows(&block->linears[s->previous], scale);
    if (s->before == BS_BEFORE_NORM) {
        divide(norm->weight, scale, norm->width);
        divide(norm->bias, scale, norm->width);
    }
    for (int k = 0; k < s->num_linears; k++)
        scale_columns(&block->linears[s->linears[k]], scale);
    return BS_OK;
}
