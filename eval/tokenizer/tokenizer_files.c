/* What transformers 5.24 does between the files and the tokenizers library, as far as ids go
 * (tokenization_utils_base.py: _from_pretrained, tokenization_utils_tokenizers.py: __init__). */
#include "eval/tokenizer/tokenizer_files.h"

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/tokenizer/token_additions.h"
#include "eval/tokenizer/tokenizer_class.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is known of a directory. */
struct loading {
    const char *directory;
    json_t *config;       /* tokenizer_config.json, then with older files merged into it; {} */
    json_t *model_config; /* config.json, or NULL */
    const struct bs_tokenizer_class *class;
    bool whole; /* there is a tokenizer.json */
    struct bs_tokenizer_files *files;
    struct bs_special_tokens specials;
    struct bs_error *err;
};

static bool file_exists(const char *directory, const char *name)
{
    char path[4096]; /* PATH_MAX of Linux: a longer one names no file */
    int size = snprintf(path, sizeof path, "%s/%s", directory, name);
    return size > 0 && (size_t)size < sizeof path && !access(path, F_OK);
}

/* The object in a file of the directory; *object stays NULL where there is no such file. */
static enum bs_status read_optional(const char *directory, const char *name, json_t **object,
                                    struct bs_error *err)
{
    *object = NULL;
    if (!file_exists(directory, name))
        return BS_OK;
    char *path = bs_printf("%s/%s", directory, name);
    enum bs_status status = path ? bs_json_read(path, object, err) : bs_fail_memory(err);
    bs_free(path);
    return status;
}

static bool flag(const json_t *object, const char *key, bool missing)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : missing;
}

/* --- tokenizer_config.json --- */

/* Options that would change ids and are not honoured. The rest of what a file may say is of
 * decoding, padding or chat, or transformers looks past it, too. */
static enum bs_status check_options(const struct loading *loading)
{
    const json_t *config = loading->config;
    const json_t *files = json_object_get(config, "fast_tokenizer_files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const char *name = json_string_value(json_array_get(files, i));
        if (!name || strcmp(name, "tokenizer.json"))
            return bs_fail(loading->err, BS_EUNSUPPORTED,
                           "%s/tokenizer_config.json: fast_tokenizer_files names '%.200s', only "
                           "tokenizer.json is read",
                           loading->directory, name ? name : "");
    }
    if (json_array_size(json_object_get(config, "init_inputs")))
        return bs_fail(loading->err, BS_EUNSUPPORTED,
                       "%s/tokenizer_config.json: init_inputs is not supported",
                       loading->directory);
    static const char *const flags[] = {
        "split_special_tokens", "add_prefix_space", "add_bos_token",
        "add_eos_token",        "legacy",           "fix_mistral_regex"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const json_t *value = json_object_get(config, flags[i]);
        if (value && !json_is_boolean(value) && !json_is_null(value))
            return bs_fail(loading->err, BS_EDATA,
                           "%s/tokenizer_config.json: %s is not true, false or null",
                           loading->directory, flags[i]);
    }
    return BS_OK;
}

/* Whether tokenizer.json holds the word "ByteLevel", in quotes, anywhere. */
static enum bs_status find_byte_level(const struct loading *loading, bool *found)
{
    static const char word[] = "\"ByteLevel\"";
    struct bs_map map;
    *found = false;
    if (!loading->whole)
        return BS_OK;
    char *path = bs_printf("%s/tokenizer.json", loading->directory);
    enum bs_status status =
        path ? bs_map_open(path, &map, loading->err) : bs_fail_memory(loading->err);
    bs_free(path);
    if (status)
        return status;
    size_t size = sizeof word - 1;
    for (size_t at = 0; !*found && map.size >= size && at <= map.size - size; at++) {
        const unsigned char *quote = memchr(map.data + at, '"', map.size - size + 1 - at);
        if (!quote)
            break;
        at = (size_t)(quote - map.data);
        *found = !memcmp(quote, word, size);
    }
    bs_map_close(&map);
    return BS_OK;
}

static enum bs_status read_configs(struct loading *loading)
{
    struct bs_error *err = loading->err;
    bool byte_level;
    if (read_optional(loading->directory, "tokenizer_config.json", &loading->config, err) ||
        read_optional(loading->directory, "config.json", &loading->model_config, err))
        return err->status;
    if (!loading->config && !(loading->config = json_object()))
        return bs_fail_memory(err);
    loading->whole = file_exists(loading->directory, "tokenizer.json");
    if (check_options(loading) || find_byte_level(loading, &byte_level))
        return err->status;
    return bs_tokenizer_class_find(loading->directory, loading->config, loading->model_config,
                                   byte_level, &loading->class, err);
}

/* --- vocab.json and merges.txt --- */

/* The lines of merges.txt, less one that names the version. */
static enum bs_status read_merges(const char *path, json_t *merges, struct bs_error *err)
{
    struct bs_map map;
    if (bs_map_open(path, &map, err))
        return err->status;
    enum bs_status status = BS_OK;
    const char *at = map.size ? (const char *)map.data : "", *end = at + map.size;
    for (size_t line = 1; at < end && !status; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        size_t size = (size_t)(stop - at);
        size -= newline && size > 0 && at[size - 1] == '\r';
        json_t *text = json_stringn(at, size);
        if (!text)
            status = bs_fail(err, BS_EDATA, "%s: line %zu is not UTF-8", path, line);
        else if (size >= 8 && !memcmp(at, "#version", 8))
            json_decref(text);
        else if (json_array_append_new(merges, text))
            status = bs_fail_memory(err);
        at = newline ? newline + 1 : end;
    }
    bs_map_close(&map);
    return status;
}

static enum bs_status read_parts(struct loading *loading)
{
    struct bs_error *err = loading->err;
    json_t *vocab;
    assert(loading->class);
    if (!loading->class->vocab_files)
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s: vocab.json and merges.txt of a %s are not read; transformers can write "
                       "tokenizer.json from them: "
                       "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                       loading->directory, loading->class->name);
    if (bs_json_read(loading->files->place, &vocab, err))
        return err->status;
    json_t *root =
        json_pack("{s:{s:s, s:o, s:[]}}", "model", "type", "BPE", "vocab", vocab, "merges");
    loading->files->root = root;
    char *path = bs_printf("%s/merges.txt", loading->directory);
    enum bs_status status = path && root ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = read_merges(path, json_object_get(json_object_get(root, "model"), "merges"), err);
    bs_free(path);
    return status;
}

static enum bs_status fail_missing(const char *directory, struct bs_error *err)
{
    if (file_exists(directory, "tokenizer.model"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s/tokenizer.json is missing, and tokenizer.model (SentencePiece) alone is "
                       "not read; transformers can write the one from the other: "
                       "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                       directory);
    return bs_fail(err, BS_EIO,
                   "%s/tokenizer.json cannot be opened, and there is no vocab.json with a "
                   "merges.txt either",
                   directory);
}

static enum bs_status read_root(struct loading *loading)
{
    const char *directory = loading->directory;
    bool parts = file_exists(directory, "vocab.json") && file_exists(directory, "merges.txt");
    struct bs_tokenizer_files *files = loading->files;
    if (!loading->whole && !parts)
        return fail_missing(directory, loading->err);
    files->place = bs_printf("%s/%s", directory, loading->whole ? "tokenizer.json" : "vocab.json");
    if (!files->place)
        return bs_fail_memory(loading->err);
    return loading->whole ? bs_json_read(files->place, &files->root, loading->err)
                          : read_parts(loading);
}

/* --- the tokens by id --- */

static int compare_pairs(const void *left, const void *right)
{
    const json_t *const *a = left, *const *b = right;
    json_int_t first = json_integer_value(json_array_get(*a, 0));
    json_int_t second = json_integer_value(json_array_get(*b, 0));
    return (first > second) - (first < second);
}

/* The list [[id, token], ...] of a map from id to token, in the order of the ids; NULL when memory
 * runs out. */
static json_t *sort_pairs(json_t *by_id)
{
    size_t count = json_object_size(by_id), used = 0;
    json_t **pairs = bs_calloc(count, sizeof *pairs), *list = json_array(), *token;
    const char *id;
    bool done = pairs && list;
    json_object_foreach(by_id, id, token)
    {
        if (done)
            done = (pairs[used++] = json_pack("[I, O]", (json_int_t)strtoll(id, NULL, 10), token));
    }
    if (done && count)
        qsort(pairs, count, sizeof *pairs, compare_pairs);
    for (size_t i = 0; pairs && i < used; i++) {
        done = done && !json_array_append(list, pairs[i]);
        json_decref(pairs[i]);
    }
    bs_free(pairs);
    if (done)
        return list;
    json_decref(list);
    return NULL;
}

static enum bs_status put_by_id(const struct loading *loading, json_t *by_id, json_int_t id,
                                json_t *token)
{
    char key[32];
    snprintf(key, sizeof key, "%" JSON_INTEGER_FORMAT, id);
    return token && !json_object_set_new(by_id, key, token) ? BS_OK : bs_fail_memory(loading->err);
}

/* added_tokens_decoder: a map from ids, written as texts. */
static enum bs_status list_decoder(const struct loading *loading, json_t *decoder, json_t *by_id)
{
    const char *key;
    json_t *token;
    json_object_foreach(decoder, key, token)
    {
        char *end;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        if (end == key || *end || errno || !json_is_object(token))
            return bs_fail(loading->err, BS_EDATA,
                           "%s/tokenizer_config.json: added_tokens_decoder: '%.100s' is no id of a "
                           "token",
                           loading->directory, key);
        if (put_by_id(loading, by_id, id, json_incref(token)))
            return loading->err->status;
    }
    return BS_OK;
}

static bool spelled_so(const json_t *token, const char *text, size_t size)
{
    const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
    return json_is_string(content) && json_string_length(content) == size &&
           !memcmp(json_string_value(content), text, size);
}

/* Whether one of the special tokens that the config names is spelled so. */
static bool is_special(const json_t *config, const char *text, size_t size)
{
    for (int i = 0; i < BS_SPECIAL_TOKENS; i++)
        if (spelled_so(json_object_get(config, bs_special_keys[i]), text, size))
            return true;
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(config, "extra_special_tokens"), i, token)
    {
        if (spelled_so(token, text, size))
            return true;
    }
    return false;
}

/* added_tokens.json, a map from spelling to id. */
static enum bs_status list_added(const struct loading *loading, json_t *by_id)
{
    const char *text;
    size_t size;
    json_t *id, *added;
    if (read_optional(loading->directory, "added_tokens.json", &added, loading->err))
        return loading->err->status;
    enum bs_status status = BS_OK;
    json_object_keylen_foreach(added, text, size, id)
    {
        bool special = is_special(loading->config, text, size);
        if (status)
            break;
        if (json_is_integer(id))
            status = put_by_id(loading, by_id, json_integer_value(id),
                               json_pack("{s:s%, s:b, s:b}", "content", text, size, "special",
                                         special, "normalized", !special));
        else
            status = bs_fail(loading->err, BS_EDATA, "%s/added_tokens.json: '%.200s' has no id",
                             loading->directory, text);
    }
    json_decref(added);
    return status;
}

/* The tokens that tokenizer.json itself adds. */
static enum bs_status list_own(const struct loading *loading, json_t *by_id)
{
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(loading->files->root, "added_tokens"), i, token)
    {
        const json_t *id = json_object_get(token, "id");
        if (!json_is_integer(id) || !json_is_string(json_object_get(token, "content")))
            return bs_fail(loading->err, BS_EDATA,
                           "%s: added_tokens: '%.200s' has no valid id or content",
                           loading->files->place,
                           json_is_string(json_object_get(token, "content"))
                               ? json_string_value(json_object_get(token, "content"))
                               : "");
        if (put_by_id(loading, by_id, json_integer_value(id), json_incref(token)))
            return loading->err->status;
    }
    return BS_OK;
}

/* --- older files --- */

/* additional_special_tokens is the old name of extra_special_tokens. */
static bool rename_extra(json_t *config)
{
    const json_t *extra = json_object_get(config, "extra_special_tokens");
    json_t *additional = json_object_get(config, "additional_special_tokens");
    if (!additional || json_array_size(extra) || json_object_size(extra))
        return true;
    return !json_object_set(config, "extra_special_tokens", additional) &&
           !json_object_del(config, "additional_special_tokens");
}

/* The tokens of `more` that are not in `list` yet go to its end. */
static bool extend_list(json_t *list, const json_t *more)
{
    size_t i, j;
    json_t *token, *there;
    bool done = true;
    json_array_foreach(more, i, token)
    {
        bool found = false;
        json_array_foreach(list, j, there) found = found || json_equal(there, token);
        done = done && (found || !json_array_append(list, token));
    }
    return done;
}

/* special_tokens_map.json counts before the config. */
static enum bs_status merge_map(struct loading *loading)
{
    json_t *map, *value;
    const char *key;
    if (read_optional(loading->directory, "special_tokens_map.json", &map, loading->err))
        return loading->err->status;
    bool done = true;
    json_object_foreach(map, key, value)
    {
        json_t *there = json_object_get(loading->config, key);
        if (!strcmp(key, "extra_special_tokens") && json_is_array(value) && json_is_array(there))
            done = done && extend_list(there, value);
        else
            done = done && !json_object_set(loading->config, key, value);
    }
    json_decref(map);
    return done ? BS_OK : bs_fail_memory(loading->err);
}

/* A list of tokens by id from added_tokens_decoder, or else from the older files. */
static enum bs_status list_tokens(struct loading *loading, json_t **listed)
{
    json_t *decoder = json_object_get(loading->config, "added_tokens_decoder");
    json_t *by_id = json_object();
    enum bs_status status =
        by_id && rename_extra(loading->config) ? BS_OK : bs_fail_memory(loading->err);
    if (!status && decoder) {
        status = list_decoder(loading, decoder, by_id);
    } else if (!status) {
        status = merge_map(loading);
        if (!status)
            status = list_added(loading, by_id);
        if (!status && loading->class->model) /* else they are there already */
            status = list_own(loading, by_id);
    }
    *listed = status ? NULL : sort_pairs(by_id);
    json_decref(by_id);
    return status || *listed ? status : bs_fail_memory(loading->err);
}

/* --- the pipeline --- */

/* Appends a special token to a template and to its tokens. */
static enum bs_status add_to_template(const struct loading *loading, const char *key,
                                      json_t *single, json_t *specials)
{
    json_t *content = json_object_get(json_object_get(loading->specials.named, key), "content");
    json_int_t id = bs_token_id(loading->files->root, content);
    if (id < 0)
        return bs_fail(loading->err, BS_EDATA,
                       "%s/tokenizer_config.json: %s '%.200s' is to be put around a text, but is "
                       "no token",
                       loading->directory, key, json_string_value(content));
    json_t *ids = json_pack("{s:O, s:[I], s:[O]}", "id", content, "ids", id, "tokens", content);
    bool done = !json_array_append_new(single, json_pack("{s:{s:O, s:i}}", "SpecialToken", "id",
                                                         content, "type_id", 0)) &&
                ids &&
                !json_object_setn_nocheck(specials, json_string_value(content),
                                          json_string_length(content), ids);
    json_decref(ids);
    return done ? BS_OK : bs_fail_memory(loading->err);
}

/* Replaces the post_processor: BOS in front and EOS at the end, as asked, where they are named. */
static enum bs_status set_template(const struct loading *loading, bool bos, bool eos)
{
    json_t *post = json_pack("{s:s, s:[], s:[], s:{}}", "type", "TemplateProcessing", "single",
                             "pair", "special_tokens");
    json_t *single = json_object_get(post, "single");
    json_t *specials = json_object_get(post, "special_tokens");
    const json_t *named = loading->specials.named;
    enum bs_status status = post ? BS_OK : bs_fail_memory(loading->err);
    if (!status && bos && json_object_get(named, "bos_token"))
        status = add_to_template(loading, "bos_token", single, specials);
    if (!status && json_array_append_new(
                       single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0)))
        status = bs_fail_memory(loading->err);
    if (!status && eos && json_object_get(named, "eos_token"))
        status = add_to_template(loading, "eos_token", single, specials);
    if (!status && json_object_set(loading->files->root, "post_processor", post))
        status = bs_fail_memory(loading->err);
    json_decref(post);
    return status;
}

/* With a tokenizer.json its post_processor counts and the config's add_bos_token and add_eos_token
 * do not, whatever they say. */
static enum bs_status apply_template(const struct loading *loading)
{
    const struct bs_tokenizer_class *class = loading->class;
    const json_t *config = loading->config;
    bool named =
        json_object_get(config, "add_bos_token") || json_object_get(config, "add_eos_token");
    if (loading->whole)
        return class->sets_template ? set_template(loading, class->add_bos, false) : BS_OK;
    if (!class->sets_template && !named)
        return BS_OK;
    return set_template(loading, flag(config, "add_bos_token", class->add_bos),
                        flag(config, "add_eos_token", false));
}

/* The split pattern of Mistral's tekken, which fix_mistral_regex puts in place of a wrong one. */
static const char mistral_split[] =
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
    "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"
    "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*"
    "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false}";

/* Whether transformers takes a directory for one of Mistral's from before its version 5. */
static bool is_old_mistral(const struct loading *loading)
{
    static const char *const types[] = {"mistral",   "mistral3", "voxtral",
                                        "ministral", "pixtral",  NULL};
    const char *type = json_string_value(json_object_get(loading->model_config, "model_type"));
    const char *version =
        json_string_value(json_object_get(loading->model_config, "transformers_version"));
    return loading->model_config && (!type || bs_word_in(type, types)) &&
           (!version || strtol(version, NULL, 10) < 5);
}

static enum bs_status fix_mistral(const struct loading *loading)
{
    enum { LARGE_VOCABULARY = 100000 };
    json_t *root = loading->files->root, *pre = json_object_get(root, "pre_tokenizer");
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const char *type = json_string_value(json_object_get(pre, "type"));
    json_t *parts = json_object_get(pre, "pretokenizers");
    if (!flag(loading->config, "fix_mistral_regex", false) || !is_old_mistral(loading) || !type ||
        json_object_size(vocab) + json_array_size(vocab) <= LARGE_VOCABULARY)
        return BS_OK;
    json_t *split = json_loads(mistral_split, 0, NULL);
    bool done;
    if (json_is_array(parts)) {
        done = split && !json_array_set(parts, 0, split);
    } else {
        json_t *rest = strcmp(type, "Metaspace")
                           ? json_incref(pre)
                           : json_pack("{s:s, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                                       false, "use_regex", false);
        json_t *both =
            json_pack("{s:s, s:[O, o]}", "type", "Sequence", "pretokenizers", split, rest);
        done = both && !json_object_set_new(root, "pre_tokenizer", both);
    }
    json_decref(split);
    return done ? BS_OK : bs_fail_memory(loading->err);
}

/* --- all of it --- */

/* A class with a pipeline of its own begins without added tokens. */
static enum bs_status prepare_root(const struct loading *loading)
{
    json_t *root = loading->files->root, *added = json_object_get(root, "added_tokens");
    json_t *config = loading->config;
    if (added && !json_is_null(added) && !json_is_array(added))
        return bs_fail(loading->err, BS_EDATA, "%s: added_tokens is no list",
                       loading->files->place);
    if (!json_is_array(added) || loading->class->model)
        if (json_object_set_new(root, "added_tokens", json_array()))
            return bs_fail_memory(loading->err);
    /* the token that fills up short texts, where it stands with the settings of a call */
    json_t *pad = json_object_get(json_object_get(root, "padding"), "pad_token");
    if (pad && !loading->class->model && !json_object_get(config, "pad_token") &&
        json_object_set(config, "pad_token", pad))
        return bs_fail_memory(loading->err);
    return BS_OK;
}

static enum bs_status build(struct loading *loading)
{
    struct bs_tokenizer_files *files = loading->files;
    struct bs_error *err = loading->err;
    json_t *listed = NULL;
    enum bs_status status = list_tokens(loading, &listed);
    if (!status)
        status = prepare_root(loading);
    if (!status)
        status = bs_tokenizer_class_build(loading->class, files->place, loading->config,
                                          files->root, err);
    if (!status)
        status = bs_tokens_add(loading->directory, loading->class, loading->config, listed,
                               files->root, &loading->specials, err);
    if (!status)
        status = fix_mistral(loading);
    if (!status)
        status = apply_template(loading);
    files->split_special_tokens = flag(loading->config, "split_special_tokens", false);
    json_decref(listed);
    return status;
}

enum bs_status bs_tokenizer_files_read(const char *directory, struct bs_tokenizer_files *files,
                                       struct bs_error *err)
{
    *files = (struct bs_tokenizer_files){0};
    struct loading loading = {.directory = directory, .files = files, .err = err};
    enum bs_status status = read_configs(&loading);
    if (!status)
        status = read_root(&loading);
    if (!status)
        status = build(&loading);
    bs_special_tokens_release(&loading.specials);
    files->config = loading.config;
    json_decref(loading.model_config);
    return status;
}

void bs_tokenizer_files_release(struct bs_tokenizer_files *files)
{
    json_decref(files->root);
    json_decref(files->config);
    bs_free(files->place);
    *files = (struct bs_tokenizer_files){0};
}
