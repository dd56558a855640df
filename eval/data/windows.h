/* Windows of tokens cut from a text, for calibration and evaluation. */
#ifndef BS_EVAL_DATA_WINDOWS_H
#define BS_EVAL_DATA_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/file.h"
#include "eval/data/tokenizer.h"

enum bs_sampling {
    BS_SAMPLING_SEQUENTIAL, /* consecutive windows from the start */
    BS_SAMPLING_GPTQ,       /* random starts as datautils.py of IST-DASLab/gptq draws them */
};

struct bs_windows {
    int windows, tokens;
    int32_t *ids;            /* [windows][tokens] */
    size_t text_tokens;      /* of the whole text */
    struct bs_digest digest; /* of ids, windows and tokens */
};

/* Tokenizes the file at `path` and cuts `windows` of `tokens` (sequential: 0 = as many whole
 * windows as the text holds, the rest dropped). BS_EIO, or BS_ECONFIG where the text is too short,
 * naming what it has and what is asked. Ids are checked against vocab_size. */
enum bs_status bs_windows_load(const struct bs_tokenizer *tokenizer, const char *path,
                               enum bs_sampling sampling, int seed, int windows, int tokens,
                               int vocab_size, struct bs_windows *out, struct bs_error *err);
void bs_windows_release(struct bs_windows *windows);

#endif
