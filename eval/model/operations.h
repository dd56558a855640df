/* What each operation of a block's program computes. */
#ifndef BS_EVAL_MODEL_OPERATIONS_H
#define BS_EVAL_MODEL_OPERATIONS_H

#include "eval/model/kernel.h"
#include "eval/model/model.h"

/* A value of one window: rows of its width, `stride` floats apart. */
struct bs_frame_value {
    float *x;
    int stride, rows;
    float *room; /* of an input of linears: for what kernels make of it */
    bool coded;  /* kernels of the linears that read it made of it what they multiply */
};

/* One window on its way through a block. */
struct bs_frame {
    const struct bs_block *block;
    const struct bs_rope *rope;
    int tokens;
    struct bs_fork fork;  /* how they branch */
    const float *imposed; /* [tokens][experts], routing in place of the block's own; or NULL */
    float *routed;        /* the same, of the block; NULL = unwanted */
    float *probabilities; /* room for attention's; NULL = unwanted */
    bool quantizes;       /* sites are, as the block says */
    int unrotated;        /* keys as a cache takes them, where that is before their positions; -1 */
    float *stored;        /* and what it gives back, at their positions, where queries see them as
                             they were stored at their time: rows close together; else NULL */
    struct bs_scratch *scratch; /* what is left of it: for what an op needs while it runs */
    struct bs_frame_value values[BS_MAX_VALUES];
};

/* A kind of operation. */
struct bs_op_type {
    const char *name, *summary;
    int least_inputs, most_inputs;
    unsigned overwrites; /* bit i: the result may take the place of in[i] where nothing reads that
                            any more */
    /* Makes frame->values[op->out], whose rows are those of in[0] unless it sets them. NULL:
     * nothing computes it yet. */
    void (*forward)(const struct bs_op *op, struct bs_frame *frame);
    /* Multiply-adds times two for a window; NULL: next to none. */
    double (*flops)(const struct bs_program *program, const struct bs_op *op, double tokens);
    /* Floats of scratch that forward takes while it runs; NULL: none. */
    size_t (*extra)(const struct bs_program *program, const struct bs_op *op, int tokens);
};
extern const struct bs_op_type bs_op_types[BS_NUM_OPS];

/* Gives rows of all tokens, of as many heads as `value` has, the positions that an op of the kind
 * BS_OP_ROTARY gives that. */
void bs_rotate_rows(const struct bs_frame *frame, int value, float *x, int stride);

#endif
