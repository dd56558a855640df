#include "eval/tokenizer/token_options.h"

#include <stdbool.h>
#include <string.h>

/* Whether a part of a pipeline puts a blank, or the sign for one, in front of a text. */
static bool puts_blank(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const char *scheme = json_string_value(json_object_get(part, "prepend_scheme"));
    if (!type)
        return false;
    if (!strcmp(type, "ByteLevel"))
        return json_is_true(json_object_get(part, "add_prefix_space"));
    if (!strcmp(type, "Metaspace"))
        return scheme ? strcmp(scheme, "never")
                      : !json_is_false(json_object_get(part, "add_prefix_space"));
    return !strcmp(type, "Prepend");
}

/* The same of a normalizer or pre_tokenizer, which may be a list of parts. */
static bool any_puts_blank(const json_t *whole, const char *list)
{
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(whole, list), i, part)
    {
        if (any_puts_blank(part, list))
            return true;
    }
    return puts_blank(whole);
}

enum bs_status bs_token_options_note(const json_t *config, const json_t *root,
                                     const struct bs_post_processor *post, struct bs_lines *notices,
                                     struct bs_error *err)
{
    const struct bs_ids *parts = &post->parts;
    const struct {
        const char *option, *what;
        bool happens;
    } rows[] = {
        {"add_bos_token", "token is put in front of a text",
         parts->count && parts->ids[0] != BS_TEXT},
        {"add_eos_token", "token is put after a text",
         parts->count && parts->ids[parts->count - 1] != BS_TEXT},
        {"add_prefix_space", "blank is put in front of a text",
         any_puts_blank(json_object_get(root, "normalizer"), "normalizers") ||
             any_puts_blank(json_object_get(root, "pre_tokenizer"), "pretokenizers")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const json_t *value = json_object_get(config, rows[i].option);
        if (json_is_boolean(value) && json_is_true(value) != rows[i].happens &&
            bs_lines_add(notices, err,
                         "tokenizer_config.json: %s is %s, but %s %s: tokenizer.json and the class "
                         "count, as in transformers 5",
                         rows[i].option, rows[i].happens ? "false" : "true",
                         rows[i].happens ? "a" : "no", rows[i].what))
            return err->status;
    }
    return BS_OK;
}
