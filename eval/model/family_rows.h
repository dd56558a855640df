/* Pieces that rows of several families have in common. Only the files of rows use this. */
#ifndef BS_EVAL_MODEL_FAMILY_ROWS_H
#define BS_EVAL_MODEL_FAMILY_ROWS_H

#include "eval/model/families.h"

/* The rows of one file. */
struct bs_family_rows {
    const struct bs_family *rows;
    int count;
};

/* Rotary positions, RMS norms and a gated MLP, as Llama has them; the same with experts in place of
 * the MLP; and those with layer norms. */
extern const struct bs_family_rows bs_rows_like_llama, bs_rows_experts, bs_rows_layer_norm;

/* --- keys --- */

#define SIZE_KEYS                                                                                  \
    {"hidden_size", BS_KEY_HIDDEN_SIZE}, {"num_hidden_layers", BS_KEY_NUM_LAYERS},                 \
        {"num_attention_heads", BS_KEY_NUM_HEADS}, {"vocab_size", BS_KEY_VOCAB_SIZE},              \
    {                                                                                              \
        "tie_word_embeddings", BS_KEY_TIED                                                         \
    }

/* Of the families that go by Llama's names. */
#define LLAMA_LIKE_KEYS                                                                            \
    SIZE_KEYS, {"intermediate_size", BS_KEY_INTERMEDIATE_SIZE},                                    \
        {"num_key_value_heads", BS_KEY_NUM_KV_HEADS},                                              \
        {"max_position_embeddings", BS_KEY_MAX_POSITIONS}, {"rope_theta", BS_KEY_ROPE_THETA},      \
        {"rope_scaling", BS_KEY_ROPE},                                                             \
    {                                                                                              \
        "rope_parameters", BS_KEY_ROPE                                                             \
    }

#define RMS_KEYS                                                                                   \
    {"rms_norm_eps", BS_KEY_NORM_EPS}, { "head_dim", BS_KEY_HEAD_DIM }

#define QWEN_WINDOW_KEYS                                                                           \
    {"use_sliding_window", BS_KEY_USE_SLIDING_WINDOW}, {"sliding_window", BS_KEY_SLIDING_WINDOW},  \
        {"max_window_layers", BS_KEY_MAX_WINDOW_LAYERS},                                           \
    {                                                                                              \
        "layer_types", BS_KEY_LAYER_TYPES                                                          \
    }

/* --- tensors --- */

#define LLAMA_NAMES                                                                                \
    .prefix = "model.", .embedding = "embed_tokens", .final_norm = "norm", .head = "lm_head",      \
    .block = "layers.%d.", .gated = true

#define LLAMA_LINEARS                                                                              \
    .linears = {                                                                                   \
        {"q", "self_attn.q_proj"}, {"k", "self_attn.k_proj"}, {"v", "self_attn.v_proj"},           \
        {"o", "self_attn.o_proj"}, {"gate", "mlp.gate_proj"}, {"up", "mlp.up_proj"},               \
        {"down", "mlp.down_proj"},                                                                 \
    }

#define LLAMA_NORMS                                                                                \
    [BS_NORM_ATTENTION] = "input_layernorm", [BS_NORM_MLP] = "post_attention_layernorm"

#define QK_NORMS [BS_NORM_Q] = "self_attn.q_norm", [BS_NORM_K] = "self_attn.k_norm"

#define GEMMA_NORMS                                                                                \
    [BS_NORM_ATTENTION] = "input_layernorm", [BS_NORM_ATTENTION_OUT] = "post_attention_layernorm", \
    [BS_NORM_MLP] = "pre_feedforward_layernorm", [BS_NORM_MLP_OUT] = "post_feedforward_layernorm"

/* A tensor of q, k and v, and an MLP that is not gated, by the names of Megatron-LM. */
#define FUSED_LINEARS(attention, tensor)                                                           \
    {"q", attention "." tensor ".q"}, {"k", attention "." tensor ".k"},                            \
        {"v", attention "." tensor ".v"}, {"o", attention ".dense"}, {"up", "mlp.dense_h_to_4h"},  \
    {                                                                                              \
        "down", "mlp.dense_4h_to_h"                                                                \
    }

#endif
