/* A model directory opened, and its blocks read into float32. */
#include "eval/model/model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/packed.h"
#include "eval/linalg/blas.h"
#include "eval/model/checkpoint.h"

enum { PLACE_BYTES = 96, NORM_NAME_BYTES = 64, NAME_BYTES = 256 };

/* A norm's tensors; weight NULL where there is no norm, bias where it has none. */
struct norm_tensors {
    const struct bs_tensor *weight, *bias;
};

struct bs_model {
    struct bs_architecture architecture;
    struct bs_checkpoint *checkpoint;
    const char *prefix; /* the family's, or "" where the checkpoint is of the bare model */
    const struct bs_tensor *embedding, *positions, *project_in, *project_out, *head, *head_bias;
    struct norm_tensors embedding_norm, final_norm;
    struct bs_digest digest;
    struct bs_remarks remarks;
};

/* --- tensors by name --- */

/* `place` is the name's beginning: a prefix, or a prefix and a block. */
static enum bs_status require(struct bs_model *model, const char *place, const char *name,
                              const char *ending, int rank, const int64_t *shape,
                              const struct bs_tensor **tensor, struct bs_error *err)
{
    char whole[NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    return bs_checkpoint_require(model->checkpoint, whole, rank, shape, tensor, err);
}

/* The same where it was required before. */
static const struct bs_tensor *find(const struct bs_model *model, const char *place,
                                    const char *name, const char *ending)
{
    char whole[NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    const struct bs_tensor *tensor = bs_checkpoint_find(model->checkpoint, whole);
    assert(tensor);
    return tensor;
}

static void block_place(const struct bs_model *model, int block, char *out)
{
    char within[PLACE_BYTES / 2];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    /* The format is a family's row, a constant of ours. */
    snprintf(within, sizeof within, model->architecture.family->block, block);
#pragma GCC diagnostic pop
    snprintf(out, PLACE_BYTES, "%s%s", model->prefix, within);
}

static enum bs_status require_norm(struct bs_model *model, const char *place, const char *name,
                                   int width, struct norm_tensors *norm, struct bs_error *err)
{
    int64_t shape[] = {width};
    int vectors = bs_norm_vectors(model->architecture.norm);
    *norm = (struct norm_tensors){NULL, NULL};
    if ((vectors > 0 && require(model, place, name, ".weight", 1, shape, &norm->weight, err)) ||
        (vectors > 1 && require(model, place, name, ".bias", 1, shape, &norm->bias, err)))
        return err->status;
    return BS_OK;
}

/* Tensors that the weights of a block's norm stand in. */
static int norm_parts(const struct bs_architecture *a, enum bs_norm_place place)
{
    bool of_heads = place == BS_NORM_Q || place == BS_NORM_K;
    bool parted = of_heads && a->family->qk_norm == BS_QK_NORM_HEAD_TENSORS;
    return parted ? bs_norm_width(a, place) / a->head_dim : 1;
}

/* What one of them is called. */
static void norm_name(const struct bs_architecture *a, enum bs_norm_place place, int part,
                      char *name)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    /* The format is a family's row, a constant of ours; where there is one part, it is the name. */
    snprintf(name, NORM_NAME_BYTES, a->family->norms[place], part);
#pragma GCC diagnostic pop
}

static enum bs_status require_block_norm(struct bs_model *model, const char *place,
                                         enum bs_norm_place at, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    static const char *const endings[] = {".weight", ".bias"};
    char name[NORM_NAME_BYTES];
    const struct bs_tensor *tensor;
    int parts = norm_parts(a, at), width = bs_norm_width(a, at);
    bool of_heads = at == BS_NORM_Q || at == BS_NORM_K;
    bool by_head = of_heads && a->family->qk_norm == BS_QK_NORM_EACH_HEAD;
    int64_t vector[] = {width / parts}, matrix[] = {width / a->head_dim, a->head_dim};
    for (int p = 0; p < parts; p++) {
        norm_name(a, at, p, name);
        for (int v = 0; v < bs_norm_vectors(bs_norm_kind_at(a, at)); v++)
            if (require(model, place, name, endings[v], by_head ? 2 : 1, by_head ? matrix : vector,
                        &tensor, err))
                return err->status;
    }
    return BS_OK;
}

/* What the tensors of the linear's weight and bias are called; those of several may be one. */
static const char *linear_tensor(const struct bs_architecture *a, enum bs_role role)
{
    enum bs_role first, last;
    bs_tensor_roles(a, role, &first, &last);
    if (first == last)
        return a->family->linears[role];
    return first == BS_Q ? a->family->fused_qkv : a->family->fused_gate_up;
}

/* Rows of that tensor. */
static int tensor_rows(const struct bs_architecture *a, enum bs_role role)
{
    enum bs_role first, last;
    int rows = 0;
    bs_tensor_roles(a, role, &first, &last);
    for (int r = (int)first; r <= (int)last; r++)
        rows += bs_out_features(a, (enum bs_role)r);
    return rows;
}

static enum bs_status require_linear(struct bs_model *model, const char *place, enum bs_role role,
                                     struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    const char *name = linear_tensor(a, role);
    int64_t out = tensor_rows(a, role);
    int64_t in = bs_in_features(a, role);
    int64_t shape[] = {a->family->transposed ? in : out, a->family->transposed ? out : in};
    const struct bs_tensor *tensor;
    if (require(model, place, name, ".weight", 2, shape, &tensor, err))
        return err->status;
    return bs_has_bias(a, role) ? require(model, place, name, ".bias", 1, &out, &tensor, err)
                                : BS_OK;
}

/* --- opening --- */

static enum bs_status require_ends(struct bs_model *model, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    const struct bs_family *f = a->family;
    const char *place = model->prefix;
    int64_t matrix[] = {a->vocab_size, a->embedding_size}, vocab[] = {a->vocab_size};
    int64_t positions[] = {(int64_t)a->max_positions + f->position_offset, a->hidden_size};
    int64_t in[] = {a->hidden_size, a->embedding_size}, out[] = {a->embedding_size, a->hidden_size};
    bool projected = a->embedding_size != a->hidden_size;
    if (require(model, place, f->embedding, ".weight", 2, matrix, &model->embedding, err) ||
        (f->positions &&
         require(model, place, f->positions, ".weight", 2, positions, &model->positions, err)) ||
        (f->embedding_norm && require_norm(model, place, f->embedding_norm, a->embedding_size,
                                           &model->embedding_norm, err)) ||
        (projected &&
         (require(model, place, f->project_in, ".weight", 2, in, &model->project_in, err) ||
          require(model, place, f->project_out, ".weight", 2, out, &model->project_out, err))) ||
        (a->final_norm &&
         require_norm(model, place, f->final_norm, a->hidden_size, &model->final_norm, err)) ||
        (f->head_bias && require(model, "", f->head, ".bias", 1, vocab, &model->head_bias, err)))
        return err->status;
    model->head = model->embedding;
    if (a->tied_head)
        return BS_OK;
    return require(model, "", f->head, ".weight", 2, matrix, &model->head, err);
}

static enum bs_status require_block(struct bs_model *model, int block, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char place[PLACE_BYTES];
    block_place(model, block, place);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (bs_has_norm(a, (enum bs_norm_place)n) &&
            require_block_norm(model, place, (enum bs_norm_place)n, err))
            return err->status;
    for (int r = 0; r < BS_NUM_ROLES; r++)
        if (bs_has_role(a, (enum bs_role)r) && require_linear(model, place, (enum bs_role)r, err))
            return err->status;
    return BS_OK;
}

/* True for a tensor of a block behind those that num_hidden_layers leaves of the model. */
static bool is_cut_off(const struct bs_model *model, const char *name)
{
    size_t prefix = strlen(model->prefix);
    int block = -1;
    if (strncmp(name, model->prefix, prefix) != 0)
        return false;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return sscanf(name + prefix, model->architecture.family->block, &block) == 1 &&
           block >= model->architecture.num_layers;
#pragma GCC diagnostic pop
}

/* Tensors that checkpoints hold and no forward pass reads: masks and frequencies that older code
 * saved along, the head of a model whose embedding is used, and blocks that were cut off. */
static bool is_spare(const struct bs_model *model, const char *name)
{
    const struct bs_architecture *a = &model->architecture;
    static const char *const endings[] = {".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias",
                                          ".attention.bias", ".attention.masked_bias"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && !strcmp(name + length - ending, endings[i]))
            return true;
    }
    if (is_cut_off(model, name))
        return true;
    size_t head = strlen(a->family->head);
    return a->tied_head && !strncmp(name, a->family->head, head) && !strcmp(name + head, ".weight");
}

/* Every tensor the walk will ask for, so that a defect is met before the first minute of work; and
 * none else, since a bias that config.json does not speak of would be left out of every number. */
static enum bs_status check_tensors(struct bs_model *model, const char *directory,
                                    struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s.weight", a->family->prefix, a->family->embedding);
    const char *bare = name + strlen(a->family->prefix);
    bool is_bare =
        !bs_checkpoint_find(model->checkpoint, name) && bs_checkpoint_find(model->checkpoint, bare);
    model->prefix = is_bare ? "" : a->family->prefix;
    if (require_ends(model, err))
        return err->status;
    for (int b = 0; b < a->num_layers; b++)
        if (require_block(model, b, err))
            return err->status;
    const char *spare;
    for (size_t at = 0; (spare = bs_checkpoint_unused(model->checkpoint, &at));)
        if (!is_spare(model, spare))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: tensor '%.200s' has no place in the model that config.json "
                           "describes (model_type %s)",
                           directory, spare, a->family->model_type);
    return BS_OK;
}

static size_t count_of(const struct bs_tensor *tensor) { return tensor ? tensor->count : 0; }

static size_t count_of_norm(const struct norm_tensors *norm)
{
    return count_of(norm->weight) + count_of(norm->bias);
}

static size_t count_others(const struct bs_model *model)
{
    const struct bs_architecture *a = &model->architecture;
    size_t block = 0;
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (bs_has_norm(a, (enum bs_norm_place)n))
            block += (size_t)bs_norm_vectors(bs_norm_kind_at(a, (enum bs_norm_place)n)) *
                     (size_t)bs_norm_width(a, (enum bs_norm_place)n);
    for (int r = 0; r < BS_NUM_ROLES; r++)
        if (bs_has_bias(a, (enum bs_role)r))
            block += (size_t)bs_out_features(a, (enum bs_role)r);
    return count_of(model->embedding) + count_of(model->positions) + count_of(model->project_in) +
           count_of(model->project_out) + (a->tied_head ? 0 : count_of(model->head)) +
           count_of(model->head_bias) + count_of_norm(&model->embedding_norm) +
           count_of_norm(&model->final_norm) + (size_t)a->num_layers * block;
}

static void digest_rope(const struct bs_rope_settings *rope, FILE *out)
{
    fprintf(out, " %d %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %d", (int)rope->kind,
            rope->theta, rope->attention_factor, rope->factor, rope->original_positions,
            rope->low_freq_factor, rope->high_freq_factor, rope->beta_fast, rope->beta_slow,
            rope->truncate);
    for (int j = 0; j < rope->num_factors; j++)
        fprintf(out, " %.9g %.9g", (double)rope->short_factors[j], (double)rope->long_factors[j]);
}

/* Everything of the architecture that the forward pass looks at. */
static enum bs_status digest_architecture(const struct bs_architecture *a,
                                          struct bs_digest_state *digest, struct bs_error *err)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return bs_fail_memory(err);
    fprintf(out, "%s %d %d %d %d %d %d %d %d %.9g %d %d %d %d", a->family->model_type,
            a->hidden_size, a->intermediate_size, a->num_layers, a->num_heads, a->num_kv_heads,
            a->head_dim, a->vocab_size, a->embedding_size, (double)a->norm_eps, (int)a->wiring,
            (int)a->activation, a->rotary_dim, a->sliding_window);
    digest_rope(&a->rope, out);
    digest_rope(&a->local_rope, out);
    for (int l = 0; l < BS_MAX_LAYERS / 64; l++)
        fprintf(out, " %llx %llx", (unsigned long long)a->local_layers[l],
                (unsigned long long)a->unrotated_layers[l]);
    fprintf(out, " %d %u %d %.9g %d %.9g %.9g", (int)a->norm, a->norms, (int)a->positions,
            (double)a->alibi_exponent, a->attention_scale_by_layer, (double)a->query_scaling.beta,
            (double)a->query_scaling.positions);
    fprintf(out, " %.9g %.9g %.9g %.9g %.9g %.9g %.9g %d %d %u", (double)a->attention_scale,
            (double)a->qkv_clip, (double)a->attention_softcap, (double)a->logit_softcap,
            (double)a->embedding_scale, (double)a->residual_scale, (double)a->logit_scale,
            a->tied_head, a->final_norm, a->biases);
    if (fclose(out)) {
        free(text);
        return bs_fail_memory(err);
    }
    bs_digest_add(digest, text, length);
    free(text);
    return BS_OK;
}

enum bs_status bs_model_open(const char *directory, const struct bs_lines *accept,
                             struct bs_model **out, struct bs_error *err)
{
    *out = NULL;
    struct bs_digest_state *digest = NULL;
    struct bs_model *model = bs_calloc(1, sizeof *model);
    if (!model)
        return bs_fail_memory(err);
    enum bs_status status =
        bs_architecture_read(directory, accept, &model->architecture, &model->remarks, err);
    if (!status)
        status = bs_checkpoint_open(directory, &model->checkpoint, err);
    if (!status)
        status = check_tensors(model, directory, err);
    if (!status && !(digest = bs_digest_create()))
        status = bs_fail_memory(err);
    if (!status)
        status = digest_architecture(&model->architecture, digest, err);
    if (!status)
        status = bs_checkpoint_digest(model->checkpoint, digest, err);
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
    bs_remarks_release(&model->remarks);
    bs_free(model);
}

const struct bs_architecture *bs_model_architecture(const struct bs_model *model)
{
    return &model->architecture;
}

const struct bs_remarks *bs_model_remarks(const struct bs_model *model) { return &model->remarks; }

struct bs_digest bs_model_digest(const struct bs_model *model) { return model->digest; }

size_t bs_model_other_parameters(const struct bs_model *model) { return count_others(model); }

/* --- norms and embeddings --- */

/* Channels `first` and on of a norm, as many as its tensors have; a kind without weights has 1. */
static void read_norm(const struct norm_tensors *tensors, bool plus_one, int first,
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
static enum bs_status load_norm(const struct bs_model *model, const struct norm_tensors *tensors,
                                int width, struct bs_norm *norm, struct bs_error *err)
{
    if (bs_norm_init(norm, model->architecture.norm, width, err))
        return err->status;
    read_norm(tensors, model->architecture.family->norm_plus_one, 0, norm);
    return BS_OK;
}

/* What embedding takes besides the tensors; all may be empty. */
struct embedding {
    const struct bs_model *model;
    struct bs_norm norm;
    float *project; /* [hidden_size][embedding_size] */
    float *row;     /* [embedding_size] */
    float *position;
};

static enum bs_status open_embedding(const struct bs_model *model, struct embedding *e,
                                     struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    *e = (struct embedding){.model = model};
    if (a->family->embedding_norm &&
        load_norm(model, &model->embedding_norm, a->embedding_size, &e->norm, err))
        return err->status;
    e->row = bs_alloc((size_t)a->embedding_size, sizeof(float));
    e->position = bs_alloc((size_t)a->hidden_size, sizeof(float));
    if (model->project_in)
        e->project = bs_alloc(model->project_in->count, sizeof(float));
    if (!e->row || !e->position || (model->project_in && !e->project))
        return bs_fail_memory(err);
    if (e->project)
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

/* out [hidden_size] of one token. */
static void embed_token(const struct embedding *e, int32_t id, int position, float *out)
{
    const struct bs_model *model = e->model;
    const struct bs_architecture *a = &model->architecture;
    size_t hidden = (size_t)a->hidden_size, width = (size_t)a->embedding_size;
    float *row = e->project ? e->row : out;
    bs_tensor_read(model->embedding, (size_t)id * width, width, row);
    if (e->norm.width)
        bs_norm_apply(a, &e->norm, row, row, 1);
    if (e->project)
        bs_gemm_nt(1, a->hidden_size, a->embedding_size, 1, row, a->embedding_size, e->project,
                   a->embedding_size, 0, out, a->hidden_size);
    for (size_t j = 0; a->embedding_scale != 1 && j < hidden; j++)
        out[j] *= a->embedding_scale;
    if (!model->positions)
        return;
    size_t at = (size_t)position + (size_t)a->family->position_offset;
    bs_tensor_read(model->positions, at * hidden, hidden, e->position);
    bs_add(e->position, out, hidden);
}

enum bs_status bs_model_embed(const struct bs_model *model, const int32_t *ids, int windows,
                              int tokens, float *out, struct bs_error *err)
{
    size_t hidden = (size_t)model->architecture.hidden_size, all = (size_t)windows * (size_t)tokens;
    struct embedding e;
    enum bs_status status = open_embedding(model, &e, err);
    for (size_t t = 0; t < all && !status; t++)
        embed_token(&e, ids[t], (int)(t % (size_t)tokens), out + t * hidden);
    close_embedding(&e);
    return status;
}

/* --- blocks --- */

static bool is_fused(const struct bs_architecture *a, enum bs_role role)
{
    return a->family->fused_qkv && role <= BS_V;
}

/* The first row of a head of q, k or v in the tensor that holds all three. */
static size_t fused_row(const struct bs_architecture *a, enum bs_role role, int head)
{
    int d = a->head_dim, queries = a->num_heads / a->num_kv_heads;
    if (a->family->fused == BS_FUSED_SECTIONS) {
        int before = role == BS_Q ? 0 : a->num_heads + (role == BS_V ? a->num_kv_heads : 0);
        return (size_t)(before + head) * (size_t)d;
    }
    int group = role == BS_Q ? head / queries : head;
    int within = role == BS_Q ? head % queries : queries + (role == BS_V);
    return (size_t)(group * (queries + 2) + within) * (size_t)d;
}

/* Rows of `width` floats: a linear's weight, or its bias with a width of 1. */
static void read_rows(const struct bs_architecture *a, const struct bs_linear *linear,
                      const struct bs_tensor *tensor, size_t width, float *out)
{
    if (!is_fused(a, linear->role)) {
        bool second = linear->role == BS_UP && a->family->fused_gate_up;
        size_t count = (size_t)linear->out_features * width;
        bs_tensor_read(tensor, second ? count : 0, count, out);
        return;
    }
    size_t run = (size_t)a->head_dim * width;
    for (int h = 0; h < linear->out_features / a->head_dim; h++)
        bs_tensor_read(tensor, fused_row(a, linear->role, h) * width, run, out + (size_t)h * run);
}

/* weight [out][in] of a tensor that holds [in][all outputs]. */
static void read_transposed(const struct bs_architecture *a, const struct bs_linear *linear,
                            const struct bs_tensor *tensor)
{
    enum { RUN = 64 }; /* outputs read at a time */
    size_t out = (size_t)linear->out_features, in = (size_t)linear->in_features;
    size_t all = tensor->count / in;
    size_t first = is_fused(a, linear->role) ? fused_row(a, linear->role, 0) : 0;
    for (size_t j = 0; j < in; j++)
        for (size_t i = 0; i < out; i += RUN) {
            float line[RUN];
            size_t run = out - i < RUN ? out - i : RUN;
            bs_tensor_read(tensor, j * all + first + i, run, line);
            for (size_t k = 0; k < run; k++)
                linear->weight[(i + k) * in + j] = line[k];
        }
}

static void load_linear(const struct bs_model *model, const char *place, struct bs_linear *linear)
{
    const struct bs_architecture *a = &model->architecture;
    const char *name = linear_tensor(a, linear->role);
    const struct bs_tensor *weight = find(model, place, name, ".weight");
    if (a->family->transposed)
        read_transposed(a, linear, weight);
    else
        read_rows(a, linear, weight, (size_t)linear->in_features, linear->weight);
    bs_checkpoint_forget(model->checkpoint, weight);
    if (linear->bias)
        read_rows(a, linear, find(model, place, name, ".bias"), 1, linear->bias);
}

static void load_block_norm(const struct bs_model *model, const char *place, enum bs_norm_place at,
                            struct bs_norm *norm)
{
    const struct bs_architecture *a = &model->architecture;
    char name[NORM_NAME_BYTES];
    int parts = norm_parts(a, at), vectors = bs_norm_vectors(norm->kind);
    for (int p = 0; p < parts; p++) {
        norm_name(a, at, p, name);
        struct norm_tensors tensors = {NULL, NULL};
        if (vectors > 0)
            tensors.weight = find(model, place, name, ".weight");
        if (vectors > 1)
            tensors.bias = find(model, place, name, ".bias");
        read_norm(&tensors, a->family->norm_plus_one, p * (norm->width / parts), norm);
    }
}

enum bs_status bs_block_load(const struct bs_model *model, int index, struct bs_block *block,
                             struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    if (bs_block_init(block, a, err))
        return err->status;
    block->index = index;
    char place[PLACE_BYTES];
    block_place(model, index, place);
    for (int r = 0; r < BS_NUM_ROLES; r++)
        if (block->linears[r].weight)
            load_linear(model, place, &block->linears[r]);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (block->norms[n].width)
            load_block_norm(model, place, (enum bs_norm_place)n, &block->norms[n]);
    return BS_OK;
}

/* --- the head --- */

/* Rows of the output matrix; pages of it do not stay resident beside what they become. */
static void read_head_rows(const void *context, int first, int count, float *rows)
{
    const struct bs_model *model = context;
    size_t width = (size_t)model->architecture.embedding_size;
    bs_tensor_read(model->head, (size_t)first * width, (size_t)count * width, rows);
    bs_checkpoint_forget(model->checkpoint, model->head);
}

enum bs_status bs_head_load(const struct bs_model *model, int run, bool bfloat16,
                            struct bs_head *head, struct bs_error *err)
{
    const struct {
        const struct bs_tensor *tensor;
        float **to;
    } parts[] = {{model->project_out, &head->project}, {model->head_bias, &head->bias}};
    *head = (struct bs_head){.architecture = &model->architecture, .run = run};
    const struct bs_architecture *a = &model->architecture;
    enum bs_status status = BS_OK;
    if (a->final_norm)
        status = load_norm(model, &model->final_norm, a->hidden_size, &head->norm, err);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !status; i++) {
        if (!parts[i].tensor)
            continue;
        *parts[i].to = bs_alloc(parts[i].tensor->count, sizeof(float));
        if (*parts[i].to)
            bs_tensor_read(parts[i].tensor, 0, parts[i].tensor->count, *parts[i].to);
        else
            status = bs_fail_memory(err);
    }
    if (!status)
        status = bs_head_pack(head, BS_FLOAT32, read_head_rows, model, err);
    if (!status && bfloat16)
        status = bs_head_pack(head, BS_BFLOAT16, read_head_rows, model, err);
    if (status)
        bs_head_release(head);
    return status;
}
