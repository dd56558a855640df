/* Linear algebra as the textbook has it, in double: what the fast versions are compared with. */
#ifndef BS_TESTS_SUPPORT_NAIVE_H
#define BS_TESTS_SUPPORT_NAIVE_H

/* Replaces A [n][n] by its inverse (Gauss-Jordan with pivoting; A must have one). */
void naive_invert(double *a, int n);

/* Replaces the symmetric positive definite A [n][n] by the lower triangular L with A = L L^T. */
void naive_cholesky(double *a, int n);

/* C [m][n] = A [m][k] B [n][k]^T */
void naive_product_nt(const double *a, const double *b, int m, int n, int k, double *c);

#endif
