/* A tokenizer.json as the metadata of a GGUF file. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/export/gguf_metadata.h"
#include "eval/tokenizer/gguf_tokenizer.h"

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE }; /* tokenizer.ggml.token_type */

static const char blank[] = "\u2581"; /* what SentencePiece writes a blank as */

/* A tokenizer on its way. */
struct vocab {
    const char *folder;
    const char *path;      /* of tokenizer.json */
    json_t *root, *config; /* config: tokenizer_config.json, or an empty object */
    const json_t *model;
    json_t *tokens, *types, *scores; /* by id */
    struct bs_gguf_writer *w;
    struct bs_lines *notes;
    struct bs_error *err;
};

static const json_t *at(const json_t *object, const char *key)
{
    return json_object_get(object, key);
}

static const char *word(const json_t *object, const char *key)
{
    const char *text = json_string_value(at(object, key));
    return text ? text : "";
}

static enum bs_status refuse(const struct vocab *v, const char *what)
{
    return bs_fail(v->err, BS_EUNSUPPORTED, "%s: %s, which llama.cpp has no name for", v->path,
                   what);
}

/* --- tokens --- */

static enum bs_status set_token(const struct vocab *v, json_int_t id, const char *text, int type)
{
    if (id < 0 || (size_t)id >= json_array_size(v->tokens))
        return bs_fail(v->err, BS_EDATA, "%s: token '%.60s' has the id %lld, expected below %zu",
                       v->path, text, (long long)id, json_array_size(v->tokens));
    return json_array_set_new(v->tokens, (size_t)id, json_string(text)) ||
                   json_array_set_new(v->types, (size_t)id, json_integer(type))
               ? bs_fail_memory(v->err)
               : BS_OK;
}

/* "<0x41>". */
static bool is_byte(const char *text)
{
    return strlen(text) == strlen("<0x41>") && !strncmp(text, "<0x", 3) &&
           isxdigit((unsigned char)text[3]) && isxdigit((unsigned char)text[4]) && text[5] == '>';
}

static enum bs_status fill(const struct vocab *v, int vocab_size)
{
    for (int id = 0; id < vocab_size; id++) {
        char name[32];
        snprintf(name, sizeof name, "[PAD%d]", id);
        if (json_array_append_new(v->tokens, json_string(name)) ||
            json_array_append_new(v->types, json_integer(UNUSED)))
            return bs_fail_memory(v->err);
    }
    return BS_OK;
}

/* An added token whose id the embedding has no row for: no text with it can go through the model,
 * which transformers too tells only where there is one. */
static enum bs_status leave_out(const struct vocab *v, const char *text, json_int_t id,
                                int vocab_size)
{
    if (!v->notes)
        return BS_OK;
    return bs_lines_add(v->notes, v->err,
                        "%s: the added token '%.60s' is left out: its id is %lld, and the model "
                        "has %d tokens",
                        v->path, text, (long long)id, vocab_size);
}

static enum bs_status list_tokens(const struct vocab *v, int vocab_size, bool pieces)
{
    const char *text, *unknown = word(v->model, "unk_token");
    const json_t *id, *added;
    size_t i;
    if (fill(v, vocab_size))
        return v->err->status;
    json_object_foreach((json_t *)(uintptr_t)at(v->model, "vocab"), text, id)
    {
        int type = pieces && is_byte(text)            ? BYTE
                   : pieces && !strcmp(text, unknown) ? UNKNOWN
                                                      : NORMAL;
        if (set_token(v, json_integer_value(id), text, type))
            return v->err->status;
    }
    json_array_foreach(at(v->root, "added_tokens"), i, added)
    {
        text = word(added, "content");
        if (json_is_true(at(added, "lstrip")) || json_is_true(at(added, "rstrip")) ||
            json_is_true(at(added, "single_word")))
            return refuse(v, "an added token takes blanks beside it, or is only of whole words "
                             "(lstrip, rstrip, single_word)");
        json_int_t number = json_integer_value(at(added, "id"));
        bool unk = pieces && !strcmp(text, unknown);
        int type = unk ? UNKNOWN : json_is_true(at(added, "special")) ? CONTROL : USER_DEFINED;
        if (number >= vocab_size ? leave_out(v, text, number, vocab_size)
                                 : set_token(v, number, text, type))
            return v->err->status;
    }
    return BS_OK;
}

static enum bs_status put_tokens(const struct vocab *v)
{
    return bs_gguf_put(v->w, "tokenizer.ggml.tokens", BS_GGUF_STRING, v->tokens, v->err) ||
                   bs_gguf_put(v->w, "tokenizer.ggml.token_type", BS_GGUF_I32, v->types, v->err)
               ? v->err->status
               : BS_OK;
}

/* --- merges --- */

/* The two parts of a merge, "left right" or a list of both. */
static bool parts_of(const json_t *merge, char *joined, size_t size, const char **left,
                     const char **right)
{
    if (json_is_array(merge)) {
        *left = json_string_value(json_array_get(merge, 0));
        *right = json_string_value(json_array_get(merge, 1));
        return *left && *right;
    }
    const char *text = json_string_value(merge), *gap = text ? strchr(text, ' ') : NULL;
    if (!gap || (size_t)snprintf(joined, size, "%s", text) >= size)
        return false;
    joined[gap - text] = '\0';
    *left = joined;
    *right = joined + (gap - text) + 1;
    return true;
}

enum { MOST_PIECE = 4096, MOST_CHAT_KEY = 128 };

/* Each as "left right". */
static enum bs_status list_merges(const struct vocab *v, json_t **list)
{
    const json_t *merge;
    size_t i;
    *list = json_array();
    json_array_foreach(at(v->model, "merges"), i, merge)
    {
        char room[MOST_PIECE], both[MOST_PIECE];
        const char *left, *right;
        if (!parts_of(merge, room, sizeof room, &left, &right) ||
            (size_t)snprintf(both, sizeof both, "%s %s", left, right) >= sizeof both)
            return bs_fail(v->err, BS_EDATA, "%s: model.merges: merge %zu is no two texts", v->path,
                           i);
        if (json_array_append_new(*list, json_string(both)))
            return bs_fail_memory(v->err);
    }
    return BS_OK;
}

static enum bs_status put_merges(const struct vocab *v)
{
    json_t *list;
    enum bs_status status = list_merges(v, &list);
    if (!status)
        status = bs_gguf_put(v->w, "tokenizer.ggml.merges", BS_GGUF_STRING, list, v->err);
    json_decref(list);
    return status;
}

/* --- byte-level --- */

static bool is_type(const json_t *step, const char *type)
{
    return !strcmp(word(step, "type"), type);
}

/* No step, or a list of none. */
static bool is_nothing(const json_t *step)
{
    return !step || json_is_null(step) ||
           (is_type(step, "Sequence") && !json_array_size(at(step, "normalizers")));
}

/* Whether words are cut into bytes, so that no character is left for byte_fallback, which some say
 * all the same. */
static bool is_byte_level(const json_t *pre)
{
    const json_t *step;
    bool any = is_type(pre, "ByteLevel");
    size_t i;
    json_array_foreach(at(pre, "pretokenizers"), i, step) any |= is_type(step, "ByteLevel");
    return any;
}

static enum bs_status put_byte_level(const struct vocab *v)
{
    const json_t *normalizer = at(v->root, "normalizer");
    bool nfc = is_type(normalizer, "NFC");
    if (!is_nothing(normalizer) && !nfc)
        return refuse(v, "texts are normalized otherwise than to form C");
    const char *names = bs_gguf_cut_of(at(v->root, "pre_tokenizer"), nfc,
                                       json_is_true(at(v->model, "ignore_merges")));
    char name[64];
    if (!names)
        return refuse(v, "words are cut in a way (pre_tokenizer)");
    snprintf(name, sizeof name, "%.*s", (int)strcspn(names, " "), names);
    return bs_gguf_put_text(v->w, "tokenizer.ggml.model", "gpt2", v->err) ||
                   bs_gguf_put_text(v->w, "tokenizer.ggml.pre", name, v->err) || put_tokens(v) ||
                   put_merges(v)
               ? v->err->status
               : BS_OK;
}

/* --- SentencePiece --- */

static bool replaces_blanks(const json_t *step)
{
    return is_type(step, "Replace") && !strcmp(word(at(step, "pattern"), "String"), " ") &&
           !strcmp(word(step, "content"), blank);
}

/* Whether texts get a blank in front; false where they are prepared in a way not known. */
static bool has_known_blanks(const struct vocab *v, bool *prefix)
{
    const json_t *normalizer = at(v->root, "normalizer"), *pre = at(v->root, "pre_tokenizer");
    const json_t *steps = at(normalizer, "normalizers");
    bool cuts = pre && !json_is_null(pre), normalizes = normalizer && !json_is_null(normalizer);
    *prefix = false;
    if (!normalizes && is_type(pre, "Metaspace")) {
        bool never = !strcmp(word(pre, "prepend_scheme"), "never");
        *prefix = !never;
        return !strcmp(word(pre, "replacement"), blank) && json_is_false(at(pre, "split"));
    }
    if (replaces_blanks(normalizer))
        return !cuts ||
               (is_type(pre, "Split") && !strcmp(word(at(pre, "pattern"), "String"), " ") &&
                !strcmp(word(pre, "behavior"), "MergedWithPrevious"));
    *prefix = true;
    return !cuts && json_array_size(steps) == 2 && is_type(json_array_get(steps, 0), "Prepend") &&
           !strcmp(word(json_array_get(steps, 0), "prepend"), blank) &&
           replaces_blanks(json_array_get(steps, 1));
}

/* What is made first has the highest score; what no merge makes is a part of others only. */
static enum bs_status list_scores(const struct vocab *v)
{
    const json_t *merge, *vocab = at(v->model, "vocab");
    size_t i;
    for (size_t id = 0; id < json_array_size(v->tokens); id++)
        if (json_array_append_new(v->scores, json_real(0)))
            return bs_fail_memory(v->err);
    json_array_foreach(at(v->model, "merges"), i, merge)
    {
        char room[MOST_PIECE], made[MOST_PIECE];
        const char *left, *right;
        if (!parts_of(merge, room, sizeof room, &left, &right))
            return bs_fail(v->err, BS_EDATA, "%s: model.merges: merge %zu is no two texts", v->path,
                           i);
        snprintf(made, sizeof made, "%s%s", left, right);
        const json_t *id = at(vocab, made);
        size_t index = (size_t)json_integer_value(id);
        if (id && json_real_value(json_array_get(v->scores, index)) == 0 &&
            json_array_set_new(v->scores, index, json_real(-(double)(i + 1))))
            return bs_fail_memory(v->err);
    }
    return BS_OK;
}

/* Whether a reader's merges, which it makes of the scores, are the tokenizer's own. */
static enum bs_status compare_merges(const struct vocab *v)
{
    size_t count = json_array_size(v->tokens);
    struct bs_gguf_piece *pieces = bs_calloc(count, sizeof *pieces);
    json_t *own = NULL, *read = NULL;
    enum bs_status status = pieces ? list_merges(v, &own) : bs_fail_memory(v->err);
    for (size_t id = 0; !status && id < count; id++) {
        const json_t *token = json_array_get(v->tokens, id);
        if (json_integer_value(json_array_get(v->types, id)) == NORMAL)
            pieces[id] =
                (struct bs_gguf_piece){json_string_value(token), json_string_length(token),
                                       (float)json_real_value(json_array_get(v->scores, id))};
    }
    if (!status)
        status = bs_gguf_merges(pieces, count, &read, v->err);
    if (!status && !json_equal(own, read))
        status = refuse(v, "its merges are not those that scores of tokens would give");
    json_decref(own);
    json_decref(read);
    bs_free(pieces);
    return status;
}

static enum bs_status put_pieces(const struct vocab *v)
{
    bool prefix;
    if (!has_known_blanks(v, &prefix))
        return refuse(v, "texts are prepared in a way (normalizer, pre_tokenizer)");
    return list_scores(v) || compare_merges(v) ||
                   bs_gguf_put_text(v->w, "tokenizer.ggml.model", "llama", v->err) ||
                   bs_gguf_put_text(v->w, "tokenizer.ggml.pre", "default", v->err) ||
                   bs_gguf_put_switch(v->w, "tokenizer.ggml.add_space_prefix", prefix, v->err) ||
                   put_tokens(v) ||
                   bs_gguf_put(v->w, "tokenizer.ggml.scores", BS_GGUF_F32, v->scores, v->err)
               ? v->err->status
               : BS_OK;
}

/* --- around a text --- */

/* The id of the token that tokenizer_config.json has under this name; -1: none. */
static json_int_t named_id(const struct vocab *v, const char *name)
{
    const json_t *value = at(v->config, name), *token;
    const char *text = json_is_object(value) ? word(value, "content") : json_string_value(value);
    size_t i;
    json_array_foreach(v->tokens, i, token)
    {
        if (text && !strcmp(json_string_value(token), text))
            return (json_int_t)i;
    }
    return -1;
}

/* One token before a text and one after it, each at most once: what two switches can say. */
static bool read_template(const json_t *single, const char **first, const char **last)
{
    const json_t *step;
    bool text = false;
    size_t i;
    json_array_foreach(single, i, step)
    {
        const json_t *token = at(step, "SpecialToken"), *sequence = at(step, "Sequence");
        const char **to = text ? last : first;
        if (sequence ? text || strcmp(word(sequence, "id"), "A") : !token || *to)
            return false;
        if (token)
            *to = word(token, "id");
        text = text || sequence;
    }
    return text;
}

/* What a post-processor puts before a text, and after it: NULL where that is nothing. False where
 * it does anything else. */
static bool find_around(const json_t *post, const char **first, const char **last)
{
    const json_t *step;
    size_t i;
    if (!post || json_is_null(post) || is_type(post, "ByteLevel"))
        return true;
    if (is_type(post, "TemplateProcessing"))
        return !*first && !*last && read_template(at(post, "single"), first, last);
    json_array_foreach(at(post, "processors"), i, step)
    {
        if (!find_around(step, first, last))
            return false;
    }
    return is_type(post, "Sequence");
}

static bool is_token(const struct vocab *v, json_int_t id, const char *text)
{
    return id >= 0 && text &&
           !strcmp(json_string_value(json_array_get(v->tokens, (size_t)id)), text);
}

/* One of several templates, by its name. */
static enum bs_status put_named_chat(const struct vocab *v, const json_t *entry)
{
    char key[MOST_CHAT_KEY];
    const char *name = json_string_value(at(entry, "name"));
    const char *template = json_string_value(at(entry, "template"));
    if (!name || !template)
        return bs_fail(v->err, BS_EDATA,
                       "%s/tokenizer_config.json: chat_template: an entry without name or template",
                       v->folder);
    snprintf(key, sizeof key, "tokenizer.chat_template.%.*s",
             (int)(sizeof key - sizeof "tokenizer.chat_template."), name);
    return bs_gguf_put_text(v->w, strcmp(name, "default") ? key : "tokenizer.chat_template",
                            template, v->err);
}

/* As transformers has it: of a file of its own, else of tokenizer_config.json, a text or a list. */
static enum bs_status put_chat(const struct vocab *v)
{
    const json_t *chat = at(v->config, "chat_template"), *entry;
    char *path = bs_path_join(v->folder, "chat_template.jinja"), *text = NULL;
    size_t i, size;
    if (!path)
        return bs_fail_memory(v->err);
    bool alone = !access(path, F_OK);
    bool known =
        alone || !chat || json_is_null(chat) || json_is_string(chat) || json_is_array(chat);
    enum bs_status status = alone ? bs_file_read(path, &text, &size, v->err) : BS_OK;
    if (!status && alone)
        status = bs_gguf_put_text(v->w, "tokenizer.chat_template", text, v->err);
    else if (!status && json_is_string(chat))
        status = bs_gguf_put_text(v->w, "tokenizer.chat_template", json_string_value(chat), v->err);
    json_array_foreach(alone ? NULL : chat, i, entry)
    {
        if (!status)
            status = put_named_chat(v, entry);
    }
    bs_free(path);
    bs_free(text);
    if (!status && !known)
        status = bs_fail(v->err, BS_EDATA,
                         "%s/tokenizer_config.json: chat_template is neither a text nor a list",
                         v->folder);
    return status;
}

static enum bs_status put_around(const struct vocab *v)
{
    static const char *const names[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                           {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                           {"pad_token", "tokenizer.ggml.padding_token_id"}};
    const char *first = NULL, *last = NULL;
    if (!find_around(at(v->root, "post_processor"), &first, &last))
        return refuse(v, "around texts stands other than bos_token once before and eos_token once "
                         "after them (post_processor)");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_int_t id = named_id(v, names[i][0]);
        if (id >= 0 && bs_gguf_put_count(v->w, names[i][1], (uint32_t)id, v->err))
            return v->err->status;
    }
    if ((first && !is_token(v, named_id(v, "bos_token"), first)) ||
        (last && !is_token(v, named_id(v, "eos_token"), last)))
        return refuse(v, "around texts stand other tokens than bos_token and eos_token");
    return bs_gguf_put_switch(v->w, "tokenizer.ggml.add_bos_token", first != NULL, v->err) ||
                   bs_gguf_put_switch(v->w, "tokenizer.ggml.add_eos_token", last != NULL, v->err) ||
                   put_chat(v)
               ? v->err->status
               : BS_OK;
}

/* --- the whole --- */

static enum bs_status put_all(struct vocab *v, int vocab_size)
{
    v->model = at(v->root, "model");
    v->tokens = json_array();
    v->types = json_array();
    v->scores = json_array();
    bool pieces =
        json_is_true(at(v->model, "byte_fallback")) && !is_byte_level(at(v->root, "pre_tokenizer"));
    if (!is_type(v->model, "BPE"))
        return refuse(v, "its model is no BPE");
    return list_tokens(v, vocab_size, pieces) || (pieces ? put_pieces(v) : put_byte_level(v)) ||
                   put_around(v)
               ? v->err->status
               : BS_OK;
}

/* The JSON file of a folder, or an empty object where there is none. */
static enum bs_status read_there(const char *folder, const char *name, char **path, json_t **root,
                                 struct bs_error *err)
{
    *root = NULL;
    *path = bs_printf("%s/%s", folder, name);
    if (!*path)
        return bs_fail_memory(err);
    FILE *file = fopen(*path, "rb");
    if (!file) {
        *root = json_object();
        return *root ? BS_OK : bs_fail_memory(err);
    }
    fclose(file);
    return bs_json_read(*path, root, err);
}

enum bs_status bs_gguf_put_tokenizer(const char *folder, int vocab_size, struct bs_gguf_writer *w,
                                     struct bs_lines *notes, struct bs_error *err)
{
    struct vocab v = {.folder = folder, .w = w, .notes = notes, .err = err};
    char *path, *config_path = NULL;
    enum bs_status status = read_there(folder, "tokenizer.json", &path, &v.root, err);
    v.path = path;
    if (!status)
        status = read_there(folder, "tokenizer_config.json", &config_path, &v.config, err);
    if (!status)
        status = json_object_size(v.root)
                     ? put_all(&v, vocab_size)
                     : bs_gguf_put_text(w, "tokenizer.ggml.model", "none", err);
    json_decref(v.root);
    json_decref(v.config);
    json_decref(v.tokens);
    json_decref(v.types);
    json_decref(v.scores);
    bs_free(path);
    bs_free(config_path);
    return status;
}
