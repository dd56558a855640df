/* Families built like Llama whose tokens go to a few of many experts in place of the MLP. Defaults
 * are those of transformers 5.24. */
#include "eval/model/family_rows.h"

/* --- keys --- */

#define EXPERT_KEYS                                                                                \
    LLAMA_LIKE_KEYS, RMS_KEYS, {"hidden_act", BS_KEY_ACTIVATION},                                  \
    {                                                                                              \
        "num_experts_per_tok", BS_KEY_EXPERTS_PER_TOKEN                                            \
    }

static const struct bs_config_key_name mixtral_keys[] = {
    EXPERT_KEYS,
    {"num_local_experts", BS_KEY_NUM_EXPERTS},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {.name = NULL},
};

static const struct bs_config_key_name olmoe_keys[] = {
    EXPERT_KEYS,
    {"num_experts", BS_KEY_NUM_EXPERTS},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {"clip_qkv", BS_KEY_QKV_CLIP},
    {"norm_topk_prob", BS_KEY_NORMED_WEIGHTS},
    {.name = NULL},
};

static const struct bs_config_key_name qwen3_moe_keys[] = {
    EXPERT_KEYS,
    {"num_experts", BS_KEY_NUM_EXPERTS}, /* transformers 4 */
    {"num_local_experts", BS_KEY_NUM_EXPERTS},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {"moe_intermediate_size", BS_KEY_EXPERT_SIZE},
    {"norm_topk_prob", BS_KEY_NORMED_WEIGHTS},
    {"use_sliding_window", BS_KEY_USE_SLIDING_WINDOW},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {.name = NULL},
};

static const struct bs_neutral_key qwen_moe_neutral[] = {
    {"decoder_sparse_step", "1"}, {"mlp_only_layers", "[]"}, {NULL, NULL}};

/* For training, and for what is printed. */
#define ROUTER_HARMLESS "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"

static const char *const moe_harmless[] = {ROUTER_HARMLESS, NULL};

/* Written, and not read by the class. */
static const char *const qwen3_moe_harmless[] = {ROUTER_HARMLESS, "max_window_layers", NULL};

/* --- config.json --- */

static const struct bs_family_config mixtral_config = {
    .keys = mixtral_keys,
    .harmless = moe_harmless,
    .max_positions = 4096 * 32,
    .kv_heads = 8,
    .norm_eps = 1e-5,
    .rope_theta = 1e6,
    .rotary_share = 1,
    .activation = "silu",
    .num_experts = 8,
    .experts_per_token = 2,
    .normed_weights = true,
};

static const struct bs_family_config olmoe_config = {
    .keys = olmoe_keys,
    .harmless = moe_harmless,
    .max_positions = 4096,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
    .num_experts = 64,
    .experts_per_token = 8,
};

static const struct bs_family_config qwen3_moe_config = {
    .keys = qwen3_moe_keys,
    .neutral = qwen_moe_neutral,
    .harmless = qwen3_moe_harmless,
    .max_positions = 32768,
    .kv_heads = 4,
    .sliding_window = 4096,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
    .num_experts = 128,
    .experts_per_token = 8,
    .expert_size = 768,
};

/* --- tensors --- */

#define EXPERT_LINEARS                                                                             \
    .linears = {{"q", "self_attn.q_proj"},                                                         \
                {"k", "self_attn.k_proj"},                                                         \
                {"v", "self_attn.v_proj"},                                                         \
                {"o", "self_attn.o_proj"},                                                         \
                {"router", "mlp.router"}}

#define INSPECTED .attention_module = BS_MODULE_ATTENTION, .mlp_module = BS_MODULE_MLP

/* As transformers 5 holds them in memory, and saves them where it is asked to. */
#define MERGED                                                                                     \
    {                                                                                              \
        .router = "mlp.gate", .all_gate_up = "mlp.experts.gate_up_proj",                           \
        .all_down = "mlp.experts.down_proj", .all_ending = ""                                      \
    }

static const struct bs_expert_tensors mixtral_tensors[] = {
    {.router = "block_sparse_moe.gate",
     .gate = "block_sparse_moe.experts.%d.w1",
     .up = "block_sparse_moe.experts.%d.w3",
     .down = "block_sparse_moe.experts.%d.w2"},
    MERGED,
    {.router = NULL},
};

static const struct bs_expert_tensors qwen_tensors[] = {
    {.router = "mlp.gate",
     .gate = "mlp.experts.%d.gate_proj",
     .up = "mlp.experts.%d.up_proj",
     .down = "mlp.experts.%d.down_proj"},
    MERGED,
    {.router = NULL},
};

static const struct bs_family rows[] = {
    {
        .model_type = "mixtral",
        .models = "Mixtral",
        LLAMA_NAMES,
        EXPERT_LINEARS,
        .experts = mixtral_tensors,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &mixtral_config,
    },
    {
        .model_type = "olmoe",
        .models = "OLMoE",
        LLAMA_NAMES,
        EXPERT_LINEARS,
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS, QK_NORMS},
        .qk_norm = BS_QK_NORM_WHOLE,
        INSPECTED,
        .config = &olmoe_config,
    },
    {
        .model_type = "qwen3_moe",
        .models = "Qwen3 with experts",
        LLAMA_NAMES,
        EXPERT_LINEARS,
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS, QK_NORMS},
        INSPECTED,
        .config = &qwen3_moe_config,
    },
};

const struct bs_family_rows bs_rows_experts = {rows, sizeof rows / sizeof *rows};
