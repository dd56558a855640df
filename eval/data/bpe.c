/* Byte-level BPE as the tokenizers library has it (models/bpe): the pair with the lowest rank is
 * merged, the leftmost first, until no pair is left. A heap of (rank, position) makes that
 * n log n in the length of a word. Entries that a merge elsewhere has made stale are recognised
 * when they come up. */
#include "eval/data/bpe.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"

#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

enum { CACHE_SLOTS = 4096, CACHE_BYTES = 22, CACHE_IDS = 10 };

/* A slot of the hash table of merges; empty when result is -1. */
struct merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank;
    int32_t result;
};

/* A slot of the hash table of whole words; empty when id is -1. */
struct whole {
    size_t start; /* in bytes */
    uint32_t size;
    int32_t id;
};

struct bs_bpe {
    int32_t byte_ids[256];
    int32_t last_id;
    struct merge *merges;
    size_t merges_mask; /* slots - 1, a power of two less one */
    /* ignore_merges: a word that is in the vocabulary is not merged. NULL where it is off. */
    struct whole *wholes;
    size_t wholes_mask;
    char *whole_bytes;
};

/* A word met before. */
struct cached {
    uint8_t size, count; /* size 0: empty */
    char bytes[CACHE_BYTES];
    int32_t ids[CACHE_IDS];
};

/* A word as a linked list of symbols, each known by the position of its first byte. */
struct symbol {
    int32_t id;             /* -1 once it is part of the one before */
    int32_t previous, next; /* -1 at the ends */
};

struct bs_bpe_work {
    struct cached cache[CACHE_SLOTS];
    struct symbol *symbols;
    uint64_t *heap; /* rank << 32 | position, smallest first */
    size_t capacity, heap_size;
};

enum bs_status bs_ids_reserve(struct bs_ids *list, size_t more, struct bs_error *err)
{
    if (more <= list->capacity - list->count)
        return BS_OK;
    size_t capacity = list->capacity + list->capacity / 2 + more + 64;
    int32_t *grown = bs_realloc(list->ids, list->count, capacity, sizeof *grown);
    if (!grown)
        return bs_fail_memory(err);
    list->ids = grown;
    list->capacity = capacity;
    return BS_OK;
}

/* Byte-level vocabularies spell each byte as a printable character: itself where it is printable in
 * Latin-1, else the next of U+0100, U+0101, ... (openai/gpt-2 encoder.py, bytes_to_unicode). */
static unsigned byte_character(unsigned byte)
{
    unsigned next = 256;
    for (unsigned b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte)
            return printable ? b : next;
        next += !printable;
    }
    return next;
}

/* The characters lie below U+0180: one or two bytes of UTF-8. */
static void character_print(unsigned character, char out[3])
{
    memset(out, 0, 3);
    if (character < 0x80) {
        out[0] = (char)character;
        return;
    }
    out[0] = (char)(0xc0 | character >> 6);
    out[1] = (char)(0x80 | (character & 0x3f));
}

/* Bytes that occur in no UTF-8 text. */
static bool byte_is_unused(unsigned byte) { return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5; }

static enum bs_status read_vocab(const char *place, json_t *vocab, struct bs_bpe *bpe,
                                 struct bs_error *err)
{
    const char *token;
    json_t *value;
    json_object_foreach(vocab, token, value)
    {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value) || id < 0 || id >= INT32_MAX)
            return bs_fail(err, BS_EDATA, "%s: vocab: '%.200s' has no valid id", place, token);
        if ((int32_t)id > bpe->last_id)
            bpe->last_id = (int32_t)id;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char spelled[3];
        character_print(byte_character(byte), spelled);
        const json_t *id = json_object_get(vocab, spelled);
        if (!id && !byte_is_unused(byte))
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: vocab has no token '%s' for byte %u: not a byte-level vocabulary",
                           place, spelled, byte);
        bpe->byte_ids[byte] = (int32_t)json_integer_value(id);
    }
    return BS_OK;
}

/* Smallest power of two above twice the entries: the tables are at most half full. */
static size_t table_slots(size_t entries)
{
    size_t slots = 2;
    while (slots < 2 * entries)
        slots *= 2;
    return slots;
}

static struct merge *merge_slot(const struct bs_bpe *bpe, uint64_t pair)
{
    uint64_t hash = (pair ^ pair >> 32) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(hash >> 32) & bpe->merges_mask;
    while (bpe->merges[i].result >= 0 && bpe->merges[i].pair != pair)
        i = (i + 1) & bpe->merges_mask;
    return &bpe->merges[i];
}

static uint64_t make_pair(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* A buffer for names, used again from merge to merge. */
struct buffer {
    char *text;
    size_t capacity;
};

/* Splits a merge, "a b" or ["a", "b"], into the names left, right and joined. */
static enum bs_status merge_names(const char *place, const json_t *merge, size_t rank,
                                  struct buffer *buffer, const char *names[3], struct bs_error *err)
{
    const char *left = json_string_value(merge), *right = NULL;
    size_t left_size = 0;
    if (left) {
        const char *space = strchr(left, ' ');
        if (space && !strchr(space + 1, ' ')) {
            left_size = (size_t)(space - left);
            right = space + 1;
        }
    } else if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        left_size = left ? strlen(left) : 0;
    }
    if (!left || !right)
        return bs_fail(err, BS_EDATA, "%s: merges: entry %zu is no pair of tokens", place, rank);

    size_t right_size = strlen(right), needed = 2 * (left_size + right_size) + 3;
    if (needed > buffer->capacity) {
        char *grown = bs_realloc(buffer->text, 0, 2 * needed, 1);
        if (!grown)
            return bs_fail_memory(err);
        *buffer = (struct buffer){.text = grown, .capacity = 2 * needed};
    }
    char *out = buffer->text;
    names[0] = memcpy(out, left, left_size);
    out += left_size;
    *out++ = '\0';
    names[1] = memcpy(out, right, right_size + 1);
    out += right_size + 1;
    names[2] = out;
    memcpy(out, left, left_size);
    memcpy(out + left_size, right, right_size + 1);
    return BS_OK;
}

static enum bs_status read_merge(const char *place, json_t *vocab, const json_t *merge, size_t rank,
                                 struct buffer *buffer, struct bs_bpe *bpe, struct bs_error *err)
{
    const char *names[3];
    int32_t ids[3];
    if (merge_names(place, merge, rank, buffer, names, err))
        return err->status;
    for (int i = 0; i < 3; i++) {
        const json_t *id = json_object_get(vocab, names[i]);
        if (!id)
            return bs_fail(err, BS_EDATA, "%s: merges: entry %zu: '%.200s' is not in vocab", place,
                           rank, names[i]);
        ids[i] = (int32_t)json_integer_value(id);
    }
    /* of two merges of one pair the last one counts, as in the tokenizers library */
    uint64_t pair = make_pair(ids[0], ids[1]);
    *merge_slot(bpe, pair) = (struct merge){.pair = pair, .rank = (uint32_t)rank, .result = ids[2]};
    return BS_OK;
}

static enum bs_status read_merges(const char *place, json_t *vocab, const json_t *merges,
                                  struct bs_bpe *bpe, struct bs_error *err)
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
    enum bs_status status = BS_OK;
    for (size_t rank = 0; rank < count && !status; rank++)
        status = read_merge(place, vocab, json_array_get(merges, rank), rank, &buffer, bpe, err);
    bs_free(buffer.text);
    return status;
}

static struct whole *whole_slot(const struct bs_bpe *bpe, const char *word, size_t size)
{
    size_t i = (size_t)XXH3_64bits(word, size) & bpe->wholes_mask;
    for (;; i = (i + 1) & bpe->wholes_mask) {
        struct whole *slot = &bpe->wholes[i];
        if (slot->id < 0 ||
            (slot->size == size && !memcmp(bpe->whole_bytes + slot->start, word, size)))
            return slot;
    }
}

/* Turns a token's spelling into its bytes; false where it has a character that stands for none. */
static bool token_bytes(const char *token, const int16_t *byte_of, char *out, uint32_t *size)
{
    *size = 0;
    while (*token) {
        unsigned first = (unsigned char)*token++, character = first;
        if (first >= 0x80) {
            if (first >= 0xe0)
                return false;
            character = (first & 0x1f) << 6 | ((unsigned char)*token++ & 0x3f);
        }
        if (character >= 512 || byte_of[character] < 0)
            return false;
        out[(*size)++] = (char)byte_of[character];
    }
    return *size > 0;
}

static enum bs_status read_wholes(json_t *vocab, struct bs_bpe *bpe, struct bs_error *err)
{
    size_t slots = table_slots(json_object_size(vocab)), bytes = 0;
    const char *token;
    json_t *value;
    json_object_foreach(vocab, token, value) bytes += strlen(token);
    bpe->wholes = bs_alloc(slots, sizeof *bpe->wholes);
    bpe->whole_bytes = bs_alloc(bytes, 1);
    if (!bpe->wholes || !bpe->whole_bytes)
        return bs_fail_memory(err);
    bpe->wholes_mask = slots - 1;
    for (size_t i = 0; i < slots; i++)
        bpe->wholes[i].id = -1;

    int16_t byte_of[512];
    memset(byte_of, -1, sizeof byte_of);
    for (unsigned byte = 0; byte < 256; byte++)
        byte_of[byte_character(byte)] = (int16_t)byte;
    size_t used = 0;
    json_object_foreach(vocab, token, value)
    {
        uint32_t size;
        if (!token_bytes(token, byte_of, bpe->whole_bytes + used, &size))
            continue;
        *whole_slot(bpe, bpe->whole_bytes + used, size) =
            (struct whole){.start = used, .size = size, .id = (int32_t)json_integer_value(value)};
        used += size;
    }
    return BS_OK;
}

/* Options of the model that would change the ids, and are only known switched off. */
static enum bs_status check_options(const char *place, json_t *model, struct bs_error *err)
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
    /* unk_token, fuse_unk, byte_fallback: for what the vocabulary lacks, and it lacks no byte. */
    static const char *const unset[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix"};
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!type || strcmp(type, "BPE"))
        return bs_fail(err, BS_EUNSUPPORTED, "%s: model type '%.100s' is not supported, only BPE",
                       place, type ? type : "");
    if (bs_json_check_keys(place, model, known, err))
        return err->status;
    for (size_t i = 0; i < sizeof unset / sizeof unset[0]; i++) {
        const json_t *value = json_object_get(model, unset[i]);
        const char *text = json_string_value(value);
        if (value && !json_is_null(value) && !(text && !*text) &&
            !(json_is_number(value) && json_number_value(value) == 0))
            return bs_fail(err, BS_EUNSUPPORTED, "%s: model: %s is not supported", place, unset[i]);
    }
    return BS_OK;
}

static enum bs_status bpe_read(const char *place, json_t *model, struct bs_bpe *bpe,
                               struct bs_error *err)
{
    json_t *vocab = json_object_get(model, "vocab");
    const json_t *merges = json_object_get(model, "merges");
    const json_t *ignore = json_object_get(model, "ignore_merges");
    if (check_options(place, model, err))
        return err->status;
    if (!json_is_object(vocab))
        return bs_fail(err, BS_EDATA, "%s: model: vocab is missing or no object", place);
    if (!json_is_array(merges))
        return bs_fail(err, BS_EDATA, "%s: model: merges is missing or no list", place);
    if (ignore && !json_is_boolean(ignore))
        return bs_fail(err, BS_EDATA, "%s: model: ignore_merges is not true or false", place);
    if (read_vocab(place, vocab, bpe, err) || read_merges(place, vocab, merges, bpe, err))
        return err->status;
    return json_is_true(ignore) ? read_wholes(vocab, bpe, err) : BS_OK;
}

enum bs_status bs_bpe_create(const char *place, json_t *model, struct bs_bpe **bpe,
                             struct bs_error *err)
{
    *bpe = NULL;
    struct bs_bpe *created = bs_calloc(1, sizeof *created);
    if (!created)
        return bs_fail_memory(err);
    enum bs_status status = bpe_read(place, model, created, err);
    if (status)
        bs_bpe_free(created);
    else
        *bpe = created;
    return status;
}

void bs_bpe_free(struct bs_bpe *bpe)
{
    if (!bpe)
        return;
    bs_free(bpe->merges);
    bs_free(bpe->wholes);
    bs_free(bpe->whole_bytes);
    bs_free(bpe);
}

int32_t bs_bpe_last_id(const struct bs_bpe *bpe) { return bpe->last_id; }

struct bs_bpe_work *bs_bpe_work_create(void) { return bs_calloc(1, sizeof(struct bs_bpe_work)); }

void bs_bpe_work_free(struct bs_bpe_work *work)
{
    if (!work)
        return;
    bs_free(work->symbols);
    bs_free(work->heap);
    bs_free(work);
}

/* Room for a word of `size` bytes. It starts with size - 1 pairs and each of at most size - 1
 * merges makes two new ones: the heap holds less than 3 * size entries. */
static enum bs_status work_reserve(struct bs_bpe_work *work, size_t size, struct bs_error *err)
{
    if (size <= work->capacity)
        return BS_OK;
    if (size > INT32_MAX)
        return bs_fail(err, BS_EUNSUPPORTED, "a word of %zu bytes is too long", size);
    bs_free(work->symbols);
    bs_free(work->heap);
    work->capacity = 0;
    work->symbols = bs_alloc(2 * size, sizeof *work->symbols);
    work->heap = bs_alloc(2 * size, 3 * sizeof *work->heap);
    if (!work->symbols || !work->heap)
        return bs_fail_memory(err);
    work->capacity = 2 * size;
    return BS_OK;
}

static void heap_push(struct bs_bpe_work *work, uint64_t entry)
{
    size_t i = work->heap_size++;
    while (i > 0 && work->heap[(i - 1) / 2] > entry) {
        work->heap[i] = work->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    work->heap[i] = entry;
}

static uint64_t heap_pop(struct bs_bpe_work *work)
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
static const struct merge *find_merge(const struct bs_bpe *bpe, const struct symbol *symbols,
                                      int32_t position)
{
    int32_t next = symbols[position].next;
    if (symbols[position].id < 0 || next < 0)
        return NULL;
    const struct merge *slot = merge_slot(bpe, make_pair(symbols[position].id, symbols[next].id));
    return slot->result >= 0 ? slot : NULL;
}

static void push_merge(const struct bs_bpe *bpe, struct bs_bpe_work *work, int32_t position)
{
    const struct merge *merge = find_merge(bpe, work->symbols, position);
    if (merge)
        heap_push(work, (uint64_t)merge->rank << 32 | (uint32_t)position);
}

static void merge_word(const struct bs_bpe *bpe, struct bs_bpe_work *work, const char *word,
                       int32_t size)
{
    struct symbol *symbols = work->symbols;
    for (int32_t i = 0; i < size; i++)
        symbols[i] = (struct symbol){.id = bpe->byte_ids[(unsigned char)word[i]],
                                     .previous = i - 1,
                                     .next = i + 1 < size ? i + 1 : -1};
    work->heap_size = 0;
    for (int32_t i = 0; i < size; i++)
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

static struct cached *cache_slot(struct bs_bpe_work *work, const char *word, size_t size)
{
    return &work->cache[XXH3_64bits(word, size) % CACHE_SLOTS];
}

enum bs_status bs_bpe_encode(const struct bs_bpe *bpe, struct bs_bpe_work *work, const char *word,
                             size_t size, struct bs_ids *list, struct bs_error *err)
{
    if (bs_ids_reserve(list, size, err))
        return err->status;
    int32_t *ids = list->ids + list->count;
    struct cached *cached = size <= CACHE_BYTES ? cache_slot(work, word, size) : NULL;
    if (cached && cached->size == size && !memcmp(cached->bytes, word, size)) {
        memcpy(ids, cached->ids, cached->count * sizeof *ids);
        list->count += cached->count;
        return BS_OK;
    }

    size_t count = 0;
    const struct whole *whole = bpe->wholes ? whole_slot(bpe, word, size) : NULL;
    if (whole && whole->id >= 0) {
        ids[count++] = whole->id;
    } else {
        if (work_reserve(work, size, err))
            return err->status;
        merge_word(bpe, work, word, (int32_t)size);
        for (int32_t i = 0; i >= 0 && size > 0; i = work->symbols[i].next)
            ids[count++] = work->symbols[i].id;
    }
    list->count += count;
    if (cached && size > 0 && count <= CACHE_IDS) {
        cached->size = (uint8_t)size;
        cached->count = (uint8_t)count;
        memcpy(cached->bytes, word, size);
        memcpy(cached->ids, ids, count * sizeof *ids);
    }
    return BS_OK;
}
