/* The tokens of a text, printed: what `bitsweep tokenize` does. */
#ifndef BS_EVAL_TOKENIZER_TOKEN_LIST_H
#define BS_EVAL_TOKENIZER_TOKEN_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/base/error.h"

/* How tokens are printed. */
enum bs_token_style {
    BS_TOKENS_PIECES, /* a line a token: its id and, in quotes, how the vocabulary spells it */
    BS_TOKENS_IDS,    /* one line: the ids with a space between */
};

/* Tokenizes the whole of the file at `path`, which may be a pipe, with the tokenizer of a model
 * directory. */
enum bs_status bs_tokens_print(const char *directory, const char *path, bool add_special_tokens,
                               enum bs_token_style style, FILE *out, struct bs_error *err);

#endif
