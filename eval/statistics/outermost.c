/* The outermost values of every channel, as many as its quantiles need: exact, of any number of
 * rows. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "eval/quant/values.h"
#include "eval/statistics/statistic.h"

enum { PARTS_OF_ONE = 1000000000, CHANNELS = 32 }; /* of a share; of a part of the work */

int bs_outermost_detail(double share) { return (int)(share * PARTS_OF_ONE + 0.5); }

/* How far from either end the quantile lies among so many values. */
static double rank_of(const struct bs_observed *of, double rows)
{
    return (double)of->detail / PARTS_OF_ONE / 2 * (rows - 1);
}

/* How many are kept at either end. */
static size_t most_of(const struct bs_observed *of)
{
    return (size_t)rank_of(of, (double)of->windows * of->tokens) + 2;
}

/* Of each channel the largest values, then the smallest with their signs turned. */
static size_t outermost_bytes(const struct bs_observed *of)
{
    return 2 * most_of(of) * (size_t)of->width * sizeof(float);
}

static size_t slot_bytes(const struct bs_observed *of)
{
    return (size_t)of->tokens * (size_t)of->width * sizeof(float);
}

/* Channel by channel. */
static void outermost_observe(const struct bs_observed *of, int window, const float *x, int stride,
                              void *slot, void *result)
{
    (void)window, (void)result;
    float *channels = slot;
    for (size_t t = 0; t < of->rows; t++)
        for (size_t j = 0; j < (size_t)of->width; j++)
            channels[j * of->rows + t] = x[t * (size_t)stride + j];
}

static int outermost_parts(const struct bs_observed *of)
{
    return (of->width + CHANNELS - 1) / CHANNELS;
}

/* Lets the value at i of a heap, whose least is first, sink to its place. */
static void sink(float *heap, size_t count, size_t i)
{
    float value = heap[i];
    for (size_t child = 2 * i + 1; child < count; child = 2 * i + 1) {
        child += child + 1 < count && heap[child + 1] < heap[child];
        if (value <= heap[child])
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
}

static void rise(float *heap, size_t i)
{
    float value = heap[i];
    for (; i && value < heap[(i - 1) / 2]; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

/* Keeps the largest `most` of what is offered; `seen` were before. */
static void offer(float *heap, size_t most, size_t seen, float value)
{
    if (seen < most) {
        heap[seen] = value;
        rise(heap, seen);
    } else if (value > heap[0]) {
        heap[0] = value;
        sink(heap, most, 0);
    }
}

static void outermost_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                            int part, void *result)
{
    size_t most = most_of(of), end = (size_t)(part + 1) * CHANNELS;
    end = end < (size_t)of->width ? end : (size_t)of->width;
    for (size_t j = (size_t)part * CHANNELS; j < end; j++) {
        float *high = (float *)result + 2 * j * most, *low = high + most;
        size_t seen = of->rows;
        for (int k = 0; k < count; k++) {
            const float *x = (const float *)shown[k].slot + j * shown[k].rows;
            for (size_t t = 0; t < shown[k].rows; t++, seen++) {
                offer(high, most, seen, x[t]);
                offer(low, most, seen, -x[t]);
            }
        }
    }
}

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The outermost first. */
static void outermost_finish(const struct bs_observed *of, int part, void *result)
{
    size_t most = most_of(of), count = of->rows < most ? of->rows : most;
    size_t end = (size_t)(part + 1) * CHANNELS;
    end = end < (size_t)of->width ? end : (size_t)of->width;
    for (size_t j = (size_t)part * CHANNELS; j < end; j++)
        for (size_t side = 0; side < 2; side++)
            qsort((float *)result + (2 * j + side) * most, count, sizeof(float), falling);
}

struct bs_extremes bs_outermost_extremes(const struct bs_observed *of, const void *result,
                                         int channel)
{
    size_t most = most_of(of);
    const float *high = (const float *)result + 2 * (size_t)channel * most, *low = high + most;
    double rank = rank_of(of, (double)of->rows), whole = floor(rank);
    size_t at = (size_t)whole, next = at + 1 < of->rows ? at + 1 : at;
    float part = (float)(rank - whole);
    return (struct bs_extremes){.low = bs_between(-low[at], -low[next], part),
                                .high = bs_between(high[next], high[at], 1 - part)};
}

const struct bs_statistic bs_stat_outermost = {
    .plugin = {.name = "outermost",
               .summary = "the largest and the smallest values of every channel",
               .reference = ""},
    .bytes = outermost_bytes,
    .slot_bytes = slot_bytes,
    .observe = outermost_observe,
    .parts = outermost_parts,
    .merge = outermost_merge,
    .finish = outermost_finish,
};
