/* Attention of one window: softmax(Q K^T) V head by head. */
#ifndef BS_EVAL_MODEL_ATTENTION_H
#define BS_EVAL_MODEL_ATTENTION_H

#include "eval/data/fork.h"
#include "eval/model/model.h"

/* What attention sees of a window: rows of `width` floats that hold q, k and v side by side; q, k
 * and v point into the first. */
struct bs_heads {
    const struct bs_architecture *architecture;
    float scale;         /* of q k^T */
    struct bs_fork fork; /* rows of the window, and how they branch */
    int width;
    const float *q, *k, *v;
    int window; /* keys that a query sees, itself included; all of them where there is no limit */
};

/* out [tokens][num_heads * head_dim] = attention of rotated q, k and v, with soft caps and ALiBi as
 * the architecture has them; a branch sees what is shared and itself, with the bits of a window of
 * its own. No more of the scores than a tile of queries exists at a time. */
void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch);

/* Floats of scratch that bs_attend takes. */
size_t bs_attend_floats(int head_dim, int tokens);

#endif
