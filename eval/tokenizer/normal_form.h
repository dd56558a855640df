/* Unicode normal forms (UAX 15), in time n log n whatever the text. */
#ifndef BS_EVAL_TOKENIZER_NORMAL_FORM_H
#define BS_EVAL_TOKENIZER_NORMAL_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/tokenizer/buffer.h"

/* Appends text[0 .. size), valid UTF-8, to `out`: NFD, NFKD where `compatible`, NFC or NFKC where
 * `compose`. BS_ENOMEM. */
enum bs_status bs_normal_form(const char *text, size_t size, bool compatible, bool compose,
                              struct bs_buffer *out, struct bs_error *err);

#endif
