/* The pre_tokenizers of the tokenizers library are made from three steps: cut a piece with a
 * pattern, write it anew as Metaspace does, and write its bytes as characters. Each piece runs
 * through all steps before the next one is looked at. */
#include "eval/tokenizer/pre_tokenizer.h"

#include "eval/base/json.h"
#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/buffer.h"
#include "eval/tokenizer/unicode.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_STEPS = 32 };

/* The split pattern of GPT-2 (openai/gpt-2 encoder.py), which ByteLevel has built in. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const char whitespace_pattern[] =
    "[" BS_WORD_CLASS "]+|[^" BS_WORD_CLASS BS_WHITE_SPACE_CLASS "]+";

/* ASCII punctuation with the symbols, and the categories P as they were in Unicode 8: the
 * tokenizers library has its tables from there. Found by asking it for every character. */
static const char punctuation_pattern[] =
    "[!-/:-@\\[-`{-~]|(?=[^\\x00-\\x7f])(?!["
    "\\x{61d}\\x{9fd}\\x{a76}\\x{c77}\\x{c84}\\x{2e43}-\\x{2e4f}\\x{2e52}-\\x{2e5d}"
    "\\x{10ead}\\x{10f55}-\\x{10f59}\\x{10f86}-\\x{10f89}\\x{1144b}-\\x{1144f}"
    "\\x{1145a}-\\x{1145b}\\x{1145d}\\x{11660}-\\x{1166c}\\x{116b9}\\x{1183b}"
    "\\x{11944}-\\x{11946}\\x{119e2}\\x{11a3f}-\\x{11a46}\\x{11a9a}-\\x{11a9c}"
    "\\x{11a9e}-\\x{11aa2}\\x{11c41}-\\x{11c45}\\x{11c70}-\\x{11c71}\\x{11ef7}-\\x{11ef8}"
    "\\x{11fff}\\x{12ff1}-\\x{12ff2}\\x{16e97}-\\x{16e9a}\\x{16fe2}"
    "])[\\p{P}\\x{166d}\\x{111c9}]";

enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
static const char *const behaviors[] = {"Removed",        "Isolated",   "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous", NULL};

enum scheme { ALWAYS, NEVER, FIRST };
static const char *const schemes[] = {"always", "never", "first", NULL};

enum kind { SPLIT, METASPACE, BYTES };

struct step {
    enum kind kind;
    /* SPLIT */
    struct bs_pattern *pattern;
    enum behavior behavior;
    bool invert;
    /* METASPACE: what stands for a space, and is put in front where it is not there */
    char sign[4];
    size_t sign_size;
    enum scheme scheme;
};

struct bs_pre_tokenizer {
    struct step steps[MAX_STEPS];
    int num_steps;
};

/* A byte as byte-level vocabularies spell it. */
struct spelling {
    char text[2];
    unsigned char size;
};

struct bs_pre_tokenizer_work {
    const struct bs_pre_tokenizer *pre_tokenizer;
    struct spelling spellings[256];
    struct bs_buffer buffers[MAX_STEPS]; /* what a step has written anew */
};

/* What one call of bs_pre_tokenizer_run works with. */
struct run {
    struct bs_pre_tokenizer_work *work;
    struct bs_matcher *matcher;
    const struct bs_word_sink *sink;
    struct bs_error *err;
};

/* --- reading --- */

/* The next step, or NULL after bs_fail. */
static struct step *add_step(struct bs_pre_tokenizer *pre, const char *place, enum kind kind,
                             struct bs_error *err)
{
    if (pre->num_steps == MAX_STEPS) {
        bs_fail(err, BS_EUNSUPPORTED, "%s: pre_tokenizer: more than %d steps", place, MAX_STEPS);
        return NULL;
    }
    struct step *step = &pre->steps[pre->num_steps++];
    *step = (struct step){.kind = kind};
    return step;
}

static enum bs_status add_split_sized(struct bs_pre_tokenizer *pre, const char *place,
                                      const char *text, size_t size, enum bs_syntax syntax,
                                      enum behavior behavior, bool invert, struct bs_error *err)
{
    struct step *step = add_step(pre, place, SPLIT, err);
    if (!step)
        return err->status;
    step->behavior = behavior;
    step->invert = invert;
    return bs_pattern_create(place, text, size, syntax, &step->pattern, err);
}

static enum bs_status add_split(struct bs_pre_tokenizer *pre, const char *place, const char *text,
                                enum bs_syntax syntax, enum behavior behavior, bool invert,
                                struct bs_error *err)
{
    return add_split_sized(pre, place, text, strlen(text), syntax, behavior, invert, err);
}

static enum bs_status add_metaspace(struct bs_pre_tokenizer *pre, const char *place,
                                    const char *sign, enum scheme scheme, struct bs_error *err)
{
    struct step *step = add_step(pre, place, METASPACE, err);
    if (!step)
        return err->status;
    step->scheme = scheme;
    step->sign_size = strlen(sign);
    memcpy(step->sign, sign, step->sign_size);
    return BS_OK;
}

/* true or false at `key`, which may be missing or null. */
static enum bs_status read_flag(const char *place, const char *type, const json_t *object,
                                const char *key, bool missing, bool *flag, struct bs_error *err)
{
    const json_t *value = json_object_get(object, key);
    *flag = missing;
    if (!value || json_is_null(value))
        return BS_OK;
    if (!json_is_boolean(value))
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer %s: %s is not true or false", place, type,
                       key);
    *flag = json_is_true(value);
    return BS_OK;
}

/* The index of the word at `key`; `missing` where there is none. */
static enum bs_status read_word(const char *place, const char *type, const json_t *object,
                                const char *key, const char *const *words, int missing, int *index,
                                struct bs_error *err)
{
    const json_t *value = json_object_get(object, key);
    const char *word = json_string_value(value);
    *index = missing;
    if (!value && missing >= 0)
        return BS_OK;
    for (int i = 0; word && words[i]; i++)
        if (!strcmp(words[i], word)) {
            *index = i;
            return BS_OK;
        }
    return bs_fail(err, BS_EDATA, "%s: pre_tokenizer %s: %s '%.100s' is not known", place, type,
                   key, word ? word : "");
}

static enum bs_status read_split(struct bs_pre_tokenizer *pre, const char *place, json_t *split,
                                 struct bs_error *err)
{
    static const char *const known[] = {"type", "pattern", "behavior", "invert", NULL};
    int behavior;
    bool invert;
    if (bs_json_check_keys(place, split, known, err) ||
        read_word(place, "Split", split, "behavior", behaviors, -1, &behavior, err) ||
        read_flag(place, "Split", split, "invert", false, &invert, err))
        return err->status;
    const json_t *pattern = json_object_get(split, "pattern");
    const json_t *regex = json_object_get(pattern, "Regex");
    const json_t *string = json_object_get(pattern, "String");
    const json_t *text = json_is_string(regex) ? regex : string;
    if (!json_is_string(text) || (text == string && !json_string_length(text)))
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer Split: pattern is missing", place);
    return add_split_sized(pre, place, json_string_value(text), json_string_length(text),
                           text == regex ? BS_SYNTAX_ONIGURUMA : BS_SYNTAX_LITERAL,
                           (enum behavior)behavior, invert, err);
}

static enum bs_status read_digits(struct bs_pre_tokenizer *pre, const char *place, json_t *digits,
                                  struct bs_error *err)
{
    static const char *const known[] = {"type", "individual_digits", NULL};
    bool individual;
    if (bs_json_check_keys(place, digits, known, err) ||
        read_flag(place, "Digits", digits, "individual_digits", false, &individual, err))
        return err->status;
    /* written so that PCRE2 can tell what a match begins with */
    const char *pattern =
        individual ? "[0-9]|(?=[^\\x00-\\x7f])\\p{N}" : "(?:[0-9]|(?=[^\\x00-\\x7f])\\p{N})\\p{N}*";
    return add_split(pre, place, pattern, BS_SYNTAX_PCRE2, ISOLATED, false, err);
}

static enum bs_status read_punctuation(struct bs_pre_tokenizer *pre, const char *place,
                                       json_t *punctuation, struct bs_error *err)
{
    static const char *const known[] = {"type", "behavior", NULL};
    int behavior;
    if (bs_json_check_keys(place, punctuation, known, err) ||
        read_word(place, "Punctuation", punctuation, "behavior", behaviors, ISOLATED, &behavior,
                  err))
        return err->status;
    return add_split(pre, place, punctuation_pattern, BS_SYNTAX_PCRE2, (enum behavior)behavior,
                     false, err);
}

static enum bs_status read_byte_level(struct bs_pre_tokenizer *pre, const char *place,
                                      json_t *byte_level, struct bs_error *err)
{
    static const char *const known[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                        NULL};
    bool prefix, use_regex;
    if (bs_json_check_keys(place, byte_level, known, err) ||
        read_flag(place, "ByteLevel", byte_level, "add_prefix_space", false, &prefix, err) ||
        read_flag(place, "ByteLevel", byte_level, "use_regex", true, &use_regex, err))
        return err->status;
    for (int i = 0; i < pre->num_steps; i++)
        if (pre->steps[i].kind == BYTES)
            return bs_fail(err, BS_EUNSUPPORTED, "%s: pre_tokenizer 'ByteLevel' stands there twice",
                           place);
    if (prefix && add_metaspace(pre, place, " ", ALWAYS, err))
        return err->status;
    if (use_regex && add_split(pre, place, gpt2_pattern, BS_SYNTAX_ONIGURUMA, ISOLATED, false, err))
        return err->status;
    return add_step(pre, place, BYTES, err) ? BS_OK : err->status;
}

static enum bs_status read_metaspace(struct bs_pre_tokenizer *pre, const char *place,
                                     json_t *metaspace, struct bs_error *err)
{
    static const char *const known[] = {
        "type", "replacement", "add_prefix_space", "str_rep", "prepend_scheme", "split", NULL};
    const char *sign = json_string_value(json_object_get(metaspace, "replacement"));
    int scheme;
    bool prefix, split;
    if (bs_json_check_keys(place, metaspace, known, err) ||
        read_word(place, "Metaspace", metaspace, "prepend_scheme", schemes, ALWAYS, &scheme, err) ||
        read_flag(place, "Metaspace", metaspace, "add_prefix_space", true, &prefix, err) ||
        read_flag(place, "Metaspace", metaspace, "split", true, &split, err))
        return err->status;
    if (!sign || !*sign || bs_utf8_bytes(*sign) != strlen(sign))
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer Metaspace: replacement is no character",
                       place);
    if (!prefix && scheme != NEVER)
        return bs_fail(err, BS_EDATA,
                       "%s: pre_tokenizer Metaspace: add_prefix_space is false, but prepend_scheme "
                       "is not 'never'",
                       place);
    if (add_metaspace(pre, place, sign, (enum scheme)scheme, err))
        return err->status;
    return split ? add_split(pre, place, sign, BS_SYNTAX_LITERAL, MERGED_WITH_NEXT, false, err)
                 : BS_OK;
}

static enum bs_status read_whitespace(struct bs_pre_tokenizer *pre, const char *place,
                                      json_t *whitespace, struct bs_error *err)
{
    static const char *const known[] = {"type", NULL};
    if (bs_json_check_keys(place, whitespace, known, err))
        return err->status;
    return add_split(pre, place, whitespace_pattern, BS_SYNTAX_PCRE2, REMOVED, true, err);
}

static enum bs_status read_whitespace_split(struct bs_pre_tokenizer *pre, const char *place,
                                            json_t *whitespace, struct bs_error *err)
{
    static const char *const known[] = {"type", NULL};
    if (bs_json_check_keys(place, whitespace, known, err))
        return err->status;
    return add_split(pre, place, "[" BS_WHITE_SPACE_CLASS "]+", BS_SYNTAX_PCRE2, REMOVED, false,
                     err);
}

static enum bs_status read_sequence(struct bs_pre_tokenizer *pre, const char *place,
                                    json_t *sequence, struct bs_error *err);

static const struct reader {
    const char *type;
    enum bs_status (*read)(struct bs_pre_tokenizer *pre, const char *place, json_t *object,
                           struct bs_error *err);
} readers[] = {
    {"ByteLevel", read_byte_level}, {"Split", read_split},
    {"Digits", read_digits},        {"Punctuation", read_punctuation},
    {"Metaspace", read_metaspace},  {"Whitespace", read_whitespace},
    {"Sequence", read_sequence},    {"WhitespaceSplit", read_whitespace_split},
};

static enum bs_status read_part(struct bs_pre_tokenizer *pre, const char *place, json_t *part,
                                struct bs_error *err)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t i = 0; type && i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].type, type))
            return readers[i].read(pre, place, part, err);
    return bs_fail(err, BS_EUNSUPPORTED, "%s: pre_tokenizer '%.100s' is not supported", place,
                   type ? type : "");
}

static enum bs_status read_sequence(struct bs_pre_tokenizer *pre, const char *place,
                                    json_t *sequence, struct bs_error *err)
{
    static const char *const known[] = {"type", "pretokenizers", NULL};
    if (bs_json_check_keys(place, sequence, known, err))
        return err->status;
    json_t *parts = json_object_get(sequence, "pretokenizers");
    if (!json_is_array(parts))
        return bs_fail(err, BS_EDATA, "%s: pre_tokenizer: pretokenizers is missing or no list",
                       place);
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (read_part(pre, place, json_array_get(parts, i), err))
            return err->status;
    return BS_OK;
}

enum bs_status bs_pre_tokenizer_create(const char *place, json_t *pre,
                                       struct bs_pre_tokenizer **pre_tokenizer,
                                       struct bs_error *err)
{
    *pre_tokenizer = NULL;
    struct bs_pre_tokenizer *created = bs_calloc(1, sizeof *created);
    if (!created)
        return bs_fail_memory(err);
    if (pre && !json_is_null(pre) && read_part(created, place, pre, err)) {
        bs_pre_tokenizer_free(created);
        return err->status;
    }
    *pre_tokenizer = created;
    return BS_OK;
}

void bs_pre_tokenizer_free(struct bs_pre_tokenizer *pre)
{
    if (!pre)
        return;
    for (int i = 0; i < pre->num_steps; i++)
        bs_pattern_free(pre->steps[i].pattern);
    bs_free(pre);
}

/* --- running --- */

struct bs_pre_tokenizer_work *bs_pre_tokenizer_work_create(const struct bs_pre_tokenizer *pre)
{
    struct bs_pre_tokenizer_work *work = bs_calloc(1, sizeof *work);
    if (!work)
        return NULL;
    work->pre_tokenizer = pre;
    for (unsigned byte = 0; byte < 256; byte++) {
        struct spelling *spelling = &work->spellings[byte];
        uint32_t character = bs_byte_character((unsigned char)byte); /* below U+0180 */
        spelling->size = (unsigned char)bs_utf8_encode(character, spelling->text);
    }
    return work;
}

void bs_pre_tokenizer_work_free(struct bs_pre_tokenizer_work *work)
{
    if (!work)
        return;
    for (int i = 0; i < MAX_STEPS; i++)
        bs_buffer_release(&work->buffers[i]);
    bs_free(work);
}

static enum bs_status run_step(const struct run *run, int step, const char *text, size_t size,
                               size_t origin);

/* Pieces of a text on their way to the next step. A piece that may yet grow is held back. */
struct cut {
    const struct run *run;
    const char *text;
    size_t origin;
    int next_step;
    enum behavior behavior;
    size_t begin, end; /* held back, unless empty */
    bool match;        /* the last piece was a match */
};

static enum bs_status cut_flush(struct cut *cut)
{
    size_t begin = cut->begin, end = cut->end;
    cut->begin = cut->end;
    if (begin == end)
        return BS_OK;
    return run_step(cut->run, cut->next_step, cut->text + begin, end - begin,
                    cut->origin > begin ? cut->origin - begin : 0);
}

/* The next piece, text[cut->end .. end). */
static enum bs_status cut_add(struct cut *cut, size_t end, bool match)
{
    bool join = false, before = cut->match;
    if (cut->behavior == CONTIGUOUS)
        join = match == before;
    else if (cut->behavior == MERGED_WITH_PREVIOUS)
        join = match && !before;
    else if (cut->behavior == MERGED_WITH_NEXT)
        join = before && !match;
    if (!join && cut_flush(cut))
        return cut->run->err->status;
    cut->end = end;
    cut->match = match;
    if (cut->behavior == REMOVED && match)
        cut->begin = end;
    return BS_OK;
}

static enum bs_status run_split(const struct run *run, int step, const char *text, size_t size,
                                size_t origin)
{
    const struct step *split = &run->work->pre_tokenizer->steps[step];
    struct cut cut = {.run = run,
                      .text = text,
                      .origin = origin,
                      .next_step = step + 1,
                      .behavior = split->behavior};
    for (size_t from = 0, begin, end; from < size; from = end) {
        if (bs_pattern_next(split->pattern, run->matcher, text, size, from, &begin, &end, run->err))
            return run->err->status;
        if (begin > from && cut_add(&cut, begin, split->invert))
            return run->err->status;
        if (end > begin && cut_add(&cut, end, !split->invert))
            return run->err->status;
    }
    return cut_flush(&cut);
}

static enum bs_status run_metaspace(const struct run *run, int step, const char *text, size_t size,
                                    size_t origin)
{
    const struct step *metaspace = &run->work->pre_tokenizer->steps[step];
    struct bs_buffer *buffer = &run->work->buffers[step];
    size_t sign = metaspace->sign_size, spaces = 0;
    for (size_t i = 0; i < size; i++)
        spaces += text[i] == ' ';
    buffer->size = 0;
    if (bs_buffer_reserve(buffer, size + spaces * (sign - 1) + sign, run->err))
        return run->err->status;

    bool there = text[0] == ' ' || (size >= sign && !memcmp(text, metaspace->sign, sign));
    bool wanted = metaspace->scheme == ALWAYS || (metaspace->scheme == FIRST && origin > 0);
    char *out = buffer->text;
    if (wanted && !there) {
        memcpy(out, metaspace->sign, sign);
        out += sign;
        origin += origin > 0 ? sign : 0;
    } else if (origin > 0 && text[0] == ' ') {
        origin = sign;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ') {
            *out++ = text[i];
            continue;
        }
        memcpy(out, metaspace->sign, sign);
        out += sign;
    }
    buffer->size = (size_t)(out - buffer->text);
    return run_step(run, step + 1, buffer->text, buffer->size, origin);
}

static enum bs_status run_bytes(const struct run *run, int step, const char *text, size_t size,
                                size_t origin)
{
    struct bs_buffer *buffer = &run->work->buffers[step];
    size_t used = 0, kept = 0;
    buffer->size = 0;
    if (bs_buffer_reserve(buffer, 2 * size, run->err))
        return run->err->status;
    for (size_t i = 0; i < size; i++) {
        if (i == origin)
            kept = used;
        const struct spelling *spelling = &run->work->spellings[(unsigned char)text[i]];
        memcpy(buffer->text + used, spelling->text, 2);
        used += spelling->size;
    }
    buffer->size = used;
    return run_step(run, step + 1, buffer->text, used, origin < size ? kept : used);
}

static enum bs_status run_step(const struct run *run, int step, const char *text, size_t size,
                               size_t origin)
{
    const struct bs_pre_tokenizer *pre = run->work->pre_tokenizer;
    if (step == pre->num_steps)
        return run->sink->take(run->sink->context, text, size, run->err);
    switch (pre->steps[step].kind) {
    case SPLIT:
        return run_split(run, step, text, size, origin);
    case METASPACE:
        return run_metaspace(run, step, text, size, origin);
    default:
        return run_bytes(run, step, text, size, origin);
    }
}

enum bs_status bs_pre_tokenizer_run(struct bs_pre_tokenizer_work *work, struct bs_matcher *matcher,
                                    const char *text, size_t size, size_t origin,
                                    const struct bs_word_sink *sink, struct bs_error *err)
{
    const struct run run = {.work = work, .matcher = matcher, .sink = sink, .err = err};
    return size ? run_step(&run, 0, text, size, origin) : BS_OK;
}
