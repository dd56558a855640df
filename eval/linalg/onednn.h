/* Products by oneDNN, single-threaded. */
#ifndef BS_EVAL_LINALG_ONEDNN_H
#define BS_EVAL_LINALG_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/parallel.h"

/* What oneDNN uses of the processor, which ONEDNN_MAX_CPU_ISA may limit. */
bool bs_onednn_has_avx512(void);
bool bs_onednn_has_amx(void); /* which adds up products of bytes exactly */

/* bs_gemm_nn and its kin, by dnnl_sgemm. */
void bs_onednn_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                    const float *a, int lda, const float *b, int ldb, float beta, float *c,
                    int ldc);

/* What A, B as it is given, and C consist of. */
enum bs_onednn_numbers {
    BS_ONEDNN_FLOATS,
    BS_ONEDNN_BFLOAT16, /* A; B float32, rounded as it is packed; C float32 */
    BS_ONEDNN_BYTES,    /* A unsigned, B signed, C int32 */
};

/* A matrix B [n][k] as oneDNN's product lays it out. Read-only once created. */
struct bs_onednn_matrix;

/* Sizes of a product's parts. */
enum {
    BS_ONEDNN_FEW_ROWS = 128,          /* of A and C in a product */
    BS_ONEDNN_MANY_ROWS = 512,         /* that floats also have one of */
    BS_ONEDNN_SCRATCH_FLOATS = 1 << 17 /* that a product may take */
};

/* *matrix is NULL where the library has no such product, or none that makes do with the scratch.
 * BS_ENOMEM. */
enum bs_status bs_onednn_create(enum bs_onednn_numbers numbers, int n, int k, const void *b,
                                struct bs_onednn_matrix **matrix, struct bs_error *err);
void bs_onednn_free(struct bs_onednn_matrix *matrix);

/* Rows of the largest product of no more than this many; of the smallest where all are of more. */
int bs_onednn_rows(const struct bs_onednn_matrix *matrix, int rows);

/* C [rows][n] = A [rows][k] B^T, rows as bs_onednn_rows has them. False when the library runs out
 * of memory; C is then undefined. */
bool bs_onednn_multiply(const struct bs_onednn_matrix *matrix, int rows, const void *a, void *c,
                        struct bs_scratch *scratch);

#endif
