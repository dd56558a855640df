/* Windows drawn from a text's documents, as the authors of GPTQ and AWQ draw them. */
#ifndef BS_EVAL_DATA_SAMPLING_H
#define BS_EVAL_DATA_SAMPLING_H

#include "eval/data/text.h"
#include "eval/tokenizer/tokenizer.h"

/* What windows were cut from: tokens (special ones that the tokenizer adds not counted), words
 * (bs_count_words) and bytes of the texts that were tokenized. */
struct bs_text_size {
    size_t tokens, words, bytes;
};

/* Tokenizes text[0 .. size) with special tokens (ids in new memory) and adds to `sizes`. */
enum bs_status bs_sample_tokenize(const struct bs_tokenizer *tokenizer, const char *text,
                                  size_t size, int32_t **ids, size_t *count,
                                  struct bs_text_size *sizes, struct bs_error *err);

/* Fills ids [windows][tokens] as get_c4 of GPTQ's datautils.py does: a document is drawn with
 * random.randint and tokenized, again and again until one is long enough, then the window's start
 * in it; one stream of numbers for both. (That code stops with an error at a document of exactly
 * `tokens` tokens; here it counts as too short.) BS_ECONFIG where no document is long enough. */
enum bs_status bs_sample_documents(const struct bs_tokenizer *tokenizer, const struct bs_text *text,
                                   int seed, int windows, int tokens, int32_t *ids,
                                   struct bs_text_size *sizes, struct bs_error *err);

/* As get_calib_dataset of llm-awq: documents shuffled with numpy's default generator, stripped,
 * tokenized; those of more than `tokens` tokens (there 512, whatever the block) passed over; the
 * first `documents` that remain put together and cut into blocks of `tokens`, the rest dropped.
 * *ids [*windows][tokens] in new memory. BS_ECONFIG where there is not one block. */
enum bs_status bs_sample_blocks(const struct bs_tokenizer *tokenizer, const struct bs_text *text,
                                int seed, int documents, int tokens, int32_t **ids, int *windows,
                                struct bs_text_size *sizes, struct bs_error *err);

#endif
