/* The pipeline of the tokenizers library: added tokens are cut out of the text, what is between is
 * normalized, those added tokens are cut out that are looked for in normalized text, the rest is
 * cut into words, each word is encoded on its own, and the post_processor puts special tokens
 * around. */
#include "eval/tokenizer/tokenizer.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/gguf/gguf.h"
#include "eval/hub/adapter.h"
#include "eval/tokenizer/added_tokens.h"
#include "eval/tokenizer/gguf_tokenizer.h"
#include "eval/tokenizer/normalizer.h"
#include "eval/tokenizer/post_processor.h"
#include "eval/tokenizer/pre_tokenizer.h"
#include "eval/tokenizer/token_options.h"
#include "eval/tokenizer/tokenizer_files.h"
#include "eval/tokenizer/word_model.h"

#include <string.h>
#include <sys/stat.h>

static const struct bs_word_model *const word_models[] = {&bs_bpe_model, &bs_unigram_model};

struct bs_tokenizer {
    struct bs_normalizer *normalizer;
    struct bs_pre_tokenizer *pre_tokenizer;
    const struct bs_word_model *model;
    void *model_state;
    struct bs_vocabulary *vocabulary;
    struct bs_added_tokens *added;
    struct bs_post_processor post;
    struct bs_lines notices;
    struct {
        char *text; /* NULL = none */
        int32_t id;
    } named[BS_NAMED_TOKENS];
};

/* What one call of bs_tokenizer_encode works with. */
struct encoder {
    const struct bs_tokenizer *tokenizer;
    struct bs_matcher *matcher;
    struct bs_pre_tokenizer_work *pre_work;
    void *model_work;
    struct bs_buffer buffers[2]; /* of the normalizer, used again from piece to piece */
    struct bs_ids list;
    struct bs_error *err;
};

/* --- opening --- */

static enum bs_status read_model(struct bs_tokenizer *tokenizer, const char *place, json_t *model,
                                 struct bs_error *err)
{
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!json_is_object(model))
        return bs_fail(err, BS_EDATA, "%s: model is missing or no object", place);
    for (size_t i = 0; type && i < sizeof word_models / sizeof *word_models; i++)
        if (!strcmp(word_models[i]->type, type)) {
            tokenizer->model = word_models[i];
            return word_models[i]->read(place, model, &tokenizer->model_state,
                                        &tokenizer->vocabulary, err);
        }
    return bs_fail(err, BS_EUNSUPPORTED,
                   "%s: model type '%.100s' is not supported, only BPE and Unigram", place,
                   type ? type : "");
}

static enum bs_status read_tokenizer(struct bs_tokenizer *tokenizer,
                                     const struct bs_tokenizer_files *files, struct bs_error *err)
{
    const char *place = files->place;
    json_t *root = files->root;
    /* truncation and padding are settings of a call that happened to be saved; decoder is for the
     * way back. */
    static const char *const known[] = {
        "version",        "truncation", "padding",      "normalizer", "pre_tokenizer",
        "post_processor", "decoder",    "added_tokens", "model",      NULL};
    if (bs_json_check_keys(place, root, known, err) ||
        bs_normalizer_create(place, json_object_get(root, "normalizer"), &tokenizer->normalizer,
                             err) ||
        bs_pre_tokenizer_create(place, json_object_get(root, "pre_tokenizer"),
                                &tokenizer->pre_tokenizer, err) ||
        bs_post_processor_read(place, json_object_get(root, "post_processor"), &tokenizer->post,
                               err) ||
        read_model(tokenizer, place, json_object_get(root, "model"), err) ||
        bs_token_options_note(files->config, root, &tokenizer->post, &tokenizer->notices, err))
        return err->status;
    return bs_added_tokens_create(place, json_object_get(root, "added_tokens"),
                                  tokenizer->vocabulary, tokenizer->normalizer,
                                  files->split_special_tokens, &tokenizer->added, err);
}

/* Of a GGUF file, which is all there is of it, or of a folder. */
static enum bs_status read_files(const char *place, struct bs_tokenizer_files *files,
                                 struct bs_error *err)
{
    char *file;
    if (bs_gguf_place(place, &file, err))
        return err->status;
    if (!file)
        return bs_tokenizer_files_read(place, files, err);
    files->place = file;
    files->config = json_object();
    return files->config ? bs_gguf_tokenizer(file, &files->root, files->config, err)
                         : bs_fail_memory(err);
}

/* A name that is a text, or a token with its flags. */
static const char *spelled(const json_t *config, const char *key)
{
    const json_t *token = json_object_get(config, key);
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

/* The tokens that the files name; what the tokenizer does not know as one token is none. */
static enum bs_status name_tokens(struct bs_tokenizer *tokenizer, const json_t *config,
                                  struct bs_error *err)
{
    static const char *const keys[] = {[BS_NAMED_BOS] = "bos_token", [BS_NAMED_EOS] = "eos_token"};
    for (int k = 0; k < BS_NAMED_TOKENS; k++) {
        const char *text = spelled(config, keys[k]);
        int32_t *ids;
        size_t count;
        tokenizer->named[k].id = -1;
        if (!text || !*text)
            continue;
        if (bs_tokenizer_encode(tokenizer, text, strlen(text), false, &ids, &count, err))
            return err->status;
        if (count == 1) {
            tokenizer->named[k].id = ids[0];
            tokenizer->named[k].text = bs_strdup(text);
        }
        bs_free(ids);
        if (count == 1 && !tokenizer->named[k].text)
            return bs_fail_memory(err);
    }
    return BS_OK;
}

/* Whether an adapter's folder has a tokenizer of its own. */
static bool has_own(const char *directory)
{
    char *path = bs_printf("%s/tokenizer_config.json", directory);
    struct stat info;
    bool there = path && !stat(path, &info);
    bs_free(path);
    return there;
}

enum bs_status bs_tokenizer_open(const char *directory, struct bs_tokenizer **tokenizer,
                                 struct bs_error *err)
{
    *tokenizer = NULL;
    char *base;
    struct bs_tokenizer_files files = {0};
    struct bs_tokenizer *opened = bs_calloc(1, sizeof *opened);
    enum bs_status status = bs_adapter_base(directory, &base, err);
    if (!status && !opened)
        status = bs_fail_memory(err);
    if (!status)
        status = read_files(base && !has_own(directory) ? base : directory, &files, err);
    if (!status)
        status = read_tokenizer(opened, &files, err);
    if (!status)
        status = name_tokens(opened, files.config, err);
    bs_tokenizer_files_release(&files);
    bs_free(base);
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
    bs_normalizer_free(tokenizer->normalizer);
    bs_pre_tokenizer_free(tokenizer->pre_tokenizer);
    if (tokenizer->model)
        tokenizer->model->free(tokenizer->model_state);
    bs_vocabulary_free(tokenizer->vocabulary);
    bs_added_tokens_free(tokenizer->added);
    bs_post_processor_release(&tokenizer->post);
    bs_lines_release(&tokenizer->notices);
    for (int k = 0; k < BS_NAMED_TOKENS; k++)
        bs_free(tokenizer->named[k].text);
    bs_free(tokenizer);
}

const struct bs_lines *bs_tokenizer_notices(const struct bs_tokenizer *tokenizer)
{
    return &tokenizer->notices;
}

int bs_tokenizer_vocab_size(const struct bs_tokenizer *tokenizer)
{
    int32_t last = bs_vocabulary_last_id(tokenizer->vocabulary);
    int32_t added = bs_added_tokens_last_id(tokenizer->added);
    int32_t around = bs_post_processor_last_id(&tokenizer->post);
    last = added > last ? added : last;
    return (around > last ? around : last) + 1;
}

int32_t bs_tokenizer_named(const struct bs_tokenizer *tokenizer, enum bs_named_token which,
                           const char **text)
{
    if (text)
        *text = tokenizer->named[which].text;
    return tokenizer->named[which].id;
}

int32_t bs_tokenizer_bos(const struct bs_tokenizer *tokenizer)
{
    int32_t first = tokenizer->post.parts.ids[0];
    return first == BS_TEXT ? -1 : first;
}

const char *bs_tokenizer_piece(const struct bs_tokenizer *tokenizer, int32_t id, size_t *size)
{
    const char *piece = bs_vocabulary_token(tokenizer->vocabulary, id, size);
    return piece ? piece : bs_added_tokens_text(tokenizer->added, id, size);
}

/* --- encoding --- */

static enum bs_status encode_word(void *context, const char *word, size_t size,
                                  struct bs_error *err)
{
    struct encoder *encoder = context;
    const struct bs_tokenizer *tokenizer = encoder->tokenizer;
    return tokenizer->model->encode(tokenizer->model_state, tokenizer->vocabulary,
                                    encoder->model_work, word, size, &encoder->list, err);
}

/* A piece of text between added tokens; see bs_pre_tokenizer_run for `origin`. */
typedef enum bs_status (*encode_piece)(struct encoder *encoder, const char *text, size_t size,
                                       size_t origin);

static enum bs_status encode_words(struct encoder *encoder, const char *text, size_t size,
                                   size_t origin)
{
    const struct bs_word_sink sink = {.take = encode_word, .context = encoder};
    return bs_pre_tokenizer_run(encoder->pre_work, encoder->matcher, text, size, origin, &sink,
                                encoder->err);
}

/* Cuts out the added tokens of one pass and hands what is between to `piece`. */
static enum bs_status cut_added(struct encoder *encoder, bool normalized, const char *text,
                                size_t size, size_t origin, encode_piece piece)
{
    struct bs_added_cursor cursor = {0};
    struct bs_added_match match = {0};
    for (size_t from = 0; match.id >= 0; from = match.end) {
        if (bs_added_tokens_find(encoder->tokenizer->added, normalized, encoder->matcher, text,
                                 size, &cursor, &match, encoder->err))
            return encoder->err->status;
        if (match.begin > from &&
            piece(encoder, text + from, match.begin - from, origin > from ? origin - from : 0))
            return encoder->err->status;
        if (match.id >= 0 && bs_ids_append(&encoder->list, match.id, encoder->err))
            return encoder->err->status;
    }
    return BS_OK;
}

static enum bs_status encode_normalized(struct encoder *encoder, const char *text, size_t size,
                                        size_t origin)
{
    struct bs_normalized normalized = {
        .text = text,
        .size = size,
        .origin = origin,
        .buffers = {encoder->buffers[0], encoder->buffers[1]},
    };
    enum bs_status status = bs_normalizer_run(encoder->tokenizer->normalizer, encoder->matcher,
                                              &normalized, encoder->err);
    memcpy(encoder->buffers, normalized.buffers, sizeof encoder->buffers);
    if (!status)
        status = cut_added(encoder, true, normalized.text, normalized.size, normalized.origin,
                           encode_words);
    return status;
}

static enum bs_status encode_text(struct encoder *encoder, const char *text, size_t size)
{
    encoder->matcher = bs_matcher_create(size);
    encoder->pre_work = bs_pre_tokenizer_work_create(encoder->tokenizer->pre_tokenizer);
    encoder->model_work = encoder->tokenizer->model->work_create();
    if (!encoder->matcher || !encoder->pre_work || !encoder->model_work)
        return bs_fail_memory(encoder->err);
    /* English has four bytes a token; the list grows where that is too few */
    if (bs_ids_reserve(&encoder->list, size / 4 + 1, encoder->err))
        return encoder->err->status;
    return cut_added(encoder, false, text, size, size ? bs_utf8_bytes(*text) : 0,
                     encode_normalized);
}

static void encoder_release(struct encoder *encoder)
{
    bs_matcher_free(encoder->matcher);
    bs_pre_tokenizer_work_free(encoder->pre_work);
    encoder->tokenizer->model->work_free(encoder->model_work);
    bs_buffer_release(&encoder->buffers[0]);
    bs_buffer_release(&encoder->buffers[1]);
    bs_ids_release(&encoder->list);
}

enum bs_status bs_tokenizer_encode(const struct bs_tokenizer *tokenizer, const char *text,
                                   size_t size, bool add_special_tokens, int32_t **ids,
                                   size_t *count, struct bs_error *err)
{
    struct encoder encoder = {.tokenizer = tokenizer, .err = err};
    struct bs_ids out = {0};
    *ids = NULL;
    *count = 0;
    enum bs_status status = bs_utf8_check(text, size, err);
    if (!status)
        status = encode_text(&encoder, text, size);
    if (!status)
        status = bs_ids_reserve(&out, encoder.list.count, err);
    if (!status)
        status =
            bs_post_processor_run(&tokenizer->post, add_special_tokens, &encoder.list, &out, err);
    encoder_release(&encoder);
    if (status) {
        bs_ids_release(&out);
        return status;
    }
    *ids = out.ids;
    *count = out.count;
    return BS_OK;
}
