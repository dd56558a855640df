#include "eval/gguf/gguf_write.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/mem.h"

enum { ALIGNMENT = 32, VERSION = 3, MOST_NAME = 63, LEAST_ROOM = 4096 };

/* Bytes that grow. */
struct bytes {
    unsigned char *data;
    size_t used, room;
    bool failed; /* memory ran out, and what it holds is not whole */
};

/* A tensor of the list. */
struct listed {
    size_t bytes;
    uint64_t offset; /* of the data */
};

struct bs_gguf_writer {
    struct bytes values, infos;
    char **keys;
    struct listed *tensors;
    size_t num_keys, num_tensors;
    uint64_t data_bytes; /* of the tensors so far, each to the next multiple of ALIGNMENT */
    char *path;
    int file;          /* descriptor, -1 before the file is begun */
    size_t next, left; /* the tensor under way, and bytes of it still to come */
};

/* --- bytes --- */

static void add_bytes(struct bytes *to, const void *data, size_t count)
{
    if (to->used + count > to->room) {
        size_t room = 2 * (to->used + count) + LEAST_ROOM;
        unsigned char *grown = bs_realloc(to->data, to->room, room, 1);
        if (!grown) {
            to->failed = true;
            return;
        }
        to->data = grown;
        to->room = room;
    }
    memcpy(to->data + to->used, data, count);
    to->used += count;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they are");

static void add_u32(struct bytes *to, uint32_t number) { add_bytes(to, &number, sizeof number); }
static void add_u64(struct bytes *to, uint64_t number) { add_bytes(to, &number, sizeof number); }

static void add_text(struct bytes *to, const char *text, size_t length)
{
    add_u64(to, length);
    add_bytes(to, text, length);
}

static enum bs_status memory_of(const struct bytes *bytes, struct bs_error *err)
{
    return bytes->failed ? bs_fail_memory(err) : BS_OK;
}

/* --- metadata --- */

struct bs_gguf_writer *bs_gguf_writer_create(void)
{
    struct bs_gguf_writer *w = bs_calloc(1, sizeof *w);
    if (w)
        w->file = -1;
    return w;
}

void bs_gguf_writer_free(struct bs_gguf_writer *w)
{
    if (!w)
        return;
    if (w->file >= 0)
        close(w->file);
    for (size_t i = 0; i < w->num_keys; i++)
        bs_free(w->keys[i]);
    bs_free(w->keys);
    bs_free(w->tensors);
    bs_free(w->values.data);
    bs_free(w->infos.data);
    bs_free(w->path);
    bs_free(w);
}

bool bs_gguf_has(const struct bs_gguf_writer *w, const char *key)
{
    for (size_t i = 0; i < w->num_keys; i++)
        if (!strcmp(w->keys[i], key))
            return true;
    return false;
}

/* Takes the key, which may be NULL for lack of memory. */
static enum bs_status begin_value(struct bs_gguf_writer *w, char *key, struct bs_error *err)
{
    assert(w->file < 0 && (!key || !bs_gguf_has(w, key)));
    char **keys = key ? bs_realloc(w->keys, w->num_keys, w->num_keys + 1, sizeof *keys) : NULL;
    if (!keys) {
        bs_free(key);
        return bs_fail_memory(err);
    }
    w->keys = keys;
    w->keys[w->num_keys++] = key;
    add_text(&w->values, key, strlen(key));
    return BS_OK;
}

/* Bytes of a number of a kind; 0 of those that are none. */
static size_t number_bytes(enum bs_gguf_kind kind)
{
    static const unsigned char sizes[BS_NUM_GGUF_KINDS] = {
        [BS_GGUF_U8] = 1,  [BS_GGUF_I8] = 1,  [BS_GGUF_U16] = 2, [BS_GGUF_I16] = 2,
        [BS_GGUF_U32] = 4, [BS_GGUF_I32] = 4, [BS_GGUF_U64] = 8, [BS_GGUF_I64] = 8};
    return sizes[kind];
}

/* One value without its type; false where the JSON is none of the kind. */
static bool add_json(struct bytes *to, enum bs_gguf_kind kind, const json_t *value)
{
    json_int_t whole = json_integer_value(value);
    double real = json_number_value(value);
    float single = (float)real;
    unsigned char truth = json_is_true(value);
    switch (kind) {
    case BS_GGUF_F32:
        add_bytes(to, &single, sizeof single);
        return json_is_number(value);
    case BS_GGUF_F64:
        add_bytes(to, &real, sizeof real);
        return json_is_number(value);
    case BS_GGUF_BOOL:
        add_bytes(to, &truth, 1);
        return json_is_boolean(value);
    case BS_GGUF_STRING:
        add_text(to, json_is_string(value) ? json_string_value(value) : "",
                 json_string_length(value));
        return json_is_string(value);
    case BS_GGUF_ARRAY:
    case BS_NUM_GGUF_KINDS:
        return false;
    default:
        add_bytes(to, &whole, number_bytes(kind)); /* the lower bytes */
        return json_is_integer(value);
    }
}

enum bs_status bs_gguf_put(struct bs_gguf_writer *w, const char *key, enum bs_gguf_kind kind,
                           const json_t *value, struct bs_error *err)
{
    bool right = true;
    if (begin_value(w, bs_strdup(key), err))
        return err->status;
    if (json_is_array(value)) {
        add_u32(&w->values, BS_GGUF_ARRAY);
        add_u32(&w->values, kind);
        add_u64(&w->values, json_array_size(value));
        for (size_t i = 0; i < json_array_size(value) && right; i++)
            right = add_json(&w->values, kind, json_array_get(value, i));
    } else {
        add_u32(&w->values, kind);
        right = add_json(&w->values, kind, value);
    }
    if (right)
        return memory_of(&w->values, err);
    return bs_fail(err, BS_EDATA, "'%s' is not of the type that GGUF files have it in", key);
}

static enum bs_status put_new(struct bs_gguf_writer *w, const char *key, enum bs_gguf_kind kind,
                              json_t *value, struct bs_error *err)
{
    enum bs_status status = value ? bs_gguf_put(w, key, kind, value, err) : bs_fail_memory(err);
    json_decref(value);
    return status;
}

enum bs_status bs_gguf_put_count(struct bs_gguf_writer *w, const char *key, uint32_t value,
                                 struct bs_error *err)
{
    return put_new(w, key, BS_GGUF_U32, json_integer(value), err);
}

enum bs_status bs_gguf_put_float(struct bs_gguf_writer *w, const char *key, double value,
                                 struct bs_error *err)
{
    return put_new(w, key, BS_GGUF_F32, json_real(value), err);
}

enum bs_status bs_gguf_put_switch(struct bs_gguf_writer *w, const char *key, bool value,
                                  struct bs_error *err)
{
    return put_new(w, key, BS_GGUF_BOOL, json_boolean(value), err);
}

enum bs_status bs_gguf_put_text(struct bs_gguf_writer *w, const char *key, const char *text,
                                struct bs_error *err)
{
    return put_new(w, key, BS_GGUF_STRING, json_string(text), err);
}

static size_t value_bytes(const struct bs_gguf_value *value)
{
    size_t cursor = 0;
    if (value->kind == BS_GGUF_STRING)
        for (size_t i = 0; i < value->count; i++)
            bs_gguf_next_text(value, &cursor);
    else
        cursor = value->count * (value->kind == BS_GGUF_BOOL  ? 1
                                 : value->kind == BS_GGUF_F32 ? sizeof(float)
                                 : value->kind == BS_GGUF_F64 ? sizeof(double)
                                                              : number_bytes(value->kind));
    return cursor;
}

enum bs_status bs_gguf_put_value(struct bs_gguf_writer *w, const struct bs_gguf_value *value,
                                 struct bs_error *err)
{
    if (begin_value(w, bs_printf("%.*s", (int)value->key.length, value->key.bytes), err))
        return err->status;
    if (value->array) {
        add_u32(&w->values, BS_GGUF_ARRAY);
        add_u32(&w->values, value->kind);
        add_u64(&w->values, value->count);
    } else {
        add_u32(&w->values, value->kind);
    }
    add_bytes(&w->values, value->data, value_bytes(value));
    return memory_of(&w->values, err);
}

/* --- the list of tensors --- */

static uint64_t aligned(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

enum bs_status bs_gguf_add(struct bs_gguf_writer *w, const char *name,
                           const struct bs_gguf_type *type, int rank, const int64_t *dims,
                           struct bs_error *err)
{
    size_t count = 1;
    if (strlen(name) > MOST_NAME)
        return bs_fail(err, BS_EUNSUPPORTED, "tensor '%s': ggml takes names of up to %d bytes",
                       name, MOST_NAME);
    struct listed *grown =
        bs_realloc(w->tensors, w->num_tensors, w->num_tensors + 1, sizeof *grown);
    if (!grown)
        return bs_fail_memory(err);
    w->tensors = grown;
    assert(w->file < 0 && rank <= BS_GGUF_DIMS && dims[0] % type->values == 0);
    add_text(&w->infos, name, strlen(name));
    add_u32(&w->infos, (uint32_t)rank);
    for (int d = 0; d < rank; d++) {
        add_u64(&w->infos, (uint64_t)dims[d]);
        count *= (size_t)dims[d];
    }
    add_u32(&w->infos, type->id);
    add_u64(&w->infos, w->data_bytes);
    size_t bytes = count / type->values * type->bytes;
    w->tensors[w->num_tensors++] = (struct listed){bytes, w->data_bytes};
    w->data_bytes = aligned(w->data_bytes + bytes);
    return memory_of(&w->infos, err);
}

/* --- the file --- */

static enum bs_status write_bytes(const struct bs_gguf_writer *w, const void *data, size_t bytes,
                                  struct bs_error *err)
{
    const unsigned char *from = data;
    while (bytes) {
        ssize_t done = write(w->file, from, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return bs_fail(err, BS_EIO, "cannot write '%s': %s", w->path,
                           strerror(done ? errno : ENOSPC));
        from += done;
        bytes -= (size_t)done;
    }
    return BS_OK;
}

/* Zeros up to the next multiple of the alignment. */
static enum bs_status pad(const struct bs_gguf_writer *w, uint64_t at, struct bs_error *err)
{
    static const unsigned char zeros[ALIGNMENT];
    return write_bytes(w, zeros, (size_t)(aligned(at) - at), err);
}

/* The next tensor that has bytes is under way. */
static void enter_next(struct bs_gguf_writer *w)
{
    while (w->next < w->num_tensors && !w->tensors[w->next].bytes)
        w->next++;
    w->left = w->next < w->num_tensors ? w->tensors[w->next].bytes : 0;
}

enum bs_status bs_gguf_begin(struct bs_gguf_writer *w, const char *path, struct bs_error *err)
{
    struct bytes head = {.data = NULL};
    w->path = bs_strdup(path);
    add_bytes(&head, "GGUF", 4);
    add_u32(&head, VERSION);
    add_u64(&head, w->num_tensors);
    add_u64(&head, w->num_keys);
    size_t used = head.used + w->values.used + w->infos.used;
    enum bs_status status = w->path ? memory_of(&head, err) : bs_fail_memory(err);
    if (!status)
        status = bs_file_create(path, &w->file, err);
    if (!status)
        status = write_bytes(w, head.data, head.used, err);
    if (!status)
        status = write_bytes(w, w->values.data, w->values.used, err);
    if (!status)
        status = write_bytes(w, w->infos.data, w->infos.used, err);
    if (!status)
        status = pad(w, used, err);
    if (!status && ftruncate(w->file, (off_t)(aligned(used) + w->data_bytes)))
        status = bs_fail(err, BS_EIO, "cannot write '%s': %s", path, strerror(errno));
    bs_free(head.data);
    if (!status)
        enter_next(w);
    return status;
}

enum bs_status bs_gguf_data(struct bs_gguf_writer *w, const void *data, size_t bytes,
                            struct bs_error *err)
{
    assert(bytes <= w->left);
    if (!bytes)
        return BS_OK;
    if (write_bytes(w, data, bytes, err))
        return err->status;
    w->left -= bytes;
    if (w->left)
        return BS_OK;
    if (pad(w, w->tensors[w->next].bytes, err))
        return err->status;
    w->next++;
    enter_next(w);
    return BS_OK;
}

enum bs_status bs_gguf_end(struct bs_gguf_writer *w, struct bs_error *err)
{
    int file = w->file;
    assert(!w->left && w->next == w->num_tensors);
    w->file = -1;
    bool failed = fsync(file);
    int reason = errno;
    if (close(file) && !failed) {
        failed = true;
        reason = errno;
    }
    if (!failed)
        return BS_OK;
    return bs_fail(err, BS_EIO, "cannot write '%s': %s", w->path, strerror(reason));
}
