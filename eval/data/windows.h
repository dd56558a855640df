/* Windows of tokens cut from a text, for calibration and evaluation. */
#ifndef BS_EVAL_DATA_WINDOWS_H
#define BS_EVAL_DATA_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/file.h"
#include "eval/base/lines.h"
#include "eval/data/answers.h"
#include "eval/data/corpus.h"
#include "eval/data/fork.h"
#include "eval/data/protocol.h"
#include "eval/data/sampling.h"
#include "eval/tokenizer/tokenizer.h"

/* How calibration windows are cut from a text. */
enum bs_sampling {
    BS_SAMPLING_SEQUENTIAL,     /* consecutive windows from the start */
    BS_SAMPLING_GPTQ,           /* random starts as datautils.py of IST-DASLab/gptq draws them; of a
                                 * known text that is drawn, as GPTQ_DOCUMENTS */
    BS_SAMPLING_GPTQ_DOCUMENTS, /* bs_sample_documents */
    BS_SAMPLING_AWQ,            /* bs_sample_blocks */
    BS_SAMPLING_AUTO,           /* a config's: GPTQ where a seed is given, else SEQUENTIAL */
};

/* Which of a text's windows are taken where not all are. */
enum bs_pick {
    BS_PICK_FIRST, /* from the start of the text */
    BS_PICK_EVEN,  /* bs_pick_even */
    BS_PICK_AUTO,  /* as the protocol's or the known text's own tool does, else even */
};

/* Their names, NULL-terminated: the words of an option. */
extern const char *const bs_pick_names[];

/* The i-th of `windows` picked from `all`: one of each of as many equal parts of the text, part i
 * being windows floor(i all / windows) up to floor((i + 1) all / windows), at the share frac((i +
 * 1) 0.618...) of its own part. Steps of one length would fall in with a text whose pieces take
 * turns (the embedded one's do, every 18 windows of 256 tokens); those of the golden ratio fall in
 * with no period. */
size_t bs_pick_even(size_t all, size_t windows, size_t i);

/* What is scored of a window: predictions first .. first + count - 1, where prediction p is made at
 * position p and is of the token at position p + 1, or of target p where windows have targets. */
struct bs_span {
    int window, first, count;
    int item, choice; /* of an evaluation that has such: which question, and which of its answers */
};

/* Where the predictions of an answer are. */
struct bs_answer_place {
    int span;          /* of the windows' spans */
    int skip;          /* its predictions before the answer's own */
    int suffix;        /* those before what tells the item's answers apart; -1 = not asked */
    int unconditional; /* the span of the same answer without its context; -1 = none */
};

/* Rows of ids that go through the model and, of an evaluation, what of them is scored: its
 * requests. */
struct bs_windows {
    int windows, tokens;        /* tokens: of the longest */
    int all;                    /* windows that the text holds; calibration: 0 */
    enum bs_pick pick;          /* which of them these are; FIRST where all */
    int *lengths;               /* [windows], tokens of each; NULL = all have `tokens` */
    int32_t *ids;               /* [windows][tokens]; beyond a window's length undefined */
    int32_t *targets;           /* [windows][tokens], what the prediction at each position is of;
                                   * NULL = the next id */
    int num_spans;              /* 0 for calibration */
    struct bs_span *spans;      /* by window, then by first; no two overlap */
    size_t num_scored;          /* predictions, in all spans */
    struct bs_fork *forks;      /* [windows]; NULL = every window is one row */
    struct bs_branch *branches; /* what the forks point into */
    struct bs_answers answers;  /* of a task, nothing measured yet; none = no task */
    struct bs_answer_place *places; /* [answers.count] */
    struct bs_lines notices;        /* what there is to say of the requests, a line each */
    struct bs_text_size text;       /* of the whole text, or of the documents drawn */
    struct bs_digest digest;        /* of ids, windows and tokens */
    struct bs_digest asked;         /* of a task: of its requests, however they are laid out in
                                     * windows */
    struct bs_digest text_digest;   /* of the exact bytes of the text; of a task of its items', its
                                     * record and what shots are drawn from */
};

/* What an algorithm looks at. */
struct bs_calibration_choice {
    struct bs_text_choice text;
    enum bs_sampling sampling;
    int seed, tokens;
    int windows;   /* sequential: 0 = as many whole ones as the text holds; awq: what comes out */
    int documents; /* awq: how many are put together */
};

/* What is predicted. */
struct bs_evaluation_choice {
    struct bs_text_choice text;
    enum bs_protocol protocol;
    int tokens;
    int stride;  /* of a protocol that slides, from 1 to tokens */
    int windows; /* 0 = all that the protocol finds */
    enum bs_pick pick;
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

/* Cuts a text's ids as the protocol says and takes the windows that are asked for; `bos` is -1
 * where the tokenizer has none. After the shorter last window of a protocol that slides its last
 * id is repeated; that is never scored (where activations are quantized with one scale a window it
 * has its part in that). Fills windows, tokens, all, pick (AUTO: as the protocol does), ids,
 * scored, num_scored and digest of `out`. `name` is the text's in messages. */
enum bs_status bs_windows_cut(const struct bs_evaluation_choice *choice, const int32_t *ids,
                              size_t count, int32_t bos, struct bs_windows *out,
                              struct bs_error *err);

/* Tokens of a window. */
int bs_windows_length(const struct bs_windows *windows, int window);

/* How a window branches. */
struct bs_fork bs_windows_fork(const struct bs_windows *windows, int window);

/* Tokens of all windows. */
size_t bs_windows_total(const struct bs_windows *windows);

/* What the predictions of a window from `first` on are of. */
const int32_t *bs_windows_targets(const struct bs_windows *windows, int window, int first);

/* The spans of a window, *count of them. */
const struct bs_span *bs_windows_spans(const struct bs_windows *windows, int window, int *count);

/* Sets the digest from what the windows hold. BS_ENOMEM. */
enum bs_status bs_windows_take_digest(struct bs_windows *windows, struct bs_error *err);

/* Gives back what the windows own. */
void bs_windows_release(struct bs_windows *windows);

#endif
