/* Reads the BPE model of a tokenizer.json: vocabulary, options, merges, and which symbols a merge
 * may join. */
#include "eval/tokenizer/bpe_internal.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/json.h"
#include "eval/base/mem.h"

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

static enum bs_status join_reserve(struct bs_pair_set *set, size_t slots, struct bs_error *err)
{
    struct bs_pair_set grown = {.slots = bs_alloc(slots, sizeof *grown.slots), .mask = slots - 1};
    if (!grown.slots)
        return bs_fail_memory(err);
    for (size_t i = 0; i < slots; i++)
        grown.slots[i] = BS_NO_PAIR;
    for (size_t i = 0; set->slots && i <= set->mask; i++)
        if (set->slots[i] != BS_NO_PAIR)
            *bs_bpe_join_slot(&grown, set->slots[i]) = set->slots[i];
    grown.count = set->count;
    bs_free(set->slots);
    *set = grown;
    return BS_OK;
}

static enum bs_status join_add(struct bs_pair_set *set, uint64_t pair, struct bs_error *err)
{
    uint64_t *slot = bs_bpe_join_slot(set, pair);
    if (*slot == pair)
        return BS_OK;
    *slot = pair;
    return 2 * ++set->count > set->mask ? join_reserve(set, 2 * (set->mask + 1), err) : BS_OK;
}

/* True for a token that a word may begin with though it is no character: one that stands for a
 * byte, or for what is unknown. */
static bool is_odd_symbol(const struct bs_bpe *bpe, const struct name *name, int32_t id)
{
    return (bpe->byte_fallback && name->size > 3 && !memcmp(name->text, "<0x", 3)) ||
           (bpe->has_unknown && bpe->unknown == id);
}

/* Notes which symbols the merge of `left` and `right` may join: the last character of the one and
 * the first of the other, and the tokens themselves where a word may begin with them as they
 * are. */
static enum bs_status add_joins(struct bs_bpe *bpe, const struct bs_vocabulary *vocabulary,
                                const struct name names[2], const int32_t ids[2],
                                struct bs_error *err)
{
    const struct name *left = &names[0], *right = &names[1];
    size_t last = left->size;
    while (last > 0 && ((unsigned char)left->text[--last] & 0xc0) == 0x80)
        continue;
    int32_t before[2] = {-1, ids[0]}, after[2] = {-1, ids[1]};
    if (left->size)
        before[0] = bs_bpe_symbol_of(bpe, vocabulary, left->text + last, left->size - last);
    if (right->size)
        after[0] = bs_bpe_symbol_of(bpe, vocabulary, right->text, bs_utf8_bytes(*right->text));
    int num_before = is_odd_symbol(bpe, left, ids[0]) ? 2 : 1;
    int num_after = is_odd_symbol(bpe, right, ids[1]) ? 2 : 1;
    for (int b = 0; b < num_before; b++)
        for (int a = 0; a < num_after; a++)
            if (before[b] >= 0 && after[a] >= 0 &&
                join_add(&bpe->joins, bs_bpe_pair(before[b], after[a]), err))
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
                                 struct bs_bpe *bpe, struct bs_error *err)
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
    uint64_t pair = bs_bpe_pair(ids[0], ids[1]);
    *bs_bpe_merge_slot(bpe, pair) =
        (struct bs_merge){.pair = pair, .rank = (uint32_t)rank, .result = ids[2]};
    return add_joins(bpe, vocabulary, names, ids, err);
}

static enum bs_status read_merges(const char *place, const struct bs_vocabulary *vocabulary,
                                  const json_t *merges, struct bs_bpe *bpe, struct bs_error *err)
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
                                   const struct bs_vocabulary *vocabulary, struct bs_bpe *bpe,
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

static enum bs_status bpe_fill(const char *place, json_t *model, struct bs_bpe *bpe,
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
    for (uint32_t c = 0; c < BS_DIRECT_CHARACTERS; c++) {
        char text[4];
        bpe->direct[c] = bs_vocabulary_id(*vocabulary, text, bs_utf8_encode(c, text));
    }
    return read_merges(place, *vocabulary, merges, bpe, err);
}

enum bs_status bs_bpe_read(const char *place, json_t *model, void **state,
                           struct bs_vocabulary **vocabulary, struct bs_error *err)
{
    struct bs_bpe *bpe = *state = bs_calloc(1, sizeof *bpe);
    return bpe ? bpe_fill(place, model, bpe, vocabulary, err) : bs_fail_memory(err);
}

void bs_bpe_free(void *state)
{
    struct bs_bpe *bpe = state;
    if (!bpe)
        return;
    bs_free(bpe->merges);
    bs_free(bpe->joins.slots);
    bs_free(bpe);
}
