#include "eval/model/config_keys.h"

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
    "original_max_position_embeddings", /* read by rope_config.c where it counts */
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

/* True when value prints as `neutral`; 1.0 counts as 1, and a null as not set. */
static bool is_neutral(const json_t *value, const char *neutral)
{
    if (json_is_null(value))
        return true;
    if (json_is_real(value))
        return !strcmp(neutral, "1") && json_real_value(value) == 1;
    char found[BS_CONFIG_PRINTED];
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

enum bs_status bs_config_unread(const struct bs_config_reader *r, const char *within,
                                const char *key, const json_t *value, bool arithmetic)
{
    (void)arithmetic;
    if (json_is_null(value))
        return BS_OK;
    char found[BS_CONFIG_PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(r->err, BS_EUNSUPPORTED,
                   "%s: %s%.200s (%s) is not known to bitsweep and may change the forward pass",
                   r->path, within, key, found);
}

static enum bs_status check_key(const struct bs_config_reader *r, const char *key,
                                const json_t *value)
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
        return bs_config_fail(r->path, key, value, BS_EUNSUPPORTED, neutral->value, r->err);
    return bs_config_unread(r, "", key, value, true);
}

/* Two names of one number must agree. */
static enum bs_status check_names_agree(const struct bs_config_reader *r)
{
    for (const struct bs_config_key_name *k = r->rules->keys; k->name; k++) {
        const char *name;
        const json_t *first = bs_config_get(r, k->key, &name),
                     *own = json_object_get(r->config, k->name);
        bool same = json_is_number(own) && json_is_number(first)
                        ? json_number_value(own) == json_number_value(first)
                        : json_equal(own, first);
        if (own && k->key != BS_KEY_ROPE && !same)
            return bs_fail(r->err, BS_EDATA, "%s: %s and %s differ", r->path, name, k->name);
    }
    return BS_OK;
}

enum bs_status bs_config_check_keys(const struct bs_config_reader *r)
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
