/* What a walk will need, known before it starts. */
#ifndef BS_EVAL_RUN_WALK_COST_H
#define BS_EVAL_RUN_WALK_COST_H

#include "eval/run/walk.h"

/* Rows of logits that exist at a time in a thread: 64 for vocabularies up to 4096, fewer for larger
 * ones. It is a matter of the vocabulary alone, so that it cannot change a result. */
int bs_walk_logit_rows(const struct bs_architecture *architecture);

/* Tokens of the longest window, calibration included. */
int bs_walk_longest_window(const struct bs_walk *walk);

/* Windows of the first text that the per-linear errors are taken over. */
int bs_walk_probe_windows(const struct bs_walk *walk);

/* Floats of a thread's scratch: for a block, or for the head's tile of logits. */
size_t bs_walk_scratch_floats(const struct bs_walk *walk);

/* Bytes that a walk needs at most: with no passenger, and for each (its own streams; what only one
 * at a time needs is in the fixed part). */
struct bs_walk_memory {
    double fixed, per_passenger;
};
struct bs_walk_memory bs_walk_memory(const struct bs_walk *walk,
                                     const struct bs_recipe *const *recipes, int num_recipes);

/* Multiply-adds times two of evaluating one recipe, and of pushing its calibration through once. */
double bs_walk_evaluation_flops(const struct bs_walk *walk);
double bs_walk_calibration_flops(const struct bs_walk *walk);

#endif
