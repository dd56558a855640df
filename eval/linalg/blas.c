#include "eval/linalg/blas.h"

#include <cblas.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/parallel.h"
#include "eval/linalg/numerics.h"
#include "eval/linalg/tiles.h"
#include "eval/linalg/vector.h"

void bs_blas_init(void)
{
    /* Some builds of the library pass this on to OpenMP, whose setting is ours. */
    int threads = omp_get_max_threads();
    openblas_set_num_threads(1);
    omp_set_num_threads(threads);
}

const char *bs_blas_name(void)
{
    static char name[160];
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch,
             openblas_get_config());
    return name;
}

void bs_gemm_nt(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    bs_numerics()->gemm(false, true, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void bs_gemm_nn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    bs_numerics()->gemm(false, false, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void bs_gemm_tn(int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                float beta, float *c, int ldc)
{
    bs_numerics()->gemm(true, false, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* The factorisation goes tile by tile: with A = R R^T, R upper triangular, U is R^-1. R is found
 * from the last tile of the diagonal to the first; each of these is inverted at once, so that all
 * else is products. Above the diagonal R replaces A and is mirrored below, so that U can replace it
 * there while R is still read. Tiles have one size whatever the number of threads, and each product
 * of tiles is one task's, so that the bits are the same. */
enum { TILE = BS_FACTOR_TILE };

/* U_kk = R_kk^-1 in place of the tile k of the diagonal, zeros below. */
static enum bs_status factor_tile(const struct bs_tiles *f, int k, struct bs_error *err)
{
    if (!bs_numerics()->factor_tile(bs_tile_at(f, k, k), bs_tile_side(f, k), f->n))
        return bs_fail(err, BS_ENUMERIC, "the matrix is not positive definite");
    return BS_OK;
}

static enum bs_status factor_last(void *context, int index, int thread, struct bs_error *err)
{
    (void)index, (void)thread;
    const struct bs_tiles *f = context;
    return factor_tile(f, f->tiles - 1, err);
}

/* R_ik = A_ik R_kk^-T, above the diagonal and mirrored below, for the step k. */
static enum bs_status solve_tile(void *context, int i, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct bs_tiles *f = context;
    float solved[TILE * TILE];
    int k = f->step, side = bs_tile_side(f, k), n = f->n;
    float *tile = bs_tile_at(f, i, k), *mirror = bs_tile_at(f, k, i);
    bs_gemm_nt(TILE, side, side, 1, tile, n, bs_tile_at(f, k, k), n, 0, solved, side);
    for (int r = 0; r < TILE; r++)
        memcpy(tile + (size_t)r * (size_t)n, solved + r * side, (size_t)side * sizeof *tile);
    for (int c = 0; c < side; c++)
        for (int r = 0; r < TILE; r++)
            mirror[(size_t)c * (size_t)n + r] = solved[r * side + c];
    return BS_OK;
}

/* A_ij -= R_ik R_jk^T for a row i of tiles left of the step k, j >= i. The last row comes first: it
 * is the next tile of the diagonal, whose factor the others need not wait for. */
static enum bs_status update_row(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    const struct bs_tiles *f = context;
    int k = f->step, n = f->n, i = index ? index - 1 : k - 1;
    bs_gemm_nt(TILE, (k - i) * TILE, bs_tile_side(f, k), -1, bs_tile_at(f, i, k), n,
               bs_tile_at(f, i, k), n, 1, bs_tile_at(f, i, i), n);
    return index ? BS_OK : factor_tile(f, i, err);
}

/* U_ij = -(sum of U_ik R_kj, i <= k < j) U_jj for the step j, R_kj read where it is mirrored. */
static enum bs_status invert_row(void *context, int i, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct bs_tiles *f = context;
    float sum[TILE * TILE];
    int j = f->step, side = bs_tile_side(f, j), n = f->n;
    bs_gemm_nt(TILE, side, (j - i) * TILE, 1, bs_tile_at(f, i, i), n, bs_tile_at(f, j, i), n, 0,
               sum, side);
    bs_gemm_nn(TILE, side, side, -1, sum, side, bs_tile_at(f, j, j), n, 0, bs_tile_at(f, i, j), n);
    return BS_OK;
}

/* Zeroes a row of tiles below the diagonal. */
static enum bs_status finish_row(void *context, int i, int thread, struct bs_error *err)
{
    (void)thread;
    const struct bs_tiles *f = context;
    size_t n = (size_t)f->n;
    for (int r = 0; r < bs_tile_side(f, i); r++) {
        size_t diagonal = (size_t)i * TILE + (size_t)r;
        float *row = f->a + diagonal * n;
        memset(row, 0, diagonal * sizeof *row);
        if (bs_first_not_finite(row + diagonal, n - diagonal) < n - diagonal)
            return bs_fail(err, BS_ENUMERIC, "the inverse does not fit into float32");
    }
    return BS_OK;
}

bool bs_cholesky_of_inverse(float *a, int n)
{
    struct bs_tiles f = bs_tiles_of(a, n);
    struct bs_error err;
    if (bs_parallel(1, factor_last, &f, &err))
        return false;
    for (f.step = f.tiles - 1; f.step > 0; f.step--)
        if (bs_parallel(f.step, solve_tile, &f, &err) || bs_parallel(f.step, update_row, &f, &err))
            return false;
    for (f.step = 1; f.step < f.tiles; f.step++)
        bs_parallel(f.step, invert_row, &f, &err);
    return !bs_parallel(f.tiles, finish_row, &f, &err);
}
