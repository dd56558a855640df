#include "eval/model/config_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/model/config_facts.h"
#include "eval/model/config_words.h"

/* Keys that transformers itself writes into every config.json, or that say how to train, generate
 * or store: known to leave the forward pass alone, and not worth a word. */
static const char *const silent_keys[] = {
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
    "quantization_config", /* read as the checkpoint is opened */
    "compression_config",
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
    "pretraining_tp", /* the same products, summed in slices */
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

/* Features that no family here has, and the value that switches them off. Nobody can let them pass:
 * transformers computes something else with them. */
static const struct bs_neutral_key neutral_everywhere[] = {
    {"pruned_heads", "{}"},
    {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"},
    {"tie_encoder_decoder", "false"},
    {"cross_attention_hidden_size", "null"},
    {"use_bidirectional_attention", "false"},
    {"per_layer_config", "{}"},
    {NULL, NULL},
};

/* True when value prints as `neutral` or is the same number; and a null as not set. */
static bool is_neutral(const json_t *value, const char *neutral)
{
    if (json_is_null(value))
        return true;
    if (json_is_real(value)) {
        char *end;
        double number = strtod(neutral, &end);
        return end > neutral && !*end && json_real_value(value) == number;
    }
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
    for (const struct bs_selector *s = rules->selectors; s && s->key; s++)
        if (!strcmp(s->key, key))
            return true;
    return !strcmp(key, "model_type");
}

/* What to say where a key is one of arithmetic. */
static enum bs_status refuse(const struct bs_config_reader *r, const char *within, const char *key,
                             const json_t *value, const char *why)
{
    char found[BS_CONFIG_PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(
        r->err, BS_EUNSUPPORTED,
        "%s: %s%.200s is %s, %s; if it does not change what the model computes, pass over "
        "it with --accept-unknown %s%.200s",
        r->path, within, key, found, why, within, key);
}

/* True where the user lets this key pass: that is part of what the numbers are. */
static bool is_accepted(const struct bs_config_reader *r, const char *within, const char *key)
{
    for (int i = 0; r->accept && i < r->accept->count; i++) {
        const char *name = r->accept->lines[i];
        size_t length = strlen(within);
        if (!strcmp(name, key) || (!strncmp(name, within, length) && !strcmp(name + length, key)))
            return true;
    }
    return false;
}

static enum bs_status accept(const struct bs_config_reader *r, const char *within, const char *key,
                             const json_t *value)
{
    char found[BS_CONFIG_PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_lines_add(&r->remarks->accepted, r->err, "%s%.200s is %s", within, key, found);
}

enum bs_status bs_config_unread(const struct bs_config_reader *r, const char *within,
                                const char *key, const json_t *value, bool arithmetic)
{
    if (json_is_null(value))
        return BS_OK;
    if (!arithmetic && (!bs_config_is_arithmetic(key, value) || bs_config_is_off(key, value)))
        return bs_lines_add(r->ignored, r->err, "%s%.200s", within, key);
    if (is_accepted(r, within, key))
        return accept(r, within, key, value);
    return refuse(r, within, key, value, "which is not understood and may change the forward pass");
}

/* A window beside the word that it is not used, of a family without windows. */
static bool is_unused_window(const struct bs_config_reader *r, const char *key)
{
    return (!strcmp(key, "sliding_window") || !strcmp(key, "sliding_window_size")) &&
           json_is_false(json_object_get(r->config, "use_sliding_window"));
}

/* A key that nobody reads: it may say what the architecture is anyway. */
static enum bs_status check_fact(const struct bs_config_reader *r, const struct bs_architecture *a,
                                 const char *key, const json_t *value)
{
    switch (bs_config_compare_fact(a, key, value)) {
    case BS_FACT_SAME:
        return BS_OK;
    case BS_FACT_OTHER:
        if (is_accepted(r, "", key))
            return accept(r, "", key, value);
        return refuse(r, "", key, value,
                      "which models of this model_type do not read, and theirs is another");
    case BS_FACT_UNKNOWN:
        break;
    }
    return bs_config_unread(r, "", key, value, false);
}

static enum bs_status check_key(const struct bs_config_reader *r, const struct bs_architecture *a,
                                const char *key, const json_t *value);

/* The keys of the object that the family's settings stand in too. */
static enum bs_status check_nested(const struct bs_config_reader *r,
                                   const struct bs_architecture *a, json_t *object)
{
    const char *key;
    json_t *value;
    char name[BS_CONFIG_PRINTED];
    if (!json_is_object(object) && !json_is_null(object))
        return bs_config_fail(r->path, r->rules->nested, object, BS_EDATA, "an object", r->err);
    json_object_foreach(object, key, value)
    {
        bool general = bs_word_in(key, silent_keys) || find_neutral(neutral_everywhere, key) ||
                       !strcmp(key, "model_type");
        snprintf(name, sizeof name, "%s.%s", r->rules->nested, key);
        if (check_key(r, a, general ? key : name, value))
            return r->err->status;
    }
    return BS_OK;
}

static enum bs_status check_key(const struct bs_config_reader *r, const struct bs_architecture *a,
                                const char *key, const json_t *value)
{
    const struct bs_family_config *rules = r->rules;
    if (is_read(rules, key) || bs_word_in(key, silent_keys) || json_is_null(value) ||
        (rules->harmless && bs_word_in(key, rules->harmless)) || is_unused_window(r, key))
        return BS_OK;
    const struct bs_neutral_key *neutral = find_neutral(rules->neutral, key);
    if (!neutral)
        neutral = find_neutral(neutral_everywhere, key);
    if (neutral && is_neutral(value, neutral->value))
        return BS_OK;
    if (neutral)
        return bs_config_fail(r->path, key, value, BS_EUNSUPPORTED, neutral->value, r->err);
    return check_fact(r, a, key, value);
}

enum bs_status bs_config_check_names(const struct bs_config_reader *r)
{
    for (const struct bs_config_key_name *k = r->rules->keys; k->name; k++) {
        const char *name;
        const json_t *first = bs_config_get(r, k->key, &name), *own = bs_config_named(r, k->name);
        bool same = json_is_number(own) && json_is_number(first)
                        ? json_number_value(own) == json_number_value(first)
                        : json_equal(own, first);
        if (!bs_config_is_null(own) && k->key != BS_KEY_ROPE && !same)
            return bs_fail(r->err, BS_EDATA, "%s: %s and %s differ", r->path, name, k->name);
    }
    return BS_OK;
}

enum bs_status bs_config_check_keys(const struct bs_config_reader *r,
                                    const struct bs_architecture *a)
{
    const char *key;
    json_t *value;
    json_object_foreach(r->config, key, value)
    {
        bool nested = r->rules->nested && !strcmp(key, r->rules->nested);
        if (nested ? check_nested(r, a, value) : check_key(r, a, key, value))
            return r->err->status;
    }
    return BS_OK;
}

/* A key of the parts that see or hear, or of what joins them to the text: by a word of its name. */
static bool is_of_other_parts(const char *key)
{
    static const char *const words[] = {"vision",     "image",     "video",  "visual", "audio",
                                        "multimodal", "projector", "pixel",  "patch",  "spatial",
                                        "mm_",        "perceiver", "speech", NULL};
    static const char *const names[] = {"scale_factor", "downsample_ratio", NULL};
    for (int i = 0; words[i]; i++)
        if (strstr(key, words[i]))
            return true;
    return bs_word_in(key, names);
}

enum bs_status bs_config_check_outer(const struct bs_config_reader *r,
                                     const struct bs_architecture *a)
{
    static const char *const read[] = {"model_type", "text_config", "tie_word_embeddings", NULL};
    struct bs_config_reader outer = *r->outer;
    outer.ignored = r->ignored;
    const char *key;
    json_t *value;
    json_object_foreach(outer.config, key, value)
    {
        enum bs_status status = BS_OK;
        if (bs_word_in(key, read) || bs_word_in(key, silent_keys) || json_is_null(value) ||
            json_equal(value, json_object_get(r->config, key)))
            continue;
        if (is_of_other_parts(key))
            status = bs_lines_add(r->ignored, r->err, "%.200s", key);
        else
            status = check_fact(&outer, a, key, value);
        if (status)
            return status;
    }
    return BS_OK;
}
