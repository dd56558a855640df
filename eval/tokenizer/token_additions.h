/* Tokens that a tokenizer's files add to those of tokenizer.json. */
#ifndef BS_EVAL_TOKENIZER_TOKEN_ADDITIONS_H
#define BS_EVAL_TOKENIZER_TOKEN_ADDITIONS_H

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/tokenizer_class.h"

/* The special tokens of a tokenizer, in the order of transformers; freed with json_decref each. */
struct bs_special_tokens {
    json_t *named; /* name ("bos_token") to token, with all its flags */
    json_t *extra; /* a list of tokens */
};

/* Adds to root["added_tokens"] what `config` (tokenizer_config.json with the older files' entries
 * merged into it) and the class ask for. `listed` is the list of tokens by id that the files have:
 * [[id, token], ...]. Fills `specials`. `directory` is for messages. BS_EDATA for an entry that is
 * no token. */
enum bs_status bs_tokens_add(const char *directory, const struct bs_tokenizer_class *class,
                             json_t *config, json_t *listed, json_t *root,
                             struct bs_special_tokens *specials, struct bs_error *err);
void bs_special_tokens_release(struct bs_special_tokens *specials);

/* The id of a spelling, among added_tokens or in the model's vocabulary; -1 where it has none. */
json_int_t bs_token_id(const json_t *root, const json_t *content);

#endif
