/* Rounding the columns of a weight from the last to the first by the LDL factors of a Hessian: the
 * work that LDLQ and QuIP share. */
#ifndef BS_ALGORITHMS_LDL_COLUMNS_H
#define BS_ALGORITHMS_LDL_COLUMNS_H

#include "algorithms/columns.h"

/* How columns are rounded. */
struct bs_ldl {
    struct bs_factor_choice factor; /* with ldl */
    int greedy_passes;              /* of coordinate descent afterwards */
    bool clip; /* W is brought within its levels first, and errors are of that */
};

/* Makes the codes of the linear of a slot: with H = L D L^T of its input's Hessian,
 *   q_i = quantize(w_i + sum over j > i of (w_j - q_j) L_ji).
 * BS_ECONFIG, BS_ENOMEM as bs_block_init_codes; BS_ENUMERIC as bs_factor_of. */
enum bs_status bs_ldl_round(const struct bs_ldl *how, const struct bs_job *job, int slot,
                            struct bs_error *err);

/* Refuses greedy passes where rounding is not to nearest. BS_ECONFIG. */
enum bs_status bs_ldl_check(int greedy_passes, const struct bs_setting *weights,
                            struct bs_error *err);

/* Adds what rounding the linears of a block costs. */
void bs_ldl_cost(const struct bs_ldl *how, const struct bs_extent *extent, struct bs_cost *cost);

#endif
