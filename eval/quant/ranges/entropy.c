/* The range whose codes tell least away, by the Kullback-Leibler divergence of a histogram of |x|
 * cut at each of its bins, and the same at as many levels as codes have (NVIDIA Model-Optimizer,
 * calib/histogram.py, as pytorch-quantization and TensorRT):
 * - the first bin counts as many as the second;
 * - what is cut off counts in the last bin that is kept, in the histogram alone;
 * - a level has the mean of its bins that are not empty, for each of them;
 * - of equal divergences the last one, the widest range, holds. */
#include <math.h>

#include "eval/linalg/elementary.h"
#include "eval/quant/ranges/sizes.h"

enum { FIRST = 128, MOST_LEVELS = 128 }; /* bins of the narrowest range; levels of 8 bits */

static const struct bs_option entropy_options[] = {BS_SIZES_BITS, {.name = NULL}};

/* counts [bins], level [bins]: what each bin has at the levels, of a range of `kept` bins. */
static void spread(const double *counts, int kept, int levels, double *level)
{
    double sum[MOST_LEVELS] = {0}, step = (double)kept / levels;
    int filled[MOST_LEVELS] = {0};
    for (int pass = 0; pass < 2; pass++)
        for (int b = 0, l = 0; b < kept; b++) {
            while (l + 1 < levels && (double)(l + 1) * step <= b)
                l++;
            if (pass) {
                level[b] = counts[b] > 0 ? sum[l] / filled[l] : 0;
            } else {
                sum[l] += counts[b];
                filled[l] += counts[b] > 0;
            }
        }
}

static double divergence(const double *counts, int kept, double beyond, const double *level)
{
    double own = beyond, others = 0, sum = 0;
    for (int b = 0; b < kept; b++) {
        own += counts[b];
        others += level[b];
    }
    for (int b = 0; b < kept; b++) {
        double p = (counts[b] + (b == kept - 1 ? beyond : 0)) / own, q = level[b] / others;
        if (p > 0)
            sum += q > 0 ? p * bs_log(p / q) : (double)INFINITY;
    }
    return sum;
}

static float entropy_most(const void *options, const struct bs_histogram *h)
{
    static _Thread_local double counts[BS_HISTOGRAM_MOST_BINS], level[BS_HISTOGRAM_MOST_BINS];
    const struct bs_sizes_bits *opt = options;
    double least = (double)INFINITY, beyond = 0;
    int best = h->bins, levels = 1 << (opt->range_bits - 1);
    for (int b = 0; b < h->bins; b++) {
        counts[b] = h->counts[b > 0 ? b : 1];
        beyond += counts[b];
    }
    for (int b = 0; b < FIRST; b++)
        beyond -= counts[b];
    for (int kept = FIRST; kept <= h->bins; kept++) {
        spread(counts, kept, levels, level);
        double found = divergence(counts, kept, beyond, level);
        if (found <= least) {
            least = found;
            best = kept;
        }
        beyond -= kept < h->bins ? counts[kept] : 0;
    }
    return bs_histogram_edge(h, best);
}

BS_RANGE_OF_SIZES(entropy)

const struct bs_range bs_range_entropy = {
    .plugin = {.name = "entropy",
               .summary = "the least divergence of |x| from what codes keep of it, by a histogram",
               .reference = "NVIDIA Model-Optimizer calib/histogram.py",
               .options_size = sizeof(struct bs_sizes_bits),
               .options = entropy_options},
    .needs_values = true,
    .find = entropy_find,
    .watch_bytes = bs_histogram_bytes,
    .watch = bs_sizes_watch,
    .extremes = entropy_extremes,
};
