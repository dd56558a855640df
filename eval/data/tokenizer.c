/* The pipeline of the tokenizers library for byte-level BPE: added tokens are cut out first, the
 * rest is cut into words by the pre_tokenizer's patterns, and each word is encoded on its own. */
#include "eval/data/tokenizer.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/data/bpe.h"
#include "eval/data/pattern.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERNS = 8, ADDED_PASSES = 2 };

/* The split pattern of GPT-2 (openai/gpt-2 encoder.py), which ByteLevel has built in. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

struct added {
    char *text;
    size_t size;
    int32_t id;
};

/* Added tokens by first byte, long ones first: [first[b], first[b + 1]) begin with byte b. */
struct added_list {
    struct added *tokens;
    size_t count;
    size_t first[257];
};

struct bs_tokenizer {
    struct bs_bpe *bpe;
    struct added_list added[ADDED_PASSES]; /* those not `normalized` are looked for first */
    struct bs_pattern *patterns[MAX_PATTERNS];
    int num_patterns;
    int prefix_step; /* a piece gets a space in front before this pattern; -1 = never */
    int32_t last_id;
};

/* What one call of bs_tokenizer_encode works with. */
struct encoder {
    const struct bs_tokenizer *tokenizer;
    struct bs_matcher *matcher;
    struct bs_bpe_work *work;
    struct bs_ids list;
    struct bs_error *err;
};

/* --- reading tokenizer.json --- */

static bool flag(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static enum bs_status add_pattern(struct bs_tokenizer *tokenizer, const char *place,
                                  const char *text, bool literal, struct bs_error *err)
{
    if (tokenizer->num_patterns == MAX_PATTERNS)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: pre_tokenizer: more than %d patterns", place,
                       MAX_PATTERNS);
    struct bs_pattern **slot = &tokenizer->patterns[tokenizer->num_patterns];
    if (bs_pattern_create(place, text, literal, slot, err))
        return err->status;
    tokenizer->num_patterns++;
    return BS_OK;
}

static enum bs_status read_split(struct bs_tokenizer *tokenizer, const char *place, json_t *split,
                                 struct bs_error *err)
{
    static const char *const known[] = {"type", "pattern", "behavior", "invert", NULL};
    if (bs_json_check_keys(place, split, known, err))
        return err->status;
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    if (!behavior || strcmp(behavior, "Isolated") || flag(split, "invert"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: pre_tokenizer Split: behavior '%.100s'%s is not supported, only "
                       "Isolated",
                       place, behavior ? behavior : "", flag(split, "invert") ? " inverted" : "");
    const json_t *pattern = json_object_get(split, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *string = json_string_value(json_object_get(pattern, "String"));
    if (!regex && !(string && *string))
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer Split: pattern is missing", place);
    return add_pattern(tokenizer, place, regex ? regex : string, !regex, err);
}

static enum bs_status read_digits(struct bs_tokenizer *tokenizer, const char *place, json_t *digits,
                                  struct bs_error *err)
{
    static const char *const known[] = {"type", "individual_digits", NULL};
    if (bs_json_check_keys(place, digits, known, err))
        return err->status;
    return add_pattern(tokenizer, place, flag(digits, "individual_digits") ? "\\p{N}" : "\\p{N}+",
                       false, err);
}

static enum bs_status read_byte_level(struct bs_tokenizer *tokenizer, const char *place,
                                      json_t *byte_level, struct bs_error *err)
{
    static const char *const known[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                        NULL};
    if (bs_json_check_keys(place, byte_level, known, err))
        return err->status;
    if (flag(byte_level, "add_prefix_space"))
        tokenizer->prefix_step = tokenizer->num_patterns;
    const json_t *use_regex = json_object_get(byte_level, "use_regex");
    if (use_regex && !json_is_true(use_regex)) /* files older than the option split always */
        return BS_OK;
    return add_pattern(tokenizer, place, gpt2_pattern, false, err);
}

/* The last step must turn characters into bytes, and none before it. */
static enum bs_status read_step(struct bs_tokenizer *tokenizer, const char *place, json_t *step,
                                bool last, struct bs_error *err)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    if (type && last && !strcmp(type, "ByteLevel"))
        return read_byte_level(tokenizer, place, step, err);
    if (type && !last && !strcmp(type, "Split"))
        return read_split(tokenizer, place, step, err);
    if (type && !last && !strcmp(type, "Digits"))
        return read_digits(tokenizer, place, step, err);
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: pre_tokenizer '%.100s' is not supported here; supported: ByteLevel, alone "
                   "or behind Split and Digits",
                   place, type ? type : "");
}

static enum bs_status read_pre_tokenizer(struct bs_tokenizer *tokenizer, const char *place,
                                         json_t *pre, struct bs_error *err)
{
    static const char *const known[] = {"type", "pretokenizers", NULL};
    const char *type = json_string_value(json_object_get(pre, "type"));
    if (!type || strcmp(type, "Sequence"))
        return read_step(tokenizer, place, pre, true, err);
    if (bs_json_check_keys(place, pre, known, err))
        return err->status;
    const json_t *steps = json_object_get(pre, "pretokenizers");
    size_t count = json_array_size(steps);
    if (!count)
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer: pretokenizers is missing or empty",
                       place);
    for (size_t i = 0; i < count; i++)
        if (read_step(tokenizer, place, json_array_get(steps, i), i + 1 == count, err))
            return err->status;
    return BS_OK;
}

static int compare_added(const void *left, const void *right)
{
    const struct added *a = left, *b = right;
    unsigned char x = (unsigned char)a->text[0], y = (unsigned char)b->text[0];
    if (x != y)
        return x < y ? -1 : 1;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return strcmp(a->text, b->text);
}

static enum bs_status read_added_token(struct bs_tokenizer *tokenizer, const char *place,
                                       const json_t *vocab, json_t *token, struct bs_error *err)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    static const char *const unsupported[] = {"single_word", "lstrip", "rstrip"};
    const char *content = json_string_value(json_object_get(token, "content"));
    const json_t *value = json_object_get(token, "id");
    json_int_t id = json_integer_value(value);
    if (!content || !json_is_integer(value) || id < 0 || id >= INT32_MAX)
        return bs_fail(err, BS_EDATA, "%s: added_tokens: '%.200s' has no valid id or content",
                       place, content ? content : "");
    if (bs_json_check_keys(place, token, known, err))
        return err->status;
    for (size_t i = 0; i < sizeof unsupported / sizeof unsupported[0]; i++)
        if (flag(token, unsupported[i]))
            return bs_fail(err, BS_EUNSUPPORTED, "%s: added token '%.200s': %s is not supported",
                           place, content, unsupported[i]);
    const json_t *known_id = json_object_get(vocab, content);
    if (known_id && json_integer_value(known_id) != id)
        return bs_fail(err, BS_EDATA, "%s: added token '%.200s' has id %lld, but %lld in vocab",
                       place, content, (long long)id, (long long)json_integer_value(known_id));
    if ((int32_t)id > tokenizer->last_id)
        tokenizer->last_id = (int32_t)id;
    if (!*content)
        return BS_OK; /* the library passes over an empty one, too */

    struct added_list *list = &tokenizer->added[flag(token, "normalized")];
    char *text = bs_strdup(content);
    if (!text)
        return bs_fail_memory(err);
    list->tokens[list->count++] =
        (struct added){.text = text, .size = strlen(text), .id = (int32_t)id};
    return BS_OK;
}

static enum bs_status read_added(struct bs_tokenizer *tokenizer, const char *place,
                                 const json_t *vocab, const json_t *tokens, struct bs_error *err)
{
    size_t count = json_array_size(tokens);
    for (int pass = 0; pass < ADDED_PASSES; pass++) {
        tokenizer->added[pass].tokens = bs_alloc(count, sizeof(struct added));
        if (!tokenizer->added[pass].tokens)
            return bs_fail_memory(err);
    }
    for (size_t i = 0; i < count; i++)
        if (read_added_token(tokenizer, place, vocab, json_array_get(tokens, i), err))
            return err->status;
    for (int pass = 0; pass < ADDED_PASSES; pass++) {
        struct added_list *list = &tokenizer->added[pass];
        qsort(list->tokens, list->count, sizeof *list->tokens, compare_added);
        size_t i = 0;
        for (unsigned byte = 0; byte < 256; byte++) {
            list->first[byte] = i;
            while (i < list->count && (unsigned char)list->tokens[i].text[0] == byte)
                i++;
        }
        list->first[256] = i;
    }
    return BS_OK;
}

static enum bs_status read_tokenizer(struct bs_tokenizer *tokenizer, const char *place,
                                     json_t *root, struct bs_error *err)
{
    /* truncation and padding are settings of a call that happened to be saved; post_processor adds
     * tokens at the ends, which is for the caller to ask; decoder is for the way back. */
    static const char *const known[] = {
        "version",        "truncation", "padding",      "normalizer", "pre_tokenizer",
        "post_processor", "decoder",    "added_tokens", "model",      NULL};
    if (bs_json_check_keys(place, root, known, err))
        return err->status;
    const json_t *normalizer = json_object_get(root, "normalizer");
    if (normalizer && !json_is_null(normalizer)) {
        const char *type = json_string_value(json_object_get(normalizer, "type"));
        return bs_fail(err, BS_EUNSUPPORTED, "%s: normalizer '%.100s' is not supported", place,
                       type ? type : "");
    }
    json_t *model = json_object_get(root, "model");
    if (!json_is_object(model))
        return bs_fail(err, BS_EDATA, "%s: model is missing or no object", place);
    if (bs_bpe_create(place, model, &tokenizer->bpe, err))
        return err->status;
    tokenizer->last_id = bs_bpe_last_id(tokenizer->bpe);
    if (read_pre_tokenizer(tokenizer, place, json_object_get(root, "pre_tokenizer"), err))
        return err->status;
    return read_added(tokenizer, place, json_object_get(model, "vocab"),
                      json_object_get(root, "added_tokens"), err);
}

enum bs_status bs_tokenizer_open(const char *directory, struct bs_tokenizer **tokenizer,
                                 struct bs_error *err)
{
    *tokenizer = NULL;
    enum bs_status status = BS_OK;
    json_t *root = NULL;
    char *path = bs_printf("%s/tokenizer.json", directory);
    struct bs_tokenizer *opened = bs_calloc(1, sizeof *opened);
    if (!path || !opened) {
        status = bs_fail_memory(err);
        goto done;
    }
    opened->prefix_step = -1;
    status = bs_json_read(path, &root, err);
    if (!status)
        status = read_tokenizer(opened, path, root, err);

done:
    json_decref(root);
    bs_free(path);
    if (status)
        bs_tokenizer_free(opened);
    else
        *tokenizer = opened;
    return status;
}

void bs_tokenizer_free(struct bs_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    for (int pass = 0; pass < ADDED_PASSES; pass++) {
        struct added_list *list = &tokenizer->added[pass];
        for (size_t i = 0; i < list->count; i++)
            bs_free(list->tokens[i].text);
        bs_free(list->tokens);
    }
    for (int i = 0; i < tokenizer->num_patterns; i++)
        bs_pattern_free(tokenizer->patterns[i]);
    bs_bpe_free(tokenizer->bpe);
    bs_free(tokenizer);
}

int bs_tokenizer_vocab_size(const struct bs_tokenizer *tokenizer) { return tokenizer->last_id + 1; }

/* --- encoding --- */

static enum bs_status encode_piece(struct encoder *encoder, int step, const char *text,
                                   size_t size);

/* Cuts a piece with pattern `step`: what matches and what lies between goes on to the next step,
 * behind the last one to the encoding. */
static enum bs_status encode_split(struct encoder *encoder, int step, const char *text, size_t size)
{
    const struct bs_tokenizer *tokenizer = encoder->tokenizer;
    struct bs_error *err = encoder->err;
    if (step == tokenizer->num_patterns)
        return bs_bpe_encode(tokenizer->bpe, encoder->work, text, size, &encoder->list, err);
    for (size_t from = 0, begin, end; from < size; from = end) {
        if (bs_pattern_next(tokenizer->patterns[step], encoder->matcher, text, size, from, &begin,
                            &end, err))
            return err->status;
        if (begin > from && encode_piece(encoder, step + 1, text + from, begin - from))
            return err->status;
        if (end > begin && encode_piece(encoder, step + 1, text + begin, end - begin))
            return err->status;
    }
    return BS_OK;
}

static enum bs_status encode_piece(struct encoder *encoder, int step, const char *text, size_t size)
{
    if (step != encoder->tokenizer->prefix_step || text[0] == ' ')
        return encode_split(encoder, step, text, size);
    char *prefixed = bs_alloc(size + 1, 1);
    if (!prefixed)
        return bs_fail_memory(encoder->err);
    prefixed[0] = ' ';
    memcpy(prefixed + 1, text, size);
    enum bs_status status = encode_split(encoder, step, prefixed, size + 1);
    bs_free(prefixed);
    return status;
}

/* The first place in text[*at .. size) where an added token stands, and the longest one there. */
static const struct added *find_added(const struct added_list *list, const char *text, size_t size,
                                      size_t *at)
{
    for (; *at < size; ++*at) {
        unsigned char byte = (unsigned char)text[*at];
        for (size_t i = list->first[byte]; i < list->first[byte + 1]; i++)
            if (list->tokens[i].size <= size - *at &&
                !memcmp(list->tokens[i].text, text + *at, list->tokens[i].size))
                return &list->tokens[i];
    }
    return NULL;
}

/* Cuts out the added tokens, in two passes as the library does, and encodes what is between. */
static enum bs_status encode_text(struct encoder *encoder, int pass, const char *text, size_t size)
{
    if (pass == ADDED_PASSES)
        return encode_piece(encoder, 0, text, size);
    for (size_t from = 0; from < size;) {
        size_t at = from;
        const struct added *token = find_added(&encoder->tokenizer->added[pass], text, size, &at);
        if (at > from && encode_text(encoder, pass + 1, text + from, at - from))
            return encoder->err->status;
        if (!token)
            return BS_OK;
        if (bs_ids_reserve(&encoder->list, 1, encoder->err))
            return encoder->err->status;
        encoder->list.ids[encoder->list.count++] = token->id;
        from = at + token->size;
    }
    return BS_OK;
}

/* Bytes of the UTF-8 character at text[0 .. size), 0 where there is none: no overlong form, no
 * surrogate, nothing beyond U+10FFFF. */
static size_t character_bytes(const unsigned char *text, size_t size)
{
    unsigned first = text[0];
    if (first < 0x80)
        return 1;
    size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || size < bytes)
        return 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
               (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f);
    return bad ? 0 : bytes;
}

static enum bs_status check_utf8(const char *text, size_t size, struct bs_error *err)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0, step; i < size; i += step) {
        step = character_bytes(bytes + i, size - i);
        if (!step)
            return bs_fail(err, BS_EDATA, "text is not UTF-8: byte offset %zu holds 0x%02x", i,
                           bytes[i]);
    }
    return BS_OK;
}

int32_t bs_tokenizer_bos(const struct bs_tokenizer *tokenizer)
{
    (void)tokenizer;
    return -1;
}

enum bs_status bs_tokenizer_encode(const struct bs_tokenizer *tokenizer, const char *text,
                                   size_t size, bool add_special_tokens, int32_t **ids,
                                   size_t *count, struct bs_error *err)
{
    (void)add_special_tokens;
    *ids = NULL;
    *count = 0;
    enum bs_status status = check_utf8(text, size, err);
    if (status)
        return status;
    struct encoder encoder = {.tokenizer = tokenizer,
                              .matcher = bs_matcher_create(),
                              .work = bs_bpe_work_create(),
                              .err = err};
    if (!encoder.matcher || !encoder.work)
        status = bs_fail_memory(err);
    if (!status) /* English has four bytes a token; the list grows where that is too few */
        status = bs_ids_reserve(&encoder.list, size / 4 + 1, err);
    if (!status)
        status = encode_text(&encoder, 0, text, size);
    bs_matcher_free(encoder.matcher);
    bs_bpe_work_free(encoder.work);
    if (status) {
        bs_free(encoder.list.ids);
        return status;
    }
    *ids = encoder.list.ids;
    *count = encoder.list.count;
    return BS_OK;
}
