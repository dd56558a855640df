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

static enum bs_status allocate_linear(struct bs_linear *linear, const struct bs_slot *slot,
                                      struct bs_error *err)
{
    *linear =
        (struct bs_linear){.name = slot->name, .out_features = slot->out, .in_features = slot->in};
    size_t out = (size_t)slot->out, in = (size_t)slot->in;
    bool biased = slot->biased;
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
    bs_block_clear_sites(block);
    enum bs_status status = BS_OK;
    for (int s = 0; s < a->program.num_slots && !status; s++)
        status = allocate_linear(&block->linears[s], &a->program.slots[s], err);
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
    memcpy(to->sites, from->sites, sizeof to->sites);
    for (int s = 0; s < a->program.num_slots; s++)
        copy_linear(&to->linears[s], &from->linears[s]);
    for (int n = 0; n < BS_NUM_NORMS; n++) {
        copy_floats(to->norms[n].weight, from->norms[n].weight, from->norms[n].width);
        copy_floats(to->norms[n].bias, from->norms[n].bias, from->norms[n].width);
    }
    return copy_hidden_scale(to, from, err);
}

void bs_block_release(struct bs_block *block)
{
    for (int s = 0; s < BS_MAX_SLOTS; s++) {
        bs_free(block->linears[s].weight);
        bs_free(block->linears[s].bias);
        bs_free(block->linears[s].in_scale);
        bs_free(block->linears[s].out_scale);
        bs_codes_release(&block->linears[s].codes);
        bs_integer_weights_free(block->linears[s].integer);
        bs_packed_free(block->linears[s].bfloat16);
    }
    for (int n = 0; n < BS_NUM_NORMS; n++)
        bs_norm_release(&block->norms[n]);
    bs_free(block->hidden_scale);
    *block = (struct bs_block){.architecture = NULL};
}

void bs_block_clear_sites(struct bs_block *block)
{
    for (int v = 0; v < BS_MAX_VALUES; v++)
        block->sites[v].activations = (struct bs_activations){.bits = BS_BITS_NONE};
}

enum bs_status bs_block_quantize_sites(struct bs_block *block, const struct bs_activations *sites,
                                       struct bs_error *err)
{
    const struct bs_program *p = &block->architecture->program;
    for (int v = 0; v < p->num_values; v++)
        block->sites[v].activations = sites[v];
    for (int s = 0; s < p->num_slots; s++)
        if (sites[p->slots[s].input].bits != BS_BITS_NONE &&
            bs_integer_weights_create(&block->linears[s], err))
            return err->status;
    return BS_OK;
}

enum bs_status bs_block_use_bfloat16(struct bs_block *block, struct bs_error *err)
{
    for (int s = 0; s < block->architecture->program.num_slots; s++) {
        struct bs_linear *linear = &block->linears[s];
        if (!linear->bfloat16 &&
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

enum bs_status bs_block_fold(struct bs_block *block, int site, const float *scale,
                             struct bs_error *err)
{
    const struct bs_program *p = &block->architecture->program;
    struct bs_fold fold = p->folds[site];
    assert(fold.op >= 0);
    const struct bs_op *op = &p->ops[fold.op];
    if (op->kind == BS_OP_DIVIDE && divide_hidden(block, scale, err))
        return err->status;
    if (op->kind == BS_OP_LINEAR)
        divide_rows(&block->linears[fold.slot], scale);
    if (op->kind == BS_OP_NORM) {
        struct bs_norm *norm = &block->norms[op->detail];
        divide(norm->weight, scale, norm->width);
        divide(norm->bias, scale, norm->width);
    }
    for (int s = 0; s < p->num_slots; s++)
        if (p->slots[s].input == site)
            scale_columns(&block->linears[s], scale);
    return BS_OK;
}
