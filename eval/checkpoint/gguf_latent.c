#include "eval/checkpoint/gguf_latent.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"

enum { MOST_PLAIN = 1024 }; /* channels of a head */

static const char of_keys[] = ".attn_k_b.weight", of_values[] = ".attn_v_b.weight";

/* The matrix of both. */
struct joined {
    struct bs_coded coded;
    struct bs_tensor keys, values;
    size_t latent, plain, value;
};

/* Rows first to end of the matrix that are of one head: those of its keys stand as columns. */
static void decode_head(const struct joined *j, size_t head, size_t first, size_t end, float *out)
{
    float column[MOST_PLAIN];
    size_t rows = j->plain + j->value, from = first - head * rows, to = end - head * rows;
    size_t keys = to < j->plain ? to : j->plain;
    for (size_t c = 0; c < j->latent && from < keys; c++) {
        bs_tensor_read(&j->keys, (head * j->latent + c) * j->plain, j->plain, column);
        for (size_t i = from; i < keys; i++)
            out[(i - from) * j->latent + c] = column[i];
    }
    size_t start = from > j->plain ? from : j->plain;
    if (start < to)
        bs_tensor_read(&j->values, (head * j->value + start - j->plain) * j->latent,
                       (to - start) * j->latent, out + (start - from) * j->latent);
}

static void decode(const struct bs_coded *coded, size_t first, size_t count, float *out)
{
    const struct joined *j = (const struct joined *)coded;
    size_t rows = j->plain + j->value, last = first + count;
    for (size_t at = first; at < last;) {
        size_t head = at / rows, end = (head + 1) * rows < last ? (head + 1) * rows : last;
        decode_head(j, head, at, end, out + (at - first) * j->latent);
        at = end;
    }
}

/* The bytes of both, and what they are: of plain numbers nothing is quantized. */
static void fill_parts(const struct bs_entry *keys, const struct bs_entry *values, struct joined *j)
{
    const struct bs_entry *both[] = {keys, values};
    for (int p = 0; p < 2; p++) {
        const struct bs_tensor *t = &both[p]->tensor;
        j->coded.bits += t->coded ? t->coded->bits : 0;
        j->coded.parts[p] = t->coded ? t->coded->parts[0]
                                     : (struct bs_file_part){&both[p]->shard->map, t->data,
                                                             t->count * bs_dtypes[t->dtype].bytes};
    }
    snprintf(j->coded.scheme, sizeof j->coded.scheme, "GGUF %.20s and %.20s", keys->dtype,
             values->dtype);
}

static enum bs_status join(struct bs_entries *entries, struct bs_entry *keys,
                           struct bs_entry *values, struct bs_error *err)
{
    const int64_t *k = keys->tensor.shape, *v = values->tensor.shape;
    if (keys->tensor.rank != 3 || values->tensor.rank != 3 || k[0] != v[0] || k[1] != v[2] ||
        k[2] > MOST_PLAIN || keys->defect || values->defect)
        return bs_fail(err, BS_EDATA,
                       "%s: tensors '%.200s' and '%.200s' are not [heads][latent][plain] and "
                       "[heads][value][latent], with at most %d plain channels",
                       keys->tensor.file, keys->tensor.name, values->tensor.name, MOST_PLAIN);
    struct bs_entry *made = &entries->items[entries->count];
    struct joined *j = bs_calloc(1, sizeof *j);
    int length = (int)(strlen(keys->tensor.name) - strlen(of_keys));
    char *name = bs_printf("%.*s.attn_kv_b.weight", length, keys->tensor.name);
    if (!j || !name) {
        bs_free(j);
        bs_free(name);
        return bs_fail_memory(err);
    }
    j->keys = keys->tensor;
    j->values = values->tensor;
    j->latent = (size_t)k[1];
    j->plain = (size_t)k[2];
    j->value = (size_t)v[1];
    j->coded.decode = decode;
    fill_parts(keys, values, j);
    *made = (struct bs_entry){.named = name, .dtype = "coded", .shard = keys->shard};
    made->tensor = (struct bs_tensor){.name = name,
                                      .file = keys->tensor.file,
                                      .rank = 2,
                                      .shape = {k[0] * (k[2] + v[1]), k[1]},
                                      .coded = &j->coded};
    made->tensor.count = (size_t)made->tensor.shape[0] * j->latent;
    keys->used = keys->aside = values->used = values->aside = true;
    entries->count++;
    return BS_OK;
}

/* The entry of the values that belong to these keys, or NULL. */
static struct bs_entry *values_of(const struct bs_entries *entries, size_t first, size_t end,
                                  const struct bs_entry *keys)
{
    size_t length = strlen(keys->tensor.name) - strlen(of_keys);
    for (size_t i = first; i < end; i++) {
        const char *name = entries->items[i].tensor.name;
        if (!strncmp(name, keys->tensor.name, length) && !strcmp(name + length, of_values))
            return &entries->items[i];
    }
    return NULL;
}

enum bs_status bs_gguf_join_latent(struct bs_entries *entries, size_t first, struct bs_error *err)
{
    size_t end = entries->count, pairs = 0;
    for (size_t i = first; i < end; i++)
        pairs += bs_ends_in(entries->items[i].tensor.name, of_keys);
    if (!pairs)
        return BS_OK;
    if (!bs_entries_grow(entries, pairs))
        return bs_fail_memory(err);
    for (size_t i = first; i < end; i++) {
        struct bs_entry *keys = &entries->items[i], *values;
        if (bs_ends_in(keys->tensor.name, of_keys) &&
            (values = values_of(entries, first, end, keys)) && join(entries, keys, values, err))
            return err->status;
    }
    return BS_OK;
}
