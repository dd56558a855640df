/* What GGUF files call the tensors of a family, and how they hold them (llama.cpp's
 * conversion/ and gguf-py gguf/tensor_mapping.py). */
#include "eval/model/gguf_config.h"

#include <stdio.h>
#include <string.h>

/* The tensors that a linear's inputs go by, the first its own, NULL-terminated; NULL for a role
 * without a name. */
static const char *const *matrix_names(const char *role, bool expert)
{
    enum { MOST = 3 };
    static const struct {
        const char *role;
        const char *names[MOST], *of_experts[MOST];
    } rows[] = {
        {"q", {"attn_q", "attn_qkv"}, {NULL}},
        {"k", {"attn_k", "attn_qkv"}, {NULL}},
        {"v", {"attn_v", "attn_qkv"}, {NULL}},
        {"o", {"attn_output"}, {NULL}},
        {"gate", {"ffn_gate", "ffn_up"}, {"ffn_gate_exps", "ffn_gate_up_exps"}},
        {"up", {"ffn_up"}, {"ffn_up_exps", "ffn_gate_up_exps"}},
        {"down", {"ffn_down"}, {"ffn_down_exps"}},
        {"router", {"ffn_gate_inp"}, {NULL}},
        {"q_a", {"attn_q_a"}, {NULL}},
        {"q_b", {"attn_q_b"}, {NULL}},
        {"kv_a", {"attn_kv_a_mqa"}, {NULL}},
        {"kv_b", {"attn_kv_b"}, {NULL}},
        {"shared_gate", {"ffn_gate_shexp"}, {NULL}},
        {"shared_up", {"ffn_up_shexp"}, {NULL}},
        {"shared_down", {"ffn_down_shexp"}, {NULL}},
        {"shared_router", {"ffn_gate_inp_shexp"}, {NULL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].role, role))
            return expert ? rows[i].of_experts : rows[i].names;
    return NULL;
}

/* How files hold experts: gate and up each in a tensor, or both in one. */
static const struct bs_expert_tensors expert_tensors[] = {
    {.router = "ffn_gate_inp",
     .all_gate = "ffn_gate_exps",
     .all_up = "ffn_up_exps",
     .all_down = "ffn_down_exps",
     .all_ending = ".weight"},
    {.router = "ffn_gate_inp",
     .all_gate_up = "ffn_gate_up_exps",
     .all_down = "ffn_down_exps",
     .all_ending = ".weight"},
    {.router = NULL},
};

static void store_norms(struct bs_family *stored)
{
    static const char *const names[BS_NUM_NORMS] = {[BS_NORM_ATTENTION] = "attn_norm",
                                                    [BS_NORM_MLP] = "ffn_norm",
                                                    [BS_NORM_ATTENTION_OUT] = "post_attention_norm",
                                                    [BS_NORM_MLP_OUT] = "post_ffw_norm",
                                                    [BS_NORM_Q] = "attn_q_norm",
                                                    [BS_NORM_K] = "attn_k_norm",
                                                    [BS_NORM_QUERY_LATENT] = "attn_q_a_norm",
                                                    [BS_NORM_KEY_VALUE_LATENT] = "attn_kv_a_norm"};
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (stored->norms[n])
            stored->norms[n] = names[n];
    /* one tensor of all heads' */
    if (stored->qk_norm == BS_QK_NORM_HEAD_TENSORS)
        stored->qk_norm = BS_QK_NORM_EACH_HEAD;
    stored->norm_plus_one = false;
}

/* True for architectures that llama.cpp rotates by channels 2j and 2j + 1, where transformers does
 * by j and j + half: their rows are put in the other order. */
static bool is_paired(const char *arch)
{
    static const char *const archs[] = {"llama", "granite", "granitemoe", "smollm3", "olmo"};
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(arch, archs[i]))
            return true;
    return false;
}

bool bs_gguf_pairs(const struct bs_family *family)
{
    const char *arch = bs_gguf_arch_of(family);
    return arch && is_paired(arch);
}

void bs_gguf_store_as(const struct bs_gguf_holding *holding, struct bs_family *stored)
{
    static const char *const vectors[BS_NUM_VECTORS] = {
        [BS_VECTOR_SINKS] = "attn_sinks.weight", [BS_VECTOR_ROUTING] = "exp_probs_b.bias"};
    stored->prefix = "";
    stored->block = "blk.%d.";
    stored->embedding = "token_embd";
    stored->head = "output";
    stored->final_norm = stored->final_norm ? "output_norm" : NULL;
    stored->embedding_norm = stored->embedding_norm ? "token_embd_norm" : NULL;
    stored->positions = stored->positions ? "position_embd" : NULL;
    store_norms(stored);
    /* Seed-OSS's and gpt-oss's of the MLP goes by the name of others' after attention */
    if (stored->norms[BS_NORM_MLP] && !stored->norms[BS_NORM_ATTENTION_OUT] && !holding->ffn_norm)
        stored->norms[BS_NORM_MLP] = "post_attention_norm";
    /* Falcon's with two: the first tensor is the MLP's */
    if (holding->attn_norm_2) {
        stored->norms[BS_NORM_ATTENTION] = "attn_norm_2";
        stored->norms[BS_NORM_MLP] = "attn_norm";
    }
    for (int i = 0; i < BS_MAX_ROLES && stored->linears[i].role; i++)
        stored->linears[i].name = matrix_names(stored->linears[i].role, false)[0];
    stored->fused_qkv = holding->qkv ? "attn_qkv" : NULL;
    stored->fused = holding->qkv ? BS_FUSED_SECTIONS : BS_FUSED_NONE;
    stored->fused_gate_up = stored->gated && holding->gate_up ? "ffn_up" : NULL;
    stored->transposed = false;
    stored->fused_shared = NULL;
    if (stored->experts)
        stored->experts = expert_tensors;
    for (int v = 0; v < BS_NUM_VECTORS; v++)
        if (stored->vectors[v])
            stored->vectors[v] = vectors[v];
    stored->paired_rows = is_paired(holding->arch);
}

void bs_gguf_store(const struct bs_gguf_model *model, struct bs_family *stored)
{
    char arch[64] = "";
    const struct bs_gguf_value *value = bs_gguf_find(&model->parts->gguf, "general.architecture");
    size_t cursor = 0;
    if (value && value->kind == BS_GGUF_STRING && !value->array) {
        struct bs_gguf_text text = bs_gguf_next_text(value, &cursor);
        snprintf(arch, sizeof arch, "%.*s", (int)(text.length < 60 ? text.length : 60), text.bytes);
    }
    const struct bs_gguf_holding holding = {
        .arch = arch,
        .ffn_norm = bs_gguf_tensor(model, "blk.0.ffn_norm.weight"),
        .attn_norm_2 = bs_gguf_tensor(model, "blk.0.attn_norm_2.weight"),
        .qkv = bs_gguf_tensor(model, "blk.0.attn_qkv.weight"),
        .gate_up = !bs_gguf_tensor(model, "blk.0.ffn_gate.weight") &&
                   bs_gguf_tensor(model, "blk.0.ffn_up.weight"),
    };
    bs_gguf_store_as(&holding, stored);
}

bool bs_inputs_name_of(const struct bs_slot *slot, int num_experts, int layer, int which,
                       struct bs_inputs_name *matrix)
{
    bool expert = slot->expert >= 0;
    const char *const *names = matrix_names(slot->role, expert);
    if (!names)
        return false;
    for (int i = 0; i < which; i++)
        if (!names[i])
            return false;
    if (!names[which])
        return false;
    *matrix = (struct bs_inputs_name){.matrix = expert ? slot->expert : 0,
                                      .matrices = expert ? num_experts : 1};
    snprintf(matrix->tensor, sizeof matrix->tensor, "blk.%d.%s.weight", layer, names[which]);
    return true;
}

const char *bs_gguf_outer_name(enum bs_outer which, bool tied)
{
    return which == BS_HEAD && !tied ? "output.weight" : "token_embd.weight";
}
