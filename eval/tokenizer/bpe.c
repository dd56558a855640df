/* Byte-pair encoding as the tokenizers library has it (models/bpe). A word becomes one symbol a
 * character; what the vocabulary lacks becomes its bytes' tokens, the unknown token, or nothing.
 * Then the pair of symbols with the lowest rank is merged, the leftmost first, until no pair is
 * left.
 *
 * A heap of (rank, position) makes the merging n log n. Entries that a merge elsewhere has made
 * stale are recognised when they come up. Before that a word is cut into chunks wherever no merge
 * can ever cross: where no merge has a left token that ends with the symbol before the cut and a
 * right one that begins with the symbol after it. So a text that is one single word to the
 * tokenizer, as Llama-2's is, falls into its words, and what is met again is found in a cache. */
#include "eval/tokenizer/bpe_internal.h"

#include <string.h>

#include <xxhash.h>

#include "eval/base/mem.h"

enum {
    CACHE_SLOTS = 8192,
    CACHE_SYMBOLS = 16,
    CACHE_IDS = 8,
};

/* A chunk met before. */
struct cached {
    uint8_t num_symbols, count; /* no symbols: empty */
    int32_t symbols[CACHE_SYMBOLS], ids[CACHE_IDS];
};

/* A chunk as a linked list of symbols. */
struct symbol {
    int32_t id;             /* -1 once it is part of the one before */
    int32_t previous, next; /* -1 at the ends */
};

struct bpe_work {
    struct cached cache[CACHE_SLOTS];
    struct bs_ids chunk; /* symbols */
    struct symbol *symbols;
    uint64_t *heap; /* rank << 32 | position, smallest first */
    size_t capacity, heap_size;
};

static void *bpe_work_create(void) { return bs_calloc(1, sizeof(struct bpe_work)); }

static void bpe_work_free(void *state)
{
    struct bpe_work *work = state;
    if (!work)
        return;
    bs_ids_release(&work->chunk);
    bs_free(work->symbols);
    bs_free(work->heap);
    bs_free(work);
}

static bool joins(const struct bs_bpe *bpe, int32_t left, int32_t right)
{
    return *bs_bpe_join_slot(&bpe->joins, bs_bpe_pair(left, right)) != BS_NO_PAIR;
}

/* Room for a chunk of `count` symbols. It starts with count - 1 pairs, and each of at most count -
 * 1 merges takes one away and makes two new ones: the heap holds less than 2 * count entries. */
static enum bs_status work_reserve(struct bpe_work *work, size_t count, struct bs_error *err)
{
    if (count <= work->capacity)
        return BS_OK;
    size_t capacity = count + (count < 1 << 16 ? count : 0);
    bs_free(work->symbols);
    bs_free(work->heap);
    work->capacity = 0;
    work->symbols = bs_alloc(capacity, sizeof *work->symbols);
    work->heap = bs_alloc(capacity, 2 * sizeof *work->heap);
    if (!work->symbols || !work->heap)
        return bs_fail_memory(err);
    work->capacity = capacity;
    return BS_OK;
}

static void heap_push(struct bpe_work *work, uint64_t entry)
{
    size_t i = work->heap_size++;
    while (i > 0 && work->heap[(i - 1) / 2] > entry) {
        work->heap[i] = work->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    work->heap[i] = entry;
}

static uint64_t heap_pop(struct bpe_work *work)
{
    uint64_t *heap = work->heap, top = heap[0], last = heap[--work->heap_size];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < work->heap_size) {
        if (child + 1 < work->heap_size && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = last;
    return top;
}

/* The merge of the symbol at `position` with the next one, or NULL. */
static const struct bs_merge *find_merge(const struct bs_bpe *bpe, const struct symbol *symbols,
                                         int32_t position)
{
    int32_t next = symbols[position].next;
    if (symbols[position].id < 0 || next < 0)
        return NULL;
    const struct bs_merge *slot =
        bs_bpe_merge_slot(bpe, bs_bpe_pair(symbols[position].id, symbols[next].id));
    return slot->result >= 0 ? slot : NULL;
}

static void push_merge(const struct bs_bpe *bpe, struct bpe_work *work, int32_t position)
{
    const struct bs_merge *merge = find_merge(bpe, work->symbols, position);
    if (merge)
        heap_push(work, (uint64_t)merge->rank << 32 | (uint32_t)position);
}

static void merge_chunk(const struct bs_bpe *bpe, struct bpe_work *work)
{
    struct symbol *symbols = work->symbols;
    int32_t count = (int32_t)work->chunk.count;
    for (int32_t i = 0; i < count; i++)
        symbols[i] = (struct symbol){
            .id = work->chunk.ids[i], .previous = i - 1, .next = i + 1 < count ? i + 1 : -1};
    work->heap_size = 0;
    for (int32_t i = 0; i < count; i++)
        push_merge(bpe, work, i);
    while (work->heap_size > 0) {
        uint64_t entry = heap_pop(work);
        int32_t position = (int32_t)(uint32_t)entry;
        const struct bs_merge *merge = find_merge(bpe, symbols, position);
        if (!merge || merge->rank != entry >> 32)
            continue; /* stale */
        struct symbol *left = &symbols[position], *right = &symbols[left->next];
        left->id = merge->result;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0)
            symbols[left->next].previous = position;
        if (left->previous >= 0)
            push_merge(bpe, work, left->previous);
        push_merge(bpe, work, position);
    }
}

static struct cached *cache_slot(struct bpe_work *work)
{
    uint64_t hash = XXH3_64bits(work->chunk.ids, work->chunk.count * sizeof *work->chunk.ids);
    return &work->cache[hash % CACHE_SLOTS];
}

/* Appends the ids of the chunk, and empties it. */
static enum bs_status encode_chunk(const struct bs_bpe *bpe, struct bpe_work *work,
                                   struct bs_ids *list, struct bs_error *err)
{
    size_t symbols = work->chunk.count, bytes = symbols * sizeof *work->chunk.ids, count = 0;
    if (bs_ids_reserve(list, symbols, err))
        return err->status;
    int32_t *ids = list->ids + list->count;
    if (symbols <= 1) {
        if (symbols == 1)
            list->ids[list->count++] = work->chunk.ids[0];
        work->chunk.count = 0;
        return BS_OK;
    }
    struct cached *cached = symbols <= CACHE_SYMBOLS ? cache_slot(work) : NULL;
    if (cached && cached->num_symbols == symbols &&
        !memcmp(cached->symbols, work->chunk.ids, bytes)) {
        memcpy(ids, cached->ids, cached->count * sizeof *ids);
        list->count += cached->count;
        work->chunk.count = 0;
        return BS_OK;
    }
    if (symbols > INT32_MAX)
        return bs_fail(err, BS_EUNSUPPORTED, "a word of %zu characters is too long", symbols);
    if (work_reserve(work, symbols, err))
        return err->status;
    merge_chunk(bpe, work);
    for (int32_t i = 0; i >= 0; i = work->symbols[i].next)
        ids[count++] = work->symbols[i].id;
    list->count += count;
    if (cached && count <= CACHE_IDS) {
        cached->num_symbols = (uint8_t)symbols;
        cached->count = (uint8_t)count;
        memcpy(cached->symbols, work->chunk.ids, bytes);
        memcpy(cached->ids, ids, count * sizeof *ids);
    }
    work->chunk.count = 0;
    return BS_OK;
}

/* Adds a symbol to the chunk, or encodes the chunk and begins a new one with it. */
static enum bs_status add_symbol(const struct bs_bpe *bpe, struct bpe_work *work, int32_t id,
                                 struct bs_ids *list, struct bs_error *err)
{
    struct bs_ids *chunk = &work->chunk;
    if (chunk->count && !joins(bpe, chunk->ids[chunk->count - 1], id) &&
        encode_chunk(bpe, work, list, err))
        return err->status;
    return bs_ids_append(chunk, id, err);
}

/* True where each byte of a character has a token. */
static bool has_byte_tokens(const struct bs_bpe *bpe, const char *character, size_t bytes)
{
    bool all = bpe->byte_fallback;
    for (size_t i = 0; all && i < bytes; i++)
        all = bpe->byte_tokens[(unsigned char)character[i]] >= 0;
    return all;
}

/* An unknown token waits while *pending is set: the library adds it
 * before the next character that is, after any byte tokens that come between. */
static enum bs_status add_unknown(const struct bs_bpe *bpe, struct bpe_work *work, bool *pending,
                                  struct bs_ids *list, struct bs_error *err)
{
    if (!bpe->has_unknown)
        return BS_OK;
    if (bpe->unknown < 0)
        return bs_fail(err, BS_EDATA,
                       "the text has a character that is not in vocab, and neither is unk_token");
    if (*pending && !bpe->fuse_unknown)
        return add_symbol(bpe, work, bpe->unknown, list, err);
    *pending = true;
    return BS_OK;
}

static enum bs_status add_character(const struct bs_bpe *bpe,
                                    const struct bs_vocabulary *vocabulary, struct bpe_work *work,
                                    const char *character, size_t bytes, bool *pending,
                                    struct bs_ids *list, struct bs_error *err)
{
    int32_t id = bs_bpe_symbol_of(bpe, vocabulary, character, bytes);
    if (id >= 0) {
        if (*pending && add_symbol(bpe, work, bpe->unknown, list, err))
            return err->status;
        *pending = false;
        return add_symbol(bpe, work, id, list, err);
    }
    if (!has_byte_tokens(bpe, character, bytes))
        return add_unknown(bpe, work, pending, list, err);
    for (size_t i = 0; i < bytes; i++)
        if (add_symbol(bpe, work, bpe->byte_tokens[(unsigned char)character[i]], list, err))
            return err->status;
    return BS_OK;
}

static enum bs_status bpe_encode(const void *state, const struct bs_vocabulary *vocabulary,
                                 void *work_state, const char *word, size_t size,
                                 struct bs_ids *list, struct bs_error *err)
{
    const struct bs_bpe *bpe = state;
    struct bpe_work *work = work_state;
    int32_t whole = bpe->ignore_merges ? bs_vocabulary_id(vocabulary, word, size) : -1;
    if (whole >= 0)
        return bs_ids_append(list, whole, err);
    bool pending = false;
    work->chunk.count = 0;
    for (size_t i = 0, bytes; i < size; i += bytes) {
        bytes = bs_utf8_bytes(word[i]);
        if (add_character(bpe, vocabulary, work, word + i, bytes, &pending, list, err))
            return err->status;
    }
    if (pending && add_symbol(bpe, work, bpe->unknown, list, err))
        return err->status;
    return encode_chunk(bpe, work, list, err);
}

const struct bs_word_model bs_bpe_model = {
    .type = "BPE",
    .read = bs_bpe_read,
    .free = bs_bpe_free,
    .work_create = bpe_work_create,
    .work_free = bpe_work_free,
    .encode = bpe_encode,
};
