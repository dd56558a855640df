/* tokenizer.json's `model`: turns one word into ids. A kind of model is a table of functions. */
#ifndef BS_EVAL_TOKENIZER_WORD_MODEL_H
#define BS_EVAL_TOKENIZER_WORD_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/tokenizer/buffer.h"
#include "eval/tokenizer/vocabulary.h"

/* How a word is cut into tokens: the kinds of `model` in tokenizer.json. */
struct bs_word_model {
    const char *type;

    /* Reads the model, whose type is known to fit, with its vocabulary, finished. `place` is for
     * messages. BS_EUNSUPPORTED for an option that is not known, BS_EDATA naming what is damaged.
     * Both results may be there where it fails; the caller frees them. */
    enum bs_status (*read)(const char *place, json_t *model, void **state,
                           struct bs_vocabulary **vocabulary, struct bs_error *err);
    void (*free)(void *state); /* NULL is fine */

    /* What a thread needs to encode words: buffers, and a cache. NULL when memory runs out. */
    void *(*work_create)(void);
    void (*work_free)(void *work); /* NULL is fine */

    /* Appends the ids of word[0 .. size), valid UTF-8 and not empty. BS_ENOMEM, BS_EDATA for a
     * word that the model cannot spell, BS_EUNSUPPORTED for one of 2 GiB. */
    enum bs_status (*encode)(const void *state, const struct bs_vocabulary *vocabulary, void *work,
                             const char *word, size_t size, struct bs_ids *list,
                             struct bs_error *err);
};

/* The two that are known. */
extern const struct bs_word_model bs_bpe_model, bs_unigram_model;

/* Ids of the tokens "<0x00>" to "<0xFF>", -1 where there is none. */
void bs_byte_tokens(const struct bs_vocabulary *vocabulary, int32_t ids[256]);

#endif
