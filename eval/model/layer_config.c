/* What a config.json says layer by layer: which have a sliding window, and which rotary
 * positions. */
#include "eval/model/layer_config.h"

#include <string.h>

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
    bool listed = !bs_config_is_null(list);
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
    value = bs_config_get(r, BS_KEY_LAYER_TYPES, &name);
    if (!bs_config_is_null(value))
        return read_layer_types(r, name, value, a);
    if (a->sliding_window && r->rules->rotated == BS_ROTATED_BY_KEY)
        memcpy(a->local_layers, a->unrotated_layers, sizeof a->local_layers);
    else if (a->sliding_window)
        return place_windows(r, a);
    return BS_OK;
}

enum bs_status bs_layers_read(const struct bs_config_reader *r, struct bs_architecture *a)
{
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
