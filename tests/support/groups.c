#include "tests/support/groups.h"

#include <math.h>
#include <stdio.h>

#include "tests/support/random_block.h"

const struct bs_setting *grid(const char *name, int bits, bool symmetric)
{
    char text[80];
    snprintf(text, sizeof text, "bits=%d grid=%s symmetric=%s", bits, name,
             symmetric ? "true" : "false");
    return weights_setting(text);
}

void awkward_group(float *x, int kind, uint64_t seed)
{
    random_fill(x, COUNT, 1, seed);
    for (int i = 0; i < COUNT; i++) {
        if (kind == 1)
            x[i] += 5;
        else if (kind == 2)
            x[i] = fabsf(x[i]);
        else if (kind == 3)
            x[i] = -fabsf(x[i]) - 2;
        else if (kind == 4)
            x[i] = 0.7f;
        else if (kind == 5)
            x[i] *= 1e-7f;
        else if (kind == 6)
            x[i] *= 1e30f;
    }
    if (kind == 7)
        x[COUNT / 2] = 40;
}
