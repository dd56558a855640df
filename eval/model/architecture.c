/* config.json, read with the names and defaults of the family's row, and what follows from it. Which
 * keys may be there: config_keys.c; rotary positions: rope_config.c. */
#include "eval/model/model.h"

#include "eval/base/mem.h"
#include "eval/model/config_keys.h"
#include "eval/model/config_reader.h"
#include "eval/model/rope.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

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

static enum bs_status read_activation(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_ACTIVATION, &name);
    const char *word = value ? json_string_value(value) : r->rules->activation;
    char known[BS_CONFIG_PRINTED] = "";
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (word && !strcmp(word, activations[i].name)) {
            a->activation = activations[i].function;
            return BS_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", activations[i].name);
    }
    return bs_config_fail(r->path, name, value, BS_EUNSUPPORTED, known, r->err);
}

/* --- sliding windows --- */

static enum bs_status read_layer_types(const struct bs_config_reader *r, const char *name,
                                       const json_t *types, struct bs_architecture *a)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)a->num_layers)
        return bs_config_fail(r->path, name, types, BS_EDATA, "one word for each layer", r->err);
    for (int l = 0; l < a->num_layers; l++) {
        const char *word = json_string_value(json_array_get(types, (size_t)l));
        bool local = word && !strcmp(word, "sliding_attention");
        if (!local && (!word || strcmp(word, "full_attention")))
            return bs_config_fail(r->path, name, types, BS_EUNSUPPORTED,
                                  "full_attention or sliding_attention for each layer", r->err);
        if (local && !a->sliding_window)
            return bs_fail(r->err, BS_EDATA, "%s: %s has sliding_attention, but there is no window",
                           r->path, name);
        a->local_layers[l / 64] |= (uint64_t)local << l % 64;
    }
    return BS_OK;
}

/* Where no list says it: from a layer on, all but every n-th, or all. */
static enum bs_status place_windows(const struct bs_config_reader *r, struct bs_architecture *a)
{
    int from = 0, pattern = 0;
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_MAX_WINDOW_LAYERS, &name);
    if (name) {
        from = value ? (int)json_integer_value(value) : r->rules->max_window_layers;
        if (value && (!json_is_integer(value) || from < 0))
            return bs_config_fail(r->path, name, value, BS_EDATA, "a number of layers", r->err);
    }
    if (r->rules->window_pattern &&
        bs_config_int(r, BS_KEY_WINDOW_PATTERN, r->rules->window_pattern, &pattern))
        return r->err->status;
    for (int l = from; l < a->num_layers; l++)
        if (!pattern || (l + 1) % pattern)
            a->local_layers[l / 64] |= UINT64_C(1) << l % 64;
    return BS_OK;
}

static enum bs_status read_windows(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_SLIDING_WINDOW, &name);
    if (!name)
        return BS_OK;
    bool used = true;
    bs_config_get(r, BS_KEY_USE_SLIDING_WINDOW, &name);
    if (name && bs_config_bool(r, BS_KEY_USE_SLIDING_WINDOW, false, &used))
        return r->err->status;
    if (used && !json_is_null(value) &&
        bs_config_int(r, BS_KEY_SLIDING_WINDOW, r->rules->sliding_window, &a->sliding_window))
        return r->err->status;
    value = bs_config_get(r, BS_KEY_LAYER_TYPES, &name);
    if (!bs_config_is_null(value))
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
        return bs_config_fail(path, "model_type", value, BS_EDATA, "the name of a model family",
                              err);
    char names[BS_CONFIG_PRINTED] = "";
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

/* Without head_dim the heads share hidden_size; with it they need not. */
static enum bs_status read_head_dim(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_HEAD_DIM, &name);
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
    if (bs_config_int(r, BS_KEY_HIDDEN_SIZE, 0, &a->hidden_size))
        return r->err->status;
    int times = r->rules->intermediate_times;
    if (times && a->hidden_size > INT_MAX / times)
        return bs_fail(r->err, BS_EDATA, "%s: a hidden size of %d is too large", r->path,
                       a->hidden_size);
    if (bs_config_int(r, BS_KEY_INTERMEDIATE_SIZE, times * a->hidden_size, &a->intermediate_size) ||
        bs_config_int(r, BS_KEY_EMBEDDING_SIZE, a->hidden_size, &a->embedding_size) ||
        bs_config_int(r, BS_KEY_NUM_LAYERS, 0, &a->num_layers) ||
        bs_config_int(r, BS_KEY_NUM_HEADS, 0, &a->num_heads) ||
        bs_config_int(r, BS_KEY_VOCAB_SIZE, 0, &a->vocab_size) ||
        bs_config_int(r, BS_KEY_MAX_POSITIONS, r->rules->max_positions, &a->max_positions) ||
        read_kv_heads(r, a) || read_head_dim(r, a))
        return r->err->status;
    return check_shape(r->path, a, r->err);
}

static enum bs_status read_eps(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double eps;
    if (bs_config_positive(r, BS_KEY_NORM_EPS, r->rules->norm_eps, &eps))
        return r->err->status;
    a->norm_eps = (float)eps;
    return BS_OK;
}

static enum bs_status read_biases(const struct bs_config_reader *r, struct bs_architecture *a)
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
        if (bs_config_bool(r, groups[i].key, (a->biases & groups[i].roles) != 0, &has))
            return r->err->status;
        if (has && !(a->biases & groups[i].roles))
            a->biases |= groups[i].roles;
        if (!has)
            a->biases &= ~groups[i].roles;
    }
    return BS_OK;
}

static enum bs_status read_wiring(const struct bs_config_reader *r, struct bs_architecture *a)
{
    bool parallel, before, no_final_norm;
    a->wiring = a->family->wiring;
    if (bs_config_bool(r, BS_KEY_PARALLEL, a->wiring == BS_PARALLEL, &parallel) ||
        bs_config_bool(r, BS_KEY_NORM_BEFORE, true, &before) ||
        bs_config_bool(r, BS_KEY_NO_FINAL_NORM, false, &no_final_norm))
        return r->err->status;
    if (a->wiring == BS_PARALLEL && !parallel)
        a->wiring = BS_PRE_NORM;
    if (!before)
        a->wiring = BS_POST_NORM;
    a->final_norm = before && !no_final_norm;
    return BS_OK;
}

static enum bs_status read_scales(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double scalar;
    double initial =
        r->rules->query_pre_attn_scalar > 0 ? r->rules->query_pre_attn_scalar : a->head_dim;
    if (bs_config_positive(r, BS_KEY_QUERY_PRE_ATTN_SCALAR, initial, &scalar) ||
        bs_config_cap(r, BS_KEY_ATTENTION_SOFTCAP, r->rules->attention_softcap,
                      &a->attention_softcap) ||
        bs_config_cap(r, BS_KEY_LOGIT_SOFTCAP, r->rules->logit_softcap, &a->logit_softcap))
        return r->err->status;
    a->attention_scale = 1.0f / sqrtf((float)scalar);
    a->embedding_scale = a->family->embedding_scale ? sqrtf((float)a->hidden_size) : 1;
    return bs_config_bool(r, BS_KEY_TIED, r->rules->tied, &a->tied_head);
}

static enum bs_status read_config(const char *path, json_t *config, struct bs_architecture *a,
                                  struct bs_error *err)
{
    if (!json_is_object(config))
        return bs_fail(err, BS_EDATA, "%s: expected an object", path);
    /* The family first: for another one the list of keys would mean nothing. */
    if (read_family(path, config, &a->family, err))
        return err->status;
    struct bs_config_reader r = {path, config, a->family->config, err};
    if (bs_config_check_keys(&r) || read_sizes(&r, a) || read_eps(&r, a) ||
        read_activation(&r, a) || bs_rope_read(&r, a) || read_windows(&r, a) ||
        read_biases(&r, a) || read_wiring(&r, a) || read_scales(&r, a))
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
