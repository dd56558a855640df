/* Byte-pair encoding as the tokenizers library has it (models/bpe). A word becomes one symbol a
 * character; what the vocabulary lacks becomes its bytes' tokens, the unknown token, or nothing. Then
 * the pair of symbols with the lowest rank is merged, the leftmost first, until no pair is left.
 *
 * A heap of (rank, position) makes the merging n log n. Entries that a merge elsewhere has made
 * stale are recognised when they come up. Before that a word is cut into chunks wherever no merge can
 * ever cross: where no merge has a left token that ends with the symbol before the cut and a right
 * one that begins with the symbol behind it. So a text that is one single word to the tokenizer, as
 * Llama-2's is, falls into its words, and what is met again is found in a cache. */
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/word_model.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

enum {
    CACHE_SLOTS = 8192,
    CACHE_SYMBOLS = 16,
    CACHE_IDS = 8,
    DIRECT_CHARACTERS = 0x800, /* characters of one or two bytes are looked up in an array */
};

/* A slot of the hash table of merges; empty when result is -1. */
struct merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank;
    int32_t result;
};

/* A set of pairs of ids: those of symbols that some merge may join. Empty slots hold NO_PAIR. */
struct pair_set {
    uint64_t *slots;
    size_t mask, count;
};
#define NO_PAIR UINT64_MAX

struct bpe {
    struct merge *merges;
    size_t merges_mask; /* slots - 1, a power of two less one */
    struct pair_set joins;
    int32_t direct[DIRECT_CHARACTERS];
    int32_t byte_tokens[256]; /* where byte_fallback is set */
    int32_t unknown;          /* the id of unk_token, -1 where it is not in the vocabulary */
    bool has_unknown, fuse_unknown, byte_fallback;
    bool ignore_merges; /* a word that is in the vocabulary is not merged */
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

/* --- reading --- */

/* A token as it is spelled; any byte may stand in it. */
struct name {
    const char *text;
    size_t size;
};

/* Smallest power of two above twice the entries: the tables are at most half full. */
static size_t table_slots(size_t entries)
{
    size_t slots = 2;
    while (slots < 2 * entries)
        slots *= 2;
    return slots;
}

static uint64_t make_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t hash_pair(uint64_t pair)
{
    uint64_t hash = (pair ^ pair >> 32) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash >> 32);
}

static struct merge *merge_slot(const struct bpe *bpe, uint64_t pair)
{
    size_t i = hash_pair(pair) & bpe->merges_mask;
    while (bpe->merges[i].result >= 0 && bpe->merges[i].pair != pair)
        i = (i + 1) & bpe->merges_mask;
    return &bpe->merges[i];
}

static uint64_t *join_slot(const struct pair_set *set, uint64_t pair)
{
    size_t i = hash_pair(pair) & set->mask;
    while (set->slots[i] != NO_PAIR && set->slots[i] != pair)
        i = (i + 1) & set->mask;
    return &set->slots[i];
}

static bool joins(const struct bpe *bpe, int32_t left, int32_t right)
{
    return *join_slot(&bpe->joins, make_pair(left, right)) != NO_PAIR;
}

static enum bs_status join_reserve(struct pair_set *set, size_t slots, struct bs_error *err)
{
    struct pair_set grown = {.slots = bs_alloc(slots, sizeof *grown.slots), .mask = slots - 1};
    if (!grown.slots)
        return bs_fail_memory(err);
    for (size_t i = 0; i < slots; i++)
        grown.slots[i] = NO_PAIR;
    for (size_t i = 0; set->slots && i <= set->mask; i++)
        if (set->slots[i] != NO_PAIR)
            *join_slot(&grown, set->slots[i]) = set->slots[i];
    grown.count = set->count;
    bs_free(set->slots);
    *set = grown;
    return BS_OK;
}

static enum bs_status join_add(struct pair_set *set, uint64_t pair, struct bs_error *err)
{
    uint64_t *slot = join_slot(set, pair);
    if (*slot == pair)
        return BS_OK;
    *slot = pair;
    return 2 * ++set->count > set->mask ? join_reserve(set, 2 * (set->mask + 1), err) : BS_OK;
}

/* The symbol of a character, -1 where the vocabulary has none. */
static int32_t symbol_of(const struct bpe *bpe, const struct bs_vocabulary *vocabulary,
                         const char *character, size_t bytes)
{
    if (bytes <= 2)
        return bpe->direct[bs_utf8_decode(character)];
    return bs_vocabulary_id(vocabulary, character, bytes);
}

/* True for a token that a word may begin with though it is no character: one that stands for a
 * byte, or for what is unknown. */
static bool is_odd_symbol(const struct bpe *bpe, const struct name *name, int32_t id)
{
    return (bpe->byte_fallback && name->size > 3 && !memcmp(name->text, "<0x", 3)) ||
           (bpe->has_unknown && bpe->unknown == id);
}

/* Notes which symbols the merge of `left` and `right` may join: the last character of the one and
 * the first of the other, and the tokens themselves where a word may begin with them as they are. */
static enum bs_status add_joins(struct bpe *bpe, const struct bs_vocabulary *vocabulary,
                                const struct name names[2], const int32_t ids[2],
                                struct bs_error *err)
{
    const struct name *left = &names[0], *right = &names[1];
    size_t last = left->size;
    while (last > 0 && ((unsigned char)left->text[--last] & 0xc0) == 0x80)
        continue;
    int32_t before[2] = {-1, ids[0]}, behind[2] = {-1, ids[1]};
    if (left->size)
        before[0] = symbol_of(bpe, vocabulary, left->text + last, left->size - last);
    if (right->size)
        behind[0] = symbol_of(bpe, vocabulary, right->text, bs_utf8_bytes(*right->text));
    int num_before = is_odd_symbol(bpe, left, ids[0]) ? 2 : 1;
    int num_behind = is_odd_symbol(bpe, right, ids[1]) ? 2 : 1;
    for (int b = 0; b < num_before; b++)
        for (int a = 0; a < num_behind; a++)
            if (before[b] >= 0 && behind[a] >= 0 &&
                join_add(&bpe->joins, make_pair(before[b], behind[a]), err))
                return err->status;
    return BS_OK;
}

/* A buffer for names, used again from merge to merge. */
struct buffer {
    char *text;
    size_t capacity;
};

/* Splits a merge, "a b" or ["a", "b"], into the names left, right and joined, side by side in
 * `buffer`. */
static enum bs_status merge_names(const char *place, const json_t *merge, size_t rank,
                                  struct buffer *buffer, struct name names[3], struct bs_error *err)
{
    struct name left = {NULL, 0}, right = {NULL, 0};
    if (json_is_string(merge)) {
        const char *line = json_string_value(merge);
        size_t size = json_string_length(merge);
        const char *space = memchr(line, ' ', size), *end = line + size;
        if (space && !memchr(space + 1, ' ', (size_t)(end - space - 1))) {
            left = (struct name){line, (size_t)(space - line)};
            right = (struct name){space + 1, (size_t)(end - space - 1)};
        }
    } else if (json_array_size(merge) == 2) {
        const json_t *first = json_array_get(merge, 0), *second = json_array_get(merge, 1);
        left = (struct name){json_string_value(first), json_string_length(first)};
        right = (struct name){json_string_value(second), json_string_length(second)};
    }
    if (!left.text || !right.text)
        return bs_fail(err, BS_EDATA, "%s: merges: entry %zu is no pair of tokens", place, rank);

    size_t needed = left.size + right.size;
    if (needed > buffer->capacity || !buffer->text) {
        char *grown = bs_realloc(buffer->text, 0, 2 * needed + 1, 1);
        if (!grown)
            return bs_fail_memory(err);
        *buffer = (struct buffer){.text = grown, .capacity = 2 * needed + 1};
    }
    memcpy(buffer->text, left.text, left.size);
    memcpy(buffer->text + left.size, right.text, right.size);
    names[0] = (struct name){buffer->text, left.size};
    names[1] = (struct name){buffer->text + left.size, right.size};
    names[2] = (struct name){buffer->text, needed};
    return BS_OK;
}

static enum bs_status read_merge(const char *place, const struct bs_vocabulary *vocabulary,
                                 const json_t *merge, size_t rank, struct buffer *buffer,
                                 struct bpe *bpe, struct bs_error *err)
{
    struct name names[3] = {{NULL, 0}};
    const char *line = json_string_value(merge);
    int32_t ids[3];
    if (line && !strncmp(line, "#version", 8))
        return BS_OK; /* a first line that was kept from merges.txt */
    if (merge_names(place, merge, rank, buffer, names, err))
        return err->status;
    for (int i = 0; i < 3; i++) {
        ids[i] = bs_vocabulary_id(vocabulary, names[i].text, names[i].size);
        if (ids[i] < 0)
            return bs_fail(err, BS_EDATA, "%s: merges: entry %zu: '%.*s' is not in vocab", place,
                           rank, (int)(names[i].size < 200 ? names[i].size : 200), names[i].text);
    }
    /* of two merges of one pair the last one counts, as in the tokenizers library */
    uint64_t pair = make_pair(ids[0], ids[1]);
    *merge_slot(bpe, pair) = (struct merge){.pair = pair, .rank = (uint32_t)rank, .result = ids[2]};
    return add_joins(bpe, vocabulary, names, ids, err);
}

static enum bs_status read_merges(const char *place, const struct bs_vocabulary *vocabulary,
                                  const json_t *merges, struct bpe *bpe, struct bs_error *err)
{
    size_t count = json_array_size(merges);
    if (count > UINT32_MAX)
        return bs_fail(err, BS_EDATA, "%s: merges: %zu are too many", place, count);
    size_t slots = table_slots(count);
    bpe->merges = bs_alloc(slots, sizeof *bpe->merges);
    if (!bpe->merges)
        return bs_fail_memory(err);
    bpe->merges_mask = slots - 1;
    for (size_t i = 0; i < slots; i++)
        bpe->merges[i].result = -1;
    struct buffer buffer = {0};
    enum bs_status status = join_reserve(&bpe->joins, 1024, err);
    for (size_t rank = 0; rank < count && !status; rank++)
        status =
            read_merge(place, vocabulary, json_array_get(merges, rank), rank, &buffer, bpe, err);
    bs_free(buffer.text);
    return status;
}

static enum bs_status read_vocab(const char *place, json_t *vocab,
                                 struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    const char *token;
    json_t *value;
    size_t size, bytes = 0;
    json_object_keylen_foreach(vocab, token, size, value)
    {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= INT32_MAX)
            return bs_fail(err, BS_EDATA, "%s: vocab: '%.200s' has no valid id", place, token);
        bytes += size;
    }
    *vocabulary = bs_vocabulary_create(json_object_size(vocab), bytes);
    if (!*vocabulary)
        return bs_fail_memory(err);
    json_object_keylen_foreach(vocab, token, size, value)
        bs_vocabulary_add(*vocabulary, token, size, (int32_t)json_integer_value(value));
    return bs_vocabulary_finish(*vocabulary, err);
}

static enum bs_status read_flag(const char *place, const json_t *model, const char *key, bool *flag,
                                struct bs_error *err)
{
    const json_t *value = json_object_get(model, key);
    if (value && !json_is_boolean(value) && !json_is_null(value))
        return bs_fail(err, BS_EDATA, "%s: model: %s is not true or false", place, key);
    *flag = json_is_true(value);
    return BS_OK;
}

/* The options of the model; those that are only known switched off must be. */
static enum bs_status read_options(const char *place, json_t *model,
                                   const struct bs_vocabulary *vocabulary, struct bpe *bpe,
                                   struct bs_error *err)
{
    static const char *const known[] = {"type",
                                        "vocab",
                                        "merges",
                                        "dropout",
                                        "unk_token",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "continuing_subword_prefix",
                                        "ignore_merges",
                                        "end_of_word_suffix",
                                        NULL};
    static const char *const unset[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix"};
    if (bs_json_check_keys(place, model, known, err))
        return err->status;
    for (size_t i = 0; i < sizeof unset / sizeof unset[0]; i++) {
        const json_t *value = json_object_get(model, unset[i]);
        const char *text = json_string_value(value);
        if (value && !json_is_null(value) && !(text && !*text) &&
            !(json_is_number(value) && json_number_value(value) == 0))
            return bs_fail(err, BS_EUNSUPPORTED, "%s: model: %s is not supported", place, unset[i]);
    }
    if (read_flag(place, model, "fuse_unk", &bpe->fuse_unknown, err) ||
        read_flag(place, model, "byte_fallback", &bpe->byte_fallback, err) ||
        read_flag(place, model, "ignore_merges", &bpe->ignore_merges, err))
        return err->status;
    const json_t *unknown = json_object_get(model, "unk_token");
    if (unknown && !json_is_null(unknown) && !json_is_string(unknown))
        return bs_fail(err, BS_EDATA, "%s: model: unk_token is no string", place);
    bpe->has_unknown = json_is_string(unknown);
    if (bpe->has_unknown)
        bpe->unknown =
            bs_vocabulary_id(vocabulary, json_string_value(unknown), json_string_length(unknown));
    if (bpe->byte_fallback)
        bs_byte_tokens(vocabulary, bpe->byte_tokens);
    return BS_OK;
}

void bs_byte_tokens(const struct bs_vocabulary *vocabulary, int32_t ids[256])
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        int size = snprintf(name, sizeof name, "<0x%02X>", byte);
        ids[byte] = bs_vocabulary_id(vocabulary, name, (size_t)size);
    }
}

static enum bs_status bpe_fill(const char *place, json_t *model, struct bpe *bpe,
                               struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    json_t *vocab = json_object_get(model, "vocab");
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_object(vocab))
        return bs_fail(err, BS_EDATA, "%s: model: vocab is missing or no object", place);
    if (!json_is_array(merges))
        return bs_fail(err, BS_EDATA, "%s: model: merges is missing or no list", place);
    if (read_vocab(place, vocab, vocabulary, err) ||
        read_options(place, model, *vocabulary, bpe, err))
        return err->status;
    for (uint32_t c = 0; c < DIRECT_CHARACTERS; c++) {
        char text[4];
        bpe->direct[c] = bs_vocabulary_id(*vocabulary, text, bs_utf8_encode(c, text));
    }
    return read_merges(place, *vocabulary, merges, bpe, err);
}

static enum bs_status bpe_read(const char *place, json_t *model, void **state,
                               struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    struct bpe *bpe = *state = bs_calloc(1, sizeof *bpe);
    return bpe ? bpe_fill(place, model, bpe, vocabulary, err) : bs_fail_memory(err);
}

static void bpe_free(void *state)
{
    struct bpe *bpe = state;
    if (!bpe)
        return;
    bs_free(bpe->merges);
    bs_free(bpe->joins.slots);
    bs_free(bpe);
}

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

/* --- encoding --- */

/* Room for a chunk of `count` symbols. It starts with count - 1 pairs, and each of at most count - 1
 * merges takes one away and makes two new ones: the heap holds less than 2 * count entries. */
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
static const struct merge *find_merge(const struct bpe *bpe, const struct symbol *symbols,
                                      int32_t position)
{
    int32_t next = symbols[position].next;
    if (symbols[position].id < 0 || next < 0)
        return NULL;
    const struct merge *slot = merge_slot(bpe, make_pair(symbols[position].id, symbols[next].id));
    return slot->result >= 0 ? slot : NULL;
}

static void push_merge(const struct bpe *bpe, struct bpe_work *work, int32_t position)
{
    const struct merge *merge = find_merge(bpe, work->symbols, position);
    if (merge)
        heap_push(work, (uint64_t)merge->rank << 32 | (uint32_t)position);
}

static void merge_chunk(const struct bpe *bpe, struct bpe_work *work)
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
        const struct merge *merge = find_merge(bpe, symbols, position);
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
static enum bs_status encode_chunk(const struct bpe *bpe, struct bpe_work *work,
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

/* Puts a symbol behind the chunk, or encodes the chunk and begins a new one with it. */
static enum bs_status add_symbol(const struct bpe *bpe, struct bpe_work *work, int32_t id,
                                 struct bs_ids *list, struct bs_error *err)
{
    struct bs_ids *chunk = &work->chunk;
    if (chunk->count && !joins(bpe, chunk->ids[chunk->count - 1], id) &&
        encode_chunk(bpe, work, list, err))
        return err->status;
    return bs_ids_append(chunk, id, err);
}

/* True where each byte of a character has a token. */
static bool has_byte_tokens(const struct bpe *bpe, const char *character, size_t bytes)
{
    bool all = bpe->byte_fallback;
    for (size_t i = 0; all && i < bytes; i++)
        all = bpe->byte_tokens[(unsigned char)character[i]] >= 0;
    return all;
}

/* An unknown token waits while *pending is set: the library adds it
 * before the next character that is, behind any byte tokens that come between. */
static enum bs_status add_unknown(const struct bpe *bpe, struct bpe_work *work, bool *pending,
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

static enum bs_status add_character(const struct bpe *bpe, const struct bs_vocabulary *vocabulary,
                                    struct bpe_work *work, const char *character, size_t bytes,
                                    bool *pending, struct bs_ids *list, struct bs_error *err)
{
    int32_t id = symbol_of(bpe, vocabulary, character, bytes);
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
    const struct bpe *bpe = state;
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
    .read = bpe_read,
    .free = bpe_free,
    .work_create = bpe_work_create,
    .work_free = bpe_work_free,
    .encode = bpe_encode,
};
