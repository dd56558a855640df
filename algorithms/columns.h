/* Rounding the columns of a weight one after the other, the error of each carried on to those that
 * come after it: the work that second-order algorithms share. */
#ifndef BS_ALGORITHMS_COLUMNS_H
#define BS_ALGORITHMS_COLUMNS_H

#include "algorithms/factor.h"

/* How columns are rounded. */
struct bs_columns {
    struct bs_factor_choice factor;
    int block_size;     /* columns between lazy updates of the rest */
    bool static_groups; /* all groups are fitted before any column moves */
};

/* The options of an algorithm that rounds so, of whose struct these are members. */
#define BS_COLUMNS_OPTIONS(T, sequential)                                                          \
    BS_OPT(T, percdamp, 0.01, 0, 1, "damping, as a share of the mean of diag(H)"),                 \
        BS_OPT(T, block_size, 128, 1, 65536, "columns between lazy updates of the rest"),          \
        BS_OPT(T, act_order, false, 0, 1, "quantize columns by decreasing diag(H)"),               \
        BS_OPT(T, static_groups, false, 0, 1, "fit all group grids before any column moves"),      \
        BS_OPT(T, true_sequential, sequential, 0, 1,                                               \
               "take each set's H after the sets before it in the block are quantized")

/* Refuses what cannot be combined with the layout of a format. BS_ECONFIG. */
enum bs_status bs_columns_check(const struct bs_columns *how, const struct bs_setting *weights,
                                struct bs_error *err);

/* Readies linear->codes: parameters of the whole tensor and of whole rows from W as it came; then
 * columns that never see an input, a zero on the diagonal of H, become zero and are counted; then,
 * with `groups`, parameters of spans of columns. Importance is diag(H). BS_ENOMEM. */
enum bs_status bs_columns_fit(struct bs_linear *linear, const float *hessian,
                              const struct bs_shared *shared, bool groups, struct bs_error *err);

/* What moves the columns after the i-th beside its error: w_i times row i of this, times
 * `factor`. */
struct bs_pull {
    const float
        *rows; /* [in][in], strictly upper triangular, in processing order; NULL = nothing */
    float factor;
};

/* Makes the codes of the linear of a slot: with U the factor of its input's Hessian,
 *   q_i = quantize(w_i),  e = (w_i - q_i) / U_ii,  W[:, i:] -= e U[i, i:] - w_i factor pull[i, i:].
 * BS_ECONFIG, BS_ENOMEM as bs_block_init_codes; BS_ENUMERIC as bs_factor_of. */
enum bs_status bs_columns_round(const struct bs_columns *how, const struct bs_pull *pull,
                                const struct bs_job *job, int slot, struct bs_error *err);

/* Adds what rounding the linears of a block costs. */
void bs_columns_cost(const struct bs_columns *how, const struct bs_extent *extent,
                     struct bs_cost *cost);

/* The part of that which is one linear's of so many weights, in flops and weights alone. */
void bs_columns_add(const struct bs_slot *slot, struct bs_cost *cost);

#endif
