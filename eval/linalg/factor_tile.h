/* The factorisation's own work on one tile of the diagonal, with the same bits on every processor:
 * all else of it is products. */
#ifndef BS_EVAL_LINALG_FACTOR_TILE_H
#define BS_EVAL_LINALG_FACTOR_TILE_H

#include <stdbool.h>

/* Rows and columns of a tile, but for the last ones. */
enum { BS_FACTOR_TILE = 128 };

/* Replaces the symmetric A [side][side], rows of `stride` floats, of which the upper triangle is
 * read, by U = R^-1 with A = R R^T, R and U upper triangular (below the diagonal: zero). So
 * A^-1 = U^T U. Each step is one rounded multiplication, subtraction, division or root, in an order
 * that the side alone decides. False where A is not positive definite or a pivot not finite; A is
 * then as it was. Whether U is finite is not looked at. */
bool bs_factor_tile(float *tile, int side, int stride);

#endif
