/* Products with a weight matrix that is laid out once and multiplied many times, also in the short
 * number formats that processors multiply faster than float32: by oneDNN, single-threaded like
 * those of blas.h. */
#ifndef BS_EVAL_LINALG_PACKED_H
#define BS_EVAL_LINALG_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/parallel.h"

/* What floats are multiplied in: rounded to bfloat16, ties to even, the upper half of a float32
 * with 8 bits of precision, and summed in float32. */
enum bs_compute { BS_FLOAT32, BS_BFLOAT16, BS_NUM_COMPUTES };

/* Sizes of a product's parts. */
enum {
    BS_PACKED_ROWS = 128,               /* of A and C in a product of bytes */
    BS_PACKED_SCRATCH_FLOATS = 1 << 17, /* that a product may take */
};

/* A matrix B [n][k] in the layout of the processor's own product. Read-only once created: threads
 * share it. */
struct bs_packed;

/* Packs B of signed bytes: for the product of oneDNN where that is exact (AVX-512 VNNI, AMX) and
 * makes do with the scratch, else for a plain one of our own. BS_ENOMEM. */
enum bs_status bs_packed_create_int8(int n, int k, const int8_t *b, struct bs_packed **packed,
                                     struct bs_error *err);

/* The same of floats. Where oneDNN has no product in bfloat16, which takes AVX-512, the rounded
 * numbers are multiplied in float32: slower, and the same but for the order of the sums. BS_ENOMEM;
 * BS_EUNSUPPORTED where oneDNN has no product that makes do with the scratch. */
enum bs_status bs_packed_create(enum bs_compute compute, int n, int k, const float *b,
                                struct bs_packed **packed, struct bs_error *err);
void bs_packed_free(struct bs_packed *packed);

/* Bytes that a number of B takes once it is packed, on this processor. */
size_t bs_packed_int8_bytes(void);
size_t bs_packed_bytes(enum bs_compute compute);

/* C [BS_PACKED_ROWS][n] = A [BS_PACKED_ROWS][k] B^T, exactly where every sum is within int32. False
 * when the library runs out of memory; C is then undefined. */
bool bs_gemm_nt_int8(const struct bs_packed *b, uint8_t *a, int32_t *c, struct bs_scratch *scratch);

/* C [m][n] = A [m][k] B^T, in what B was created for; ldc floats from row to row of C. Scratch:
 * bs_gemm_nt_packed_floats. NaN where the library runs out of memory. */
void bs_gemm_nt_packed(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                       struct bs_scratch *scratch);
size_t bs_gemm_nt_packed_floats(int n, int k);

#endif
