#include "eval/model/gguf_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/model/families.h"
#include "eval/model/gguf_experts.h"
#include "eval/model/gguf_further.h"

enum { KEY_BYTES = 128 };

/* A config being made. */
struct making {
    const struct bs_gguf_model *model;
    const char *path, *arch;
    const struct bs_family *family;
    const struct bs_family_config *rules; /* the family's */
    json_t *config;
    struct bs_error *err;
};

/* --- reading metadata --- */

/* The value of "ARCH.name", in a new reference; NULL where there is none. */
static enum bs_status get(const struct making *m, const char *name, json_t **json)
{
    char key[KEY_BYTES];
    *json = NULL;
    snprintf(key, sizeof key, "%s.%s", m->arch, name);
    const struct bs_gguf *gguf = &m->model->parts->gguf;
    const struct bs_gguf_value *value = bs_gguf_find(gguf, key);
    return value ? bs_gguf_json(gguf, value, json, m->err) : BS_OK;
}

static enum bs_status fail_value(const struct making *m, const char *name, const char *expected)
{
    return bs_fail(m->err, BS_EDATA, "%s: metadata '%s.%s' is not %s", m->path, m->arch, name,
                   expected);
}

/* A number, or a list of the same number for each layer; `initial` where there is none. */
static enum bs_status get_number(const struct making *m, const char *name, double initial,
                                 double *number)
{
    json_t *json, *item;
    size_t i;
    *number = initial;
    if (get(m, name, &json))
        return m->err->status;
    const json_t *first = json_is_array(json) ? json_array_get(json, 0) : json;
    bool right = !json || json_is_number(first), same = true;
    *number = json_is_number(first) ? json_number_value(first) : initial;
    json_array_foreach(json, i, item) same = same && json_equal(item, first);
    json_decref(json);
    if (!same)
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: metadata '%s.%s' differs from layer to layer, which bitsweep does not "
                       "compute",
                       m->path, m->arch, name);
    return right ? BS_OK : fail_value(m, name, "a number");
}

/* --- writing config.json --- */

/* What the family calls it, or NULL. */
static const char *name_of(const struct making *m, enum bs_key key)
{
    return bs_config_key_of(m->rules, key);
}

/* Takes the value, which may be NULL for lack of memory. "a.b" becomes b of the object a. */
static enum bs_status set_named(const struct making *m, const char *name, json_t *value)
{
    const char *dot = strchr(name, '.');
    json_t *object = m->config;
    bool done = true;
    if (dot) {
        char outer[KEY_BYTES];
        snprintf(outer, sizeof outer, "%.*s", (int)(dot - name), name);
        object = json_object_get(m->config, outer);
        if (!object)
            done = !json_object_set_new(m->config, outer, object = json_object());
        name = dot + 1;
    }
    if (!done) {
        json_decref(value);
        return bs_fail_memory(m->err);
    }
    return json_object_set_new(object, name, value) ? bs_fail_memory(m->err) : BS_OK;
}

/* Nothing where the family has no such key. */
static enum bs_status set(const struct making *m, enum bs_key key, json_t *value)
{
    const char *name = name_of(m, key);
    if (name)
        return set_named(m, name, value);
    json_decref(value);
    return BS_OK;
}

static json_t *number_json(double number)
{
    bool is_whole = number == floor(number) && fabs(number) < 1e15;
    return is_whole ? json_integer((json_int_t)number) : json_real(number);
}

/* A number of the metadata by the family's name; where it has none, the number must be the one that
 * the family always has, `fixed` (0: any is). */
static enum bs_status copy(const struct making *m, const char *name, enum bs_key key, double fixed)
{
    double number;
    if (get_number(m, name, NAN, &number))
        return m->err->status;
    if (!isnan(number) && !name_of(m, key) && fixed > 0 && (float)fixed != (float)number)
        return bs_fail(m->err, BS_EUNSUPPORTED, "%s: metadata '%s.%s' is %.9g, expected %.9g",
                       m->path, m->arch, name, number, fixed);
    return isnan(number) ? BS_OK : set(m, key, number_json(number));
}

/* The same of a scale or limit. Where the family has no name for it, 0 says nothing, nor does what
 * it computes with anyway, `neutral`; another number stands by its own name, to be judged as
 * unknown keys are. */
static enum bs_status copy_scale(const struct making *m, const char *name, enum bs_key key,
                                 double neutral)
{
    double number;
    if (get_number(m, name, NAN, &number))
        return m->err->status;
    if (isnan(number) || (!name_of(m, key) && (number == 0 || (float)number == (float)neutral)))
        return BS_OK;
    if (name_of(m, key))
        return set(m, key, number_json(number));
    return json_object_set_new(m->config, name, number_json(number)) ? bs_fail_memory(m->err)
                                                                     : BS_OK;
}

/* --- sizes --- */

static const struct bs_gguf_tensor *tensor(const struct making *m, const char *name)
{
    return bs_gguf_tensor(m->model, name);
}

/* Each head's width where the family says it; it must follow from the others where it does not. */
static enum bs_status put_head_dim(const struct making *m, double *head)
{
    double hidden, heads, value;
    if (m->rules->key_value_latent) { /* said with the experts */
        if (get_number(m, "rope.dimension_count", 0, head))
            return m->err->status;
        return *head >= 1 ? BS_OK : fail_value(m, "rope.dimension_count", "at least 1");
    }
    if (get_number(m, "embedding_length", 0, &hidden) ||
        get_number(m, "attention.head_count", 0, &heads) ||
        get_number(m, "attention.key_length", heads > 0 ? floor(hidden / heads) : 0, head) ||
        get_number(m, "attention.value_length", *head, &value))
        return m->err->status;
    if (!(*head >= 1))
        return bs_fail(m->err, BS_EDATA,
                       "%s: %.9g channels in %.9g heads, expected at least one in each", m->path,
                       hidden, heads);
    if (value != *head)
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: keys of %.9g channels and values of %.9g, expected as many", m->path,
                       *head, value);
    if (!name_of(m, BS_KEY_HEAD_DIM) && *head * heads != hidden)
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: %.9g heads of %.9g channels, expected %.9g together", m->path, heads,
                       *head, hidden);
    return set(m, BS_KEY_HEAD_DIM, number_json(*head));
}

/* The converter of some families writes four times the hidden size, whatever the tensors have. */
static enum bs_status put_intermediate(const struct making *m)
{
    const struct bs_gguf_tensor *down = tensor(m, "blk.0.ffn_down.weight");
    return down && down->rank == 2 ? set(m, BS_KEY_INTERMEDIATE_SIZE, json_integer(down->dims[0]))
                                   : copy(m, "feed_forward_length", BS_KEY_INTERMEDIATE_SIZE, 0);
}

static enum bs_status put_sizes(const struct making *m, double *head)
{
    double heads, kv_heads;
    const struct bs_gguf_tensor *embedding = tensor(m, "token_embd.weight");
    const struct bs_gguf_tensor *positions = tensor(m, "position_embd.weight");
    if (!embedding || embedding->rank != 2)
        return bs_fail(m->err, BS_EDATA, "%s: tensor 'token_embd.weight' is %s", m->path,
                       embedding ? "no matrix" : "missing");
    if (get_number(m, "attention.head_count", 0, &heads) ||
        get_number(m, "attention.head_count_kv", heads, &kv_heads) ||
        copy(m, "embedding_length", BS_KEY_HIDDEN_SIZE, 0) ||
        copy(m, "block_count", BS_KEY_NUM_LAYERS, 0) || put_intermediate(m) ||
        copy(m, "attention.head_count", BS_KEY_NUM_HEADS, 0) ||
        set(m, BS_KEY_NUM_KV_HEADS, number_json(kv_heads)) ||
        set(m, BS_KEY_MULTI_QUERY, json_boolean(kv_heads == 1)) ||
        set(m, BS_KEY_VOCAB_SIZE, json_integer(embedding->dims[1])) ||
        copy(m, "context_length", BS_KEY_MAX_POSITIONS, 0) || put_head_dim(m, head))
        return m->err->status;
    if (positions && positions->rank == 2 &&
        set(m, BS_KEY_MAX_POSITIONS, json_integer(positions->dims[1])))
        return m->err->status;
    return BS_OK;
}

/* --- rotary positions --- */

/* The numbers of a vector of float32. */
static enum bs_status vector_json(const struct making *m, const struct bs_gguf_tensor *vector,
                                  json_t **list)
{
    *list = json_array();
    bool right = vector->type && !strcmp(vector->type->name, "F32");
    for (size_t i = 0; right && i < vector->count; i++) {
        float number;
        memcpy(&number, vector->data + i * sizeof number, sizeof number);
        right = !json_array_append_new(*list, json_real((double)number));
    }
    if (right)
        return BS_OK;
    json_decref(*list);
    *list = NULL;
    return bs_fail(m->err, BS_EDATA, "%s: tensor '%.*s' is no vector of finite F32 numbers",
                   m->path, (int)vector->name.length, vector->name.bytes);
}

/* Factors of each pair's frequency: those of Llama 3 that hold for all positions, or Phi's, of
 * short and of long texts. */
static enum bs_status put_factors(const struct making *m, json_t *rope)
{
    const struct bs_gguf_tensor *all = tensor(m, "rope_freqs.weight");
    const struct bs_gguf_tensor *near = all ? all : tensor(m, "rope_factors_short.weight");
    const struct bs_gguf_tensor *far = all ? all : tensor(m, "rope_factors_long.weight");
    json_t *short_list, *long_list;
    double factor;
    if (!near != !far)
        return bs_fail(m->err, BS_EDATA, "%s: tensor 'rope_factors_%s.weight' is missing", m->path,
                       near ? "long" : "short");
    if (get_number(m, "rope.scaling.attn_factor", all || !near ? 1 : 0, &factor))
        return m->err->status;
    if (!near && factor != 1)
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: metadata '%s.rope.scaling.attn_factor' is %.9g, expected 1 where there "
                       "are no factors of frequencies",
                       m->path, m->arch, factor);
    if (!near)
        return BS_OK;
    const char *type = json_string_value(json_object_get(rope, "rope_type"));
    bool is_longrope = type && !strcmp(type, "longrope");
    if (type && !is_longrope)
        return bs_fail(
            m->err, BS_EUNSUPPORTED,
            "%s: tensor '%.*s' beside rotary positions scaled as '%.40s', which bitsweep "
            "does not compute together",
            m->path, (int)near->name.length, near->name.bytes, type);
    if (vector_json(m, near, &short_list))
        return m->err->status;
    if (vector_json(m, far, &long_list)) {
        json_decref(short_list);
        return m->err->status;
    }
    bool failed = json_object_set_new(rope, "short_factor", short_list);
    failed = json_object_set_new(rope, "long_factor", long_list) || failed ||
             json_object_set_new(rope, "rope_type", json_string("longrope")) ||
             (factor > 0 && json_object_set_new(rope, "attention_factor", json_real(factor)));
    return failed ? bs_fail_memory(m->err) : BS_OK;
}

static enum bs_status copy_to(const struct making *m, const char *from, json_t *rope,
                              const char *to)
{
    double number;
    if (get_number(m, from, 0, &number))
        return m->err->status;
    return number != 0 && json_object_set_new(rope, to, number_json(number))
               ? bs_fail_memory(m->err)
               : BS_OK;
}

/* As llama.cpp reads it: linear where no type is named, and the factor by its old name where the
 * newer is missing. */
static enum bs_status fill_rope(const struct making *m, json_t *rope)
{
    static const char *const names[][2] = {
        {"rope.scaling.original_context_length", "original_max_position_embeddings"},
        {"rope.scaling.yarn_attn_factor", "attention_factor"},
        {"rope.scaling.yarn_beta_fast", "beta_fast"},
        {"rope.scaling.yarn_beta_slow", "beta_slow"}};
    json_t *type;
    double factor;
    if (get_number(m, "rope.scale_linear", 0, &factor) ||
        get_number(m, "rope.scaling.factor", factor, &factor) || get(m, "rope.scaling.type", &type))
        return m->err->status;
    if (type && !json_is_string(type)) {
        json_decref(type);
        return fail_value(m, "rope.scaling.type", "a text");
    }
    const char *word = type ? json_string_value(type) : "linear";
    bool is_plain = !strcmp(word, "none") || (!strcmp(word, "linear") && (!factor || factor == 1));
    bool failed =
        !is_plain && (json_object_set_new(rope, "rope_type", json_string(word)) ||
                      (factor != 0 && json_object_set_new(rope, "factor", number_json(factor))));
    json_decref(type);
    if (failed)
        return bs_fail_memory(m->err);
    for (size_t i = 0; !is_plain && i < sizeof names / sizeof *names; i++)
        if (copy_to(m, names[i][0], rope, names[i][1]))
            return m->err->status;
    if (is_plain && tensor(m, "rope_factors_long.weight") &&
        copy_to(m, names[0][0], rope, names[0][1]))
        return m->err->status;
    return put_factors(m, rope);
}

static enum bs_status put_rope(const struct making *m, double head)
{
    double rotated;
    json_t *rope = json_object();
    if (!name_of(m, BS_KEY_ROPE)) {
        json_decref(rope);
        return BS_OK;
    }
    if (!rope || get_number(m, "rope.dimension_count", head, &rotated) || fill_rope(m, rope)) {
        json_decref(rope);
        return rope ? m->err->status : bs_fail_memory(m->err);
    }
    /* Phi-3's own key, which must agree with the object's. */
    json_t *original = json_object_get(rope, "original_max_position_embeddings");
    bool failed = m->rules->original_positions && original &&
                  json_object_set(m->config, "original_max_position_embeddings", original);
    if (!json_object_size(rope) && m->rules->initial_rope) /* which else would hold */
        failed = json_object_set_new(rope, "rope_type", json_string("default"));
    if (!json_object_size(rope))
        json_decref(rope);
    else if (set_named(m, "rope_scaling", rope))
        failed = true;
    if (failed)
        return bs_fail_memory(m->err);
    if (!name_of(m, BS_KEY_ROTARY_SHARE) && rotated != head)
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: %.9g of each head's %.9g channels are rotated, expected all", m->path,
                       rotated, head);
    double base;
    return get_number(m, "rope.freq_base", 10000, &base) ||
                   set(m, BS_KEY_ROTARY_SHARE, number_json(rotated / head)) ||
                   copy(m, "rope.freq_base", BS_KEY_ROPE_THETA, 10000) ||
                   copy(m, "rope.freq_base_swa", BS_KEY_LOCAL_ROPE_THETA,
                        name_of(m, BS_KEY_SLIDING_WINDOW) ? base : 0)
               ? m->err->status
               : BS_OK;
}

/* --- windows --- */

/* Which layers have the window: a list with true or 1 for each that has, or n where every n-th has
 * none (0: all have). */
static enum bs_status put_layer_types(const struct making *m)
{
    double layers;
    json_t *pattern;
    const char *name = name_of(m, BS_KEY_LAYER_TYPES);
    if (get_number(m, "block_count", 0, &layers) ||
        get(m, "attention.sliding_window_pattern", &pattern))
        return m->err->status;
    if (!pattern)
        return BS_OK;
    json_int_t every = json_integer_value(pattern);
    bool listed = json_is_array(pattern),
         right = listed || (json_is_integer(pattern) && every >= 0);
    size_t count = listed                ? json_array_size(pattern)
                   : right && layers > 0 ? (size_t)fmin(layers, BS_MAX_LAYERS)
                                         : 0;
    json_t *words = json_array();
    bool all = true, failed = !words;
    for (size_t i = 0; i < count && !failed; i++) {
        const json_t *item = json_array_get(pattern, i);
        bool local = !every || (json_int_t)(i + 1) % every;
        if (listed)
            local = json_is_true(item) || json_integer_value(item) > 0;
        all = all && local;
        failed = json_array_append_new(words,
                                       json_string(local ? "sliding_attention" : "full_attention"));
    }
    json_decref(pattern);
    if (!failed && right && name)
        return set_named(m, name, words);
    json_decref(words);
    if (failed)
        return bs_fail_memory(m->err);
    if (!right)
        return fail_value(m, "attention.sliding_window_pattern", "a list or a number of layers");
    return all ? BS_OK
               : fail_value(m, "attention.sliding_window_pattern",
                            "a window in each layer, as the models of this family have");
}

static enum bs_status put_windows(const struct making *m)
{
    double window;
    if (get_number(m, "attention.sliding_window", -1, &window))
        return m->err->status;
    if (m->rules->chunked) /* llama.cpp's code has the family's numbers, where they are not off */
        return window != 0 ? BS_OK
                           : fail_value(m, "attention.sliding_window",
                                        "one, as the models of this family have");
    bool alternating = m->rules->window_pattern && m->rules->sliding_window;
    if (window < 0 && alternating)
        return put_layer_types(m); /* as wide as the family's always are */
    if (window > 0 && !name_of(m, BS_KEY_SLIDING_WINDOW))
        return bs_fail(m->err, BS_EUNSUPPORTED,
                       "%s: a sliding window of %.9g, which the models of this family do not have",
                       m->path, window);
    if (set(m, BS_KEY_SLIDING_WINDOW, window > 0 ? number_json(window) : json_null()))
        return m->err->status;
    return window > 0 ? put_layer_types(m) : BS_OK;
}

/* --- what else there is --- */

/* Gemma's largest models scale q k^T by the width of a head that they do not have. */
static enum bs_status put_query_scalar(const struct making *m, double head)
{
    double hidden, heads, layers;
    if (!name_of(m, BS_KEY_QUERY_PRE_ATTN_SCALAR))
        return BS_OK;
    if (get_number(m, "embedding_length", 0, &hidden) ||
        get_number(m, "attention.head_count", 1, &heads) ||
        get_number(m, "block_count", 0, &layers))
        return m->err->status;
    bool largest = layers == (m->rules->local_rope_theta > 0 ? 62 : 46);
    return set(m, BS_KEY_QUERY_PRE_ATTN_SCALAR, number_json(largest ? hidden / heads : head));
}

static enum bs_status put_scales(const struct making *m, double head)
{
    double hidden;
    if (get_number(m, "embedding_length", 0, &hidden))
        return m->err->status;
    const struct {
        const char *name;
        enum bs_key key;
        double neutral;
    } numbers[] = {
        {"attn_logit_softcapping", BS_KEY_ATTENTION_SOFTCAP, 0},
        {"final_logit_softcapping", BS_KEY_LOGIT_SOFTCAP, 0},
        {"attention.scale", BS_KEY_ATTENTION_SCALE,
         name_of(m, BS_KEY_QUERY_PRE_ATTN_SCALAR) ? 0 : 1 / sqrt(head)},
        {"attention.clamp_kqv", BS_KEY_QKV_CLIP, 0},
        {"attention.max_alibi_bias", BS_KEY_ALIBI_EXPONENT,
         m->family->positions_kind == BS_ALIBI ? 8 : 0},
        {"embedding_scale", BS_KEY_EMBEDDING_SCALE, m->family->embedding_scale ? sqrt(hidden) : 1},
        {"residual_scale", BS_KEY_RESIDUAL_SCALE, 1},
        {"logit_scale",
         name_of(m, BS_KEY_LOGIT_DIVISOR) ? BS_KEY_LOGIT_DIVISOR : BS_KEY_LOGIT_SCALE, 1},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (copy_scale(m, numbers[i].name, numbers[i].key, numbers[i].neutral))
            return m->err->status;
    if (copy(m, "attention.layer_norm_rms_epsilon", BS_KEY_NORM_EPS, m->rules->norm_eps) ||
        copy(m, "attention.layer_norm_epsilon", BS_KEY_NORM_EPS, m->rules->norm_eps))
        return m->err->status;
    return put_query_scalar(m, head);
}

/* What the tensors tell. */
static enum bs_status put_tensors(const struct making *m)
{
    static const struct {
        enum bs_key key;
        const char *names[3];
    } switches[] = {
        {BS_KEY_BIAS, {"blk.0.attn_qkv.bias", "blk.0.attn_q.bias"}},
        {BS_KEY_ATTENTION_BIAS, {"blk.0.attn_qkv.bias", "blk.0.attn_q.bias"}},
        {BS_KEY_QKV_BIAS, {"blk.0.attn_qkv.bias", "blk.0.attn_q.bias"}},
        {BS_KEY_O_BIAS, {"blk.0.attn_output.bias"}},
        {BS_KEY_MLP_BIAS, {"blk.0.ffn_down.bias"}},
        {BS_KEY_QK_NORM, {"blk.0.attn_q_norm.weight"}},
    };
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        bool there = false;
        for (int n = 0; switches[i].names[n]; n++)
            there = there || tensor(m, switches[i].names[n]);
        if (set(m, switches[i].key, json_boolean(there)))
            return m->err->status;
    }
    return set(m, BS_KEY_TIED, json_boolean(!tensor(m, "output.weight")));
}

/* Attention and MLP side by side. */
static enum bs_status put_wiring(const struct making *m)
{
    json_t *parallel;
    bool one_norm = !tensor(m, "blk.0.ffn_norm.weight");
    if (set(m, BS_KEY_SHARED_NORM, json_boolean(one_norm)) ||
        get(m, "use_parallel_residual", &parallel))
        return m->err->status;
    if (parallel)
        return set(m, BS_KEY_PARALLEL, parallel);
    return BS_OK;
}

/* Falcon's rows differ in keys that no metadata have. */
static enum bs_status put_falcon(const struct making *m)
{
    double kv_heads;
    bool two = tensor(m, "blk.0.attn_norm_2.weight");
    if (get_number(m, "attention.head_count_kv", 1, &kv_heads))
        return m->err->status;
    bool anew = two || kv_heads > 1;
    return set_named(m, "new_decoder_architecture", json_boolean(anew)) ||
                   set_named(m, "parallel_attn", json_true()) ||
                   set_named(m, "alibi", json_false()) ||
                   (anew && set_named(m, "num_ln_in_parallel_attn", json_integer(two ? 2 : 1)))
               ? m->err->status
               : BS_OK;
}

/* --- the whole --- */

static enum bs_status make(struct making *m, const char *model_type)
{
    double head = 0;
    if (set_named(m, "model_type", json_string(model_type)) || put_sizes(m, &head) ||
        put_rope(m, head) || put_windows(m) || put_scales(m, head) || put_tensors(m) ||
        put_wiring(m) || (!strcmp(model_type, "falcon") && put_falcon(m)) ||
        (m->family->experts && bs_gguf_put_experts(m->model, m->arch, m->rules, m->config, m->err)))
        return m->err->status;
    return bs_gguf_further_keys(&m->model->parts->gguf, m->arch, m->rules, m->config, m->err);
}

enum bs_status bs_gguf_config(const struct bs_gguf_model *model, json_t **config,
                              struct bs_error *err)
{
    const struct bs_gguf *gguf = &model->parts->gguf;
    struct making m = {.model = model, .path = gguf->path, .err = err};
    const struct bs_gguf_value *value = bs_gguf_find(gguf, "general.architecture");
    json_t *arch = NULL;
    *config = NULL;
    if (!value)
        return bs_fail(err, BS_EDATA, "%s: metadata 'general.architecture' is missing", gguf->path);
    if (bs_gguf_json(gguf, value, &arch, err))
        return err->status;
    m.arch = json_is_string(arch) ? json_string_value(arch) : "";
    const char *model_type = bs_gguf_model_type(model, m.arch);
    enum bs_status status = model_type ? BS_OK : bs_gguf_fail_arch(gguf->path, m.arch, err);
    if (!status) {
        m.family = bs_family_find(model_type);
        m.rules = m.family->config;
        m.config = json_object();
        status = m.config ? make(&m, model_type) : bs_fail_memory(err);
    }
    json_decref(arch);
    if (status)
        json_decref(m.config);
    else
        *config = m.config;
    return status;
}
