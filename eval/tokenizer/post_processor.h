/* tokenizer.json's `post_processor`: the special tokens around a text. */
#ifndef BS_EVAL_TOKENIZER_POST_PROCESSOR_H
#define BS_EVAL_TOKENIZER_POST_PROCESSOR_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/buffer.h"

/* What a text becomes: in order, ids and the text itself, which is BS_TEXT. */
enum { BS_TEXT = -1 };
struct bs_post_processor {
    struct bs_ids parts;
};

/* Reads a post_processor, NULL or null for none. `place` is for messages. BS_EUNSUPPORTED naming a
 * type that is not known, BS_EDATA naming what is damaged. Starts from {0}; released by
 * bs_post_processor_release also where it fails. */
enum bs_status bs_post_processor_read(const char *place, json_t *object,
                                      struct bs_post_processor *post, struct bs_error *err);
void bs_post_processor_release(struct bs_post_processor *post);

/* The largest id it puts around a text, -1 where it puts none. */
int32_t bs_post_processor_last_id(const struct bs_post_processor *post);

/* Appends what `text` becomes to `out`, without the special tokens unless they are asked for.
 * BS_ENOMEM. */
enum bs_status bs_post_processor_run(const struct bs_post_processor *post, bool add_special_tokens,
                                     const struct bs_ids *text, struct bs_ids *out,
                                     struct bs_error *err);

#endif
