/* Attention of one window: rotary positions, and softmax(Q K^T) V head by head. */
#ifndef BS_EVAL_MODEL_ATTENTION_H
#define BS_EVAL_MODEL_ATTENTION_H

#include "eval/model/model.h"

/* What attention sees of a window: rows of `width` floats that hold q, k and v side by side; q, k
 * and v point into the first. */
struct bs_heads {
    const struct bs_architecture *architecture;
    int tokens, width;
    const float *q, *k, *v;
    int window; /* keys that a query sees, itself included; tokens where there is no limit */
};

/* Rotates every head of x, [tokens] rows of `heads` heads, `width` floats apart: the first
 * rotary_dim dimensions of a head, paired by halves as all these families' checkpoints are. */
void bs_rotate(const struct bs_rope *rope, bool local, float *x, int tokens, int heads,
               int head_dim, int width);

/* out [tokens][num_heads * head_dim] = attention of rotated q, k and v, with soft caps and ALiBi as
 * the architecture has them. No more of the scores than a tile of queries exists at a time. */
void bs_attend(const struct bs_heads *in, float *out, struct bs_scratch *scratch);

/* Floats of scratch that bs_attend takes. */
size_t bs_attend_floats(const struct bs_architecture *architecture, int tokens);

#endif
