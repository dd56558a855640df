/* Text to token ids, as the tokenizers library does it with a model's `tokenizer.json`. */
#ifndef BS_EVAL_TOKENIZER_TOKENIZER_H
#define BS_EVAL_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/lines.h"

struct bs_tokenizer;

/* Opens the tokenizer of a model directory (tokenizer_files.h says which files are read) or a GGUF
 * file (gguf_tokenizer.h). A part that is not known (another model type, ...) is BS_EUNSUPPORTED
 * naming the part; damage is BS_EDATA naming the place. */
enum bs_status bs_tokenizer_open(const char *directory, struct bs_tokenizer **tokenizer,
                                 struct bs_error *err);
void bs_tokenizer_free(struct bs_tokenizer *tokenizer);

/* What a user should know: options of the files that do not come true, a line each. */
const struct bs_lines *bs_tokenizer_notices(const struct bs_tokenizer *tokenizer);

/* One more than the largest id. */
int bs_tokenizer_vocab_size(const struct bs_tokenizer *tokenizer);

/* The id that the post_processor puts in front of a text, -1 where it puts none. */
int32_t bs_tokenizer_bos(const struct bs_tokenizer *tokenizer);

/* The token that the files name bos_token, or eos_token, be it put around texts or not: its id (-1
 * where they name none) and, where that is not NULL, how it is spelled, borrowed. */
enum bs_named_token { BS_NAMED_BOS, BS_NAMED_EOS, BS_NAMED_TOKENS };
int32_t bs_tokenizer_named(const struct bs_tokenizer *tokenizer, enum bs_named_token which,
                           const char **text);

/* How the vocabulary spells an id (not terminated), NULL where there is no such id. */
const char *bs_tokenizer_piece(const struct bs_tokenizer *tokenizer, int32_t id, size_t *size);

/* Ids of text[0 .. size), in new memory (bs_free). Added tokens that are spelled in the text become
 * their id. With add_special_tokens the post_processor's tokens (BOS, EOS) stand around them.
 * BS_EDATA with the byte offset where text is not UTF-8, or where it has a character that the
 * tokenizer has no token for and no unknown token instead. */
enum bs_status bs_tokenizer_encode(const struct bs_tokenizer *tokenizer, const char *text,
                                   size_t size, bool add_special_tokens, int32_t **ids,
                                   size_t *count, struct bs_error *err);

#endif
