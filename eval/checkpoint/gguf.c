/* Tensors of GGUF files: plain numbers as they are, blocks as codes. Their names are the file's
 * own. */
#include "eval/gguf/gguf.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/checkpoint/gguf_latent.h"
#include "eval/checkpoint/reader.h"

/* A matrix, or several, in blocks. */
struct coded {
    struct bs_coded coded;
    size_t blocks; /* of a row */
};

static void decode(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const struct coded *c = (const struct coded *)coded;
    const struct bs_gguf_type *type = coded->blocks;
    const unsigned char *block = coded->parts[0].data + first * c->blocks * type->bytes;
    for (size_t b = 0; b < count * c->blocks; b++) {
        type->decode(block, out);
        block += type->bytes;
        out += type->values;
    }
}

static struct bs_coded *make_coded(const struct bs_shard *shard, const struct bs_gguf_tensor *from)
{
    struct coded *made = bs_calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->coded.blocks = from->type;
    made->blocks = (size_t)from->dims[0] / from->type->values;
    made->coded.bits = 8.0 * (double)from->bytes;
    made->coded.decode = decode;
    made->coded.parts[0] = (struct bs_file_part){&shard->map, from->data, from->bytes};
    snprintf(made->coded.scheme, sizeof made->coded.scheme, "GGUF %s", from->type->name);
    return &made->coded;
}

/* The type, where bitsweep reads its values. */
static bool find_dtype(const struct bs_gguf_type *type, struct bs_entry *entry)
{
    const struct bs_dtype_info *info = type && type->plain ? bs_dtype_find(type->plain) : NULL;
    entry->dtype = type ? type->name : "of a newer ggml";
    if (!info || info->dtype < 0)
        return false;
    entry->tensor.dtype = (enum bs_dtype)info->dtype;
    return true;
}

static enum bs_status add_tensor(const struct bs_shard *shard, const struct bs_gguf_tensor *from,
                                 const char *name, struct bs_entry *entry, struct bs_error *err)
{
    struct bs_tensor *tensor = &entry->tensor;
    entry->shard = shard;
    tensor->name = name;
    tensor->file = shard->path;
    tensor->rank = from->rank;
    tensor->count = from->count;
    for (int d = 0; d < from->rank; d++)
        tensor->shape[d] = from->dims[from->rank - 1 - d];
    bool blocks = from->type && from->type->decode && from->rank > 1;
    if (!find_dtype(from->type, entry) && !blocks)
        entry->defect = BS_OTHER_DTYPE;
    if (blocks)
        tensor->coded = make_coded(shard, from);
    else
        tensor->data = from->data;
    return blocks && !tensor->coded ? bs_fail_memory(err) : BS_OK;
}

/* Copies of the names, with an end each. */
static enum bs_status copy_names(struct bs_shard *shard, const struct bs_gguf *gguf,
                                 struct bs_error *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < gguf->num_tensors; i++)
        bytes += gguf->tensors[i].name.length + 1;
    char *at = shard->names = bs_alloc(bytes, 1);
    if (!at)
        return bs_fail_memory(err);
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        struct bs_gguf_text name = gguf->tensors[i].name;
        if (memchr(name.bytes, 0, name.length))
            return bs_fail(err, BS_EDATA, "%s: tensor '%.*s': a zero byte in its name", shard->path,
                           (int)(name.length < 64 ? name.length : 64), name.bytes);
        memcpy(at, name.bytes, name.length);
        at[name.length] = 0;
        at += name.length + 1;
    }
    return BS_OK;
}

static enum bs_status add_tensors(struct bs_shard *shard, const struct bs_gguf *gguf,
                                  struct bs_entries *entries, struct bs_error *err)
{
    struct bs_entry *first = bs_entries_grow(entries, gguf->num_tensors);
    if (!first)
        return bs_fail_memory(err);
    if (copy_names(shard, gguf, err))
        return err->status;
    const char *name = shard->names;
    for (size_t i = 0; i < gguf->num_tensors; i++) {
        entries->count++;
        if (add_tensor(shard, &gguf->tensors[i], name, &first[i], err))
            return err->status;
        name += strlen(name) + 1;
    }
    return BS_OK;
}

static enum bs_status read_gguf(struct bs_shard *shard, struct bs_entries *entries,
                                struct bs_error *err)
{
    struct bs_gguf gguf;
    size_t first = entries->count;
    enum bs_status status = bs_gguf_read(shard->path, &shard->map, &gguf, err);
    if (!status)
        status = add_tensors(shard, &gguf, entries, err);
    if (!status)
        status = bs_gguf_join_latent(entries, first, err);
    bs_gguf_release(&gguf);
    return status;
}

const struct bs_reader bs_reader_gguf = {
    .plugin =
        {
            .name = "gguf",
            .summary = "one file with metadata, tokenizer and tensors, most of them in blocks",
            .reference = "ggml-org/ggml docs/gguf.md",
        },
    .endings = (const char *const[]){".gguf", NULL},
    .begins = "GGUF",
    .read = read_gguf,
};
