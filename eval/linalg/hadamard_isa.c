#include "eval/linalg/hadamard.h"

#include <math.h>
#include <stddef.h>

/* Columns that the core is multiplied by at a time. */
enum { COLUMNS = 16 };

/* Sylvester's matrix of `all` floats over `length`. */
static void butterflies(float *x, size_t all, size_t length)
{
    for (size_t half = length; half < all; half *= 2)
        for (size_t first = 0; first < all; first += 2 * half) {
            float *low = x + first, *high = low + half;
            for (size_t j = 0; j < half; j++) {
                float a = low[j], b = high[j];
                low[j] = a + b;
                high[j] = a - b;
            }
        }
}

/* y [COLUMNS] = one row of the core, its entries `step` apart, times x [k][COLUMNS]. */
static void multiply_row(const float *core, size_t step, const float *x, size_t k, float *y)
{
    for (size_t c = 0; c < COLUMNS; c++)
        y[c] = 0;
    for (size_t j = 0; j < k; j++) {
        float by = core[j * step];
        for (size_t c = 0; c < COLUMNS; c++)
            y[c] += by * x[j * COLUMNS + c];
    }
}

/* `columns` columns of x [k][width] = the core, or its transpose, times themselves. */
static void multiply(float *x, size_t k, size_t width, size_t columns, const float *core,
                     bool transposed)
{
    float was[BS_HADAMARD_CORE * COLUMNS];
    for (size_t j = 0; j < k; j++)
        for (size_t c = 0; c < COLUMNS; c++)
            was[j * COLUMNS + c] = c < columns ? x[j * width + c] : 0;
    for (size_t i = 0; i < k; i++) {
        float y[COLUMNS];
        multiply_row(transposed ? core + i : core + i * k, transposed ? k : 1, was, k, y);
        for (size_t c = 0; c < columns; c++)
            x[i * width + c] = y[c];
    }
}

static void transform(float *x, int n, int length, const float *core, int k, bool transposed)
{
    size_t all = (size_t)n * (size_t)length, order = (size_t)k, width = all / order;
    for (size_t i = 0; i < order; i++)
        butterflies(x + i * width, width, (size_t)length);
    for (size_t c = 0; c < width && k > 1; c += COLUMNS)
        multiply(x + c, order, width, width - c < COLUMNS ? width - c : COLUMNS, core, transposed);
    float scale = 1 / sqrtf((float)n);
    for (size_t i = 0; i < all; i++)
        x[i] *= scale;
}

const struct bs_hadamard_loops BS_AT_LEVEL(bs_hadamard_loops) = {.transform = transform};
