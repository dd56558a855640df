#include "eval/gguf/imatrix.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/gguf/gguf_write.h"

static const char sums_ending[] = ".in_sum2", counts_ending[] = ".counts";

void bs_imatrix_release(struct bs_imatrix *imatrix)
{
    for (size_t i = 0; i < imatrix->count; i++) {
        bs_free(imatrix->entries[i].name);
        bs_free(imatrix->entries[i].sums);
        bs_free(imatrix->entries[i].counts);
    }
    bs_free(imatrix->entries);
    bs_free(imatrix->dataset);
    *imatrix = (struct bs_imatrix){.count = 0};
}

struct bs_imatrix_entry *bs_imatrix_add(struct bs_imatrix *imatrix, const char *name,
                                        size_t columns, size_t matrices)
{
    size_t count = imatrix->count;
    struct bs_imatrix_entry *grown = imatrix->entries;
    if (!(count & (count + 1)) && !(grown = bs_realloc(grown, count, 2 * count + 1, sizeof *grown)))
        return NULL;
    imatrix->entries = grown;
    struct bs_imatrix_entry *entry = &grown[count];
    *entry = (struct bs_imatrix_entry){.columns = columns, .matrices = matrices};
    entry->name = bs_strdup(name);
    entry->sums = bs_calloc(columns * matrices, sizeof *entry->sums);
    entry->counts = bs_calloc(matrices, sizeof *entry->counts);
    imatrix->count++;
    return entry->name && entry->sums && entry->counts ? entry : NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct bs_imatrix_entry *)a)->name,
                  ((const struct bs_imatrix_entry *)b)->name);
}

const struct bs_imatrix_entry *bs_imatrix_find(const struct bs_imatrix *imatrix, const char *name)
{
    for (size_t i = 0; i < imatrix->count; i++)
        if (!strcmp(imatrix->entries[i].name, name))
            return &imatrix->entries[i];
    return NULL;
}

void bs_imatrix_means(const struct bs_imatrix *imatrix, const struct bs_imatrix_entry *entry,
                      float *means)
{
    for (size_t m = 0; m < entry->matrices; m++)
        for (size_t j = 0; j < entry->columns; j++) {
            size_t at = m * entry->columns + j;
            float count = entry->counts[m], unseen = imatrix->legacy ? entry->sums[at] : 1;
            means[at] = count > 0 ? entry->sums[at] / count : unseen;
        }
}

/* Each name once, every number a finite one. */
static enum bs_status check(const char *path, struct bs_imatrix *imatrix, struct bs_error *err)
{
    if (!imatrix->count)
        return bs_fail(err, BS_EDATA, "%s: no importance matrix: it has no entries", path);
    qsort(imatrix->entries, imatrix->count, sizeof *imatrix->entries, compare_names);
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *e = &imatrix->entries[i];
        if (i && !strcmp(e->name, e[-1].name))
            return bs_fail(err, BS_EDATA, "%s: entry '%.80s' stands twice", path, e->name);
        for (size_t j = 0; j < e->columns * e->matrices; j++)
            if (!isfinite(e->sums[j]) || e->sums[j] < 0)
                return bs_fail(err, BS_EDATA,
                               "%s: entry '%.80s': value %zu is %g, expected a sum "
                               "of squares",
                               path, e->name, j, (double)e->sums[j]);
    }
    return BS_OK;
}

/* ---- GGUF ---- */

/* The name in new memory where it ends so, else NULL. */
static char *name_before(struct bs_gguf_text name, const char *ending)
{
    size_t length = strlen(ending);
    if (name.length <= length || memcmp(name.bytes + name.length - length, ending, length))
        return NULL;
    return bs_printf("%.*s", (int)(name.length - length), name.bytes);
}

static const struct bs_gguf_tensor *tensor_called(const struct bs_gguf *gguf, const char *name,
                                                  const char *ending)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        struct bs_gguf_text text = gguf->tensors[i].name;
        if (text.length == length + strlen(ending) && !memcmp(text.bytes, name, length) &&
            !memcmp(text.bytes + length, ending, strlen(ending)))
            return &gguf->tensors[i];
    }
    return NULL;
}

static bool is_float32(const struct bs_gguf_tensor *tensor)
{
    return tensor->type && tensor->type->plain && !strcmp(tensor->type->plain, "F32");
}

/* The entry whose sums are in a tensor. */
static enum bs_status take_sums(const struct bs_gguf *gguf, const struct bs_gguf_tensor *sums,
                                const char *name, struct bs_imatrix *imatrix, struct bs_error *err)
{
    const struct bs_gguf_tensor *counts = tensor_called(gguf, name, counts_ending);
    if (!counts)
        return bs_fail(err, BS_EDATA, "%s: entry '%.80s' has sums and no counts", gguf->path, name);
    if (!is_float32(sums) || !is_float32(counts))
        return bs_fail(err, BS_EDATA, "%s: entry '%.80s' is not of type F32", gguf->path, name);
    if (!counts->count || !sums->count || sums->count % counts->count)
        return bs_fail(err, BS_EDATA, "%s: entry '%.80s': %zu sums and %zu counts", gguf->path,
                       name, sums->count, counts->count);
    struct bs_imatrix_entry *entry =
        bs_imatrix_add(imatrix, name, sums->count / counts->count, counts->count);
    if (!entry)
        return bs_fail_memory(err);
    memcpy(entry->sums, sums->data, sums->bytes);
    memcpy(entry->counts, counts->data, counts->bytes);
    for (size_t m = 0; m < entry->matrices; m++) {
        if (!(entry->counts[m] >= 0 && entry->counts[m] <= (float)INT64_MAX))
            return bs_fail(err, BS_EDATA, "%s: entry '%.80s': count %zu is %g", gguf->path, name, m,
                           (double)entry->counts[m]);
        entry->counts[m] = (float)llroundf(entry->counts[m]);
    }
    return BS_OK;
}

static int whole_number(const struct bs_gguf *gguf, const char *key)
{
    const struct bs_gguf_value *value = bs_gguf_find(gguf, key);
    bool good = value && value->kind == BS_GGUF_U32 && !value->array;
    uint32_t number = good ? bs_gguf_u32(value->data) : 0;
    return number <= INT_MAX ? (int)number : 0;
}

static enum bs_status take_gguf(const struct bs_gguf *gguf, struct bs_imatrix *imatrix,
                                struct bs_error *err)
{
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        char *name = name_before(gguf->tensors[i].name, sums_ending);
        enum bs_status status =
            name ? take_sums(gguf, &gguf->tensors[i], name, imatrix, err) : BS_OK;
        bs_free(name);
        if (status)
            return status;
    }
    const struct bs_gguf_value *datasets = bs_gguf_find(gguf, "imatrix.datasets");
    size_t cursor = 0;
    imatrix->chunks = whole_number(gguf, "imatrix.chunk_count");
    imatrix->chunk_size = whole_number(gguf, "imatrix.chunk_size");
    if (datasets && datasets->kind == BS_GGUF_STRING && datasets->count > 0) {
        struct bs_gguf_text text = bs_gguf_next_text(datasets, &cursor);
        imatrix->dataset = bs_printf("%.*s", (int)text.length, text.bytes);
        if (!imatrix->dataset)
            return bs_fail_memory(err);
    }
    return BS_OK;
}

static enum bs_status read_gguf(const char *path, const struct bs_map *map,
                                struct bs_imatrix *imatrix, struct bs_error *err)
{
    struct bs_gguf gguf;
    enum bs_status status = bs_gguf_read(path, map, &gguf, err);
    if (!status)
        status = take_gguf(&gguf, imatrix, err);
    bs_gguf_release(&gguf);
    return status;
}

/* ---- the older layout ---- */

/* Where in the file one is. */
struct cursor {
    const char *path;
    const unsigned char *at, *end;
    struct bs_error *err;
};

static enum bs_status take_int(struct cursor *c, const char *what, int least, int *number)
{
    *number = 0;
    if ((size_t)(c->end - c->at) < 4)
        return bs_fail(c->err, BS_EDATA, "%s: the file ends within %s (cut short?)", c->path, what);
    *number = (int)(int32_t)bs_gguf_u32(c->at);
    c->at += 4;
    if (*number < least)
        return bs_fail(c->err, BS_EDATA,
                       "%s: %s is %d, expected at least %d: no importance matrix?", c->path, what,
                       *number, least);
    return BS_OK;
}

/* So many items of `size` bytes. */
static enum bs_status take_bytes(struct cursor *c, const char *what, int count, size_t size,
                                 const unsigned char **bytes)
{
    *bytes = c->at;
    if ((size_t)count > (size_t)(c->end - c->at) / size)
        return bs_fail(c->err, BS_EDATA, "%s: the file ends within %s (cut short?)", c->path, what);
    c->at += (size_t)count * size;
    return BS_OK;
}

static enum bs_status take_entry(struct cursor *c, struct bs_imatrix *imatrix)
{
    int length, calls, values;
    const unsigned char *text, *sums;
    if (take_int(c, "the length of a name", 1, &length) ||
        take_bytes(c, "a name", length, 1, &text) ||
        take_int(c, "the calls of an entry", INT_MIN, &calls) ||
        take_int(c, "the values of an entry", 1, &values) ||
        take_bytes(c, "the values of an entry", values, sizeof(float), &sums))
        return c->err->status;
    char *name = bs_printf("%.*s", length, (const char *)text);
    struct bs_imatrix_entry *entry = name ? bs_imatrix_add(imatrix, name, (size_t)values, 1) : NULL;
    bs_free(name);
    if (!entry)
        return bs_fail_memory(c->err);
    memcpy(entry->sums, sums, (size_t)values * sizeof(float));
    entry->counts[0] = (float)calls;
    return BS_OK;
}

static enum bs_status read_legacy(const char *path, const struct bs_map *map,
                                  struct bs_imatrix *imatrix, struct bs_error *err)
{
    const unsigned char *data = map->data ? map->data : (const unsigned char *)""; /* empty: NULL */
    struct cursor c = {path, data, data + map->size, err};
    int count, length;
    const unsigned char *text;
    imatrix->legacy = true;
    if (take_int(&c, "the number of entries", 1, &count))
        return err->status;
    for (int i = 0; i < count; i++)
        if (take_entry(&c, imatrix))
            return err->status;
    if (c.at == c.end) /* files of the first tools end here */
        return BS_OK;
    if (take_int(&c, "the number of chunks", INT_MIN, &imatrix->chunks))
        return err->status;
    if (c.at == c.end)
        return BS_OK;
    if (take_int(&c, "the length of the text's name", 0, &length) ||
        take_bytes(&c, "the text's name", length, 1, &text))
        return err->status;
    imatrix->dataset = bs_printf("%.*s", length, (const char *)text);
    return imatrix->dataset ? BS_OK : bs_fail_memory(err);
}

enum bs_status bs_imatrix_read(const char *path, struct bs_imatrix *imatrix, struct bs_error *err)
{
    struct bs_map map;
    *imatrix = (struct bs_imatrix){.count = 0};
    if (bs_file_check(path, err) || bs_map_open(path, &map, err))
        return err->status;
    bool gguf = map.size >= 4 && !memcmp(map.data, "GGUF", 4);
    enum bs_status status = (gguf ? read_gguf : read_legacy)(path, &map, imatrix, err);
    if (!status)
        status = check(path, imatrix, err);
    imatrix->digest = bs_digest_of(map.data, map.size);
    bs_map_close(&map);
    if (status)
        bs_imatrix_release(imatrix);
    return status;
}

/* ---- writing ---- */

enum { GGUF_F32 = 0 };

/* The text's name as a list of one, or of none. */
static enum bs_status put_datasets(struct bs_gguf_writer *writer, const char *dataset,
                                   struct bs_error *err)
{
    json_t *list = json_array();
    bool whole =
        list && (!dataset || !json_array_append_new(list, json_stringn(dataset, strlen(dataset))));
    enum bs_status status = whole
                                ? bs_gguf_put(writer, "imatrix.datasets", BS_GGUF_STRING, list, err)
                                : bs_fail_memory(err);
    json_decref(list);
    return status;
}

/* A tensor of one of the two endings; a last dimension of 1 is left out. */
static enum bs_status add_tensor(struct bs_gguf_writer *writer, const char *name,
                                 const char *ending, size_t columns, size_t rows,
                                 struct bs_error *err)
{
    const int64_t dims[] = {(int64_t)columns, (int64_t)rows};
    char *whole = bs_printf("%s%s", name, ending);
    enum bs_status status =
        whole ? bs_gguf_add(writer, whole, bs_gguf_type_find(GGUF_F32), rows > 1 ? 2 : 1, dims, err)
              : bs_fail_memory(err);
    bs_free(whole);
    return status;
}

static enum bs_status put_header(struct bs_gguf_writer *writer, const struct bs_imatrix *imatrix,
                                 struct bs_error *err)
{
    if (bs_gguf_put_text(writer, "general.type", "imatrix", err) ||
        put_datasets(writer, imatrix->dataset, err) ||
        bs_gguf_put_count(writer, "imatrix.chunk_count", (uint32_t)imatrix->chunks, err) ||
        bs_gguf_put_count(writer, "imatrix.chunk_size", (uint32_t)imatrix->chunk_size, err))
        return err->status;
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *e = &imatrix->entries[i];
        if (add_tensor(writer, e->name, sums_ending, e->columns, e->matrices, err) ||
            add_tensor(writer, e->name, counts_ending, 1, e->matrices, err))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status put_all(struct bs_gguf_writer *writer, const char *path,
                              const struct bs_imatrix *imatrix, struct bs_error *err)
{
    if (put_header(writer, imatrix, err) || bs_gguf_begin(writer, path, err))
        return err->status;
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *e = &imatrix->entries[i];
        size_t sums = e->columns * e->matrices * sizeof *e->sums;
        if (bs_gguf_data(writer, e->sums, sums, err) ||
            bs_gguf_data(writer, e->counts, e->matrices * sizeof *e->counts, err))
            return err->status;
    }
    return bs_gguf_end(writer, err);
}

static enum bs_status write_gguf(const char *path, const struct bs_imatrix *imatrix,
                                 struct bs_error *err)
{
    struct bs_gguf_writer *writer = bs_gguf_writer_create();
    enum bs_status status = writer ? put_all(writer, path, imatrix, err) : bs_fail_memory(err);
    bs_gguf_writer_free(writer);
    return status;
}

static void put(FILE *out, uint64_t number)
{
    for (int b = 0; b < 4; b++)
        fputc((int)(number >> (8 * b) & 255), out);
}

static void put_float(FILE *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(out, bits);
}

static void put_text(FILE *out, const char *text)
{
    put(out, strlen(text));
    fputs(text, out);
}

/* Windows that the matrix seen most often had, the last one perhaps not whole. */
static int calls_of(const struct bs_imatrix *imatrix, const struct bs_imatrix_entry *entry)
{
    float most = 0;
    for (size_t m = 0; m < entry->matrices; m++)
        most = entry->counts[m] > most ? entry->counts[m] : most;
    int size = imatrix->chunk_size > 0 ? imatrix->chunk_size : 1;
    return (int)(((int64_t)most + size - 1) / size);
}

static void put_legacy(FILE *out, const struct bs_imatrix *imatrix)
{
    uint64_t count = 0;
    for (size_t i = 0; i < imatrix->count; i++)
        count += calls_of(imatrix, &imatrix->entries[i]) > 0;
    put(out, count);
    for (size_t i = 0; i < imatrix->count; i++) {
        const struct bs_imatrix_entry *e = &imatrix->entries[i];
        int calls = calls_of(imatrix, e);
        if (!calls)
            continue;
        put_text(out, e->name);
        put(out, (uint64_t)calls);
        put(out, e->columns * e->matrices);
        for (size_t j = 0; j < e->columns * e->matrices; j++) {
            float rows = e->counts[j / e->columns];
            put_float(out, (rows > 0 ? e->sums[j] / rows : 1) * (float)calls);
        }
    }
    put(out, (uint64_t)imatrix->chunks);
    put_text(out, imatrix->dataset ? imatrix->dataset : "");
}

static enum bs_status write_legacy(const char *path, const struct bs_imatrix *imatrix,
                                   struct bs_error *err)
{
    int fd;
    if (bs_file_create(path, &fd, err))
        return err->status;
    FILE *out = fdopen(fd, "wb");
    if (!out) {
        close(fd);
        return bs_fail_memory(err);
    }
    put_legacy(out, imatrix);
    bool failed = ferror(out);
    failed |= fclose(out) != 0;
    return failed ? bs_fail(err, BS_EIO, "%s: cannot be written: %s", path, strerror(errno))
                  : BS_OK;
}

enum bs_status bs_imatrix_write(const char *path, struct bs_imatrix *imatrix, struct bs_error *err)
{
    char *partial = bs_printf("%s.partial", path);
    if (!partial)
        return bs_fail_memory(err);
    if (imatrix->count)
        qsort(imatrix->entries, imatrix->count, sizeof *imatrix->entries, compare_names);
    enum bs_status status = bs_make_parent(path, err);
    if (!status)
        status = (bs_ends_in(path, ".dat") ? write_legacy : write_gguf)(partial, imatrix, err);
    if (!status)
        status = bs_file_commit(partial, path, err);
    if (status)
        unlink(partial);
    bs_free(partial);
    return status;
}
