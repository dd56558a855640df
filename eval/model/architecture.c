/* config.json, read with the names and defaults of the family's row. A key is read, or known to
 * leave the forward pass alone, or must have the value that switches its feature off; any other key
 * is refused, since a feature that is silently left out makes every number wrong. */
#include "eval/model/families.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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
    "init_std",
    "attention_dropout",
    "activation_dropout",
    "hidden_dropout",
    "classifier_dropout",
    "dropout",
    "layerdrop",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
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

/* The same of features that no family here has. */
static const struct bs_neutral_key neutral_everywhere[] = {
    {"quantization_config", "null"},
    {"pruned_heads", "{}"},
    {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"},
    {"tie_encoder_decoder", "false"},
    {"cross_attention_hidden_size", "null"},
    {NULL, NULL},
};

/* Keys of a rope_parameters or rope_scaling object: of every kind, then linear's, then llama3's. */
enum { ROPE_KEYS_DEFAULT = 4, ROPE_KEYS_LINEAR = 5, ROPE_KEYS_LLAMA3 = 8 };
static const char *const keys_rope[ROPE_KEYS_LLAMA3] = {
    "rope_type",        "type",
    "rope_theta",       "partial_rotary_factor",
    "factor",           "low_freq_factor",
    "high_freq_factor", "original_max_position_embeddings"};

/* The names transformers has for the functions of bs_nonlinearity. */
static const struct {
    const char *name;
    enum bs_nonlinearity function;
} activations[] = {
    {"silu", BS_SILU},
    {"swish", BS_SILU},
    {"gelu", BS_GELU},
    {"gelu_python", BS_GELU},
    {"gelu_new", BS_GELU_TANH},
    {"gelu_pytorch_tanh", BS_GELU_TANH},
    {"gelu_python_tanh", BS_GELU_TANH},
    {"gelu_fast", BS_GELU_TANH},
    {"gelu_accurate", BS_GELU_TANH},
    {"relu", BS_RELU},
};

enum { PRINTED = 200 };

/* A config.json being read. */
struct reader {
    const char *path;
    json_t *config;
    const struct bs_family_config *rules;
    struct bs_error *err;
};

static enum bs_status fail_value(const char *path, const char *key, const json_t *value,
                                 enum bs_status status, const char *expected, struct bs_error *err)
{
    char found[PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(err, status, "%s: %s is %s, expected %s", path, key, found, expected);
}

/* The value that tells `key`, or NULL; *name is what the family calls it. The family's first name
 * that is there counts. */
static const json_t *get(const struct reader *r, enum bs_key key, const char **name)
{
    *name = NULL;
    for (const struct bs_config_key_name *k = r->rules->keys; k->name; k++) {
        if (k->key != key)
            continue;
        const json_t *value = json_object_get(r->config, k->name);
        if (!*name || value)
            *name = k->name;
        if (value)
            return value;
    }
    return NULL;
}

static bool is_null(const json_t *value) { return !value || json_is_null(value); }

/* --- which keys may be there --- */

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

static const struct bs_neutral_key *find_neutral(const struct bs_neutral_key *list, const char *key)
{
    for (; list && list->name; list++)
        if (!strcmp(list->name, key))
            return list;
    return NULL;
}

static bool is_read(const struct bs_family_config *rules, const char *key)
{
    for (const struct bs_config_key_name *k = rules->keys; k->name; k++)
        if (!strcmp(k->name, key))
            return true;
    return !strcmp(key, "model_type");
}

static enum bs_status check_key(const struct reader *r, const char *key, const json_t *value)
{
    const struct bs_family_config *rules = r->rules;
    if (is_read(rules, key) || bs_word_in(key, keys_harmless) ||
        (rules->harmless && bs_word_in(key, rules->harmless)))
        return BS_OK;
    const struct bs_neutral_key *neutral = find_neutral(rules->neutral, key);
    if (!neutral)
        neutral = find_neutral(neutral_everywhere, key);
    if (neutral && is_neutral(value, neutral->value))
        return BS_OK;
    if (neutral)
        return fail_value(r->path, key, value, BS_EUNSUPPORTED, neutral->value, r->err);
    char found[PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(r->err, BS_EUNSUPPORTED,
                   "%s: %.200s (%s) is not known to bitsweep and may change the forward pass",
                   r->path, key, found);
}

/* Two names of one number must agree. */
static enum bs_status check_names_agree(const struct reader *r)
{
    for (const struct bs_config_key_name *k = r->rules->keys; k->name; k++) {
        const char *name;
        const json_t *first = get(r, k->key, &name), *own = json_object_get(r->config, k->name);
        bool same = json_is_number(own) && json_is_number(first)
                        ? json_number_value(own) == json_number_value(first)
                        : json_equal(own, first);
        if (own && k->key != BS_KEY_ROPE && !same)
            return bs_fail(r->err, BS_EDATA, "%s: %s and %s differ", r->path, name, k->name);
    }
    return BS_OK;
}

static enum bs_status check_keys(const struct reader *r)
{
    const char *key;
    json_t *value;
    json_object_foreach(r->config, key, value)
    {
        if (check_key(r, key, value))
            return r->err->status;
    }
    return check_names_agree(r);
}

/* --- values --- */

/* A whole number of at least 1. A key that is absent or null takes `initial`; 0 = it must be there.
 */
static enum bs_status read_int(const struct reader *r, enum bs_key key, int initial, int *out)
{
    const char *name;
    const json_t *value = get(r, key, &name);
    if (initial && is_null(value)) {
        *out = initial;
        return BS_OK;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > INT_MAX)
        return fail_value(r->path, name, value, BS_EDATA, "a positive whole number", r->err);
    *out = (int)number;
    return BS_OK;
}

static enum bs_status read_positive_of(const char *path, const char *name, const json_t *value,
                                       double initial, double *out, struct bs_error *err)
{
    *out = value ? json_number_value(value) : initial;
    if (value && !(json_is_number(value) && *out > 0 && isfinite(*out)))
        return fail_value(path, name, value, BS_EDATA, "a positive number", err);
    /* What is computed with it is float32, where it must be neither 0 nor infinite. */
    if (value && (*out < (double)FLT_MIN || *out > (double)FLT_MAX))
        return fail_value(path, name, value, BS_EDATA, "a positive float32", err);
    return BS_OK;
}

static enum bs_status read_positive(const struct reader *r, enum bs_key key, double initial,
                                    double *out)
{
    const char *name;
    const json_t *value = get(r, key, &name);
    return read_positive_of(r->path, name, value, initial, out, r->err);
}

/* As float; null switches the feature off (0), an absent key leaves `initial`. */
static enum bs_status read_cap(const struct reader *r, enum bs_key key, double initial, float *out)
{
    const char *name;
    const json_t *value = get(r, key, &name);
    double cap = 0;
    if (!json_is_null(value) && read_positive_of(r->path, name, value, initial, &cap, r->err))
        return r->err->status;
    *out = (float)cap;
    return BS_OK;
}

static enum bs_status read_bool(const struct reader *r, enum bs_key key, bool initial, bool *out)
{
    const char *name;
    const json_t *value = get(r, key, &name);
    *out = value ? json_is_true(value) : initial;
    if (value && !json_is_boolean(value))
        return fail_value(r->path, name, value, BS_EDATA, "true or false", r->err);
    return BS_OK;
}

static enum bs_status read_activation(const struct reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = get(r, BS_KEY_ACTIVATION, &name);
    const char *word = value ? json_string_value(value) : r->rules->activation;
    char known[PRINTED] = "";
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (word && !strcmp(word, activations[i].name)) {
            a->activation = activations[i].function;
            return BS_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", activations[i].name);
    }
    return fail_value(r->path, name, value, BS_EUNSUPPORTED, known, r->err);
}

/* --- rotary positions --- */

static enum bs_status read_rope_kind(const struct reader *r, const char *key, const json_t *rope,
                                     enum bs_rope_kind *kind)
{
    static const char *const words[] = {"default", "linear", "llama3"};
    static const char *const type_keys[] = {"rope_type", "type"};
    const char *word = NULL;
    for (size_t i = 0; i < 2; i++) {
        const json_t *type = json_object_get(rope, type_keys[i]);
        if (!type)
            continue;
        const char *found = json_string_value(type);
        if (!found || (word && strcmp(word, found)))
            return fail_value(r->path, key, rope, BS_EDATA, "one rope_type", r->err);
        word = found;
    }
    for (int k = 0; k < 3; k++)
        if (!word || !strcmp(word, words[k])) {
            *kind = (enum bs_rope_kind)k;
            return BS_OK;
        }
    return fail_value(r->path, key, rope, BS_EUNSUPPORTED,
                      "null or an object whose rope_type is default, linear or llama3", r->err);
}

/* A required number of a rope object. */
static enum bs_status read_rope_number(const struct reader *r, const char *place,
                                       const json_t *rope, const char *key, double *out)
{
    const json_t *value = json_object_get(rope, key);
    if (!value)
        return fail_value(place, key, value, BS_EDATA, "a positive number", r->err);
    return read_positive_of(place, key, value, 0, out, r->err);
}

static enum bs_status read_scaling(const struct reader *r, const char *place, const json_t *rope,
                                   struct bs_rope_settings *out)
{
    if (out->kind == BS_ROPE_DEFAULT)
        return BS_OK;
    if (read_rope_number(r, place, rope, "factor", &out->factor))
        return r->err->status;
    if (out->kind == BS_ROPE_LINEAR)
        return BS_OK;
    if (read_rope_number(r, place, rope, "low_freq_factor", &out->low_freq_factor) ||
        read_rope_number(r, place, rope, "high_freq_factor", &out->high_freq_factor) ||
        read_rope_number(r, place, rope, "original_max_position_embeddings",
                         &out->original_positions))
        return r->err->status;
    if (out->high_freq_factor <= out->low_freq_factor)
        return bs_fail(r->err, BS_EDATA,
                       "%s: high_freq_factor %.9g is not above low_freq_factor %.9g", place,
                       out->high_freq_factor, out->low_freq_factor);
    return BS_OK;
}

/* One of rope_scaling (up to transformers 4) and rope_parameters (from 5 on), which may repeat
 * rope_theta, or be the only one to tell it. */
static enum bs_status read_rope_object(const struct reader *r, const char *key, double share,
                                       struct bs_rope_settings *out)
{
    json_t *rope = json_object_get(r->config, key);
    if (is_null(rope))
        return BS_OK;
    if (!json_is_object(rope))
        return fail_value(r->path, key, rope, BS_EDATA, "an object or null", r->err);
    char place[PRINTED];
    snprintf(place, sizeof place, "%.150s: %s", r->path, key);
    static const int known[] = {ROPE_KEYS_DEFAULT, ROPE_KEYS_LINEAR, ROPE_KEYS_LLAMA3};
    const char *keys[ROPE_KEYS_LLAMA3 + 1] = {NULL};
    if (read_rope_kind(r, key, rope, &out->kind))
        return r->err->status;
    memcpy(keys, keys_rope, (size_t)known[out->kind] * sizeof *keys);
    if (bs_json_check_keys(place, rope, keys, r->err) || read_scaling(r, place, rope, out))
        return r->err->status;
    const json_t *own_share = json_object_get(rope, "partial_rotary_factor");
    if (own_share && json_number_value(own_share) != share)
        return bs_fail(r->err, BS_EUNSUPPORTED, "%s: partial_rotary_factor is %.9g, expected %.9g",
                       place, json_number_value(own_share), share);
    const char *name;
    const json_t *theta = get(r, BS_KEY_ROPE_THETA, &name);
    double own;
    if (read_positive_of(place, "rope_theta", json_object_get(rope, "rope_theta"), out->theta, &own,
                         r->err))
        return r->err->status;
    if (theta && own != out->theta)
        return bs_fail(r->err, BS_EDATA, "%s: %s is %.9g, but %s has %.9g", r->path, name,
                       out->theta, key, own);
    out->theta = own;
    return BS_OK;
}

static enum bs_status read_rotary(const struct reader *r, struct bs_architecture *a)
{
    double share;
    if (a->family->positions_kind != BS_ROTARY)
        return BS_OK;
    if (read_positive(r, BS_KEY_ROTARY_SHARE, r->rules->rotary_share, &share) ||
        read_positive(r, BS_KEY_ROPE_THETA, r->rules->rope_theta, &a->rope.theta))
        return r->err->status;
    const char *name;
    get(r, BS_KEY_ROTARY_SHARE, &name);
    if (share > 1)
        return bs_fail(r->err, BS_EDATA, "%s: %s is %.9g, expected at most 1", r->path, name,
                       share);
    if (read_rope_object(r, "rope_scaling", share, &a->rope) ||
        read_rope_object(r, "rope_parameters", share, &a->rope))
        return r->err->status;
    a->local_rope = a->rope;
    if (r->rules->local_rope_theta > 0) {
        a->local_rope = (struct bs_rope_settings){.kind = BS_ROPE_DEFAULT};
        if (read_positive(r, BS_KEY_LOCAL_ROPE_THETA, r->rules->local_rope_theta,
                          &a->local_rope.theta))
            return r->err->status;
    }
    a->rotary_dim = (int)(a->head_dim * share);
    if (share == 1 && a->head_dim % 2)
        return bs_fail(r->err, BS_EDATA,
                       "%s: head_dim is %d, expected an even number (rotary positions take pairs)",
                       r->path, a->head_dim);
    if (a->rotary_dim % 2 || a->rotary_dim == 0)
        return bs_fail(
            r->err, BS_EDATA,
            "%s: %s %.9g of head_dim %d is %d, expected an even number (rotary positions "
            "take pairs)",
            r->path, name, share, a->head_dim, a->rotary_dim);
    return BS_OK;
}

/* --- sliding windows --- */

static enum bs_status read_layer_types(const struct reader *r, const char *name,
                                       const json_t *types, struct bs_architecture *a)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)a->num_layers)
        return fail_value(r->path, name, types, BS_EDATA, "one word for each layer", r->err);
    for (int l = 0; l < a->num_layers; l++) {
        const char *word = json_string_value(json_array_get(types, (size_t)l));
        bool local = word && !strcmp(word, "sliding_attention");
        if (!local && (!word || strcmp(word, "full_attention")))
            return fail_value(r->path, name, types, BS_EUNSUPPORTED,
                              "full_attention or sliding_attention for each layer", r->err);
        if (local && !a->sliding_window)
            return bs_fail(r->err, BS_EDATA, "%s: %s has sliding_attention, but there is no window",
                           r->path, name);
        a->local_layers[l / 64] |= (uint64_t)local << l % 64;
    }
    return BS_OK;
}

/* Where no list says it: from a layer on, all but every n-th, or all. */
static enum bs_status place_windows(const struct reader *r, struct bs_architecture *a)
{
    int from = 0, pattern = 0;
    const char *name;
    const json_t *value = get(r, BS_KEY_MAX_WINDOW_LAYERS, &name);
    if (name) {
        from = value ? (int)json_integer_value(value) : r->rules->max_window_layers;
        if (value && (!json_is_integer(value) || from < 0))
            return fail_value(r->path, name, value, BS_EDATA, "a number of layers", r->err);
    }
    if (r->rules->window_pattern &&
        read_int(r, BS_KEY_WINDOW_PATTERN, r->rules->window_pattern, &pattern))
        return r->err->status;
    for (int l = from; l < a->num_layers; l++)
        if (!pattern || (l + 1) % pattern)
            a->local_layers[l / 64] |= UINT64_C(1) << l % 64;
    return BS_OK;
}

static enum bs_status read_windows(const struct reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = get(r, BS_KEY_SLIDING_WINDOW, &name);
    if (!name)
        return BS_OK;
    bool used = true;
    get(r, BS_KEY_USE_SLIDING_WINDOW, &name);
    if (name && read_bool(r, BS_KEY_USE_SLIDING_WINDOW, false, &used))
        return r->err->status;
    if (used && !json_is_null(value) &&
        read_int(r, BS_KEY_SLIDING_WINDOW, r->rules->sliding_window, &a->sliding_window))
        return r->err->status;
    value = get(r, BS_KEY_LAYER_TYPES, &name);
    if (!is_null(value))
        return read_layer_types(r, name, value, a);
    return a->sliding_window ? place_windows(r, a) : BS_OK;
}

/* --- the whole --- */

/* The row whose selector, where it has one, fits this file. */
static enum bs_status read_family(const char *path, const json_t *config,
                                  const struct bs_family **family, struct bs_error *err)
{
    const json_t *value = json_object_get(config, "model_type");
    if (!json_is_string(value))
        return fail_value(path, "model_type", value, BS_EDATA, "the name of a model family", err);
    char names[PRINTED] = "";
    for (int f = 0; f < bs_num_families; f++) {
        const struct bs_family *row = &bs_families[f];
        const char *selector = row->config->selector;
        if (!strcmp(row->model_type, json_string_value(value)) &&
            (!selector ||
             json_is_true(json_object_get(config, selector)) == row->config->selected)) {
            *family = row;
            return BS_OK;
        }
        size_t used = strlen(names);
        if (!f || strcmp(row->model_type, bs_families[f - 1].model_type))
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", row->model_type);
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
    if (a->num_heads > INT_MAX / 3 / a->head_dim)
        return bs_fail(err, BS_EDATA, "%s: num_attention_heads %d times head_dim %d is too large",
                       path, a->num_heads, a->head_dim);
    if (a->num_layers > BS_MAX_LAYERS)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: %d layers, expected at most %d", path,
                       a->num_layers, BS_MAX_LAYERS);
    return BS_OK;
}

/* Absent: the family's number; null: as many as there are heads. */
static enum bs_status read_kv_heads(const struct reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = get(r, BS_KEY_NUM_KV_HEADS, &name);
    bool multi_query;
    if (read_bool(r, BS_KEY_MULTI_QUERY, r->rules->multi_query, &multi_query))
        return r->err->status;
    if (r->rules->multi_query && multi_query) {
        a->num_kv_heads = 1;
        return BS_OK;
    }
    int absent = r->rules->kv_heads && !value ? r->rules->kv_heads : a->num_heads;
    return read_int(r, BS_KEY_NUM_KV_HEADS, absent, &a->num_kv_heads);
}

/* Without head_dim the heads share hidden_size; with it they need not. */
static enum bs_status read_head_dim(const struct reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = get(r, BS_KEY_HEAD_DIM, &name);
    if (!value && r->rules->head_dim) {
        a->head_dim = r->rules->head_dim;
        return BS_OK;
    }
    if (is_null(value) && a->hidden_size % a->num_heads)
        return bs_fail(r->err, BS_EDATA,
                       "%s: hidden_size %d is not a multiple of num_attention_heads %d, and there "
                       "is no head_dim",
                       r->path, a->hidden_size, a->num_heads);
    return read_int(r, BS_KEY_HEAD_DIM, a->hidden_size / a->num_heads, &a->head_dim);
}

static enum bs_status read_sizes(const struct reader *r, struct bs_architecture *a)
{
    if (read_int(r, BS_KEY_HIDDEN_SIZE, 0, &a->hidden_size))
        return r->err->status;
    int times = r->rules->intermediate_times;
    if (times && a->hidden_size > INT_MAX / times)
        return bs_fail(r->err, BS_EDATA, "%s: a hidden size of %d is too large", r->path,
                       a->hidden_size);
    if (read_int(r, BS_KEY_INTERMEDIATE_SIZE, times * a->hidden_size, &a->intermediate_size) ||
        read_int(r, BS_KEY_EMBEDDING_SIZE, a->hidden_size, &a->embedding_size) ||
        read_int(r, BS_KEY_NUM_LAYERS, 0, &a->num_layers) ||
        read_int(r, BS_KEY_NUM_HEADS, 0, &a->num_heads) ||
        read_int(r, BS_KEY_VOCAB_SIZE, 0, &a->vocab_size) ||
        read_int(r, BS_KEY_MAX_POSITIONS, r->rules->max_positions, &a->max_positions) ||
        read_kv_heads(r, a) || read_head_dim(r, a))
        return r->err->status;
    return check_shape(r->path, a, r->err);
}

static enum bs_status read_eps(const struct reader *r, struct bs_architecture *a)
{
    double eps;
    if (read_positive(r, BS_KEY_NORM_EPS, r->rules->norm_eps, &eps))
        return r->err->status;
    a->norm_eps = (float)eps;
    return BS_OK;
}

static enum bs_status read_biases(const struct reader *r, struct bs_architecture *a)
{
    static const struct {
        enum bs_key key;
        unsigned roles;
    } groups[] = {
        {BS_KEY_BIAS, ~0u},
        {BS_KEY_ATTENTION_BIAS, 1u << BS_Q | 1u << BS_K | 1u << BS_V | 1u << BS_O},
        {BS_KEY_MLP_BIAS, 1u << BS_GATE | 1u << BS_UP | 1u << BS_DOWN},
    };
    a->biases = r->rules->biases;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        bool has;
        if (read_bool(r, groups[i].key, (a->biases & groups[i].roles) != 0, &has))
            return r->err->status;
        if (has && !(a->biases & groups[i].roles))
            a->biases |= groups[i].roles;
        if (!has)
            a->biases &= ~groups[i].roles;
    }
    return BS_OK;
}

static enum bs_status read_wiring(const struct reader *r, struct bs_architecture *a)
{
    bool parallel, before, no_final_norm;
    a->wiring = a->family->wiring;
    if (read_bool(r, BS_KEY_PARALLEL, a->wiring == BS_PARALLEL, &parallel) ||
        read_bool(r, BS_KEY_NORM_BEFORE, true, &before) ||
        read_bool(r, BS_KEY_NO_FINAL_NORM, false, &no_final_norm))
        return r->err->status;
    if (a->wiring == BS_PARALLEL && !parallel)
        a->wiring = BS_PRE_NORM;
    if (!before)
        a->wiring = BS_POST_NORM;
    a->final_norm = before && !no_final_norm;
    return BS_OK;
}

static enum bs_status read_scales(const struct reader *r, struct bs_architecture *a)
{
    double scalar;
    double initial =
        r->rules->query_pre_attn_scalar > 0 ? r->rules->query_pre_attn_scalar : a->head_dim;
    if (read_positive(r, BS_KEY_QUERY_PRE_ATTN_SCALAR, initial, &scalar) ||
        read_cap(r, BS_KEY_ATTENTION_SOFTCAP, r->rules->attention_softcap, &a->attention_softcap) ||
        read_cap(r, BS_KEY_LOGIT_SOFTCAP, r->rules->logit_softcap, &a->logit_softcap))
        return r->err->status;
    a->attention_scale = 1.0f / sqrtf((float)scalar);
    a->embedding_scale = a->family->embedding_scale ? sqrtf((float)a->hidden_size) : 1;
    return read_bool(r, BS_KEY_TIED, r->rules->tied, &a->tied_head);
}

static enum bs_status read_config(const char *path, json_t *config, struct bs_architecture *a,
                                  struct bs_error *err)
{
    if (!json_is_object(config))
        return bs_fail(err, BS_EDATA, "%s: expected an object", path);
    /* The family first: for another one the list of keys would mean nothing. */
    if (read_family(path, config, &a->family, err))
        return err->status;
    struct reader r = {path, config, a->family->config, err};
    if (check_keys(&r) || read_sizes(&r, a) || read_eps(&r, a) || read_activation(&r, a) ||
        read_rotary(&r, a) || read_windows(&r, a) || read_biases(&r, a) || read_wiring(&r, a) ||
        read_scales(&r, a))
        return err->status;
    bs_architecture_derive_sets(a);
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

/* --- what follows from it --- */

static void add_linear(struct bs_set *set, const struct bs_architecture *a, enum bs_role role)
{
    if (bs_has_role(a, role))
        set->linears[set->num_linears++] = role;
}

/* Factors pass through relu, and through the gated product's other side. */
static enum bs_before before_down(const struct bs_architecture *a)
{
    return a->family->gated || a->activation == BS_RELU ? BS_BEFORE_LINEAR : BS_BEFORE_ACTIVATION;
}

void bs_architecture_derive_sets(struct bs_architecture *a)
{
    const struct bs_family *f = a->family;
    enum bs_before norm = a->wiring == BS_POST_NORM ? BS_BEFORE_NOTHING : BS_BEFORE_NORM;
    bool shared = a->wiring == BS_PARALLEL && !f->norms[BS_NORM_MLP];
    struct bs_set attention = {.name = "attn_input",
                               .num_linears = 3,
                               .linears = {BS_Q, BS_K, BS_V},
                               .before = norm,
                               .norm = BS_NORM_ATTENTION,
                               .module = f->attention_module};
    struct bs_set mlp = {
        .name = "mlp_input", .before = norm, .norm = BS_NORM_MLP, .module = f->mlp_module};
    struct bs_set *up = shared ? &attention : &mlp;
    add_linear(up, a, BS_GATE);
    add_linear(up, a, BS_UP);
    a->num_sets = 0;
    a->sets[a->num_sets++] = attention;
    /* Out of a fused tensor the authors' codes fold nothing. */
    a->sets[a->num_sets++] =
        (struct bs_set){.name = "o_input",
                        .num_linears = 1,
                        .linears = {BS_O},
                        .before = f->fused_qkv ? BS_BEFORE_NOTHING : BS_BEFORE_LINEAR,
                        .previous = BS_V,
                        .module = BS_MODULE_LINEAR};
    if (!shared)
        a->sets[a->num_sets++] = mlp;
    a->sets[a->num_sets++] = (struct bs_set){.name = "down_input",
                                             .num_linears = 1,
                                             .linears = {BS_DOWN},
                                             .before = before_down(a),
                                             .previous = BS_UP,
                                             .module = BS_MODULE_LINEAR};
}

bool bs_has_role(const struct bs_architecture *architecture, enum bs_role role)
{
    return architecture->family->linears[role] != NULL;
}

int bs_num_linears(const struct bs_architecture *architecture)
{
    int count = 0;
    for (int r = 0; r < BS_NUM_ROLES; r++)
        count += bs_has_role(architecture, (enum bs_role)r);
    return count;
}

bool bs_has_bias(const struct bs_architecture *architecture, enum bs_role role)
{
    return bs_has_role(architecture, role) && architecture->biases >> role & 1;
}

int bs_norm_width(const struct bs_architecture *architecture, enum bs_norm_place place)
{
    bool of_heads = place == BS_NORM_Q || place == BS_NORM_K;
    return of_heads ? architecture->head_dim : architecture->hidden_size;
}

bool bs_is_local(const struct bs_architecture *architecture, int layer)
{
    return architecture->local_layers[layer / 64] >> layer % 64 & 1;
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
