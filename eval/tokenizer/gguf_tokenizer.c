#include "eval/tokenizer/gguf_tokenizer.h"

#include <limits.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/gguf/gguf.h"

/* What a token is: tokenizer.ggml.token_type. */
enum kind { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* A tokenizer being read. */
struct reading {
    const struct bs_gguf *gguf;
    const struct bs_gguf_value *tokens;
    const unsigned char *kinds, *scores; /* of each token; NULL where there are none */
    json_t *root;
    struct bs_error *err;
};

static enum bs_status fail(const struct reading *r, const char *key, const char *expected)
{
    return bs_fail(r->err, BS_EDATA, "%s: metadata 'tokenizer.ggml.%s' is not %s", r->gguf->path,
                   key, expected);
}

static const struct bs_gguf_value *find(const struct reading *r, const char *key)
{
    char whole[96];
    snprintf(whole, sizeof whole, "tokenizer.ggml.%s", key);
    return bs_gguf_find(r->gguf, whole);
}

/* A text, in a new reference; *text is NULL where there is none. */
static enum bs_status get_text(const struct reading *r, const char *key, json_t **text)
{
    const struct bs_gguf_value *value = find(r, key);
    *text = NULL;
    if (!value)
        return BS_OK;
    if (bs_gguf_json(r->gguf, value, text, r->err))
        return r->err->status;
    return json_is_string(*text) ? BS_OK : fail(r, key, "a text");
}

static enum bs_status get_flag(const struct reading *r, const char *key, bool missing, bool *flag)
{
    const struct bs_gguf_value *value = find(r, key);
    *flag = missing;
    if (!value)
        return BS_OK;
    if (value->kind != BS_GGUF_BOOL || value->array)
        return fail(r, key, "true or false");
    *flag = *value->data != 0;
    return BS_OK;
}

/* The id of a token; -1 where there is none, or it is that of no token. */
static int64_t get_id(const struct reading *r, const char *key)
{
    const struct bs_gguf_value *value = find(r, key);
    bool is_id =
        value && !value->array && (value->kind == BS_GGUF_U32 || value->kind == BS_GGUF_I32);
    int64_t id = is_id ? (int64_t)bs_gguf_u32(value->data) : -1;
    return id < (int64_t)r->tokens->count ? id : -1;
}

/* A list with a number of four bytes for each token. */
static enum bs_status get_list(const struct reading *r, const char *key, enum bs_gguf_kind kind,
                               const unsigned char **list)
{
    const struct bs_gguf_value *value = find(r, key);
    *list = NULL;
    if (!value)
        return BS_OK;
    if (!value->array ||
        (value->kind != kind && !(kind == BS_GGUF_I32 && value->kind == BS_GGUF_U32)) ||
        value->count != r->tokens->count)
        return fail(r, key, "a list of a number for each token");
    *list = value->data;
    return BS_OK;
}

static enum kind kind_of(const struct reading *r, size_t id)
{
    return r->kinds ? (enum kind)bs_gguf_u32(r->kinds + 4 * id) : NORMAL;
}

static enum bs_status set(const struct reading *r, json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? bs_fail_memory(r->err) : BS_OK;
}

/* --- tokens --- */

static bool is_added(enum kind kind)
{
    return kind == CONTROL || kind == USER_DEFINED || kind == UNKNOWN;
}

/* The vocabulary, and the tokens that are looked for in a text before it is cut. */
static enum bs_status put_tokens(const struct reading *r, bool byte_level)
{
    json_t *vocab = json_object(), *added = json_array();
    enum bs_status status = set(r, json_object_get(r->root, "model"), "vocab", vocab) ||
                                    set(r, r->root, "added_tokens", added)
                                ? r->err->status
                                : BS_OK;
    for (size_t id = 0, at = 0; id < r->tokens->count && !status; id++) {
        struct bs_gguf_text text = bs_gguf_next_text(r->tokens, &at);
        enum kind kind = kind_of(r, id);
        if ((byte_level && kind == UNUSED) || !text.length)
            continue; /* fills up the vocabulary */
        if (json_object_getn(vocab, text.bytes, text.length))
            return bs_fail(r->err, BS_EDATA, "%s: tokenizer.ggml.tokens: token %zu stands twice",
                           r->gguf->path, id);
        if (json_object_setn_new(vocab, text.bytes, text.length, json_integer((json_int_t)id)))
            return bs_fail(r->err, BS_EDATA, "%s: tokenizer.ggml.tokens: token %zu is not UTF-8",
                           r->gguf->path, id);
        if (is_added(kind) &&
            json_array_append_new(added, json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id",
                                                   (json_int_t)id, "content", text.bytes,
                                                   text.length, "special", kind != USER_DEFINED,
                                                   "normalized", false, "single_word", false,
                                                   "lstrip", false, "rstrip", false)))
            status = bs_fail_memory(r->err);
    }
    return status;
}

static struct bs_gguf_text token(const struct reading *r, int64_t wanted)
{
    struct bs_gguf_text text = {"", 0};
    size_t at = 0;
    for (int64_t id = 0; id <= wanted; id++)
        text = bs_gguf_next_text(r->tokens, &at);
    return text;
}

/* --- around a text --- */

static enum bs_status add_around(const struct reading *r, const char *key, json_t *post)
{
    int64_t id = get_id(r, key);
    if (id < 0)
        return fail(r, key, "the id of a token, which is to be put around texts");
    struct bs_gguf_text text = token(r, id);
    json_t *content = json_stringn(text.bytes, text.length);
    if (!content)
        return fail(r, key, "the id of a token in UTF-8, which is to be put around texts");
    json_t *item = json_pack("{s:{s:O, s:i}}", "SpecialToken", "id", content, "type_id", 0);
    bool failed = json_array_append_new(json_object_get(post, "single"), item);
    item =
        json_pack("{s:O, s:[I], s:[O]}", "id", content, "ids", (json_int_t)id, "tokens", content);
    failed = json_object_setn_new(json_object_get(post, "special_tokens"), text.bytes, text.length,
                                  item) ||
             failed;
    json_decref(content);
    return failed ? bs_fail_memory(r->err) : BS_OK;
}

static enum bs_status put_around(const struct reading *r, bool bos)
{
    bool eos;
    if (get_flag(r, "add_bos_token", bos, &bos) || get_flag(r, "add_eos_token", false, &eos))
        return r->err->status;
    if (!bos && !eos)
        return BS_OK;
    json_t *post = json_pack("{s:s, s:[], s:[], s:{}}", "type", "TemplateProcessing", "single",
                             "pair", "special_tokens");
    if (set(r, r->root, "post_processor", post) || (bos && add_around(r, "bos_token_id", post)))
        return r->err->status;
    if (json_array_append_new(json_object_get(post, "single"),
                              json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0)))
        return bs_fail_memory(r->err);
    return eos ? add_around(r, "eos_token_id", post) : BS_OK;
}

/* --- models --- */

/* NULL after bs_fail. */
static const struct bs_gguf_cut *find_cut(const struct reading *r)
{
    json_t *name;
    const struct bs_gguf_cut *cut = NULL;
    if (!get_text(r, "pre", &name)) {
        cut = name ? bs_gguf_cut_find(json_string_value(name)) : NULL;
        if (!cut)
            bs_fail(r->err, BS_EUNSUPPORTED,
                    "%s: tokenizer.ggml.pre is %s%.60s: how this tokenizer cuts words is not known",
                    r->gguf->path, name ? "" : "missing", name ? json_string_value(name) : "");
    }
    json_decref(name);
    return cut;
}

/* GPT-2's: byte-level, with a list of merges. */
static enum bs_status read_byte_level(struct reading *r)
{
    const struct bs_gguf_cut *cut = find_cut(r);
    const struct bs_gguf_value *list = find(r, "merges");
    json_t *merges, *model = json_object_get(r->root, "model");
    if (!cut)
        return r->err->status;
    if (!list || !list->array || list->kind != BS_GGUF_STRING)
        return fail(r, "merges", "a list of texts");
    if (bs_gguf_json(r->gguf, list, &merges, r->err) || set(r, model, "merges", merges) ||
        set(r, model, "ignore_merges", json_boolean(cut->ignore_merges)) ||
        set(r, r->root, "pre_tokenizer", bs_gguf_cut_json(cut)) ||
        (cut->nfc && set(r, r->root, "normalizer", json_pack("{s:s}", "type", "NFC"))) ||
        put_tokens(r, true))
        return r->err->status;
    return put_around(r, cut->add_bos);
}

static enum bs_status put_merges(const struct reading *r, json_t *model)
{
    struct bs_gguf_piece *pieces = bs_calloc(r->tokens->count, sizeof *pieces);
    json_t *merges = NULL;
    if (!pieces)
        return bs_fail_memory(r->err);
    for (size_t id = 0, at = 0; id < r->tokens->count; id++) {
        struct bs_gguf_text text = bs_gguf_next_text(r->tokens, &at);
        float score;
        memcpy(&score, r->scores + 4 * id, sizeof score);
        if (kind_of(r, id) == NORMAL && text.length <= USHRT_MAX && score == score)
            pieces[id] = (struct bs_gguf_piece){text.bytes, text.length, score};
    }
    enum bs_status status = bs_gguf_merges(pieces, r->tokens->count, &merges, r->err);
    bs_free(pieces);
    return status ? status : set(r, model, "merges", merges);
}

/* SentencePiece's BPE: blanks are written as U+2581, what no token spells as tokens of bytes. */
static enum bs_status read_pieces(struct reading *r)
{
    static const char blank[] = "\u2581";
    json_t *model = json_object_get(r->root, "model");
    bool prefix, squeezes;
    int64_t unknown = get_id(r, "unknown_token_id");
    if (!r->scores)
        return fail(r, "scores", "a list of a number for each token");
    if (get_flag(r, "add_space_prefix", true, &prefix) ||
        get_flag(r, "remove_extra_whitespaces", false, &squeezes))
        return r->err->status;
    if (squeezes)
        return bs_fail(r->err, BS_EUNSUPPORTED,
                       "%s: tokenizer.ggml.remove_extra_whitespaces is true, expected false",
                       r->gguf->path);
    json_t *steps = json_array();
    if (set(r, r->root, "normalizer",
            json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", steps)) ||
        (prefix && json_array_append_new(
                       steps, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", blank))) ||
        json_array_append_new(steps, json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern",
                                               "String", " ", "content", blank)))
        return bs_fail_memory(r->err);
    struct bs_gguf_text text = token(r, unknown < 0 ? 0 : unknown);
    if (put_tokens(r, false) || set(r, model, "byte_fallback", json_true()) ||
        set(r, model, "fuse_unk", json_true()) ||
        set(r, model, "unk_token", json_stringn(text.bytes, text.length)) || put_merges(r, model))
        return r->err->status;
    return put_around(r, true);
}

static enum bs_status read_model(struct reading *r, const char *name)
{
    r->tokens = find(r, "tokens");
    if (!r->tokens || !r->tokens->array || r->tokens->kind != BS_GGUF_STRING || !r->tokens->count)
        return fail(r, "tokens", "a list of texts");
    if (r->tokens->count > INT32_MAX)
        return fail(r, "tokens", "a list of so few texts that ids can count them");
    if (get_list(r, "token_type", BS_GGUF_I32, &r->kinds) ||
        get_list(r, "scores", BS_GGUF_F32, &r->scores))
        return r->err->status;
    if (!strcmp(name, "gpt2"))
        return read_byte_level(r);
    if (!strcmp(name, "llama"))
        return read_pieces(r);
    const char *kind = !strcmp(name, "bert") ? ", WordPiece"
                       : !strcmp(name, "t5") ? ", Unigram"
                                             : "";
    return bs_fail(
        r->err, BS_EUNSUPPORTED,
        "%s: tokenizer.ggml.model '%.60s'%s is not supported, only gpt2 (byte-level BPE) "
        "and llama (SentencePiece's BPE)",
        r->gguf->path, name, kind);
}

static enum bs_status read_tokenizer(struct reading *r)
{
    json_t *name;
    enum bs_status status = get_text(r, "model", &name);
    if (!status && !name)
        status = bs_fail(r->err, BS_EUNSUPPORTED,
                         "%s: holds no tokenizer (tokenizer.ggml.model is missing)", r->gguf->path);
    if (!status && !(r->root = json_pack("{s:{s:s}}", "model", "type", "BPE")))
        status = bs_fail_memory(r->err);
    if (!status)
        status = read_model(r, json_string_value(name));
    json_decref(name);
    return status;
}

/* The token whose id stands at `key`, under the name that tokenizer_config.json has for it. */
static enum bs_status name_token(const struct reading *r, const char *key, const char *name,
                                 json_t *config)
{
    int64_t id = get_id(r, key);
    if (id < 0)
        return BS_OK;
    struct bs_gguf_text text = token(r, id);
    json_t *spelled = json_stringn(text.bytes, text.length);
    return spelled ? set(r, config, name, spelled) : fail(r, key, "the id of a token in UTF-8");
}

enum bs_status bs_gguf_tokenizer(const char *file, json_t **root, json_t *config,
                                 struct bs_error *err)
{
    struct bs_gguf_model model;
    struct reading r = {.err = err};
    *root = NULL;
    enum bs_status status = bs_gguf_open(file, &model, err);
    if (!status) {
        r.gguf = &model.parts->gguf;
        status = read_tokenizer(&r);
    }
    if (!status)
        status = name_token(&r, "bos_token_id", "bos_token", config);
    if (!status)
        status = name_token(&r, "eos_token_id", "eos_token", config);
    bs_gguf_close(&model);
    if (status)
        json_decref(r.root);
    else
        *root = r.root;
    return status;
}
