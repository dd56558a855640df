/* The data of a tensor stands at a multiple of the size of its elements, as PyTorch wants it, and
 * without holes, as the format does: tensors whose bytes are no multiple of 8 wait in memory and
 * come last, the largest elements first. The header is padded with blanks to the room that was kept
 * for it. */
#include "eval/checkpoint/safetensors_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/checkpoint/tensor.h"

enum { LENGTH_BYTES = 8, UNIT = 8, LEAST_HEADER = 256 };

/* One that waits. */
struct waiting {
    struct waiting *next;
    json_t *entry; /* of the header, borrowed */
    size_t element, bytes;
    unsigned char data[];
};

struct bs_safetensors {
    char *folder, *path; /* path: of the file under way; NULL: none is */
    size_t header, most;
    int file, count;                   /* descriptor; files begun */
    json_t *entries;                   /* of the file under way */
    size_t entries_used;               /* of the header's room, at most */
    size_t at;                         /* where the next data goes, from the end of the header */
    json_t *index;                     /* name to the number of the file */
    size_t total;                      /* bytes of all tensors */
    size_t left;                       /* of the tensor under way */
    struct waiting *waiting, *filling; /* filling: the one whose bytes come */
    size_t held;                       /* bytes of those that wait */
};

static enum bs_status fail_write(const struct bs_safetensors *w, struct bs_error *err)
{
    return bs_fail(err, BS_EIO, "cannot write '%s': %s", w->path, strerror(errno));
}

static enum bs_status write_at(const struct bs_safetensors *w, const void *data, size_t bytes,
                               size_t at, struct bs_error *err)
{
    const unsigned char *from = data;
    while (bytes) {
        ssize_t done = pwrite(w->file, from, bytes, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done ? errno : ENOSPC;
            return fail_write(w, err);
        }
        from += done;
        at += (size_t)done;
        bytes -= (size_t)done;
    }
    return BS_OK;
}

enum bs_status bs_safetensors_create(const char *folder, size_t header, size_t most,
                                     struct bs_safetensors **writer, struct bs_error *err)
{
    struct bs_safetensors *w = *writer = bs_calloc(1, sizeof *w);
    if (!w)
        return bs_fail_memory(err);
    *w = (struct bs_safetensors){.header = (header + LEAST_HEADER + UNIT - 1) / UNIT * UNIT,
                                 .most = most,
                                 .file = -1,
                                 .folder = bs_strdup(folder),
                                 .index = json_object()};
    return w->folder && w->index ? BS_OK : bs_fail_memory(err);
}

/* ---- a file ---- */

static char *part_path(const struct bs_safetensors *w, int number)
{
    return bs_printf("%s/part-%05d", w->folder, number);
}

static enum bs_status begin_file(struct bs_safetensors *w, struct bs_error *err)
{
    w->path = part_path(w, w->count);
    w->entries = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (!w->path || !w->entries)
        return bs_fail_memory(err);
    if (bs_file_create(w->path, &w->file, err))
        return err->status;
    w->count++;
    w->at = 0;
    w->entries_used = LEAST_HEADER / 2;
    return BS_OK;
}

static enum bs_status place(json_t *entry, size_t begin, size_t bytes, struct bs_error *err)
{
    json_t *offsets = json_pack("[I,I]", (json_int_t)begin, (json_int_t)(begin + bytes));
    return json_object_set_new(entry, "data_offsets", offsets) ? bs_fail_memory(err) : BS_OK;
}

/* Those that waited, by the size of their elements. */
static enum bs_status write_waiting(struct bs_safetensors *w, struct bs_error *err)
{
    for (size_t element = UNIT; element > 0; element /= 2)
        for (const struct waiting *one = w->waiting; one; one = one->next) {
            if (one->element != element)
                continue;
            if (place(one->entry, w->at, one->bytes, err) ||
                write_at(w, one->data, one->bytes, LENGTH_BYTES + w->header + w->at, err))
                return err->status;
            w->at += one->bytes;
        }
    return BS_OK;
}

static void drop_waiting(struct bs_safetensors *w)
{
    while (w->waiting) {
        struct waiting *next = w->waiting->next;
        bs_free(w->waiting);
        w->waiting = next;
    }
    w->held = 0;
}

static enum bs_status write_header(const struct bs_safetensors *w, struct bs_error *err)
{
    unsigned char length[LENGTH_BYTES];
    char *text = bs_alloc(w->header, 1);
    if (!text)
        return bs_fail_memory(err);
    size_t used = json_dumpb(w->entries, text, w->header, JSON_COMPACT);
    assert(used > 0 && used <= w->header);
    memset(text + used, ' ', w->header - used);
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (unsigned char)((uint64_t)w->header >> 8 * i);
    enum bs_status status = write_at(w, length, sizeof length, 0, err);
    if (!status)
        status = write_at(w, text, w->header, LENGTH_BYTES, err);
    bs_free(text);
    return status;
}

static enum bs_status end_file(struct bs_safetensors *w, struct bs_error *err)
{
    enum bs_status status = write_waiting(w, err);
    if (!status)
        status = write_header(w, err);
    if (!status && fsync(w->file))
        status = fail_write(w, err);
    if (close(w->file) && !status)
        status = fail_write(w, err);
    w->file = -1;
    drop_waiting(w);
    json_decref(w->entries);
    w->entries = NULL;
    bs_free(w->path);
    w->path = NULL;
    return status;
}

/* ---- tensors ---- */

/* What the entry takes in the header at most: words, the digits of sizes and offsets, the name. */
static size_t entry_room(const char *name, int rank)
{
    enum { DIGITS = 20, WORDS = 64, ESCAPED = 6 };
    size_t room = WORDS + DIGITS * ((size_t)rank + 2);
    for (; *name; name++)
        room += *name > ' ' && *name < 127 && *name != '"' && *name != '\\' ? 1 : ESCAPED;
    return room;
}

/* A file with room for the tensor. */
static enum bs_status make_room(struct bs_safetensors *w, const char *name, int rank, size_t bytes,
                                struct bs_error *err)
{
    bool full = w->path && ((w->at + w->held && w->header + w->at + w->held + bytes > w->most) ||
                            w->entries_used + entry_room(name, rank) > w->header);
    if (full && end_file(w, err))
        return err->status;
    if (!w->path && begin_file(w, err))
        return err->status;
    w->entries_used += entry_room(name, rank);
    assert(w->entries_used <= w->header);
    return BS_OK;
}

static json_t *entry_of(const char *dtype, int rank, const int64_t *shape)
{
    json_t *extents = json_array(), *entry = json_object();
    bool failed = !extents || !entry;
    for (int d = 0; d < rank && !failed; d++)
        failed = json_array_append_new(extents, json_integer(shape[d]));
    failed = json_object_set_new(entry, "dtype", json_string(dtype)) || failed;
    failed = json_object_set_new(entry, "shape", extents) || failed;
    if (!failed)
        return entry;
    json_decref(entry);
    return NULL;
}

static enum bs_status wait_for(struct bs_safetensors *w, json_t *entry, size_t element,
                               size_t bytes, struct bs_error *err)
{
    struct waiting *one = bs_calloc(1, sizeof *one + bytes), **last = &w->waiting;
    if (!one)
        return bs_fail_memory(err);
    one->entry = entry;
    one->element = element;
    one->bytes = bytes;
    while (*last)
        last = &(*last)->next;
    *last = w->filling = one;
    w->held += bytes;
    return BS_OK;
}

enum bs_status bs_safetensors_begin(struct bs_safetensors *w, const char *name, const char *dtype,
                                    int rank, const int64_t *shape, struct bs_error *err)
{
    size_t element = bs_dtype_find(dtype)->bytes, bytes = element;
    assert(!w->left && element && rank <= BS_MAX_RANK);
    for (int d = 0; d < rank; d++)
        bytes *= (size_t)shape[d];
    if (make_room(w, name, rank, bytes, err))
        return err->status;
    json_t *entry = entry_of(dtype, rank, shape);
    if (!entry || json_object_set_new(w->entries, name, entry) ||
        json_object_set_new(w->index, name, json_integer(w->count - 1)))
        return bs_fail_memory(err);
    w->total += bytes;
    w->left = bytes;
    w->filling = NULL;
    if (bytes % UNIT)
        return wait_for(w, entry, element, bytes, err);
    return place(entry, w->at, bytes, err);
}

enum bs_status bs_safetensors_put(struct bs_safetensors *w, const void *data, size_t bytes,
                                  struct bs_error *err)
{
    assert(bytes <= w->left);
    if (w->filling) {
        memcpy(w->filling->data + w->filling->bytes - w->left, data, bytes);
    } else {
        if (write_at(w, data, bytes, LENGTH_BYTES + w->header + w->at, err))
            return err->status;
        w->at += bytes;
    }
    w->left -= bytes;
    return BS_OK;
}

enum bs_status bs_safetensors_add(struct bs_safetensors *w, const char *name, const char *dtype,
                                  int rank, const int64_t *shape, const void *data,
                                  struct bs_error *err)
{
    if (bs_safetensors_begin(w, name, dtype, rank, shape, err))
        return err->status;
    return bs_safetensors_put(w, data, w->left, err);
}

/* ---- the end ---- */

static void file_name(const struct bs_safetensors *w, int number, char *name, size_t size)
{
    if (w->count == 1)
        snprintf(name, size, "model.safetensors");
    else
        snprintf(name, size, "model-%05d-of-%05d.safetensors", number + 1, w->count);
}

static enum bs_status rename_part(const struct bs_safetensors *w, int number, struct bs_error *err)
{
    char name[64];
    file_name(w, number, name, sizeof name);
    char *from = part_path(w, number), *to = bs_path_join(w->folder, name);
    enum bs_status status = from && to ? BS_OK : bs_fail_memory(err);
    if (!status && rename(from, to))
        status = bs_fail(err, BS_EIO, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
    bs_free(from);
    bs_free(to);
    return status;
}

/* Of several files, which tensor is in which. */
static enum bs_status write_index(const struct bs_safetensors *w, struct bs_error *err)
{
    const char *name;
    json_t *number, *map = json_object();
    bool failed = !map;
    json_object_foreach(w->index, name, number)
    {
        char file[64];
        file_name(w, (int)json_integer_value(number), file, sizeof file);
        failed = failed || json_object_set_new(map, name, json_string(file));
    }
    json_t *index = json_pack("{s:{s:I},s:o}", "metadata", "total_size", (json_int_t)w->total,
                              "weight_map", map);
    char *path = bs_path_join(w->folder, "model.safetensors.index.json");
    enum bs_status status = failed || !index || !path ? bs_fail_memory(err) : BS_OK;
    if (!status)
        status = bs_json_write(path, index, err);
    json_decref(index);
    bs_free(path);
    return status;
}

enum bs_status bs_safetensors_end(struct bs_safetensors *w, struct bs_error *err)
{
    assert(!w->left);
    if (!w->path && !w->count && begin_file(w, err))
        return err->status;
    if (w->path && end_file(w, err))
        return err->status;
    for (int i = 0; i < w->count; i++)
        if (rename_part(w, i, err))
            return err->status;
    return w->count > 1 ? write_index(w, err) : BS_OK;
}

void bs_safetensors_free(struct bs_safetensors *w)
{
    if (!w)
        return;
    drop_waiting(w);
    if (w->file >= 0)
        close(w->file);
    json_decref(w->entries);
    json_decref(w->index);
    bs_free(w->folder);
    bs_free(w->path);
    bs_free(w);
}
