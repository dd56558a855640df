#include "tests/support/fixed_numbers.h"

#include <stdint.h>

void fixed_uniform(float *out, int count)
{
    uint64_t state = 1;
    for (int i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (float)((double)(state >> 40) * 0x1p-24 - 0.5);
    }
}
