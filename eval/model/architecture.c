/* config.json, with the names and defaults of transformers' LlamaConfig. A key is read, or known to
 * leave the forward pass alone, or must have the value that switches its feature off; any other key
 * is refused, since a feature that is silently left out makes every number wrong. */
#include "eval/model/model.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Keys that bs_architecture_read reads. */
static const char *const keys_read[] = {
    "model_type",        "hidden_size",         "intermediate_size",
    "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim",          "vocab_size",          "max_position_embeddings",
    "rms_norm_eps",      "rope_theta",          "rope_parameters",
    "rope_scaling",      "tie_word_embeddings", NULL,
};

/* Keys about training, generation, storage, or the Python objects around the model. */
static const char *const keys_harmless[] = {
    /* what the file is */
    "_name_or_path",
    "name_or_path",
    "architectures",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "transformers.js_config",
    "unsloth_version",
    "is_llama_config",
    "is_decoder",
    "_commit_hash",
    /* how it runs */
    "use_cache",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "torchscript",
    "use_bfloat16",
    "chunk_size_feed_forward",
    "gradient_checkpointing",
    "tf_legacy_loss",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "max_sequence_length",
    /* training only */
    "initializer_range",
    "attention_dropout",
    "problem_type",
    "finetuning_task",
    "id2label",
    "label2id",
    "num_labels",
    "task_specific_params",
    /* tokens at the ends of a text */
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "tokenizer_class",
    "prefix",
    /* generation */
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    NULL,
};

/* Keys of features that bitsweep does not have: the only value accepted, as JSON prints it. */
static const struct {
    const char *key, *neutral;
} keys_neutral[] = {
    {"attention_bias", "false"},      {"mlp_bias", "false"},
    {"hidden_act", "\"silu\""},       {"partial_rotary_factor", "1"},
    {"rope_interleaved", "false"},    {"sliding_window", "null"},
    {"use_sliding_window", "false"},  {"quantization_config", "null"},
    {"pretraining_tp", "1"}, /* above 1 the products are summed in slices */
    {"pruned_heads", "{}"},           {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"}, {"cross_attention_hidden_size", "null"},
    {"tie_encoder_decoder", "false"},
};

/* Keys of a rope_parameters or rope_scaling object that leaves the positions unscaled. */
static const char *const keys_rope[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor",
                                        NULL};

enum { PRINTED = 200 };

static enum bs_status fail_value(const char *path, const char *key, const json_t *value,
                                 enum bs_status status, const char *expected, struct bs_error *err)
{
    char found[PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(err, status, "%s: %s is %s, expected %s", path, key, found, expected);
}

/* True when value prints as `neutral`; 1.0 counts as 1, and a null as not set. */
static bool is_neutral(const json_t *value, const char *neutral)
{
    if (json_is_null(value))
        return true;
    if (json_is_real(value))
        return !strcmp(neutral, "1") && json_real_value(value) == 1;
    char found[PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return !strcmp(found, neutral);
}

static enum bs_status check_key(const char *path, const char *key, const json_t *value,
                                struct bs_error *err)
{
    if (bs_word_in(key, keys_read) || bs_word_in(key, keys_harmless))
        return BS_OK;
    for (size_t i = 0; i < sizeof keys_neutral / sizeof keys_neutral[0]; i++) {
        if (strcmp(key, keys_neutral[i].key))
            continue;
        if (is_neutral(value, keys_neutral[i].neutral))
            return BS_OK;
        return fail_value(path, key, value, BS_EUNSUPPORTED, keys_neutral[i].neutral, err);
    }
    char found[PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: %.200s (%s) is not known to bitsweep and may change the forward pass", path,
                   key, found);
}

/* A whole number of at least 1. A key that is absent or null takes `initial`; 0 = it must be there.
 */
static enum bs_status read_int(const char *path, const json_t *config, const char *key, int initial,
                               int *out, struct bs_error *err)
{
    const json_t *value = json_object_get(config, key);
    if (initial && (!value || json_is_null(value))) {
        *out = initial;
        return BS_OK;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > INT_MAX)
        return fail_value(path, key, value, BS_EDATA, "a positive whole number", err);
    *out = (int)number;
    return BS_OK;
}

static enum bs_status read_positive(const char *path, const json_t *object, const char *key,
                                    double initial, double *out, struct bs_error *err)
{
    const json_t *value = json_object_get(object, key);
    *out = value ? json_number_value(value) : initial;
    if (value && !(json_is_number(value) && *out > 0 && isfinite(*out)))
        return fail_value(path, key, value, BS_EDATA, "a positive number", err);
    return BS_OK;
}

/* rope_scaling (up to transformers 4) or rope_parameters (from 5 on), of which only the plain kind
 * is known. It may repeat rope_theta, or be the only one to tell it. */
static enum bs_status read_rope_object(const char *path, const json_t *config, const char *key,
                                       double *theta, struct bs_error *err)
{
    json_t *rope = json_object_get(config, key);
    if (!rope || json_is_null(rope))
        return BS_OK;
    if (!json_is_object(rope))
        return fail_value(path, key, rope, BS_EDATA, "an object or null", err);
    static const char *const type_keys[] = {"rope_type", "type"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *type = json_object_get(rope, type_keys[i]);
        if (type && (!json_is_string(type) || strcmp(json_string_value(type), "default")))
            return fail_value(path, key, rope, BS_EUNSUPPORTED,
                              "null or an object whose rope_type is \"default\"", err);
    }
    char place[PRINTED];
    snprintf(place, sizeof place, "%.150s: %s", path, key);
    if (bs_json_check_keys(place, rope, keys_rope, err))
        return err->status;
    const json_t *factor = json_object_get(rope, "partial_rotary_factor");
    if (factor && !is_neutral(factor, "1"))
        return fail_value(place, "partial_rotary_factor", factor, BS_EUNSUPPORTED, "1", err);
    double own;
    if (read_positive(place, rope, "rope_theta", *theta, &own, err))
        return err->status;
    if (json_object_get(config, "rope_theta") && own != *theta)
        return bs_fail(err, BS_EDATA, "%s: rope_theta is %.9g, but %s has %.9g", path, *theta, key,
                       own);
    *theta = own;
    return BS_OK;
}

static enum bs_status read_family(const char *path, const json_t *config,
                                  const struct bs_family **family, struct bs_error *err)
{
    const json_t *value = json_object_get(config, "model_type");
    if (!json_is_string(value))
        return fail_value(path, "model_type", value, BS_EDATA, "the name of a model family", err);
    *family = bs_family_find(json_string_value(value));
    if (*family)
        return BS_OK;
    char names[PRINTED] = "";
    for (const char *const *name = bs_family_names; *name; name++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", *name);
    }
    return bs_fail(err, BS_EUNSUPPORTED, "%s: model_type '%.100s' is not supported; supported: %s",
                   path, json_string_value(value), names);
}

/* Numbers that are right one by one, but not together. */
static enum bs_status check_shape(const char *path, const struct bs_architecture *a,
                                  struct bs_error *err)
{
    if (a->num_heads % a->num_kv_heads)
        return bs_fail(err, BS_EDATA,
                       "%s: num_attention_heads %d is not a multiple of num_key_value_heads %d",
                       path, a->num_heads, a->num_kv_heads);
    if (a->head_dim % 2)
        return bs_fail(err, BS_EDATA,
                       "%s: head_dim is %d, expected an even number (rotary positions take pairs)",
                       path, a->head_dim);
    if (a->num_heads > INT_MAX / a->head_dim)
        return bs_fail(err, BS_EDATA, "%s: num_attention_heads %d times head_dim %d is too large",
                       path, a->num_heads, a->head_dim);
    return BS_OK;
}

static enum bs_status read_sizes(const char *path, const json_t *config, struct bs_architecture *a,
                                 struct bs_error *err)
{
    if (read_int(path, config, "hidden_size", 0, &a->hidden_size, err) ||
        read_int(path, config, "intermediate_size", 0, &a->intermediate_size, err) ||
        read_int(path, config, "num_hidden_layers", 0, &a->num_layers, err) ||
        read_int(path, config, "num_attention_heads", 0, &a->num_heads, err) ||
        read_int(path, config, "num_key_value_heads", a->num_heads, &a->num_kv_heads, err) ||
        read_int(path, config, "vocab_size", 0, &a->vocab_size, err) ||
        read_int(path, config, "max_position_embeddings", 2048, &a->max_positions, err))
        return err->status;
    /* Without head_dim the heads share hidden_size; with it they need not. */
    const json_t *head_dim = json_object_get(config, "head_dim");
    if ((!head_dim || json_is_null(head_dim)) && a->hidden_size % a->num_heads)
        return bs_fail(err, BS_EDATA,
                       "%s: hidden_size %d is not a multiple of num_attention_heads %d, and there "
                       "is no head_dim",
                       path, a->hidden_size, a->num_heads);
    if (read_int(path, config, "head_dim", a->hidden_size / a->num_heads, &a->head_dim, err))
        return err->status;
    return check_shape(path, a, err);
}

static enum bs_status read_config(const char *path, json_t *config, struct bs_architecture *a,
                                  struct bs_error *err)
{
    /* The family first: for another one the list of keys would mean nothing. */
    if (read_family(path, config, &a->family, err))
        return err->status;
    const char *key;
    json_t *value;
    json_object_foreach(config, key,
                        value) if (check_key(path, key, value, err)) return err->status;
    if (read_sizes(path, config, a, err))
        return err->status;

    double eps;
    if (read_positive(path, config, "rms_norm_eps", 1e-6, &eps, err) ||
        read_positive(path, config, "rope_theta", 10000, &a->rope_theta, err) ||
        read_rope_object(path, config, "rope_scaling", &a->rope_theta, err) ||
        read_rope_object(path, config, "rope_parameters", &a->rope_theta, err))
        return err->status;
    a->norm_eps = (float)eps;
    if (!(a->norm_eps > 0 && isfinite(a->norm_eps)))
        return fail_value(path, "rms_norm_eps", json_object_get(config, "rms_norm_eps"), BS_EDATA,
                          "a positive float32", err);

    const json_t *tied = json_object_get(config, "tie_word_embeddings");
    if (tied && !json_is_boolean(tied))
        return fail_value(path, "tie_word_embeddings", tied, BS_EDATA, "true or false", err);
    a->tied_head = json_is_true(tied);
    return BS_OK;
}

enum bs_status bs_architecture_read(const char *directory, struct bs_architecture *architecture,
                                    struct bs_error *err)
{
    *architecture = (struct bs_architecture){0};
    json_t *config = NULL;
    char *path = bs_printf("%s/config.json", directory);
    if (!path)
        return bs_fail_memory(err);
    enum bs_status status = bs_json_read(path, &config, err);
    if (!status)
        status = read_config(path, config, architecture, err);
    json_decref(config);
    bs_free(path);
    return status;
}

int bs_out_features(const struct bs_architecture *architecture, enum bs_role role)
{
    switch (role) {
    case BS_Q:
        return architecture->num_heads * architecture->head_dim;
    case BS_K:
    case BS_V:
        return architecture->num_kv_heads * architecture->head_dim;
    case BS_GATE:
    case BS_UP:
        return architecture->intermediate_size;
    default: /* BS_O, BS_DOWN */
        return architecture->hidden_size;
    }
}

int bs_in_features(const struct bs_architecture *architecture, enum bs_role role)
{
    switch (role) {
    case BS_O:
        return architecture->num_heads * architecture->head_dim;
    case BS_DOWN:
        return architecture->intermediate_size;
    default:
        return architecture->hidden_size;
    }
}
