/* Products of unsigned by signed bytes, with a matrix that is laid out once and multiplied many
 * times: single-threaded, exact by definition, and so the same on every processor. */
#ifndef BS_EVAL_LINALG_BYTES_H
#define BS_EVAL_LINALG_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/parallel.h"

/* Sizes of a product's parts. */
enum {
    BS_BYTES_ROWS = 128,              /* of A and C in a product, at most */
    BS_BYTES_SCRATCH_FLOATS = 1 << 17 /* that a product may take */
};

/* A matrix B [n][k] of signed bytes in the layout of the processor's own product. Read-only once
 * created: threads share it. */
struct bs_bytes;

/* Packs B: for the product of oneDNN where the processor has AMX and it makes do with the scratch,
 * else for one of our own. BS_ENOMEM. */
enum bs_status bs_bytes_pack(int n, int k, const int8_t *b, struct bs_bytes **packed,
                             struct bs_error *err);
void bs_bytes_free(struct bs_bytes *packed);

/* Bytes that a number of B takes once it is packed, on this processor. */
size_t bs_bytes_of_number(void);

/* C [rows][n] = A [rows][k] B^T, exactly where every sum is within int32. A and C have room for
 * BS_BYTES_ROWS rows, of which those beyond `rows` may be read and written. False when the library
 * runs out of memory; C is then undefined. */
bool bs_bytes_multiply(const struct bs_bytes *b, int rows, const uint8_t *a, int32_t *c,
                       struct bs_scratch *scratch);

#endif
