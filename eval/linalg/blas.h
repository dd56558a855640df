/* Matrix products and a factorisation, by the numerics in use (eval/linalg/numerics.h). Products
 * are single-threaded, so that one has the same bits wherever and on however many threads the
 * program runs it: call them from bs_parallel tasks. Matrices are float32, row-major; ld* are row
 * strides in elements. */
#ifndef BS_EVAL_LINALG_BLAS_H
#define BS_EVAL_LINALG_BLAS_H

#include <stdbool.h>

/* Once, before any other call. */
void bs_blas_init(void);

/* What the libraries call themselves: versions, threading, kernel. Not the caller's to free. */
const char *bs_blas_name(void);

/* C [m][n] = alpha A [m][k] B [n][k]^T + beta C */
void bs_gemm_nt(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc);

/* C [m][n] = alpha A [m][k] B [k][n] + beta C */
void bs_gemm_nn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc);

/* C [m][n] = alpha A [k][m]^T B [k][n] + beta C */
void bs_gemm_tn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc);

/* Replaces the symmetric A [n][n], of which the upper triangle is read, by the upper triangular U
 * with A^-1 = U^T U (below the diagonal: zero). False where A is not positive definite or U not
 * finite; A is then undefined. On all threads, with the same bits on any number: not to be called
 * from a bs_parallel task. */
bool bs_cholesky_of_inverse(float *a, int n);

#endif
