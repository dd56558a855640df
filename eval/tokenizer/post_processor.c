#include "eval/tokenizer/post_processor.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"

#include <stdbool.h>
#include <string.h>

/* The id, or -1 after bs_fail. */
static int32_t read_id(const char *place, const char *what, const json_t *value,
                       struct bs_error *err)
{
    json_int_t number = json_integer_value(value);
    if (json_is_integer(value) && number >= 0 && number < INT32_MAX)
        return (int32_t)number;
    bs_fail(err, BS_EDATA, "%s: post_processor: '%.200s' has no valid id", place, what);
    return -1;
}

/* The ids that `special_tokens` gives for a special token of the template. */
static enum bs_status add_special(const char *place, const json_t *specials, const json_t *special,
                                  struct bs_post_processor *post, struct bs_error *err)
{
    const json_t *id_text = json_object_get(special, "id");
    const char *name = json_string_value(id_text);
    const json_t *entry = json_object_getn(specials, name, json_string_length(id_text));
    const json_t *ids = json_object_get(entry, "ids");
    if (!json_is_array(ids))
        return bs_fail(err, BS_EDATA,
                       "%s: post_processor TemplateProcessing: special_tokens has no ids of "
                       "'%.200s'",
                       place, name ? name : "");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        int32_t id = read_id(place, name, json_array_get(ids, i), err);
        if (id < 0 || bs_ids_append(&post->parts, id, err))
            return err->status;
    }
    return BS_OK;
}

/* The template for one text; the one for two is of no use here. */
static enum bs_status read_template(const char *place, json_t *object,
                                    struct bs_post_processor *post, struct bs_error *err)
{
    static const char *const known[] = {"type", "single", "pair", "special_tokens", NULL};
    if (bs_json_check_keys(place, object, known, err))
        return err->status;
    const json_t *single = json_object_get(object, "single");
    const json_t *specials = json_object_get(object, "special_tokens");
    if (!json_is_array(single))
        return bs_fail(err, BS_EDATA,
                       "%s: post_processor TemplateProcessing: single is missing or no list",
                       place);
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *special = json_object_get(piece, "SpecialToken");
        const char *sequence =
            json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
        if (special) {
            if (add_special(place, specials, special, post, err))
                return err->status;
        } else if (!sequence || strcmp(sequence, "A")) {
            return bs_fail(err, BS_EDATA,
                           "%s: post_processor TemplateProcessing: piece %zu of single is neither "
                           "a special token nor sequence A",
                           place, i);
        } else if (bs_ids_append(&post->parts, BS_TEXT, err)) {
            return err->status;
        }
    }
    return BS_OK;
}

static enum bs_status read_byte_level(const char *place, json_t *object,
                                      struct bs_post_processor *post, struct bs_error *err)
{
    static const char *const known[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                        NULL};
    (void)post; /* it sees to offsets only */
    return bs_json_check_keys(place, object, known, err);
}

/* BERT's and RoBERTa's: `cls` before, `sep` after, each a pair of a spelling and an id. */
static enum bs_status read_bert(const char *place, json_t *object, struct bs_post_processor *post,
                                struct bs_error *err)
{
    static const char *const known[] = {"type", "sep", "cls", "trim_offsets", "add_prefix_space",
                                        NULL};
    if (bs_json_check_keys(place, object, known, err))
        return err->status;
    int32_t cls = read_id(place, "cls", json_array_get(json_object_get(object, "cls"), 1), err);
    int32_t sep =
        cls < 0 ? -1
                : read_id(place, "sep", json_array_get(json_object_get(object, "sep"), 1), err);
    if (sep < 0 || bs_ids_append(&post->parts, cls, err) ||
        bs_ids_append(&post->parts, BS_TEXT, err))
        return err->status;
    return bs_ids_append(&post->parts, sep, err);
}

static enum bs_status read_sequence(const char *place, json_t *object,
                                    struct bs_post_processor *post, struct bs_error *err);

static const struct reader {
    const char *type;
    bool adds; /* says what the whole text becomes */
    enum bs_status (*read)(const char *place, json_t *object, struct bs_post_processor *post,
                           struct bs_error *err);
} readers[] = {
    {"TemplateProcessing", true, read_template}, {"ByteLevel", false, read_byte_level},
    {"BertProcessing", true, read_bert},         {"RobertaProcessing", true, read_bert},
    {"Sequence", false, read_sequence},
};

static enum bs_status read_part(const char *place, json_t *part, struct bs_post_processor *post,
                                struct bs_error *err)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t i = 0; type && i < sizeof readers / sizeof *readers; i++) {
        if (strcmp(readers[i].type, type))
            continue;
        if (readers[i].adds && post->parts.count)
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: post_processor: a second one that adds tokens, '%.100s', is not "
                           "supported",
                           place, type);
        return readers[i].read(place, part, post, err);
    }
    return bs_fail(err, BS_EUNSUPPORTED, "%s: post_processor '%.100s' is not supported", place,
                   type ? type : "");
}

static enum bs_status read_sequence(const char *place, json_t *object,
                                    struct bs_post_processor *post, struct bs_error *err)
{
    static const char *const known[] = {"type", "processors", NULL};
    if (bs_json_check_keys(place, object, known, err))
        return err->status;
    json_t *parts = json_object_get(object, "processors");
    if (!json_is_array(parts))
        return bs_fail(err, BS_EDATA, "%s: post_processor: processors is missing or no list",
                       place);
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_part(place, json_array_get(parts, i), post, err))
            return err->status;
    return BS_OK;
}

enum bs_status bs_post_processor_read(const char *place, json_t *object,
                                      struct bs_post_processor *post, struct bs_error *err)
{
    if (object && !json_is_null(object) && read_part(place, object, post, err))
        return err->status;
    return post->parts.count ? BS_OK : bs_ids_append(&post->parts, BS_TEXT, err);
}

void bs_post_processor_release(struct bs_post_processor *post) { bs_ids_release(&post->parts); }

int32_t bs_post_processor_last_id(const struct bs_post_processor *post)
{
    int32_t last = BS_TEXT;
    for (size_t i = 0; i < post->parts.count; i++)
        last = post->parts.ids[i] > last ? post->parts.ids[i] : last;
    return last;
}

enum bs_status bs_post_processor_run(const struct bs_post_processor *post, bool add_special_tokens,
                                     const struct bs_ids *text, struct bs_ids *out,
                                     struct bs_error *err)
{
    for (size_t i = 0; i < post->parts.count; i++) {
        int32_t part = post->parts.ids[i];
        if (part != BS_TEXT && !add_special_tokens)
            continue;
        size_t count = part == BS_TEXT ? text->count : 1;
        if (bs_ids_reserve(out, count, err))
            return err->status;
        if (part != BS_TEXT)
            out->ids[out->count] = part;
        else if (count)
            memcpy(out->ids + out->count, text->ids, count * sizeof *text->ids);
        out->count += count;
    }
    return BS_OK;
}
