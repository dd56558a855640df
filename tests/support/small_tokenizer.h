/* A tokenizer.json small enough to be read: all bytes, then "th" "the" "Ġt" "Ġthe" "12" "ab" "bc"
 * "abc", and what is put around them. */
#ifndef BS_TESTS_SUPPORT_SMALL_TOKENIZER_H
#define BS_TESTS_SUPPORT_SMALL_TOKENIZER_H

#include <stdbool.h>

#include <jansson.h>

#include "eval/tokenizer/tokenizer.h"

/* The ids after the bytes. */
enum { TH = 256, THE, BLANK_T, BLANK_THE, TWELVE, AB, BC, ABC, FIRST_FREE };

/* The file's model, with the merges that lead to these tokens. */
json_t *small_model(void);

/* The whole file around a pre_tokenizer; takes `model`. */
json_t *small_root(const char *pre, json_t *model);

/* An entry of its added_tokens. */
json_t *small_added(const char *content, int id, bool normalized);

/* Writes the file into the test's folder and opens it; takes root. */
enum bs_status open_root(json_t *root, struct bs_tokenizer **tokenizer, struct bs_error *err);

#define BYTE_LEVEL(prefix, regex)                                                                  \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix                                         \
    ",\"trim_offsets\":true,\"use_regex\":" regex "}"
#define SPLIT(kind, pattern)                                                                       \
    "{\"type\":\"Split\",\"pattern\":{\"" kind "\":\"" pattern                                     \
    "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define SEQUENCE(steps) "{\"type\":\"Sequence\",\"pretokenizers\":[" steps "]}"

#endif
