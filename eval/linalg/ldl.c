/* By tiles, from the first of the diagonal on: C with A = C C^T, whose columns are then divided by
 * their diagonal. Tiles have one size whatever the number of threads, and each row of tiles is one
 * task's, so that the bits are the same. */
#include "eval/linalg/ldl.h"

#include <math.h>
#include <string.h>

#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/tiles.h"

enum { TILE = BS_FACTOR_TILE };

/* C_ij of one row, left to right, for j up to `count`: (x_j - sum of x_k C_jk, k < j) / C_jj. */
static void solve_row(const float *tile, size_t n, float *x, int count)
{
    for (int j = 0; j < count; j++) {
        const float *row = tile + (size_t)j * n;
        double sum = (double)x[j];
        for (int k = 0; k < j; k++)
            sum -= (double)x[k] * (double)row[k];
        x[j] = (float)(sum / (double)row[j]);
    }
}

/* C_kk in place of the tile k of the diagonal. False where it has none. */
static bool factor_tile(const struct bs_tiles *f, int k)
{
    float *tile = bs_tile_at(f, k, k);
    size_t n = (size_t)f->n;
    for (int i = 0; i < bs_tile_side(f, k); i++) {
        float *row = tile + (size_t)i * n;
        solve_row(tile, n, row, i);
        double left = (double)row[i];
        for (int j = 0; j < i; j++)
            left -= (double)row[j] * (double)row[j];
        row[i] = (float)sqrt(left);
        if (!(row[i] > 0) || !isfinite(row[i]))
            return false;
    }
    return true;
}

/* C_ik for the step k, in a row i of tiles below it. */
static enum bs_status solve_tile(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct bs_tiles *f = context;
    int i = f->step + 1 + index;
    for (int r = 0; r < bs_tile_side(f, i); r++)
        solve_row(bs_tile_at(f, f->step, f->step), (size_t)f->n,
                  bs_tile_at(f, i, f->step) + (size_t)r * (size_t)f->n, bs_tile_side(f, f->step));
    return BS_OK;
}

/* A_ij -= C_ik C_jk^T for a row i of tiles below the step k, k < j <= i. */
static enum bs_status update_row(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct bs_tiles *f = context;
    int k = f->step, i = k + 1 + index, n = f->n, columns = index * TILE + bs_tile_side(f, i);
    bs_gemm_nt(bs_tile_side(f, i), columns, TILE, -1, bs_tile_at(f, i, k), n,
               bs_tile_at(f, k + 1, k), n, 1, bs_tile_at(f, i, k + 1), n);
    return BS_OK;
}

/* L of C, where every element of the diagonal is divided by itself last. */
static void divide_columns(float *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *row = a + i * n;
        for (size_t j = 0; j < i; j++)
            row[j] /= a[j * n + j];
        memset(row + i + 1, 0, (n - i - 1) * sizeof *row);
    }
    for (size_t i = 0; i < n; i++)
        a[i * n + i] = 1;
}

bool bs_ldl(float *a, int n)
{
    struct bs_tiles f = bs_tiles_of(a, n);
    struct bs_error err;
    for (f.step = 0; f.step < f.tiles; f.step++) {
        int below = f.tiles - f.step - 1;
        if (!factor_tile(&f, f.step) || bs_parallel(below, solve_tile, &f, &err) ||
            bs_parallel(below, update_row, &f, &err))
            return false;
    }
    divide_columns(a, (size_t)n);
    return true;
}
