#include "eval/linalg/hadamard.h"

#include <math.h>
#include <stddef.h>

static void transform(float *x, int n, int length)
{
    size_t all = (size_t)n * (size_t)length;
    for (size_t half = (size_t)length; half < all; half *= 2)
        for (size_t first = 0; first < all; first += 2 * half) {
            float *low = x + first, *high = low + half;
            for (size_t j = 0; j < half; j++) {
                float a = low[j], b = high[j];
                low[j] = a + b;
                high[j] = a - b;
            }
        }
    float scale = 1 / sqrtf((float)n);
    for (size_t i = 0; i < all; i++)
        x[i] *= scale;
}

const struct bs_hadamard_loops BS_AT_LEVEL(bs_hadamard_loops) = {.transform = transform};
