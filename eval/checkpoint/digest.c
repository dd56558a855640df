/* The digest of a checkpoint's contents, and the look at every value on the way. */
#include "eval/checkpoint/shard.h"

#include "eval/base/mem.h"
#include "eval/base/parallel.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Of a tensor, per step of the digest: stays in the cache. */
enum { CHUNK_BYTES = 512 << 10 };

/* Elements that are looked at one by one, at a time. */
enum { RUN = 1 << 16 };

static enum bs_status fail_special(const struct bs_tensor *tensor, size_t index, float value,
                                   struct bs_error *err)
{
    char shape[128];
    bs_shape_print(tensor->rank, tensor->shape, shape, sizeof shape);
    return bs_fail(err, BS_EDATA, "%s: tensor '%.200s', shape %s: element %zu is %f", tensor->file,
                   tensor->name, shape, index, (double)value);
}

/* The first element that is not finite, which is one of these. */
static enum bs_status find_special(const struct bs_tensor *tensor, size_t first, size_t count,
                                   struct bs_error *err)
{
    float value = 0;
    size_t i = first;
    for (; i < first + count; i++) {
        bs_tensor_read(tensor, i, 1, &value);
        if (!(value - value == 0))
            break;
    }
    return fail_special(tensor, i, value, err);
}

/* A run of bytes of a file: a tensor's, or a part of a coded one. */
struct piece {
    const struct bs_entry *entry;
    const struct bs_file_part *part; /* NULL: the tensor's own elements */
    size_t first_chunk;
};

/* The digest takes each piece in chunks of fixed size, whose own digests are made in parallel and
 * added in order: the result depends on the contents alone. */
struct digest_work {
    struct piece *pieces; /* [num_pieces + 1]; the last says where the chunks end */
    size_t num_pieces;
    struct bs_digest *digests;
};

static enum bs_status digest_part(const struct bs_file_part *part, size_t chunk,
                                  struct bs_digest *digest)
{
    size_t first = chunk * CHUNK_BYTES;
    size_t bytes = part->bytes - first < CHUNK_BYTES ? part->bytes - first : CHUNK_BYTES;
    *digest = bs_digest_of(part->data + first, bytes);
    return BS_OK;
}

static enum bs_status digest_chunk(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    struct digest_work *work = context;
    size_t chunk = (size_t)index, low = 0, high = work->num_pieces;
    while (high - low > 1) { /* pieces[low].first_chunk <= chunk < pieces[high].first_chunk */
        size_t middle = low + (high - low) / 2;
        if (work->pieces[middle].first_chunk <= chunk)
            low = middle;
        else
            high = middle;
    }
    const struct piece *piece = &work->pieces[low];
    if (piece->part)
        return digest_part(piece->part, chunk - piece->first_chunk, &work->digests[chunk]);
    const struct bs_tensor *tensor = &piece->entry->tensor;
    size_t element = bs_dtypes[tensor->dtype].bytes, per_chunk = CHUNK_BYTES / element;
    size_t first = (chunk - piece->first_chunk) * per_chunk;
    size_t count = tensor->count - first < per_chunk ? tensor->count - first : per_chunk;
    unsigned char *scratch = tensor->strided ? bs_alloc(count, element) : NULL;
    if (tensor->strided && !scratch)
        return bs_fail_memory(err);
    const unsigned char *data = bs_tensor_bytes(tensor, first, count, scratch);
    work->digests[chunk] = bs_digest_of(data, count * element);
    bool special = bs_any_special(tensor->dtype, data, count);
    if (!tensor->strided)
        bs_map_forget(&piece->entry->shard->map, data, count * element);
    bs_free(scratch);
    return special ? find_special(tensor, first, count, err) : BS_OK;
}

static void digest_add_all(const struct digest_work *work, struct bs_digest_state *digest)
{
    for (size_t i = 0; i < work->num_pieces; i++) {
        const struct piece *piece = &work->pieces[i];
        const struct bs_tensor *tensor = &piece->entry->tensor;
        char text[2 * BS_SCHEME_BYTES + 240], shape[128];
        bs_shape_print(tensor->rank, tensor->shape, shape, sizeof shape);
        int used = snprintf(text, sizeof text, "%s %s",
                            tensor->coded ? tensor->coded->scheme : piece->entry->dtype, shape);
        const struct bs_coded_inputs *inputs = tensor->coded ? &tensor->coded->inputs : NULL;
        if (inputs && *inputs->setting)
            snprintf(text + used, sizeof text - (size_t)used, ", inputs %s, %.9g, %.9g",
                     inputs->setting, (double)inputs->scale, (double)inputs->zero);
        /* the zero bytes after both keep one tensor's text apart from the next */
        if (!i || piece->entry != work->pieces[i - 1].entry) {
            bs_digest_add(digest, tensor->name, strlen(tensor->name) + 1);
            bs_digest_add(digest, text, strlen(text) + 1);
        }
        for (size_t c = piece->first_chunk; c < piece[1].first_chunk; c++)
            bs_digest_add(digest, work->digests[c].hex, sizeof work->digests[c].hex);
    }
}

/* Adds a piece of so many bytes. */
static void add_piece(struct digest_work *work, const struct bs_entry *entry,
                      const struct bs_file_part *part, size_t bytes)
{
    struct piece *piece = &work->pieces[work->num_pieces++];
    piece->entry = entry;
    piece->part = part;
    piece[1].first_chunk = piece->first_chunk + (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES;
}

static void list_pieces(const struct bs_entries *entries, struct digest_work *work)
{
    work->pieces[0].first_chunk = 0;
    for (size_t i = 0; i < entries->count; i++) {
        const struct bs_entry *e = &entries->items[i];
        const struct bs_coded *coded = e->tensor.coded;
        if (!e->used)
            continue;
        if (!coded)
            add_piece(work, e, NULL, e->tensor.count * bs_dtypes[e->tensor.dtype].bytes);
        for (int p = 0; coded && p < BS_MOST_PARTS && coded->parts[p].data; p++)
            add_piece(work, e, &coded->parts[p], coded->parts[p].bytes);
    }
}

/* Some rows of a coded tensor, which all decode to finite values. */
static enum bs_status look_at(const struct bs_tensor *tensor, float *rows, struct bs_error *err)
{
    size_t width = (size_t)tensor->shape[tensor->rank - 1];
    size_t part = RUN > width ? RUN / width * width : width;
    for (size_t at = 0; at < tensor->count; at += part) {
        size_t count = tensor->count - at < part ? tensor->count - at : part;
        bs_tensor_read(tensor, at, count, rows);
        for (size_t i = 0; i < count; i++)
            if (!(rows[i] - rows[i] == 0))
                return fail_special(tensor, at + i, rows[i], err);
    }
    for (int p = 0; p < BS_MOST_PARTS && tensor->coded->parts[p].data; p++)
        bs_map_forget(tensor->coded->parts[p].map, tensor->coded->parts[p].data,
                      tensor->coded->parts[p].bytes);
    return BS_OK;
}

/* The values of a coded tensor are not to be told from its bytes. */
static enum bs_status look_at_entry(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    const struct bs_entry *e = &((const struct bs_entries *)context)->items[index];
    if (!e->used || !e->tensor.coded || !e->tensor.count)
        return BS_OK;
    size_t width = (size_t)e->tensor.shape[e->tensor.rank - 1];
    float *rows = bs_alloc(RUN > width ? RUN : width, sizeof *rows);
    if (!rows)
        return bs_fail_memory(err);
    enum bs_status status = look_at(&e->tensor, rows, err);
    bs_free(rows);
    return status;
}

enum bs_status bs_entries_digest(const struct bs_entries *entries, const char *directory,
                                 struct bs_digest_state *digest, struct bs_error *err)
{
    struct digest_work work = {0};
    work.pieces = bs_alloc(entries->count * BS_MOST_PARTS + 1, sizeof *work.pieces);
    if (!work.pieces)
        return bs_fail_memory(err);
    list_pieces(entries, &work);
    enum bs_status status = BS_OK;
    size_t chunks = work.pieces[work.num_pieces].first_chunk;
    if (chunks > INT_MAX || entries->count > INT_MAX)
        status =
            bs_fail(err, BS_EUNSUPPORTED, "%s: the tensors take more than a pebibyte", directory);
    if (!status && !(work.digests = bs_alloc(chunks, sizeof *work.digests)))
        status = bs_fail_memory(err);
    if (!status)
        status = bs_parallel((int)chunks, digest_chunk, &work, err);
    if (!status)
        status = bs_parallel((int)entries->count, look_at_entry,
                             (void *)(uintptr_t)(const void *)entries, err);
    if (!status)
        digest_add_all(&work, digest);
    bs_free(work.pieces);
    bs_free(work.digests);
    return status;
}
