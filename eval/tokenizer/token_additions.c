/* What transformers 5.24 adds (tokenization_utils_tokenizers.py) and what the tokenizers library
 * then makes of it (tokenizer/added_vocabulary.rs): a token that is there gets the new flags, a new
 * one the id that the vocabulary has for it, or the next free one. */
#include "eval/tokenizer/token_additions.h"

#include "eval/base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* What is being built. */
struct adding {
    const char *directory;
    json_t *root, *list; /* root["added_tokens"] */
    json_t *by_content;  /* its entries, by spelling */
    json_t *new_tokens;  /* tokens to be added, in order */
    json_t *seen;        /* spellings that are there or among new_tokens */
    struct bs_special_tokens *specials;
    struct bs_error *err;
};

static const char *const flag_keys[] = {"single_word", "lstrip",  "rstrip",
                                        "normalized",  "special", NULL};

static json_t *content_of(const json_t *token) { return json_object_get(token, "content"); }

static json_t *find_content(const json_t *map, const json_t *content)
{
    return json_object_getn(map, json_string_value(content), json_string_length(content));
}

static bool set_content(json_t *map, const json_t *content, json_t *value)
{
    return !json_object_setn_nocheck(map, json_string_value(content), json_string_length(content),
                                     value);
}

static bool flag(const json_t *token, const char *key)
{
    return json_is_true(json_object_get(token, key));
}

/* --- ids --- */

/* The id in the model's vocabulary, a map (BPE) or a list of pairs (Unigram); -1 where none is. */
static json_int_t vocab_id(const json_t *root, const json_t *content)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *id = find_content(vocab, content);
    if (json_is_integer(id))
        return json_integer_value(id);
    for (size_t i = json_array_size(vocab); i > 0; i--)
        if (json_equal(json_array_get(json_array_get(vocab, i - 1), 0), content))
            return (json_int_t)i - 1;
    return -1;
}

json_int_t bs_token_id(const json_t *root, const json_t *content)
{
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(root, "added_tokens"), i, token)
    {
        if (json_equal(content_of(token), content))
            return json_integer_value(json_object_get(token, "id"));
    }
    return vocab_id(root, content);
}

/* The id that a token new to the vocabulary gets. */
static json_int_t next_id(const struct adding *adding)
{
    const json_t *vocab = json_object_get(json_object_get(adding->root, "model"), "vocab");
    json_int_t next = (json_int_t)json_object_size(vocab) + (json_int_t)json_array_size(vocab);
    size_t i;
    json_t *token;
    json_array_foreach(adding->list, i, token)
    {
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        if (id >= next && id < INT32_MAX)
            next = id + 1;
    }
    return next;
}

/* --- tokens --- */

/* What a flag is for a token given as a text or as an object; BS_EDATA where it is neither true nor
 * false. */
static enum bs_status read_flag(const struct adding *adding, const char *what, const json_t *value,
                                const char *key, bool missing, bool *set)
{
    const json_t *given = json_object_get(value, key);
    *set = json_is_boolean(given) ? json_is_true(given) : missing;
    if (!given || json_is_boolean(given) || json_is_null(given))
        return BS_OK;
    return bs_fail(adding->err, BS_EDATA, "%s: the tokenizer's %.200s: %s is not true or false",
                   adding->directory, what, key);
}

static enum bs_status fill_token(const struct adding *adding, const char *what, const json_t *value,
                                 bool special, json_t *token)
{
    const json_t *content = json_is_string(value) ? value : content_of(value);
    bool missing[] = {false, false, false, true, special || json_is_string(value)}, set;
    if (!json_is_string(content))
        return bs_fail(adding->err, BS_EDATA,
                       "%s: the tokenizer's %.200s is no token, expected a text or an object with "
                       "its content",
                       adding->directory, what);
    if (read_flag(adding, what, value, "special", missing[4], &set))
        return adding->err->status;
    missing[3] = !set; /* what is not special is normalized */
    json_t *copy = json_stringn_nocheck(json_string_value(content), json_string_length(content));
    if (json_object_set_new(token, "content", copy))
        return bs_fail_memory(adding->err);
    for (int i = 0; flag_keys[i]; i++) {
        if (read_flag(adding, what, value, flag_keys[i], missing[i], &set))
            return adding->err->status;
        if (json_object_set_new(token, flag_keys[i], json_boolean(set)))
            return bs_fail_memory(adding->err);
    }
    return BS_OK;
}

/* A token with all its flags: from a text, which is a special token, or from an object of flags;
 * `special` where that does not say. NULL after bs_fail. */
static json_t *make_token(const struct adding *adding, const char *what, const json_t *value,
                          bool special)
{
    json_t *token = json_object();
    enum bs_status status =
        token ? fill_token(adding, what, value, special, token) : bs_fail_memory(adding->err);
    if (!status)
        return token;
    json_decref(token);
    return NULL;
}

static bool same_flags(const json_t *a, const json_t *b)
{
    for (int i = 0; flag_keys[i]; i++)
        if (flag(a, flag_keys[i]) != flag(b, flag_keys[i]))
            return false;
    return true;
}

/* Adds a token to the list, or gives the one that is there its flags. It is looked for before the
 * text is normalized where any of the times it was added say so, and stays special. */
static enum bs_status add_to_list(struct adding *adding, const json_t *token)
{
    json_t *content = content_of(token), *there = find_content(adding->by_content, content);
    if (!json_string_length(content))
        return BS_OK;
    bool was_special = flag(there, "special"), special = was_special || flag(token, "special");
    bool normalized = flag(token, "normalized");
    if (there)
        normalized = flag(there, "normalized") && (was_special || normalized);
    json_t *entry = there ? json_incref(there) : json_object();
    bool done = entry != NULL;
    if (!there) {
        json_int_t id = vocab_id(adding->root, content);
        done = done &&
               !json_object_set_new(entry, "id", json_integer(id < 0 ? next_id(adding) : id)) &&
               !json_object_set(entry, "content", content) &&
               !json_array_append(adding->list, entry) &&
               set_content(adding->by_content, content, entry);
    }
    for (int i = 0; flag_keys[i] && done; i++)
        done = !json_object_set_new(entry, flag_keys[i], json_boolean(flag(token, flag_keys[i])));
    done = done && !json_object_set_new(entry, "special", json_boolean(special)) &&
           !json_object_set_new(entry, "normalized", json_boolean(normalized));
    json_decref(entry);
    return done ? BS_OK : bs_fail_memory(adding->err);
}

/* Puts a token among the new ones unless its spelling has been seen; takes it over, NULL after
 * bs_fail. */
static enum bs_status queue_token(struct adding *adding, json_t *token, bool even_seen)
{
    if (!token)
        return adding->err->status;
    json_t *content = content_of(token);
    bool done = true;
    if (even_seen || !find_content(adding->seen, content))
        done = set_content(adding->seen, content, json_true()) &&
               !json_array_append(adding->new_tokens, token);
    json_decref(token);
    return done ? BS_OK : bs_fail_memory(adding->err);
}

/* --- the special tokens --- */

/* Notes a named token; null takes away what the class assumes. */
static enum bs_status name_token(struct adding *adding, const char *name, const json_t *value)
{
    json_t *named = adding->specials->named;
    if (json_is_null(value)) {
        json_object_del(named, name);
        return BS_OK;
    }
    json_t *token = make_token(adding, name, value, true);
    if (!token)
        return adding->err->status;
    bool done =
        !json_object_set(token, "special", json_true()) && !json_object_set(named, name, token);
    json_decref(token);
    return done ? BS_OK : bs_fail_memory(adding->err);
}

static enum bs_status name_text(struct adding *adding, const char *name, const char *text)
{
    json_t *value = json_string(text);
    enum bs_status status = value ? name_token(adding, name, value) : bs_fail_memory(adding->err);
    json_decref(value);
    return status;
}

static bool is_special_key(const char *key) { return bs_word_in(key, bs_special_keys); }

/* A key of tokenizer_config.json such as "image_token" that names one more token. */
static bool names_token(const char *key, const json_t *value)
{
    size_t size = strlen(key);
    return size > 6 && !strcmp(key + size - 6, "_token") && !is_special_key(key) &&
           (json_is_string(value) || json_is_string(content_of(value)));
}

static enum bs_status name_all(struct adding *adding, const struct bs_tokenizer_class *class,
                               json_t *config)
{
    for (int i = 0; i < BS_SPECIAL_TOKENS; i++) {
        const json_t *value = json_object_get(config, bs_special_keys[i]);
        const char *assumed = class->specials[i];
        enum bs_status status = value     ? name_token(adding, bs_special_keys[i], value)
                                : assumed ? name_text(adding, bs_special_keys[i], assumed)
                                          : BS_OK;
        if (status)
            return status;
    }
    for (int i = 0; class->more && class->more[i]; i += 2)
        if (name_text(adding, class->more[i], class->more[i + 1]))
            return adding->err->status;
    const char *key;
    json_t *value;
    json_object_foreach(config, key, value)
    {
        if (names_token(key, value) && name_token(adding, key, value))
            return adding->err->status;
    }
    static const char *const maps[] = {"extra_special_tokens", "model_specific_special_tokens"};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        json_object_foreach(json_object_get(config, maps[i]), key, value)
        {
            if (name_token(adding, key, value))
                return adding->err->status;
        }
    return BS_OK;
}

/* The list of further special tokens, under its new or its old name. */
static enum bs_status read_extra(struct adding *adding, const json_t *config)
{
    const json_t *list = json_object_get(config, "extra_special_tokens");
    if (!json_is_array(list))
        list = json_object_get(config, "additional_special_tokens");
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        json_t *token = make_token(adding, "an entry of extra_special_tokens", value, true);
        if (!token)
            return adding->err->status;
        if (json_array_append_new(adding->specials->extra, token))
            return bs_fail_memory(adding->err);
    }
    return BS_OK;
}

/* Gives each named token the flags that the list by id has for it. */
static enum bs_status take_listed_flags(struct adding *adding, const json_t *listed)
{
    const char *name;
    json_t *token, *pair;
    size_t i;
    json_t *by_content = json_object();
    bool done = by_content != NULL;
    json_array_foreach(listed, i, pair)
    {
        json_t *other = json_array_get(pair, 1);
        done = done && set_content(by_content, content_of(other), other);
    }
    json_object_foreach(adding->specials->named, name, token)
    {
        const json_t *other = done ? find_content(by_content, content_of(token)) : NULL;
        for (int k = 0; other && flag_keys[k] && done; k++)
            done = !json_object_set(token, flag_keys[k], json_object_get(other, flag_keys[k]));
    }
    json_decref(by_content);
    return done ? BS_OK : bs_fail_memory(adding->err);
}

/* --- all of it --- */

static bool is_named(const struct adding *adding, const json_t *content)
{
    const char *name;
    json_t *token;
    json_object_foreach(adding->specials->named, name, token)
    {
        if (json_equal(content_of(token), content))
            return true;
    }
    return false;
}

static enum bs_status queue_all(struct adding *adding, const json_t *listed)
{
    size_t i;
    json_t *pair, *token;
    const char *name;
    json_array_foreach(listed, i, pair)
    {
        token = json_array_get(pair, 1);
        const json_t *there = find_content(adding->by_content, content_of(token));
        if (there && same_flags(there, token))
            continue;
        if (is_named(adding, content_of(token)) && json_object_set(token, "special", json_true()))
            return bs_fail_memory(adding->err);
        if (queue_token(adding, json_incref(token), true))
            return adding->err->status;
    }
    json_object_foreach(adding->specials->named, name, token)
    {
        if (queue_token(adding, json_incref(token), false))
            return adding->err->status;
    }
    json_array_foreach(adding->specials->extra, i, token)
    {
        if (queue_token(adding, json_incref(token), false))
            return adding->err->status;
    }
    return BS_OK;
}

/* Adds a special token once more, with its own flags or plain ones. */
static enum bs_status add_again(struct adding *adding, const json_t *token, bool keeps_flags)
{
    json_t *again =
        make_token(adding, "a special token", keeps_flags ? token : content_of(token), true);
    if (!again)
        return adding->err->status;
    enum bs_status status = json_object_set(again, "special", json_true())
                                ? bs_fail_memory(adding->err)
                                : add_to_list(adding, again);
    json_decref(again);
    return status;
}

static enum bs_status add_all(struct adding *adding, const struct bs_tokenizer_class *class)
{
    size_t i;
    const char *name;
    json_t *token;
    json_array_foreach(adding->new_tokens, i, token)
    {
        if (add_to_list(adding, token))
            return adding->err->status;
    }
    if (!class->adds_again)
        return BS_OK;
    json_object_foreach(adding->specials->named, name, token)
    {
        if (add_again(adding, token, class->keeps_flags))
            return adding->err->status;
    }
    json_array_foreach(adding->specials->extra, i, token)
    {
        if (add_again(adding, token, class->keeps_flags))
            return adding->err->status;
    }
    return BS_OK;
}

/* Notes what tokenizer.json adds by itself. */
static enum bs_status note_list(struct adding *adding)
{
    size_t i;
    json_t *token;
    bool done = adding->by_content && adding->seen && adding->new_tokens &&
                adding->specials->named && adding->specials->extra;
    json_array_foreach(adding->list, i, token)
    {
        const json_t *content = content_of(token);
        done =
            done && (!json_is_string(content) || (set_content(adding->by_content, content, token) &&
                                                  set_content(adding->seen, content, token)));
    }
    return done ? BS_OK : bs_fail_memory(adding->err);
}

/* The list by id, each with all its flags, in order. */
static enum bs_status complete_listed(const struct adding *adding, json_t *listed)
{
    size_t i;
    json_t *pair;
    json_array_foreach(listed, i, pair)
    {
        json_t *token =
            make_token(adding, "an entry of added_tokens_decoder", json_array_get(pair, 1), false);
        if (!token)
            return adding->err->status;
        if (json_array_set_new(pair, 1, token))
            return bs_fail_memory(adding->err);
    }
    return BS_OK;
}

enum bs_status bs_tokens_add(const char *directory, const struct bs_tokenizer_class *class,
                             json_t *config, json_t *listed, json_t *root,
                             struct bs_special_tokens *specials, struct bs_error *err)
{
    *specials = (struct bs_special_tokens){.named = json_object(), .extra = json_array()};
    struct adding adding = {.directory = directory,
                            .root = root,
                            .list = json_object_get(root, "added_tokens"),
                            .by_content = json_object(),
                            .new_tokens = json_array(),
                            .seen = json_object(),
                            .specials = specials,
                            .err = err};
    enum bs_status status = note_list(&adding);
    if (!status)
        status = complete_listed(&adding, listed);
    if (!status)
        status = name_all(&adding, class, config);
    if (!status)
        status = read_extra(&adding, config);
    if (!status)
        status = take_listed_flags(&adding, listed);
    if (!status)
        status = queue_all(&adding, listed);
    if (!status)
        status = add_all(&adding, class);
    json_decref(adding.by_content);
    json_decref(adding.new_tokens);
    json_decref(adding.seen);
    return status;
}

void bs_special_tokens_release(struct bs_special_tokens *specials)
{
    json_decref(specials->named);
    json_decref(specials->extra);
    *specials = (struct bs_special_tokens){0};
}
