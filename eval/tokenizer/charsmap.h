/* SentencePiece's precompiled map of characters: what a few bytes are rewritten to. */
#ifndef BS_EVAL_TOKENIZER_CHARSMAP_H
#define BS_EVAL_TOKENIZER_CHARSMAP_H

#include <stddef.h>

#include "eval/tokenizer/buffer.h"

struct bs_charsmap;

/* Reads the map from base64: the size of a trie in bytes (32 bits, little-endian), the trie (a
 * double array of 32-bit units, as darts-clone makes it), and the replacements, each ended by a
 * zero byte. BS_EDATA for damage; `place` is for messages. */
enum bs_status bs_charsmap_create(const char *place, const char *base64,
                                  struct bs_charsmap **charsmap, struct bs_error *err);
void bs_charsmap_free(struct bs_charsmap *charsmap);

/* Appends text[0 .. size), valid UTF-8, rewritten, to `out`: each grapheme of less than six bytes
 * whole if the map has a beginning of it, else each character. BS_ENOMEM. */
enum bs_status bs_charsmap_run(const struct bs_charsmap *charsmap, const char *text, size_t size,
                               struct bs_buffer *out, struct bs_error *err);

#endif
