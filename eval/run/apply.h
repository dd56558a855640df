/* One recipe at one block: collect, prepare, quantize. */
#ifndef BS_EVAL_RUN_APPLY_H
#define BS_EVAL_RUN_APPLY_H

#include "eval/recipe/recipe.h"
#include "eval/run/importance.h"
#include "eval/statistics/calibrate.h"

/* Calibration inputs at this block, and statistics that were already taken. */
struct bs_inputs {
    const struct bs_rope *rope;
    const struct bs_stream *unquantized; /* stream 0's; NULL where no recipe needs calibration */
    const struct bs_stream *quantized;   /* the recipe's own; the same as above as far as they are
                                            stream 0's: bs_apply_reach */
    struct bs_statistics *shared;    /* of the original block on stream 0's inputs; NULL = none */
    const struct bs_block *original; /* what the block is a copy of; NULL: not at hand, then it is
                                        copied once more where it is still looked at */
    const struct bs_bases *residual; /* the recipe's, of bs_apply_model; NULL: made for the block */
    const struct bs_importance_files *importance; /* that recipes name; NULL = none */
    struct bs_scratch *scratch;
};

/* Rewrites `block`, a copy of the original, as the recipe says: afterwards its linears hold codes
 * and the weights these decode to, and its activations are set. */
enum bs_status bs_apply_recipe(const struct bs_recipe *recipe, struct bs_block *block,
                               const struct bs_inputs *inputs, struct bs_error *err);

/* residual, of no change: the basis that the recipe gives the residual stream. Its blocks are
 * turned by bs_apply_recipe. As prepare_model. */
enum bs_status bs_apply_model(const struct bs_recipe *recipe,
                              const struct bs_architecture *architecture, struct bs_bases *residual,
                              struct bs_error *err);

/* Whether the recipe's own windows differ from stream 0's already before the first block: the
 * embedding is quantized, or turned. */
bool bs_apply_embeds_own(const struct bs_recipe *recipe,
                         const struct bs_architecture *architecture);

/* Adds the ranges of static scales where no step rewrites the block before them, and what the first
 * step that looks at statistics needs of wanted->layer's original block on
 * stream 0's inputs (which are the recipe's own up to the first layer that it does not leave);
 * nothing where an earlier step has rewritten the block by then. */
void bs_apply_share(const struct bs_recipe *recipe, struct bs_wanted *wanted);

/* The passes of calibration windows through the block of a layer that the recipe takes for itself,
 * beside the one that bs_apply_share asks for, in the order of the work: what is collected on
 * each. */
struct bs_own_passes {
    int count;
    int step[BS_MAX_STEPS + BS_MAX_DEPTHS + 1]; /* that looks at it; -1: for static scales alone */
    struct bs_wanted wanted[BS_MAX_STEPS + BS_MAX_DEPTHS + 1];
};
void bs_apply_own_passes(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                         int layer, struct bs_own_passes *passes);
void bs_own_passes_release(struct bs_own_passes *passes);

/* Whether the recipe looks at stream 0's calibration inputs beyond the first block; and at its own.
 */
bool bs_apply_uses_unquantized(const struct bs_recipe *recipe);
bool bs_apply_uses_own(const struct bs_recipe *recipe);

/* Whether the recipe leaves a layer as the model has it, so that its windows pass as stream 0's do:
 * no step rewrites blocks, nothing of this one is quantized, and it is multiplied in float32. False
 * without steps: then it stands for another model. */
bool bs_apply_leaves(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                     int layer);

/* The layers that a recipe does not leave: until `first` its windows are stream 0's. */
struct bs_reach {
    int first; /* -1: they differ as they are embedded; num_layers: they never do */
    int last;  /* -1: it leaves all */
};
struct bs_reach bs_apply_reach(const struct bs_recipe *recipe,
                               const struct bs_architecture *architecture);

/* Whether the recipe carries calibration windows of its own from block to block: it looks at some
 * that are no longer stream 0's. */
bool bs_apply_carries_own(const struct bs_recipe *recipe, const struct bs_reach *reach);

/* Whether it looks at stream 0's calibration inputs of this layer or a later one, as such or as its
 * own. */
bool bs_apply_awaits_unquantized(const struct bs_recipe *recipe, const struct bs_reach *reach,
                                 int layer);

/* Whether the block is copied as it is before its first linear is rounded, and kept until the last
 * one is: it is looked at, and a step has made it another than the original. */
bool bs_apply_copies_unrounded(const struct bs_recipe *recipe);

#endif
