#include "eval/model/gguf_further.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/model/gguf_experts.h"

enum { KEY_BYTES = 128 };

/* Values of the architecture that bs_gguf_config reads, or whose meaning is seen otherwise. */
static const char *const known[] = {
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.scale",
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "use_parallel_residual",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scale_linear",
    "tensor_data_layout", /* how rows were put in order: bs_gguf_store */
    NULL,
};

/* Experts where there are none of them, and attention that looks back only. */
static bool is_neutral(const char *name, const json_t *value)
{
    if (!strcmp(name, "attention.causal"))
        return json_is_true(value);
    if (!strcmp(name, "expert_count") || !strcmp(name, "expert_used_count"))
        return json_is_number(value) && json_number_value(value) == 0;
    return false;
}

/* True for a name that means something in a config.json already. */
static bool is_taken(const struct bs_family_config *rules, const json_t *config, const char *name)
{
    static const char *const read_elsewhere[] = {"quantization_config", "compression_config",
                                                 "text_config", "original_max_position_embeddings",
                                                 NULL};
    for (const struct bs_config_key_name *k = rules->keys; k->name; k++)
        if (!strcmp(k->name, name))
            return true;
    return json_object_get(config, name) || bs_word_in(name, read_elsewhere) ||
           (rules->nested && !strcmp(name, rules->nested));
}

enum bs_status bs_gguf_further_keys(const struct bs_gguf *gguf, const char *arch,
                                    const struct bs_family_config *rules, json_t *config,
                                    struct bs_error *err)
{
    size_t prefix = strlen(arch) + 1;
    for (size_t i = 0; i < gguf->num_values; i++) {
        const struct bs_gguf_value *value = &gguf->values[i];
        char name[KEY_BYTES];
        json_t *json;
        if (value->key.length <= prefix || memcmp(value->key.bytes, arch, prefix - 1) ||
            value->key.bytes[prefix - 1] != '.')
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(value->key.length - prefix),
                 value->key.bytes + prefix);
        if (bs_word_in(name, known) || (rules->num_experts && bs_gguf_is_of_experts(name)))
            continue;
        if (is_taken(rules, config, name))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: metadata '%s.%s' has the name of a key of config.json, which GGUF "
                           "files say otherwise",
                           gguf->path, arch, name);
        if (bs_gguf_json(gguf, value, &json, err))
            return err->status;
        bool neutral = is_neutral(name, json);
        if (!neutral && !rules->num_experts && bs_gguf_is_of_experts(name)) {
            json_decref(json);
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: a mixture of experts ('%s.%s'), which the models of this family "
                           "are not",
                           gguf->path, arch, name);
        }
        if (neutral)
            json_decref(json);
        else if (json_object_set_new(config, name, json))
            return bs_fail(err, BS_EDATA, "%s: metadata '%s.%s': its name is not UTF-8", gguf->path,
                           arch, name);
    }
    return BS_OK;
}
