/* A model directory opened, and its blocks read into float32. */
#include "eval/model/model.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/model/checkpoint.h"

enum { NAME_MAX_BYTES = 256 };

struct bs_model {
    struct bs_architecture architecture;
    struct bs_checkpoint *checkpoint;
    const struct bs_tensor *embedding, *final_norm, *head;
    struct bs_digest digest;
};

static void block_tensor_name(const struct bs_family *family, int block, const char *part,
                              const char *ending, char *out)
{
    char prefix[NAME_MAX_BYTES / 2];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    /* The format is a family's row, a constant of ours. */
    snprintf(prefix, sizeof prefix, family->block, block);
#pragma GCC diagnostic pop
    snprintf(out, NAME_MAX_BYTES, "%s%s%s", prefix, part, ending);
}

static enum bs_status require_linear(const struct bs_model *model, int block, enum bs_role role,
                                     const struct bs_tensor **tensor, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char name[NAME_MAX_BYTES];
    block_tensor_name(a->family, block, a->family->linears[role], ".weight", name);
    int64_t shape[] = {bs_out_features(a, role), bs_in_features(a, role)};
    return bs_checkpoint_require(model->checkpoint, name, 2, shape, tensor, err);
}

static enum bs_status require_norm(const struct bs_model *model, int block, int norm,
                                   const struct bs_tensor **tensor, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char name[NAME_MAX_BYTES];
    block_tensor_name(a->family, block, a->family->norms[norm], "", name);
    return bs_checkpoint_require(model->checkpoint, name, 1, (int64_t[]){a->hidden_size}, tensor,
                                 err);
}

/* Every tensor the walk will ask for, so that a defect is met before the first minute of work. */
static enum bs_status check_tensors(struct bs_model *model, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    struct bs_checkpoint *checkpoint = model->checkpoint;
    int64_t matrix[] = {a->vocab_size, a->hidden_size};
    if (bs_checkpoint_require(checkpoint, a->family->embedding, 2, matrix, &model->embedding,
                              err) ||
        bs_checkpoint_require(checkpoint, a->family->final_norm, 1, (int64_t[]){a->hidden_size},
                              &model->final_norm, err))
        return err->status;
    model->head = model->embedding;
    if (!a->tied_head &&
        bs_checkpoint_require(checkpoint, a->family->head, 2, matrix, &model->head, err))
        return err->status;
    const struct bs_tensor *tensor;
    for (int b = 0; b < a->num_layers; b++) {
        for (int n = 0; n < BS_NUM_NORMS; n++)
            if (require_norm(model, b, n, &tensor, err))
                return err->status;
        for (int r = 0; r < BS_NUM_ROLES; r++)
            if (require_linear(model, b, (enum bs_role)r, &tensor, err))
                return err->status;
    }
    return BS_OK;
}

static void digest_architecture(const struct bs_architecture *a, struct bs_digest_state *digest)
{
    char text[512];
    int length =
        snprintf(text, sizeof text, "%s %d %d %d %d %d %d %d %.9g %.17g %d", a->family->model_type,
                 a->hidden_size, a->intermediate_size, a->num_layers, a->num_heads, a->num_kv_heads,
                 a->head_dim, a->vocab_size, (double)a->norm_eps, a->rope_theta, a->tied_head);
    bs_digest_add(digest, text, (size_t)length);
}

enum bs_status bs_model_open(const char *directory, struct bs_model **out, struct bs_error *err)
{
    *out = NULL;
    struct bs_digest_state *digest = NULL;
    struct bs_model *model = bs_calloc(1, sizeof *model);
    if (!model)
        return bs_fail_memory(err);
    enum bs_status status = bs_architecture_read(directory, &model->architecture, err);
    if (!status)
        status = bs_checkpoint_open(directory, &model->checkpoint, err);
    if (!status)
        status = check_tensors(model, err);
    if (!status && !(digest = bs_digest_create()))
        status = bs_fail_memory(err);
    if (!status) {
        digest_architecture(&model->architecture, digest);
        status = bs_checkpoint_digest(model->checkpoint, digest, err);
    }
    if (digest)
        model->digest = bs_digest_finish(digest);
    if (status)
        bs_model_free(model);
    else
        *out = model;
    return status;
}

void bs_model_free(struct bs_model *model)
{
    if (!model)
        return;
    bs_checkpoint_free(model->checkpoint);
    bs_free(model);
}

const struct bs_architecture *bs_model_architecture(const struct bs_model *model)
{
    return &model->architecture;
}

struct bs_digest bs_model_digest(const struct bs_model *model) { return model->digest; }

size_t bs_model_other_parameters(const struct bs_model *model)
{
    const struct bs_architecture *a = &model->architecture;
    size_t hidden = (size_t)a->hidden_size, matrix = (size_t)a->vocab_size * hidden;
    return matrix * (a->tied_head ? 1 : 2) + hidden + (size_t)a->num_layers * BS_NUM_NORMS * hidden;
}

void bs_model_embed(const struct bs_model *model, const int32_t *ids, int tokens, float *out)
{
    size_t hidden = (size_t)model->architecture.hidden_size;
    for (int t = 0; t < tokens; t++)
        bs_tensor_read(model->embedding, (size_t)ids[t] * hidden, hidden, out + (size_t)t * hidden);
}

static enum bs_status allocate_linear(struct bs_linear *linear, const struct bs_architecture *a,
                                      enum bs_role role, struct bs_error *err)
{
    *linear = (struct bs_linear){.name = a->family->linears[role],
                                 .role = role,
                                 .out_features = bs_out_features(a, role),
                                 .in_features = bs_in_features(a, role)};
    size_t out = (size_t)linear->out_features, in = (size_t)linear->in_features;
    linear->weight = bs_alloc(out * in, sizeof(float));
    linear->in_scale = bs_alloc(in, sizeof(float));
    linear->out_scale = bs_alloc(out, sizeof(float));
    return linear->weight && linear->in_scale && linear->out_scale ? BS_OK : bs_fail_memory(err);
}

static enum bs_status allocate_block(struct bs_block *block, const struct bs_architecture *a,
                                     struct bs_error *err)
{
    *block = (struct bs_block){.architecture = a};
    block->activations.bits = BS_BITS_NONE;
    enum bs_status status = BS_OK;
    for (int r = 0; r < BS_NUM_ROLES && !status; r++)
        status = allocate_linear(&block->linears[r], a, (enum bs_role)r, err);
    for (int n = 0; n < BS_NUM_NORMS && !status; n++) {
        block->norms[n] = bs_alloc((size_t)a->hidden_size, sizeof(float));
        status = block->norms[n] ? BS_OK : bs_fail_memory(err);
    }
    if (status)
        bs_block_release(block);
    return status;
}

static void fill_ones(float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] = 1;
}

enum bs_status bs_block_load(const struct bs_model *model, int index, struct bs_block *block,
                             struct bs_error *err)
{
    if (allocate_block(block, &model->architecture, err))
        return err->status;
    block->index = index;
    const struct bs_tensor *tensor;
    enum bs_status status = BS_OK;
    for (int r = 0; r < BS_NUM_ROLES && !status; r++) {
        struct bs_linear *linear = &block->linears[r];
        status = require_linear(model, index, (enum bs_role)r, &tensor, err);
        if (!status)
            bs_tensor_read(tensor, 0, tensor->count, linear->weight);
        fill_ones(linear->in_scale, linear->in_features);
        fill_ones(linear->out_scale, linear->out_features);
    }
    for (int n = 0; n < BS_NUM_NORMS && !status; n++) {
        status = require_norm(model, index, n, &tensor, err);
        if (!status)
            bs_tensor_read(tensor, 0, tensor->count, block->norms[n]);
    }
    if (status)
        bs_block_release(block);
    return status;
}

static void copy_linear(struct bs_linear *to, const struct bs_linear *from)
{
    size_t out = (size_t)from->out_features, in = (size_t)from->in_features;
    memcpy(to->weight, from->weight, out * in * sizeof(float));
    memcpy(to->in_scale, from->in_scale, in * sizeof(float));
    memcpy(to->out_scale, from->out_scale, out * sizeof(float));
    bs_codes_release(&to->codes);
    to->damping = 0;
    to->dead_columns = 0;
    to->fallback = false;
    to->seconds = 0;
}

enum bs_status bs_block_copy(struct bs_block *to, const struct bs_block *from, struct bs_error *err)
{
    const struct bs_architecture *a = from->architecture;
    if (!to->architecture && allocate_block(to, a, err))
        return err->status;
    to->index = from->index;
    to->activations = from->activations;
    memcpy(to->set_params, from->set_params, sizeof to->set_params);
    memcpy(to->bmm_params, from->bmm_params, sizeof to->bmm_params);
    for (int r = 0; r < BS_NUM_ROLES; r++)
        copy_linear(&to->linears[r], &from->linears[r]);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        memcpy(to->norms[n], from->norms[n], (size_t)a->hidden_size * sizeof(float));
    return BS_OK;
}

void bs_block_release(struct bs_block *block)
{
    for (int r = 0; r < BS_NUM_ROLES; r++) {
        bs_free(block->linears[r].weight);
        bs_free(block->linears[r].in_scale);
        bs_free(block->linears[r].out_scale);
        bs_codes_release(&block->linears[r].codes);
    }
    for (int n = 0; n < BS_NUM_NORMS; n++)
        bs_free(block->norms[n]);
    *block = (struct bs_block){.architecture = NULL};
}

static void scale_columns(struct bs_linear *linear, const float *scale)
{
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++)
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] *= scale[j];
    for (size_t j = 0; j < in; j++)
        linear->in_scale[j] *= scale[j];
}

static void divide_rows(struct bs_linear *linear, const float *scale)
{
    size_t in = (size_t)linear->in_features;
    for (size_t i = 0; i < (size_t)linear->out_features; i++) {
        for (size_t j = 0; j < in; j++)
            linear->weight[i * in + j] /= scale[i];
        linear->out_scale[i] *= scale[i];
    }
}

void bs_block_fold(struct bs_block *block, int set, const float *scale)
{
    const struct bs_set *s = &block->architecture->family->sets[set];
    for (int k = 0; k < s->num_linears; k++)
        scale_columns(&block->linears[s->linears[k]], scale);
    if (s->previous >= 0) {
        divide_rows(&block->linears[s->previous], scale);
        return;
    }
    for (int j = 0; j < block->architecture->hidden_size; j++)
        block->norms[s->norm][j] /= scale[j];
}

enum bs_status bs_head_load(const struct bs_model *model, struct bs_head *head,
                            struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    *head = (struct bs_head){
        .hidden_size = a->hidden_size, .vocab_size = a->vocab_size, .norm_eps = a->norm_eps};
    head->norm = bs_alloc((size_t)a->hidden_size, sizeof(float));
    head->weight = bs_alloc(model->head->count, sizeof(float));
    if (!head->norm || !head->weight) {
        bs_head_release(head);
        return bs_fail_memory(err);
    }
    bs_tensor_read(model->final_norm, 0, model->final_norm->count, head->norm);
    bs_tensor_read(model->head, 0, model->head->count, head->weight);
    return BS_OK;
}

void bs_head_release(struct bs_head *head)
{
    bs_free(head->norm);
    bs_free(head->weight);
    *head = (struct bs_head){.norm = NULL};
}
