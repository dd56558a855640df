#include "eval/model/gguf_experts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"

enum { KEY_BYTES = 128, UNNAMED = -1 };

/* Numbers that one key of config.json says, and what holds where they are missing; NAN: what is
 * seen from the tensors, or nothing. */
static const struct {
    const char *name;
    int key; /* enum bs_key, or UNNAMED */
    double missing;
} numbers[] = {
    {"expert_count", BS_KEY_NUM_EXPERTS, NAN},
    {"expert_used_count", BS_KEY_EXPERTS_PER_TOKEN, NAN},
    {"expert_feed_forward_length", BS_KEY_EXPERT_SIZE, NAN},
    {"expert_shared_feed_forward_length", BS_KEY_SHARED_SIZE, NAN},
    {"expert_shared_count", BS_KEY_SHARED_COUNT, NAN},
    {"expert_weights_scale", BS_KEY_ROUTED_SCALE, 1},
    {"expert_group_count", BS_KEY_EXPERT_GROUPS, 1},
    {"expert_group_used_count", BS_KEY_GROUPS_PER_TOKEN, 1},
    {"leading_dense_block_count", BS_KEY_FIRST_SPARSE, 0},
    {"interleave_moe_layer_step", BS_KEY_SPARSE_STEP, NAN},
    {"attention.q_lora_rank", BS_KEY_QUERY_LATENT, NAN},
    {"attention.kv_lora_rank", BS_KEY_KEY_VALUE_LATENT, NAN},
    {"attention.key_length_mla", UNNAMED, NAN},
    {"attention.value_length_mla", UNNAMED, NAN},
    {"expert_weights_norm", UNNAMED, NAN},
    {"expert_gating_func", UNNAMED, NAN},
    {"rope.scaling.yarn_log_multiplier", UNNAMED, NAN},
};

enum { NUM_NUMBERS = sizeof numbers / sizeof *numbers };

bool bs_gguf_is_of_experts(const char *name)
{
    for (size_t i = 0; i < NUM_NUMBERS; i++)
        if (!strcmp(numbers[i].name, name))
            return true;
    return false;
}

/* A config being filled. */
struct making {
    const struct bs_gguf_model *model;
    const char *arch;
    const struct bs_family_config *rules;
    json_t *config;
    struct bs_error *err;
};

static enum bs_status fail(const struct making *m, const char *name, const char *expected)
{
    return bs_fail(m->err, BS_EUNSUPPORTED, "%s: metadata '%s.%s' is not %s",
                   m->model->parts->gguf.path, m->arch, name, expected);
}

/* The number, or truth value, of this name; `missing` where there is none. */
static enum bs_status get(const struct making *m, const char *name, double missing, double *number)
{
    char key[KEY_BYTES];
    json_t *json;
    const struct bs_gguf *gguf = &m->model->parts->gguf;
    snprintf(key, sizeof key, "%s.%s", m->arch, name);
    const struct bs_gguf_value *value = bs_gguf_find(gguf, key);
    *number = missing;
    if (!value)
        return BS_OK;
    if (bs_gguf_json(gguf, value, &json, m->err))
        return m->err->status;
    bool right = json_is_number(json) || json_is_boolean(json);
    *number = json_is_boolean(json) ? json_is_true(json) : json_number_value(json);
    json_decref(json);
    return right ? BS_OK : fail(m, name, "a number");
}

/* Takes the value. Nothing where the family has no such key. */
static enum bs_status set(const struct making *m, enum bs_key key, json_t *value)
{
    const char *name = bs_config_key_of(m->rules, key);
    if (!name) {
        json_decref(value);
        return BS_OK;
    }
    return json_object_set_new(m->config, name, value) ? bs_fail_memory(m->err) : BS_OK;
}

static enum bs_status set_number(const struct making *m, enum bs_key key, double number)
{
    bool is_whole = number == floor(number) && fabs(number) < 1e15;
    return set(m, key, is_whole ? json_integer((json_int_t)number) : json_real(number));
}

/* The width that a tensor of the first layer that has one reads; 0 where none has. */
static double width_of(const struct making *m, const char *ending)
{
    size_t length = strlen(ending);
    for (int p = 0; p < m->model->num_parts; p++)
        for (size_t i = 0; i < m->model->parts[p].gguf.num_tensors; i++) {
            const struct bs_gguf_tensor *t = &m->model->parts[p].gguf.tensors[i];
            if (t->name.length >= length &&
                !memcmp(t->name.bytes + t->name.length - length, ending, length))
                return (double)t->dims[0];
        }
    return 0;
}

/* What a key says where the metadata do not. */
static double seen(const struct making *m, int i)
{
    if (numbers[i].key == BS_KEY_EXPERT_SIZE)
        return width_of(m, ".ffn_down_exps.weight");
    if (numbers[i].key == BS_KEY_SHARED_SIZE)
        return width_of(m, ".ffn_down_shexp.weight");
    return numbers[i].missing;
}

/* The numbers, each by the family's name for it; where it has none, the tensors' sizes tell, or the
 * number must be one that says nothing. */
static enum bs_status put_numbers(const struct making *m)
{
    for (int i = 0; i < NUM_NUMBERS; i++) {
        double number;
        bool size = numbers[i].key == BS_KEY_EXPERT_SIZE || numbers[i].key == BS_KEY_SHARED_SIZE ||
                    numbers[i].key == BS_KEY_SHARED_COUNT;
        if (numbers[i].key == UNNAMED)
            continue;
        if (get(m, numbers[i].name, NAN, &number))
            return m->err->status;
        bool named = bs_config_key_of(m->rules, (enum bs_key)numbers[i].key);
        if (numbers[i].key == BS_KEY_ROUTED_SCALE && number == 0)
            number = 1; /* as llama.cpp reads it */
        if (!named && !size && !isnan(number) && number != 0 && number != 1)
            return fail(m, numbers[i].name, "1, as the models of this family have it");
        number = isnan(number) ? seen(m, i) : number;
        if (!isnan(number) && set_number(m, (enum bs_key)numbers[i].key, number))
            return m->err->status;
    }
    return BS_OK;
}

/* How weights are made of the router's products: a softmax (1), a sigmoid (2), or a softmax of the
 * chosen alone (3). Without a word an architecture has what its code has. */
static enum bs_status check_routing(const struct making *m)
{
    enum { SOFTMAX = 1, SIGMOID, SOFTMAX_CHOSEN };
    double function, normed;
    bool sigmoid = m->rules->routing == BS_ROUTE_SIGMOID;
    bool told = !strcmp(m->arch, "deepseek2");
    if (get(m, "expert_gating_func", told ? SOFTMAX : 0, &function) ||
        get(m, "expert_weights_norm", NAN, &normed))
        return m->err->status;
    bool fits = function == 0 ||
                (sigmoid ? function == SIGMOID
                         : function == SOFTMAX || (m->rules->routing == BS_ROUTE_SOFTMAX_CHOSEN &&
                                                   function == SOFTMAX_CHOSEN));
    if (!fits)
        return fail(m, "expert_gating_func", sigmoid ? "2, a sigmoid" : "1, a softmax");
    bool named = bs_config_key_of(m->rules, BS_KEY_NORMED_WEIGHTS);
    bool always = !strcmp(m->arch, "qwen3moe");
    bool is = told ? normed == 1 : always;
    if (!named && !told && m->rules->normed_weights)
        is = true;
    if (!isnan(normed) && (normed != 0) != is && m->rules->routing != BS_ROUTE_SOFTMAX_CHOSEN)
        return fail(m, "expert_weights_norm",
                    is ? "true, as llama.cpp has it" : "false, as llama.cpp has it");
    if (!named && told && is)
        return fail(m, "expert_weights_norm", "false, as the models of this family have it");
    return set(m, BS_KEY_NORMED_WEIGHTS, json_boolean(is));
}

/* Widths of heads, which newer files say of the two ways to compute the same. */
static enum bs_status put_latent(const struct making *m)
{
    double rotated, key, value, query, heads, groups;
    if (!m->rules->key_value_latent)
        return BS_OK;
    if (get(m, "rope.dimension_count", 0, &rotated) || get(m, "attention.key_length", 0, &key) ||
        get(m, "attention.key_length_mla", key, &key) ||
        get(m, "attention.value_length", 0, &value) ||
        get(m, "attention.value_length_mla", value, &value) ||
        get(m, "attention.q_lora_rank", 0, &query) || get(m, "attention.head_count", 0, &heads) ||
        get(m, "expert_group_count", 1, &groups))
        return m->err->status;
    if (!(key > rotated))
        return fail(m, "attention.key_length", "more than rope.dimension_count");
    return set_number(m, BS_KEY_NUM_KV_HEADS, heads) || set_number(m, BS_KEY_ROTARY_DIM, rotated) ||
                   set_number(m, BS_KEY_PLAIN_DIM, key - rotated) ||
                   set_number(m, BS_KEY_VALUE_DIM, value) ||
                   (query == 0 && set(m, BS_KEY_QUERY_LATENT, json_null())) ||
                   set(m, BS_KEY_GROUP_METHOD,
                       json_string(groups > 1 ? "group_limited_greedy" : "greedy"))
               ? m->err->status
               : BS_OK;
}

/* By what scores grow where positions are scaled: llama.cpp's number is a tenth of theirs. */
static enum bs_status put_scores_factor(const struct making *m)
{
    double tenth;
    json_t *rope = json_object_get(m->config, "rope_scaling");
    if (get(m, "rope.scaling.yarn_log_multiplier", 0, &tenth))
        return m->err->status;
    if (tenth == 0)
        return BS_OK;
    const char *type = json_string_value(json_object_get(rope, "rope_type"));
    if (!type || strcmp(type, "yarn") || !m->rules->key_value_latent)
        return fail(m, "rope.scaling.yarn_log_multiplier",
                    "0, as models without latent attention and yarn have it");
    double factor = (double)((float)tenth / 0.1f);
    return json_object_set_new(rope, "mscale", json_real(factor)) ||
                   json_object_set_new(rope, "mscale_all_dim", json_real(factor))
               ? bs_fail_memory(m->err)
               : BS_OK;
}

/* Llama 4's code norms queries and keys but in its largest model, which it tells by the experts. */
static enum bs_status put_unit(const struct making *m)
{
    enum { LARGEST = 128 };
    double experts;
    if (get(m, "expert_count", 0, &experts))
        return m->err->status;
    return set(m, BS_KEY_UNIT_QK, json_boolean(experts != LARGEST));
}

enum bs_status bs_gguf_put_experts(const struct bs_gguf_model *model, const char *arch,
                                   const struct bs_family_config *rules, json_t *config,
                                   struct bs_error *err)
{
    const struct making m = {
        .model = model, .arch = arch, .rules = rules, .config = config, .err = err};
    return put_numbers(&m) || check_routing(&m) || put_latent(&m) || put_scores_factor(&m) ||
                   put_unit(&m)
               ? err->status
               : BS_OK;
}
