#include "eval/gguf/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/base/mem.h"

/* --- reading --- */

/* Where in the file one is. */
struct cursor {
    const char *path;
    const unsigned char *at, *end;
    struct bs_error *err;
};

static size_t left(const struct cursor *c) { return (size_t)(c->end - c->at); }

static enum bs_status fail_short(const struct cursor *c, const char *what)
{
    return bs_fail(c->err, BS_EDATA, "%s: the file ends within %s (cut short?)", c->path, what);
}

static enum bs_status take_u32(struct cursor *c, const char *what, uint32_t *number)
{
    *number = 0;
    if (left(c) < sizeof *number)
        return fail_short(c, what);
    *number = bs_gguf_u32(c->at);
    c->at += sizeof *number;
    return BS_OK;
}

static enum bs_status take_u64(struct cursor *c, const char *what, uint64_t *number)
{
    *number = 0;
    if (left(c) < sizeof *number)
        return fail_short(c, what);
    *number = bs_gguf_u64(c->at);
    c->at += sizeof *number;
    return BS_OK;
}

static enum bs_status take_text(struct cursor *c, const char *what, struct bs_gguf_text *text)
{
    uint64_t length;
    if (take_u64(c, what, &length))
        return c->err->status;
    if (length > left(c))
        return fail_short(c, what);
    *text = (struct bs_gguf_text){(const char *)c->at, (size_t)length};
    c->at += length;
    return BS_OK;
}

/* A key or a name for a message. */
static const char *shown(struct bs_gguf_text text, char out[128])
{
    size_t length = text.length < 127 ? text.length : 127;
    memcpy(out, text.bytes, length);
    out[length] = 0;
    return out;
}

/* --- metadata --- */

/* Bytes of a value; 0 of texts and arrays, which differ. */
static size_t size_of(enum bs_gguf_kind kind)
{
    static const unsigned char sizes[BS_NUM_GGUF_KINDS] = {
        [BS_GGUF_U8] = 1,  [BS_GGUF_I8] = 1,  [BS_GGUF_U16] = 2, [BS_GGUF_I16] = 2,
        [BS_GGUF_U32] = 4, [BS_GGUF_I32] = 4, [BS_GGUF_F32] = 4, [BS_GGUF_BOOL] = 1,
        [BS_GGUF_U64] = 8, [BS_GGUF_I64] = 8, [BS_GGUF_F64] = 8};
    return kind < BS_NUM_GGUF_KINDS ? sizes[kind] : 0;
}

static enum bs_status skip_texts(struct cursor *c, uint64_t count, const char *what)
{
    struct bs_gguf_text text;
    for (uint64_t i = 0; i < count; i++)
        if (take_text(c, what, &text))
            return c->err->status;
    return BS_OK;
}

static enum bs_status take_kind(struct cursor *c, const char *what, enum bs_gguf_kind *kind)
{
    uint32_t number;
    if (take_u32(c, what, &number))
        return c->err->status;
    if (number >= BS_NUM_GGUF_KINDS)
        return bs_fail(c->err, BS_EDATA, "%s: %s has type %u, expected 0 to %d", c->path, what,
                       number, BS_NUM_GGUF_KINDS - 1);
    *kind = (enum bs_gguf_kind)number;
    return BS_OK;
}

static enum bs_status take_value(struct cursor *c, struct bs_gguf_value *value)
{
    char key[128], what[160];
    uint64_t count = 1;
    if (take_text(c, "the metadata's keys", &value->key))
        return c->err->status;
    snprintf(what, sizeof what, "metadata '%s'", shown(value->key, key));
    if (take_kind(c, what, &value->kind))
        return c->err->status;
    value->array = value->kind == BS_GGUF_ARRAY;
    if (value->array && (take_kind(c, what, &value->kind) || take_u64(c, what, &count)))
        return c->err->status;
    if (value->kind == BS_GGUF_ARRAY)
        return bs_fail(c->err, BS_EUNSUPPORTED, "%s: %s is a list of lists", c->path, what);
    value->data = c->at;
    if (count > left(c)) /* an item takes a byte or more */
        return fail_short(c, what);
    value->count = (size_t)count;
    if (value->kind == BS_GGUF_STRING)
        return skip_texts(c, count, what);
    size_t size = size_of(value->kind);
    if (value->count > left(c) / size)
        return fail_short(c, what);
    c->at += value->count * size;
    return BS_OK;
}

static int compare_texts(struct bs_gguf_text a, struct bs_gguf_text b)
{
    int order = memcmp(a.bytes, b.bytes, a.length < b.length ? a.length : b.length);
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_values(const void *left_value, const void *right_value)
{
    const struct bs_gguf_value *a = left_value, *b = right_value;
    return compare_texts(a->key, b->key);
}

static enum bs_status read_values(struct cursor *c, uint64_t count, struct bs_gguf *gguf)
{
    enum { LEAST = 8 + 4 + 1 }; /* bytes of a pair */
    if (count > left(c) / LEAST)
        return bs_fail(c->err, BS_EDATA, "%s: %llu metadata values do not fit into the file",
                       c->path, (unsigned long long)count);
    gguf->values = bs_calloc((size_t)count, sizeof *gguf->values);
    if (!gguf->values)
        return bs_fail_memory(c->err);
    for (; gguf->num_values < count; gguf->num_values++)
        if (take_value(c, &gguf->values[gguf->num_values]))
            return c->err->status;
    qsort(gguf->values, gguf->num_values, sizeof *gguf->values, compare_values);
    for (size_t i = 1; i < gguf->num_values; i++) {
        char key[128];
        if (!compare_values(&gguf->values[i - 1], &gguf->values[i]))
            return bs_fail(c->err, BS_EDATA, "%s: metadata '%s' stands twice", c->path,
                           shown(gguf->values[i].key, key));
    }
    return BS_OK;
}

/* --- tensors --- */

static enum bs_status take_shape(struct cursor *c, const char *what, struct bs_gguf_tensor *tensor)
{
    uint32_t rank;
    uint64_t dim;
    if (take_u32(c, what, &rank))
        return c->err->status;
    if (rank > BS_GGUF_DIMS)
        return bs_fail(c->err, BS_EDATA, "%s: %s has %u dimensions, expected at most %d", c->path,
                       what, rank, BS_GGUF_DIMS);
    tensor->rank = (int)rank;
    tensor->count = 1;
    for (int d = 0; d < tensor->rank; d++) {
        if (take_u64(c, what, &dim))
            return c->err->status;
        if (dim > INT64_MAX || (dim && tensor->count > (size_t)INT64_MAX / (size_t)dim))
            return bs_fail(c->err, BS_EDATA, "%s: %s: its dimensions are too large", c->path, what);
        tensor->dims[d] = (int64_t)dim;
        tensor->count *= (size_t)dim;
    }
    return BS_OK;
}

static enum bs_status take_tensor(struct cursor *c, struct bs_gguf_tensor *tensor)
{
    char name[128], what[160];
    if (take_text(c, "the tensors' names", &tensor->name))
        return c->err->status;
    snprintf(what, sizeof what, "tensor '%s'", shown(tensor->name, name));
    if (take_shape(c, what, tensor) || take_u32(c, what, &tensor->type_id) ||
        take_u64(c, what, &tensor->offset))
        return c->err->status;
    tensor->type = bs_gguf_type_find(tensor->type_id);
    if (!tensor->type)
        return BS_OK;
    size_t values = tensor->type->values;
    size_t row = tensor->rank ? (size_t)tensor->dims[0] : 1;
    if (row % values)
        return bs_fail(c->err, BS_EDATA,
                       "%s: %s: rows of %zu values, expected a multiple of %zu, a block of %s",
                       c->path, what, row, values, tensor->type->name);
    if (tensor->count / values > SIZE_MAX / tensor->type->bytes)
        return bs_fail(c->err, BS_EDATA, "%s: %s: its dimensions are too large", c->path, what);
    tensor->bytes = tensor->count / values * tensor->type->bytes;
    return BS_OK;
}

static int compare_offsets(const void *left_tensor, const void *right_tensor)
{
    const struct bs_gguf_tensor *a = left_tensor, *b = right_tensor;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return compare_texts(a->name, b->name);
}

/* Finds each tensor's bytes, of `size` from `data` on. */
static enum bs_status place_tensors(const struct bs_gguf *gguf, const unsigned char *data,
                                    size_t size, size_t alignment, struct bs_error *err)
{
    char name[128];
    uint64_t end = 0;
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        struct bs_gguf_tensor *t = &gguf->tensors[i];
        if (t->offset % alignment)
            return bs_fail(
                err, BS_EDATA, "%s: tensor '%s': offset %llu is no multiple of the alignment, %zu",
                gguf->path, shown(t->name, name), (unsigned long long)t->offset, alignment);
        if (!t->type)
            continue;
        if (t->offset < end)
            return bs_fail(err, BS_EDATA, "%s: tensor '%s' overlaps the one before it", gguf->path,
                           shown(t->name, name));
        if (t->offset > size || t->bytes > size - (size_t)t->offset)
            return bs_fail(err, BS_EDATA,
                           "%s: tensor '%s' ends at byte %llu of the data, of which there are %zu "
                           "(cut short?)",
                           gguf->path, shown(t->name, name),
                           (unsigned long long)(t->offset + t->bytes), size);
        t->data = data + t->offset;
        end = t->offset + t->bytes;
    }
    return BS_OK;
}

static enum bs_status read_alignment(const struct bs_gguf *gguf, size_t *alignment,
                                     struct bs_error *err)
{
    const struct bs_gguf_value *value = bs_gguf_find(gguf, "general.alignment");
    *alignment = 32;
    if (!value)
        return BS_OK;
    *alignment = value->kind == BS_GGUF_U32 && !value->array ? bs_gguf_u32(value->data) : 0;
    if (!*alignment || (*alignment & (*alignment - 1)))
        return bs_fail(err, BS_EDATA, "%s: general.alignment is no power of two", gguf->path);
    return BS_OK;
}

static enum bs_status read_tensors(struct cursor *c, const struct bs_map *map, uint64_t count,
                                   struct bs_gguf *gguf)
{
    enum { LEAST = 8 + 4 + 4 + 8 }; /* bytes of a tensor's entry */
    size_t alignment;
    if (read_alignment(gguf, &alignment, c->err))
        return c->err->status;
    if (count > left(c) / LEAST)
        return bs_fail(c->err, BS_EDATA, "%s: %llu tensors do not fit into the file", c->path,
                       (unsigned long long)count);
    gguf->tensors = bs_calloc((size_t)count, sizeof *gguf->tensors);
    if (!gguf->tensors)
        return bs_fail_memory(c->err);
    for (; gguf->num_tensors < count; gguf->num_tensors++)
        if (take_tensor(c, &gguf->tensors[gguf->num_tensors]))
            return c->err->status;
    size_t header = (size_t)(c->at - map->data), over = header % alignment;
    size_t start = over ? header + alignment - over : header;
    start = start < map->size ? start : map->size;
    qsort(gguf->tensors, gguf->num_tensors, sizeof *gguf->tensors, compare_offsets);
    return place_tensors(gguf, map->data + start, map->size - start, alignment, c->err);
}

/* --- the whole --- */

static enum bs_status read_magic(struct cursor *c)
{
    uint32_t version;
    if (left(c) < 4 || memcmp(c->at, "GGUF", 4))
        return bs_fail(c->err, BS_EDATA, "%s: no GGUF file: it does not begin with 'GGUF'",
                       c->path);
    c->at += 4;
    if (take_u32(c, "its version", &version))
        return c->err->status;
    if (version && !(version & 0xffff))
        return bs_fail(c->err, BS_EUNSUPPORTED,
                       "%s: a GGUF file for machines whose numbers begin with the high byte",
                       c->path);
    if (version != 2 && version != 3)
        return bs_fail(c->err, BS_EUNSUPPORTED, "%s: version %u of GGUF, expected 2 or 3", c->path,
                       version);
    return BS_OK;
}

enum bs_status bs_gguf_read(const char *path, const struct bs_map *map, struct bs_gguf *gguf,
                            struct bs_error *err)
{
    uint64_t tensors, values;
    *gguf = (struct bs_gguf){.path = path};
    static const unsigned char nothing[1];
    const unsigned char *data = map->data ? map->data : nothing; /* of an empty file */
    struct cursor c = {path, data, data + map->size, err};
    if (read_magic(&c) || take_u64(&c, "its counts", &tensors) ||
        take_u64(&c, "its counts", &values) || read_values(&c, values, gguf))
        return err->status;
    return read_tensors(&c, map, tensors, gguf);
}

void bs_gguf_release(struct bs_gguf *gguf)
{
    bs_free(gguf->values);
    bs_free(gguf->tensors);
    *gguf = (struct bs_gguf){.path = NULL};
}

const struct bs_gguf_value *bs_gguf_find(const struct bs_gguf *gguf, const char *key)
{
    struct bs_gguf_value wanted = {.key = {key, strlen(key)}};
    if (!gguf->num_values)
        return NULL;
    return bsearch(&wanted, gguf->values, gguf->num_values, sizeof wanted, compare_values);
}

struct bs_gguf_text bs_gguf_next_text(const struct bs_gguf_value *value, size_t *cursor)
{
    const unsigned char *at = value->data + *cursor;
    struct bs_gguf_text text = {(const char *)at + 8, (size_t)bs_gguf_u64(at)};
    *cursor += 8 + text.length;
    return text;
}

/* --- as JSON --- */

/* NULL where it is not finite, no UTF-8, or memory runs out. */
static json_t *item(enum bs_gguf_kind kind, const unsigned char *data, size_t *bytes)
{
    float single;
    double number;
    *bytes = size_of(kind);
    switch (kind) {
    case BS_GGUF_U8:
        return json_integer(*data);
    case BS_GGUF_I8:
        return json_integer((signed char)*data);
    case BS_GGUF_U16:
        return json_integer(bs_gguf_u16(data));
    case BS_GGUF_I16:
        return json_integer((int16_t)bs_gguf_u16(data));
    case BS_GGUF_U32:
        return json_integer(bs_gguf_u32(data));
    case BS_GGUF_I32:
        return json_integer((int32_t)bs_gguf_u32(data));
    case BS_GGUF_I64:
        return json_integer((int64_t)bs_gguf_u64(data));
    case BS_GGUF_U64:
        if (bs_gguf_u64(data) <= INT64_MAX)
            return json_integer((int64_t)bs_gguf_u64(data));
        return json_real((double)bs_gguf_u64(data));
    case BS_GGUF_F32:
        memcpy(&single, data, sizeof single);
        return json_real((double)single);
    case BS_GGUF_F64:
        memcpy(&number, data, sizeof number);
        return json_real(number);
    case BS_GGUF_BOOL:
        return json_boolean(*data);
    case BS_GGUF_STRING:
        *bytes = 8 + (size_t)bs_gguf_u64(data);
        return json_stringn((const char *)data + 8, *bytes - 8);
    case BS_GGUF_ARRAY:
    case BS_NUM_GGUF_KINDS:
        break;
    }
    return NULL;
}

enum bs_status bs_gguf_json(const struct bs_gguf *gguf, const struct bs_gguf_value *value,
                            json_t **json, struct bs_error *err)
{
    char key[128];
    const unsigned char *at = value->data;
    json_t *list = json_array();
    *json = NULL;
    if (!list)
        return bs_fail_memory(err);
    for (size_t i = 0, bytes; i < value->count; i++, at += bytes)
        if (json_array_append_new(list, item(value->kind, at, &bytes))) {
            json_decref(list);
            return bs_fail(
                err, BS_EDATA, "%s: metadata '%s': %s", gguf->path, shown(value->key, key),
                value->kind == BS_GGUF_STRING ? "a text is not UTF-8" : "a number is not finite");
        }
    *json = value->array ? list : json_incref(json_array_get(list, 0));
    if (!value->array)
        json_decref(list);
    return BS_OK;
}
