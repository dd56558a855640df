#include "eval/model/config_words.h"

#include <ctype.h>
#include <string.h>

#include "eval/base/json.h"

enum { MOST_WORDS = 24, WORD_BYTES = 32 };

/* A name in its words: "numKvHeads" and "num_kv_heads" are the same. */
struct words {
    int count;
    char words[MOST_WORDS][WORD_BYTES];
};

/* --- words --- */

/* Any of them makes a name one about arithmetic. */
static const char *const arithmetic_words[] = {
    /* positions */
    "rope", "mrope", "nope", "norope", "rotary", "yarn", "ntk", "alibi", "rpe", "xpos", "position",
    "positions", "positional", "pos", "theta",
    /* norms */
    "norm", "norms", "prenorm", "postnorm", "layernorm", "layernorms", "rmsnorm", "qknorm", "ln",
    "rms", "normalization", "normalize", "normalized", "standardize", "standardization", "centered",
    "sandwich", "layerscale", "deepnorm", "eps", "epsilon",
    /* scales and limits */
    "scale", "scales", "scaled", "scaling", "rescale", "rescaling", "multiplier", "multipliers",
    "factor", "factors", "mscale", "mup", "softmax", "softmax1", "compression", "cap", "caps",
    "capping", "softcap", "softcapping", "clip", "clipping", "clamp", "clamping",
    /* attention */
    "attn", "attention", "window", "windows", "windowed", "sliding", "swa", "causal",
    "bidirectional", "head", "heads", "kv", "qk", "qkv", "query", "mha", "mqa", "gqa", "mla",
    "sink", "sinks", "sparse", "sparsity", "latent", "chunk", "chunked", "logn", "ssmax", "mask",
    "masks", "dilation", "dilated", "interleaved", "alternating",
    /* feed-forward */
    "mlp", "mlps", "ffn", "ff", "feedforward", "act", "activation", "activations", "gelu", "relu",
    "silu", "swish", "swiglu", "geglu", "glu", "gate", "gates", "gating", "expert", "experts",
    "moe", "router", "routers", "routed", "routing", "mixture", "nonlinearity", "sqrelu",
    /* wiring and the rest */
    "bias", "biases", "residual", "residuals", "resid", "parallel", "tie", "tied", "untie",
    "untied", "tying", "share", "shared", "sharing", "repeat", "repeated", "loop", "loops", "shift",
    "rotate", "rotated", "steering", "quant", "quantization", "quantize", "quantized", "bitnet",
    "ternary", "binary", "logit", "logits", "ssm", "mamba", "mamba2", "rwkv", "conv", "shortconv",
    "convolution", "recurrent", "recurrence", "hybrid", "topk", "fraction", "sinusoidal", "fourier",
    "pattern", "types", "ple", "altup", "laurel", "hyena", "retention", NULL};

/* The same where the value is a number or a list: how many, how large, and the letters of
 * formulas. */
static const char *const counting_words[] = {
    "num",    "n",      "d",     "dim",   "dims",   "size",  "sizes", "width",
    "depth",  "groups", "every", "layer", "layers", "local", "bit",   "bits",
    "stride", "alpha",  "beta",  "gamma", "tau",    NULL};

/* Any of them makes a name a note whatever else is in it: training, data, generation, storage, how
 * the machine computes, and inputs that are no text. */
static const char *const note_words[] = {
    /* training */
    "dropout", "dropouts", "droppath", "drop", "pdrop", "initializer", "init", "initialization",
    "loss", "losses", "grad", "gradient", "gradients", "adam", "adamw", "optim", "optimizer", "lr",
    "learning", "scheduler", "warmup", "decay", "epoch", "epochs", "steps", "batch", "batches",
    "train", "training", "validation", "val", "test", "trained", "trainer", "trainable", "pretrain",
    "pretraining", "finetune", "finetuned", "finetuning", "finetuner", "sft", "dpo", "kto", "orpo",
    "grpo", "ppo", "rlhf", "reward", "rewards", "kl", "kd", "distill", "distillation", "distilled",
    "teacher", "student", "lora", "qlora", "dora", "peft", "galore", "neftune", "noise", "jitter",
    "smoothing", "freeze", "frozen", "unfrozen", "merge", "merged", "mergekit", "slerp", "axolotl",
    "unsloth", "trl", "wandb", "deepspeed", "fsdp", "ddp",
    /* data and evaluation */
    "dataset", "datasets", "data", "corpus", "sample", "samples", "sampling", "examples", "seed",
    "eval", "evaluation", "benchmark", "benchmarks", "metric", "metrics", "document", "documents",
    "packing",
    /* words in and out */
    "tokenizer", "prompt", "template", "chat", "language", "languages", "label", "labels", "task",
    "tasks", "classes", "class", "classifier", "pooler", "pooling", "summary", "generation",
    "generate", "beam", "beams", "penalty", "ngram", "stop", "pad", "padding", "return",
    /* the machine */
    "flash", "sdpa", "eager", "xformers", "kernels", "triton", "compile", "compiled", "fused",
    "fuse", "fusion", "impl", "implementation", "backend", "efficient", "cache", "caching",
    "checkpoint", "checkpointing", "checkpoints", "offload", "dtype", "precision", "fp32", "fp16",
    "bf16", "float32", "upcast", "device", "devices", "cuda", "gpu", "gpus", "cpu", "tensor",
    "pipeline", "sequence", "tp", "pp", "dp", "world", "workers", "worker", "nodes", "processes",
    "shard", "shards", "speed",
    /* the file */
    "license", "author", "authors", "url", "date", "timestamp", "revision", "commit", "hash", "sha",
    "path", "paths", "file", "files", "filename", "description", "comment", "comments", "metadata",
    "tags", "onnx", "gguf", "mlx", "ctx",
    /* inputs that are no text */
    "vision", "visual", "image", "images", "video", "audio", "speech", "mm", "multimodal", "patch",
    "pixel", "pixels", "frames", NULL};

/* Words of a number or limit of which 0 is none, and of a factor of which 1 is none. Factors of
 * attention are not among these: there 1 is one of many values. */
static const char *const limit_words[] = {"cap",    "caps",     "capping", "softcap", "softcapping",
                                          "clip",   "clipping", "clamp",   "window",  "sliding",
                                          "expert", "experts",  "moe",     "num",     "n",
                                          "sink",   "sinks",    "chunk",   NULL};
static const char *const factor_words[] = {"scale",  "scales",      "scaling", "multiplier",
                                           "factor", "multipliers", "mscale",  NULL};
/* Of these -1 is none too. */
static const char *const window_words[] = {"window", "windows", "sliding", NULL};
/* Where 0 and 1 are values like others. */
static const char *const strict_limits[] = {
    "rope", "rotary",  "position", "positions", "theta", "head", "heads",  "kv",
    "eps",  "epsilon", "attn",     "attention", "query", "qk",   "layers", NULL};
static const char *const strict_factors[] = {"attn", "attention", "query",   "qk",
                                             "head", "heads",     "softmax", NULL};

/* --- whole names --- */

/* About arithmetic, though a note word is in them, or no other. */
static const char *const arithmetic_names[] = {"q_lora_rank",
                                               "kv_lora_rank",
                                               "o_lora_rank",
                                               "attn_temperature_tuning",
                                               "decoder_sparse_step",
                                               "interleave_moe_layer_step",
                                               "time_step_rank",
                                               "time_step_limit",
                                               "time_step_floor",
                                               "time_step_min",
                                               "time_step_max",
                                               "dff",
                                               "expand",
                                               "prefix_lm",
                                               "scoring_func",
                                               "new_decoder_architecture",
                                               "dt_rank",
                                               "first_k_dense_replace",
                                               "norm_topk_prob",
                                               "layer_scale_init",
                                               "layer_scale_init_value",
                                               "lambda_init",
                                               "kv_cache_compression",
                                               "layers_block_type",
                                               "block_type",
                                               "layer_type",
                                               "layer_drop_schedule",
                                               "flash_attention_window",
                                               "use_stable_embedding",
                                               "memory_tokens",
                                               "prefix_tokens",
                                               "prefix_length",
                                               "virtual_tokens",
                                               "soft_prompt",
                                               "token_type_embeddings",
                                               "segment_embeddings",
                                               "layer_skip",
                                               "weight_bits",
                                               "per_layer_config",
                                               "is_encoder_decoder",
                                               "output_multiplier_scale",
                                               "attention_output_gate",
                                               "attn_output_gate",
                                               "output_gate",
                                               "token_shift",
                                               "state_size",
                                               "floor_scale",
                                               "expansion_ratio",
                                               "attention_sequence_parallel",
                                               "d_conv",
                                               "embedding_multiplier_scale",
                                               NULL};

/* Notes, though their words sound like arithmetic: lengths, training, generation, what only says
 * what happened to be computed, and settings of tools. */
static const char *const note_names[] = {"n_ctx",
                                         "n_positions",
                                         "max_position_embeddings",
                                         "context_window",
                                         "make_vocab_size_divisible_by",
                                         "original_vocab_size",
                                         "unpadded_vocab_size",
                                         "num_proc",
                                         "max_num_seqs",
                                         "vocab_parallel",
                                         "use_parallel_embedding",
                                         "max_positions",
                                         "max_seq_len",
                                         "max_window_layers",
                                         "n_special",
                                         "num_labels",
                                         "type_vocab_size",
                                         "logits_to_keep",
                                         "model_parallel",
                                         "model_parallel_size",
                                         "num_params",
                                         "num_tokens",
                                         "local_rank",
                                         "n_params",
                                         "num_parameters",
                                         "n_parameters",
                                         "num_logits_to_keep",
                                         "sequence_bias",
                                         "logit_bias",
                                         "renormalize_logits",
                                         "guidance_scale",
                                         "epsilon_cutoff",
                                         "eta_cutoff",
                                         "dola_layers",
                                         "num_assistant_tokens",
                                         "num_assistant_tokens_schedule",
                                         "prompt_lookup_num_tokens",
                                         "prefill_chunk_size",
                                         "output_attentions",
                                         "output_hidden_states",
                                         "output_router_logits",
                                         "output_logits",
                                         "output_scores",
                                         "model_size",
                                         "multiple_of",
                                         "pretraining_tp",
                                         "gated",
                                         "num_return_sequences",
                                         "load_in_4bit",
                                         "load_in_8bit",
                                         "chunk_size_feed_forward",
                                         "token_types",
                                         "block_size",
                                         "vocab_size_multiple",
                                         "is_causal_lm",
                                         "parallelization",
                                         NULL};

/* --- reading a name --- */

static bool is_start(const char *key, size_t i)
{
    if (isupper((unsigned char)key[i]))
        return i > 0 && islower((unsigned char)key[i - 1]);
    return i > 0 && !isalnum((unsigned char)key[i - 1]);
}

static void split(const char *key, struct words *out)
{
    size_t length = 0;
    out->count = 0;
    for (size_t i = 0; key[i] && out->count < MOST_WORDS; i++) {
        if (is_start(key, i) && length) {
            out->words[out->count++][length] = 0;
            length = 0;
        }
        if (out->count < MOST_WORDS && isalnum((unsigned char)key[i]) && length < WORD_BYTES - 1)
            out->words[out->count][length++] = (char)tolower((unsigned char)key[i]);
    }
    if (length && out->count < MOST_WORDS)
        out->words[out->count++][length] = 0;
}

static bool any_in(const struct words *words, const char *const *list)
{
    for (int w = 0; w < words->count; w++)
        if (bs_word_in(words->words[w], list))
            return true;
    return false;
}

/* Special tokens: "eos_token_id", "pad_token", "image_token_index". */
static bool names_token(const struct words *words)
{
    static const char *const endings[] = {"id", "ids", "index", "str", NULL};
    int last = words->count - 1;
    for (int w = 0; w < words->count; w++)
        if (!strcmp(words->words[w], "per"))
            return false; /* num_experts_per_token */
    if (last >= 1 && bs_word_in(words->words[last], endings))
        last--;
    return last >= 0 && !strcmp(words->words[last], "token");
}

/* A size or a number is no arithmetic where it is said in words ("7B"). */
static bool is_number(const json_t *value)
{
    return json_is_number(value) || json_is_array(value) || json_is_object(value);
}

bool bs_config_is_arithmetic(const char *key, const json_t *value)
{
    struct words words;
    if (bs_word_in(key, arithmetic_names))
        return true;
    if (bs_word_in(key, note_names))
        return false;
    split(key, &words);
    if (any_in(&words, note_words) || names_token(&words))
        return false;
    return any_in(&words, arithmetic_words) || (is_number(value) && any_in(&words, counting_words));
}

/* --- values that switch nothing on --- */

static bool is_word_off(const char *word)
{
    static const char *const off[] = {"",        "none",     "default",        "full",
                                      "vanilla", "standard", "full_attention", NULL};
    return bs_word_in(word, off);
}

static bool all_full(const json_t *list)
{
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item)
    {
        const char *word = json_string_value(item);
        if (!word || (strcmp(word, "full_attention") && strcmp(word, "attention")))
            return false;
    }
    return true;
}

bool bs_config_is_off(const char *key, const json_t *value)
{
    struct words words;
    if (json_is_null(value) || json_is_false(value))
        return true;
    if (json_is_object(value))
        return !json_object_size(value);
    if (json_is_array(value))
        return all_full(value);
    if (json_is_string(value))
        return is_word_off(json_string_value(value));
    if (!json_is_number(value))
        return false;
    split(key, &words);
    double number = json_number_value(value);
    if (any_in(&words, factor_words))
        return number == 1 && !any_in(&words, strict_factors);
    if (number == -1)
        return any_in(&words, window_words);
    return number == 0 && any_in(&words, limit_words) && !any_in(&words, strict_limits);
}
