/* Windows of tokens cut from a text, for calibration and evaluation. */
#ifndef BS_EVAL_DATA_WINDOWS_H
#define BS_EVAL_DATA_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/file.h"
#include "eval/data/corpus.h"
#include "eval/data/protocol.h"
#include "eval/data/sampling.h"
#include "eval/data/tokenizer.h"

enum bs_sampling {
    BS_SAMPLING_SEQUENTIAL,     /* consecutive windows from the start */
    BS_SAMPLING_GPTQ,           /* random starts as datautils.py of IST-DASLab/gptq draws them; of a
                                 * known text that is drawn, as GPTQ_DOCUMENTS */
    BS_SAMPLING_GPTQ_DOCUMENTS, /* bs_sample_documents */
    BS_SAMPLING_AWQ,            /* bs_sample_blocks */
};

struct bs_windows {
    int windows, tokens;
    int32_t *ids;                 /* [windows][tokens] */
    struct bs_scored *scored;     /* [windows]; NULL for calibration */
    size_t num_scored;            /* in all windows */
    struct bs_text_size text;     /* of the whole text, or of the documents drawn */
    struct bs_digest digest;      /* of ids, windows and tokens */
    struct bs_digest text_digest; /* of the exact bytes of the text */
};

/* What an algorithm looks at. */
struct bs_calibration_choice {
    struct bs_text_choice text;
    enum bs_sampling sampling;
    int seed, tokens;
    int windows; /* sequential: 0 = as many whole ones as the text holds; awq: as many as come out */
    int documents; /* awq: how many are put together */
};

/* What is predicted. */
struct bs_evaluation_choice {
    struct bs_text_choice text;
    enum bs_protocol protocol;
    int tokens;
    int stride;  /* of a protocol that slides, from 1 to tokens */
    int windows; /* from the start of the text; 0 = all that the protocol finds */
};

/* Reads and tokenizes the text and cuts the windows. What bs_corpus_read returns, and BS_ECONFIG
 * where the text is too short, naming what it has and what is asked. Ids are checked against
 * vocab_size (BS_EDATA). */
enum bs_status bs_windows_calibrate(const struct bs_tokenizer *tokenizer,
                                    const struct bs_calibration_choice *choice, int vocab_size,
                                    struct bs_windows *out, struct bs_error *err);
enum bs_status bs_windows_evaluate(const struct bs_tokenizer *tokenizer,
                                   const struct bs_evaluation_choice *choice, int vocab_size,
                                   struct bs_windows *out, struct bs_error *err);

/* Cuts a text's ids as the protocol says; `bos` is -1 where the tokenizer has none. Behind the
 * shorter last window of a protocol that slides its last id is repeated; that is never scored (where
 * activations are quantized with one scale a window it has its part in that). Fills
 * windows, tokens, ids, scored, num_scored and digest of `out`. `name` is the text's in messages. */
enum bs_status bs_windows_cut(const struct bs_evaluation_choice *choice, const int32_t *ids,
                              size_t count, int32_t bos, struct bs_windows *out,
                              struct bs_error *err);

void bs_windows_release(struct bs_windows *windows);

#endif
