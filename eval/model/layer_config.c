/* What a config.json says layer by layer: which have a sliding window, which rotary positions, and
 * which experts. */
#include "eval/model/layer_config.h"

#include <string.h>

static enum bs_status read_layer_types(const struct bs_config_reader *r, const char *name,
                                       const json_t *types, struct bs_architecture *a)
{
    if (!json_is_array(types) || json_array_size(types) != (size_t)a->num_layers)
        return bs_config_fail(r->path, name, types, BS_EDATA, "one word for each layer", r->err);
    for (int l = 0; l < a->num_layers; l++) {
        const char *word = json_string_value(json_array_get(types, (size_t)l));
        const char *windowed = r->rules->chunked ? "chunked_attention" : "sliding_attention";
        bool local = word && !strcmp(word, windowed);
        if (!local && (!word || strcmp(word, "full_attention")))
            return bs_config_fail(r->path, name, types, BS_EUNSUPPORTED,
                                  r->rules->chunked
                                      ? "full_attention or chunked_attention for each layer"
                                      : "full_attention or sliding_attention for each layer",
                                  r->err);
        if (local && !a->sliding_window)
            return bs_fail(r->err, BS_EDATA, "%s: %s has %s, but there is no window", r->path, name,
                           windowed);
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
    bool below = r->rules->windows_below;
    for (int l = 0; l < a->num_layers; l++)
        if (below == (l < from) && (!pattern || (l + 1) % pattern))
            a->local_layers[l / 64] |= UINT64_C(1) << l % 64;
    return BS_OK;
}

static enum bs_status fail_layers(const struct bs_config_reader *r, const char *name,
                                  const json_t *value)
{
    return bs_config_fail(r->path, name, value, BS_EDATA, "1 or 0 for each layer", r->err);
}

/* Which layers have rotary positions by a list, or all but every n-th. */
static enum bs_status read_rotated(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const char *name;
    const json_t *list = bs_config_get(r, BS_KEY_ROTATED_LAYERS, &name);
    int interval;
    if (bs_config_int(r, BS_KEY_UNROTATED_INTERVAL, r->rules->unrotated_interval, &interval))
        return r->err->status;
    bool listed = !bs_config_is_null(list) && json_array_size(list) + !json_is_array(list) > 0;
    if (listed && json_array_size(list) != (size_t)a->num_layers)
        return fail_layers(r, name, list);
    for (int l = 0; l < a->num_layers; l++) {
        const json_t *value = json_array_get(list, (size_t)l);
        bool rotated = (l + 1) % interval != 0;
        if (listed) {
            rotated = json_is_true(value) || json_integer_value(value) == 1;
            if (!rotated && !json_is_false(value) &&
                !(json_is_integer(value) && !json_integer_value(value)))
                return fail_layers(r, name, list);
        }
        a->unrotated_layers[l / 64] |= (uint64_t)!rotated << l % 64;
    }
    return BS_OK;
}

/* The layers without a window are those without rotary positions. */
static void rotate_windows_only(struct bs_architecture *a)
{
    for (int l = 0; l < a->num_layers; l++)
        a->unrotated_layers[l / 64] |= (uint64_t)!bs_is_local(a, l) << l % 64;
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
    bool has = value ? !json_is_null(value) : r->rules->sliding_window > 0;
    if (used && has &&
        bs_config_int(r, BS_KEY_SLIDING_WINDOW, r->rules->sliding_window, &a->sliding_window))
        return r->err->status;
    a->chunked_windows = r->rules->chunked && a->sliding_window;
    value = bs_config_get(r, BS_KEY_LAYER_TYPES, &name);
    if (!bs_config_is_null(value))
        return read_layer_types(r, name, value, a);
    for (int l = 0; a->chunked_windows && l < a->num_layers; l++)
        a->local_layers[l / 64] |= (uint64_t)bs_is_rotated(a, l) << l % 64;
    if (a->chunked_windows)
        return BS_OK;
    if (a->sliding_window && r->rules->rotated == BS_ROTATED_BY_KEY)
        memcpy(a->local_layers, a->unrotated_layers, sizeof a->local_layers);
    else if (a->sliding_window)
        return place_windows(r, a);
    return BS_OK;
}

static void set_dense(struct bs_architecture *a, int layer, bool dense)
{
    uint64_t bit = UINT64_C(1) << layer % 64;
    a->dense_layers[layer / 64] = (a->dense_layers[layer / 64] & ~bit) | (dense ? bit : 0);
}

/* The layers of a list get what it says of them; where there is one of those with experts, all
 * others have none. */
static enum bs_status read_dense_list(const struct bs_config_reader *r, enum bs_key key, bool dense,
                                      struct bs_architecture *a)
{
    const char *name;
    const json_t *list = bs_config_get(r, key, &name), *item;
    size_t i;
    if (bs_config_is_null(list))
        return BS_OK;
    for (int l = 0; l < a->num_layers && !dense; l++)
        set_dense(a, l, true);
    bool right = json_is_array(list);
    json_array_foreach(list, i, item)
    {
        json_int_t layer = json_integer_value(item);
        right = right && json_is_integer(item);
        if (right && layer >= 0 && layer < a->num_layers)
            set_dense(a, (int)layer, dense);
    }
    return right ? BS_OK
                 : bs_config_fail(r->path, name, list, BS_EDATA, "a list of layers", r->err);
}

/* Which layers have an MLP where others have experts. */
static enum bs_status read_dense(const struct bs_config_reader *r, struct bs_architecture *a)
{
    int step, first;
    if (!a->family->experts)
        return BS_OK;
    if (bs_config_int(r, BS_KEY_SPARSE_STEP, 1, &step) ||
        bs_config_count(r, BS_KEY_FIRST_SPARSE, r->rules->first_sparse, &first))
        return r->err->status;
    for (int l = 0; l < a->num_layers; l++)
        set_dense(a, l, l < first || (l + 1) % step);
    return read_dense_list(r, BS_KEY_DENSE_LAYERS, true, a)
               ? r->err->status
               : read_dense_list(r, BS_KEY_SPARSE_LAYERS, false, a);
}

/* Whether the queries are scaled: published configs say it by a number, as Python takes it. */
static enum bs_status read_query_scaled(const struct bs_config_reader *r, bool *scaled)
{
    const char *name;
    const json_t *value = bs_config_get(r, BS_KEY_QUERY_SCALED, &name);
    if (!json_is_integer(value))
        return bs_config_bool(r, BS_KEY_QUERY_SCALED, true, scaled);
    *scaled = json_integer_value(value) != 0;
    return BS_OK;
}

/* What layers with rotary positions do to q and k, and those without to q. */
static enum bs_status read_by_rotation(const struct bs_config_reader *r, struct bs_architecture *a)
{
    const struct bs_family_config *rules = r->rules;
    bool scaled;
    double beta, positions;
    if (!rules->query_positions)
        return BS_OK;
    if (bs_config_bool(r, BS_KEY_UNIT_QK, true, &a->unit_qk) || read_query_scaled(r, &scaled) ||
        bs_config_positive(r, BS_KEY_QUERY_BETA, rules->query_beta, &beta) ||
        bs_config_positive(r, BS_KEY_QUERY_POSITIONS, rules->query_positions, &positions))
        return r->err->status;
    if (scaled)
        a->query_scaling = (struct bs_query_scaling){
            .beta = (float)beta, .positions = (float)positions, .first = 1, .unrotated = true};
    return BS_OK;
}

enum bs_status bs_layers_read(const struct bs_config_reader *r, struct bs_architecture *a)
{
    if (read_dense(r, a) || read_by_rotation(r, a))
        return r->err->status;
    enum bs_rotated rotated = r->rules->rotated;
    if (rotated == BS_ROTATED_BY_KEY && read_rotated(r, a))
        return r->err->status;
    if (read_windows(r, a))
        return r->err->status;
    if (rotated == BS_ROTATED_WINDOWS ||
        (rotated == BS_ROTATED_WINDOWS_IF_ANY && a->sliding_window))
        rotate_windows_only(a);
    return BS_OK;
}
