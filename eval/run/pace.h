/* How fast this machine does a walk's work, measured on a piece of it: what tells how long walks
 * will take. */
#ifndef BS_EVAL_RUN_PACE_H
#define BS_EVAL_RUN_PACE_H

#include "eval/run/walk_cost.h"

/* Recipes whose blocks are rounded, multiplied by and evaluated in the same way. */
struct bs_pace_kind {
    const struct bs_recipe *like; /* one of the kind, borrowed; its steps do not matter */
    double weight;                /* seconds for each weight that is gone over */
    double flop;                  /* of a pass of a text through a quantized block */
    double logit;
};

enum { BS_PACE_KINDS = 8 };

/* Seconds, on all threads together. */
struct bs_pace {
    double read;  /* for each weight of the checkpoint, as a walk loads it */
    double flop;  /* of float32 products through a block */
    double logit; /* of the unquantized model */
    int num_kinds;
    struct bs_pace_kind kinds[BS_PACE_KINDS]; /* of more than that the last stands for the rest */
};

/* Times one block with as many windows of the walk's first text as there are threads, fewer tokens
 * where a block is large, and some ids of the head; for each kind among the recipes. It takes a
 * second or two, and at most the memory of a walk of one recipe. BS_ENOMEM; BS_ENUMERIC as
 * bs_stream_push; others as the model's files have it. */
enum bs_status bs_pace_measure(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                               int num_recipes, struct bs_pace *pace, struct bs_error *err);

/* Seconds of a walk of these recipes and the unquantized model, of which a share `blocks` of the
 * passage through the blocks, and all of the head, are still to come. texts[i], bit t: recipe i is
 * evaluated on text t. Reading and writing checkpoints and spilled streams is not counted. */
double bs_pace_seconds(const struct bs_pace *pace, const struct bs_walk *walk,
                       const struct bs_recipe *const *recipes, const unsigned *texts,
                       int num_recipes, double blocks);

#endif
