/* Text to token ids, as `tokenizer.json` says. */
#ifndef BS_EVAL_DATA_TOKENIZER_H
#define BS_EVAL_DATA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

struct bs_tokenizer;

/* Opens `directory`/tokenizer.json: byte-level BPE with the split pattern it names, added tokens.
 * A part it does not know (another model type, a normalizer, ...) is BS_EUNSUPPORTED naming the
 * part; damage is BS_EDATA naming the place. */
enum bs_status bs_tokenizer_open(const char *directory, struct bs_tokenizer **tokenizer,
                                 struct bs_error *err);
void bs_tokenizer_free(struct bs_tokenizer *tokenizer);

/* One more than the largest id. */
int bs_tokenizer_vocab_size(const struct bs_tokenizer *tokenizer);

/* The id that the tokenizer puts before a text where special tokens are added, or -1. */
int32_t bs_tokenizer_bos(const struct bs_tokenizer *tokenizer);

/* Ids of text[0 .. size), in new memory (bs_free). Added tokens that are spelled in the text become
 * their id. BS_EDATA with the byte offset where text is not UTF-8. */
enum bs_status bs_tokenizer_encode(const struct bs_tokenizer *tokenizer, const char *text,
                                   size_t size, bool add_special_tokens, int32_t **ids,
                                   size_t *count, struct bs_error *err);

#endif
