/* tokenizer.json's `normalizer`: rewrites a text before it is cut. */
#ifndef BS_EVAL_TOKENIZER_NORMALIZER_H
#define BS_EVAL_TOKENIZER_NORMALIZER_H

#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/buffer.h"
#include "eval/tokenizer/pattern.h"

struct bs_normalizer;

/* Reads a normalizer, NULL or null for none. `place` is for messages. BS_EUNSUPPORTED naming a type
 * that is not known, BS_EDATA naming what is damaged. */
enum bs_status bs_normalizer_create(const char *place, json_t *object,
                                    struct bs_normalizer **normalizer, struct bs_error *err);
void bs_normalizer_free(struct bs_normalizer *normalizer);

/* A text on its way: bytes that belong to the caller or stand in `buffers`, which the caller
 * releases at last. Of its leading bytes `origin` stem from the first character of the whole
 * input. */
struct bs_normalized {
    const char *text;
    size_t size, origin;
    struct bs_buffer buffers[2];
};

/* Rewrites the text, valid UTF-8. BS_EDATA where it grows without measure. */
enum bs_status bs_normalizer_run(const struct bs_normalizer *normalizer, struct bs_matcher *matcher,
                                 struct bs_normalized *text, struct bs_error *err);

#endif
