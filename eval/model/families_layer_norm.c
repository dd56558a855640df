/* Falcon, and the families with layer norms that came after it. Defaults are those of transformers
 * 5.24. */
#include "eval/model/family_rows.h"

/* --- keys --- */

static const struct bs_config_key_name stablelm_keys[] = {
    LLAMA_LIKE_KEYS,
    {"layer_norm_eps", BS_KEY_NORM_EPS},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"partial_rotary_factor", BS_KEY_ROTARY_SHARE},
    {"use_qkv_bias", BS_KEY_QKV_BIAS},
    {"qk_layernorm", BS_KEY_QK_NORM},
    {"use_parallel_residual", BS_KEY_SHARED_NORM},
    {.name = NULL},
};

#define COHERE_KEYS                                                                                \
    LLAMA_LIKE_KEYS, {"layer_norm_eps", BS_KEY_NORM_EPS}, {"hidden_act", BS_KEY_ACTIVATION},       \
        {"head_dim", BS_KEY_HEAD_DIM}, {"attention_bias", BS_KEY_ATTENTION_BIAS},                  \
    {                                                                                              \
        "logit_scale", BS_KEY_LOGIT_SCALE                                                          \
    }

static const struct bs_config_key_name cohere_keys[] = {
    COHERE_KEYS,
    {"use_qk_norm", BS_KEY_QK_NORM},
    {.name = NULL},
};

static const struct bs_config_key_name cohere2_keys[] = {
    COHERE_KEYS,
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {"sliding_window_pattern", BS_KEY_WINDOW_PATTERN},
    {"layer_types", BS_KEY_LAYER_TYPES},
    {.name = NULL},
};

static const struct bs_config_key_name starcoder2_keys[] = {
    LLAMA_LIKE_KEYS,
    {"head_dim", BS_KEY_HEAD_DIM},
    {"norm_epsilon", BS_KEY_NORM_EPS},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"use_bias", BS_KEY_BIAS},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {.name = NULL},
};

static const struct bs_config_key_name nemotron_keys[] = {
    LLAMA_LIKE_KEYS,
    {"head_dim", BS_KEY_HEAD_DIM},
    {"norm_eps", BS_KEY_NORM_EPS},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"partial_rotary_factor", BS_KEY_ROTARY_SHARE},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {"mlp_bias", BS_KEY_MLP_BIAS},
    {.name = NULL},
};

static const struct bs_config_key_name gptj_keys[] = {
    {"n_embd", BS_KEY_HIDDEN_SIZE},
    {"n_layer", BS_KEY_NUM_LAYERS},
    {"n_head", BS_KEY_NUM_HEADS},
    {"n_inner", BS_KEY_INTERMEDIATE_SIZE},
    {"n_positions", BS_KEY_MAX_POSITIONS},
    {"vocab_size", BS_KEY_VOCAB_SIZE},
    {"rotary_dim", BS_KEY_ROTARY_DIM},
    {"layer_norm_epsilon", BS_KEY_NORM_EPS},
    {"activation_function", BS_KEY_ACTIVATION},
    {"tie_word_embeddings", BS_KEY_TIED},
    {.name = NULL},
};

static const struct bs_config_key_name mpt_keys[] = {
    {"d_model", BS_KEY_HIDDEN_SIZE},
    {"n_layers", BS_KEY_NUM_LAYERS},
    {"n_heads", BS_KEY_NUM_HEADS},
    {"max_seq_len", BS_KEY_MAX_POSITIONS},
    {"vocab_size", BS_KEY_VOCAB_SIZE},
    {"layer_norm_epsilon", BS_KEY_NORM_EPS},
    {"attn_config.clip_qkv", BS_KEY_QKV_CLIP},
    {"attn_config.softmax_scale", BS_KEY_ATTENTION_SCALE},
    {"attn_config.alibi_bias_max", BS_KEY_ALIBI_EXPONENT},
    {"tie_word_embeddings", BS_KEY_TIED},
    {.name = NULL},
};

static const struct bs_config_key_name falcon_keys[] = {
    SIZE_KEYS,
    {"n_embed", BS_KEY_HIDDEN_SIZE},
    {"num_kv_heads", BS_KEY_NUM_KV_HEADS},
    {"ffn_hidden_size", BS_KEY_INTERMEDIATE_SIZE},
    {"max_position_embeddings", BS_KEY_MAX_POSITIONS},
    {"layer_norm_epsilon", BS_KEY_NORM_EPS},
    {"activation", BS_KEY_ACTIVATION},
    {"rope_theta", BS_KEY_ROPE_THETA},
    {"rope_scaling", BS_KEY_ROPE},
    {"rope_parameters", BS_KEY_ROPE},
    {"bias", BS_KEY_BIAS},
    {"alibi", BS_KEY_ALIBI},
    {"multi_query", BS_KEY_MULTI_QUERY},
    {.name = NULL},
};

/* Gemma 3's code reads attn_logit_softcapping, but never applies it. */
/* What command-r's own configs say of the one thing that the class does. */
static const struct bs_neutral_key cohere2_neutral[] = {
    {"rotary_pct", "1"},
    {"use_gated_activation", "true"},
    {"use_parallel_block", "true"},
    {"use_embedding_sharing", "true"},
    {"use_qk_norm", "false"},
    {"position_embedding_type", "\"rope_gptj\""},
    {"order_of_interleaved_layers", "\"local_attn_first\""},
    {NULL, NULL},
};

static const struct bs_neutral_key starcoder2_neutral[] = {
    {"norm_type", "\"layer_norm\""},
    {"mlp_type", "\"default\""},
    {"scale_attn_weights", "true"},
    {NULL, NULL},
};

static const struct bs_neutral_key gptj_neutral[] = {
    {"scale_attn_weights", "true"}, {"rotary", "true"}, {NULL, NULL}};

/* The class has ALiBi, four times the width in the MLP, no biases, and scales no logits. */
static const struct bs_neutral_key mpt_neutral[] = {
    {"expansion_ratio", "4"},
    {"no_bias", "true"},
    {"logit_scale", "1"},
    {"attn_config.alibi", "true"},
    {"attn_config.qk_ln", "false"},
    {"attn_config.prefix_lm", "false"},
    {"attn_config.attn_uses_sequence_id", "false"},
    {"attn_config.attn_type", "\"multihead_attention\""},
    {NULL, NULL},
};

/* Where attention and MLP are in parallel, the class fails with two norms. */
static const struct bs_neutral_key falcon_neutral[] = {
    {"parallel_attn", "true"},
    {"num_ln_in_parallel_attn", "1"},
    {NULL, NULL},
};

static const struct bs_neutral_key falcon_new_neutral[] = {
    {"ff_factor", "4"},
    {"parallel_attn", "true"},
    {"num_ln_in_parallel_attn", "2"},
    {NULL, NULL},
};

static const struct bs_neutral_key falcon_new_shared_neutral[] = {
    {"ff_factor", "4"},
    {"parallel_attn", "true"},
    {NULL, NULL},
};

/* Falcon's code does not read BLOOM's key. */
static const char *const falcon_harmless[] = {"auto_map",
                                              "apply_residual_connection_post_layernorm", NULL};

static const char *const falcon_sequential_harmless[] = {
    "auto_map", "apply_residual_connection_post_layernorm", "num_ln_in_parallel_attn", NULL};

static const char *const cohere2_harmless[] = {"cache_implementation", "_sliding_window_pattern",
                                               "layer_switch", "use_parallel_embedding", NULL};

static const char *const starcoder2_harmless[] = {"activation_function",
                                                  "embedding_dropout",
                                                  "residual_dropout",
                                                  "attention_softmax_in_fp32",
                                                  "scale_attention_softmax_in_fp32",
                                                  NULL};

static const char *const gptj_harmless[] = {
    "summary_activation", "summary_first_dropout",  "summary_type",
    "summary_use_proj",   "summary_proj_to_labels", NULL,
};

/* learned_pos_emb counts where ALiBi is off; how the norms are computed, where in 16 bits. */
static const char *const mpt_harmless[] = {
    "learned_pos_emb",
    "norm_type",
    "embedding_fraction",
    "emb_pdrop",
    "init_device",
    "init_config",
    "verbose",
    "attn_config.attn_impl",
    "attn_config.attn_pdrop",
    NULL,
};

/* --- config.json --- */

static const struct bs_family_config stablelm_config = {
    .keys = stablelm_keys,
    .max_positions = 4096,
    .kv_heads = 32,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 0.25,
    .even_rotary_dim = true,
    .activation = "silu",
};

/* 4.57 has a rope_theta of 10000. */
static const struct bs_family_config cohere_config = {
    .keys = cohere_keys,
    .max_positions = 8192,
    .norm_eps = 1e-5,
    .rope_theta = 500000,
    .rotary_share = 1,
    .logit_scale = 0.0625,
    .activation = "silu",
    .tied = true,
};

static const struct bs_family_config cohere2_config = {
    .keys = cohere2_keys,
    .neutral = cohere2_neutral,
    .harmless = cohere2_harmless,
    .max_positions = 8192,
    .sliding_window = 4096,
    .window_pattern = 4,
    .rotated = BS_ROTATED_WINDOWS,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .logit_scale = 0.0625,
    .activation = "silu",
    .tied = true,
};

static const struct bs_family_config starcoder2_config = {
    .keys = starcoder2_keys,
    .neutral = starcoder2_neutral,
    .harmless = starcoder2_harmless,
    .max_positions = 4096,
    .kv_heads = 2,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "gelu_pytorch_tanh",
    .tied = true,
    .biases = BS_BIASES_ALL,
};

static const struct bs_family_config nemotron_config = {
    .keys = nemotron_keys,
    .max_positions = 4096,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 0.5,
    .activation = "relu2",
};

static const struct bs_family_config gptj_config = {
    .keys = gptj_keys,
    .neutral = gptj_neutral,
    .harmless = gptj_harmless,
    .max_positions = 2048,
    .intermediate_times = 4,
    .rotary_dim = 64,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .activation = "gelu_new",
    .biases = BS_BIASES_MLP,
};

static const struct bs_family_config mpt_config = {
    .keys = mpt_keys,
    .neutral = mpt_neutral,
    .harmless = mpt_harmless,
    .nested = "attn_config",
    .max_positions = 2048,
    .intermediate_times = 4,
    .norm_eps = 1e-5,
    .activation = "gelu",
    .tied = true,
};

static const struct bs_selector falcon_sequential[] = {
    {"new_decoder_architecture", "false", true},
    {"parallel_attn", "false", false},
    {NULL, NULL, false},
};

static const struct bs_selector falcon_old[] = {
    {"new_decoder_architecture", "false", true},
    {NULL, NULL, false},
};

static const struct bs_selector falcon_new_shared[] = {
    {"new_decoder_architecture", "true", false},
    {"num_ln_in_parallel_attn", "1", false},
    {NULL, NULL, false},
};

static const struct bs_selector falcon_new[] = {
    {"new_decoder_architecture", "true", false},
    {NULL, NULL, false},
};

#define FALCON_DEFAULTS                                                                            \
    .keys = falcon_keys, .max_positions = 2048, .intermediate_times = 4, .norm_eps = 1e-5,         \
    .rope_theta = 10000, .rotary_share = 1, .activation = "gelu", .tied = true

static const struct bs_family_config falcon_sequential_config = {
    FALCON_DEFAULTS,
    .harmless = falcon_sequential_harmless,
    .selectors = falcon_sequential,
    .multi_query = true,
};

static const struct bs_family_config falcon_config = {
    FALCON_DEFAULTS,         .harmless = falcon_harmless, .neutral = falcon_neutral,
    .selectors = falcon_old, .multi_query = true,
};

static const struct bs_family_config falcon_new_shared_config = {
    FALCON_DEFAULTS,
    .harmless = falcon_harmless,
    .neutral = falcon_new_shared_neutral,
    .selectors = falcon_new_shared,
};

static const struct bs_family_config falcon_new_config = {
    FALCON_DEFAULTS,
    .harmless = falcon_harmless,
    .neutral = falcon_new_neutral,
    .selectors = falcon_new,
};

/* --- tensors --- */

#define COHERE_ROW                                                                                 \
    LLAMA_NAMES, LLAMA_LINEARS,                                                                    \
        .norm = BS_LAYER_NORM_UNBIASED, .qk_norm_kind = BS_LAYER_NORM_UNBIASED,                    \
        .qk_norm = BS_QK_NORM_EACH_HEAD, .wiring = BS_PARALLEL, .rotary_interleaved = true,        \
        .attention_module = BS_MODULE_BLOCK, .mlp_module = BS_MODULE_BLOCK

#define FALCON_NAMES                                                                               \
    .model_type = "falcon", .prefix = "transformer.", .embedding = "word_embeddings",              \
    .final_norm = "ln_f", .head = "lm_head", .block = "h.%d.",                                     \
    .linears = {FUSED_LINEARS("self_attention", "query_key_value")},                               \
    .fused_qkv = "self_attention.query_key_value", .fused = BS_FUSED_GROUPS,                       \
    .norm = BS_LAYER_NORM, .alibi_bfloat16 = true, .attention_module = BS_MODULE_BLOCK,            \
    .mlp_module = BS_MODULE_BLOCK

static const struct bs_family rows[] = {
    {
        .model_type = "stablelm",
        .models = "StableLM",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS, [BS_NORM_Q] = "self_attn.q_layernorm.norms.%d",
                  [BS_NORM_K] = "self_attn.k_layernorm.norms.%d"},
        .norm = BS_LAYER_NORM,
        .qk_norm_kind = BS_LAYER_NORM_UNBIASED,
        .qk_norm = BS_QK_NORM_HEAD_TENSORS,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &stablelm_config,
    },
    {
        .model_type = "cohere",
        .models = "Command R and Aya",
        COHERE_ROW,
        .norms = {[BS_NORM_ATTENTION] = "input_layernorm", QK_NORMS},
        .config = &cohere_config,
    },
    {
        .model_type = "cohere2",
        .models = "Command R7B and A, Tiny Aya",
        COHERE_ROW,
        .norms = {[BS_NORM_ATTENTION] = "input_layernorm"},
        .config = &cohere2_config,
    },
    {
        .model_type = "starcoder2",
        .models = "StarCoder 2",
        .prefix = "model.",
        .embedding = "embed_tokens",
        .final_norm = "norm",
        .head = "lm_head",
        .block = "layers.%d.",
        .norms = {LLAMA_NORMS},
        .linears = {{"q", "self_attn.q_proj"},
                    {"k", "self_attn.k_proj"},
                    {"v", "self_attn.v_proj"},
                    {"o", "self_attn.o_proj"},
                    {"up", "mlp.c_fc"},
                    {"down", "mlp.c_proj"}},
        .norm = BS_LAYER_NORM,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &starcoder2_config,
    },
    {
        .model_type = "nemotron",
        .models = "Nemotron-4 and Minitron",
        .prefix = "model.",
        .embedding = "embed_tokens",
        .final_norm = "norm",
        .head = "lm_head",
        .block = "layers.%d.",
        .norms = {LLAMA_NORMS},
        .linears = {{"q", "self_attn.q_proj"},
                    {"k", "self_attn.k_proj"},
                    {"v", "self_attn.v_proj"},
                    {"o", "self_attn.o_proj"},
                    {"up", "mlp.up_proj"},
                    {"down", "mlp.down_proj"}},
        .norm = BS_LAYER_NORM,
        .norm_plus_one = true,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &nemotron_config,
    },
    {
        .model_type = "gptj",
        .models = "GPT-J",
        .prefix = "transformer.",
        .embedding = "wte",
        .final_norm = "ln_f",
        .head = "lm_head",
        .head_bias = true,
        .block = "h.%d.",
        .norms = {[BS_NORM_ATTENTION] = "ln_1"},
        .linears = {{"q", "attn.q_proj"},
                    {"k", "attn.k_proj"},
                    {"v", "attn.v_proj"},
                    {"o", "attn.out_proj"},
                    {"up", "mlp.fc_in"},
                    {"down", "mlp.fc_out"}},
        .norm = BS_LAYER_NORM,
        .wiring = BS_PARALLEL,
        .rotary_interleaved = true,
        .attention_module = BS_MODULE_BLOCK,
        .mlp_module = BS_MODULE_BLOCK,
        .config = &gptj_config,
    },
    {
        .model_type = "mpt",
        .models = "MPT",
        .prefix = "transformer.",
        .embedding = "wte",
        .final_norm = "norm_f",
        .head = "lm_head",
        .block = "blocks.%d.",
        .norms = {[BS_NORM_ATTENTION] = "norm_1", [BS_NORM_MLP] = "norm_2"},
        .linears = {{"q", "attn.Wqkv.q"},
                    {"k", "attn.Wqkv.k"},
                    {"v", "attn.Wqkv.v"},
                    {"o", "attn.out_proj"},
                    {"up", "ffn.up_proj"},
                    {"down", "ffn.down_proj"}},
        .fused_qkv = "attn.Wqkv",
        .fused = BS_FUSED_SECTIONS,
        .fused_v_folds = true,
        .norm = BS_LAYER_NORM_UNBIASED,
        .positions_kind = BS_ALIBI,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &mpt_config,
    },
    {
        FALCON_NAMES,
        .models = "Falcon rw, with ALiBi",
        .norms = {LLAMA_NORMS},
        .wiring = BS_PRE_NORM,
        .config = &falcon_sequential_config,
    },
    {
        FALCON_NAMES,
        .models = "Falcon 7b and what is built like it",
        .norms = {[BS_NORM_ATTENTION] = "input_layernorm"},
        .wiring = BS_PARALLEL,
        .config = &falcon_config,
    },
    {
        FALCON_NAMES,
        .models = "Falcon 11b",
        .norms = {[BS_NORM_ATTENTION] = "input_layernorm"},
        .wiring = BS_PARALLEL,
        .config = &falcon_new_shared_config,
    },
    {
        FALCON_NAMES,
        .models = "Falcon 40b and 180b",
        .norms = {[BS_NORM_ATTENTION] = "ln_attn", [BS_NORM_MLP] = "ln_mlp"},
        .wiring = BS_PARALLEL,
        .config = &falcon_new_config,
    },
};

const struct bs_family_rows bs_rows_layer_norm = {rows, sizeof rows / sizeof *rows};
