/* JSON: parsed by us, kept as jansson's values. */
#ifndef BS_EVAL_BASE_JSON_H
#define BS_EVAL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"

/* How JSON is read; {0} is right for a file that says one thing. */
struct bs_json_rules {
    bool any;        /* the whole may be any value; else it must be an object */
    bool strict;     /* RFC 8259 to the letter, and no key twice even with equal values */
    bool surrogates; /* half of a surrogate pair becomes its three bytes, which are no UTF-8 */
    const char
        *read_key;       /* only this key is read: of any other that stands twice the last counts */
    size_t line, column; /* where the text begins, for messages; 0 = 1 */
};

/* Parses text[0 .. size); `place` says in messages whose text it is, rules may be NULL. All valid
 * JSON is read: strings have a length and may hold NUL, an integer beyond 64 bits is the nearest
 * double. Unless `strict`, a byte order mark in front and Python's NaN and Infinity are read too;
 * those, and numbers beyond double, become {"__float__": "Infinity"}, as transformers writes them,
 * so that no reader takes them for a number. A key that stands twice with different values is an
 * error. BS_EDATA with line and column (in characters, from 1); *value is freed with
 * json_decref. */
enum bs_status bs_json_parse(const char *place, const struct bs_json_rules *rules, const char *text,
                             size_t size, json_t **value, struct bs_error *err);

/* The object in the file at `path`. BS_EIO where it cannot be read. */
enum bs_status bs_json_read(const char *path, json_t **object, struct bs_error *err);

/* Writes a value into a new file, durable, two blanks a level, keys in their order. BS_EIO naming
 * the file, BS_ENOMEM. */
enum bs_status bs_json_write(const char *path, const json_t *value, struct bs_error *err);

/* Prints a value in short for a message: `"gelu"`, `[1, 2]`; a long one is cut. */
void bs_json_excerpt(const json_t *value, char *out, size_t size);

/* BS_EUNSUPPORTED naming the first key of `object` that is not in `known` (NULL-terminated). */
enum bs_status bs_json_check_keys(const char *place, json_t *object, const char *const *known,
                                  struct bs_error *err);

/* True when the word is in the NULL-terminated list. */
bool bs_word_in(const char *word, const char *const *words);

#endif
