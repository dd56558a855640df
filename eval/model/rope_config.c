/* The rotary positions that a config.json asks for: rope_theta and rope_scaling of transformers up
 * to 4, rope_parameters from 5 on, flat or by layer type. What is not said has transformers'
 * defaults (5.24, modeling_rope_utils.py). */
#include "eval/model/rope.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/linalg/elementary.h"
#include "eval/model/config_keys.h"

static const char original_key[] = "original_max_position_embeddings";
static const char share_key[] = "partial_rotary_factor";
static const char full_key[] = "full_attention", sliding_key[] = "sliding_attention";

/* The objects that may tell it, and which of their keys each kind reads. */
static const char *const object_keys[] = {"rope_scaling", "rope_parameters"};
enum { NUM_OBJECTS = 2, MOST_KEYS = 12 };

static const char *const common_keys[] = {"rope_type", "type", "rope_theta", share_key, NULL};

/* Of families that scale queries. The class passes over max_position_embeddings here. */
static const char beta_key[] = "llama_4_scaling_beta";
static const char *const query_keys[] = {beta_key, original_key, "max_position_embeddings", NULL};

static const struct rope_kind {
    const char *word;
    enum bs_rope_kind kind;
    const char *keys[MOST_KEYS];
} kinds[] = {
    {"default", BS_ROPE_DEFAULT, {NULL}},
    {"linear", BS_ROPE_LINEAR, {"factor"}},
    {"dynamic", BS_ROPE_DYNAMIC, {"factor"}},
    {"yarn",
     BS_ROPE_YARN,
     {"factor", original_key, "attention_factor", "beta_fast", "beta_slow", "mscale",
      "mscale_all_dim", "truncate"}},
    {"longrope",
     BS_ROPE_LONGROPE,
     {"factor", original_key, "attention_factor", "short_factor", "long_factor"}},
    {"llama3", BS_ROPE_LLAMA3, {"factor", original_key, "low_freq_factor", "high_freq_factor"}},
};
enum { NUM_KINDS = sizeof kinds / sizeof *kinds };

/* One object of a config.json being read. */
struct part {
    const struct bs_config_reader *r;
    json_t *rope;
    char place[BS_CONFIG_PRINTED]; /* of messages: the file and the object */
    char within[64];               /* "rope_parameters.full_attention." */
    bool nested;
    const struct bs_architecture *a;
};

static const json_t *part_get(const struct part *p, const char *key)
{
    const json_t *value = json_object_get(p->rope, key);
    return bs_config_is_null(value) ? NULL : value;
}

static enum bs_status part_fail(const struct part *p, const char *key, enum bs_status status,
                                const char *expected)
{
    return bs_config_fail(p->place, key, json_object_get(p->rope, key), status, expected,
                          p->r->err);
}

/* A positive number; `initial` where there is none, which is an error where that is 0. */
static enum bs_status part_number(const struct part *p, const char *key, double initial,
                                  double *out)
{
    const json_t *value = part_get(p, key);
    if (!value && initial <= 0)
        return part_fail(p, key, BS_EDATA, "a positive number");
    return bs_config_positive_of(p->place, key, value, initial, out, p->r->err);
}

/* The same, where 0 counts as not set. */
static enum bs_status part_option(const struct part *p, const char *key, double initial,
                                  double *out)
{
    const json_t *value = part_get(p, key);
    bool unset = !value || (json_is_number(value) && json_number_value(value) == 0);
    return bs_config_positive_of(p->place, key, unset ? NULL : value, initial, out, p->r->err);
}

/* True where layers with a window have rotary positions of their own, and an object for them. */
static bool by_layer_type(const struct bs_config_reader *r)
{
    return r->rules->local_rope_theta > 0 || r->rules->local_rope_plain;
}

/* --- kinds --- */

static enum bs_status part_kind(const struct part *p, const struct rope_kind **kind)
{
    static const char *const type_keys[] = {"rope_type", "type"};
    const char *word = NULL;
    *kind = kinds;
    for (size_t i = 0; i < 2; i++) {
        const json_t *type = part_get(p, type_keys[i]);
        const char *found = json_string_value(type);
        if (type && (!found || (word && strcmp(word, found))))
            return part_fail(p, type_keys[i], BS_EDATA, "one rope_type");
        word = type ? found : word;
    }
    if (!word)
        word = "default";
    /* Phi-3's first names of longrope; yarn has no such lists. */
    if (!strcmp(word, "su") || (!strcmp(word, "yarn") && part_get(p, "short_factor")))
        word = "longrope";
    for (*kind = kinds; *kind < kinds + NUM_KINDS; (*kind)++)
        if (!strcmp(word, (*kind)->word))
            return BS_OK;
    return bs_fail(p->r->err, BS_EUNSUPPORTED,
                   "%s: rope_type is \"%.40s\", expected default, linear, dynamic, yarn, longrope "
                   "or llama3",
                   p->place, word);
}

/* A key that another kind reads, or any number: a setting without effect is a mistake. Others are
 * judged as those of config.json are. */
static enum bs_status part_check_keys(const struct part *p, const struct rope_kind *kind)
{
    const char *key;
    json_t *value;
    json_object_foreach(p->rope, key, value)
    {
        bool read = bs_word_in(key, common_keys) || bs_word_in(key, kind->keys) ||
                    (p->r->rules->scales_queries && bs_word_in(key, query_keys));
        bool setting = json_is_number(value) || json_is_array(value);
        for (int k = 0; k < NUM_KINDS && !read; k++)
            setting |= bs_word_in(key, kinds[k].keys);
        if (!read && bs_config_unread(p->r, p->within, key, value, setting))
            return p->r->err->status;
    }
    return BS_OK;
}

/* The positions before scaling: of config.json itself, of the object, or all there are. */
static enum bs_status part_original(const struct part *p, double *out)
{
    const struct bs_config_reader *r = p->r;
    const json_t *outer = json_object_get(r->config, original_key);
    const json_t *inner = part_get(p, original_key);
    double own;
    if (bs_config_positive_of(r->path, original_key, outer,
                              r->rules->original_positions ? r->rules->original_positions
                                                           : p->a->max_positions,
                              out, r->err) ||
        bs_config_positive_of(p->place, original_key, inner,
                              by_layer_type(r) ? p->a->max_positions : *out, &own, r->err))
        return r->err->status;
    bool said = !bs_config_is_null(outer) || r->rules->original_positions;
    if (said && own != *out)
        return bs_fail(r->err, BS_EDATA, "%s: %s is %.9g, but %.*s has %.9g", r->path, original_key,
                       *out, (int)strlen(p->within) - 1, p->within, own);
    *out = own;
    return BS_OK;
}

static double yarn_scale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * bs_log(factor) + 1;
}

static enum bs_status part_yarn(const struct part *p, struct bs_rope_settings *out)
{
    const json_t *truncate = part_get(p, "truncate");
    const json_t *factor = json_object_get(p->rope, "factor"); /* a null has a meaning */
    double scale, all_dimensions;
    if (part_original(p, &out->original_positions) ||
        part_number(p, "factor", factor ? p->a->max_positions / out->original_positions : 0,
                    &out->factor) ||
        part_option(p, "beta_fast", 32, &out->beta_fast) ||
        part_option(p, "beta_slow", 1, &out->beta_slow) || part_option(p, "mscale", 0, &scale) ||
        part_option(p, "mscale_all_dim", 0, &all_dimensions))
        return p->r->err->status;
    if (truncate && !json_is_boolean(truncate))
        return part_fail(p, "truncate", BS_EDATA, "true or false");
    out->truncate = !json_is_false(truncate);
    if (!out->truncate && p->nested)
        return part_fail(p, "truncate", BS_EUNSUPPORTED,
                         "true: transformers reads it only where rope_parameters is flat");
    if (p->a->rotary_dim % 2)
        return bs_fail(p->r->err, BS_EDATA, "%s: yarn of %d dimensions, expected an even number",
                       p->place, p->a->rotary_dim);
    if (out->theta <= 1)
        return bs_fail(p->r->err, BS_EDATA, "%s: yarn with rope_theta %.9g, expected more than 1",
                       p->place, out->theta);
    double all_scale = yarn_scale(out->factor, all_dimensions);
    out->scores_factor = all_dimensions > 0 ? all_scale * all_scale : 0;
    double inferred = scale > 0 && all_dimensions > 0
                          ? yarn_scale(out->factor, scale) / yarn_scale(out->factor, all_dimensions)
                          : yarn_scale(out->factor, 1);
    return part_number(p, "attention_factor", inferred, &out->attention_factor);
}

static enum bs_status part_factors(const struct part *p, const char *key, float *out)
{
    const json_t *list = part_get(p, key);
    int pairs = (p->a->rotary_dim + 1) / 2;
    char expected[64];
    snprintf(expected, sizeof expected, "a list of %d positive numbers", pairs);
    if (!json_is_array(list) || json_array_size(list) != (size_t)pairs)
        return part_fail(p, key, BS_EDATA, expected);
    for (int j = 0; j < pairs; j++) {
        double factor;
        if (bs_config_positive_of(p->place, key, json_array_get(list, (size_t)j), 0, &factor,
                                  p->r->err))
            return p->r->err->status;
        if (factor <= 0)
            return part_fail(p, key, BS_EDATA, expected);
        out[j] = (float)factor;
    }
    return BS_OK;
}

static enum bs_status part_longrope(const struct part *p, struct bs_rope_settings *out)
{
    out->num_factors = (p->a->rotary_dim + 1) / 2;
    if (out->num_factors > BS_MAX_ROPE_PAIRS)
        return bs_fail(p->r->err, BS_EUNSUPPORTED, "%s: longrope of %d dimensions, at most %d",
                       p->place, p->a->rotary_dim, 2 * BS_MAX_ROPE_PAIRS);
    if (part_original(p, &out->original_positions) ||
        part_factors(p, "short_factor", out->short_factors) ||
        part_factors(p, "long_factor", out->long_factors) ||
        part_number(p, "factor", p->a->max_positions / out->original_positions, &out->factor))
        return p->r->err->status;
    if (out->original_positions <= 1)
        return part_fail(p, original_key, BS_EDATA, "more than 1");
    double inferred =
        out->factor <= 1 ? 1 : sqrt(1 + bs_log(out->factor) / bs_log(out->original_positions));
    return part_number(p, "attention_factor", inferred, &out->attention_factor);
}

static enum bs_status part_llama3(const struct part *p, struct bs_rope_settings *out)
{
    if (part_number(p, "factor", 0, &out->factor) ||
        part_number(p, "low_freq_factor", 0, &out->low_freq_factor) ||
        part_number(p, "high_freq_factor", 0, &out->high_freq_factor) ||
        part_original(p, &out->original_positions))
        return p->r->err->status;
    if (out->high_freq_factor <= out->low_freq_factor)
        return bs_fail(p->r->err, BS_EDATA,
                       "%s: high_freq_factor %.9g is not above low_freq_factor %.9g", p->place,
                       out->high_freq_factor, out->low_freq_factor);
    return BS_OK;
}

static enum bs_status part_dynamic(const struct part *p, struct bs_rope_settings *out)
{
    out->original_positions = p->a->max_positions;
    if (p->a->rotary_dim == 2)
        return bs_fail(p->r->err, BS_EDATA, "%s: dynamic of 2 dimensions, expected more", p->place);
    return part_number(p, "factor", 0, &out->factor);
}

static enum bs_status part_settings(const struct part *p, struct bs_rope_settings *out)
{
    switch (out->kind) {
    case BS_ROPE_DEFAULT:
        break;
    case BS_ROPE_LINEAR:
        return part_number(p, "factor", 0, &out->factor);
    case BS_ROPE_LLAMA3:
        return part_llama3(p, out);
    case BS_ROPE_YARN:
        return part_yarn(p, out);
    case BS_ROPE_DYNAMIC:
        return part_dynamic(p, out);
    case BS_ROPE_LONGROPE:
        return part_longrope(p, out);
    }
    return BS_OK;
}

/* The theta of config.json's own key, which the object may repeat, or be the only one to tell. */
static enum bs_status part_theta(const struct part *p, enum bs_key key, double *theta)
{
    const char *name;
    const json_t *outer = bs_config_get(p->r, key, &name);
    double own;
    if (part_option(p, "rope_theta", *theta, &own))
        return p->r->err->status;
    if (!bs_config_is_null(outer) && own != *theta)
        return bs_fail(p->r->err, BS_EDATA, "%s: %s is %.9g, but %.*s has %.9g", p->r->path, name,
                       *theta, (int)strlen(p->within) - 1, p->within, own);
    *theta = own;
    return BS_OK;
}

static enum bs_status read_part(const struct part *p, enum bs_key theta_key,
                                struct bs_rope_settings *out)
{
    const struct rope_kind *kind;
    if (part_kind(p, &kind) || part_check_keys(p, kind) || part_theta(p, theta_key, &out->theta))
        return p->r->err->status;
    out->kind = kind->kind;
    return part_settings(p, out);
}

/* --- objects --- */

/* What one object makes of the settings. */
struct settings {
    struct bs_rope_settings global, local;
};

static struct part part_of(const struct bs_config_reader *r, const struct bs_architecture *a,
                           const char *key, const char *below, json_t *rope)
{
    struct part p = {.r = r, .rope = rope, .nested = *below, .a = a};
    snprintf(p.within, sizeof p.within, "%s%s%s.", key, *below ? "." : "", below);
    snprintf(p.place, sizeof p.place, "%.130s: %.*s", r->path, (int)strlen(p.within) - 1, p.within);
    return p;
}

static bool is_nested(const json_t *rope)
{
    return json_object_get(rope, full_key) || json_object_get(rope, sliding_key);
}

static enum bs_status read_nested(const struct bs_config_reader *r, const struct bs_architecture *a,
                                  const char *key, json_t *rope, struct settings *out)
{
    const char *name;
    json_t *value;
    json_object_foreach(rope, name, value)
    {
        bool full = !strcmp(name, full_key), sliding = !strcmp(name, sliding_key);
        struct part p = part_of(r, a, key, name, value);
        if (full || sliding) {
            if (bs_config_is_null(value))
                continue;
            if (!json_is_object(value))
                return bs_config_fail(r->path, p.within, value, BS_EDATA, "an object", r->err);
            if (read_part(&p, full ? BS_KEY_ROPE_THETA : BS_KEY_LOCAL_ROPE_THETA,
                          full ? &out->global : &out->local))
                return r->err->status;
            continue;
        }
        p = part_of(r, a, key, "", rope);
        if (bs_config_unread(r, p.within, name, value, true))
            return r->err->status;
    }
    return BS_OK;
}

static enum bs_status read_object(const struct bs_config_reader *r, const struct bs_architecture *a,
                                  const char *key, json_t *rope, struct settings *out)
{
    if (is_nested(rope)) {
        if (!by_layer_type(r))
            return bs_config_fail(r->path, key, rope, BS_EUNSUPPORTED,
                                  "one object for all layers in this model_type", r->err);
        return read_nested(r, a, key, rope, out);
    }
    /* transformers' own code of such a family looks no further than for the layer types. */
    if (by_layer_type(r) && !strcmp(key, "rope_parameters"))
        return bs_config_fail(r->path, key, rope, BS_EUNSUPPORTED,
                              "objects full_attention and sliding_attention", r->err);
    struct part p = part_of(r, a, key, "", rope);
    /* transformers 5 puts it into an object that has a rope_type already. */
    if (by_layer_type(r) && part_get(&p, "type") && !part_get(&p, "rope_type"))
        return part_fail(&p, "rope_type", BS_EUNSUPPORTED,
                         "the word that type has: transformers 5 passes over type here");
    if (read_part(&p, BS_KEY_ROPE_THETA, &out->global))
        return r->err->status;
    if (!by_layer_type(r))
        out->local = out->global;
    return BS_OK;
}

/* The object of this key, or NULL where it is not there, null or empty. */
static enum bs_status get_object(const struct bs_config_reader *r, const char *key, json_t **rope)
{
    *rope = json_object_get(r->config, key);
    if (!bs_config_is_null(*rope) && !json_is_object(*rope))
        return bs_config_fail(r->path, key, *rope, BS_EDATA, "an object or null", r->err);
    if (!json_object_size(*rope))
        *rope = NULL;
    return BS_OK;
}

static enum bs_status read_objects(const struct bs_config_reader *r, struct bs_architecture *a,
                                   const struct settings *initial)
{
    struct settings read[NUM_OBJECTS];
    int found = 0;
    for (int k = 0; k < NUM_OBJECTS; k++) {
        json_t *rope;
        if (get_object(r, object_keys[k], &rope))
            return r->err->status;
        if (!rope)
            continue;
        read[found] = *initial;
        if (read_object(r, a, object_keys[k], rope, &read[found++]))
            return r->err->status;
    }
    if (found == NUM_OBJECTS && !(bs_rope_same(&read[0].global, &read[1].global) &&
                                  bs_rope_same(&read[0].local, &read[1].local)))
        return bs_fail(r->err, BS_EDATA, "%s: %s and %s differ; take out the one that is not meant",
                       r->path, object_keys[0], object_keys[1]);
    a->rope = found ? read[0].global : initial->global;
    a->local_rope = found ? read[0].local : initial->local;
    return BS_OK;
}

/* --- the share of a head that is rotated --- */

/* A share that an object tells must be that of config.json's own key; or is the one that counts. */
static enum bs_status join_share(const struct bs_config_reader *r, const char *key,
                                 const json_t *rope, bool *said, double *share)
{
    const json_t *value = json_object_get(rope, share_key);
    const char *name;
    if (bs_config_is_null(value))
        return BS_OK;
    double own = json_number_value(value);
    if (!json_is_number(value) || !(own >= 0 && own <= 1))
        return bs_fail(r->err, BS_EDATA, "%s: %s: %s is %.9g, expected a number from 0 to 1",
                       r->path, key, share_key, own);
    bs_config_get(r, BS_KEY_ROTARY_SHARE, &name);
    if ((*said || !name) && own != *share)
        return bs_fail(r->err, name ? BS_EDATA : BS_EUNSUPPORTED,
                       "%s: %s: %s is %.9g, expected %.9g", r->path, key, share_key, own, *share);
    *said = true;
    *share = own;
    return BS_OK;
}

static enum bs_status read_share(const struct bs_config_reader *r, double *share)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_ROTARY_SHARE, &name);
    bool said = !bs_config_is_null(value);
    *share = said ? json_number_value(value) : r->rules->rotary_share;
    if (said && (!json_is_number(value) || !(*share >= 0 && *share <= 1)))
        return bs_config_fail(r->path, name, value, BS_EDATA, "a number from 0 to 1", r->err);
    for (int k = 0; k < NUM_OBJECTS; k++) {
        json_t *rope;
        if (get_object(r, object_keys[k], &rope) ||
            join_share(r, object_keys[k], rope, &said, share) ||
            join_share(r, object_keys[k], json_object_get(rope, full_key), &said, share) ||
            join_share(r, object_keys[k], json_object_get(rope, sliding_key), &said, share))
            return r->err->status;
    }
    return BS_OK;
}

/* The number itself, in families that tell it (GPT-J). */
static enum bs_status read_given_dim(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_ROTARY_DIM, &name);
    if (bs_config_int(r, BS_KEY_ROTARY_DIM, r->rules->rotary_dim, &a->rotary_dim))
        return r->err->status;
    if (a->rotary_dim > a->head_dim || a->rotary_dim % 2)
        return bs_config_fail(r->path, name, value, BS_EDATA,
                              "an even number that head_dim is not below", r->err);
    return BS_OK;
}

/* Rotated dimensions come in pairs. transformers rounds an odd number up, except where its code of
 * the family cuts the head there: that fails. */
static enum bs_status read_rotary_dim(const struct bs_config_reader *r, struct bs_architecture *a)
{
    double share;
    if (r->rules->rotary_dim)
        return read_given_dim(r, a);
    if (read_share(r, &share))
        return r->err->status;
    a->rotary_dim = (int)(a->head_dim * share);
    if (a->rotary_dim == a->head_dim && a->head_dim % 2)
        return bs_fail(r->err, BS_EDATA,
                       "%s: head_dim is %d, expected an even number (rotary positions take pairs)",
                       r->path, a->head_dim);
    if (a->rotary_dim % 2 && r->rules->even_rotary_dim)
        return bs_fail(r->err, BS_EDATA,
                       "%s: %s %.9g of head_dim %d is %d, expected an even number (transformers' "
                       "code of this model_type cuts the head there, through a pair)",
                       r->path, share_key, share, a->head_dim, a->rotary_dim);
    return BS_OK;
}

/* --- the whole --- */

/* Where the class has settings of its own for a file without any. */
static enum bs_status set_initial(const struct bs_config_reader *r)
{
    json_t *rope = NULL, *initial;
    for (int k = 0; k < NUM_OBJECTS && !rope; k++)
        if (get_object(r, object_keys[k], &rope))
            return r->err->status;
    if (rope || !r->rules->initial_rope)
        return BS_OK;
    initial = json_loads(r->rules->initial_rope, 0, NULL);
    if (!initial || json_object_set_new(r->config, "rope_parameters", initial))
        return bs_fail_memory(r->err);
    return BS_OK;
}

/* The factors of queries, from the object that has them; the class fails without. */
static enum bs_status read_query_scaling(const struct bs_config_reader *r,
                                         struct bs_architecture *a)
{
    json_t *rope = NULL;
    double beta, positions;
    int k = 0;
    for (; k < NUM_OBJECTS && !rope; k++)
        if (get_object(r, object_keys[k], &rope))
            return r->err->status;
    struct part p = part_of(r, a, object_keys[k - 1], "", rope);
    const json_t *value = json_object_get(rope, beta_key);
    if (part_number(&p, original_key, 0, &positions))
        return r->err->status;
    if (json_is_number(value) && json_number_value(value) == 0)
        return BS_OK;
    if (part_number(&p, beta_key, 0, &beta))
        return r->err->status;
    a->query_scaling =
        (struct bs_query_scaling){.beta = (float)beta, .positions = (float)positions};
    return BS_OK;
}

/* Scaled positions reach further than max_position_embeddings says where that was left as it
 * was. */
static void stretch_positions(struct bs_architecture *a)
{
    double reach = a->rope.factor * a->rope.original_positions;
    if (a->rope.kind == BS_ROPE_DYNAMIC)
        a->max_positions = INT_MAX;
    if (a->rope.kind == BS_ROPE_YARN && reach > a->max_positions)
        a->max_positions = reach < INT_MAX ? (int)reach : INT_MAX;
}

enum bs_status bs_rope_read(const struct bs_config_reader *r, struct bs_architecture *a)
{
    struct settings initial = {.global = {.attention_factor = 1}};
    if (a->positions != BS_ROTARY)
        return BS_OK;
    if (set_initial(r) || read_rotary_dim(r, a) ||
        bs_config_positive(r, BS_KEY_ROPE_THETA, r->rules->rope_theta, &initial.global.theta))
        return r->err->status;
    initial.local = initial.global;
    if (r->rules->local_rope_theta > 0 &&
        bs_config_positive(r, BS_KEY_LOCAL_ROPE_THETA, r->rules->local_rope_theta,
                           &initial.local.theta))
        return r->err->status;
    if (read_objects(r, a, &initial) || (r->rules->scales_queries && read_query_scaling(r, a)))
        return r->err->status;
    stretch_positions(a);
    return BS_OK;
}
