/* Options of tokenizer_config.json that a tokenizer, as its files make it, does not follow. */
#ifndef BS_EVAL_TOKENIZER_TOKEN_OPTIONS_H
#define BS_EVAL_TOKENIZER_TOKEN_OPTIONS_H

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/base/lines.h"
#include "eval/tokenizer/post_processor.h"

/* Adds a line for each of add_bos_token, add_eos_token and add_prefix_space that `config`,
 * tokenizer_config.json's object, sets to what does not happen: `root` is the object of
 * tokenizer.json's form that counts, `post` its post_processor. transformers 5 passes over them in
 * the same places. BS_ENOMEM. */
enum bs_status bs_token_options_note(const json_t *config, const json_t *root,
                                     const struct bs_post_processor *post, struct bs_lines *notices,
                                     struct bs_error *err);

#endif
