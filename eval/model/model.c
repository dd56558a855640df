/* The tensors of an open model read into float32: embeddings, blocks, the head. */
#include "eval/model/model.h"

#include <assert.h>
#include <stdio.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/packed.h"
#include "eval/model/model_internal.h"

/* The tensor of this name, which was required as the model was opened. */
static const struct bs_tensor *find_whole(const struct bs_model *model, const char *name)
{
    const struct bs_tensor *tensor = bs_checkpoint_find(model->checkpoint, name);
    assert(tensor);
    return tensor;
}

/* The same by the parts of its name. */
static const struct bs_tensor *find(const struct bs_model *model, const char *place,
                                    const char *name, const char *ending)
{
    char whole[BS_TENSOR_NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    return find_whole(model, whole);
}

/* --- norms and embeddings --- */

/* Channels `first` and on of a norm, as many as its tensors have; a kind without weights has 1. */
static void read_norm(const struct bs_norm_tensors *tensors, bool plus_one, int first,
                      struct bs_norm *norm)
{
    size_t count = tensors->weight ? tensors->weight->count : 0;
    if (count)
        bs_tensor_read(tensors->weight, 0, count, norm->weight + first);
    for (size_t j = 0; plus_one && j < count; j++)
        norm->weight[(size_t)first + j] += 1;
    if (tensors->bias)
        bs_tensor_read(tensors->bias, 0, tensors->bias->count, norm->bias + first);
}

/* A norm outside the blocks. */
static enum bs_status load_norm(const struct bs_model *model, const struct bs_norm_tensors *tensors,
                                int width, struct bs_norm *norm, struct bs_error *err)
{
    if (bs_norm_init(norm, model->architecture.norm, width, err))
        return err->status;
    read_norm(tensors, model->architecture.stored.norm_plus_one, 0, norm);
    return BS_OK;
}

enum bs_status bs_model_final_norm(const struct bs_model *model, struct bs_norm *norm,
                                   struct bs_error *err)
{
    return load_norm(model, &model->final_norm, model->architecture.hidden_size, norm, err);
}

/* What embedding takes besides the tensors; all may be empty. */
struct embedding {
    const struct bs_model *model;
    const struct bs_outer_rounding *rounding;
    struct bs_norm norm;
    float *project; /* [hidden_size][embedding_size] */
    float *row;     /* [embedding_size] */
    float *position;
};

static enum bs_status open_embedding(const struct bs_model *model,
                                     const struct bs_outer_rounding *rounding, struct embedding *e,
                                     struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    *e = (struct embedding){.model = model, .rounding = rounding};
    if (a->family->embedding_norm &&
        load_norm(model, &model->embedding_norm, a->embedding_size, &e->norm, err))
        return err->status;
    e->row = bs_alloc((size_t)a->embedding_size, sizeof(float));
    e->position = bs_alloc((size_t)a->hidden_size, sizeof(float));
    if (model->project_in)
        e->project = bs_alloc(model->project_in->count, sizeof(float));
    if (!e->row || !e->position || (model->project_in && !e->project))
        return bs_fail_memory(err);
    if (model->project_in)
        bs_tensor_read(model->project_in, 0, model->project_in->count, e->project);
    return BS_OK;
}

static void close_embedding(struct embedding *e)
{
    const struct bs_model *model = e->model;
    bs_checkpoint_forget(model->checkpoint, model->embedding);
    if (model->positions)
        bs_checkpoint_forget(model->checkpoint, model->positions);
    bs_norm_release(&e->norm);
    bs_free(e->row);
    bs_free(e->position);
    bs_free(e->project);
}

/* A row of learned positions is in the basis of what it is added to. */
static void add_position(const struct embedding *e, int position, float *out)
{
    const struct bs_model *model = e->model;
    size_t hidden = (size_t)model->architecture.hidden_size;
    size_t at = (size_t)position + (size_t)model->architecture.family->position_offset;
    bs_tensor_read(model->positions, at * hidden, hidden, e->position);
    if (e->rounding && e->rounding->basis && !e->rounding->late)
        bs_bases_apply(e->rounding->basis, e->position, 1, bs_outer_room(e->rounding));
    bs_add(e->position, out, hidden);
}

/* out [hidden_size] of one token. */
static void embed_token(const struct embedding *e, int32_t id, int position, float *out)
{
    const struct bs_model *model = e->model;
    const struct bs_architecture *a = &model->architecture;
    size_t hidden = (size_t)a->hidden_size, width = (size_t)a->embedding_size;
    float *row = e->project ? e->row : out;
    bs_tensor_read(model->embedding, (size_t)id * width, width, row);
    if (e->rounding)
        bs_outer_round(e->rounding, id, 1, row);
    if (e->norm.width)
        bs_norm_apply(a, &e->norm, row, row, 1);
    if (e->project)
        bs_gemm_nt(1, a->hidden_size, a->embedding_size, 1, row, a->embedding_size, e->project,
                   a->embedding_size, 0, out, a->hidden_size);
    for (size_t j = 0; a->embedding_scale != 1 && j < hidden; j++)
        out[j] *= a->embedding_scale;
    if (model->positions)
        add_position(e, position, out);
    if (e->rounding && e->rounding->late)
        bs_bases_apply(e->rounding->basis, out, 1, bs_outer_room(e->rounding));
}

enum bs_status bs_model_embed(const struct bs_model *model,
                              const struct bs_outer_rounding *rounding, const int32_t *ids,
                              int windows, int tokens, float *out, struct bs_error *err)
{
    size_t hidden = (size_t)model->architecture.hidden_size, all = (size_t)windows * (size_t)tokens;
    struct embedding e;
    enum bs_status status = open_embedding(model, rounding, &e, err);
    for (size_t t = 0; t < all && !status; t++)
        embed_token(&e, ids[t], (int)(t % (size_t)tokens), out + t * hidden);
    close_embedding(&e);
    return status;
}

enum bs_status bs_model_embed_fork(const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, const int32_t *ids,
                                   const struct bs_fork *fork, float *out, struct bs_error *err)
{
    size_t hidden = (size_t)model->architecture.hidden_size;
    struct embedding e;
    enum bs_status status = open_embedding(model, rounding, &e, err);
    for (int i = 0; i <= fork->branches && !status; i++) {
        struct bs_segment s = bs_fork_segment(fork, i);
        for (int t = 0; t < s.count; t++)
            embed_token(&e, ids[s.begin + t], s.position + t,
                        out + ((size_t)s.begin + (size_t)t) * hidden);
    }
    close_embedding(&e);
    return status;
}

/* --- blocks --- */

size_t bs_file_row(const struct bs_file_rows *file, int i)
{
    const struct bs_tensor_rows *rows = &file->rows;
    if (!rows->paired)
        return file->before + (size_t)(rows->first + i / rows->run * rows->stride + i % rows->run);
    int half = rows->paired / 2, j = i % rows->paired;
    int within = j < half ? 2 * j : 2 * (j - half) + 1;
    return file->before + (size_t)(rows->first + i - j + within);
}

/* One row of a linear after another, where heads have theirs in pairs. */
static void read_paired_rows(const struct bs_slot *slot, const struct bs_tensor_rows *rows,
                             const struct bs_tensor *tensor, size_t width, float *out)
{
    const struct bs_file_rows file = {tensor, *rows, 0};
    for (int i = 0; i < slot->out; i++)
        bs_tensor_read(tensor, bs_file_row(&file, i) * width, width, out + (size_t)i * width);
}

/* Rows of `width` floats: a linear's weight, or its bias with a width of 1; `before` floats of
 * other slices stand before them. */
static void read_rows(const struct bs_slot *slot, const struct bs_tensor_rows *rows,
                      const struct bs_tensor *tensor, size_t before, size_t width, float *out)
{
    size_t count = (size_t)rows->run * width;
    if (rows->paired) {
        read_paired_rows(slot, rows, tensor, width, out);
        return;
    }
    for (int i = 0; i < slot->out / rows->run; i++)
        bs_tensor_read(tensor, before + (size_t)(rows->first + i * rows->stride) * width, count,
                       out + (size_t)i * count);
}

/* weight [out][in] of a slice that holds [in][all outputs]. */
static void read_transposed(const struct bs_slot *slot, const struct bs_tensor_rows *rows,
                            const struct bs_tensor *tensor, size_t before, size_t all,
                            float *weight)
{
    enum { MOST = 64 }; /* outputs read at a time */
    size_t in = (size_t)slot->in, run = (size_t)rows->run;
    for (size_t j = 0; j < in; j++)
        for (size_t i = 0, count; i < (size_t)slot->out; i += count) {
            float line[MOST];
            size_t within = i % run, left = run - within;
            size_t from = (size_t)rows->first + i / run * (size_t)rows->stride + within;
            count = left < MOST ? left : MOST;
            bs_tensor_read(tensor, before + j * all + from, count, line);
            for (size_t k = 0; k < count; k++)
                weight[(i + k) * in + j] = line[k];
        }
}

static void load_linear(const struct bs_model *model, const struct bs_block *block,
                        const char *place, int index)
{
    const struct bs_slot *slot = &block->program->slots[index];
    struct bs_linear *linear = &block->linears[index];
    struct bs_slot_tensor t;
    bs_slot_tensor(model, block->program, place, index, &t);
    const struct bs_tensor *weight = find_whole(model, t.weight);
    size_t slice = weight->count / (t.rank == 3 ? (size_t)t.shape[0] : 1);
    size_t before = (size_t)t.slice * slice, all = slice / (size_t)slot->in;
    if (weight->coded)
        linear->file_bits =
            weight->coded->bits * ((double)slot->out * slot->in / (double)weight->count);
    if (t.transposed)
        read_transposed(slot, &t.rows, weight, before, all, linear->weight);
    else
        read_rows(slot, &t.rows, weight, before, (size_t)slot->in, linear->weight);
    if (!t.transposed)
        linear->file = (struct bs_file_rows){weight, t.rows, before / (size_t)slot->in};
    bs_checkpoint_forget(model->checkpoint, weight);
    if (linear->bias)
        read_rows(slot, &t.rows, find_whole(model, t.bias), (size_t)t.slice * all, 1, linear->bias);
}

static void load_block_norm(const struct bs_model *model, const char *place, enum bs_norm_place at,
                            struct bs_norm *norm)
{
    const struct bs_architecture *a = &model->architecture;
    char name[BS_NORM_NAME_BYTES];
    int parts = bs_norm_parts(a, at), vectors = bs_norm_vectors(norm->kind);
    for (int p = 0; p < parts; p++) {
        bs_norm_name(a, at, p, name);
        struct bs_norm_tensors tensors = {NULL, NULL};
        if (vectors > 0)
            tensors.weight = find(model, place, name, ".weight");
        if (vectors > 1)
            tensors.bias = find(model, place, name, ".bias");
        read_norm(&tensors, a->stored.norm_plus_one, p * (norm->width / parts), norm);
    }
}

enum bs_status bs_block_load(const struct bs_model *model, int index, struct bs_block *block,
                             struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    if (bs_block_init(block, a, index, err))
        return err->status;
    char place[BS_PLACE_BYTES];
    bs_block_place(model, index, place);
    for (int s = 0; s < block->program->num_slots; s++)
        load_linear(model, block, place, s);
    block->own = model->own.layers ? model->own.layers[index] : NULL;
    bs_block_clear_sites(block);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (block->norms[n].width)
            load_block_norm(model, place, (enum bs_norm_place)n, &block->norms[n]);
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        if (block->vectors[v]) {
            const struct bs_tensor *tensor = find(model, place, a->stored.vectors[v], "");
            bs_tensor_read(tensor, 0, tensor->count, block->vectors[v]);
        }
    return BS_OK;
}

/* --- the head --- */

/* The output matrix, and how it is rounded. */
struct head_source {
    const struct bs_model *model;
    const struct bs_outer_rounding *rounding;
};

/* Rows of the output matrix; pages of it do not stay resident beside what they become. */
static void read_head_rows(const void *context, int first, int count, float *rows)
{
    const struct head_source *from = context;
    const struct bs_model *model = from->model;
    size_t width = (size_t)model->architecture.embedding_size;
    bs_tensor_read(model->head, (size_t)first * width, (size_t)count * width, rows);
    bs_checkpoint_forget(model->checkpoint, model->head);
    if (from->rounding)
        bs_outer_round(from->rounding, first, count, rows);
}

/* Of the norm before an output matrix into which its weights are folded there is left what has
 * none: its bias goes into the head's. */
static enum bs_status fold_final_norm(const struct bs_model *model, struct bs_head *head,
                                      struct bs_error *err)
{
    struct bs_norm *norm = &head->norm;
    size_t vocab = (size_t)model->architecture.vocab_size, width = (size_t)norm->width;
    if (norm->kind == BS_LAYER_NORM) {
        float *row = bs_alloc(width, sizeof *row);
        if (!head->bias)
            head->bias = bs_calloc(vocab, sizeof *head->bias);
        for (size_t i = 0; i < vocab && row && head->bias; i++) {
            double sum = (double)head->bias[i];
            bs_tensor_read(model->head, i * width, width, row);
            for (size_t j = 0; j < width; j++)
                sum += (double)row[j] * (double)norm->bias[j];
            head->bias[i] = (float)sum;
        }
        bool enough = row && head->bias;
        bs_free(row);
        if (!enough)
            return bs_fail_memory(err);
    }
    norm->kind = BS_RMS_NORM;
    for (size_t j = 0; j < width; j++)
        norm->weight[j] = 1;
    return BS_OK;
}

enum bs_status bs_head_load(const struct bs_model *model, int run, unsigned computes,
                            const struct bs_outer_rounding *rounding, struct bs_head *head,
                            struct bs_error *err)
{
    const struct {
        const struct bs_tensor *tensor;
        float **to;
    } parts[] = {{model->project_out, &head->project}, {model->head_bias, &head->bias}};
    const struct head_source source = {model, rounding};
    *head = (struct bs_head){.architecture = &model->architecture, .run = run};
    const struct bs_architecture *a = &model->architecture;
    enum bs_status status = BS_OK;
    if (a->final_norm)
        status = bs_model_final_norm(model, &head->norm, err);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !status; i++) {
        if (!parts[i].tensor)
            continue;
        *parts[i].to = bs_alloc(parts[i].tensor->count, sizeof(float));
        if (*parts[i].to)
            bs_tensor_read(parts[i].tensor, 0, parts[i].tensor->count, *parts[i].to);
        else
            status = bs_fail_memory(err);
    }
    if (rounding && rounding->basis && !status)
        status = fold_final_norm(model, head, err);
    for (int c = 0; c < BS_NUM_PACKED && !status; c++)
        if (computes >> c & 1)
            status = bs_head_pack(head, (enum bs_compute)c, read_head_rows, &source, err);
    if (!status && computes >> BS_AS_LLAMA_CPP & 1)
        status = bs_head_pack_blocks(head, model, rounding, err);
    if (status)
        bs_head_release(head);
    return status;
}
