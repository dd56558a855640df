/* Ranges that are one number, the most |x| that is kept, found in a histogram of |x|. For their
 * files alone. */
#ifndef BS_EVAL_QUANT_RANGES_SIZES_H
#define BS_EVAL_QUANT_RANGES_SIZES_H

#include "eval/quant/histogram.h"

/* What such a range makes of a histogram with values other than 0. */
typedef float bs_sizes_most(const void *options, const struct bs_histogram *histogram);

/* The hooks of bs_range by that. */
void bs_sizes_find(const void *options, bs_sizes_most *most, const struct bs_sample *sample,
                   float *low, float *high);
void bs_sizes_watch(void *state, int batches, const struct bs_sample *batch);
void bs_sizes_extremes(const void *options, bs_sizes_most *most, const void *state, float *low,
                       float *high);

/* Levels of a code of range_bits on one side of 0, as the calibrators count them. */
struct bs_sizes_bits {
    int range_bits;
};
#define BS_SIZES_BITS                                                                              \
    BS_OPT(struct bs_sizes_bits, range_bits, 8, 2, 8,                                              \
           "bits of the codes that are tried, whatever the format has")

/* The two hooks of a range whose rule is NAME_most. */
#define BS_RANGE_OF_SIZES(name)                                                                    \
    static void name##_find(const void *options, const struct bs_sample *sample,                   \
                            const struct bs_range_trial *trial, float *low, float *high)           \
    {                                                                                              \
        (void)trial;                                                                               \
        bs_sizes_find(options, name##_most, sample, low, high);                                    \
    }                                                                                              \
    static void name##_extremes(const void *options, const void *state, float *low, float *high)   \
    {                                                                                              \
        bs_sizes_extremes(options, name##_most, state, low, high);                                 \
    }

#endif
