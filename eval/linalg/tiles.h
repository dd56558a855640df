/* A square matrix cut into tiles of one size, whatever the number of threads: what a factorisation
 * by tiles goes over. */
#ifndef BS_EVAL_LINALG_TILES_H
#define BS_EVAL_LINALG_TILES_H

#include <stddef.h>

#include "eval/linalg/factor_tile.h"

/* A [n][n]; the last tile of a row or column may be smaller. */
struct bs_tiles {
    float *a;
    int n, tiles; /* rows of A, and of tiles */
    int step;     /* the tile of the diagonal that the tasks at hand belong to */
};

/* A [n][n] cut into tiles of BS_FACTOR_TILE; borrows A. */
static inline struct bs_tiles bs_tiles_of(float *a, int n)
{
    return (struct bs_tiles){.a = a, .n = n, .tiles = (n + BS_FACTOR_TILE - 1) / BS_FACTOR_TILE};
}

/* Rows of a tile. */
static inline int bs_tile_side(const struct bs_tiles *t, int tile)
{
    int left = t->n - tile * BS_FACTOR_TILE;
    return left < BS_FACTOR_TILE ? left : BS_FACTOR_TILE;
}

/* The first element of a tile. */
static inline float *bs_tile_at(const struct bs_tiles *t, int row, int column)
{
    return t->a + (size_t)row * BS_FACTOR_TILE * (size_t)t->n + (size_t)column * BS_FACTOR_TILE;
}

#endif
