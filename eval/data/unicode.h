/* UTF-8, and the characters that tokenizers treat apart. */
#ifndef BS_EVAL_DATA_UNICODE_H
#define BS_EVAL_DATA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

/* BS_EDATA with the byte offset where text[0 .. size) is not UTF-8: an overlong form, a surrogate,
 * anything beyond U+10FFFF. */
enum bs_status bs_utf8_check(const char *text, size_t size, struct bs_error *err);

/* Bytes of the character that begins with `first`, in valid UTF-8. */
size_t bs_utf8_bytes(char first);

/* The character at `text`, valid UTF-8. */
uint32_t bs_utf8_decode(const char *text);

/* Writes the character, up to 4 bytes without an end, and returns how many. */
size_t bs_utf8_encode(uint32_t character, char *out);

/* The property White_Space. */
bool bs_is_white_space(uint32_t character);

/* Byte-level vocabularies spell each byte as a printable character: itself where it is printable in
 * Latin-1, else the next of U+0100, U+0101, ... (openai/gpt-2 encoder.py, bytes_to_unicode). */
uint32_t bs_byte_character(unsigned char byte);

/* White_Space as the inside of a PCRE2 class. */
#define BS_WHITE_SPACE_CLASS                                                                       \
    "\\t-\\r\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"          \
    "\\x{205f}\\x{3000}"

/* What Rust's \w matches, likewise. */
#define BS_WORD_CLASS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}"

#endif
