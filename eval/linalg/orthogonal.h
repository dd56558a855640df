/* Random orthogonal matrices. */
#ifndef BS_EVAL_LINALG_ORTHOGONAL_H
#define BS_EVAL_LINALG_ORTHOGONAL_H

#include "eval/base/error.h"

/* Replaces A [n][n] by the orthogonal Q of A = Q R, R upper triangular with a positive diagonal:
 * there is but one, whatever finds it. Of a matrix of normal numbers it is uniform among orthogonal
 * matrices (Mezzadri 2007, arXiv math-ph/0609050). determinant: of Q, 1 or -1; may be NULL. On all
 * threads, with the same bits on any number: not to be called from a bs_parallel task.
 * BS_ENOMEM. */
enum bs_status bs_orthogonalise(double *a, int n, int *determinant, struct bs_error *err);

/* Bytes that it takes for a while, beside A. */
double bs_orthogonalise_bytes(int n);

#endif
