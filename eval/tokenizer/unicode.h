/* The characters that tokenizers treat apart. */
#ifndef BS_EVAL_TOKENIZER_UNICODE_H
#define BS_EVAL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

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
