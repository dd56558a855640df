/* tokenizer.json's `pre_tokenizer`: cuts a text into the words that are encoded one by one. */
#ifndef BS_EVAL_TOKENIZER_PRE_TOKENIZER_H
#define BS_EVAL_TOKENIZER_PRE_TOKENIZER_H

#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/pattern.h"

struct bs_pre_tokenizer;

/* Reads a pre_tokenizer, NULL or null for none. `place` is for messages. BS_EUNSUPPORTED naming a
 * type that is not known, BS_EDATA naming what is damaged. */
enum bs_status bs_pre_tokenizer_create(const char *place, json_t *pre,
                                       struct bs_pre_tokenizer **pre_tokenizer,
                                       struct bs_error *err);
void bs_pre_tokenizer_free(struct bs_pre_tokenizer *pre_tokenizer);

/* What becomes of a word; it lives until the call returns. */
struct bs_word_sink {
    enum bs_status (*take)(void *context, const char *word, size_t size, struct bs_error *err);
    void *context;
};

/* What a thread needs to cut texts with one pre_tokenizer. NULL when memory runs out. */
struct bs_pre_tokenizer_work;
struct bs_pre_tokenizer_work *
bs_pre_tokenizer_work_create(const struct bs_pre_tokenizer *pre_tokenizer);
void bs_pre_tokenizer_work_free(struct bs_pre_tokenizer_work *work);

/* Cuts text[0 .. size), valid UTF-8, and gives each word, never an empty one, to the sink.
 * `origin` is how many of its leading bytes stem from the first character of the whole input: where
 * it is not 0, a Metaspace with prepend_scheme `first` puts its sign in front. */
enum bs_status bs_pre_tokenizer_run(struct bs_pre_tokenizer_work *work, struct bs_matcher *matcher,
                                    const char *text, size_t size, size_t origin,
                                    const struct bs_word_sink *sink, struct bs_error *err);

#endif
