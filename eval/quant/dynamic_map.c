#include "eval/quant/dynamic_map.h"

#include <string.h>

#include "eval/linalg/vector.h"

/* Centres of 2^i equal cells of [0.1, 1] by powers of ten, both signs, with 0 and 1; sorted. */
static float map_values[BS_DYNAMIC_CODES];

static void make_map(void)
{
    static const float tens[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1};
    const float first = 0.1f;
    float made[BS_DYNAMIC_CODES];
    int count = 0;
    for (int i = 0; i < (int)(sizeof tens / sizeof *tens); i++)
        for (int k = 0; k < 1 << i; k++) {
            float value =
                tens[i] *
                ((bs_part_end(first, 1, 1 << i, k) + bs_part_end(first, 1, 1 << i, k + 1)) / 2);
            made[count++] = value;
            made[count++] = -value;
        }
    made[count++] = 0;
    made[count++] = 1;
    for (int i = 1; i < BS_DYNAMIC_CODES; i++) /* few, once */
        for (int k = i; k > 0 && made[k] < made[k - 1]; k--) {
            float swapped = made[k];
            made[k] = made[k - 1];
            made[k - 1] = swapped;
        }
    memcpy(map_values, made, sizeof made);
}

void bs_dynamic_map_make(void)
{
#pragma omp critical(bs_dynamic_map)
    if (map_values[0] == 0)
        make_map();
}

const float *bs_dynamic_map(void) { return map_values; }

/* As the CUDA code searches: seven halvings, then the middle to the next on the side left. */
int bs_dynamic_code(float x)
{
    const float *values = bs_dynamic_map();
    int pivot = BS_DYNAMIC_CODES / 2 - 1, upper = BS_DYNAMIC_CODES - 1, lower = 0;
    for (int step = BS_DYNAMIC_CODES / 4; step > 0; step /= 2) {
        bool up = x > values[pivot];
        *(up ? &lower : &upper) = pivot;
        pivot += up ? step : -step;
    }
    float value = values[pivot];
    if (x > value)
        return x > (values[upper] + value) * 0.5f ? upper : pivot;
    return x < (values[lower] + value) * 0.5f ? lower : pivot;
}
