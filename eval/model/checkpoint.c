/* The files of a checkpoint as one table of tensors, widening to float32, and the digest. */
#include "eval/model/checkpoint.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/model/safetensors.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of a tensor, per step of the digest: stays in the cache. */
enum { CHUNK_BYTES = 512 << 10 };

static const char single_name[] = "model.safetensors";
static const char index_name[] = "model.safetensors.index.json";

struct bs_checkpoint {
    char *directory;
    json_t *index; /* NULL for a single file */
    struct bs_shard *shards;
    size_t num_shards;
    struct bs_entry *entries; /* by name */
    size_t num_entries;
};

static int compare_names(const void *left, const void *right)
{
    const struct bs_entry *a = left, *b = right;
    return strcmp(a->tensor.name, b->tensor.name);
}

static struct bs_entry *find_entry(const struct bs_checkpoint *checkpoint, const char *name)
{
    struct bs_entry key = {.tensor = {.name = name}};
    if (!checkpoint->num_entries)
        return NULL;
    return bsearch(&key, checkpoint->entries, checkpoint->num_entries, sizeof key, compare_names);
}

/* Keeps the tensors that the index places in the shard they were found in. One that it does not
 * name is no part of the model; one that it places elsewhere is there twice. */
static enum bs_status check_placed(struct bs_checkpoint *checkpoint, const json_t *weight_map,
                                   struct bs_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < checkpoint->num_entries; i++) {
        struct bs_entry *e = &checkpoint->entries[i];
        const char *file = json_string_value(json_object_get(weight_map, e->tensor.name));
        if (!file)
            continue;
        if (strcmp(file, e->shard->name))
            return bs_fail(err, BS_EDATA, "%s: holds tensor '%.200s', which %s places in '%.200s'",
                           e->shard->path, e->tensor.name, index_name, file);
        checkpoint->entries[kept++] = *e;
    }
    checkpoint->num_entries = kept;
    return BS_OK;
}

static enum bs_status check_found(const struct bs_checkpoint *checkpoint, json_t *weight_map,
                                  struct bs_error *err)
{
    const char *name;
    json_t *file;
    json_object_foreach(weight_map, name, file) if (!find_entry(checkpoint, name)) return bs_fail(
        err, BS_EDATA, "%s/%s: holds no tensor '%.200s', which %s places in it",
        checkpoint->directory, json_string_value(file), name, index_name);
    return BS_OK;
}

/* Opens each shard that weight_map names, once. */
static enum bs_status open_shards(struct bs_checkpoint *checkpoint, json_t *weight_map,
                                  struct bs_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(weight_map, name, value)
    {
        const char *file = json_string_value(value);
        if (!file || !*file || strchr(file, '/'))
            return bs_fail(err, BS_EDATA, "%s/%s: tensor '%.200s': its shard is no plain file name",
                           checkpoint->directory, index_name, name);
        size_t s = 0;
        while (s < checkpoint->num_shards && strcmp(checkpoint->shards[s].name, file))
            s++;
        if (s < checkpoint->num_shards)
            continue;
        if (bs_shard_open(&checkpoint->shards[checkpoint->num_shards++], checkpoint->directory,
                          file, &checkpoint->entries, &checkpoint->num_entries, err)) {
            if (err->status == BS_EIO) /* most often: not there */
                bs_fail_within(err, "%s/%s names '%.200s' for tensor '%.200s'",
                               checkpoint->directory, index_name, file, name);
            return err->status;
        }
    }
    return BS_OK;
}

static enum bs_status open_sharded(struct bs_checkpoint *checkpoint, const char *index_path,
                                   struct bs_error *err)
{
    if (bs_json_read(index_path, &checkpoint->index, err))
        return err->status;
    json_t *weight_map = json_object_get(checkpoint->index, "weight_map");
    if (!json_is_object(weight_map) || !json_object_size(weight_map))
        return bs_fail(err, BS_EDATA, "%s: weight_map is missing or empty", index_path);
    /* as many as there are tensors, at most; the entries point to them, so they must not move */
    checkpoint->shards = bs_calloc(json_object_size(weight_map), sizeof *checkpoint->shards);
    if (!checkpoint->shards)
        return bs_fail_memory(err);
    if (open_shards(checkpoint, weight_map, err) || check_placed(checkpoint, weight_map, err))
        return err->status;
    qsort(checkpoint->entries, checkpoint->num_entries, sizeof *checkpoint->entries, compare_names);
    return check_found(checkpoint, weight_map, err);
}

static enum bs_status open_single(struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    checkpoint->shards = bs_calloc(1, sizeof *checkpoint->shards);
    if (!checkpoint->shards)
        return bs_fail_memory(err);
    checkpoint->num_shards = 1;
    if (bs_shard_open(checkpoint->shards, checkpoint->directory, single_name, &checkpoint->entries,
                      &checkpoint->num_entries, err))
        return err->status;
    qsort(checkpoint->entries, checkpoint->num_entries, sizeof *checkpoint->entries, compare_names);
    return BS_OK;
}

/* As transformers: the single file, where there is one, before the index. */
static enum bs_status open_files(struct bs_checkpoint *checkpoint, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    struct stat info;
    const char *directory = checkpoint->directory;
    char *single = bs_printf("%s/%s", directory, single_name);
    char *index = bs_printf("%s/%s", directory, index_name);
    if (!single || !index)
        status = bs_fail_memory(err);
    else if (!stat(single, &info))
        status = open_single(checkpoint, err);
    else if (!stat(index, &info))
        status = open_sharded(checkpoint, index, err);
    else
        status = bs_fail(err, BS_EIO, "%s: there is neither %s nor %s", directory, single_name,
                         index_name);
    bs_free(single);
    bs_free(index);
    return status;
}

enum bs_status bs_checkpoint_open(const char *directory, struct bs_checkpoint **checkpoint,
                                  struct bs_error *err)
{
    *checkpoint = NULL;
    struct bs_checkpoint *opened = bs_calloc(1, sizeof *opened);
    if (!opened)
        return bs_fail_memory(err);
    opened->directory = bs_strdup(directory);
    enum bs_status status = opened->directory ? open_files(opened, err) : bs_fail_memory(err);
    if (status)
        bs_checkpoint_free(opened);
    else
        *checkpoint = opened;
    return status;
}

void bs_checkpoint_free(struct bs_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    for (size_t s = 0; s < checkpoint->num_shards; s++)
        bs_shard_close(&checkpoint->shards[s]);
    json_decref(checkpoint->index);
    bs_free(checkpoint->shards);
    bs_free(checkpoint->entries);
    bs_free(checkpoint->directory);
    bs_free(checkpoint);
}

const struct bs_tensor *bs_checkpoint_find(const struct bs_checkpoint *checkpoint, const char *name)
{
    const struct bs_entry *entry = find_entry(checkpoint, name);
    return entry && entry->readable ? &entry->tensor : NULL;
}

/* "[4096, 256]" */
static void print_shape(int rank, const int64_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int d = 0; d < rank && used < size; d++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%lld", d ? ", " : "", (long long)shape[d]);
    if (used < size)
        snprintf(out + used, size - used, "]");
}

enum bs_status bs_checkpoint_require(struct bs_checkpoint *checkpoint, const char *name, int rank,
                                     const int64_t *shape, const struct bs_tensor **tensor,
                                     struct bs_error *err)
{
    assert(rank >= 0 && rank <= BS_MAX_RANK);
    *tensor = NULL;
    struct bs_entry *entry = find_entry(checkpoint, name);
    char expected[128], found[128];
    print_shape(rank, shape, expected, sizeof expected);
    if (!entry)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' is missing, expected with shape %s",
                       checkpoint->num_shards == 1 ? checkpoint->shards[0].path
                                                   : checkpoint->directory,
                       name, expected);
    const struct bs_tensor *t = &entry->tensor;
    if (t->rank > BS_MAX_RANK)
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has %d dimensions, expected shape %s",
                       t->file, name, t->rank, expected);
    if (!entry->readable)
        return bs_fail(err, BS_EDATA,
                       "%s: tensor '%.200s' has dtype %.40s, expected F32, F16 or BF16", t->file,
                       name, entry->dtype);
    bool same = t->rank == rank;
    for (int d = 0; same && d < rank; d++)
        same = t->shape[d] == shape[d];
    if (!same) {
        print_shape(t->rank, t->shape, found, sizeof found);
        return bs_fail(err, BS_EDATA, "%s: tensor '%.200s' has shape %s, expected %s", t->file,
                       name, found, expected);
    }
    entry->used = true;
    *tensor = t;
    return BS_OK;
}

const char *bs_checkpoint_unused(const struct bs_checkpoint *checkpoint, size_t *cursor)
{
    while (*cursor < checkpoint->num_entries) {
        const struct bs_entry *entry = &checkpoint->entries[(*cursor)++];
        if (!entry->used)
            return entry->tensor.name;
    }
    return NULL;
}

/* The data may stand at any byte, so that elements are fetched with memcpy; compilers turn these
 * loops into vector loads. */
static void read_bf16(const unsigned char *data, size_t count, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* The exponent and mantissa moved to float32's places are the value times 2^-112, subnormals
 * included; multiplying that back is exact. The largest exponent means infinity or NaN in both. */
static void read_f16(const unsigned char *data, size_t count, float *out)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t moved = (uint32_t)(half & 0x7fff) << 13;
        float value;
        memcpy(&value, &moved, sizeof value);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits = moved >= 0x0f800000u ? moved | 0x7f800000u : bits;
        bits |= (uint32_t)(half & 0x8000) << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

void bs_tensor_read(const struct bs_tensor *tensor, size_t first, size_t count, float *out)
{
    assert(first <= tensor->count && count <= tensor->count - first);
    if (!count)
        return;
    const unsigned char *data = tensor->data + first * bs_dtype_bytes(tensor->dtype);
    switch (tensor->dtype) {
    case BS_F32:
        memcpy(out, data, count * sizeof *out);
        break;
    case BS_F16:
        read_f16(data, count, out);
        break;
    case BS_BF16:
        read_bf16(data, count, out);
        break;
    }
}

/* True when one of the elements has the exponent of infinity and NaN. No early way out: a loop
 * without one is a vector loop. */
static bool any_special16(const unsigned char *data, size_t count, uint16_t exponent)
{
    unsigned found = 0;
#pragma omp simd reduction(| : found)
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        found |= (bits & exponent) == exponent;
    }
    return found;
}

static bool any_special32(const unsigned char *data, size_t count)
{
    unsigned found = 0;
#pragma omp simd reduction(| : found)
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return found;
}

static bool any_special(enum bs_dtype dtype, const unsigned char *data, size_t count)
{
    switch (dtype) {
    case BS_F16:
        return any_special16(data, count, 0x7c00);
    case BS_BF16:
        return any_special16(data, count, 0x7f80);
    default:
        return any_special32(data, count);
    }
}

static enum bs_status fail_special(const struct bs_tensor *tensor, size_t first, size_t count,
                                   struct bs_error *err)
{
    size_t i = first;
    float value = 0;
    char shape[128];
    for (; i < first + count; i++) {
        bs_tensor_read(tensor, i, 1, &value);
        if (!(value - value == 0))
            break;
    }
    print_shape(tensor->rank, tensor->shape, shape, sizeof shape);
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s', shape %s: element %zu is %f", tensor->file,
                   tensor->name, shape, i, (double)value);
}

/* The digest takes each tensor in chunks of fixed size, whose own digests are made in parallel and
 * added in order: the result depends on the contents alone. */
struct digest_work {
    const struct bs_entry **entries; /* the used ones */
    size_t num_entries;
    size_t *first_chunk; /* [num_entries + 1], index of the first chunk of each tensor */
    struct bs_digest *digests;
};

static enum bs_status digest_chunk(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    struct digest_work *work = context;
    size_t chunk = (size_t)index, low = 0, high = work->num_entries;
    while (high - low > 1) { /* first_chunk[low] <= chunk < first_chunk[high] */
        size_t middle = low + (high - low) / 2;
        if (work->first_chunk[middle] <= chunk)
            low = middle;
        else
            high = middle;
    }
    const struct bs_tensor *tensor = &work->entries[low]->tensor;
    size_t element = bs_dtype_bytes(tensor->dtype), per_chunk = CHUNK_BYTES / element;
    size_t first = (chunk - work->first_chunk[low]) * per_chunk;
    size_t count = tensor->count - first < per_chunk ? tensor->count - first : per_chunk;
    const unsigned char *data = tensor->data + first * element;
    work->digests[chunk] = bs_digest_of(data, count * element);
    if (any_special(tensor->dtype, data, count))
        return fail_special(tensor, first, count, err);
    return BS_OK;
}

static void digest_add_all(const struct digest_work *work, struct bs_digest_state *digest)
{
    for (size_t i = 0; i < work->num_entries; i++) {
        const struct bs_entry *e = work->entries[i];
        char text[160], shape[128];
        print_shape(e->tensor.rank, e->tensor.shape, shape, sizeof shape);
        snprintf(text, sizeof text, "%s %s", e->dtype, shape);
        /* the zero bytes behind both keep one tensor's text apart from the next */
        bs_digest_add(digest, e->tensor.name, strlen(e->tensor.name) + 1);
        bs_digest_add(digest, text, strlen(text) + 1);
        for (size_t c = work->first_chunk[i]; c < work->first_chunk[i + 1]; c++)
            bs_digest_add(digest, work->digests[c].hex, sizeof work->digests[c].hex);
    }
}

enum bs_status bs_checkpoint_digest(const struct bs_checkpoint *checkpoint,
                                    struct bs_digest_state *digest, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    size_t chunks = 0;
    struct digest_work work = {0};
    work.entries = bs_alloc(checkpoint->num_entries, sizeof *work.entries);
    work.first_chunk = bs_alloc(checkpoint->num_entries + 1, sizeof *work.first_chunk);
    if (!work.entries || !work.first_chunk) {
        status = bs_fail_memory(err);
        goto done;
    }
    for (size_t i = 0; i < checkpoint->num_entries; i++) {
        const struct bs_entry *e = &checkpoint->entries[i];
        if (!e->used)
            continue;
        work.first_chunk[work.num_entries] = chunks;
        work.entries[work.num_entries++] = e;
        chunks += (e->end - e->begin + CHUNK_BYTES - 1) / CHUNK_BYTES;
    }
    work.first_chunk[work.num_entries] = chunks;
    assert(chunks <= INT_MAX); /* a pebibyte */
    work.digests = bs_alloc(chunks, sizeof *work.digests);
    if (!work.digests) {
        status = bs_fail_memory(err);
        goto done;
    }
    status = bs_parallel((int)chunks, digest_chunk, &work, err);
    if (!status)
        digest_add_all(&work, digest);

done:
    bs_free(work.entries);
    bs_free(work.first_chunk);
    bs_free(work.digests);
    return status;
}
