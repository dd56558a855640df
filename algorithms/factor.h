/* The factor of a damped Hessian that second-order rounding works with, kept with the statistics it
 * is made of: linears with the same input share it, and so do trials that share statistics. */
#ifndef BS_ALGORITHMS_FACTOR_H
#define BS_ALGORITHMS_FACTOR_H

#include "algorithms/algorithm.h"

/* How a Hessian is damped, ordered and factorised. */
struct bs_factor_choice {
    bool ldl;        /* H' = L D L^T instead of H'^-1 = U^T U */
    bool act_order;  /* by decreasing diagonal; with ldl, whose last column is rounded first, by
                        increasing */
    double percdamp; /* share of the mean diagonal that is added */
};

/* The choice as numbers, by which what is made of statistics is found again. */
struct bs_derived_choice bs_factor_numbers(const struct bs_factor_choice *choice);

/* The triangle [in][in] of H': H with 1 for each zero on its diagonal, rows and columns in `order`,
 * and `damping` times its mean diagonal added. */
struct bs_factor {
    struct bs_derived derived;
    double damping;  /* the percdamp that held */
    int *order;      /* [in], the column that comes i-th */
    float *triangle; /* U, upper triangular; or L, lower triangular with ones on the diagonal */
};

/* H' itself [in][in], in the factor's order. Not to be called from a bs_parallel task. */
void bs_factor_damped(const struct bs_factor *factor, const float *hessian, int in, float *damped);

/* What the factor took, for the linear's record. */
void bs_factor_record(const struct bs_factor *factor, const struct bs_factor_choice *choice,
                      struct bs_linear *linear);

/* Adds the Hessians of every site that linears read and their factors by this choice. */
void bs_want_factors(struct bs_wanted *wanted, const struct bs_factor_choice *choice);

/* The factor of the site's Hessian by this choice, made where it has not been asked for before.
 * Where the factorisation fails the damping grows tenfold until it holds. It is the statistics'
 * own. Not to be called from a bs_parallel task. BS_ENOMEM; BS_ENUMERIC where the Hessian is not
 * finite or has no factor at any damping. */
enum bs_status bs_factor_of(const struct bs_statistics *statistics, int site,
                            const struct bs_factor_choice *choice, const struct bs_factor **factor,
                            struct bs_error *err);

#endif
