/* The factorisation of a positive definite matrix that LDLQ rounds by. */
#ifndef BS_EVAL_LINALG_LDL_H
#define BS_EVAL_LINALG_LDL_H

#include <stdbool.h>

/* Replaces the symmetric A [n][n], of which the lower triangle is read, by the unit lower
 * triangular L with A = L D L^T, D diagonal (above the diagonal: zero). False where A is not
 * positive definite; A is then undefined. On all threads, with the same bits on any number: not to
 * be called from a bs_parallel task. */
bool bs_ldl(float *a, int n);

#endif
