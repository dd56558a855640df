/* What a walk will need, known before it starts. */
#ifndef BS_EVAL_RUN_WALK_COST_H
#define BS_EVAL_RUN_WALK_COST_H

#include "eval/run/walk.h"

/* Logits exist in a thread for so many rows and ids of the vocabulary at a time: enough for a
 * product at nearly its full rate, little enough for the cache. They are the same for every walk,
 * so that they cannot change a result. */
enum { BS_HEAD_ROWS = 512, BS_HEAD_IDS = 512 };
int bs_walk_head_ids(const struct bs_architecture *architecture);

/* Tokens of the longest window, calibration included. */
int bs_walk_longest_window(const struct bs_walk *walk);

/* Windows of the first text that the per-linear errors are taken over. */
int bs_walk_probe_windows(const struct bs_walk *walk);

/* Floats of a thread's scratch: for a block, the head with these variants, or the errors of a
 * linear. */
size_t bs_walk_scratch_floats(const struct bs_walk *walk, int num_variants);

/* The layers are alike from this one on: where nothing tells them apart the second is as all that
 * follow. */
int bs_walk_alike_from(const struct bs_walk *walk, const struct bs_recipe *const *recipes,
                       int num_recipes);

/* Bytes in memory, in a scratch directory and of a checkpoint. */
struct bs_walk_bytes {
    double memory, disk, kept;
};

/* Bytes that a walk needs at most with the unquantized model alone, and what only one of these
 * recipes needs at a time. Where the walk has its streams in a scratch directory, only the windows
 * at work are in memory. */
struct bs_walk_bytes bs_walk_fixed_bytes(const struct bs_walk *walk,
                                         const struct bs_recipe *const *recipes, int num_recipes);

/* What a recipe needs besides from the walk's begin to its end: its own streams and figures, of the
 * texts that it is measured on (bit t is texts[t]) alone. */
struct bs_walk_bytes bs_walk_recipe_bytes(const struct bs_walk *walk,
                                          const struct bs_recipe *recipe, unsigned texts);

/* Multiply-adds times two of evaluating one recipe, and of pushing its calibration through once. */
double bs_walk_evaluation_flops(const struct bs_walk *walk);
double bs_walk_calibration_flops(const struct bs_walk *walk);

/* What the evaluation of one text is made of: flops of its windows through all blocks, and logits,
 * each a product of embedding_size terms. */
double bs_walk_text_flops(const struct bs_walk *walk, int text);
double bs_walk_text_logits(const struct bs_walk *walk, int text);

/* What a recipe does at all blocks beside its evaluation and what bs_walk_common counts: passes of
 * calibration windows on its own streams, the statistics taken on them, and the hooks of its
 * algorithms (algorithms/algorithm.h). */
struct bs_cost bs_walk_own_cost(const struct bs_walk *walk, const struct bs_recipe *recipe);

/* What the hooks of one of its steps hold at a layer beside their statistics. */
double bs_walk_hooks_bytes(const struct bs_walk *walk, const struct bs_recipe *recipe, int step,
                           int layer);

/* The share of a text's way through the blocks that a recipe's own windows go: before, they are
 * stream 0's. */
double bs_walk_own_share(const struct bs_walk *walk, const struct bs_recipe *recipe);

/* Of the per-linear errors, at all blocks: of one recipe, at those that it does not leave, or,
 * where that is NULL, of what they are taken on, once for all. And of channels' largest values, of
 * the recipe or of the unquantized model. */
double bs_walk_probe_flops(const struct bs_walk *walk, const struct bs_recipe *recipe);

/* What a walk does once for all of its recipes, on the unquantized model's streams. Against the sum
 * over walks of one recipe each it is what sharing saves. */
struct bs_walk_common {
    int evaluations;  /* of the texts */
    int block_passes; /* of the calibration windows, statistics taken on the way */
    int factors;      /* of their Hessians */
    double flops;
};
struct bs_walk_common bs_walk_common(const struct bs_walk *walk,
                                     const struct bs_recipe *const *recipes, int num_recipes);

#endif
