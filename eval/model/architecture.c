/* config.json, read with the names and defaults of the family's row. Which keys may be there:
 * config_keys.c; rotary positions: rope_config.c; what differs from layer to layer: layer_config.c;
 * what follows from it all: sets.c. */
#include "eval/model/model.h"

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/model/config_keys.h"
#include "eval/model/config_reader.h"
#include "eval/model/gguf_config.h"
#include "eval/checkpoint/foreign.h"
#include "eval/checkpoint/layout.h"
#include "eval/model/layer_config.h"
#include "eval/model/rope.h"
#include "eval/model/wrappers.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static enum bs_status read_activation(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_ACTIVATION, &name);
    const char *word = value ? json_string_value(value) : r->rules->activation, *other;
    char known[2 * BS_CONFIG_PRINTED] = "";
    if (bs_nonlinearity_find(word, &a->activation)) {
        if (r->rules->gelu_is_tanh && a->activation == BS_GELU)
            a->activation = BS_GELU_TANH;
        return BS_OK;
    }
    for (int i = 0; (other = bs_nonlinearity_name(i)); i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", other);
    }
    return bs_config_fail(r->path, name, value, BS_EUNSUPPORTED, known, r->err);
}

/* --- the whole --- */

/* True where the file has all the values that tell the row from others. A null is false, as for the
 * class, where that tells them apart. */
static bool is_selected(const json_t *config, const struct bs_selector *selector)
{
    for (; selector && selector->key; selector++) {
        const json_t *value = json_object_get(config, selector->key);
        char found[BS_CONFIG_PRINTED];
        bs_json_excerpt(json_is_null(value) ? json_false() : value, found, sizeof found);
        if (value ? strcmp(found, selector->value) : !selector->initial)
            return false;
    }
    return true;
}

/* The row whose selectors, where it has some, fit this file. */
static enum bs_status read_family(const char *path, const json_t *config, const char *model_type,
                                  const struct bs_family **family, struct bs_error *err)
{
    char names[3 * BS_CONFIG_PRINTED] = "";
    const struct bs_family *row, *before = NULL;
    for (int f = 0; (row = bs_family_at(f)); before = row, f++) {
        if (!strcmp(row->model_type, model_type) && is_selected(config, row->config->selectors)) {
            *family = row;
            return BS_OK;
        }
        size_t used = strlen(names);
        if (!before || strcmp(row->model_type, before->model_type))
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", row->model_type);
    }
    const char *kind = bs_foreign_kind(model_type);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: model_type '%.100s' is not supported%s%s%s; supported: %s", path,
                   model_type, kind ? " (" : "", kind ? kind : "", kind ? ")" : "", names);
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
static enum bs_status read_kv_heads(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_NUM_KV_HEADS, &name);
    bool multi_query;
    if (bs_config_bool(r, BS_KEY_MULTI_QUERY, r->rules->multi_query, &multi_query))
        return r->err->status;
    if (r->rules->multi_query && multi_query) {
        a->num_kv_heads = 1;
        return BS_OK;
    }
    int absent = r->rules->kv_heads && !value ? r->rules->kv_heads : a->num_heads;
    return bs_config_int(r, BS_KEY_NUM_KV_HEADS, absent, &a->num_kv_heads);
}

/* The widths of latent attention; BS_KEY_ROTARY_DIM is read here for the whole head's. */
static enum bs_status read_latent(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const struct bs_family_config *rules = r->rules;
    const char *name;
    const json_t *query = bs_config_get(r, BS_KEY_QUERY_LATENT, &name);
    int plain, rotated;
    if (bs_config_int(r, BS_KEY_PLAIN_DIM, rules->plain_dim, &plain) ||
        bs_config_int(r, BS_KEY_ROTARY_DIM, rules->rotary_dim, &rotated) ||
        bs_config_int(r, BS_KEY_VALUE_DIM, rules->value_dim, &a->value_dim) ||
        bs_config_int(r, BS_KEY_KEY_VALUE_LATENT, rules->key_value_latent, &a->latent.key_value) ||
        (!json_is_null(query) &&
         bs_config_int(r, BS_KEY_QUERY_LATENT, rules->query_latent, &a->latent.query)))
        return r->err->status;
    if (a->num_kv_heads != a->num_heads)
        return bs_fail(r->err, BS_EDATA,
                       "%s: %d heads of keys and %d of queries, expected as many: all are made of "
                       "one vector",
                       r->path, a->num_kv_heads, a->num_heads);
    if (plain > INT_MAX / 4 || rotated > INT_MAX / 4 || a->value_dim > INT_MAX / 4 ||
        a->num_heads > INT_MAX / (plain + rotated + a->value_dim) ||
        a->latent.key_value > INT_MAX - rotated)
        return bs_fail(r->err, BS_EDATA, "%s: heads of %d + %d and %d channels are too large",
                       r->path, plain, rotated, a->value_dim);
    a->head_dim = plain + rotated;
    return BS_OK;
}

/* Without head_dim the heads share hidden_size; with it they need not. */
static enum bs_status read_head_dim(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_HEAD_DIM, &name);
    if (r->rules->key_value_latent)
        return read_latent(r, a);
    if (!value && r->rules->head_dim) {
        a->head_dim = r->rules->head_dim;
        return BS_OK;
    }
    if (bs_config_is_null(value) && a->hidden_size % a->num_heads)
        return bs_fail(r->err, BS_EDATA,
                       "%s: hidden_size %d is not a multiple of num_attention_heads %d, and there "
                       "is no head_dim",
                       r->path, a->hidden_size, a->num_heads);
    return bs_config_int(r, BS_KEY_HEAD_DIM, a->hidden_size / a->num_heads, &a->head_dim);
}

static enum bs_status read_sizes(const struct bs_config_reader *r, struct bs_architecture *a)
{
    /* A text part says what differs from its class's defaults; a config.json of its own says
     * all. */
    const struct bs_class_sizes none = {0}, *initial = r->outer ? &r->rules->class_sizes : &none;
    if (bs_config_int(r, BS_KEY_HIDDEN_SIZE, initial->hidden_size, &a->hidden_size))
        return r->err->status;
    int times = r->rules->intermediate_times;
    if (times && a->hidden_size > INT_MAX / times)
        return bs_fail(r->err, BS_EDATA, "%s: a hidden size of %d is too large", r->path,
                       a->hidden_size);
    int intermediate = times ? times * a->hidden_size : initial->intermediate_size;
    if (bs_config_int(r, BS_KEY_INTERMEDIATE_SIZE, intermediate, &a->intermediate_size) ||
        bs_config_int(r, BS_KEY_EMBEDDING_SIZE, a->hidden_size, &a->embedding_size) ||
        bs_config_int(r, BS_KEY_NUM_LAYERS, initial->num_layers, &a->num_layers) ||
        bs_config_int(r, BS_KEY_NUM_HEADS, initial->num_heads, &a->num_heads) ||
        bs_config_int(r, BS_KEY_VOCAB_SIZE, initial->vocab_size, &a->vocab_size) ||
        bs_config_int(r, BS_KEY_MAX_POSITIONS, r->rules->max_positions, &a->max_positions) ||
        read_kv_heads(r, a) || read_head_dim(r, a))
        return r->err->status;
    return check_shape(r->path, a, r->err);
}

/* The expert that all tokens go to. */
static enum bs_status read_shared(const struct bs_config_reader *r, struct bs_architecture *a)
{
    struct bs_experts *e = &a->experts;
    const char *name;
    bool none = json_is_null(bs_config_get(r, BS_KEY_SHARED_COUNT, &name));
    int count;
    if (bs_config_count(r, BS_KEY_SHARED_SIZE, r->rules->shared_size, &e->shared_size) ||
        bs_config_count(r, BS_KEY_SHARED_COUNT, none ? 0 : r->rules->shared_count, &count))
        return r->err->status;
    if (count > INT_MAX / 2 / e->size)
        return bs_fail(r->err, BS_EDATA, "%s: %d shared experts of %d channels are too many",
                       r->path, count, e->size);
    if (count)
        e->shared_size = count * e->size;
    return BS_OK;
}

/* Out of which groups experts are chosen. */
static enum bs_status read_groups(const struct bs_config_reader *r, struct bs_architecture *a)
{
    struct bs_experts *e = &a->experts;
    const char *name;
    const json_t *method = bs_config_get(r, BS_KEY_GROUP_METHOD, &name);
    const char *word = method ? json_string_value(method) : "greedy";
    if (bs_config_count(r, BS_KEY_EXPERT_GROUPS, r->rules->expert_groups, &e->groups) ||
        bs_config_count(r, BS_KEY_GROUPS_PER_TOKEN, r->rules->groups_per_token,
                        &e->groups_per_token))
        return r->err->status;
    if (name && (!word || (strcmp(word, "greedy") && strcmp(word, "group_limited_greedy"))))
        return bs_config_fail(r->path, name, method, BS_EUNSUPPORTED,
                              "greedy or group_limited_greedy", r->err);
    if (name && !strcmp(word, "greedy"))
        e->groups = e->groups_per_token = 0;
    bool fit = e->groups < 2 || (e->count % e->groups == 0 && e->groups_per_token >= 1 &&
                                 e->groups_per_token <= e->groups &&
                                 e->per_token <= e->groups_per_token * (e->count / e->groups));
    return fit ? BS_OK
               : bs_fail(r->err, BS_EDATA,
                         "%s: %d of %d experts out of %d of %d groups, expected equal groups with "
                         "enough experts",
                         r->path, e->per_token, e->count, e->groups_per_token, e->groups);
}

/* Of a family whose keys speak of experts. */
static enum bs_status read_experts(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const struct bs_family_config *rules = r->rules;
    struct bs_experts *e = &a->experts;
    if (!a->family->experts)
        return BS_OK;
    int size = rules->expert_size ? rules->expert_size : a->intermediate_size;
    const char *name; /* a null is no number: transformers' classes fail */
    bool none = json_is_null(bs_config_get(r, BS_KEY_EXPERTS_PER_TOKEN, &name));
    int per_token = none ? 0 : rules->experts_per_token;
    if (bs_config_int(r, BS_KEY_NUM_EXPERTS, rules->num_experts, &e->count) ||
        bs_config_int(r, BS_KEY_EXPERTS_PER_TOKEN, per_token, &e->per_token) ||
        bs_config_int(r, BS_KEY_EXPERT_SIZE, size, &e->size) ||
        bs_config_bool(r, BS_KEY_NORMED_WEIGHTS, rules->normed_weights, &e->normed))
        return r->err->status;
    e->routing = rules->routing;
    e->weighs_input = rules->weighs_input;
    double scale;
    if (bs_config_positive(r, BS_KEY_ROUTED_SCALE, rules->routed_scale, &scale) ||
        read_shared(r, a))
        return r->err->status;
    e->scale = scale == 1 ? 0 : (float)scale;
    if (e->count > BS_MAX_EXPERTS)
        return bs_fail(r->err, BS_EUNSUPPORTED, "%s: %d experts, expected at most %d", r->path,
                       e->count, BS_MAX_EXPERTS);
    if (e->per_token > e->count)
        return bs_fail(r->err, BS_EDATA, "%s: a token goes to %d experts, but there are %d",
                       r->path, e->per_token, e->count);
    return read_groups(r, a);
}

static enum bs_status read_biases(const struct bs_config_reader *r, struct bs_architecture *a)
{
    static const struct {
        enum bs_key key;
        unsigned linears; /* enum bs_biases */
    } groups[] = {
        {BS_KEY_BIAS, BS_BIASES_ALL},     {BS_KEY_ATTENTION_BIAS, BS_BIASES_QKV | BS_BIASES_O},
        {BS_KEY_QKV_BIAS, BS_BIASES_QKV}, {BS_KEY_O_BIAS, BS_BIASES_O},
        {BS_KEY_MLP_BIAS, BS_BIASES_MLP},
    };
    a->biases = r->rules->biases;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        bool has;
        if (bs_config_bool(r, groups[i].key, (a->biases & groups[i].linears) != 0, &has))
            return r->err->status;
        if (has && !(a->biases & groups[i].linears))
            a->biases |= groups[i].linears;
        if (!has)
            a->biases &= ~groups[i].linears;
    }
    return BS_OK;
}

static enum bs_status read_wiring(const struct bs_config_reader *r, struct bs_architecture *a)
{
    bool parallel, shared, before, normed, no_final_norm;
    a->wiring = a->family->wiring;
    if (bs_config_bool(r, BS_KEY_PARALLEL, a->wiring == BS_PARALLEL, &parallel) ||
        bs_config_bool(r, BS_KEY_SHARED_NORM, false, &shared) ||
        bs_config_bool(r, BS_KEY_NORM_BEFORE, true, &before) ||
        bs_config_bool(r, BS_KEY_NORMED_STREAM, false, &normed) ||
        bs_config_bool(r, BS_KEY_NO_FINAL_NORM, false, &no_final_norm))
        return r->err->status;
    if (a->wiring == BS_PARALLEL && !parallel)
        a->wiring = BS_PRE_NORM;
    if (shared) {
        a->wiring = BS_PARALLEL;
        a->norms &= ~(1u << BS_NORM_MLP);
    }
    if (normed)
        a->wiring = BS_NORMED_RESIDUAL;
    if (!before)
        a->wiring = BS_POST_NORM;
    a->final_norm = before && !no_final_norm;
    return BS_OK;
}

/* Which norms there are, of which kind; before read_wiring. */
static enum bs_status read_norms(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double eps;
    bool affine, has;
    const char *name;
    a->norms = bs_family_norms(a->family);
    bs_config_get(r, BS_KEY_QK_NORM, &name);
    if (bs_config_bool(r, BS_KEY_NORM_AFFINE, true, &affine) ||
        bs_config_bool(r, BS_KEY_QK_NORM, !name, &has) ||
        bs_config_positive(r, BS_KEY_NORM_EPS, r->rules->norm_eps, &eps))
        return r->err->status;
    if (!has)
        a->norms &= ~(1u << BS_NORM_Q | 1u << BS_NORM_K);
    if (!a->latent.query)
        a->norms &= ~(1u << BS_NORM_QUERY_LATENT);
    a->norm = affine ? a->family->norm : BS_LAYER_NORM_PLAIN;
    a->norm_eps = (float)eps;
    return BS_OK;
}

static enum bs_status read_positions(const struct bs_config_reader *r, struct bs_architecture *a)
{
    bool alibi;
    double exponent;
    const char *name;
    a->positions = a->family->positions_kind;
    if (bs_config_bool(r, BS_KEY_ALIBI, a->positions == BS_ALIBI, &alibi) ||
        bs_config_positive(r, BS_KEY_ALIBI_EXPONENT, 8, &exponent))
        return r->err->status;
    if (alibi)
        a->positions = BS_ALIBI;
    a->alibi_exponent = (float)exponent;
    bs_config_get(r, BS_KEY_ALIBI_EXPONENT, &name);
    if (exponent != 8 &&
        bs_lines_add(&r->remarks->notices, r->err,
                     "config.json: %s is %.9g, and computed with; transformers computes with 8",
                     name, exponent))
        return r->err->status;
    return bs_rope_read(r, a);
}

static enum bs_status read_attention_scale(const struct bs_config_reader *r,
                                           struct bs_architecture *a)
{
    double scalar;
    double initial =
        r->rules->query_pre_attn_scalar > 0 ? r->rules->query_pre_attn_scalar : a->head_dim;
    float given;
    bool scaled;
    if (bs_config_positive(r, BS_KEY_QUERY_PRE_ATTN_SCALAR, initial, &scalar) ||
        bs_config_cap(r, BS_KEY_ATTENTION_SCALE, r->rules->attention_scale, &given) ||
        bs_config_bool(r, BS_KEY_ATTENTION_SCALED, true, &scaled) ||
        bs_config_bool(r, BS_KEY_ATTENTION_SCALE_BY_LAYER, false, &a->attention_scale_by_layer))
        return r->err->status;
    a->attention_scale = 1.0f / sqrtf((float)scalar);
    if (given > 0)
        a->attention_scale = given;
    if (!scaled)
        a->attention_scale = 1;
    if (a->latent.key_value && a->rope.scores_factor > 0)
        a->attention_scale *= (float)a->rope.scores_factor;
    return BS_OK;
}

static enum bs_status read_scales(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double embedding = a->family->embedding_scale ? sqrt((double)a->hidden_size) : 1;
    double logits = r->rules->logit_scale > 0 ? r->rules->logit_scale : 1, residual, divisor;
    if (bs_config_cap(r, BS_KEY_ATTENTION_SOFTCAP, r->rules->attention_softcap,
                      &a->attention_softcap) ||
        bs_config_cap(r, BS_KEY_QKV_CLIP, 0, &a->qkv_clip) ||
        bs_config_cap(r, BS_KEY_LOGIT_SOFTCAP, r->rules->logit_softcap, &a->logit_softcap) ||
        bs_config_positive(r, BS_KEY_EMBEDDING_SCALE, embedding, &embedding) ||
        bs_config_positive(r, BS_KEY_RESIDUAL_SCALE, 1, &residual) ||
        bs_config_positive(r, BS_KEY_LOGIT_SCALE, logits, &logits) ||
        bs_config_positive(r, BS_KEY_LOGIT_DIVISOR, 1, &divisor))
        return r->err->status;
    a->embedding_scale = (float)embedding;
    a->residual_scale = (float)residual;
    a->logit_scale = (float)(logits / divisor);
    return bs_config_bool(r, BS_KEY_TIED, r->rules->tied, &a->tied_head);
}

static enum bs_status read_values(const struct bs_config_reader *r, struct bs_architecture *a)
{
    if (bs_config_check_names(r) || read_sizes(r, a) || read_activation(r, a) ||
        read_positions(r, a) || bs_layers_read(r, a) || read_experts(r, a) || read_biases(r, a) ||
        read_norms(r, a) || read_wiring(r, a) || read_attention_scale(r, a) || read_scales(r, a) ||
        bs_config_check_keys(r, a))
        return r->err->status;
    return bs_programs_build(a, r->err);
}

/* One line for all keys that were passed over. */
static enum bs_status note_ignored(const struct bs_config_reader *r)
{
    struct bs_print printing;
    if (!r->ignored->count)
        return BS_OK;
    if (!bs_print_begin(&printing))
        return bs_fail_memory(r->err);
    for (int i = 0; i < r->ignored->count; i++)
        fprintf(printing.out, "%s%s", i ? ", " : "", r->ignored->lines[i]);
    char *list = bs_print_end(&printing);
    enum bs_status status =
        list ? bs_lines_add(&r->remarks->notices, r->err, "%s: notes passed over: %s",
                            r->gguf ? "metadata" : "config.json", list)
             : bs_fail_memory(r->err);
    bs_free(list);
    return status;
}

/* A key that a user lets pass, and that nobody had to, is most often misspelt. */
static enum bs_status note_unused(const struct bs_config_reader *r)
{
    for (int i = 0; r->accept && i < r->accept->count; i++) {
        const char *key = r->accept->lines[i];
        bool used = false;
        for (int k = 0; k < r->remarks->accepted.count; k++) {
            const char *found = strstr(r->remarks->accepted.lines[k], key);
            used |= found && !strncmp(found + strlen(key), " is ", 4);
        }
        if (!used && bs_lines_add(&r->remarks->notices, r->err,
                                  "accept_unknown: %s no key '%.100s' to pass over",
                                  r->gguf ? "the metadata have" : "config.json has", key))
            return r->err->status;
    }
    return BS_OK;
}

/* A config.json, or its text part, of this model_type. */
static enum bs_status read_part(struct bs_config_reader *r, const char *model_type,
                                struct bs_architecture *a)
{
    struct bs_lines ignored = {0};
    struct bs_quantization quantization; /* that it is one that is read */
    /* The family first: for another one the list of keys would mean nothing. */
    if (bs_quantization_find(r->path, r->config, &quantization, r->err) ||
        read_family(r->path, r->config, model_type, &a->family, r->err))
        return r->err->status;
    a->stored = *a->family;
    if (r->gguf)
        bs_gguf_store(r->gguf, &a->stored);
    r->rules = a->family->config;
    r->ignored = &ignored;
    enum bs_status status = read_values(r, a);
    if (!status && r->outer)
        status = bs_config_check_outer(r, a);
    if (!status)
        status = note_ignored(r);
    if (!status)
        status = note_unused(r);
    bs_lines_release(&ignored);
    r->ignored = NULL;
    return status;
}

/* The text part of a model of text and more. What the head is is said outside; that it is the
 * embedding, where nothing is said. */
static enum bs_status read_wrapped(const struct bs_config_reader *outer,
                                   const struct bs_wrapper *wrapper, struct bs_architecture *a)
{
    json_t *text = json_object_get(outer->config, "text_config");
    const json_t *tied = json_object_get(outer->config, "tie_word_embeddings");
    const char *model_type = json_string_value(json_object_get(text, "model_type"));
    if (!json_is_object(text))
        return bs_config_fail(outer->path, "text_config", text, BS_EDATA, "an object", outer->err);
    char *path = bs_printf("%s: text_config", outer->path);
    if (!path)
        return bs_fail_memory(outer->err);
    struct bs_config_reader r = *outer;
    r.path = path;
    r.config = text;
    r.outer = outer;
    model_type = model_type ? model_type : wrapper->text;
    struct bs_quantization quantization;
    enum bs_status status =
        bs_quantization_find(outer->path, outer->config, &quantization, outer->err);
    if (!status)
        status = read_part(&r, model_type, a);
    bs_free(path);
    if (status)
        return status;
    /* The whole model's class takes the head's products as they are. */
    if (a->logit_softcap > 0 || a->logit_scale != 1)
        return bs_fail(outer->err, BS_EUNSUPPORTED,
                       "%s: text_config caps or scales the logits, which transformers' class of "
                       "model_type '%s' passes over",
                       outer->path, wrapper->model_type);
    if (json_is_boolean(tied) || bs_config_is_null(json_object_get(text, "tie_word_embeddings")))
        a->tied_head = !json_is_false(tied);
    a->wrapper = wrapper->model_type;
    return bs_lines_add(&outer->remarks->notices, outer->err,
                        "model_type %s: opened by its text part (%s) alone", wrapper->model_type,
                        a->family->model_type);
}

static enum bs_status read_config(struct bs_config_reader *r, struct bs_architecture *a)
{
    const json_t *value = json_object_get(r->config, "model_type");
    if (!json_is_string(value))
        return bs_config_fail(r->path, "model_type", value, BS_EDATA, "the name of a model family",
                              r->err);
    const struct bs_wrapper *wrapper = bs_wrapper_find(json_string_value(value));
    return wrapper ? read_wrapped(r, wrapper, a) : read_part(r, json_string_value(value), a);
}

/* The same of a GGUF file, by its metadata. */
static enum bs_status read_gguf(struct bs_config_reader *r, struct bs_architecture *a)
{
    struct bs_gguf_model model;
    enum bs_status status = bs_gguf_open(r->path, &model, r->err);
    if (!status)
        status = bs_gguf_config(&model, &r->config, r->err);
    r->gguf = &model;
    if (!status)
        status = read_config(r, a);
    json_decref(r->config);
    r->gguf = NULL;
    bs_gguf_close(&model);
    return status;
}

static enum bs_status read_folder(const char *directory, struct bs_config_reader *r,
                                  struct bs_architecture *a)
{
    if (bs_foreign_path(directory, r->err))
        return r->err->status;
    char *path = bs_printf("%s/config.json", directory);
    if (!path)
        return bs_fail_memory(r->err);
    enum bs_status status = bs_json_read(path, &r->config, r->err);
    r->path = path;
    if (!status)
        status = read_config(r, a);
    json_decref(r->config);
    bs_free(path);
    return status;
}

enum bs_status bs_architecture_read(const char *directory, const struct bs_lines *accept,
                                    struct bs_architecture *architecture,
                                    struct bs_remarks *remarks, struct bs_error *err)
{
    *architecture = (struct bs_architecture){0};
    struct bs_remarks unwanted = {0};
    struct bs_config_reader r = {
        .accept = accept, .remarks = remarks ? remarks : &unwanted, .err = err};
    char *file;
    enum bs_status status = bs_gguf_place(directory, &file, err);
    r.path = file;
    if (!status)
        status = file ? read_gguf(&r, architecture) : read_folder(directory, &r, architecture);
    bs_remarks_release(&unwanted);
    bs_free(file);
    return status;
}

void bs_remarks_release(struct bs_remarks *remarks)
{
    bs_lines_release(&remarks->notices);
    bs_lines_release(&remarks->accepted);
}
