/* The tokens of a model: spelling to id and back. */
#ifndef BS_EVAL_TOKENIZER_VOCABULARY_H
#define BS_EVAL_TOKENIZER_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

struct bs_vocabulary;

/* An empty vocabulary with room for `count` tokens of `bytes` bytes together. NULL when memory runs
 * out. */
struct bs_vocabulary *bs_vocabulary_create(size_t count, size_t bytes);
void bs_vocabulary_free(struct bs_vocabulary *vocabulary);

/* Adds a token, at most as many and as long as was asked for at first; one of the same spelling
 * gets the new id. */
void bs_vocabulary_add(struct bs_vocabulary *vocabulary, const char *token, size_t size,
                       int32_t id);

/* Sorts the tokens by id, after the last of them is added: bs_vocabulary_token finds them then.
 * BS_ENOMEM. */
enum bs_status bs_vocabulary_finish(struct bs_vocabulary *vocabulary, struct bs_error *err);

/* The id of a spelling, -1 where there is none. */
int32_t bs_vocabulary_id(const struct bs_vocabulary *vocabulary, const char *token, size_t size);

/* The spelling of an id (not terminated), NULL where there is none. */
const char *bs_vocabulary_token(const struct bs_vocabulary *vocabulary, int32_t id, size_t *size);

/* How many tokens it has. */
size_t bs_vocabulary_count(const struct bs_vocabulary *vocabulary);

/* The largest id, -1 where there is none. */
int32_t bs_vocabulary_last_id(const struct bs_vocabulary *vocabulary);

#endif
