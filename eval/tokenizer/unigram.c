/* Unigram as the tokenizers library has it (models/unigram): the way through the word whose tokens'
 * scores have the largest sum (Viterbi), the first found of equal ones. A character without a token
 * of its own costs the least score less ten; neighbours that are unknown become one, then the
 * tokens of their bytes where byte_fallback is set and has them all. */
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/trie.h"
#include "eval/tokenizer/word_model.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <xxhash.h>

enum { CACHE_SLOTS = 8192, CACHE_BYTES = 30, CACHE_IDS = 8 };

static const double unknown_penalty = 10;

struct unigram {
    struct bs_trie *trie;
    double *scores; /* by id */
    size_t count;
    double unknown_score;
    int32_t unknown; /* -1: there is none */
    bool byte_fallback;
    int32_t byte_tokens[256];
};

/* The best way that ends at a place: its last token, which begins at `start`. */
struct node {
    double score;
    uint32_t start; /* NOWHERE: no way ends here */
    int32_t id;
};
#define NOWHERE UINT32_MAX

/* A word met before. */
struct cached {
    uint8_t size, count; /* size 0: empty */
    char bytes[CACHE_BYTES];
    int32_t ids[CACHE_IDS];
};

struct unigram_work {
    struct cached cache[CACHE_SLOTS];
    struct node *nodes;
    size_t capacity;
};

/* --- reading --- */

static enum bs_status read_entry(const char *place, const json_t *entry, size_t id, size_t *size,
                                 double *score, struct bs_error *err)
{
    const json_t *number = json_array_get(entry, 1), *token = json_array_get(entry, 0);
    *size = json_string_length(token);
    *score = json_number_value(number);
    if (json_array_size(entry) != 2 || !json_is_string(token) || !json_is_number(number) ||
        !isfinite(*score))
        return bs_fail(err, BS_EDATA, "%s: vocab: entry %zu is no pair of a token and a score",
                       place, id);
    return BS_OK;
}

static enum bs_status read_vocab(const char *place, const json_t *vocab, struct unigram *unigram,
                                 struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    size_t count = json_array_size(vocab), bytes = 0, size;
    double least = INFINITY;
    if (count >= INT32_MAX)
        return bs_fail(err, BS_EDATA, "%s: vocab: %zu tokens are too many", place, count);
    unigram->count = count;
    unigram->scores = bs_alloc(count, sizeof *unigram->scores);
    if (!unigram->scores)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (read_entry(place, json_array_get(vocab, i), i, &size, &unigram->scores[i], err))
            return err->status;
        bytes += size;
        least = fmin(least, unigram->scores[i]);
    }
    unigram->unknown_score = least - unknown_penalty;
    *vocabulary = bs_vocabulary_create(count, bytes);
    if (!*vocabulary)
        return bs_fail_memory(err);
    for (size_t i = 0; i < count; i++) {
        const json_t *token = json_array_get(json_array_get(vocab, i), 0);
        bs_vocabulary_add(*vocabulary, json_string_value(token), json_string_length(token),
                          (int32_t)i);
    }
    return bs_vocabulary_finish(*vocabulary, err);
}

static enum bs_status build_trie(const struct bs_vocabulary *vocabulary, struct unigram *unigram,
                                 struct bs_error *err)
{
    struct bs_trie_key *keys = bs_alloc(unigram->count, sizeof *keys);
    size_t count = 0;
    if (!keys)
        return bs_fail_memory(err);
    for (size_t i = 0; i < unigram->count; i++) {
        keys[count].value = (int32_t)i;
        keys[count].text = bs_vocabulary_token(vocabulary, (int32_t)i, &keys[count].size);
        count += keys[count].text != NULL; /* one spelled twice has the later id */
    }
    unigram->trie = bs_trie_create(keys, count);
    bs_free(keys);
    return unigram->trie ? BS_OK : bs_fail_memory(err);
}

static enum bs_status unigram_fill(const char *place, json_t *model, struct unigram *unigram,
                                   struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    static const char *const known[] = {"type", "vocab", "unk_id", "byte_fallback", NULL};
    const json_t *vocab = json_object_get(model, "vocab");
    const json_t *unknown = json_object_get(model, "unk_id");
    const json_t *fallback = json_object_get(model, "byte_fallback");
    if (bs_json_check_keys(place, model, known, err))
        return err->status;
    if (!json_is_array(vocab))
        return bs_fail(err, BS_EDATA, "%s: model: vocab is missing or no list", place);
    if (fallback && !json_is_boolean(fallback) && !json_is_null(fallback))
        return bs_fail(err, BS_EDATA, "%s: model: byte_fallback is not true or false", place);
    if (read_vocab(place, vocab, unigram, vocabulary, err))
        return err->status;
    unigram->unknown = -1;
    if (unknown && !json_is_null(unknown)) {
        json_int_t id = json_integer_value(unknown);
        if (!json_is_integer(unknown) || id < 0 || (size_t)id >= unigram->count)
            return bs_fail(err, BS_EDATA, "%s: model: unk_id is no id of vocab", place);
        unigram->unknown = (int32_t)id;
    }
    unigram->byte_fallback = json_is_true(fallback);
    bs_byte_tokens(*vocabulary, unigram->byte_tokens);
    return build_trie(*vocabulary, unigram, err);
}

static enum bs_status unigram_read(const char *place, json_t *model, void **state,
                                   struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    struct unigram *unigram = *state = bs_calloc(1, sizeof *unigram);
    return unigram ? unigram_fill(place, model, unigram, vocabulary, err) : bs_fail_memory(err);
}

static void unigram_free(void *state)
{
    struct unigram *unigram = state;
    if (!unigram)
        return;
    bs_trie_free(unigram->trie);
    bs_free(unigram->scores);
    bs_free(unigram);
}

static void *unigram_work_create(void) { return bs_calloc(1, sizeof(struct unigram_work)); }

static void unigram_work_free(void *state)
{
    struct unigram_work *work = state;
    if (!work)
        return;
    bs_free(work->nodes);
    bs_free(work);
}

/* --- encoding --- */

static enum bs_status work_reserve(struct unigram_work *work, size_t count, struct bs_error *err)
{
    if (count <= work->capacity)
        return BS_OK;
    size_t capacity = count + (count < 1 << 16 ? count : 0);
    bs_free(work->nodes);
    work->capacity = 0;
    work->nodes = bs_alloc(capacity, sizeof *work->nodes);
    if (!work->nodes)
        return bs_fail_memory(err);
    work->capacity = capacity;
    return BS_OK;
}

static void reach(struct node *node, double score, size_t start, int32_t id)
{
    if (node->start == NOWHERE || score > node->score)
        *node = (struct node){.score = score, .start = (uint32_t)start, .id = id};
}

/* Fills nodes[0 .. size]. */
static enum bs_status find_ways(const struct unigram *unigram, const char *word, size_t size,
                                struct node *nodes, struct bs_error *err)
{
    for (size_t i = 0; i <= size; i++)
        nodes[i].start = NOWHERE;
    nodes[0].score = 0;
    for (size_t at = 0, bytes; at < size; at += bytes) {
        bool single = false;
        double score = nodes[at].score;
        bytes = bs_utf8_bytes(word[at]);
        uint32_t node = 0;
        for (size_t end = at; end < size; end++) {
            node = bs_trie_child(unigram->trie, node, word[end]);
            if (!node)
                break;
            int32_t id = unigram->trie->nodes[node].value;
            if (id < 0)
                continue;
            reach(&nodes[end + 1], unigram->scores[id] + score, at, id);
            single = single || end + 1 - at == bytes;
        }
        if (single)
            continue;
        if (unigram->unknown < 0)
            return bs_fail(err, BS_EDATA,
                           "the text has a character that is not in vocab, and there is no unk_id");
        reach(&nodes[at + bytes], unigram->unknown_score + score, at, unigram->unknown);
    }
    return BS_OK;
}

/* Appends the ids of a piece that is unknown on the way, the last one first: the way is walked from
 * its end. Joined, it may be a token after all. */
static enum bs_status add_piece(const struct unigram *unigram,
                                const struct bs_vocabulary *vocabulary, const char *piece,
                                size_t size, struct bs_ids *list, struct bs_error *err)
{
    int32_t id = bs_vocabulary_id(vocabulary, piece, size);
    if (id >= 0)
        return bs_ids_append(list, id, err);
    bool bytes = unigram->byte_fallback;
    for (size_t i = 0; bytes && i < size; i++)
        bytes = unigram->byte_tokens[(unsigned char)piece[i]] >= 0;
    if (!bytes)
        return bs_ids_append(list, unigram->unknown, err);
    if (bs_ids_reserve(list, size, err))
        return err->status;
    for (size_t i = size; i > 0; i--)
        list->ids[list->count++] = unigram->byte_tokens[(unsigned char)piece[i - 1]];
    return BS_OK;
}

static enum bs_status add_way(const struct unigram *unigram, const struct bs_vocabulary *vocabulary,
                              const char *word, size_t size, const struct node *nodes,
                              struct bs_ids *list, struct bs_error *err)
{
    size_t first = list->count;
    for (size_t end = size, start; end > 0; end = start) {
        const struct node *node = &nodes[end];
        start = node->start;
        while (node->id == unigram->unknown && start > 0 && nodes[start].id == unigram->unknown)
            start = nodes[start].start;
        if (node->id != unigram->unknown) {
            if (bs_ids_append(list, node->id, err))
                return err->status;
        } else if (add_piece(unigram, vocabulary, word + start, end - start, list, err)) {
            return err->status;
        }
    }
    for (size_t low = first, high = list->count; low + 1 < high; low++) {
        int32_t id = list->ids[low];
        list->ids[low] = list->ids[--high];
        list->ids[high] = id;
    }
    return BS_OK;
}

static enum bs_status unigram_encode(const void *state, const struct bs_vocabulary *vocabulary,
                                     void *work_state, const char *word, size_t size,
                                     struct bs_ids *list, struct bs_error *err)
{
    const struct unigram *unigram = state;
    struct unigram_work *work = work_state;
    struct cached *cached = NULL;
    if (size <= CACHE_BYTES) {
        cached = &work->cache[XXH3_64bits(word, size) % CACHE_SLOTS];
        if (cached->size == size && !memcmp(cached->bytes, word, size)) {
            if (bs_ids_reserve(list, cached->count, err))
                return err->status;
            memcpy(list->ids + list->count, cached->ids, cached->count * sizeof *cached->ids);
            list->count += cached->count;
            return BS_OK;
        }
    }
    if (size > INT32_MAX)
        return bs_fail(err, BS_EUNSUPPORTED, "a word of %zu bytes is too long", size);
    size_t first = list->count;
    if (work_reserve(work, size + 1, err) || find_ways(unigram, word, size, work->nodes, err) ||
        add_way(unigram, vocabulary, word, size, work->nodes, list, err))
        return err->status;
    size_t count = list->count - first;
    if (cached && count <= CACHE_IDS) {
        cached->size = (uint8_t)size;
        cached->count = (uint8_t)count;
        memcpy(cached->bytes, word, size);
        memcpy(cached->ids, list->ids + first, count * sizeof *cached->ids);
    }
    return BS_OK;
}

const struct bs_word_model bs_unigram_model = {
    .type = "Unigram",
    .read = unigram_read,
    .free = unigram_free,
    .work_create = unigram_work_create,
    .work_free = unigram_work_free,
    .encode = unigram_encode,
};
