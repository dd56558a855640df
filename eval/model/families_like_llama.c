/* Families built like Llama: RMS norms, or norms without parameters, rotary positions, a gated MLP.
 * Defaults are those of transformers 5.24. */
#include "eval/model/family_rows.h"

/* --- keys --- */

#define ACTIVATION_KEY                                                                             \
    {                                                                                              \
        "hidden_act", BS_KEY_ACTIVATION                                                            \
    }

#define ATTENTION_BIAS_KEY                                                                         \
    {                                                                                              \
        "attention_bias", BS_KEY_ATTENTION_BIAS                                                    \
    }

#define WINDOW_KEYS                                                                                \
    {"sliding_window", BS_KEY_SLIDING_WINDOW}, { "layer_types", BS_KEY_LAYER_TYPES }

#define ROTARY_SHARE_KEY                                                                           \
    {                                                                                              \
        "partial_rotary_factor", BS_KEY_ROTARY_SHARE                                               \
    }

#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct bs_config_key_name gemma_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, ACTIVATION_KEY, ATTENTION_BIAS_KEY, END,
};

static const struct bs_config_key_name phi3_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    ACTIVATION_KEY,
    ROTARY_SHARE_KEY,
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {"original_max_position_embeddings", BS_KEY_ROPE},
    END,
};

static const struct bs_config_key_name olmo_keys[] = {
    LLAMA_LIKE_KEYS,    {"head_dim", BS_KEY_HEAD_DIM}, ACTIVATION_KEY,
    ATTENTION_BIAS_KEY, {"clip_qkv", BS_KEY_QKV_CLIP}, END,
};

static const struct bs_config_key_name olmo2_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, ACTIVATION_KEY, ATTENTION_BIAS_KEY, END,
};

static const struct bs_config_key_name olmo3_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, ACTIVATION_KEY, ATTENTION_BIAS_KEY, WINDOW_KEYS, END,
};

static const struct bs_config_key_name granite_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    ACTIVATION_KEY,
    ATTENTION_BIAS_KEY,
    {"mlp_bias", BS_KEY_MLP_BIAS},
    {"embedding_multiplier", BS_KEY_EMBEDDING_SCALE},
    {"attention_multiplier", BS_KEY_ATTENTION_SCALE},
    {"residual_multiplier", BS_KEY_RESIDUAL_SCALE},
    {"logits_scaling", BS_KEY_LOGIT_DIVISOR},
    END,
};

static const struct bs_config_key_name smollm3_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    ACTIVATION_KEY,
    ATTENTION_BIAS_KEY,
    {"mlp_bias", BS_KEY_MLP_BIAS},
    WINDOW_KEYS,
    {"use_sliding_window", BS_KEY_USE_SLIDING_WINDOW},
    {"no_rope_layers", BS_KEY_ROTATED_LAYERS},
    {"no_rope_layer_interval", BS_KEY_UNROTATED_INTERVAL},
    END,
};

static const struct bs_config_key_name glm_keys[] = {
    LLAMA_LIKE_KEYS,  RMS_KEYS, ACTIVATION_KEY, {"attention_bias", BS_KEY_QKV_BIAS},
    ROTARY_SHARE_KEY, END,
};

static const struct bs_config_key_name ministral_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, ACTIVATION_KEY, WINDOW_KEYS, END,
};

static const struct bs_config_key_name ministral3_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, ACTIVATION_KEY, {"sliding_window", BS_KEY_SLIDING_WINDOW}, END,
};

static const struct bs_config_key_name exaone4_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    ACTIVATION_KEY,
    WINDOW_KEYS,
    {"sliding_window_pattern", BS_KEY_WINDOW_PATTERN},
    END,
};

static const struct bs_config_key_name seed_oss_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    ACTIVATION_KEY,
    {"attention_bias", BS_KEY_QKV_BIAS},
    {"attention_out_bias", BS_KEY_O_BIAS},
    {"mlp_bias", BS_KEY_MLP_BIAS},
    END,
};

static const struct bs_neutral_key gemma_neutral[] = {{"use_bidirectional_attention", "false"},
                                                      {NULL, NULL}};

static const struct bs_neutral_key phi3_neutral[] = {
    {"attention_bias", "false"}, {"mlp_bias", "false"},  {"lm_head_bias", "false"},
    {"interpolate_factor", "1"}, {"full_attn_mod", "1"}, {NULL, NULL},
};

static const struct bs_neutral_key biasless_neutral[] = {
    {"attention_bias", "false"}, {"mlp_bias", "false"}, {NULL, NULL}};

/* hidden_act is the one that counts. */
static const char *const gemma_harmless[] = {"hidden_activation", NULL};

/* Written, and not read by the class. */
static const char *const smollm3_harmless[] = {"max_window_layers", NULL};

static const char *const seed_oss_harmless[] = {"residual_dropout", NULL};

/* --- config.json --- */

static const struct bs_family_config gemma_config = {
    .keys = gemma_keys,
    .neutral = gemma_neutral,
    .harmless = gemma_harmless,
    .max_positions = 8192,
    .kv_heads = 16,
    .head_dim = 256,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "gelu_pytorch_tanh",
    .gelu_is_tanh = true,
    .tied = true,
};

static const struct bs_family_config phi3_config = {
    .keys = phi3_keys,
    .neutral = phi3_neutral,
    .max_positions = 4096,
    .original_positions = 4096,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config olmo_config = {
    .keys = olmo_keys,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config olmo2_config = {
    .keys = olmo2_keys,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

/* 4.57 has a rope_theta of 10000. */
static const struct bs_family_config olmo3_config = {
    .keys = olmo3_keys,
    .max_positions = 2048,
    .sliding_window = 4096,
    .window_pattern = 4,
    .norm_eps = 1e-5,
    .rope_theta = 500000,
    .local_rope_plain = true,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config granite_config = {
    .keys = granite_keys,
    .max_positions = 2048,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .attention_scale = 1,
    .activation = "silu",
};

static const struct bs_family_config smollm3_config = {
    .keys = smollm3_keys,
    .harmless = smollm3_harmless,
    .max_positions = 32768,
    .kv_heads = 4,
    .unrotated_interval = 4,
    .rotated = BS_ROTATED_BY_KEY,
    .norm_eps = 1e-6,
    .rope_theta = 2e6,
    .rotary_share = 1,
    .activation = "silu",
    .tied = true,
};

static const struct bs_family_config glm_config = {
    .keys = glm_keys,
    .neutral = biasless_neutral + 1, /* mlp_bias */
    .max_positions = 131072,
    .kv_heads = 2,
    .head_dim = 128,
    .norm_eps = 1.5625e-7,
    .rope_theta = 10000,
    .rotary_share = 0.5,
    .activation = "silu",
    .biases = BS_BIASES_QKV,
};

static const struct bs_family_config ministral_config = {
    .keys = ministral_keys,
    .neutral = biasless_neutral,
    .max_positions = 131072,
    .kv_heads = 8,
    .sliding_window = 4096,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config ministral3_config = {
    .keys = ministral3_keys,
    .neutral = biasless_neutral,
    .max_positions = 262144,
    .kv_heads = 8,
    .head_dim = 128,
    .initial_rope = "{\"rope_type\": \"yarn\", \"rope_theta\": 1000000.0, \"factor\": 16.0, "
                    "\"original_max_position_embeddings\": 16384, \"beta_fast\": 32.0, "
                    "\"beta_slow\": 1.0, \"mscale_all_dim\": 1.0, \"mscale\": 1.0, "
                    "\"llama_4_scaling_beta\": 0.1}",
    .scales_queries = true,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config exaone4_config = {
    .keys = exaone4_keys,
    .neutral = biasless_neutral,
    .max_positions = 2048,
    .kv_heads = 32,
    .sliding_window = 4096,
    .window_pattern = 4,
    .rotated = BS_ROTATED_WINDOWS_IF_ANY,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config seed_oss_config = {
    .keys = seed_oss_keys,
    .harmless = seed_oss_harmless,
    .max_positions = 524288,
    .kv_heads = 8,
    .head_dim = 128,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
    .biases = BS_BIASES_QKV,
};

/* --- tensors --- */

#define INSPECTED .attention_module = BS_MODULE_ATTENTION, .mlp_module = BS_MODULE_MLP

#define FUSED_GATE_UP                                                                              \
    {"gate", "mlp.gate_up_proj.gate"}, { "up", "mlp.gate_up_proj.up" }

/* Norms after attention and MLP only. */
#define NORMS_AFTER                                                                                \
    [BS_NORM_ATTENTION_OUT] = "post_attention_layernorm", [BS_NORM_MLP_OUT] =                      \
                                                              "post_feedforward_layernorm"

#define GLM_LINEARS                                                                                \
    .linears = {{"q", "self_attn.q_proj"},                                                         \
                {"k", "self_attn.k_proj"},                                                         \
                {"v", "self_attn.v_proj"},                                                         \
                {"o", "self_attn.o_proj"},                                                         \
                FUSED_GATE_UP,                                                                     \
                {"down", "mlp.down_proj"}},                                                        \
    .fused_gate_up = "mlp.gate_up_proj"

static const struct bs_family rows[] = {
    {
        .model_type = "gemma",
        .models = "Gemma 1",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        .norm_plus_one = true,
        .embedding_scale = true,
        INSPECTED,
        .config = &gemma_config,
    },
    {
        .model_type = "phi3",
        .models = "Phi-3, 3.5 and 4",
        LLAMA_NAMES,
        .linears = {{"q", "self_attn.qkv_proj.q"},
                    {"k", "self_attn.qkv_proj.k"},
                    {"v", "self_attn.qkv_proj.v"},
                    {"o", "self_attn.o_proj"},
                    FUSED_GATE_UP,
                    {"down", "mlp.down_proj"}},
        .fused_qkv = "self_attn.qkv_proj",
        .fused = BS_FUSED_SECTIONS,
        .fused_v_folds = true,
        .fused_gate_up = "mlp.gate_up_proj",
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &phi3_config,
    },
    {
        .model_type = "olmo",
        .models = "OLMo 1",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        .norm = BS_LAYER_NORM_PLAIN,
        INSPECTED,
        .config = &olmo_config,
    },
    {
        .model_type = "olmo2",
        .models = "OLMo 2",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {NORMS_AFTER, QK_NORMS},
        .qk_norm = BS_QK_NORM_WHOLE,
        INSPECTED,
        .config = &olmo2_config,
    },
    {
        .model_type = "olmo3",
        .models = "OLMo 3",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {NORMS_AFTER, QK_NORMS},
        .qk_norm = BS_QK_NORM_WHOLE,
        INSPECTED,
        .config = &olmo3_config,
    },
    {
        .model_type = "granite",
        .models = "Granite 3",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &granite_config,
    },
    {
        .model_type = "smollm3",
        .models = "SmolLM3",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &smollm3_config,
    },
    {
        .model_type = "glm",
        .models = "GLM-4 9B of 2024 and GLM-Edge",
        LLAMA_NAMES,
        GLM_LINEARS,
        .norms = {LLAMA_NORMS},
        .rotary_interleaved = true,
        INSPECTED,
        .config = &glm_config,
    },
    {
        .model_type = "glm4",
        .models = "GLM-4 and GLM-Z1 of 2025",
        LLAMA_NAMES,
        GLM_LINEARS,
        .norms = {LLAMA_NORMS, [BS_NORM_ATTENTION_OUT] = "post_self_attn_layernorm",
                  [BS_NORM_MLP_OUT] = "post_mlp_layernorm"},
        .rotary_interleaved = true,
        INSPECTED,
        .config = &glm_config,
    },
    {
        .model_type = "ministral",
        .models = "Ministral 8B of 2024",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &ministral_config,
    },
    {
        .model_type = "ministral3",
        .models = "Ministral 3",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &ministral3_config,
    },
    {
        .model_type = "exaone4",
        .models = "EXAONE 4",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {NORMS_AFTER, QK_NORMS},
        INSPECTED,
        .config = &exaone4_config,
    },
    {
        .model_type = "seed_oss",
        .models = "Seed-OSS",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        INSPECTED,
        .config = &seed_oss_config,
    },
};

const struct bs_family_rows bs_rows_like_llama = {rows, sizeof rows / sizeof *rows};
