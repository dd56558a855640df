/* The normalizers of the tokenizers library, one after another, each from one buffer to the
 * next. */
#include "eval/tokenizer/normalizer.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/charsmap.h"
#include "eval/tokenizer/normal_form.h"
#include "eval/tokenizer/unicode.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

enum { MAX_STEPS = 32, MAX_GROWTH = 64, GROWTH_ALLOWANCE = 1 << 16 };

enum kind { NORMAL_FORM, PREPEND, REPLACE, STRIP, LOWERCASE, NMT, PRECOMPILED };

struct step {
    enum kind kind;
    bool compatible, compose; /* NORMAL_FORM */
    char *content;            /* PREPEND, REPLACE */
    size_t content_size;
    struct bs_pattern *pattern;   /* REPLACE */
    bool left, right;             /* STRIP */
    struct bs_charsmap *charsmap; /* PRECOMPILED */
};

struct bs_normalizer {
    struct step steps[MAX_STEPS];
    int num_steps;
};

/* --- reading --- */

static enum bs_status read_form(const char *place, json_t *form, struct step *step,
                                struct bs_error *err)
{
    static const char *const known[] = {"type", NULL};
    if (bs_json_check_keys(place, form, known, err))
        return err->status;
    const char *type = json_string_value(json_object_get(form, "type"));
    step->kind = NORMAL_FORM;
    step->compatible = type[2] == 'K';
    step->compose = type[strlen(type) - 1] == 'C';
    return BS_OK;
}

/* The string at `key`, in new memory. */
static enum bs_status read_content(const char *place, const char *type, const json_t *object,
                                   const char *key, struct step *step, struct bs_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return bs_fail(err, BS_EDATA, "%s: normalizer %s: %s is missing or no string", place, type,
                       key);
    step->content_size = json_string_length(value);
    step->content = bs_alloc(step->content_size, 1);
    if (!step->content)
        return bs_fail_memory(err);
    memcpy(step->content, json_string_value(value), step->content_size);
    return BS_OK;
}

static enum bs_status read_prepend(const char *place, json_t *prepend, struct step *step,
                                   struct bs_error *err)
{
    static const char *const known[] = {"type", "prepend", NULL};
    if (bs_json_check_keys(place, prepend, known, err))
        return err->status;
    step->kind = PREPEND;
    return read_content(place, "Prepend", prepend, "prepend", step, err);
}

static enum bs_status read_replace(const char *place, json_t *replace, struct step *step,
                                   struct bs_error *err)
{
    static const char *const known[] = {"type", "pattern", "content", NULL};
    if (bs_json_check_keys(place, replace, known, err) ||
        read_content(place, "Replace", replace, "content", step, err))
        return err->status;
    const json_t *pattern = json_object_get(replace, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *string = json_object_get(pattern, "String");
    const json_t *text = json_is_string(regex) ? regex : string;
    if (!json_is_string(text) || (text == string && !json_string_length(text)))
        return bs_fail(err, BS_EDATA, "%s: normalizer Replace: pattern is missing", place);
    step->kind = REPLACE;
    return bs_pattern_create(place, json_string_value(text), json_string_length(text),
                             text == regex ? BS_SYNTAX_ONIGURUMA : BS_SYNTAX_LITERAL,
                             &step->pattern, err);
}

static enum bs_status read_strip(const char *place, json_t *strip, struct step *step,
                                 struct bs_error *err)
{
    static const char *const known[] = {"type", "strip_left", "strip_right", NULL};
    if (bs_json_check_keys(place, strip, known, err))
        return err->status;
    const json_t *left = json_object_get(strip, "strip_left");
    const json_t *right = json_object_get(strip, "strip_right");
    if (!json_is_boolean(left) || !json_is_boolean(right))
        return bs_fail(err, BS_EDATA,
                       "%s: normalizer Strip: strip_left and strip_right must be true or false",
                       place);
    step->kind = STRIP;
    step->left = json_is_true(left);
    step->right = json_is_true(right);
    return BS_OK;
}

static enum bs_status read_lowercase(const char *place, json_t *lowercase, struct step *step,
                                     struct bs_error *err)
{
    static const char *const known[] = {"type", NULL};
    step->kind = LOWERCASE;
    return bs_json_check_keys(place, lowercase, known, err);
}

static enum bs_status read_nmt(const char *place, json_t *nmt, struct step *step,
                               struct bs_error *err)
{
    static const char *const known[] = {"type", NULL};
    step->kind = NMT;
    return bs_json_check_keys(place, nmt, known, err);
}

static enum bs_status read_precompiled(const char *place, json_t *precompiled, struct step *step,
                                       struct bs_error *err)
{
    static const char *const known[] = {"type", "precompiled_charsmap", NULL};
    if (bs_json_check_keys(place, precompiled, known, err))
        return err->status;
    const char *base64 = json_string_value(json_object_get(precompiled, "precompiled_charsmap"));
    step->kind = PRECOMPILED;
    return bs_charsmap_create(place, base64 ? base64 : "", &step->charsmap, err);
}

static const struct reader {
    const char *type;
    enum bs_status (*read)(const char *place, json_t *object, struct step *step,
                           struct bs_error *err);
} readers[] = {
    {"NFC", read_form},    {"NFKC", read_form},           {"NFD", read_form},
    {"NFKD", read_form},   {"Prepend", read_prepend},     {"Replace", read_replace},
    {"Strip", read_strip}, {"Lowercase", read_lowercase}, {"Precompiled", read_precompiled},
    {"Nmt", read_nmt},
};

static enum bs_status read_part(const char *place, json_t *part, struct bs_normalizer *normalizer,
                                struct bs_error *err);

static enum bs_status read_sequence(const char *place, json_t *sequence,
                                    struct bs_normalizer *normalizer, struct bs_error *err)
{
    static const char *const known[] = {"type", "normalizers", NULL};
    if (bs_json_check_keys(place, sequence, known, err))
        return err->status;
    json_t *parts = json_object_get(sequence, "normalizers");
    if (!json_is_array(parts))
        return bs_fail(err, BS_EDATA, "%s: normalizer: normalizers is missing or no list", place);
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_part(place, json_array_get(parts, i), normalizer, err))
            return err->status;
    return BS_OK;
}

static enum bs_status read_part(const char *place, json_t *part, struct bs_normalizer *normalizer,
                                struct bs_error *err)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type && !strcmp(type, "Sequence"))
        return read_sequence(place, part, normalizer, err);
    if (normalizer->num_steps == MAX_STEPS)
        return bs_fail(err, BS_EUNSUPPORTED, "%s: normalizer: more than %d steps", place,
                       MAX_STEPS);
    for (size_t i = 0; type && i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].type, type))
            return readers[i].read(place, part, &normalizer->steps[normalizer->num_steps++], err);
    return bs_fail(err, BS_EUNSUPPORTED, "%s: normalizer '%.100s' is not supported", place,
                   type ? type : "");
}

enum bs_status bs_normalizer_create(const char *place, json_t *object,
                                    struct bs_normalizer **normalizer, struct bs_error *err)
{
    *normalizer = NULL;
    struct bs_normalizer *created = bs_calloc(1, sizeof *created);
    if (!created)
        return bs_fail_memory(err);
    if (object && !json_is_null(object) && read_part(place, object, created, err)) {
        bs_normalizer_free(created);
        return err->status;
    }
    *normalizer = created;
    return BS_OK;
}

void bs_normalizer_free(struct bs_normalizer *normalizer)
{
    if (!normalizer)
        return;
    for (int i = 0; i < normalizer->num_steps; i++) {
        bs_free(normalizer->steps[i].content);
        bs_pattern_free(normalizer->steps[i].pattern);
        bs_charsmap_free(normalizer->steps[i].charsmap);
    }
    bs_free(normalizer);
}

/* --- running --- */

static enum bs_status run_prepend(const struct step *step, struct bs_normalized *text,
                                  struct bs_buffer *out, struct bs_error *err)
{
    size_t size = step->content_size;
    if (text->size == 0)
        return BS_OK;
    if (bs_buffer_append(out, step->content, size, err))
        return err->status;
    text->origin += text->origin > 0 ? size : 0;
    return bs_buffer_append(out, text->text, text->size, err);
}

static enum bs_status run_replace(const struct step *step, struct bs_matcher *matcher, size_t limit,
                                  struct bs_normalized *text, struct bs_buffer *out,
                                  struct bs_error *err)
{
    size_t content = step->content_size;
    for (size_t from = 0, begin, end; from < text->size; from = end) {
        if (bs_pattern_next(step->pattern, matcher, text->text, text->size, from, &begin, &end,
                            err) ||
            bs_buffer_append(out, text->text + from, begin - from, err) ||
            (end > begin && bs_buffer_append(out, step->content, content, err)))
            return err->status;
        if (from == 0 && begin == 0 && content == 0)
            text->origin = 0; /* the first character is gone */
        if (out->size > limit)
            break;
    }
    return BS_OK;
}

static enum bs_status run_strip(const struct step *step, struct bs_normalized *text,
                                struct bs_buffer *out, struct bs_error *err)
{
    size_t begin = 0, end = text->size;
    while (step->left && begin < end && bs_is_white_space(bs_utf8_decode(text->text + begin)))
        begin += bs_utf8_bytes(text->text[begin]);
    while (step->right && end > begin) {
        size_t last = end - 1;
        while (((unsigned char)text->text[last] & 0xc0) == 0x80)
            last--;
        if (!bs_is_white_space(bs_utf8_decode(text->text + last)))
            break;
        end = last;
    }
    if (begin > 0)
        text->origin = 0;
    return bs_buffer_append(out, text->text + begin, end - begin, err);
}

/* The lower case of single characters. U+0130 alone becomes two. */
static enum bs_status run_lowercase(const struct bs_normalized *text, struct bs_buffer *out,
                                    struct bs_error *err)
{
    if (bs_buffer_reserve(out, 2 * text->size, err))
        return err->status;
    for (size_t i = 0; i < text->size; i += bs_utf8_bytes(text->text[i])) {
        uint32_t character = bs_utf8_decode(text->text + i);
        uint32_t lower = (uint32_t)utf8proc_tolower((utf8proc_int32_t)character);
        char *at = out->text + out->size;
        if (character == 0x130)
            out->size += (size_t)(memcpy(at, "i\xcc\x87", 3), 3);
        else
            out->size += bs_utf8_encode(lower, at);
    }
    return BS_OK;
}

/* SentencePiece's rules for translation (nmt_nfkc): control characters go, other blanks and marks
 * without width become a space. */
static uint32_t nmt_character(uint32_t c)
{
    bool gone = (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f ||
                c == 0x8f || c == 0x9f;
    bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                 (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                 c == 0xfeff || c == 0xfffd;
    return gone ? UINT32_MAX : space ? ' ' : c;
}

static enum bs_status run_nmt(const struct bs_normalized *text, struct bs_buffer *out,
                              struct bs_error *err)
{
    if (bs_buffer_reserve(out, text->size, err))
        return err->status;
    for (size_t i = 0; i < text->size; i += bs_utf8_bytes(text->text[i])) {
        uint32_t character = nmt_character(bs_utf8_decode(text->text + i));
        if (character != UINT32_MAX)
            out->size += bs_utf8_encode(character, out->text + out->size);
    }
    return BS_OK;
}

static enum bs_status run_step(const struct step *step, struct bs_matcher *matcher, size_t limit,
                               struct bs_normalized *text, struct bs_buffer *out,
                               struct bs_error *err)
{
    switch (step->kind) {
    case NORMAL_FORM:
        return bs_normal_form(text->text, text->size, step->compatible, step->compose, out, err);
    case PREPEND:
        return run_prepend(step, text, out, err);
    case REPLACE:
        return run_replace(step, matcher, limit, text, out, err);
    case STRIP:
        return run_strip(step, text, out, err);
    case LOWERCASE:
        return run_lowercase(text, out, err);
    case NMT:
        return run_nmt(text, out, err);
    default:
        return bs_charsmap_run(step->charsmap, text->text, text->size, out, err);
    }
}

enum bs_status bs_normalizer_run(const struct bs_normalizer *normalizer, struct bs_matcher *matcher,
                                 struct bs_normalized *text, struct bs_error *err)
{
    size_t limit = MAX_GROWTH * text->size + GROWTH_ALLOWANCE;
    for (int i = 0; i < normalizer->num_steps; i++) {
        const struct step *step = &normalizer->steps[i];
        struct bs_buffer *out = &text->buffers[i % 2];
        out->size = 0;
        if (run_step(step, matcher, limit, text, out, err))
            return err->status;
        if (out->size > limit)
            return bs_fail(err, BS_EDATA,
                           "the normalizer makes more than %d bytes of each of a text", MAX_GROWTH);
        text->text = out->size ? out->text : "";
        text->size = out->size;
        if (step->kind != PREPEND && text->origin > 0)
            text->origin = text->size ? bs_utf8_bytes(text->text[0]) : 0;
    }
    return BS_OK;
}
