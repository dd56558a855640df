/* The model families: what their checkpoints call the tensors, and how their config.json is read,
 * with the names and defaults of transformers' configuration classes. A new family with the same
 * kind of block is one row. */
#include "eval/model/families.h"

#include <limits.h>
#include <string.h>

#include "eval/model/family_rows.h"

/* --- keys --- */

#define GEMMA_KEYS                                                                                 \
    LLAMA_LIKE_KEYS, RMS_KEYS, {"hidden_activation", BS_KEY_ACTIVATION},                           \
        {"query_pre_attn_scalar", BS_KEY_QUERY_PRE_ATTN_SCALAR},                                   \
        {"final_logit_softcapping", BS_KEY_LOGIT_SOFTCAP},                                         \
        {"sliding_window", BS_KEY_SLIDING_WINDOW}, {"layer_types", BS_KEY_LAYER_TYPES},            \
    {                                                                                              \
        "attention_bias", BS_KEY_ATTENTION_BIAS                                                    \
    }

static const struct bs_config_key_name llama_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    {"hidden_act", BS_KEY_ACTIVATION},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {"mlp_bias", BS_KEY_MLP_BIAS},
    {.name = NULL},
};

static const struct bs_config_key_name mistral_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    {"hidden_act", BS_KEY_ACTIVATION},
    {"sliding_window", BS_KEY_SLIDING_WINDOW},
    {.name = NULL},
};

static const struct bs_config_key_name qwen2_keys[] = {
    LLAMA_LIKE_KEYS, RMS_KEYS, {"hidden_act", BS_KEY_ACTIVATION}, QWEN_WINDOW_KEYS, {.name = NULL},
};

static const struct bs_config_key_name qwen3_keys[] = {
    LLAMA_LIKE_KEYS,
    RMS_KEYS,
    QWEN_WINDOW_KEYS,
    {"hidden_act", BS_KEY_ACTIVATION},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {.name = NULL},
};

static const struct bs_config_key_name gemma2_keys[] = {
    GEMMA_KEYS,
    {"attn_logit_softcapping", BS_KEY_ATTENTION_SOFTCAP},
    {.name = NULL},
};

static const struct bs_config_key_name gemma3_keys[] = {
    GEMMA_KEYS,
    {"rope_local_base_freq", BS_KEY_LOCAL_ROPE_THETA},
    {"sliding_window_pattern", BS_KEY_WINDOW_PATTERN},
    {.name = NULL},
};

static const struct bs_config_key_name phi_keys[] = {
    LLAMA_LIKE_KEYS,
    {"layer_norm_eps", BS_KEY_NORM_EPS},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"partial_rotary_factor", BS_KEY_ROTARY_SHARE},
    {"qk_layernorm", BS_KEY_QK_NORM},
    {.name = NULL},
};

static const struct bs_config_key_name opt_keys[] = {
    SIZE_KEYS,
    {"ffn_dim", BS_KEY_INTERMEDIATE_SIZE},
    {"max_position_embeddings", BS_KEY_MAX_POSITIONS},
    {"word_embed_proj_dim", BS_KEY_EMBEDDING_SIZE},
    {"activation_function", BS_KEY_ACTIVATION},
    {"layer_norm_elementwise_affine", BS_KEY_NORM_AFFINE},
    {"do_layer_norm_before", BS_KEY_NORM_BEFORE},
    {"_remove_final_layer_norm", BS_KEY_NO_FINAL_NORM},
    {"enable_bias", BS_KEY_BIAS},
    {.name = NULL},
};

static const struct bs_config_key_name gpt2_keys[] = {
    {"n_embd", BS_KEY_HIDDEN_SIZE},
    {"n_layer", BS_KEY_NUM_LAYERS},
    {"n_head", BS_KEY_NUM_HEADS},
    {"n_inner", BS_KEY_INTERMEDIATE_SIZE},
    {"n_positions", BS_KEY_MAX_POSITIONS},
    {"vocab_size", BS_KEY_VOCAB_SIZE},
    {"layer_norm_epsilon", BS_KEY_NORM_EPS},
    {"activation_function", BS_KEY_ACTIVATION},
    {"scale_attn_weights", BS_KEY_ATTENTION_SCALED},
    {"scale_attn_by_inverse_layer_idx", BS_KEY_ATTENTION_SCALE_BY_LAYER},
    {"tie_word_embeddings", BS_KEY_TIED},
    {.name = NULL},
};

static const struct bs_config_key_name neox_keys[] = {
    SIZE_KEYS,
    {"intermediate_size", BS_KEY_INTERMEDIATE_SIZE},
    {"max_position_embeddings", BS_KEY_MAX_POSITIONS},
    {"layer_norm_eps", BS_KEY_NORM_EPS},
    {"hidden_act", BS_KEY_ACTIVATION},
    {"rotary_pct", BS_KEY_ROTARY_SHARE},
    {"rotary_emb_base", BS_KEY_ROPE_THETA},
    {"rope_scaling", BS_KEY_ROPE},
    {"rope_parameters", BS_KEY_ROPE},
    {"use_parallel_residual", BS_KEY_PARALLEL},
    {"attention_bias", BS_KEY_ATTENTION_BIAS},
    {.name = NULL},
};

static const struct bs_config_key_name bloom_keys[] = {
    {"hidden_size", BS_KEY_HIDDEN_SIZE},
    {"n_embed", BS_KEY_HIDDEN_SIZE},
    {"n_layer", BS_KEY_NUM_LAYERS},
    {"num_hidden_layers", BS_KEY_NUM_LAYERS},
    {"n_head", BS_KEY_NUM_HEADS},
    {"num_attention_heads", BS_KEY_NUM_HEADS},
    {"vocab_size", BS_KEY_VOCAB_SIZE},
    {"layer_norm_epsilon", BS_KEY_NORM_EPS},
    {"tie_word_embeddings", BS_KEY_TIED},
    {"apply_residual_connection_post_layernorm", BS_KEY_NORMED_STREAM},
    {.name = NULL},
};

static const struct bs_neutral_key gemma3_neutral[] = {{"attn_logit_softcapping", "null"},
                                                       {NULL, NULL}};

/* Galactica's. */
static const struct bs_neutral_key opt_neutral[] = {
    {"learned_embeddings", "true"}, {"scale_embeddings", "false"}, {NULL, NULL}};

static const struct bs_neutral_key bloom_neutral[] = {{"n_inner", "null"}, {NULL, NULL}};

/* hidden_activation is the one that counts; the pattern with the underscore is only written. */
static const char *const gemma_harmless[] = {"hidden_act", "cache_implementation",
                                             "_sliding_window_pattern", NULL};

static const char *const gpt2_harmless[] = {
    "n_ctx",
    "n_special",
    "predict_special_tokens",
    "reorder_and_upcast_attn",
    "summary_activation",
    "summary_first_dropout",
    "summary_type",
    "summary_use_proj",
    "summary_proj_to_labels",
    NULL,
};

/* pretraining_tp sums the same products in slices, and only where slow_but_exact asks for it;
 * offset_alibi is of code before the release. */
static const char *const bloom_harmless[] = {
    "slow_but_exact",      "attention_softmax_in_fp32",
    "bias_dropout_fusion", "skip_bias_add",
    "skip_bias_add_qkv",   "masked_softmax_fusion",
    "offset_alibi",        "seq_length",
    "pretraining_pp",      NULL,
};

/* --- config.json --- */

static const struct bs_family_config llama_config = {
    .class_sizes = {4096, 11008, 32, 32, 32000},
    .keys = llama_keys,
    .max_positions = 2048,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config mistral_config = {
    .class_sizes = {4096, 14336, 32, 32, 32000},
    .keys = mistral_keys,
    .max_positions = 131072,
    .kv_heads = 8,
    .sliding_window = 4096,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config qwen2_config = {
    .class_sizes = {4096, 22016, 32, 32, 151936},
    .keys = qwen2_keys,
    .max_positions = 32768,
    .kv_heads = 32,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
    .biases = BS_BIASES_QKV,
};

static const struct bs_family_config qwen3_config = {
    .class_sizes = {4096, 22016, 32, 32, 151936},
    .keys = qwen3_keys,
    .max_positions = 32768,
    .kv_heads = 32,
    .head_dim = 128,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .activation = "silu",
};

static const struct bs_family_config gemma2_config = {
    .class_sizes = {2304, 9216, 26, 8, 256000},
    .keys = gemma2_keys,
    .harmless = gemma_harmless,
    .max_positions = 8192,
    .kv_heads = 4,
    .head_dim = 256,
    .sliding_window = 4096,
    .window_pattern = 2,
    .norm_eps = 1e-6,
    .rope_theta = 10000,
    .rotary_share = 1,
    .query_pre_attn_scalar = 256,
    .attention_softcap = 50,
    .logit_softcap = 30,
    .activation = "gelu_pytorch_tanh",
    .tied = true,
};

static const struct bs_family_config gemma3_config = {
    .class_sizes = {2304, 9216, 26, 8, 262208},
    .keys = gemma3_keys,
    .neutral = gemma3_neutral,
    .harmless = gemma_harmless,
    .max_positions = 131072,
    .kv_heads = 4,
    .head_dim = 256,
    .sliding_window = 4096,
    .window_pattern = 6,
    .norm_eps = 1e-6,
    .rope_theta = 1e6,
    .local_rope_theta = 10000,
    .rotary_share = 1,
    .query_pre_attn_scalar = 256,
    .activation = "gelu_pytorch_tanh",
    .tied = true,
};

static const struct bs_family_config phi_config = {
    .keys = phi_keys,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 0.5,
    .even_rotary_dim = true,
    .activation = "gelu_new",
    .biases = BS_BIASES_ALL,
};

static const struct bs_family_config opt_config = {
    .keys = opt_keys,
    .neutral = opt_neutral,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .activation = "relu",
    .tied = true,
    .biases = BS_BIASES_ALL,
};

static const struct bs_family_config gpt2_config = {
    .keys = gpt2_keys,
    .harmless = gpt2_harmless,
    .max_positions = 1024,
    .intermediate_times = 4,
    .norm_eps = 1e-5,
    .activation = "gelu_new",
    .tied = true,
    .biases = BS_BIASES_ALL,
};

static const struct bs_family_config neox_config = {
    .keys = neox_keys,
    .max_positions = 2048,
    .norm_eps = 1e-5,
    .rope_theta = 10000,
    .rotary_share = 0.25,
    .activation = "gelu",
    .biases = BS_BIASES_ALL,
};

static const struct bs_family_config bloom_config = {
    .keys = bloom_keys,
    .neutral = bloom_neutral,
    .harmless = bloom_harmless,
    .max_positions = INT_MAX,
    .intermediate_times = 4,
    .norm_eps = 1e-5,
    .activation = "gelu_pytorch_tanh", /* which BLOOM's own function is */
    .tied = true,
    .biases = BS_BIASES_ALL,
};

/* --- tensors --- */

static const struct bs_family first_rows[] = {
    {
        .model_type = "llama",
        .models = "Llama 1, 2 and 3 and what is built like them",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &llama_config,
    },
    {
        .model_type = "mistral",
        .models = "Mistral",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &mistral_config,
    },
    {
        .model_type = "qwen2",
        .models = "Qwen2 and Qwen2.5",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS},
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &qwen2_config,
    },
    {
        .model_type = "qwen3",
        .models = "Qwen3",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {LLAMA_NORMS, QK_NORMS},
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &qwen3_config,
    },
    {
        .model_type = "gemma2",
        .models = "Gemma 2",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {GEMMA_NORMS},
        .norm_plus_one = true,
        .embedding_scale = true,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &gemma2_config,
    },
    {
        .model_type = "gemma3_text",
        .models = "Gemma 3, the text-only checkpoints",
        LLAMA_NAMES,
        LLAMA_LINEARS,
        .norms = {GEMMA_NORMS, QK_NORMS},
        .norm_plus_one = true,
        .embedding_scale = true,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &gemma3_config,
    },
    {
        .model_type = "phi",
        .models = "Phi-1, 1.5 and 2",
        .prefix = "model.",
        .embedding = "embed_tokens",
        .final_norm = "final_layernorm",
        .head = "lm_head",
        .head_bias = true,
        .block = "layers.%d.",
        .norms = {[BS_NORM_ATTENTION] = "input_layernorm",
                  [BS_NORM_Q] = "self_attn.q_layernorm",
                  [BS_NORM_K] = "self_attn.k_layernorm"},
        .qk_norm_kind = BS_LAYER_NORM,
        .linears = {{"q", "self_attn.q_proj"},
                    {"k", "self_attn.k_proj"},
                    {"v", "self_attn.v_proj"},
                    {"o", "self_attn.dense"},
                    {"up", "mlp.fc1"},
                    {"down", "mlp.fc2"}},
        .norm = BS_LAYER_NORM,
        .wiring = BS_PARALLEL,
        .attention_module = BS_MODULE_BLOCK,
        .mlp_module = BS_MODULE_BLOCK,
        .config = &phi_config,
    },
    {
        .model_type = "opt",
        .models = "OPT, all sizes",
        .prefix = "model.",
        .embedding = "decoder.embed_tokens",
        .positions = "decoder.embed_positions",
        .project_in = "decoder.project_in",
        .project_out = "decoder.project_out",
        .final_norm = "decoder.final_layer_norm",
        .head = "lm_head",
        .block = "decoder.layers.%d.",
        .norms = {[BS_NORM_ATTENTION] = "self_attn_layer_norm", [BS_NORM_MLP] = "final_layer_norm"},
        .linears = {{"q", "self_attn.q_proj"},
                    {"k", "self_attn.k_proj"},
                    {"v", "self_attn.v_proj"},
                    {"o", "self_attn.out_proj"},
                    {"up", "fc1"},
                    {"down", "fc2"}},
        .norm = BS_LAYER_NORM,
        .positions_kind = BS_LEARNED,
        .position_offset = 2,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_LINEAR,
        .config = &opt_config,
    },
    {
        .model_type = "gpt2",
        .models = "GPT-2",
        .prefix = "transformer.",
        .embedding = "wte",
        .positions = "wpe",
        .final_norm = "ln_f",
        .head = "lm_head",
        .block = "h.%d.",
        .norms = {[BS_NORM_ATTENTION] = "ln_1", [BS_NORM_MLP] = "ln_2"},
        .linears = {{"q", "attn.c_attn.q"},
                    {"k", "attn.c_attn.k"},
                    {"v", "attn.c_attn.v"},
                    {"o", "attn.c_proj"},
                    {"up", "mlp.c_fc"},
                    {"down", "mlp.c_proj"}},
        .fused_qkv = "attn.c_attn",
        .fused = BS_FUSED_SECTIONS,
        .transposed = true,
        .norm = BS_LAYER_NORM,
        .positions_kind = BS_LEARNED,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &gpt2_config,
    },
    {
        .model_type = "gpt_neox",
        .models = "GPT-NeoX and Pythia",
        .prefix = "gpt_neox.",
        .embedding = "embed_in",
        .final_norm = "final_layer_norm",
        .head = "embed_out",
        .block = "layers.%d.",
        .norms = {LLAMA_NORMS},
        .linears = {FUSED_LINEARS("attention", "query_key_value")},
        .fused_qkv = "attention.query_key_value",
        .fused = BS_FUSED_GROUPS,
        .norm = BS_LAYER_NORM,
        .wiring = BS_PARALLEL,
        .attention_module = BS_MODULE_ATTENTION,
        .mlp_module = BS_MODULE_MLP,
        .config = &neox_config,
    },
    {
        .model_type = "bloom",
        .models = "BLOOM",
        .prefix = "transformer.",
        .embedding = "word_embeddings",
        .embedding_norm = "word_embeddings_layernorm",
        .final_norm = "ln_f",
        .head = "lm_head",
        .block = "h.%d.",
        .norms = {LLAMA_NORMS},
        .linears = {FUSED_LINEARS("self_attention", "query_key_value")},
        .fused_qkv = "self_attention.query_key_value",
        .fused = BS_FUSED_GROUPS,
        .norm = BS_LAYER_NORM,
        .positions_kind = BS_ALIBI,
        .attention_module = BS_MODULE_BLOCK,
        .mlp_module = BS_MODULE_BLOCK,
        .config = &bloom_config,
    },
};

static const struct bs_family_rows first = {first_rows, sizeof first_rows / sizeof *first_rows};

const struct bs_family *bs_family_at(int index)
{
    const struct bs_family_rows *const all[] = {&first, &bs_rows_like_llama, &bs_rows_experts,
                                                &bs_rows_layer_norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (index < all[i]->count)
            return &all[i]->rows[index];
        index -= all[i]->count;
    }
    return NULL;
}

unsigned bs_family_norms(const struct bs_family *family)
{
    unsigned norms = 0;
    for (int n = 0; n < BS_NUM_NORMS; n++)
        if (family->norms[n])
            norms |= 1u << n;
    return norms;
}

const struct bs_family *bs_family_find(const char *model_type)
{
    const struct bs_family *row;
    for (int f = 0; (row = bs_family_at(f)); f++)
        if (!strcmp(row->model_type, model_type))
            return row;
    return NULL;
}

const char *bs_config_key_of(const struct bs_family_config *rules, enum bs_key key)
{
    for (const struct bs_config_key_name *k = rules->keys; k->name; k++)
        if (k->key == key)
            return k->name;
    return NULL;
}
