#include "eval/tokenizer/vocabulary.h"

#include "eval/base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* A slot of the hash table; empty when id is -1. */
struct entry {
    size_t start; /* in text */
    size_t size;
    int32_t id;
};

struct bs_vocabulary {
    struct entry *slots;
    size_t mask, count, room; /* slots - 1: a power of two less one */
    char *text;
    size_t used, capacity;
    struct entry *by_id; /* [count], once finished */
    int32_t last_id;
};

struct bs_vocabulary *bs_vocabulary_create(size_t count, size_t bytes)
{
    size_t slots = 2;
    while (slots / 2 < count) /* at most half full */
        slots *= 2;
    struct bs_vocabulary *created = bs_calloc(1, sizeof *created);
    if (!created)
        return NULL;
    created->slots = bs_alloc(slots, sizeof *created->slots);
    created->text = bs_alloc(bytes, 1);
    if (!created->slots || !created->text) {
        bs_vocabulary_free(created);
        return NULL;
    }
    for (size_t i = 0; i < slots; i++)
        created->slots[i].id = -1;
    created->mask = slots - 1;
    created->room = count;
    created->capacity = bytes;
    created->last_id = -1;
    return created;
}

void bs_vocabulary_free(struct bs_vocabulary *vocabulary)
{
    if (!vocabulary)
        return;
    bs_free(vocabulary->slots);
    bs_free(vocabulary->text);
    bs_free(vocabulary->by_id);
    bs_free(vocabulary);
}

static struct entry *find(const struct bs_vocabulary *vocabulary, const char *token, size_t size)
{
    size_t i = (size_t)XXH3_64bits(token, size) & vocabulary->mask;
    for (;; i = (i + 1) & vocabulary->mask) {
        struct entry *slot = &vocabulary->slots[i];
        if (slot->id < 0 ||
            (slot->size == size && !memcmp(vocabulary->text + slot->start, token, size)))
            return slot;
    }
}

void bs_vocabulary_add(struct bs_vocabulary *vocabulary, const char *token, size_t size, int32_t id)
{
    struct entry *slot = find(vocabulary, token, size);
    if (slot->id < 0) {
        assert(vocabulary->count < vocabulary->room &&
               size <= vocabulary->capacity - vocabulary->used);
        *slot = (struct entry){.start = vocabulary->used, .size = size};
        memcpy(vocabulary->text + slot->start, token, size);
        vocabulary->used += size;
        vocabulary->count++;
    }
    slot->id = id;
    if (id > vocabulary->last_id)
        vocabulary->last_id = id;
}

static int compare_ids(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->start > b->start) - (a->start < b->start);
}

enum bs_status bs_vocabulary_finish(struct bs_vocabulary *vocabulary, struct bs_error *err)
{
    vocabulary->by_id = bs_alloc(vocabulary->count, sizeof *vocabulary->by_id);
    if (!vocabulary->by_id)
        return bs_fail_memory(err);
    size_t count = 0;
    for (size_t i = 0; i <= vocabulary->mask; i++)
        if (vocabulary->slots[i].id >= 0)
            vocabulary->by_id[count++] = vocabulary->slots[i];
    qsort(vocabulary->by_id, count, sizeof *vocabulary->by_id, compare_ids);
    return BS_OK;
}

int32_t bs_vocabulary_id(const struct bs_vocabulary *vocabulary, const char *token, size_t size)
{
    return find(vocabulary, token, size)->id;
}

const char *bs_vocabulary_token(const struct bs_vocabulary *vocabulary, int32_t id, size_t *size)
{
    size_t low = 0, high = vocabulary->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (vocabulary->by_id[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == vocabulary->count || vocabulary->by_id[low].id != id)
        return NULL;
    *size = vocabulary->by_id[low].size;
    return vocabulary->text + vocabulary->by_id[low].start;
}

size_t bs_vocabulary_count(const struct bs_vocabulary *vocabulary) { return vocabulary->count; }

int32_t bs_vocabulary_last_id(const struct bs_vocabulary *vocabulary)
{
    return vocabulary->last_id;
}
