/* safetensors: eight bytes that hold the length of a JSON header (little-endian), the header, and
 * the data. The header maps each tensor's name to dtype, shape and data_offsets [begin, end), which
 * count from the end of the header; the tensors cover the data without holes or overlap.
 * https://github.com/huggingface/safetensors#format
 *
 * Nothing in a file is trusted: each number is checked against the size of the map before it is
 * used, and no sum or product can wrap. */
#include "eval/checkpoint/reader.h"

#include "eval/base/json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8 }; /* of the header's length */

static enum bs_status fail_tensor(const struct bs_shard *shard, const char *name, const char *what,
                                  struct bs_error *err)
{
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s': %s", shard->path, name, what);
}

/* Reads shape into the entry. count and rank are always right; beyond BS_MAX_RANK the dimensions
 * themselves are not kept and the tensor is not readable. */
static enum bs_status parse_shape(const struct bs_shard *shard, const char *name,
                                  const json_t *shape, struct bs_entry *entry, struct bs_error *err)
{
    struct bs_tensor *tensor = &entry->tensor;
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > INT_MAX)
        return fail_tensor(shard, name, "shape is missing or no list", err);
    tensor->rank = (int)rank;
    tensor->count = 1;
    for (size_t d = 0; d < rank; d++) {
        const json_t *value = json_array_get(shape, d);
        json_int_t extent = json_integer_value(value);
        if (!json_is_integer(value) || extent < 0)
            return fail_tensor(shard, name, "shape holds something that is no size", err);
        if (__builtin_mul_overflow(tensor->count, (size_t)extent, &tensor->count))
            return fail_tensor(shard, name, "the product of the shape overflows", err);
        if (d < BS_MAX_RANK)
            tensor->shape[d] = extent;
    }
    if (rank > BS_MAX_RANK)
        entry->defect = BS_HIGH_RANK;
    return BS_OK;
}

static enum bs_status parse_offsets(const struct bs_shard *shard, const char *name,
                                    const json_t *offsets, struct bs_entry *entry,
                                    struct bs_error *err)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return fail_tensor(shard, name, "data_offsets is no pair [begin, end] with begin <= end",
                           err);
    entry->begin = (size_t)json_integer_value(begin);
    entry->end = (size_t)json_integer_value(end);
    return BS_OK;
}

/* Compares data_offsets with shape and dtype, and with what the file holds. */
static enum bs_status check_extent(const struct bs_shard *shard, const struct bs_entry *entry,
                                   size_t element_bytes, size_t data_bytes, struct bs_error *err)
{
    const char *name = entry->tensor.name;
    size_t span = entry->end - entry->begin, expected;
    if (element_bytes) {
        if (__builtin_mul_overflow(entry->tensor.count, element_bytes, &expected))
            return fail_tensor(shard, name, "the product of the shape overflows", err);
        if (span != expected)
            return bs_fail(err, BS_EDATA,
                           "%s: tensor '%.200s': data_offsets [%zu, %zu] span %zu bytes, but %zu "
                           "elements of %s take %zu",
                           shard->path, name, entry->begin, entry->end, span, entry->tensor.count,
                           entry->dtype, expected);
    }
    if (entry->end > data_bytes)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s': data_offsets [%zu, %zu] reach beyond the %zu bytes of "
                       "data in the file (was it cut short?)",
                       shard->path, name, entry->begin, entry->end, data_bytes);
    return BS_OK;
}

static enum bs_status parse_entry(const struct bs_shard *shard, const char *name,
                                  const json_t *value, size_t data_start, struct bs_entry *entry,
                                  struct bs_error *err)
{
    entry->shard = shard;
    entry->tensor.name = name;
    entry->tensor.file = shard->path;
    if (!json_is_object(value))
        return fail_tensor(shard, name, "its entry in the header is no object", err);
    entry->dtype = json_string_value(json_object_get(value, "dtype"));
    if (!entry->dtype)
        return fail_tensor(shard, name, "dtype is missing or no string", err);
    /* the last row, of a dtype of a later version of the format: only its offsets are checked */
    const struct bs_dtype_info *info = bs_dtype_find(entry->dtype);
    if (info->name && info->dtype >= 0)
        entry->tensor.dtype = (enum bs_dtype)info->dtype;
    else
        entry->defect = BS_OTHER_DTYPE;
    if (parse_shape(shard, name, json_object_get(value, "shape"), entry, err) ||
        parse_offsets(shard, name, json_object_get(value, "data_offsets"), entry, err) ||
        check_extent(shard, entry, info->bytes, shard->map.size - data_start, err))
        return err->status;
    entry->tensor.data = shard->map.data + data_start + entry->begin;
    return BS_OK;
}

static int compare_offsets(const void *left, const void *right)
{
    const struct bs_entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

/* The tensors of one file, sorted by place, must cover its data exactly. */
static enum bs_status check_cover(const struct bs_shard *shard, struct bs_entry *entries,
                                  size_t count, size_t data_bytes, struct bs_error *err)
{
    size_t covered = 0;
    qsort(entries, count, sizeof *entries, compare_offsets);
    for (size_t i = 0; i < count; i++) {
        const struct bs_entry *e = &entries[i];
        if (e->begin < covered)
            return bs_fail(err, BS_EDATA,
                           "%s: tensor '%.200s': data_offsets [%zu, %zu] overlap those of "
                           "'%.200s', [%zu, %zu]",
                           shard->path, e->tensor.name, e->begin, e->end, e[-1].tensor.name,
                           e[-1].begin, e[-1].end);
        if (e->begin > covered)
            return bs_fail(err, BS_EDATA,
                           "%s: tensor '%.200s': data_offsets begin at %zu, expected %zu: the "
                           "bytes between belong to no tensor",
                           shard->path, e->tensor.name, e->begin, covered);
        covered = e->end;
    }
    if (covered < data_bytes)
        return bs_fail(err, BS_EDATA, "%s: the last %zu bytes belong to no tensor", shard->path,
                       data_bytes - covered);
    return BS_OK;
}

static enum bs_status shard_read_header(struct bs_shard *shard, size_t *data_start,
                                        struct bs_error *err)
{
    const struct bs_map *map = &shard->map;
    if (map->size < LENGTH_BYTES)
        return bs_fail(err, BS_EDATA, "%s: the file is too short: %zu bytes, expected at least %d",
                       shard->path, map->size, LENGTH_BYTES);
    uint64_t length = 0;
    memcpy(&length, map->data, sizeof length);
    if (length > map->size - LENGTH_BYTES)
        return bs_fail(err, BS_EDATA,
                       "%s: the header's length is %llu, but only %zu bytes follow (no safetensors "
                       "file, or cut short?)",
                       shard->path, (unsigned long long)length, map->size - LENGTH_BYTES);
    char place[1024];
    snprintf(place, sizeof place, "%.1000s: the header", shard->path);
    *data_start = LENGTH_BYTES + (size_t)length;
    static const struct bs_json_rules rules = {.strict = true};
    return bs_json_parse(place, &rules, (const char *)map->data + LENGTH_BYTES, (size_t)length,
                         &shard->header, err);
}

static enum bs_status read_safetensors(struct bs_shard *shard, struct bs_entries *entries,
                                       struct bs_error *err)
{
    size_t data_start;
    if (shard_read_header(shard, &data_start, err))
        return err->status;
    struct bs_entry *first = bs_entries_grow(entries, json_object_size(shard->header));
    if (!first)
        return bs_fail_memory(err);
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach(shard->header, key, value)
    {
        if (!strcmp(key, "__metadata__"))
            continue;
        if (parse_entry(shard, key, value, data_start, &first[count], err))
            return err->status;
        count++;
    }
    entries->count += count;
    return check_cover(shard, first, count, shard->map.size - data_start, err);
}

const struct bs_reader bs_reader_safetensors = {
    .plugin =
        {
            .name = "safetensors",
            .summary = "a header in JSON and the bytes of the tensors",
            .reference = "huggingface/safetensors",
        },
    .file = "model.safetensors",
    .index = "model.safetensors.index.json",
    .endings = (const char *const[]){".safetensors", NULL},
    .read = read_safetensors,
};
