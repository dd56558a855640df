/* The interface of numerics, a way to compute what libraries can also compute: products of floats
 * and the factorisation's tiles. A const struct in a file of its own and a line in
 * numerics/registry.c; one row is in use. What blas.h and packed.h declare goes through it. All
 * else, elementary functions and products of bytes among it, is the same in every row. */
#ifndef BS_EVAL_LINALG_NUMERICS_H
#define BS_EVAL_LINALG_NUMERICS_H

#include <stdbool.h>

#include "eval/base/plugin.h"
#include "eval/linalg/factor_tile.h"
#include "eval/linalg/packed.h"

/* A way to multiply and to factor floats. */
struct bs_numerics {
    struct bs_plugin plugin;
    bool same_everywhere; /* the same bits on every processor, whatever its instructions */

    /* C [m][n] = alpha op(A) op(B) + beta C on one thread, where op transposes what is told so; A,
     * B, C as bs_gemm_nn has them. Where beta is 0, C is not read. */
    void (*gemm)(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

    /* bs_cholesky_of_inverse of a tile [side][side] of a matrix with rows of `stride` floats, on
     * one thread; side is at most BS_FACTOR_TILE. Whether U is finite is not looked at. */
    bool (*factor_tile)(float *tile, int side, int stride);

    /* bs_packed_create, whose *packed begins with a struct bs_packed that is filled here, and what
     * goes with it: bs_packed_free, bs_packed_bytes, bs_gemm_nt_packed, of packed matrices of this
     * row. */
    enum bs_status (*pack)(enum bs_compute compute, int n, int k, const float *b,
                           struct bs_packed **packed, struct bs_error *err);
    void (*free_packed)(struct bs_packed *packed);
    size_t (*packed_bytes)(enum bs_compute compute);
    void (*gemm_nt_packed)(int m, const float *a, const struct bs_packed *b, float *c, int ldc,
                           struct bs_scratch *scratch);
    size_t (*gemm_nt_packed_floats)(int n, int k);
};

/* The head of a packed matrix: whose it is. */
struct bs_packed {
    const struct bs_numerics *numerics;
};

/* All numerics, the one that is used unless another is asked for first. */
extern const struct bs_registry bs_numerics_registry;
extern const struct bs_numerics bs_numerics_portable, bs_numerics_native;

/* The row in use: bs_numerics_use's last, else the registry's first. */
const struct bs_numerics *bs_numerics(void);

/* Uses this row from now on, the first where it is NULL. Not while anything computes. */
void bs_numerics_use(const struct bs_numerics *numerics);

/* The row called `name`, or NULL. */
const struct bs_numerics *bs_numerics_find(const char *name);

#endif
