#include "eval/model/gguf_target.h"

#include <stdio.h>
#include <string.h>

#include "eval/model/gguf_config.h"
#include "eval/model/model_internal.h"
#include "eval/model/rope.h"

bool bs_model_is_gguf(const struct bs_model *model)
{
    const char *block = model->architecture.stored.block;
    return !strncmp(block, "blk.", strlen("blk."));
}

bool bs_gguf_has_joint_factors(const struct bs_model *model)
{
    return bs_model_is_gguf(model) && bs_checkpoint_find(model->checkpoint, "rope_freqs.weight");
}

static enum bs_status fail_family(const struct bs_model *model, const char *why,
                                  struct bs_error *err)
{
    return bs_fail(err, BS_EUNSUPPORTED, "model_type %s is not written as GGUF: %s",
                   model->architecture.family->model_type, why);
}

/* What GGUF files do not hold, or the writer does not make. */
static enum bs_status check(const struct bs_model *model, struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    if (model->project_in || model->project_out)
        return fail_family(model, "llama.cpp has no projections beside the embeddings", err);
    if (!bs_gguf_arch_of(a->family))
        return fail_family(model, "llama.cpp has no architecture for it that is known here", err);
    return BS_OK;
}

enum bs_status bs_gguf_target_init(const struct bs_model *model, struct bs_gguf_target *target,
                                   struct bs_error *err)
{
    const struct bs_architecture *a = &model->architecture;
    if (check(model, err))
        return err->status;
    *target = (struct bs_gguf_target){.architecture = *a};
    snprintf(target->arch, sizeof target->arch, "%s", bs_gguf_arch_of(a->family));
    if (bs_model_is_gguf(model))
        return BS_OK;
    /* whose MLP's norm has another name */
    bool after = !strcmp(target->arch, "seed_oss") || !strcmp(target->arch, "gpt-oss");
    bool two_norms = a->wiring == BS_PARALLEL && bs_has_norm(a, BS_NORM_MLP);
    const struct bs_gguf_holding holding = {
        .arch = target->arch,
        .ffn_norm = !after,
        .attn_norm_2 = two_norms && !strcmp(target->arch, "falcon"),
        .qkv = a->family->fused_qkv,
        .gate_up = a->family->fused_gate_up,
    };
    bs_gguf_store_as(&holding, &target->architecture.stored);
    return bs_programs_build(&target->architecture, err);
}

int bs_gguf_num_rows(const struct bs_gguf_matrix *matrix)
{
    return matrix->experts ? matrix->experts * matrix->out : matrix->out;
}

int bs_gguf_expert_slot(const struct bs_program *p, const struct bs_gguf_matrix *matrix, int expert)
{
    const char *role = p->slots[matrix->first].role;
    int s = matrix->first;
    while (s < p->num_slots - 1 && (p->slots[s].expert != expert || strcmp(p->slots[s].role, role)))
        s++;
    return s;
}

/* What a tensor is called, or NULL of a linear that stands in another's. */
static const char *tensor_of(const struct bs_gguf_target *target, const struct bs_slot *slot)
{
    const struct bs_expert_tensors *experts = target->architecture.stored.experts;
    if (slot->tensor)
        return slot->tensor;
    if (slot->expert < 0)
        return experts->router;
    if (slot->expert > 0)
        return NULL;
    return !strcmp(slot->role, "gate") ? experts->all_gate
           : !strcmp(slot->role, "up") ? experts->all_up
                                       : experts->all_down;
}

int bs_gguf_matrices(const struct bs_gguf_target *target, int layer,
                     struct bs_gguf_matrix list[BS_MAX_SLOTS])
{
    const struct bs_program *p = bs_program_of(&target->architecture, layer);
    int count = 0;
    for (int s = 0; s < p->num_slots; s++) {
        const struct bs_slot *slot = &p->slots[s];
        const char *tensor = slot->first == s ? tensor_of(target, slot) : NULL;
        if (!tensor)
            continue;
        struct bs_gguf_matrix *matrix = &list[count++];
        *matrix = (struct bs_gguf_matrix){.first = s, .last = slot->last, .in = slot->in};
        matrix->experts = slot->expert < 0 ? 0 : p->num_experts;
        matrix->biased = slot->biased;
        for (int k = s; k <= slot->last; k++)
            matrix->out += p->slots[k].out;
        snprintf(matrix->name, sizeof matrix->name, "blk.%d.%s", layer, tensor);
    }
    return count;
}

void bs_gguf_rows(const struct bs_gguf_target *target, int layer,
                  const struct bs_gguf_matrix *matrix, struct bs_gguf_row *rows)
{
    const struct bs_program *p = bs_program_of(&target->architecture, layer);
    for (int e = 0; e < matrix->experts; e++) {
        int slot = bs_gguf_expert_slot(p, matrix, e);
        for (int i = 0; i < matrix->out; i++)
            rows[e * matrix->out + i] = (struct bs_gguf_row){slot, i};
    }
    for (int s = matrix->first; s <= matrix->last && !matrix->experts; s++) {
        const struct bs_file_rows file = {NULL, p->slots[s].rows, 0};
        for (int i = 0; i < p->slots[s].out; i++)
            rows[bs_file_row(&file, i)] = (struct bs_gguf_row){s, i};
    }
}

void bs_gguf_norm_name(const struct bs_gguf_target *target, int layer, enum bs_norm_place place,
                       char name[BS_GGUF_NAME_BYTES])
{
    snprintf(name, BS_GGUF_NAME_BYTES, "blk.%d.%s", layer,
             target->architecture.stored.norms[place]);
}

int bs_gguf_outer(const struct bs_model *model, const struct bs_gguf_target *target,
                  struct bs_gguf_outer list[BS_GGUF_MOST_OUTER])
{
    const struct bs_family *stored = &target->architecture.stored;
    bool plus_one = model->architecture.stored.norm_plus_one;
    const struct bs_gguf_outer all[] = {
        {stored->positions, ".weight", model->positions, false},
        {stored->embedding_norm, ".weight", model->embedding_norm.weight, plus_one},
        {stored->embedding_norm, ".bias", model->embedding_norm.bias, false},
        {stored->final_norm, ".weight", model->final_norm.weight, plus_one},
        {stored->final_norm, ".bias", model->final_norm.bias, false},
        {stored->head, ".bias", model->head_bias, false},
    };
    int count = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].tensor)
            list[count++] = all[i];
    return count;
}

const struct bs_tensor *bs_model_outer_tensor(const struct bs_model *model, enum bs_outer which)
{
    return which == BS_EMBEDDING ? model->embedding : model->head;
}

const struct bs_tensor *bs_model_slot_tensor(const struct bs_model *model, int layer, int slot)
{
    char place[BS_PLACE_BYTES];
    struct bs_slot_tensor t;
    bs_block_place(model, layer, place);
    bs_slot_tensor(model, bs_program_of(&model->architecture, layer), place, slot, &t);
    return bs_checkpoint_find(model->checkpoint, t.weight);
}

/* Factors of frequencies that stand for those of llama3 give these but for a last bit. */
static bool same_rope(const struct bs_rope_settings *a, const struct bs_rope_settings *b,
                      int rotary_dim)
{
    const double rounding = 1e-6;
    if (a->kind == BS_ROPE_LLAMA3 && b->kind == BS_ROPE_LONGROPE)
        return (float)a->attention_factor == (float)b->attention_factor &&
               bs_rope_distance(a, b, rotary_dim) < rounding;
    return bs_rope_same(a, b);
}

static bool same_scaling(const struct bs_query_scaling *a, const struct bs_query_scaling *b)
{
    return a->beta == b->beta && a->positions == b->positions && a->first == b->first &&
           a->unrotated == b->unrotated;
}

static bool same_experts(const struct bs_experts *a, const struct bs_experts *b)
{
    bool grouped = a->groups > 1 || b->groups > 1;
    return a->count == b->count && a->per_token == b->per_token && a->size == b->size &&
           a->shared_size == b->shared_size && a->routing == b->routing && a->normed == b->normed &&
           a->scale == b->scale && a->weighs_input == b->weighs_input &&
           (!grouped || (a->groups == b->groups && a->groups_per_token == b->groups_per_token));
}

static bool same_layers(const uint64_t *a, const uint64_t *b)
{
    return !memcmp(a, b, BS_MAX_LAYERS / 64 * sizeof *a);
}

const char *bs_architecture_difference(const struct bs_architecture *a,
                                       const struct bs_architecture *b)
{
    bool windows = a->sliding_window > 0;
    const struct {
        bool same;
        const char *word;
    } all[] = {
        {!strcmp(a->family->model_type, b->family->model_type) ||
             !strcmp(bs_gguf_arch_of(a->family), bs_gguf_arch_of(b->family)),
         "model_type"},
        {a->hidden_size == b->hidden_size && a->intermediate_size == b->intermediate_size &&
             a->num_layers == b->num_layers && a->num_heads == b->num_heads &&
             a->num_kv_heads == b->num_kv_heads && a->head_dim == b->head_dim &&
             a->vocab_size == b->vocab_size && a->embedding_size == b->embedding_size,
         "sizes"},
        {a->norm == b->norm && a->norm_eps == b->norm_eps && a->norms == b->norms &&
             a->final_norm == b->final_norm && a->unit_qk == b->unit_qk,
         "norms"},
        {a->wiring == b->wiring, "wiring of blocks"},
        {same_experts(&a->experts, &b->experts), "experts"},
        {!a->experts.count || same_layers(a->dense_layers, b->dense_layers),
         "layers without experts"},
        {a->latent.query == b->latent.query && a->latent.key_value == b->latent.key_value &&
             a->value_dim == b->value_dim,
         "latent attention"},
        {a->activation == b->activation, "activation"},
        {a->positions == b->positions && a->rotary_dim == b->rotary_dim &&
             a->alibi_exponent == b->alibi_exponent,
         "kind of positions"},
        {a->positions != BS_ROTARY || (same_rope(&a->rope, &b->rope, a->rotary_dim) &&
                                       same_layers(a->unrotated_layers, b->unrotated_layers)),
         "rotary positions"},
        {a->sliding_window == b->sliding_window && same_layers(a->local_layers, b->local_layers) &&
             a->chunked_windows == b->chunked_windows &&
             (!windows || same_rope(&a->local_rope, &b->local_rope, a->rotary_dim)),
         "sliding windows"},
        {a->attention_scale == b->attention_scale &&
             a->attention_scale_by_layer == b->attention_scale_by_layer &&
             same_scaling(&a->query_scaling, &b->query_scaling),
         "scale of attention"},
        {a->qkv_clip == b->qkv_clip && a->attention_softcap == b->attention_softcap &&
             a->logit_softcap == b->logit_softcap,
         "limits of attention and logits"},
        {a->embedding_scale == b->embedding_scale && a->residual_scale == b->residual_scale &&
             a->logit_scale == b->logit_scale,
         "scales of embeddings, branches and logits"},
        {a->tied_head == b->tied_head, "head"},
        {a->biases == b->biases, "biases"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!all[i].same)
            return all[i].word;
    return NULL;
}
