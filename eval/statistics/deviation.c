/* D = 2/windows (X~ - X)^T X of a site, X~ what the same tokens are there in the unquantized model:
 * how far the inputs of a linear are from those that its outputs were made of (GPTAQ, arXiv
 * 2504.02692).
 *
 * It is added up in strips of rows, each by one thread over the windows in their order. */
#include "eval/statistics/statistic.h"

#include <string.h>

#include "eval/linalg/blas.h"

enum { STRIP = 128 };

static size_t deviation_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * (size_t)of->width * sizeof(float);
}

/* X~ - X and X, [rows][width] each. */
static size_t deviation_slot_bytes(const struct bs_observed *of)
{
    return 2 * (size_t)of->tokens * (size_t)of->width * sizeof(float);
}

static double deviation_flops(const struct bs_observed *of)
{
    return 2.0 * of->windows * of->tokens * of->width * of->width;
}

static void deviation_compare(const struct bs_observed *of, int window, const float *x, int stride,
                              const float *unquantized, int other_stride, void *slot, void *result)
{
    (void)window, (void)result;
    size_t width = (size_t)of->width;
    float *apart = slot, *kept = apart + of->rows * width;
    for (size_t t = 0; t < of->rows; t++) {
        const float *row = x + t * (size_t)stride, *other = unquantized + t * (size_t)other_stride;
        memcpy(kept + t * width, row, width * sizeof *row);
        for (size_t j = 0; j < width; j++)
            apart[t * width + j] = other[j] - row[j];
    }
}

static int deviation_parts(const struct bs_observed *of) { return (of->width + STRIP - 1) / STRIP; }

static int strip_rows(const struct bs_observed *of, int part)
{
    int left = of->width - part * STRIP;
    return left < STRIP ? left : STRIP;
}

static void deviation_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                            int part, void *result)
{
    int width = of->width, first = part * STRIP;
    float *to = (float *)result + (size_t)first * (size_t)width;
    for (int k = 0; k < count; k++) {
        const float *apart = shown[k].slot, *kept = apart + shown[k].rows * (size_t)width;
        bs_gemm_tn(strip_rows(of, part), width, (int)shown[k].rows, 1, apart + first, width, kept,
                   width, 1, to, width);
    }
}

static void deviation_finish(const struct bs_observed *of, int part, void *result)
{
    size_t width = (size_t)of->width, count = (size_t)strip_rows(of, part) * width;
    float *to = (float *)result + (size_t)part * STRIP * width,
          factor = 2 / (float)bs_observed_windows(of);
    for (size_t i = 0; i < count; i++)
        to[i] *= factor;
}

const struct bs_statistic bs_stat_deviation = {
    .plugin = {.name = "deviation",
               .summary = "2/windows (X~ - X)^T X, X~ the same inputs in the unquantized model",
               .reference = "Li et al. 2025, arXiv 2504.02692; "
                            "Intelligent-Computing-Lab-Yale/GPTQv2"},
    .bytes = deviation_bytes,
    .slot_bytes = deviation_slot_bytes,
    .flops = deviation_flops,
    .compare = deviation_compare,
    .parts = deviation_parts,
    .merge = deviation_merge,
    .finish = deviation_finish,
};
