/* What a walk computes, by plain calls of the model's parts. */
#ifndef BS_TESTS_SUPPORT_PLAIN_H
#define BS_TESTS_SUPPORT_PLAIN_H

#include <stdint.h>

#include "eval/model/model.h"

/* nll [tokens - 1] = -log softmax of each next token of ids [tokens], with an embedding and a head
 * that are rounded; rounding NULL: with those of the checkpoint. */
void plain_nll(const struct bs_model *model, const struct bs_outer_rounding *rounding,
               const int32_t *ids, int tokens, double *nll);

#endif
