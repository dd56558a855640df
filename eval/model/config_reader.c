#include "eval/model/config_reader.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

enum bs_status bs_config_fail(const char *path, const char *key, const json_t *value,
                              enum bs_status status, const char *expected, struct bs_error *err)
{
    char found[BS_CONFIG_PRINTED];
    bs_json_excerpt(value, found, sizeof found);
    return bs_fail(err, status, "%s: %s is %s, expected %s", path, key, found, expected);
}

const json_t *bs_config_named(const struct bs_config_reader *r, const char *name)
{
    const char *dot = strchr(name, '.');
    if (!dot)
        return json_object_get(r->config, name);
    return json_object_get(json_object_getn(r->config, name, (size_t)(dot - name)), dot + 1);
}

const json_t *bs_config_get(const struct bs_config_reader *r, enum bs_key key, const char **name)
{
    const json_t *found = NULL;
    *name = NULL;
    for (const struct bs_config_key_name *k = r->rules->keys; k->name; k++) {
        const json_t *value = k->key == key ? bs_config_named(r, k->name) : NULL;
        bool first = k->key == key && !*name;
        bool better = value && (!found || (json_is_null(found) && !json_is_null(value)));
        if (first || better)
            *name = k->name;
        if (better)
            found = value;
    }
    return found;
}

bool bs_config_is_null(const json_t *value) { return !value || json_is_null(value); }

enum bs_status bs_config_int(const struct bs_config_reader *r, enum bs_key key, int initial,
                             int *out)
{
    const char *name;
    const json_t *value = bs_config_get(r, key, &name);
    if (initial && bs_config_is_null(value)) {
        *out = initial;
        return BS_OK;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > INT_MAX)
        return bs_config_fail(r->path, name, value, BS_EDATA, "a positive whole number", r->err);
    *out = (int)number;
    return BS_OK;
}

enum bs_status bs_config_count(const struct bs_config_reader *r, enum bs_key key, int initial,
                               int *out)
{
    const char *name;
    const json_t *value = bs_config_get(r, key, &name);
    json_int_t number = bs_config_is_null(value) ? initial : json_integer_value(value);
    if ((!bs_config_is_null(value) && !json_is_integer(value)) || number < 0 || number > INT_MAX)
        return bs_config_fail(r->path, name, value, BS_EDATA, "a whole number", r->err);
    *out = (int)number;
    return BS_OK;
}

enum bs_status bs_config_positive_of(const char *path, const char *name, const json_t *value,
                                     double initial, double *out, struct bs_error *err)
{
    bool said = !bs_config_is_null(value);
    *out = said ? json_number_value(value) : initial;
    if (said && !(json_is_number(value) && *out > 0 && isfinite(*out)))
        return bs_config_fail(path, name, value, BS_EDATA, "a positive number", err);
    /* What is computed with it is float32, where it must be neither 0 nor infinite. */
    if (said && (*out < (double)FLT_MIN || *out > (double)FLT_MAX))
        return bs_config_fail(path, name, value, BS_EDATA, "a positive float32", err);
    return BS_OK;
}

enum bs_status bs_config_positive(const struct bs_config_reader *r, enum bs_key key, double initial,
                                  double *out)
{
    const char *name;
    const json_t *value = bs_config_get(r, key, &name);
    return bs_config_positive_of(r->path, name, value, initial, out, r->err);
}

enum bs_status bs_config_cap(const struct bs_config_reader *r, enum bs_key key, double initial,
                             float *out)
{
    const char *name;
    const json_t *value = bs_config_get(r, key, &name);
    double cap = 0;
    if (!json_is_null(value) && bs_config_positive_of(r->path, name, value, initial, &cap, r->err))
        return r->err->status;
    *out = (float)cap;
    return BS_OK;
}

enum bs_status bs_config_bool(const struct bs_config_reader *r, enum bs_key key, bool initial,
                              bool *out)
{
    const char *name;
    const json_t *value = bs_config_get(r, key, &name);
    *out = bs_config_is_null(value) ? initial : json_is_true(value);
    if (!bs_config_is_null(value) && !json_is_boolean(value))
        return bs_config_fail(r->path, name, value, BS_EDATA, "true or false", r->err);
    return BS_OK;
}
