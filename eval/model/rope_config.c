/* The rotary positions that a config.json asks for. */
#include "eval/model/rope.h"

#include <stdio.h>
#include <string.h>

/* Keys of a rope_parameters or rope_scaling object: of every kind, then linear's, then llama3's. */
enum { ROPE_KEYS_DEFAULT = 4, ROPE_KEYS_LINEAR = 5, ROPE_KEYS_LLAMA3 = 8 };
static const char *const keys_rope[ROPE_KEYS_LLAMA3] = {
    "rope_type",        "type",
    "rope_theta",       "partial_rotary_factor",
    "factor",           "low_freq_factor",
    "high_freq_factor", "original_max_position_embeddings"};

static enum bs_status read_rope_kind(const struct bs_config_reader *r, const char *key,
                                     const json_t *rope, enum bs_rope_kind *kind)
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
            return bs_config_fail(r->path, key, rope, BS_EDATA, "one rope_type", r->err);
        word = found;
    }
    for (int k = 0; k < 3; k++)
        if (!word || !strcmp(word, words[k])) {
            *kind = (enum bs_rope_kind)k;
            return BS_OK;
        }
    return bs_config_fail(r->path, key, rope, BS_EUNSUPPORTED,
                          "null or an object whose rope_type is default, linear or llama3", r->err);
}

/* A required number of a rope object. */
static enum bs_status read_rope_number(const struct bs_config_reader *r, const char *place,
                                       const json_t *rope, const char *key, double *out)
{
    const json_t *value = json_object_get(rope, key);
    if (!value)
        return bs_config_fail(place, key, value, BS_EDATA, "a positive number", r->err);
    return bs_config_positive_of(place, key, value, 0, out, r->err);
}

static enum bs_status read_scaling(const struct bs_config_reader *r, const char *place,
                                   const json_t *rope, struct bs_rope_settings *out)
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
static enum bs_status read_rope_object(const struct bs_config_reader *r, const char *key,
                                       double share, struct bs_rope_settings *out)
{
    json_t *rope = json_object_get(r->config, key);
    if (bs_config_is_null(rope))
        return BS_OK;
    if (!json_is_object(rope))
        return bs_config_fail(r->path, key, rope, BS_EDATA, "an object or null", r->err);
    char place[BS_CONFIG_PRINTED];
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
    const json_t *theta = bs_config_get(r, BS_KEY_ROPE_THETA, &name);
    double own;
    if (bs_config_positive_of(place, "rope_theta", json_object_get(rope, "rope_theta"), out->theta,
                              &own, r->err))
        return r->err->status;
    if (theta && own != out->theta)
        return bs_fail(r->err, BS_EDATA, "%s: %s is %.9g, but %s has %.9g", r->path, name,
                       out->theta, key, own);
    out->theta = own;
    return BS_OK;
}

enum bs_status bs_rope_read(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double share;
    if (a->family->positions_kind != BS_ROTARY)
        return BS_OK;
    if (bs_config_positive(r, BS_KEY_ROTARY_SHARE, r->rules->rotary_share, &share) ||
        bs_config_positive(r, BS_KEY_ROPE_THETA, r->rules->rope_theta, &a->rope.theta))
        return r->err->status;
    const char *name;
    bs_config_get(r, BS_KEY_ROTARY_SHARE, &name);
    if (share > 1)
        return bs_fail(r->err, BS_EDATA, "%s: %s is %.9g, expected at most 1", r->path, name,
                       share);
    if (read_rope_object(r, "rope_scaling", share, &a->rope) ||
        read_rope_object(r, "rope_parameters", share, &a->rope))
        return r->err->status;
    a->local_rope = a->rope;
    if (r->rules->local_rope_theta > 0) {
        a->local_rope = (struct bs_rope_settings){.kind = BS_ROPE_DEFAULT};
        if (bs_config_positive(r, BS_KEY_LOCAL_ROPE_THETA, r->rules->local_rope_theta,
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
