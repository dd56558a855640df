/* What becomes of a trial's answers against the unquantized model's, item by item. */
#ifndef BS_EVAL_TASKS_ANSWER_CHANGES_H
#define BS_EVAL_TASKS_ANSWER_CHANGES_H

#include "eval/tasks/answer_scores.h"
#include "eval/tasks/value.h"

/* Places in a list of value types: the change of the share that is right, of each convention,
 * paired by item; of last words that of the perplexity; the share of items for which the same
 * answer is taken; the items that turned (all three by BS_ACC). */
enum bs_change {
    BS_ACC_DELTA, /* the first of BS_NUM_CONVENTIONS */
    BS_TARGET_PERPLEXITY_DELTA = BS_NUM_CONVENTIONS,
    BS_AGREEMENT,
    BS_LOST,
    BS_GAINED,
    BS_NUM_CHANGES
};

/* Adds those that exist to `out`, of `types` [BS_NUM_CHANGES]; *count grows. Standard errors are of
 * the items' differences (bs_flips_change); of a perplexity by the delta method. BS_ENOMEM. */
enum bs_status bs_answers_changes(const struct bs_answers *before, const struct bs_answers *after,
                                  const struct bs_value_type *types, struct bs_measured *out,
                                  int *count, struct bs_error *err);

/* Items for which both take the same answer by the convention; of one answer those where it is the
 * likeliest of both or of neither. */
int bs_answers_alike(const struct bs_answers *before, const struct bs_answers *after,
                     enum bs_convention convention);

#endif
