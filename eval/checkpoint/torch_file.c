/* What torch.save writes: a zip archive of a pickled state dict and its storages. The archive
 * holds, in one folder, data.pkl and a file data/KEY for each storage, and small ones that say how
 * it was written: byteorder, version, and more that does not matter here. Checked are the archive,
 * see torch_zip.h, the pickle, see pickle.h, and for each tensor that its storage is there, has the
 * size that the pickle says, and holds every element. */
#include "eval/checkpoint/reader.h"

#include "eval/base/mem.h"
#include "eval/checkpoint/pickle.h"
#include "eval/checkpoint/torch_zip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_KEY = 64,         /* storages are numbered */
    HIGHEST_VERSION = 10, /* of the archive, that PyTorch 2 reads */
};

/* Before PyTorch 1.6: a row of pickles, the first one this number. */
static enum bs_status check_old_format(const struct bs_shard *shard, struct bs_error *err)
{
    static const unsigned char magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                          0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    if (shard->map.size < 2 + sizeof magic || memcmp(shard->map.data + 2, magic, sizeof magic))
        return BS_OK;
    return bs_fail(
        err, BS_EUNSUPPORTED,
        "%s: PyTorch's format before 1.6; write it anew with: python3 -c \"import torch; "
        "torch.save(torch.load('%s', map_location='cpu'), 'new.bin')\"",
        shard->path, shard->name);
}

/* Whether an entry is there; its text where it is, cut to the buffer. */
static bool small_entry(const struct bs_zip *zip, const char *name, char text[16])
{
    const struct bs_zip_entry *entry = bs_zip_find(zip, name);
    if (!entry)
        return false;
    snprintf(text, 16, "%.*s", entry->size < 15 ? (int)entry->size : 15, (const char *)entry->data);
    return true;
}

static enum bs_status check_written(const struct bs_shard *shard, const struct bs_zip *zip,
                                    struct bs_error *err)
{
    char text[16];
    if (small_entry(zip, "byteorder", text) && strcmp(text, "little"))
        return bs_fail(err, BS_EUNSUPPORTED, "%s: byteorder is not 'little'", shard->path);
    if (small_entry(zip, "version", text)) {
        char *end;
        long version = strtol(text, &end, 10);
        if (end == text || version < 1 || version > HIGHEST_VERSION)
            return bs_fail(err, BS_EUNSUPPORTED, "%s: version is not between 1 and %d", shard->path,
                           HIGHEST_VERSION);
    }
    return BS_OK;
}

/* The name that the shard keeps for a tensor, from *room on, terminated. */
static enum bs_status keep_name(const struct bs_shard *shard, struct bs_text name, char **room,
                                const char **kept, struct bs_error *err)
{
    if (memchr(name.bytes, '\0', name.length))
        return bs_fail(err, BS_EDATA, "%s: the name of a tensor holds a zero byte", shard->path);
    *kept = *room;
    memcpy(*room, name.bytes, name.length);
    (*room)[name.length] = '\0';
    *room += name.length + 1;
    return BS_OK;
}

static enum bs_status find_storage(const struct bs_shard *shard, const struct bs_zip *zip,
                                   const struct bs_pickled_tensor *from, const char *name,
                                   const struct bs_zip_entry **storage, struct bs_error *err)
{
    char path[MAX_KEY + 8];
    struct bs_text key = from->storage;
    *storage = NULL;
    if (key.length <= MAX_KEY && !memchr(key.bytes, '\0', key.length)) {
        snprintf(path, sizeof path, "data/%.*s", (int)key.length, (const char *)key.bytes);
        *storage = bs_zip_find(zip, path);
    }
    if (!*storage)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s': its storage is not in the archive",
                       shard->path, name);
    if ((*storage)->size != from->storage_bytes)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s': its storage, %s, takes %zu bytes, expected %zu",
                       shard->path, name, path, (*storage)->size, from->storage_bytes);
    return BS_OK;
}

static enum bs_status read_tensor(const struct bs_shard *shard, const struct bs_zip *zip,
                                  const struct bs_pickled_tensor *from, struct bs_entry *entry,
                                  struct bs_error *err)
{
    struct bs_tensor *tensor = &entry->tensor;
    const struct bs_zip_entry *storage;
    if (find_storage(shard, zip, from, tensor->name, &storage, err))
        return err->status;
    size_t elements = storage->size / from->dtype->bytes;
    if (from->offset > elements || from->extent > elements - from->offset)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s': elements %zu to %zu of a storage of %zu", shard->path,
                       tensor->name, from->offset, from->offset + from->extent, elements);
    entry->shard = shard;
    entry->dtype = from->dtype->name;
    tensor->file = shard->path;
    tensor->rank = from->rank;
    tensor->count = from->count;
    tensor->data = storage->data + from->offset * from->dtype->bytes;
    tensor->strided = from->strided;
    memcpy(tensor->shape, from->shape, sizeof tensor->shape);
    memcpy(tensor->strides, from->strides, sizeof tensor->strides);
    if (from->rank > BS_MAX_RANK)
        entry->defect = BS_HIGH_RANK;
    else if (from->dtype->dtype < 0)
        entry->defect = BS_OTHER_DTYPE;
    else if (from->count > elements)
        entry->defect = BS_FEW_ELEMENTS;
    else
        tensor->dtype = (enum bs_dtype)from->dtype->dtype;
    return BS_OK;
}

static enum bs_status read_tensors(struct bs_shard *shard, const struct bs_zip *zip,
                                   const struct bs_pickle *pickle, struct bs_entries *entries,
                                   struct bs_error *err)
{
    size_t name_bytes, count = bs_pickle_count(pickle, &name_bytes), cursor = 0;
    struct bs_entry *next = bs_entries_grow(entries, count);
    char *room = shard->names = bs_alloc(name_bytes + count, 1);
    if (!next || !room)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++, next++, entries->count++) {
        struct bs_pickled_tensor from;
        if (bs_pickle_next(pickle, &cursor, &from, err) ||
            keep_name(shard, from.name, &room, &next->tensor.name, err) ||
            read_tensor(shard, zip, &from, next, err))
            return err->status;
    }
    return BS_OK;
}

/* BS_EUNSUPPORTED for the format before PyTorch 1.6, which is no archive. */
static enum bs_status read_torch(struct bs_shard *shard, struct bs_entries *entries,
                                 struct bs_error *err)
{
    struct bs_zip zip = {0};
    struct bs_pickle *pickle = NULL;
    const struct bs_zip_entry *program;
    char *place = bs_printf("%s: data.pkl", shard->path);
    enum bs_status status = place ? check_old_format(shard, err) : bs_fail_memory(err);
    if (!status)
        status = bs_zip_open(shard->path, &shard->map, &zip, err);
    if (!status)
        status = check_written(shard, &zip, err);
    if (!status && !(program = bs_zip_find(&zip, "data.pkl")))
        status = bs_fail(err, BS_EDATA, "%s: the archive holds no data.pkl", shard->path);
    if (!status)
        status = bs_pickle_open(place, program->data, program->size, &pickle, err);
    if (!status)
        status = read_tensors(shard, &zip, pickle, entries, err);
    bs_pickle_free(pickle);
    bs_zip_close(&zip);
    bs_free(place);
    return status;
}

const struct bs_reader bs_reader_torch = {
    .plugin =
        {
            .name = "torch",
            .summary = "what torch.save writes: a pickled state dict and its storages in a zip",
            .reference = "pytorch/pytorch torch/serialization.py",
        },
    .file = "pytorch_model.bin",
    .index = "pytorch_model.bin.index.json",
    .loose = ".pt",
    .endings = (const char *const[]){".bin", ".pt", ".pth", "", NULL},
    .read = read_torch,
};
