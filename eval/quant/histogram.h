/* Histograms of |x| as NVIDIA's calibrators take them: the first batch fixes the width of a bin,
 * larger values of later ones add bins. */
#ifndef BS_EVAL_QUANT_HISTOGRAM_H
#define BS_EVAL_QUANT_HISTOGRAM_H

#include "eval/quant/format.h"

enum { BS_HISTOGRAM_BINS = 2048, BS_HISTOGRAM_MOST_BINS = 1 << 16 };

/* Zeros before the first batch. */
struct bs_histogram {
    int bins;        /* 0: nothing but zeros has been seen */
    bool grown;      /* since the first batch */
    float first_max; /* the largest value of the first batch */
    double counts[]; /* [bins] */
};

/* Bytes of one that sees so many batches. */
size_t bs_histogram_bytes(int batches);

/* Adds a batch: rows of x [count], `stride` apart. What lies beyond BS_HISTOGRAM_MOST_BINS counts
 * in the last of them. */
void bs_histogram_add(struct bs_histogram *histogram, int batches, const struct bs_sample *x);

/* Where bin `bin` begins; of `bins`, where the last one ends. */
float bs_histogram_edge(const struct bs_histogram *histogram, int bin);

#endif
