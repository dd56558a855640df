/* tokenizer.json's `added_tokens`: spelled in a text, they become their id whatever the model makes
 * of them. */
#ifndef BS_EVAL_TOKENIZER_ADDED_TOKENS_H
#define BS_EVAL_TOKENIZER_ADDED_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/normalizer.h"
#include "eval/tokenizer/pattern.h"
#include "eval/tokenizer/vocabulary.h"

struct bs_added_tokens;

/* Reads the list, NULL or null for none. `vocabulary` and `normalizer` are the tokenizer's; `place`
 * is for messages. With `split_special` a special token's spelling in a text is text like any
 * other. BS_EDATA naming what is damaged, such as an id that is not the one in the vocabulary, or
 * not the next free one after it, which the tokenizers library would give. */
enum bs_status bs_added_tokens_create(const char *place, json_t *list,
                                      const struct bs_vocabulary *vocabulary,
                                      const struct bs_normalizer *normalizer, bool split_special,
                                      struct bs_added_tokens **added, struct bs_error *err);
void bs_added_tokens_free(struct bs_added_tokens *added);

/* The largest id, -1 where there is none. */
int32_t bs_added_tokens_last_id(const struct bs_added_tokens *added);

/* The spelling of an id (not terminated), NULL where no added token has it. */
const char *bs_added_tokens_text(const struct bs_added_tokens *added, int32_t id, size_t *size);

/* What is found: text[begin .. end) becomes `id`. */
struct bs_added_match {
    size_t begin, end;
    int32_t id; /* -1: there is none further */
};

/* Where to go on looking; starts as {0} for each text. */
struct bs_added_cursor {
    size_t search; /* the place to look from */
    size_t from;   /* the end of the last match, with the blanks it took along */
};

/* The next match in text[0 .. size): of the tokens that begin first the longest. Those that are
 * `normalized` are looked for in normalized text, the others before. */
enum bs_status bs_added_tokens_find(const struct bs_added_tokens *added, bool normalized,
                                    struct bs_matcher *matcher, const char *text, size_t size,
                                    struct bs_added_cursor *cursor, struct bs_added_match *match,
                                    struct bs_error *err);

#endif
