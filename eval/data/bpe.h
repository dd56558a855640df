/* Byte-level byte-pair encoding of one word: vocabulary and merges of tokenizer.json's `model`. */
#ifndef BS_EVAL_DATA_BPE_H
#define BS_EVAL_DATA_BPE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "eval/base/error.h"

/* A list of ids that grows. */
struct bs_ids {
    int32_t *ids;
    size_t count, capacity;
};

/* Makes room for `more` further ids. BS_ENOMEM. */
enum bs_status bs_ids_reserve(struct bs_ids *list, size_t more, struct bs_error *err);

struct bs_bpe;

/* Reads a model of type BPE. `place` is for messages. BS_EUNSUPPORTED for an option that is not
 * known or a vocabulary that lacks a byte; BS_EDATA naming what is damaged. */
enum bs_status bs_bpe_create(const char *place, json_t *model, struct bs_bpe **bpe,
                             struct bs_error *err);
void bs_bpe_free(struct bs_bpe *bpe);

/* The largest id. */
int32_t bs_bpe_last_id(const struct bs_bpe *bpe);

/* What a thread needs to encode words with one model: buffers, and a cache of words. NULL when
 * memory runs out. */
struct bs_bpe_work;
struct bs_bpe_work *bs_bpe_work_create(void);
void bs_bpe_work_free(struct bs_bpe_work *work);

/* Appends the ids of word[0 .. size) to the list. BS_ENOMEM, or BS_EUNSUPPORTED for a word of 2
 * GiB.
 */
enum bs_status bs_bpe_encode(const struct bs_bpe *bpe, struct bs_bpe_work *work, const char *word,
                             size_t size, struct bs_ids *list, struct bs_error *err);

#endif
