/* H = 2/windows X^T X of a site, what second-order rounding works with (GPTQ, arXiv 2210.17323).
 *
 * It is added up in tiles, each by one thread over the windows in their order, so that a slot keeps
 * its window's x and nothing of H's size exists twice. */
#include "eval/statistics/statistic.h"

#include <string.h>

#include "eval/linalg/blas.h"

/* The side of the tiles; of the strips in which one on the diagonal is made, to waste little below
 * it; what a mirrored line holds. */
enum { TILE = 384, STRIP = 128, LINE = 16 };

static size_t hessian_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * (size_t)of->width * sizeof(float);
}

/* [width / TILE][rows][TILE] */
static size_t hessian_slot_bytes(const struct bs_observed *of)
{
    return (size_t)of->tokens * (size_t)of->width * sizeof(float);
}

/* Of a triangle. */
static double hessian_flops(const struct bs_observed *of)
{
    return (double)of->windows * of->tokens * of->width * of->width;
}

/* Columns of a tile are brought together: each is read with every other one. */
static void hessian_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)window, (void)result;
    float *kept = slot;
    size_t width = (size_t)of->width;
    for (size_t t = 0; t < of->rows; t++)
        for (size_t first = 0; first < width; first += TILE) {
            size_t columns = width - first < TILE ? width - first : TILE;
            memcpy(kept + first * of->rows + t * columns, x + t * (size_t)stride + first,
                   columns * sizeof *x);
        }
}

/* Tiles on and above the diagonal. */
static int hessian_parts(const struct bs_observed *of)
{
    int rows = (of->width + TILE - 1) / TILE;
    return rows * (rows + 1) / 2;
}

/* Rows i .. i + m - 1 and columns j .. j + n - 1. */
struct tile {
    int i, j, m, n;
};

static struct tile tile_of(const struct bs_observed *of, int part)
{
    int column = 0;
    for (; part > column; column++)
        part -= column + 1;
    struct tile tile = {.i = part * TILE, .j = column * TILE};
    tile.m = of->width - tile.i < TILE ? of->width - tile.i : TILE;
    tile.n = of->width - tile.j < TILE ? of->width - tile.j : TILE;
    return tile;
}

/* Adds the slots' X^T X to one tile. */
static void hessian_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                          int part, void *result)
{
    struct tile t = tile_of(of, part);
    int width = of->width, height = t.i == t.j ? STRIP : TILE;
    float *at = (float *)result + (size_t)t.i * (size_t)width + (size_t)t.j;
    for (int k = 0; k < count; k++) {
        const float *x = shown[k].slot;
        const float *left = x + (size_t)t.i * shown[k].rows;
        const float *right = x + (size_t)t.j * shown[k].rows;
        for (int i = 0; i < t.m; i += height) {
            int rows = t.m - i < height ? t.m - i : height, below = t.i == t.j ? i : 0;
            bs_gemm_tn(rows, t.n - below, (int)shown[k].rows, 1, left + i, t.m, right + below, t.n,
                       1, at + (size_t)i * (size_t)width + below, width);
        }
    }
}

/* Takes the mean over windows of one tile, twice, and writes it below the diagonal too. */
static void hessian_finish(const struct bs_observed *of, int part, void *result)
{
    struct tile t = tile_of(of, part);
    float *hessian = result, factor = 2 / (float)bs_observed_windows(of);
    size_t width = (size_t)of->width, rows = (size_t)(t.i + t.m), columns = (size_t)(t.j + t.n);
    for (size_t first = (size_t)t.i; first < rows; first += LINE) {
        size_t end = first + LINE < rows ? first + LINE : rows;
        for (size_t j = (size_t)t.j; j < columns; j++)
            for (size_t i = first; i < end && i <= j; i++) {
                hessian[i * width + j] *= factor;
                hessian[j * width + i] = hessian[i * width + j];
            }
    }
}

const struct bs_statistic bs_stat_hessian = {
    .plugin = {.name = "hessian",
               .summary = "2/windows X^T X, of all pairs of channels",
               .reference = "Frantar et al. 2023, arXiv 2210.17323; IST-DASLab/gptq"},
    .bytes = hessian_bytes,
    .slot_bytes = hessian_slot_bytes,
    .flops = hessian_flops,
    .observe = hessian_observe,
    .parts = hessian_parts,
    .merge = hessian_merge,
    .finish = hessian_finish,
};
