/* A parser of JSON (RFC 8259) that builds jansson's values. jansson's own parser stops at what real
 * files hold: NUL in a key, integers beyond 64 bits, numbers beyond double. It also takes what
 * Python writes (a byte order mark, NaN, Infinity), unless it is asked to be strict. */
#include "eval/base/json.h"

#include "eval/base/mem.h"
#include "eval/base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 1000 }; /* as deep as Python's parser goes */

struct parser {
    const struct bs_json_rules *rules;
    const char *place, *start, *at, *end;
    int depth;
    char *bytes; /* a string or number at hand */
    size_t used, capacity;
    struct bs_error *err;
};

static enum bs_status parse_value(struct parser *parser, json_t **value);

/* Fails at parser->at, with line and column (in characters, from 1). */
__attribute__((format(printf, 2, 3))) static enum bs_status fail(struct parser *parser,
                                                                 const char *format, ...)
{
    const struct bs_json_rules *rules = parser->rules;
    size_t line = rules->line ? rules->line : 1, column = rules->column ? rules->column : 1;
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    for (const char *at = parser->start; at < parser->at; at++) {
        if (*at == '\n') {
            line++;
            column = 1;
        } else {
            column += ((unsigned char)*at & 0xc0) != 0x80;
        }
    }
    return bs_fail(parser->err, BS_EDATA, "%s is not valid JSON: line %zu, column %zu: %s",
                   parser->place, line, column, reason);
}

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->end && *parser->at && strchr(" \t\n\r", *parser->at))
        parser->at++;
}

/* The next byte, or NUL at the end. */
static char peek(const struct parser *parser)
{
    return parser->at < parser->end ? *parser->at : '\0';
}

static bool skip(struct parser *parser, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(parser->end - parser->at) < size || memcmp(parser->at, word, size))
        return false;
    parser->at += size;
    return true;
}

static enum bs_status put(struct parser *parser, const char *bytes, size_t size)
{
    if (!parser->bytes || parser->capacity - parser->used < size) {
        size_t larger = 2 * parser->capacity + size + 64;
        char *grown = bs_realloc(parser->bytes, parser->used, larger, 1);
        if (!grown)
            return bs_fail_memory(parser->err);
        parser->bytes = grown;
        parser->capacity = larger;
    }
    memcpy(parser->bytes + parser->used, bytes, size);
    parser->used += size;
    return BS_OK;
}

/* --- strings --- */

/* The four hexadecimal digits at text[0 .. size), or -1. */
static long hex4(const char *text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    long number = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *digit = i < size && text[i] ? strchr(digits, text[i] | 0x20) : NULL;
        if (!digit || (text[i] < 'A' && text[i] > '9'))
            return -1;
        number = 16 * number + (digit - digits);
    }
    return number;
}

static enum bs_status put_character(struct parser *parser, long character)
{
    char out[4];
    return put(parser, out, bs_utf8_encode((uint32_t)character, out));
}

/* What follows "\u". */
static enum bs_status parse_unicode_escape(struct parser *parser)
{
    size_t left = (size_t)(parser->end - parser->at);
    long first = hex4(parser->at, left), second = -1;
    if (first < 0)
        return fail(parser, "\\u needs four hexadecimal digits");
    if (first >= 0xd800 && first < 0xdc00 && left >= 6 && parser->at[4] == '\\' &&
        parser->at[5] == 'u')
        second = hex4(parser->at + 6, left - 6);
    if (second >= 0xdc00 && second < 0xe000) {
        parser->at += 10;
        return put_character(parser, 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
    }
    if (first >= 0xd800 && first < 0xe000 && !parser->rules->surrogates)
        return fail(parser, "half of a surrogate pair, \\u%.4s", parser->at);
    parser->at += 4;
    return put_character(parser, first);
}

static enum bs_status parse_escape(struct parser *parser)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    parser->at++;
    char letter = peek(parser);
    const char *found = letter ? strchr(letters, letter) : NULL;
    if (letter != 'u' && !found)
        return fail(parser, "an escape that JSON does not have");
    parser->at++;
    return letter == 'u' ? parse_unicode_escape(parser) : put(parser, meant + (found - letters), 1);
}

/* A string from its opening quote on, into parser->bytes[0 .. used). */
static enum bs_status parse_string(struct parser *parser)
{
    parser->used = 0;
    parser->at++;
    for (;;) {
        const char *from = parser->at;
        size_t bytes = 1;
        uint32_t letter;
        while (parser->at < parser->end && *parser->at != '"' && *parser->at != '\\' &&
               (unsigned char)*parser->at >= 0x20 &&
               (bytes = bs_utf8_letter(parser->at, (size_t)(parser->end - parser->at), &letter)))
            parser->at += bytes;
        if (parser->at == parser->end)
            return fail(parser, "the text ends within a string");
        if (!bytes)
            return fail(parser, "a byte that is not UTF-8, 0x%02x", (unsigned char)*parser->at);
        if (put(parser, from, (size_t)(parser->at - from)))
            return parser->err->status;
        if (*parser->at == '"') {
            parser->at++;
            return BS_OK;
        }
        if (*parser->at != '\\')
            return fail(parser, "a control character in a string, 0x%02x",
                        (unsigned char)*parser->at);
        if (parse_escape(parser))
            return parser->err->status;
    }
}

/* --- numbers --- */

/* What double does not have: an object in transformers' spelling, which no reader takes for a
 * number or a text. */
static json_t *non_finite(double number)
{
    return json_pack("{s:s}", "__float__",
                     isnan(number) ? "NaN"
                     : number < 0  ? "-Infinity"
                                   : "Infinity");
}

static size_t skip_digits(struct parser *parser)
{
    const char *from = parser->at;
    while (peek(parser) >= '0' && peek(parser) <= '9')
        parser->at++;
    return (size_t)(parser->at - from);
}

/* An integer where it fits into 64 bits, else the double next to it, as a JSON reader without
 * integers has it. */
static enum bs_status make_number(struct parser *parser, bool integer, json_t **value)
{
    errno = 0;
    long long whole = integer ? strtoll(parser->bytes, NULL, 10) : 0;
    if (integer && !errno) {
        *value = json_integer(whole);
    } else {
        double number = strtod(parser->bytes, NULL);
        *value = isfinite(number) ? json_real(number) : non_finite(number);
    }
    return *value ? BS_OK : bs_fail_memory(parser->err);
}

static enum bs_status parse_number(struct parser *parser, json_t **value)
{
    const char *from = parser->at;
    bool integer = true;
    skip(parser, "-");
    const char *digits = parser->at;
    size_t num_digits = skip_digits(parser);
    if (!num_digits || (num_digits > 1 && *digits == '0')) {
        parser->at = from;
        return fail(parser, num_digits ? "a number that begins with 0" : "expected a value");
    }
    if (skip(parser, ".")) {
        integer = false;
        if (!skip_digits(parser))
            return fail(parser, "expected a digit");
    }
    if (skip(parser, "e") || skip(parser, "E")) {
        integer = false;
        if (!skip(parser, "+"))
            skip(parser, "-");
        if (!skip_digits(parser))
            return fail(parser, "expected a digit");
    }
    parser->used = 0;
    if (put(parser, from, (size_t)(parser->at - from)) || put(parser, "", 1))
        return parser->err->status;
    return make_number(parser, integer, value);
}

/* --- values --- */

/* Takes the value over. */
static enum bs_status add_member(struct parser *parser, json_t *object, const char *key,
                                 size_t size, const char *key_at, json_t *value)
{
    const struct bs_json_rules *rules = parser->rules;
    const json_t *before = json_object_getn(object, key, size);
    bool matters = !rules->read_key ||
                   (strlen(rules->read_key) == size && !memcmp(rules->read_key, key, size));
    if (before && matters && (rules->strict || !json_equal(before, value))) {
        json_decref(value);
        parser->at = key_at;
        return fail(parser, "duplicate key '%.*s'%s", (int)(size < 200 ? size : 200), key,
                    rules->strict ? "" : ", with another value");
    }
    return json_object_setn_new_nocheck(object, key, size, value) ? bs_fail_memory(parser->err)
                                                                  : BS_OK;
}

/* "key": value */
static enum bs_status parse_member(struct parser *parser, json_t *object)
{
    const char *key_at = parser->at;
    if (peek(parser) != '"')
        return fail(parser, "expected a key in quotes");
    if (parse_string(parser))
        return parser->err->status;
    size_t size = parser->used;
    char *key = bs_alloc(size + 1, 1);
    if (!key)
        return bs_fail_memory(parser->err);
    memcpy(key, parser->bytes, size);
    key[size] = '\0';
    json_t *value = NULL;
    enum bs_status status;
    skip_blanks(parser);
    if (!skip(parser, ":"))
        status = fail(parser, "expected ':'");
    else
        status = parse_value(parser, &value);
    if (!status)
        status = add_member(parser, object, key, size, key_at, value);
    bs_free(key);
    return status;
}

/* An object or a list, from its opening bracket on. */
static enum bs_status parse_items(struct parser *parser, json_t *items)
{
    const char *closing = json_is_object(items) ? "}" : "]";
    parser->at++;
    skip_blanks(parser);
    if (skip(parser, closing))
        return BS_OK;
    for (;;) {
        json_t *value = NULL;
        skip_blanks(parser);
        if (json_is_object(items) ? parse_member(parser, items) : parse_value(parser, &value))
            return parser->err->status;
        if (value && json_array_append_new(items, value))
            return bs_fail_memory(parser->err);
        skip_blanks(parser);
        if (skip(parser, closing))
            return BS_OK;
        if (!skip(parser, ","))
            return fail(parser, "expected ',' or '%s'%s", closing,
                        parser->at == parser->end ? ", but the text ends" : "");
    }
}

static enum bs_status parse_nested(struct parser *parser, json_t **value)
{
    if (parser->depth == MOST_DEPTH)
        return fail(parser, "nested deeper than %d", MOST_DEPTH);
    json_t *items = *parser->at == '{' ? json_object() : json_array();
    if (!items)
        return bs_fail_memory(parser->err);
    parser->depth++;
    enum bs_status status = parse_items(parser, items);
    parser->depth--;
    if (status)
        json_decref(items);
    else
        *value = items;
    return status;
}

/* NaN and the infinities, as Python writes them; NULL where none stands there. */
static json_t *parse_non_finite(struct parser *parser)
{
    static const struct {
        const char *word;
        double number;
    } words[] = {
        {"NaN", (double)NAN}, {"Infinity", (double)INFINITY}, {"-Infinity", (double)-INFINITY}};
    for (size_t i = 0; !parser->rules->strict && i < sizeof words / sizeof *words; i++)
        if (skip(parser, words[i].word))
            return non_finite(words[i].number);
    return NULL;
}

static enum bs_status parse_value(struct parser *parser, json_t **value)
{
    skip_blanks(parser);
    char first = peek(parser);
    if (parser->at == parser->end)
        return fail(parser, "expected a value, but the text ends");
    if (first == '{' || first == '[')
        return parse_nested(parser, value);
    if (first == '"') {
        if (parse_string(parser))
            return parser->err->status;
        *value = json_stringn_nocheck(parser->bytes, parser->used);
        return *value ? BS_OK : bs_fail_memory(parser->err);
    }
    *value = skip(parser, "true")    ? json_true()
             : skip(parser, "false") ? json_false()
             : skip(parser, "null")  ? json_null()
                                     : parse_non_finite(parser);
    return *value ? BS_OK : parse_number(parser, value);
}

enum bs_status bs_json_parse(const char *place, const struct bs_json_rules *rules, const char *text,
                             size_t size, json_t **value, struct bs_error *err)
{
    static const struct bs_json_rules defaults = {0};
    const char *start = text ? text : "";
    struct parser parser = {.rules = rules ? rules : &defaults,
                            .place = place,
                            .start = start,
                            .at = start,
                            .end = start + size,
                            .err = err};
    *value = NULL;
    if (!parser.rules->strict && skip(&parser, "\xef\xbb\xbf"))
        parser.start = parser.at;
    enum bs_status status = parse_value(&parser, value);
    if (!status) {
        skip_blanks(&parser);
        if (parser.at < parser.end)
            status = fail(&parser, "text after the value");
    }
    if (!status && !parser.rules->any && !json_is_object(*value))
        status = bs_fail(err, BS_EDATA, "%s is valid JSON, but no object", place);
    bs_free(parser.bytes);
    if (status) {
        json_decref(*value);
        *value = NULL;
    }
    return status;
}
