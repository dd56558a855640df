#include "eval/linalg/factor_tile.h"

#include <math.h>
#include <stddef.h>

/* Row k holds column k of R or of U, down to the diagonal: steps then go along rows. */
typedef float columns[BS_FACTOR_TILE][BS_FACTOR_TILE];

/* to[i] -= factor * x[i] */
static void subtract(float factor, const float *x, int count, float *to)
{
    for (int i = 0; i < count; i++)
        to[i] -= factor * x[i];
}

/* A = R R^T from the last column to the first: what a column adds to those before it is taken off
 * them at once. */
static bool factor(columns r, int side)
{
    for (int k = side - 1; k >= 0; k--) {
        float pivot = r[k][k];
        if (!(pivot > 0 && pivot < INFINITY))
            return false;
        r[k][k] = sqrtf(pivot);
        for (int i = 0; i < k; i++)
            r[k][i] /= r[k][k];
        for (int j = 0; j < k; j++)
            subtract(r[k][j], r[k], j + 1, r[j]);
    }
    return true;
}

/* U in the place of R, column by column: R U = I, so that R_kk times U's column k is that of I less
 * the columns before it, times what R has beside them. */
static void invert(columns r, int side)
{
    float right[BS_FACTOR_TILE];
    for (int k = 0; k < side; k++) {
        float inverse = 1 / r[k][k];
        for (int i = 0; i < k; i++) {
            right[i] = r[k][i];
            r[k][i] = 0;
        }
        for (int j = 0; j < k; j++)
            subtract(right[j], r[j], j + 1, r[k]);
        for (int i = 0; i < k; i++)
            r[k][i] *= inverse;
        r[k][k] = inverse;
    }
}

bool bs_factor_tile(float *tile, int side, int stride)
{
    columns r;
    for (int k = 0; k < side; k++)
        for (int i = 0; i <= k; i++)
            r[k][i] = tile[(size_t)i * (size_t)stride + (size_t)k];
    if (!factor(r, side))
        return false;
    invert(r, side);
    for (int i = 0; i < side; i++)
        for (int k = 0; k < side; k++)
            tile[(size_t)i * (size_t)stride + (size_t)k] = k < i ? 0 : r[k][i];
    return true;
}
