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
    {"decoder_sparse_step", BS_KEY_SPARSE_STEP},
    {"mlp_only_layers", BS_KEY_DENSE_LAYERS},
    {"use_sliding_window", BS_KEY_USE_SLIDING_WINDOW},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {.name = NULL},
};

static const struct bs_config_key_name qwen2_moe_keys[] = {
    EXPERT_KEYS,
    QWEN_WINDOW_KEYS,
    {"num_experts", BS_KEY_NUM_EXPERTS}, /* transformers 4 */
    {"num_local_experts", BS_KEY_NUM_EXPERTS},
    {"qkv_bias", BS_KEY_QKV_BIAS},
    {"moe_intermediate_size", BS_KEY_EXPERT_SIZE},
    {"shared_expert_intermediate_size", BS_KEY_SHARED_SIZE},
    {"norm_topk_prob", BS_KEY_NORMED_WEIGHTS},
    {"decoder_sparse_step", BS_KEY_SPARSE_STEP},
    {"mlp_only_layers", BS_KEY_DENSE_LAYERS},
    {.name = NULL},
};

#define GRANITE_MOE_KEYS                                                                           \
    EXPERT_KEYS, {"num_local_experts", BS_KEY_NUM_EXPERTS},                                        \
        {"attention_bias", BS_KEY_ATTENTION_BIAS},                                                 \
        {"embedding_multiplier", BS_KEY_EMBEDDING_SCALE},                                          \
        {"attention_multiplier", BS_KEY_ATTENTION_SCALE},                                          \
        {"residual_multiplier", BS_KEY_RESIDUAL_SCALE},                                            \
    {                                                                                              \
        "logits_scaling", BS_KEY_LOGIT_DIVISOR                                                     \
    }

static const struct bs_config_key_name granitemoe_keys[] = {GRANITE_MOE_KEYS, {.name = NULL}};

static const struct bs_config_key_name granitemoeshared_keys[] = {
    GRANITE_MOE_KEYS,
    {"shared_intermediate_size", BS_KEY_SHARED_SIZE},
    {.name = NULL},
};

static const struct bs_config_key_name gpt_oss_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    {"num_experts_per_tok", BS_KEY_EXPERTS_PER_TOKEN},
    {"experts_per_token", BS_KEY_EXPERTS_PER_TOKEN},
    {"num_local_experts", BS_KEY_NUM_EXPERTS},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {"layer_types", BS_KEY_LAYER_TYPES},
    {.name = NULL},
};

#define DEEPSEEK_KEYS                                                                              \
    LLAMA_LIKE_KEYS, {"rms_norm_eps", BS_KEY_NORM_EPS}, {"hidden_act", BS_KEY_ACTIVATION},         \
        {"attention_bias", BS_KEY_ATTENTION_BIAS}, {"n_routed_experts", BS_KEY_NUM_EXPERTS},       \
        {"num_local_experts", BS_KEY_NUM_EXPERTS},                                                 \
        {"num_experts_per_tok", BS_KEY_EXPERTS_PER_TOKEN},                                         \
        {"moe_intermediate_size", BS_KEY_EXPERT_SIZE}, {"n_shared_experts", BS_KEY_SHARED_COUNT},  \
        {"first_k_dense_replace", BS_KEY_FIRST_SPARSE},                                            \
        {"routed_scaling_factor", BS_KEY_ROUTED_SCALE}, {"n_group", BS_KEY_EXPERT_GROUPS},         \
        {"topk_group", BS_KEY_GROUPS_PER_TOKEN}, {"q_lora_rank", BS_KEY_QUERY_LATENT},             \
        {"kv_lora_rank", BS_KEY_KEY_VALUE_LATENT}, {"qk_nope_head_dim", BS_KEY_PLAIN_DIM},         \
        {"qk_rope_head_dim", BS_KEY_ROTARY_DIM}, {"head_dim", BS_KEY_ROTARY_DIM},                  \
    {                                                                                              \
        "v_head_dim", BS_KEY_VALUE_DIM                                                             \
    }

static const struct bs_config_key_name deepseek_v2_keys[] = {
    DEEPSEEK_KEYS,
    {"topk_method", BS_KEY_GROUP_METHOD},
    {.name = NULL},
};

static const struct bs_config_key_name deepseek_v3_keys[] = {
    DEEPSEEK_KEYS,
    {"norm_topk_prob", BS_KEY_NORMED_WEIGHTS},
    {.name = NULL},
};

static const struct bs_config_key_name llama4_keys[] = {
    SIZE_KEYS,
    RMS_KEYS,
    {"num_key_value_heads", BS_KEY_NUM_KV_HEADS},
    {"max_position_embeddings", BS_KEY_MAX_POSITIONS},
    {"rope_theta", BS_KEY_ROPE_THETA},
    {"rope_scaling", BS_KEY_ROPE},
    {"rope_parameters", BS_KEY_ROPE},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"intermediate_size_mlp", BS_KEY_INTERMEDIATE_SIZE},
    {"intermediate_size", BS_KEY_EXPERT_SIZE},
    {"num_local_experts", BS_KEY_NUM_EXPERTS},
    {"num_experts_per_tok", BS_KEY_EXPERTS_PER_TOKEN},
    {"interleave_moe_layer_step", BS_KEY_SPARSE_STEP},
    {"moe_layers", BS_KEY_SPARSE_LAYERS},
    {"no_rope_layers", BS_KEY_ROTATED_LAYERS},
    {"no_rope_layer_interval", BS_KEY_UNROTATED_INTERVAL},
    {"attention_chunk_size", BS_KEY_SLIDING_WINDOW},
    {"layer_types", BS_KEY_LAYER_TYPES},
    {"use_qk_norm", BS_KEY_UNIT_QK},
    {"attn_temperature_tuning", BS_KEY_QUERY_SCALED},
    {"attn_scale", BS_KEY_QUERY_BETA},
    {"floor_scale", BS_KEY_QUERY_POSITIONS},
    {.name = NULL},
};

static const struct bs_neutral_key gpt_oss_neutral[] = {
    {"swiglu_limit", "7"}, {"hidden_act", "\"silu\""}, {NULL, NULL}};

static const struct bs_neutral_key deepseek_v2_neutral[] = {{"norm_topk_prob", "false"},
                                                            {"moe_layer_freq", "1"},
                                                            {"scoring_func", "\"softmax\""},
                                                            {"mlp_bias", "false"},
                                                            {NULL, NULL}};

static const struct bs_neutral_key deepseek_v3_neutral[] = {{"scoring_func", "\"sigmoid\""},
                                                            {"moe_layer_freq", "1"},
                                                            {"topk_method", "\"noaux_tc\""},
                                                            {"rope_interleave", "true"},
                                                            {NULL, NULL}};

static const struct bs_neutral_key llama4_neutral[] = {{"attention_bias", "false"}, {NULL, NULL}};

/* For training, and for what is printed. */
#define ROUTER_HARMLESS "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"

static const char *const moe_harmless[] = {ROUTER_HARMLESS, NULL};

/* Written, and not read by the class. */
static const char *const qwen3_moe_harmless[] = {ROUTER_HARMLESS, "max_window_layers", NULL};

static const char *const gpt_oss_harmless[] = {ROUTER_HARMLESS, "initial_context_length", NULL};

/* For training, how it runs, and layers after the last that predict further tokens. */
static const char *const deepseek_harmless[] = {ROUTER_HARMLESS,
                                                "aux_loss_alpha",
                                                "seq_aux",
                                                "ep_size",
                                                "num_nextn_predict_layers",
                                                "qk_head_dim",
                                                NULL};

static const char *const llama4_harmless[] = {ROUTER_HARMLESS, "for_llm_compressor", NULL};

static const struct bs_neutral_key granite_neutral[] = {{"position_embedding_type", "\"rope\""},
                                                        {NULL, NULL}};

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

static const struct bs_family_config qwen2_moe_config = {
    .keys = qwen2_moe_keys,
    .harmless = moe_harmless,
    .max_positions = 32768,
    .kv_heads = 16,
    .sliding_window = 4096,
    .window_pattern = 2,
    .max_window_layers = 28,
    .windows_below = true,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
    .biases = BS_BIASES_QKV,
    .num_experts = 60,
    .experts_per_token = 4,
    .expert_size = 1408,
    .shared_size = 5632,
};

#define GRANITE_MOE_CONFIG                                                                         \
    .harmless = moe_harmless, .neutral = granite_neutral, .max_positions = 2048, .norm_eps = 1e-6, \
    .rope_theta = 10000, .rotary_share = 1, .attention_scale = 1, .activation = "silu",            \
    .num_experts = 8, .experts_per_token = 2, .routing = BS_ROUTE_SOFTMAX_CHOSEN

static const struct bs_family_config granitemoe_config = {
    .keys = granitemoe_keys,
    GRANITE_MOE_CONFIG,
};

static const struct bs_family_config granitemoeshared_config = {
    .keys = granitemoeshared_keys,
    GRANITE_MOE_CONFIG,
};

static const struct bs_family_config gpt_oss_config = {
    .keys = gpt_oss_keys,
    .neutral = gpt_oss_neutral,
    .harmless = gpt_oss_harmless,
    .max_positions = 131072,
    .kv_heads = 8,
    .head_dim = 64,
    .sliding_window = 128,
    .window_pattern = 2,
    .norm_eps = 1e-5,
    .rope_theta = 150000,
    .rotary_share = 1,
    .initial_rope = "{\"rope_type\": \"yarn\", \"factor\": 32.0, \"beta_fast\": 32.0, "
                    "\"beta_slow\": 1.0, \"truncate\": false, "
                    "\"original_max_position_embeddings\": 4096}",
    .activation = "silu",
    .biases = BS_BIASES_ALL | BS_BIASES_ROUTER,
    .num_experts = 128,
    .experts_per_token = 4,
    .routing = BS_ROUTE_SOFTMAX_CHOSEN,
};

static const struct bs_family_config deepseek_v2_config = {
    .keys = deepseek_v2_keys,
    .neutral = deepseek_v2_neutral,
    .harmless = deepseek_harmless,
    .max_positions = 2048,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_dim = 64,
    .activation = "silu",
    .query_latent = 1536,
    .key_value_latent = 512,
    .plain_dim = 128,
    .value_dim = 128,
    .num_experts = 64,
    .experts_per_token = 6,
    .expert_size = 1407,
    .shared_count = 2,
    .routed_scale = 1,
};

static const struct bs_family_config deepseek_v3_config = {
    .keys = deepseek_v3_keys,
    .neutral = deepseek_v3_neutral,
    .harmless = deepseek_harmless,
    .max_positions = 4096,
    .kv_heads = 128,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_dim = 64,
    .activation = "silu",
    .query_latent = 1536,
    .key_value_latent = 512,
    .plain_dim = 128,
    .value_dim = 128,
    .num_experts = 256,
    .experts_per_token = 8,
    .expert_size = 2048,
    .shared_count = 1,
    .first_sparse = 3,
    .expert_groups = 8,
    .groups_per_token = 4,
    .normed_weights = true,
    .routing = BS_ROUTE_SIGMOID,
    .routed_scale = 2.5,
};

static const struct bs_family_config llama4_config = {
    .class_sizes = {5120, 16384, 48, 40, 202048},
    .keys = llama4_keys,
    .neutral = llama4_neutral,
    .harmless = llama4_harmless,
    .max_positions = 4096 * 32,
    .kv_heads = 8,
    .head_dim = 128,
    .sliding_window = 8192,
    .chunked = true,
    .rotated = BS_ROTATED_BY_KEY,
    .unrotated_interval = 4,
    .query_beta = 0.1,
    .query_positions = 8192,
    .norm_eps = 1e-5,
    .rope_theta = 500000,
    .rotary_share = 1,
    .activation = "silu",
    .num_experts = 16,
    .experts_per_token = 1,
    .expert_size = 8192,
    .shared_count = 1,
    .routing = BS_ROUTE_SIGMOID,
    .weighs_input = true,
};

/* --- tensors --- */

#define ATTENTION_LINEARS                                                                          \
    {"q", "self_attn.q_proj"}, {"k", "self_attn.k_proj"}, {"v", "self_attn.v_proj"},               \
    {                                                                                              \
        "o", "self_attn.o_proj"                                                                    \
    }

/* Of the layers without experts. */
#define DENSE_LINEARS(mlp)                                                                         \
    {"gate", mlp ".gate_proj"}, {"up", mlp ".up_proj"}, { "down", mlp ".down_proj" }

/* Of the expert that all tokens go to. */
#define SHARED_LINEARS(expert)                                                                     \
    {"shared_gate", expert ".gate_proj"}, {"shared_up", expert ".up_proj"},                        \
    {                                                                                              \
        "shared_down", expert ".down_proj"                                                         \
    }

#define ROUTER                                                                                     \
    {                                                                                              \
        "router", "mlp.router"                                                                     \
    }

#define EXPERT_LINEARS .linears = {ATTENTION_LINEARS, ROUTER}

#define DEEPSEEK_LINEARS                                                                           \
    .linears = {                                                                                   \
        {"q", "self_attn.q_proj"},                                                                 \
        {"q_a", "self_attn.q_a_proj"},                                                             \
        {"q_b", "self_attn.q_b_proj"},                                                             \
        {"kv_a", "self_attn.kv_a_proj_with_mqa"},                                                  \
        {"kv_b", "self_attn.kv_b_proj"},                                                           \
        {"o", "self_attn.o_proj"},                                                                 \
        ROUTER,                                                                                    \
        DENSE_LINEARS("mlp"),                                                                      \
        SHARED_LINEARS("mlp.shared_experts"),                                                      \
    }

#define LATENT_NORMS                                                                               \
    [BS_NORM_QUERY_LATENT] = "self_attn.q_a_layernorm", [BS_NORM_KEY_VALUE_LATENT] =               \
                                                            "self_attn.kv_a_layernorm"

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

static const struct bs_expert_tensors granite_tensors[] = {
    {.router = "block_sparse_moe.router.layer",
     .all_gate_up = "block_sparse_moe.input_linear",
     .all_down = "block_sparse_moe.output_linear",
     .all_ending = ".weight"},
    {.router = NULL},
};

static const struct bs_expert_tensors gpt_oss_tensors[] = {
    {.router = "mlp.router",
     .all_gate_up = "mlp.experts.gate_up_proj",
     .all_down = "mlp.experts.down_proj",
     .all_ending = "",
     .bias_ending = "_bias",
     .transposed = true,
     .interleaved = true},
    {.router = NULL},
};

static const struct bs_expert_tensors llama4_tensors[] = {
    {.router = "feed_forward.router",
     .all_gate_up = "feed_forward.experts.gate_up_proj",
     .all_down = "feed_forward.experts.down_proj",
     .all_ending = "",
     .transposed = true},
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
        .linears = {ATTENTION_LINEARS, ROUTER, DENSE_LINEARS("mlp")},
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS, QK_NORMS},
        INSPECTED,
        .config = &qwen3_moe_config,
    },
    {
        .model_type = "qwen2_moe",
        .models = "Qwen1.5 and Qwen2 with experts",
        LLAMA_NAMES,
        .linears = {ATTENTION_LINEARS,
                    ROUTER,
                    DENSE_LINEARS("mlp"),
                    SHARED_LINEARS("mlp.shared_expert"),
                    {"shared_router", "mlp.shared_expert_gate"}},
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &qwen2_moe_config,
    },
    {
        .model_type = "granitemoe",
        .models = "Granite 3 with experts",
        LLAMA_NAMES,
        EXPERT_LINEARS,
        .experts = granite_tensors,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &granitemoe_config,
    },
    {
        .model_type = "granitemoeshared",
        .models = "Granite with experts and one that is shared",
        LLAMA_NAMES,
        .linears = {ATTENTION_LINEARS,
                    ROUTER,
                    {"shared_gate", "shared_mlp.input_linear.gate"},
                    {"shared_up", "shared_mlp.input_linear.up"},
                    {"shared_down", "shared_mlp.output_linear"}},
        .fused_shared = "shared_mlp.input_linear",
        .experts = granite_tensors,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &granitemoeshared_config,
    },
    {
        .model_type = "gpt_oss",
        .models = "gpt-oss",
        LLAMA_NAMES,
        EXPERT_LINEARS,
        .experts = gpt_oss_tensors,
        .norms = {LLAMA_NORMS},
        .vectors = {[BS_VECTOR_SINKS] = "self_attn.sinks"},
        .clamped_gate = true,
        INSPECTED,
        .config = &gpt_oss_config,
    },
    {
        .model_type = "deepseek_v2",
        .models = "DeepSeek-V2 and V2-Lite",
        LLAMA_NAMES,
        DEEPSEEK_LINEARS,
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS, LATENT_NORMS},
        .latent_eps = 1e-6f,
        .rotary_interleaved = true,
        INSPECTED,
        .config = &deepseek_v2_config,
    },
    {
        .model_type = "deepseek_v3",
        .models = "DeepSeek-V3 and R1",
        LLAMA_NAMES,
        DEEPSEEK_LINEARS,
        .experts = qwen_tensors,
        .norms = {LLAMA_NORMS, LATENT_NORMS},
        .latent_eps = 1e-6f,
        .vectors = {[BS_VECTOR_ROUTING] = "mlp.gate.e_score_correction_bias"},
        .rotary_interleaved = true,
        INSPECTED,
        .config = &deepseek_v3_config,
    },
    {
        .model_type = "llama4_text",
        .models = "Llama 4, its text part",
        LLAMA_NAMES,
        .linears = {ATTENTION_LINEARS,
                    {"router", "feed_forward.router"},
                    DENSE_LINEARS("feed_forward"),
                    SHARED_LINEARS("feed_forward.shared_expert")},
        .experts = llama4_tensors,
        .norms = {LLAMA_NORMS},
        .rotary_interleaved = true,
        INSPECTED,
        .config = &llama4_config,
    },
};

const struct bs_family_rows bs_rows_experts = {rows, sizeof rows / sizeof *rows};
