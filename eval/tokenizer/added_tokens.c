/* As the tokenizers library has it (tokenizer/added_vocabulary): special tokens rank before others,
 * and what one match has passed over is not looked at again even where it is refused for standing
 * within a word. */
#include "eval/tokenizer/added_tokens.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/trie.h"
#include "eval/tokenizer/unicode.h"

#include <string.h>

enum { PASSES = 2 }; /* those not `normalized`, and those that are */

struct added {
    const char *text; /* borrowed from the bytes */
    size_t size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
};

struct bs_added_tokens {
    struct added *tokens;
    size_t count;
    char *bytes;
    int32_t last_id;
    struct bs_trie *tries[PASSES]; /* values are indices of tokens */
    struct bs_pattern *word;       /* a character of a word; NULL where no token asks */
    bool split_special;            /* special tokens are not looked for */
};

/* --- reading --- */

static enum bs_status read_flags(const char *place, const json_t *object, struct added *token,
                                 struct bs_error *err)
{
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized},
                 {"special", &token->special}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const json_t *value = json_object_get(object, flags[i].key);
        if (value && !json_is_boolean(value))
            return bs_fail(err, BS_EDATA, "%s: added token '%.200s': %s is not true or false",
                           place, token->text, flags[i].key);
        *flags[i].flag = json_is_true(value);
    }
    return BS_OK;
}

/* Content, id and flags of one token; `text` points into the JSON. */
static enum bs_status read_token(const char *place, json_t *object, struct added *token,
                                 struct bs_error *err)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    const json_t *value = json_object_get(object, "id");
    json_int_t id = json_integer_value(value);
    const json_t *content = json_object_get(object, "content");
    token->text = json_string_value(content);
    if (!token->text || !json_is_integer(value) || id < 0 || id >= INT32_MAX)
        return bs_fail(err, BS_EDATA, "%s: added_tokens: '%.200s' has no valid id or content",
                       place, token->text ? token->text : "");
    token->size = json_string_length(content);
    token->id = (int32_t)id;
    if (bs_json_check_keys(place, object, known, err))
        return err->status;
    return read_flags(place, object, token, err);
}

static enum bs_status check_id(const char *place, const struct bs_vocabulary *vocabulary,
                               const struct added *token, int32_t *next_id, struct bs_error *err)
{
    int32_t id = bs_vocabulary_id(vocabulary, token->text, token->size);
    if (id >= 0 && id != token->id)
        return bs_fail(err, BS_EDATA, "%s: added token '%.200s' has id %d, but %d in vocab", place,
                       token->text, (int)token->id, (int)id);
    if (id < 0 && token->id != *next_id)
        return bs_fail(err, BS_EDATA,
                       "%s: added token '%.200s' has id %d, but the next free one after vocab is "
                       "%d",
                       place, token->text, (int)token->id, (int)*next_id);
    *next_id += id < 0;
    return BS_OK;
}

/* The index of the token spelled like this one among the first `count`, or `count`. */
static size_t find_twin(const struct added *tokens, size_t count, const struct added *token)
{
    size_t i = 0;
    while (i < count && (tokens[i].id != token->id || tokens[i].size != token->size ||
                         memcmp(tokens[i].text, token->text, token->size)))
        i++;
    return i;
}

static enum bs_status read_tokens(const char *place, const json_t *list,
                                  const struct bs_vocabulary *vocabulary,
                                  struct bs_added_tokens *added, struct bs_error *err)
{
    size_t bytes = 0;
    int32_t next_id = (int32_t)bs_vocabulary_count(vocabulary), highest = -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct added token;
        if (read_token(place, json_array_get(list, i), &token, err))
            return err->status;
        if (token.id > added->last_id)
            added->last_id = token.id;
        if (token.size == 0)
            continue; /* the library passes over an empty one, too */
        /* Ids go up, so only one that does not may have been there before. */
        if (token.id <= highest && find_twin(added->tokens, added->count, &token) < added->count)
            return bs_fail(err, BS_EDATA, "%s: added token '%.200s' stands there twice", place,
                           token.text);
        if (token.id > highest)
            highest = token.id;
        if (check_id(place, vocabulary, &token, &next_id, err))
            return err->status;
        bytes += token.size + 1;
        added->tokens[added->count++] = token;
    }
    char *at = added->bytes = bs_alloc(bytes, 1);
    if (!at)
        return bs_fail_memory(err);
    for (size_t i = 0; i < added->count; i++) {
        struct added *token = &added->tokens[i];
        token->text = memcpy(at, token->text, token->size + 1);
        at += token->size + 1;
    }
    return BS_OK;
}

/* Appends what a token is looked for by: its text, as the normalizer leaves it where it is one of
 * those `normalized`. */
static enum bs_status append_key(const char *place, const struct added *token,
                                 const struct bs_normalizer *normalizer, struct bs_matcher *matcher,
                                 struct bs_buffer *out, struct bs_error *err)
{
    struct bs_normalized text = {.text = token->text, .size = token->size};
    enum bs_status status = BS_OK;
    if (token->normalized)
        status = bs_normalizer_run(normalizer, matcher, &text, err);
    if (!status && text.size == 0)
        status = bs_fail(err, BS_EUNSUPPORTED, "%s: added token '%.200s' is empty once normalized",
                         place, token->text);
    if (!status)
        status = bs_buffer_append(out, text.text, text.size, err);
    bs_buffer_release(&text.buffers[0]);
    bs_buffer_release(&text.buffers[1]);
    return status;
}

/* The keys of one pass, with their texts side by side in `texts`. */
static enum bs_status make_keys(const char *place, const struct bs_added_tokens *added,
                                bool normalized, const struct bs_normalizer *normalizer,
                                struct bs_trie_key *keys, size_t *count, struct bs_buffer *texts,
                                struct bs_error *err)
{
    struct bs_matcher *matcher = bs_matcher_create(0);
    enum bs_status status = matcher ? BS_OK : bs_fail_memory(err);
    for (size_t i = 0; i < added->count && !status; i++) {
        size_t before = texts->size;
        if (added->tokens[i].normalized != normalized)
            continue;
        status = append_key(place, &added->tokens[i], normalizer, matcher, texts, err);
        keys[(*count)++] = (struct bs_trie_key){.size = texts->size - before, .value = (int32_t)i};
    }
    const char *at = texts->text;
    for (size_t i = 0; i < *count; at += keys[i++].size)
        keys[i].text = at;
    bs_matcher_free(matcher);
    return status;
}

/* The trie of one pass. A special token's index comes before any other's, since the least index is
 * found where two are looked for by the same bytes. */
static enum bs_status build_trie(const char *place, struct bs_added_tokens *added, bool normalized,
                                 const struct bs_normalizer *normalizer, struct bs_error *err)
{
    struct bs_buffer texts = {0};
    struct bs_trie_key *keys = bs_alloc(added->count, sizeof *keys);
    size_t count = 0;
    enum bs_status status = keys ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = make_keys(place, added, normalized, normalizer, keys, &count, &texts, err);
    if (!status && !(added->tries[normalized] = bs_trie_create(keys, count)))
        status = bs_fail_memory(err);
    bs_free(keys);
    bs_buffer_release(&texts);
    return status;
}

/* Special tokens first, else in their order. */
static void order_tokens(struct added *tokens, struct added *spare, size_t count)
{
    size_t used = 0;
    for (int special = 1; special >= 0; special--)
        for (size_t i = 0; i < count; i++)
            if (tokens[i].special == special)
                spare[used++] = tokens[i];
}

static enum bs_status added_fill(const char *place, const json_t *list,
                                 const struct bs_vocabulary *vocabulary,
                                 const struct bs_normalizer *normalizer,
                                 struct bs_added_tokens *added, struct bs_error *err)
{
    size_t count = json_array_size(list);
    if (list && !json_is_null(list) && !json_is_array(list))
        return bs_fail(err, BS_EDATA, "%s: added_tokens is no list", place);
    added->last_id = -1;
    added->tokens = bs_alloc(count, sizeof *added->tokens);
    if (!added->tokens)
        return bs_fail_memory(err);
    if (read_tokens(place, list, vocabulary, added, err))
        return err->status;
    struct added *ordered = bs_alloc(count, sizeof *ordered);
    if (!ordered)
        return bs_fail_memory(err);
    order_tokens(added->tokens, ordered, added->count);
    bs_free(added->tokens);
    added->tokens = ordered;
    bool words = false;
    for (size_t i = 0; i < added->count; i++)
        words = words || added->tokens[i].single_word;
    if (words && bs_pattern_create(place, "[" BS_WORD_CLASS "]", sizeof "[" BS_WORD_CLASS "]" - 1,
                                   BS_SYNTAX_PCRE2, &added->word, err))
        return err->status;
    for (int pass = 0; pass < PASSES; pass++)
        if (build_trie(place, added, pass, normalizer, err))
            return err->status;
    return BS_OK;
}

enum bs_status bs_added_tokens_create(const char *place, json_t *list,
                                      const struct bs_vocabulary *vocabulary,
                                      const struct bs_normalizer *normalizer, bool split_special,
                                      struct bs_added_tokens **added, struct bs_error *err)
{
    *added = NULL;
    struct bs_added_tokens *created = bs_calloc(1, sizeof *created);
    if (!created)
        return bs_fail_memory(err);
    created->split_special = split_special;
    if (added_fill(place, list, vocabulary, normalizer, created, err)) {
        bs_added_tokens_free(created);
        return err->status;
    }
    *added = created;
    return BS_OK;
}

void bs_added_tokens_free(struct bs_added_tokens *added)
{
    if (!added)
        return;
    for (int pass = 0; pass < PASSES; pass++)
        bs_trie_free(added->tries[pass]);
    bs_pattern_free(added->word);
    bs_free(added->tokens);
    bs_free(added->bytes);
    bs_free(added);
}

int32_t bs_added_tokens_last_id(const struct bs_added_tokens *added) { return added->last_id; }

const char *bs_added_tokens_text(const struct bs_added_tokens *added, int32_t id, size_t *size)
{
    for (size_t i = 0; i < added->count; i++)
        if (added->tokens[i].id == id) {
            *size = added->tokens[i].size;
            return added->tokens[i].text;
        }
    return NULL;
}

/* --- finding --- */

/* The first character of text[0 .. size), or the last one, is one of a word. */
static enum bs_status is_word(const struct bs_added_tokens *added, struct bs_matcher *matcher,
                              const char *text, size_t size, bool last, bool *is,
                              struct bs_error *err)
{
    size_t at = last ? size : 0, begin, end;
    *is = false;
    if (size == 0)
        return BS_OK;
    while (last && ((unsigned char)text[--at] & 0xc0) == 0x80)
        continue;
    enum bs_status status = bs_pattern_next(added->word, matcher, text + at,
                                            bs_utf8_bytes(text[at]), 0, &begin, &end, err);
    *is = !status && begin < end;
    return status;
}

/* True in *fits unless the token must be a word of its own and is not. */
static enum bs_status check_word(const struct bs_added_tokens *added, const struct added *token,
                                 struct bs_matcher *matcher, const char *text, size_t size,
                                 const struct bs_added_match *match, bool *fits,
                                 struct bs_error *err)
{
    bool before = false, after = false;
    if (token->single_word &&
        (is_word(added, matcher, text, match->begin, true, &before, err) ||
         is_word(added, matcher, text + match->end, size - match->end, false, &after, err)))
        return err->status;
    *fits = !before && !after;
    return BS_OK;
}

/* Takes the blanks beside the match along, those on the left as far as they are free. */
static void take_blanks(const struct added *token, const char *text, size_t size, size_t from,
                        struct bs_added_match *match)
{
    if (token->lstrip) {
        size_t begin = match->begin;
        while (begin > from) {
            size_t last = begin - 1;
            while (((unsigned char)text[last] & 0xc0) == 0x80)
                last--;
            if (!bs_is_white_space(bs_utf8_decode(text + last)))
                break;
            begin = last;
        }
        match->begin = begin > from ? begin : from;
    }
    if (token->rstrip && match->end < from)
        match->end = from; /* what lies between are the blanks of the last match */
    while (token->rstrip && match->end < size &&
           bs_is_white_space(bs_utf8_decode(text + match->end)))
        match->end += bs_utf8_bytes(text[match->end]);
}

/* The first place from *at on where a token stands, and the longest there; -1 where there is
 * none. */
static int32_t find_token(const struct bs_trie *trie, const char *text, size_t size, size_t *at,
                          size_t *end)
{
    for (; *at < size; ++*at) {
        int32_t found = -1;
        uint32_t node = 0;
        for (size_t i = *at; i < size && (node = bs_trie_child(trie, node, text[i])); i++)
            if (trie->nodes[node].value >= 0) {
                found = trie->nodes[node].value;
                *end = i + 1;
            }
        if (found >= 0)
            return found;
    }
    return -1;
}

enum bs_status bs_added_tokens_find(const struct bs_added_tokens *added, bool normalized,
                                    struct bs_matcher *matcher, const char *text, size_t size,
                                    struct bs_added_cursor *cursor, struct bs_added_match *match,
                                    struct bs_error *err)
{
    *match = (struct bs_added_match){.begin = size, .end = size, .id = -1};
    for (;;) {
        size_t at = cursor->search, end = 0;
        int32_t index = find_token(added->tries[normalized], text, size, &at, &end);
        if (index < 0) {
            cursor->search = size;
            return BS_OK;
        }
        const struct added *token = &added->tokens[index];
        struct bs_added_match found = {.begin = at, .end = end, .id = token->id};
        bool fits = true;
        cursor->search = end;
        if (added->split_special && token->special)
            continue;
        if (check_word(added, token, matcher, text, size, &found, &fits, err))
            return err->status;
        if (!fits)
            continue;
        take_blanks(token, text, size, cursor->from, &found);
        cursor->from = found.end;
        *match = found;
        return BS_OK;
    }
}
