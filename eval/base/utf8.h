/* UTF-8 (RFC 3629), as far as bytes and characters go. */
#ifndef BS_EVAL_BASE_UTF8_H
#define BS_EVAL_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

/* Bytes of the UTF-8 letter at text[0 .. size), size > 0, and the letter; 0 where there is none: an
 * overlong form, a surrogate, anything beyond U+10FFFF, half a letter. */
size_t bs_utf8_letter(const char *text, size_t size, uint32_t *letter);

/* BS_EDATA with the byte offset where text[0 .. size) is not UTF-8. */
enum bs_status bs_utf8_check(const char *text, size_t size, struct bs_error *err);

/* Bytes of the character that begins with `first`, in valid UTF-8. */
size_t bs_utf8_bytes(char first);

/* The character at `text`, valid UTF-8. */
uint32_t bs_utf8_decode(const char *text);

/* Writes the character, up to 4 bytes without an end, and returns how many. */
size_t bs_utf8_encode(uint32_t character, char *out);

#endif
