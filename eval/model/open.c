/* A model directory opened: every tensor that will be asked for is there, and every other accounted
 * for. */
#include "eval/model/model_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/foreign.h"
#include "eval/hub/adapter.h"
#include "eval/model/wrappers.h"

/* `place` is the name's beginning: a prefix, or a prefix and a block. */
static enum bs_status require(struct bs_model *model, const char *place, const char *name,
                              const char *ending, int rank, const int64_t *shape,
                              const struct bs_tensor **tensor, struct bs_error *err)
{
    char whole[BS_TENSOR_NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    return bs_checkpoint_require(model->checkpoint, whole, rank, shape, tensor, err);
}

/* A tensor of this name, required or not, or NULL. */
static const struct bs_tensor *look_for(const struct bs_model *model, const char *place,
                                        const char *name, const char *ending)
{
    char whole[BS_TENSOR_NAME_BYTES];
    snprintf(whole, sizeof whole, "%s%s%s", place, name, ending);
    return bs_checkpoint_find(model->checkpoint, whole);
}

static enum bs_status require_norm(struct bs_model *model, const char *place, const char *name,
                                   int width, struct bs_norm_tensors *norm, struct bs_error *err)
{
    int64_t shape[] = {width};
    int vectors = bs_norm_vectors(model->architecture.norm);
    *norm = (struct bs_norm_tensors){NULL, NULL};
    if ((vectors > 0 && require(model, place, name, ".weight", 1, shape, &norm->weight, err)) ||
        (vectors > 1 && require(model, place, name, ".bias", 1, shape, &norm->bias, err)))
        return err->status;
    return BS_OK;
}

static enum bs_status require_block_norm(struct bs_model *model, const char *place,
                                         enum bs_norm_place at, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    static const char *const endings[] = {".weight", ".bias"};
    char name[BS_NORM_NAME_BYTES];
    const struct bs_tensor *tensor;
    int parts = bs_norm_parts(a, at), width = bs_norm_width(a, at);
    bool of_heads = at == BS_NORM_Q || at == BS_NORM_K;
    bool by_head = of_heads && a->stored.qk_norm == BS_QK_NORM_EACH_HEAD;
    int64_t vector[] = {width / parts}, matrix[] = {width / a->head_dim, a->head_dim};
    int vectors = bs_norm_vectors(bs_norm_kind_at(a, at));
    assert(vectors <= 2);
    for (int p = 0; p < parts; p++) {
        bs_norm_name(a, at, p, name);
        for (int v = 0; v < vectors; v++)
            if (require(model, place, name, endings[v], by_head ? 2 : 1, by_head ? matrix : vector,
                        &tensor, err))
                return err->status;
    }
    return BS_OK;
}

/* The tensors that the linear stands in, by itself or with others. */
static enum bs_status require_linear(struct bs_model *model, const struct bs_program *p,
                                     const char *place, int index, struct bs_error *err)
{
    struct bs_slot_tensor t;
    const struct bs_tensor *tensor;
    bs_slot_tensor(model, p, place, index, &t);
    int64_t out = t.shape[t.rank - 2 + t.transposed], bias[] = {t.shape[0], out};
    int rank = t.rank - 1;
    if (bs_checkpoint_require(model->checkpoint, t.weight, t.rank, t.shape, &tensor, err))
        return err->status;
    return p->slots[index].biased ? bs_checkpoint_require(model->checkpoint, t.bias, rank,
                                                          rank > 1 ? bias : &out, &tensor, err)
                                  : BS_OK;
}

/* --- all of them --- */

/* True where a tied head that the checkpoint holds all the same is another matrix than the
 * embedding. */
static enum bs_status compare_head(struct bs_model *model, const int64_t *matrix, bool *differs,
                                   struct bs_error *err)
{
    const struct bs_family *f = &model->architecture.stored;
    const struct bs_tensor *head = look_for(model, model->head_prefix, f->head, ".weight");
    bool equal = true;
    *differs = false;
    if (!head)
        return BS_OK;
    bool same_shape = head->rank == 2 && head->shape[0] == matrix[0] && head->shape[1] == matrix[1];
    if (same_shape && bs_tensor_equal(head, model->embedding, &equal, err))
        return err->status;
    *differs = !same_shape || !equal;
    return BS_OK;
}

/* The embedding and the head. Where config.json says that they are one, and the checkpoint holds
 * two, the head counts, as in transformers 5; where it holds only the head, that is the one. */
static enum bs_status require_embeddings(struct bs_model *model, struct bs_error *err)
{
    struct bs_architecture *a = &model->architecture;
    const struct bs_family *f = &a->stored;
    int64_t matrix[] = {a->vocab_size, a->embedding_size};
    bool differs = false;
    if (a->tied_head && !look_for(model, model->prefix, f->embedding, ".weight") &&
        look_for(model, model->head_prefix, f->head, ".weight")) {
        if (require(model, model->head_prefix, f->head, ".weight", 2, matrix, &model->embedding,
                    err))
            return err->status;
        model->head = model->embedding;
        return bs_lines_add(
            &model->remarks.notices, err,
            "the checkpoint has no embedding: %s.weight, to which config.json ties it "
            "(tie_word_embeddings), is taken for both",
            f->head);
    }
    if (require(model, model->prefix, f->embedding, ".weight", 2, matrix, &model->embedding, err))
        return err->status;
    model->head = model->embedding;
    if (a->tied_head && compare_head(model, matrix, &differs, err))
        return err->status;
    if (differs && bs_lines_add(&model->remarks.notices, err,
                                "config.json says that the head is the embedding "
                                "(tie_word_embeddings), but %s.weight differs: it is taken as the "
                                "head, as transformers 5 does",
                                f->head))
        return err->status;
    a->tied_head = a->tied_head && !differs;
    if (a->tied_head)
        return BS_OK;
    return require(model, model->head_prefix, f->head, ".weight", 2, matrix, &model->head, err);
}

static enum bs_status require_ends(struct bs_model *model, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    const struct bs_family *f = &a->stored;
    const char *place = model->prefix;
    int64_t vocab[] = {a->vocab_size};
    int64_t positions[] = {(int64_t)a->max_positions + f->position_offset, a->hidden_size};
    int64_t in[] = {a->hidden_size, a->embedding_size}, out[] = {a->embedding_size, a->hidden_size};
    bool projected = a->embedding_size != a->hidden_size;
    if (require_embeddings(model, err) ||
        (f->positions &&
         require(model, place, f->positions, ".weight", 2, positions, &model->positions, err)) ||
        (f->embedding_norm && require_norm(model, place, f->embedding_norm, a->embedding_size,
                                           &model->embedding_norm, err)) ||
        (projected &&
         (require(model, place, f->project_in, ".weight", 2, in, &model->project_in, err) ||
          require(model, place, f->project_out, ".weight", 2, out, &model->project_out, err))) ||
        (a->final_norm &&
         require_norm(model, place, f->final_norm, a->hidden_size, &model->final_norm, err)) ||
        (f->head_bias &&
         require(model, model->head_prefix, f->head, ".bias", 1, vocab, &model->head_bias, err)))
        return err->status;
    return BS_OK;
}

static enum bs_status require_block(struct bs_model *model, int block, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    char place[BS_PLACE_BYTES];
    bs_block_place(model, block, place);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (bs_has_norm(a, (enum bs_norm_place)n) &&
            require_block_norm(model, place, (enum bs_norm_place)n, err))
            return err->status;
    for (int v = 0; v < BS_NUM_VECTORS; v++) {
        const struct bs_tensor *tensor;
        int64_t width = bs_vector_width(a, block, (enum bs_vector)v);
        if (width && require(model, place, a->stored.vectors[v], "", 1, &width, &tensor, err))
            return err->status;
    }
    const struct bs_program *p = bs_program_of(a, block);
    for (int s = 0; s < p->num_slots; s++)
        if (require_linear(model, p, place, s, err))
            return err->status;
    return BS_OK;
}

/* The block that a tensor of this name is part of, or -1. */
static int block_of(const struct bs_model *model, const char *name)
{
    size_t prefix = strlen(model->prefix);
    int block = -1;
    if (strncmp(name, model->prefix, prefix))
        return -1;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return sscanf(name + prefix, model->architecture.stored.block, &block) == 1 ? block : -1;
#pragma GCC diagnostic pop
}

/* Tensors that checkpoints hold and no forward pass reads: masks and rotary tables that older code
 * saved along, and the head of a model whose embedding is used. */
static bool is_spare(const struct bs_model *model, const char *name)
{
    const struct bs_architecture *a = &model->architecture;
    static const char *const endings[] = {
        "rotary_emb.inv_freq", "rotary_emb.cos_cached", "rotary_emb.sin_cached", ".attn.bias",
        ".attn.masked_bias",   ".attention.bias",       ".attention.masked_bias"};
    /* of GGUF files: part of what gguf_config.c makes of them */
    static const char *const names[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                        "rope_factors_short.weight", NULL};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (bs_ends_in(name, endings[i]))
            return true;
    if (bs_word_in(name, names))
        return true;
    char head[BS_TENSOR_NAME_BYTES];
    snprintf(head, sizeof head, "%s%s.weight", model->head_prefix, a->stored.head);
    return a->tied_head && !strcmp(name, head);
}

/* Whole numbers and truth values are no weights, but masks and counters. Codes of weights are named
 * otherwise, "IQ4_NL". */
static bool is_buffer(const char *dtype)
{
    static const char *const whole[] = {"I8",  "I16", "I32", "I64",  "U8",
                                        "U16", "U32", "U64", "BOOL", NULL};
    return bs_word_in(dtype, whole);
}

/* What of a checkpoint is left out. */
struct left_out {
    int blocks, first_block, last_block; /* tensors, and the blocks they are of */
    int others;                          /* of the parts of a model that are no text */
    struct bs_lines parts;               /* what those are called */
    int buffers;
    const char *buffer; /* one of them */
};

/* The part that a tensor outside the text is of: "vision_tower". */
static enum bs_status leave_other(const char *name, struct left_out *out, struct bs_error *err)
{
    char part[BS_TENSOR_NAME_BYTES];
    if (!strncmp(name, "model.", 6))
        name += 6;
    snprintf(part, sizeof part, "%.*s", (int)strcspn(name, "."), name);
    out->others++;
    return bs_lines_have(&out->parts, part) ? BS_OK : bs_lines_add(&out->parts, err, "%s", part);
}

/* Accounts for a tensor that nobody required: left out, or refused. */
static enum bs_status leave_out(const struct bs_model *model, const char *directory,
                                const char *name, const char *dtype, struct left_out *out,
                                struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    int block = block_of(model, name);
    if (is_spare(model, name))
        return BS_OK;
    if (block >= a->num_layers) {
        out->first_block = !out->blocks || block < out->first_block ? block : out->first_block;
        out->last_block = block > out->last_block ? block : out->last_block;
        out->blocks++;
        return BS_OK;
    }
    if (is_buffer(dtype)) {
        out->buffers++;
        out->buffer = name;
        return BS_OK;
    }
    if (a->wrapper && strncmp(name, model->prefix, strlen(model->prefix)) &&
        strncmp(name, a->stored.head, strlen(a->stored.head)))
        return leave_other(name, out, err);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: tensor '%.200s' has no place in a model of its kind (model_type %s)",
                   directory, name, a->family->model_type);
}

/* "vision_tower, multi_modal_projector" */
static void print_parts(const struct bs_lines *parts, char *out, size_t size)
{
    size_t used = 0;
    *out = 0;
    for (int i = 0; i < parts->count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", parts->lines[i]);
}

static enum bs_status note_left_out(struct bs_model *model, const struct left_out *out,
                                    struct bs_error *err)
{
    struct bs_lines *notices = &model->remarks.notices;
    char parts[512], blocks[64];
    size_t unnamed = bs_checkpoint_unnamed(model->checkpoint);
    print_parts(&out->parts, parts, sizeof parts);
    snprintf(blocks, sizeof blocks,
             out->first_block < out->last_block ? "blocks %d to %d" : "block %d", out->first_block,
             out->last_block);
    if (out->blocks &&
        bs_lines_add(notices, err,
                     "%s of the checkpoint (%d tensors) left out: num_hidden_layers is %d", blocks,
                     out->blocks, model->architecture.num_layers))
        return err->status;
    if (out->others &&
        bs_lines_add(notices, err, "%d tensors of the checkpoint are no text and left out: %s",
                     out->others, parts))
        return err->status;
    if (out->buffers &&
        bs_lines_add(notices, err, "%d buffers of whole numbers are left out: %s%s", out->buffers,
                     out->buffer, out->buffers > 1 ? " and others" : ""))
        return err->status;
    if (unnamed &&
        bs_lines_add(
            notices, err,
            "%zu tensors in the files are not named by the checkpoint's index, and left out",
            unnamed))
        return err->status;
    return bs_checkpoint_note(model->checkpoint, notices, err);
}

/* Says which weights are quantized already: "GPTQ, 4 bits, groups of 128 (42 tensors)". */
static enum bs_status note_quantized(struct bs_model *model, struct bs_error *err)
{
    struct bs_lines schemes = {0};
    int counts[16] = {0}, most = (int)(sizeof counts / sizeof *counts), others = 0;
    const struct bs_tensor *tensor;
    enum bs_status status = BS_OK;
    for (size_t at = 0; !status && (tensor = bs_checkpoint_coded(model->checkpoint, &at));) {
        int k = 0;
        if (tensor->coded->bits <= 0) /* merged, not quantized */
            continue;
        while (k < schemes.count && strcmp(schemes.lines[k], tensor->coded->scheme))
            k++;
        if (k == schemes.count && k < most)
            status = bs_lines_add(&schemes, err, "%s", tensor->coded->scheme);
        *(k < most ? &counts[k] : &others) += 1;
    }
    for (int k = 0; k < schemes.count && !status; k++)
        status = bs_lines_add(&model->remarks.notices, err,
                              "weights that are quantized already (%s, %d matri%s): measured as "
                              "the file has them; a recipe quantizes what they decode to",
                              schemes.lines[k], counts[k], counts[k] == 1 ? "x" : "ces");
    if (others && !status)
        status = bs_lines_add(&model->remarks.notices, err,
                              "%d more matrices are quantized already, in other ways", others);
    model->quantized = schemes.count > 0;
    bs_lines_release(&schemes);
    return status;
}

/* Codes and scales in place of weights. */
static enum bs_status refuse_quantized(const struct bs_model *model, const char *directory,
                                       struct bs_error *err)
{
    const char *name, *scheme;
    for (size_t at = 0; (name = bs_checkpoint_unused(model->checkpoint, &at, NULL));)
        if ((scheme = bs_foreign_tensor(name)))
            return bs_fail(
                err, BS_EUNSUPPORTED,
                "%s: tensor '%.200s' is of a checkpoint that is quantized already (%s), but "
                "config.json does not say how (quantization_config), or not so",
                directory, name, scheme);
    return BS_OK;
}

/* Where the tensors stand: as the family has them; without its prefix, in a checkpoint of the bare
 * model; or as the text part of more. The first place that has an embedding, or a final norm. */
static void choose_place(struct bs_model *model)
{
    const struct bs_family *f = &model->architecture.stored;
    const struct bs_wrapper_place plain[] = {{f->prefix, ""}, {"", ""}, {NULL, NULL}};
    const struct bs_wrapper_place *place = model->architecture.wrapper ? bs_wrapper_places : plain;
    model->prefix = place->prefix;
    model->head_prefix = place->head_prefix;
    for (; place->prefix; place++)
        if (look_for(model, place->prefix, f->embedding, ".weight") ||
            look_for(model, place->prefix, f->final_norm, ".weight")) {
            model->prefix = place->prefix;
            model->head_prefix = place->head_prefix;
            return;
        }
}

/* The first layer with experts; -1: none has them. */
static int first_with_experts(const struct bs_architecture *a)
{
    for (int l = 0; l < a->num_layers; l++)
        if (bs_has_experts(a, l))
            return l;
    return -1;
}

/* How the experts stand in the checkpoint: the first way of the family's whose router and first
 * tensor the first layer with experts has; where none is right, the first way. */
static enum bs_status choose_experts(struct bs_model *model, const char *directory,
                                     struct bs_error *err)
{
    const struct bs_expert_tensors *first = model->architecture.stored.experts, *way = first;
    char place[BS_PLACE_BYTES];
    struct bs_slot_tensor t;
    int layer = first_with_experts(&model->architecture);
    if (layer < 0)
        return BS_OK;
    const struct bs_program *p = bs_program_of(&model->architecture, layer);
    int down = bs_program_expert_slot(p, "down");
    bs_block_place(model, layer, place);
    for (; way && way->router; way++) {
        model->experts = way;
        bs_slot_tensor(model, p, place, down, &t);
        if (look_for(model, place, way->router, ".weight") &&
            bs_checkpoint_find(model->checkpoint, t.weight))
            return BS_OK;
    }
    model->experts = first;
    if (!first)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: experts are not read from this kind of checkpoint", directory);
    return BS_OK;
}

/* Every tensor the walk will ask for, so that a defect is met before the first minute of work; and
 * every other accounted for: a bias that config.json does not speak of would be missing in every
 * number. */
static enum bs_status check_tensors(struct bs_model *model, const char *directory,
                                    struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    struct left_out out = {0};
    const char *name, *dtype;
    if (refuse_quantized(model, directory, err))
        return err->status;
    choose_place(model);
    if (choose_experts(model, directory, err) || require_ends(model, err))
        return err->status;
    for (int b = 0; b < a->num_layers; b++)
        if (require_block(model, b, err))
            return err->status;
    enum bs_status status = BS_OK;
    for (size_t at = 0; !status && (name = bs_checkpoint_unused(model->checkpoint, &at, &dtype));)
        status = leave_out(model, directory, name, dtype, &out, err);
    if (!status)
        status = note_quantized(model, err);
    if (!status)
        status = bs_own_inputs_find(model, err);
    if (!status)
        status = note_left_out(model, &out, err);
    bs_lines_release(&out.parts);
    return status;
}

static size_t count_of(const struct bs_tensor *tensor) { return tensor ? tensor->count : 0; }

static size_t count_of_norm(const struct bs_norm_tensors *norm)
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
    size_t biases = 0;
    for (int l = 0; l < a->num_layers; l++) {
        const struct bs_program *p = bs_program_of(a, l);
        for (int s = 0; s < p->num_slots; s++)
            biases += p->slots[s].biased ? (size_t)p->slots[s].out : 0;
        for (int v = 0; v < BS_NUM_VECTORS; v++)
            biases += (size_t)bs_vector_width(a, l, (enum bs_vector)v);
    }
    return count_of(model->embedding) + count_of(model->positions) + count_of(model->project_in) +
           count_of(model->project_out) + (a->tied_head ? 0 : count_of(model->head)) +
           count_of(model->head_bias) + count_of_norm(&model->embedding_norm) +
           count_of_norm(&model->final_norm) + (size_t)a->num_layers * block + biases;
}

/* Reads what is in `directory`, with the adapter in `adapter` (NULL = none). */
static enum bs_status open_parts(struct bs_model *model, const char *directory, const char *adapter,
                                 const struct bs_lines *accept, struct bs_error *err)
{
    struct bs_digest_state *digest = NULL;
    model->directory = bs_strdup(directory);
    enum bs_status status =
        model->directory
            ? bs_architecture_read(directory, accept, &model->architecture, &model->remarks, err)
            : bs_fail_memory(err);
    if (!status)
        status = bs_checkpoint_open(directory, &model->checkpoint, err);
    if (!status && adapter && model->architecture.stored.transposed)
        status = bs_fail(err, BS_EUNSUPPORTED,
                         "%s: the adapter is of a model whose matrices stand transposed "
                         "(model_type %s), which bitsweep does not merge; merge it with PEFT "
                         "(merge_and_unload) and save the model",
                         adapter, model->architecture.family->model_type);
    if (!status && adapter)
        status = bs_checkpoint_adapt(model->checkpoint, adapter, err);
    if (!status)
        status = check_tensors(model, directory, err);
    if (!status && !(digest = bs_digest_create()))
        status = bs_fail_memory(err);
    if (!status)
        status = bs_architecture_digest(&model->architecture, digest, err);
    if (!status)
        status = bs_checkpoint_digest(model->checkpoint, digest, err);
    if (digest)
        model->digest = bs_digest_finish(digest);
    return status;
}

enum bs_status bs_model_open(const char *directory, const struct bs_lines *accept,
                             struct bs_model **out, struct bs_error *err)
{
    *out = NULL;
    char *base;
    struct bs_model *model = bs_calloc(1, sizeof *model);
    if (!model)
        return bs_fail_memory(err);
    enum bs_status status = bs_adapter_base(directory, &base, err);
    if (!status)
        status = open_parts(model, base ? base : directory, base ? directory : NULL, accept, err);
    bs_free(base);
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
    bs_own_inputs_release(&model->own, model->architecture.num_layers);
    bs_checkpoint_free(model->checkpoint);
    bs_remarks_release(&model->remarks);
    bs_free(model->directory);
    bs_free(model);
}

const struct bs_architecture *bs_model_architecture(const struct bs_model *model)
{
    return &model->architecture;
}

const struct bs_remarks *bs_model_remarks(const struct bs_model *model) { return &model->remarks; }

struct bs_digest bs_model_digest(const struct bs_model *model) { return model->digest; }

enum bs_status bs_model_check_files(const struct bs_model *model, struct bs_error *err)
{
    return bs_checkpoint_check(model->checkpoint, err);
}

size_t bs_model_other_parameters(const struct bs_model *model) { return count_others(model); }

bool bs_model_is_quantized(const struct bs_model *model) { return model->quantized; }
