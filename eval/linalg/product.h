/* Products of float32 matrices whose bits are the same on every processor: the order of the sums is
 * fixed here, and every implementation keeps it.
 *
 *   The order. C [m][n] = alpha A [m][k] B [k][n] + beta C. The k steps are cut into blocks of
 *   BS_PRODUCT_BLOCK, the last one shorter. For an element and a block p0 <= p < p1,
 *
 *       s = 0;  for p = p0 .. p1 - 1:  s = fma(A[i][p], B[p][j], s)
 *
 *   is one chain of fused multiply-adds, each rounded once. With c as C[i][j] is given, the blocks'
 *   sums are added one after the other:
 *
 *       the first block:    c = alpha * s                      where beta is 0: C is not read
 *                           c = fma(alpha, s, beta * c)        else
 *       each further one:   c = fma(alpha, s, c)
 *
 *   each operation rounded to float32; with alpha = 1 the last is c + s. Without any step (k = 0),
 *   c = 0 where beta is 0, else beta * c. Nothing depends on m, n, the rows' strides, the tile that
 *   an element falls into, the number of threads or the level of eval/base/isa.h; whether a NaN is
 *   a NaN does not either, its sign and payload may.
 *
 * Products are single-threaded: call them from bs_parallel tasks. Matrices are row-major; ld* are
 * row strides in elements.
 *
 * The implementation is Goto and van de Geijn's (Anatomy of High-Performance Matrix Multiplication,
 * 2008) with tiles as in Van Zee and van de Geijn's BLIS (2015). */
#ifndef BS_EVAL_LINALG_PRODUCT_H
#define BS_EVAL_LINALG_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"

/* Steps of k in one chain. */
enum { BS_PRODUCT_BLOCK = 256 };

/* C [m][n] = alpha op(A) op(B) + beta C. op(A) is A [m][k], or the transpose of A [k][m] where that
 * is asked for; op(B) is B [k][n], or the transpose of B [n][k]. */
void bs_product(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

/* A matrix B [n][k] laid out once for products of many rows with B^T. Read-only once created:
 * threads share it. */
struct bs_panels;

/* BS_ENOMEM. B is not kept. */
enum bs_status bs_panels_create(int n, int k, const float *b, struct bs_panels **panels,
                                struct bs_error *err);
void bs_panels_free(struct bs_panels *panels);

/* C [m][n] = A [m][k] B^T, with the bits of bs_product. */
void bs_product_panels(int m, const float *a, int lda, const struct bs_panels *b, float *c,
                       int ldc);

#endif
