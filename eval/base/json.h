/* JSON files through jansson, with our messages. */
#ifndef BS_EVAL_BASE_JSON_H
#define BS_EVAL_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"

/* Parses text[0 .. size), which must be one JSON object without duplicate keys; `place` says in
 * messages where the text stands. BS_EDATA with line and column; freed with json_decref. */
enum bs_status bs_json_parse(const char *place, const char *text, size_t size, json_t **object,
                             struct bs_error *err);

/* The same for the file at `path`. BS_EIO where it cannot be read. */
enum bs_status bs_json_read(const char *path, json_t **object, struct bs_error *err);

/* Prints a value in short for a message: `"gelu"`, `[1, 2]`; a long one is cut. */
void bs_json_excerpt(const json_t *value, char *out, size_t size);

/* BS_EUNSUPPORTED naming the first key of `object` that is not in `known` (NULL-terminated). */
enum bs_status bs_json_check_keys(const char *place, json_t *object, const char *const *known,
                                  struct bs_error *err);

/* True when the word is in the NULL-terminated list. */
bool bs_word_in(const char *word, const char *const *words);

#endif
