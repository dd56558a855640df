#include "eval/quant/ranges/sizes.h"

#include <math.h>

/* Neither end is farther from 0 than `most`; one that is nearer stays. */
static void limit(float most, float *low, float *high)
{
    *low = fmaxf(*low, -most);
    *high = fminf(*high, most);
}

void bs_sizes_find(const void *options, bs_sizes_most *most, const struct bs_sample *sample,
                   float *low, float *high)
{
    union {
        struct bs_histogram histogram;
        char room[sizeof(struct bs_histogram) + BS_HISTOGRAM_BINS * sizeof(double)];
    } one = {.histogram = {.bins = 0}};
    if (!sample->x) /* what extremes there are have been limited */
        return;
    bs_histogram_add(&one.histogram, 1, sample);
    bs_sizes_extremes(options, most, &one.histogram, low, high);
}

void bs_sizes_watch(void *state, int batches, const struct bs_sample *batch)
{
    bs_histogram_add(state, batches, batch);
}

void bs_sizes_extremes(const void *options, bs_sizes_most *most, const void *state, float *low,
                       float *high)
{
    const struct bs_histogram *histogram = state;
    if (histogram->bins)
        limit(most(options, histogram), low, high);
}
