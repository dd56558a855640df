/* What transformers 4.57 does between the files and the tokenizers library, as far as ids go
 * (tokenization_utils_base.py, tokenization_utils_fast.py, convert_slow_tokenizer.py). */
#include "eval/data/tokenizer_files.h"

#include "eval/base/file.h"
#include "eval/base/json.h"
#include "eval/base/mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A class of tokenizers: what it assumes where tokenizer_config.json is silent. */
struct family {
    const char *name; /* without the ending "Fast" */
    const char *bos, *eos, *unk, *pad;
    bool sets_template; /* add_bos_token and add_eos_token overrule the post_processor */
    bool add_bos;
    bool from_merges; /* its vocab.json and merges.txt are GPT-2's */
};

static const struct family families[] = {
    {"LlamaTokenizer", "<s>", "</s>", "<unk>", NULL, true, true, false},
    {"CodeLlamaTokenizer", "<s>", "</s>", "<unk>", NULL, true, true, false},
    {"GemmaTokenizer", "<bos>", "<eos>", "<unk>", "<pad>", true, true, false},
    {"GPTNeoXTokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, true, false,
     false},
    {"GPT2Tokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, false, false, true},
    {"CodeGenTokenizer", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, false, false,
     true},
    {"Qwen2Tokenizer", NULL, "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false, false,
     false},
    {"BloomTokenizer", "<s>", "</s>", "<unk>", "<pad>", false, false, false},
    {"PreTrainedTokenizer", NULL, NULL, NULL, NULL, false, false, false},
};
enum { NUM_FAMILIES = sizeof families / sizeof *families };

/* The class that belongs to a config.json, where tokenizer_config.json names none. */
static const struct {
    const char *model_type, *family;
} model_types[] = {
    {"llama", "LlamaTokenizer"},       {"mistral", "LlamaTokenizer"},
    {"mixtral", "LlamaTokenizer"},     {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},      {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"}, {"gpt_neox", "GPTNeoXTokenizer"},
    {"opt", "GPT2Tokenizer"},          {"gpt2", "GPT2Tokenizer"},
    {"phi", "CodeGenTokenizer"},       {"qwen2", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},       {"bloom", "BloomTokenizer"},
};

/* The special tokens that a config may name, in the order in which they are added. */
static const char *const special_keys[] = {"bos_token", "eos_token", "unk_token",  "sep_token",
                                           "pad_token", "cls_token", "mask_token", NULL};

/* What is known of a directory. */
struct files {
    const char *directory;
    json_t *config; /* tokenizer_config.json with special_tokens_map.json over it, or NULL */
    const struct family *family;
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

/* --- the class --- */

static const struct family *find_family(const char *name)
{
    size_t size = strlen(name);
    if (size > 4 && !strcmp(name + size - 4, "Fast"))
        size -= 4;
    for (int i = 0; i < NUM_FAMILIES; i++)
        if (strlen(families[i].name) == size && !strncmp(families[i].name, name, size))
            return &families[i];
    return &families[NUM_FAMILIES - 1];
}

static enum bs_status read_family(struct files *files, struct bs_error *err)
{
    json_t *model = NULL;
    const char *name = json_string_value(json_object_get(files->config, "tokenizer_class"));
    files->family = find_family(name ? name : "");
    if (name)
        return BS_OK;
    if (read_optional(files->directory, "config.json", &model, err))
        return err->status;
    const char *type = json_string_value(json_object_get(model, "model_type"));
    for (size_t i = 0; type && i < sizeof model_types / sizeof *model_types; i++)
        if (!strcmp(model_types[i].model_type, type))
            files->family = find_family(model_types[i].family);
    json_decref(model);
    return BS_OK;
}

/* Reads tokenizer_config.json; without a list of added tokens of its own, special_tokens_map.json
 * counts before it. */
static enum bs_status read_config(struct files *files, struct bs_error *err)
{
    json_t *map = NULL;
    if (read_optional(files->directory, "tokenizer_config.json", &files->config, err))
        return err->status;
    if (files->config && !json_object_get(files->config, "added_tokens_decoder") &&
        read_optional(files->directory, "special_tokens_map.json", &map, err))
        return err->status;
    bool done = !map || !json_object_update(files->config, map);
    json_decref(map);
    return done ? read_family(files, err) : bs_fail_memory(err);
}

/* --- tokens --- */

/* The spelling of a special token, which may be written as an object with flags. */
static const char *token_content(const json_t *token)
{
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

/* The spelling of one of special_keys: from the config, else what the class assumes, or NULL. */
static const char *special_token(const struct files *files, const char *key)
{
    const json_t *token = json_object_get(files->config, key);
    const struct family *family = files->family;
    if (token)
        return token_content(token);
    return !strcmp(key, "bos_token")   ? family->bos
           : !strcmp(key, "eos_token") ? family->eos
           : !strcmp(key, "unk_token") ? family->unk
           : !strcmp(key, "pad_token") ? family->pad
                                       : NULL;
}

/* The entry of added_tokens that is spelled so, or NULL. */
static json_t *find_added(const json_t *root, const char *content)
{
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(root, "added_tokens"), i, token)
    {
        const char *text = json_string_value(json_object_get(token, "content"));
        if (text && !strcmp(text, content))
            return token;
    }
    return NULL;
}

/* The id in the model's vocabulary, a map (BPE) or a list of pairs (Unigram); -1 where none is. */
static json_int_t vocab_id(const json_t *root, const char *content)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    const json_t *id = json_object_get(vocab, content);
    if (json_is_integer(id))
        return json_integer_value(id);
    for (size_t i = json_array_size(vocab); i > 0; i--) {
        const char *token = json_string_value(json_array_get(json_array_get(vocab, i - 1), 0));
        if (token && !strcmp(token, content))
            return (json_int_t)i - 1;
    }
    return -1;
}

static json_int_t token_id(const json_t *root, const char *content)
{
    const json_t *added = find_added(root, content);
    return added ? json_integer_value(json_object_get(added, "id")) : vocab_id(root, content);
}

/* The id that a token new to the vocabulary gets. */
static json_int_t next_id(const json_t *root)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_int_t next = (json_int_t)(json_object_size(vocab) + json_array_size(vocab));
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(root, "added_tokens"), i, token)
    {
        json_int_t id = json_integer_value(json_object_get(token, "id"));
        if (id >= next && id < INT32_MAX)
            next = id + 1;
    }
    return next;
}

static bool flag(const json_t *object, const char *key, bool missing)
{
    const json_t *value = json_object_get(object, key);
    return value ? json_is_true(value) : missing;
}

/* Adds the token, or gives the one that is there the flags of `token`, an object or a string.
 * A string changes none. False when memory runs out. */
static bool add_token(json_t *root, const json_t *token, bool special)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip", NULL};
    const char *content = token_content(token);
    json_t *list = json_object_get(root, "added_tokens");
    if (!content || !*content || !json_is_array(list))
        return true;
    special = special || flag(token, "special", false);
    bool normalized = flag(token, "normalized", !special);
    json_t *added = find_added(root, content);
    if (added && !json_is_object(token))
        return true;
    bool is_new = !added;
    if (is_new) {
        json_int_t id = vocab_id(root, content);
        added = json_pack("{s:I, s:s, s:b, s:b}", "id", id < 0 ? next_id(root) : id, "content",
                          content, "normalized", normalized, "special", special);
        if (!added)
            return false;
    }
    bool done = true;
    for (int i = 0; flags[i] && done; i++)
        done = !json_object_set_new(added, flags[i], json_boolean(flag(token, flags[i], false)));
    if (!is_new && !flag(added, "special", false) && !special && !normalized)
        done = done && !json_object_set_new(added, "normalized", json_false());
    return is_new ? !json_array_append_new(list, added) && done : done;
}

/* The tokens of added_tokens_decoder, a map from ids, or of added_tokens.json, one to ids; in the
 * order of the ids, which is that of the files transformers writes. */
static enum bs_status add_listed(const struct files *files, json_t *root, struct bs_error *err)
{
    const char *key;
    json_t *value, *listed = NULL;
    json_object_foreach(json_object_get(files->config, "added_tokens_decoder"), key, value)
    {
        if (!add_token(root, value, false))
            return bs_fail_memory(err);
    }
    if (json_object_get(files->config, "added_tokens_decoder"))
        return BS_OK;
    if (read_optional(files->directory, "added_tokens.json", &listed, err))
        return err->status;
    bool done = true;
    json_object_foreach(listed, key, value)
    {
        json_t *token = find_added(root, key) ? NULL : json_pack("{s:s}", "content", key);
        done = done && (!token || add_token(root, token, false));
        json_decref(token);
    }
    json_decref(listed);
    return done ? BS_OK : bs_fail_memory(err);
}

static enum bs_status add_specials(const struct files *files, json_t *root, struct bs_error *err)
{
    for (int i = 0; special_keys[i]; i++) {
        const json_t *token = json_object_get(files->config, special_keys[i]);
        const char *content = special_token(files, special_keys[i]);
        json_t *text = content ? json_string(content) : NULL;
        bool done =
            !content || (text && add_token(root, json_is_object(token) ? token : text, true));
        json_decref(text);
        if (!done)
            return bs_fail_memory(err);
    }
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(files->config, "additional_special_tokens"), i, token)
    {
        if (!add_token(root, token, true))
            return bs_fail_memory(err);
    }
    return BS_OK;
}

/* --- the pipeline --- */

/* Appends the special token called `key` to a template and to its tokens. */
static enum bs_status add_to_template(const struct files *files, const json_t *root,
                                      const char *key, json_t *single, json_t *specials,
                                      struct bs_error *err)
{
    const char *content = special_token(files, key);
    json_int_t id = content ? token_id(root, content) : -1;
    if (id < 0)
        return bs_fail(err, BS_EDATA,
                       "%s/tokenizer_config.json: %s '%.200s' is to be put around a text, but is "
                       "no token",
                       files->directory, key, content ? content : "");
    bool done = !json_array_append_new(single, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id",
                                                         content, "type_id", 0)) &&
                !json_object_set_new(
                    specials, content,
                    json_pack("{s:s, s:[I], s:[s]}", "id", content, "ids", id, "tokens", content));
    return done ? BS_OK : bs_fail_memory(err);
}

/* Replaces the post_processor: BOS in front and EOS behind, as asked. */
static enum bs_status set_template(const struct files *files, json_t *root, bool bos, bool eos,
                                   struct bs_error *err)
{
    json_t *post = json_pack("{s:s, s:[], s:[], s:{}}", "type", "TemplateProcessing", "single",
                             "pair", "special_tokens");
    json_t *single = json_object_get(post, "single");
    json_t *specials = json_object_get(post, "special_tokens");
    enum bs_status status = post ? BS_OK : bs_fail_memory(err);
    if (!status && bos)
        status = add_to_template(files, root, "bos_token", single, specials, err);
    if (!status && json_array_append_new(
                       single, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0)))
        status = bs_fail_memory(err);
    if (!status && eos)
        status = add_to_template(files, root, "eos_token", single, specials, err);
    if (status)
        json_decref(post);
    else if (json_object_set_new(root, "post_processor", post))
        status = bs_fail_memory(err);
    return status;
}

/* add_prefix_space counts for a ByteLevel that is the whole pre_tokenizer, whatever it says itself;
 * BLOOM's class also switches it on in a sequence. False when memory runs out. */
static bool set_prefix_space(const struct files *files, json_t *pre, bool within)
{
    const char *type = json_string_value(json_object_get(pre, "type"));
    bool prefix = flag(files->config, "add_prefix_space", false);
    size_t i;
    json_t *part;
    if (type && !strcmp(type, "ByteLevel") && (prefix || !within))
        return !json_object_set_new(pre, "add_prefix_space", json_boolean(prefix));
    if (within || strcmp(files->family->name, "BloomTokenizer"))
        return true;
    bool done = true;
    json_array_foreach(json_object_get(pre, "pretokenizers"), i, part) done =
        done && set_prefix_space(files, part, true);
    return done;
}

static enum bs_status apply_config(const struct files *files, json_t *root, struct bs_error *err)
{
    const struct family *family = files->family;
    if (!files->config)
        return BS_OK;
    if (add_listed(files, root, err) || add_specials(files, root, err))
        return err->status;
    if (!set_prefix_space(files, json_object_get(root, "pre_tokenizer"), false))
        return bs_fail_memory(err);
    if (!family->sets_template)
        return BS_OK;
    return set_template(files, root, flag(files->config, "add_bos_token", family->add_bos),
                        flag(files->config, "add_eos_token", false), err);
}

/* --- vocab.json and merges.txt --- */

/* The lines of merges.txt behind the first, which names the version. What follows the last line
 * break is no line. */
static enum bs_status read_merges(const char *path, json_t *merges, struct bs_error *err)
{
    struct bs_map map;
    if (bs_map_open(path, &map, err))
        return err->status;
    enum bs_status status = BS_OK;
    const char *at = (const char *)map.data, *end = at + map.size;
    for (size_t line = 0; at < end && !status; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop)
            break;
        size_t size = (size_t)(stop - at);
        size -= size > 0 && at[size - 1] == '\r';
        json_t *text = json_stringn(at, size);
        if (!text)
            status = bs_fail(err, BS_EDATA, "%s: line %zu is not UTF-8", path, line + 1);
        else if (line == 0)
            json_decref(text);
        else if (json_array_append_new(merges, text))
            status = bs_fail_memory(err);
        at = stop + 1;
    }
    bs_map_close(&map);
    return status;
}

/* GPT-2's tokenizer around a vocabulary and merges. */
static enum bs_status build_gpt2(const struct files *files, json_t *vocab, json_t **object,
                                 struct bs_error *err)
{
    char *path = bs_printf("%s/merges.txt", files->directory);
    bool prefix = flag(files->config, "add_prefix_space", false);
    *object =
        json_pack("{s:n, s:{s:s, s:b, s:b}, s:{s:s, s:O, s:[]}, s:[]}", "normalizer",
                  "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", prefix, "use_regex",
                  true, "model", "type", "BPE", "vocab", vocab, "merges", "added_tokens");
    enum bs_status status = path && *object ? BS_OK : bs_fail_memory(err);
    if (!status)
        status =
            read_merges(path, json_object_get(json_object_get(*object, "model"), "merges"), err);
    bs_free(path);
    return status;
}

static enum bs_status read_gpt2(const struct files *files, const char *place, json_t **object,
                                struct bs_error *err)
{
    json_t *vocab;
    if (!files->family->from_merges && json_object_get(files->config, "tokenizer_class"))
        return bs_fail(err, BS_EUNSUPPORTED,
                       "%s/tokenizer_config.json: vocab.json and merges.txt of a %s are not read; "
                       "transformers can write tokenizer.json from them: "
                       "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)",
                       files->directory,
                       json_string_value(json_object_get(files->config, "tokenizer_class")));
    if (bs_json_read(place, &vocab, err))
        return err->status;
    enum bs_status status = build_gpt2(files, vocab, object, err);
    json_decref(vocab);
    if (!status && flag(files->config, "add_bos_token", false))
        status = set_template(files, *object, true, false, err);
    return status;
}

/* --- what there is --- */

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

static enum bs_status read_object(const struct files *files, json_t **object, char **place,
                                  struct bs_error *err)
{
    bool whole = file_exists(files->directory, "tokenizer.json");
    bool parts =
        file_exists(files->directory, "vocab.json") && file_exists(files->directory, "merges.txt");
    if (!whole && !parts)
        return fail_missing(files->directory, err);
    *place = bs_printf("%s/%s", files->directory, whole ? "tokenizer.json" : "vocab.json");
    if (!*place)
        return bs_fail_memory(err);
    return whole ? bs_json_read(*place, object, err) : read_gpt2(files, *place, object, err);
}

enum bs_status bs_tokenizer_files_read(const char *directory, json_t **object, char **place,
                                       struct bs_error *err)
{
    struct files files = {.directory = directory};
    *object = NULL;
    *place = NULL;
    enum bs_status status = read_config(&files, err);
    if (!status)
        status = read_object(&files, object, place, err);
    if (!status)
        status = apply_config(&files, *object, err);
    json_decref(files.config);
    if (status) {
        json_decref(*object);
        *object = NULL;
    }
    return status;
}
