#include "eval/quant/levels.h"

#include <assert.h>
#include <float.h>

/* Offsets that are tried: FIRST_OFFSET times the largest end, then each of a part of the last. */
enum { OFFSETS = 128, FIRST_OFFSET = 4 };
static const float next_offset = 0.7f;

/* Lays buckets of an offset over the ends; returns the steps that the fullest one leaves. */
static int lay_buckets(struct bs_level_index *index, int ends, float offset)
{
    index->offset = offset;
    index->lowest = bs_level_key(offset, index->ends[0]);
    index->highest = bs_level_key(offset, index->ends[ends - 1]);
    index->shift = 0;
    while (((uint32_t)index->highest - (uint32_t)index->lowest) >> index->shift >= BS_LEVEL_BUCKETS)
        index->shift++;
    int most = 0;
    for (int k = 0, first = 0; k < ends; k++) {
        if (bs_level_bucket(index, index->ends[k]) != bs_level_bucket(index, index->ends[first]))
            first = k;
        most = k - first + 1 > most ? k - first + 1 : most;
    }
    int steps = 1;
    while (most >> steps)
        steps++;
    return steps;
}

static float least_steps_offset(struct bs_level_index *index, int ends)
{
    float largest = FLT_MIN, best = FLT_MIN;
    for (int k = 0; k < ends; k++)
        if (isfinite(index->ends[k]))
            largest = fmaxf(largest, fabsf(index->ends[k]));
    float offset = FIRST_OFFSET * fminf(largest, FLT_MAX / FIRST_OFFSET);
    int least = INT32_MAX;
    for (int k = 0; k < OFFSETS && least > 1 && offset >= FLT_MIN; k++) {
        int steps = lay_buckets(index, ends, offset);
        if (steps < least) {
            least = steps;
            best = offset;
        }
        offset *= next_offset;
    }
    return best;
}

void bs_levels_index(const struct bs_levels *levels, struct bs_level_index *index)
{
    int ends = levels->count - 1;
    assert(levels->values && levels->count <= BS_MOST_INDEXED);
    for (int k = 0; k < 2 * BS_MOST_INDEXED; k++)
        index->ends[k] = k < ends ? bs_levels_end(levels, k) : INFINITY;
    index->steps = lay_buckets(index, ends, least_steps_offset(index, ends));
    int first = 0, half = 1 << (index->steps - 1);
    for (int b = 0; b < BS_LEVEL_BUCKETS; b++) {
        while (first < ends && bs_level_bucket(index, index->ends[first]) < (uint32_t)b)
            first++;
        index->buckets[b] =
            (struct bs_level_bucket){.end = index->ends[first + half - 1], .first = first};
    }
}

static int code_by_index(const struct bs_level_index *index, float u)
{
    const struct bs_level_bucket *bucket = &index->buckets[bs_level_bucket(index, u)];
    int half = 1 << (index->steps - 1);
    int code = bucket->first + half * (u > bucket->end);
    for (half /= 2; half; half /= 2)
        code += half * (u > index->ends[code + half - 1]);
    return code;
}

int bs_levels_code(const struct bs_levels *levels, float u)
{
    if (levels->index)
        return code_by_index(levels->index, u);
    int low = 0, high = levels->count - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        float bound = bs_levels_bound(levels, middle);
        if (bs_levels_goes_up(levels, middle, bound) ? u >= bound : u > bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
