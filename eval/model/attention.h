/* Attention of one window: softmax(Q K^T) V head by head. */
#ifndef BS_EVAL_MODEL_ATTENTION_H
#define BS_EVAL_MODEL_ATTENTION_H

#include "eval/data/fork.h"
#include "eval/model/model.h"

/* Rows of one value, `stride` floats apart. */
struct bs_head_rows {
    const float *x;
    int stride;
};

/* What attention sees of a window. */
struct bs_heads {
    const struct bs_architecture *architecture;
    float scale;         /* of q k^T */
    struct bs_fork fork; /* rows of the window, and how they branch */
    const float *sinks;  /* [num_heads], a score beside those of the keys, of nothing; or NULL */
    struct bs_head_rows q, k, v;
    /* How a cache stores keys and values, of which a query sees those as stored that were so when
     * it looks; NULL: all as they are. */
    const struct bs_site_setting *stored_keys, *stored_values;
    const struct bs_site_setting *probabilities; /* how they are quantized; NULL: not */
    float *shown; /* where they are put down before that, [bs_pairs_seen][heads], of a window that
                     does not fork; NULL: nowhere */
    struct bs_head_rows rotated; /* of stored_keys: what it gives back, where it took them before
                                    their positions; x NULL: it takes what is in k */
    int window;   /* keys that a query sees, itself included; all of them where there is no limit */
    bool chunked; /* those of its chunk of `window` positions instead */
};

/* out [tokens][num_heads * value_dim] = attention of rotated q, k and v, with soft caps and ALiBi
 * as the architecture has them; a branch sees what is shared and itself, with the bits of a window
 * of its own. No more of the scores than a tile of queries exists at a time. */
void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch);

/* How many keys queries see that stand before a position, all together. */
size_t bs_pairs_seen(const struct bs_heads *in, int position);

/* Floats of scratch that bs_attend takes. */
size_t bs_attend_floats(const struct bs_program *program, const struct bs_op *op, int tokens);

#endif
