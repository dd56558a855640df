/* Products of floats with a weight matrix that is laid out once and multiplied many times, also in
 * bfloat16, which some processors multiply faster than float32: single-threaded like those of
 * blas.h, and by the numerics in use as they are. */
#ifndef BS_EVAL_LINALG_PACKED_H
#define BS_EVAL_LINALG_PACKED_H

#include <stddef.h>

#include "eval/base/error.h"
#include "eval/base/parallel.h"

/* What floats are multiplied in: as they are; rounded to bfloat16, ties to even, the upper half of
 * a float32 with 8 bits of precision, and summed in float32; or as llama.cpp does, for which there
 * are no packed matrices but eval/model/ggml.h. */
enum bs_compute { BS_FLOAT32, BS_BFLOAT16, BS_NUM_PACKED, BS_AS_LLAMA_CPP = BS_NUM_PACKED };

/* A matrix B [n][k] in the layout of a product. Read-only once created: threads share it. */
struct bs_packed;

/* Packs B. Where there is no product in bfloat16 the rounded numbers are multiplied in float32: the
 * same but for the order of the sums. BS_ENOMEM; BS_EUNSUPPORTED where the numerics have no product
 * for such a matrix. */
enum bs_status bs_packed_create(enum bs_compute compute, int n, int k, const float *b,
                                struct bs_packed **packed, struct bs_error *err);
void bs_packed_free(struct bs_packed *packed);

/* Bytes that a number of B takes once it is packed, on this processor. */
size_t bs_packed_bytes(enum bs_compute compute);

/* C [m][n] = A [m][k] B^T, in what B was created for; ldc floats from row to row of C. Scratch:
 * bs_gemm_nt_packed_floats. NaN where a library runs out of memory. */
void bs_gemm_nt_packed(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                       struct bs_scratch *scratch);
size_t bs_gemm_nt_packed_floats(int n, int k);

#endif
