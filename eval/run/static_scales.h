/* Scales that are fixed from the calibration: what they ask of it, and what is made of that. */
#ifndef BS_EVAL_RUN_STATIC_SCALES_H
#define BS_EVAL_RUN_STATIC_SCALES_H

#include "eval/recipe/assign.h"
#include "eval/statistics/calibrate.h"

/* Whether any site of a layer, whose places are given, has such scales. */
bool bs_static_any(const struct bs_assignment *places, const struct bs_program *program);

/* Adds what they look at in the layer's block. */
void bs_static_want(const struct bs_assignment *places, struct bs_wanted *wanted);

/* Makes the block's parameters of the sites from what was collected. A site that no calibration
 * token reached has no range: its place is left as it is, and the linears that read it say so.
 * BS_ENOMEM. */
enum bs_status bs_static_fix(struct bs_assignment *places, const struct bs_statistics *ranges,
                             struct bs_block *block, struct bs_error *err);

#endif
