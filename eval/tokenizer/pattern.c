/* The tokenizers library matches with Oniguruma, we with PCRE2. Where the two agree a pattern is
 * passed on as it is. \s is spelled out, because PCRE2 counts U+180E (a space until Unicode 6.3) as
 * one and Oniguruma does not; ^ and $ are those of lines, as Oniguruma has them. What else they
 * read differently (\w, \h, nested classes, script names, x{1,3}+ ...) is refused, since it would
 * give other tokens in silence.
 *
 * One difference remains: a character newer than the library's Unicode tables is no letter to it.
 * PCRE2 10.42 knows Unicode 14. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "eval/tokenizer/pattern.h"

#include "eval/base/mem.h"
#include "eval/base/utf8.h"
#include "eval/tokenizer/unicode.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { JIT_STACK_START = 32 << 10, JIT_STACK_MAX = 16 << 20 };

/* A pattern that cuts words looks at what it takes a few times over. One that looks at far more
 * costs time that grows with the square of the text, or worse. So each match sees only a window of
 * the text and may take only so many steps; where that does not do, both grow, on account of a
 * budget that is in proportion to the text. Windows of long words double, so these cost a few times
 * their length. */
enum { WINDOW = 256, FREE_STEPS = 1024, LEAST_BUDGET = 1 << 22, BUDGET_PER_BYTE = 64 };

static const char white_space[] = BS_WHITE_SPACE_CLASS;
/* the places that ^ and $ stand for: an empty last line has no beginning */
static const char line_begin[] = "(?:\\A|(?<=\\n)(?!\\z))", line_end[] = "(?=\\n|\\z)";

struct bs_pattern {
    pcre2_code *code;
    char *text;        /* as it was written, for messages */
    bool knows_starts; /* `starts` says with which bytes a match can begin */
    bool starts[256];
};

struct bs_matcher {
    uint64_t budget; /* bytes and steps that are left beyond what is free */
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static void *pattern_alloc(PCRE2_SIZE size, void *context)
{
    (void)context;
    return bs_alloc(size, 1);
}

static void pattern_release(void *memory, void *context)
{
    (void)context;
    bs_free(memory);
}

/* Where the translation stands. `out` has room for the longest possible result. */
struct translation {
    const char *in, *end; /* a zero byte follows */
    char *out;
    int class_depth; /* 0 outside a class, 1 in one, 2 and more in a class within it */
};

static void copy(struct translation *t, size_t bytes)
{
    memcpy(t->out, t->in, bytes);
    t->in += bytes;
    t->out += bytes;
}

static void append(struct translation *t, const char *text)
{
    size_t bytes = strlen(text);
    memcpy(t->out, text, bytes);
    t->out += bytes;
}

/* Bytes of `\p{Lu}` where it names a general category, perhaps negated; else 0. */
static size_t category_bytes(const char *escape)
{
    size_t n = 2;
    if (escape[n++] != '{')
        return 0;
    if (escape[n] == '^')
        n++;
    if (!strchr("CLMNPSZ", escape[n]) || !escape[n])
        return 0;
    n++;
    if (escape[n] >= 'a' && escape[n] <= 'z')
        n++;
    return escape[n] == '}' ? n + 1 : 0;
}

/* \uHHHH; false where no four digits follow. */
static bool translate_code_point(struct translation *t)
{
    enum { DIGITS = 4 };
    for (int i = 0; i < DIGITS; i++)
        if (!t->in[2 + i] || !strchr("0123456789abcdefABCDEF", t->in[2 + i]))
            return false;
    append(t, "\\x{");
    t->in += 2;
    copy(t, DIGITS);
    append(t, "}");
    return true;
}

/* An escape; false when it is refused. */
static bool translate_escape(struct translation *t)
{
    char letter = t->in[1];
    if (letter == 's' || (letter == 'S' && !t->class_depth)) {
        if (!t->class_depth)
            append(t, letter == 's' ? "[" : "[^");
        append(t, white_space);
        if (!t->class_depth)
            append(t, "]");
        t->in += 2;
        return true;
    }
    if (letter == 'p' || letter == 'P') {
        size_t bytes = category_bytes(t->in);
        copy(t, bytes);
        return bytes > 0;
    }
    if (letter == 'u')
        return translate_code_point(t);
    bool known_letter = letter && strchr("dDnrtfx", letter);
    bool punctuation = letter > ' ' && letter < 0x7f &&
                       !((letter >= '0' && letter <= '9') || (letter >= 'A' && letter <= 'Z') ||
                         (letter >= 'a' && letter <= 'z'));
    if (!known_letter && !punctuation)
        return false;
    copy(t, 2);
    return true;
}

static bool starts_with(const char *text, const char *start)
{
    return !strncmp(text, start, strlen(start));
}

/* Constructs outside a class that both libraries know, with different meanings. */
static bool refused_outside(const char *in)
{
    static const char *const groups[] = {"(?:", "(?i:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    static const char *const differing[] = {"(*", "{,", "}+"};
    for (size_t i = 0; i < sizeof differing / sizeof differing[0]; i++)
        if (starts_with(in, differing[i]))
            return true;
    if (!starts_with(in, "(?"))
        return false;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (starts_with(in, groups[i]))
            return false;
    return true;
}

/* Enters or leaves a class, or steps over a character in one. A class in a class is a union to
 * Oniguruma, so its brackets are left out; next to a '-' that could make a range. */
static bool translate_class(struct translation *t)
{
    char c = *t->in;
    bool bracket = c == '[' || c == ']';
    if (starts_with(t->in, "&&"))
        return false; /* an intersection */
    if (!bracket || (c == ']' && t->class_depth == 1)) {
        t->class_depth -= bracket;
        copy(t, 1);
        return true;
    }
    if (t->in[-1] == '-' || t->in[1] == '-')
        return false;
    if (c == '[' && (!t->in[1] || strchr("^:]", t->in[1])))
        return false;
    t->class_depth += c == '[' ? 1 : -1;
    t->in++;
    return true;
}

/* Translates one piece of the pattern; false when it is refused. */
static bool translate_step(struct translation *t)
{
    if (*t->in == '\\')
        return translate_escape(t);
    if (t->class_depth)
        return translate_class(t);
    if (*t->in == '[') {
        t->class_depth = 1;
        size_t bytes = t->in[1] == '^' ? 2 : 1;
        if (t->in[bytes] == ']')
            return false; /* a literal bracket to one, the end to the other */
        copy(t, bytes);
        return true;
    }
    if (refused_outside(t->in))
        return false;
    if (*t->in != '^' && *t->in != '$') {
        copy(t, 1);
        return true;
    }
    append(t, *t->in == '^' ? line_begin : line_end);
    t->in++;
    return true;
}

static enum bs_status pattern_translate(const char *place, const char *text, size_t size,
                                        char **translated, size_t *translated_size,
                                        struct bs_error *err)
{
    /* What grows the most: "\s", two bytes, to the list in brackets, and "^" to its places. */
    _Static_assert(sizeof line_begin < sizeof white_space, "a byte makes no more than this");
    *translated = bs_alloc(size + 2, sizeof white_space);
    if (!*translated)
        return bs_fail_memory(err);
    struct translation t = {.in = text, .end = text + size, .out = *translated};
    while (t.in < t.end) {
        if (!translate_step(&t)) {
            bs_free(*translated);
            *translated = NULL;
            return bs_fail(err, BS_EUNSUPPORTED,
                           "%s: pattern '%.500s': bitsweep does not know '%.8s' at byte %zu", place,
                           text, t.in, (size_t)(t.in - text));
        }
    }
    *translated_size = (size_t)(t.out - *translated);
    return BS_OK;
}

static enum bs_status pattern_compile(const char *place, const char *text, size_t length,
                                      uint32_t options, struct bs_pattern *pattern,
                                      struct bs_error *err)
{
    enum bs_status status = BS_OK;
    int code = 0;
    PCRE2_SIZE where = 0;
    uint32_t matches_empty = 0;
    pcre2_compile_context *compile = NULL;
    pcre2_general_context *general =
        pcre2_general_context_create(pattern_alloc, pattern_release, NULL);
    if (general)
        compile = pcre2_compile_context_create(general);
    if (!compile) {
        status = bs_fail_memory(err);
        goto done;
    }
    pattern->code = pcre2_compile((PCRE2_SPTR)text, length, options, &code, &where, compile);
    if (!pattern->code && code == PCRE2_ERROR_HEAP_FAILED) {
        status = bs_fail_memory(err);
    } else if (!pattern->code) {
        PCRE2_UCHAR reason[256] = "unknown reason";
        pcre2_get_error_message(code, reason, sizeof reason);
        status =
            bs_fail(err, BS_EDATA, "%s: pattern '%.*s': %s at byte %zu", place,
                    (int)(length < 500 ? length : 500), text, (const char *)reason, (size_t)where);
    } else if (!pcre2_pattern_info(pattern->code, PCRE2_INFO_MATCHEMPTY, &matches_empty) &&
               matches_empty) {
        status = bs_fail(err, BS_EUNSUPPORTED, "%s: pattern '%.*s' matches an empty string", place,
                         (int)(length < 500 ? length : 500), text);
    } else if (pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) ==
               PCRE2_ERROR_NOMEMORY) {
        status = bs_fail_memory(err); /* other failures mean no JIT here: slower, same matches */
    }

done:
    pcre2_compile_context_free(compile);
    pcre2_general_context_free(general);
    return status;
}

/* Notes with which bytes a match can begin, where PCRE2 can tell: most words hold none of them, and
 * a look at their bytes is cheaper than a call. */
static void pattern_note_starts(struct bs_pattern *pattern, const char *literal)
{
    const uint8_t *bitmap = NULL;
    if (literal)
        pattern->starts[(unsigned char)*literal] = true;
    else if (pcre2_pattern_info(pattern->code, PCRE2_INFO_FIRSTBITMAP, &bitmap) || !bitmap)
        return;
    for (unsigned byte = 0; bitmap && byte < 256; byte++)
        pattern->starts[byte] = bitmap[byte / 8] >> byte % 8 & 1;
    pattern->knows_starts = true;
}

enum bs_status bs_pattern_create(const char *place, const char *text, size_t size,
                                 enum bs_syntax syntax, struct bs_pattern **pattern,
                                 struct bs_error *err)
{
    *pattern = NULL;
    char *translated = NULL;
    size_t translated_size = 0;
    enum bs_status status = BS_OK;
    uint32_t options =
        syntax == BS_SYNTAX_LITERAL ? PCRE2_UTF | PCRE2_LITERAL : PCRE2_UTF | PCRE2_UCP;
    struct bs_pattern *created = bs_calloc(1, sizeof *created);
    if (!created || !(created->text = bs_strdup(text)))
        status = bs_fail_memory(err);
    if (!status && syntax == BS_SYNTAX_ONIGURUMA)
        status = pattern_translate(place, text, size, &translated, &translated_size, err);
    if (!status)
        status = pattern_compile(place, translated ? translated : text,
                                 translated ? translated_size : size, options, created, err);
    bs_free(translated);
    if (!status)
        pattern_note_starts(created, syntax == BS_SYNTAX_LITERAL ? text : NULL);
    if (status)
        bs_pattern_free(created);
    else
        *pattern = created;
    return status;
}

void bs_pattern_free(struct bs_pattern *pattern)
{
    if (!pattern)
        return;
    pcre2_code_free(pattern->code);
    bs_free(pattern->text);
    bs_free(pattern);
}

struct bs_matcher *bs_matcher_create(size_t bytes)
{
    struct bs_matcher *matcher = bs_calloc(1, sizeof *matcher);
    if (matcher)
        matcher->budget = LEAST_BUDGET + BUDGET_PER_BYTE * (uint64_t)bytes;
    pcre2_general_context *general =
        pcre2_general_context_create(pattern_alloc, pattern_release, NULL);
    if (matcher && general) {
        matcher->data = pcre2_match_data_create(1, general);
        matcher->context = pcre2_match_context_create(general);
        matcher->stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_MAX, general);
    }
    pcre2_general_context_free(general);
    /* Without JIT there is no stack for it, which is fine. */
    uint32_t jit = 0;
    pcre2_config(PCRE2_CONFIG_JIT, &jit);
    if (!matcher || !matcher->data || !matcher->context || (jit && !matcher->stack)) {
        bs_matcher_free(matcher);
        return NULL;
    }
    if (matcher->stack)
        pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return matcher;
}

void bs_matcher_free(struct bs_matcher *matcher)
{
    if (!matcher)
        return;
    pcre2_jit_stack_free(matcher->stack);
    pcre2_match_context_free(matcher->context);
    pcre2_match_data_free(matcher->data);
    bs_free(matcher);
}

/* One try in text[at .. end): the library's code. `flags` are its own, too. */
static int try_match(const struct bs_pattern *pattern, struct bs_matcher *matcher, const char *text,
                     size_t end, size_t at, uint32_t steps, uint32_t flags)
{
    pcre2_set_match_limit(matcher->context, steps);
    return pcre2_match(pattern->code, (PCRE2_SPTR)text, end, at, PCRE2_NO_UTF_CHECK | flags,
                       matcher->data, matcher->context);
}

static enum bs_status fail_match(const struct bs_pattern *pattern, int code, struct bs_error *err)
{
    PCRE2_UCHAR reason[256] = "unknown reason";
    pcre2_get_error_message(code, reason, sizeof reason);
    return bs_fail(err, BS_EDATA, "cannot split the text into words by the pattern '%.500s': %s",
                   pattern->text, (const char *)reason);
}

/* Takes `cost` off the budget. */
static enum bs_status spend(const struct bs_pattern *pattern, struct bs_matcher *matcher,
                            uint64_t cost, struct bs_error *err)
{
    if (cost > matcher->budget)
        return bs_fail(err, BS_EDATA,
                       "cannot split the text into words by the tokenizer's pattern '%.500s': it "
                       "looks at the same text again and again, in time that grows with the square "
                       "of the text or worse",
                       pattern->text);
    matcher->budget -= cost;
    return BS_OK;
}

/* Tries, with more steps as long as they do not do. PCRE2_ERROR_MATCHLIMIT stands for the end of
 * the budget, after bs_fail. */
static int match_within(const struct bs_pattern *pattern, struct bs_matcher *matcher,
                        const char *text, size_t end, size_t at, uint32_t flags,
                        struct bs_error *err)
{
    uint32_t steps = FREE_STEPS;
    int code;
    while ((code = try_match(pattern, matcher, text, end, at, steps, flags)) ==
           PCRE2_ERROR_MATCHLIMIT) {
        if (spend(pattern, matcher, steps, err))
            break;
        steps = steps < UINT32_MAX / 8 ? 8 * steps : UINT32_MAX;
    }
    return code;
}

/* The end of a window of so many bytes or a few more, so that no character is cut. */
static size_t window_end(const char *text, size_t size, size_t at, size_t window)
{
    size_t end = size - at > window ? at + window : size;
    while (end < size && ((unsigned char)text[end] & 0xc0) == 0x80)
        end++;
    return end;
}

/* As bs_pattern_next: *code is a match's, or PCRE2_ERROR_NOMATCH for none in the text, or an error.
 * A partial match is one that needs to see what comes after the window: the window grows from where
 * it begins. At the text's end that one place is tried by itself. */
static enum bs_status find_match(const struct bs_pattern *pattern, struct bs_matcher *matcher,
                                 const char *text, size_t size, size_t at, int *code,
                                 struct bs_error *err)
{
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(matcher->data);
    size_t window = WINDOW;
    for (*code = PCRE2_ERROR_NOMATCH; at < size;) {
        size_t end = window_end(text, size, at, window);
        bool last = end == size && window == WINDOW;
        *code = match_within(pattern, matcher, text, end, at, last ? 0 : PCRE2_PARTIAL_HARD, err);
        if (*code == PCRE2_ERROR_NOMATCH && !last) {
            at = end;
            window = WINDOW;
        } else if (*code == PCRE2_ERROR_PARTIAL) {
            at = offsets[0];
            window *= 2;
            if (spend(pattern, matcher, end - at, err))
                return err->status;
            if (end < size)
                continue;
            *code = match_within(pattern, matcher, text, size, at, PCRE2_ANCHORED, err);
            if (*code != PCRE2_ERROR_NOMATCH)
                break;
            at += bs_utf8_bytes(text[at]);
            window = WINDOW;
        } else {
            break;
        }
    }
    if (*code == PCRE2_ERROR_MATCHLIMIT)
        return err->status;
    if (*code == PCRE2_ERROR_NOMEMORY)
        return bs_fail_memory(err);
    return *code < 0 && *code != PCRE2_ERROR_NOMATCH ? fail_match(pattern, *code, err) : BS_OK;
}

enum bs_status bs_pattern_next(const struct bs_pattern *pattern, struct bs_matcher *matcher,
                               const char *text, size_t size, size_t from, size_t *begin,
                               size_t *end, struct bs_error *err)
{
    *begin = *end = size;
    while (
        pattern->knows_starts && from < size &&
        (!pattern->starts[(unsigned char)text[from]] || ((unsigned char)text[from] & 0xc0) == 0x80))
        from++;
    if (from == size)
        return BS_OK;
    int code;
    if (find_match(pattern, matcher, text, size, from, &code, err))
        return err->status;
    if (code < 0)
        return BS_OK;
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(matcher->data);
    *begin = offsets[0];
    *end = offsets[1];
    return BS_OK;
}
