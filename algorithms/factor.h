/* The factor of a damped Hessian that second-order rounding works with, kept with the statistics it
 * is made of: linears with the same input share it, and so do trials that share statistics. */
#ifndef BS_ALGORITHMS_FACTOR_H
#define BS_ALGORITHMS_FACTOR_H

#include "algorithms/algorithm.h"

/* U [in][in], upper triangular with H'^-1 = U^T U: H' is H with 1 for each zero on its diagonal,
 * rows and columns in `order`, and `damping` times its mean diagonal added. */
struct bs_factor {
    struct bs_factor_choice choice; /* what was asked for */
    double damping;                 /* the percdamp that held */
    int *order;                     /* [in], the column that comes i-th */
    float *upper;
    struct bs_factor *next; /* of the same Hessian */
};

/* The factor of the set's Hessian [in][in] by this choice, made where it has not been asked for
 * before. Where the factorisation fails the damping grows tenfold until it holds. It is the
 * statistics' own. Not to be called from a bs_parallel task. BS_ENOMEM; BS_ENUMERIC where the Hessian
 * is not finite or has no factor at any damping. */
enum bs_status bs_factor_of(struct bs_set_statistics *statistics, int in,
                            const struct bs_factor_choice *choice, const struct bs_factor **factor,
                            struct bs_error *err);

/* Lets go of all factors of the set. */
void bs_factors_release(struct bs_set_statistics *statistics);

bool bs_same_factor(const struct bs_factor_choice *a, const struct bs_factor_choice *b);

#endif
