/* The range with the least squared error of the centres of a histogram of |x|, each as often as the
 * bin counts, once they are rounded to symmetric codes: of every centre from the 129th on, the
 * first of the best (NVIDIA Model-Optimizer, calib/histogram.py, mse). */
#include <math.h>

#include "eval/quant/ranges/sizes.h"

enum { FIRST = 128 };

static const struct bs_option histogram_mse_options[] = {BS_SIZES_BITS, {.name = NULL}};

static float centre(const struct bs_histogram *h, int bin)
{
    return (bs_histogram_edge(h, bin + 1) + bs_histogram_edge(h, bin)) / 2;
}

static float histogram_mse_most(const void *options, const struct bs_histogram *h)
{
    static _Thread_local float centres[BS_HISTOGRAM_MOST_BINS];
    const struct bs_sizes_bits *opt = options;
    float codes = (float)((1 << (opt->range_bits - 1)) - 1), best = bs_histogram_edge(h, h->bins);
    double least = (double)INFINITY;
    for (int b = 0; b < h->bins; b++)
        centres[b] = centre(h, b);
    for (int i = FIRST; i < h->bins; i++) {
        float scale = codes / centres[i];
        double sum = 0;
        for (int b = 0; b < h->bins; b++) {
            float error = fminf(rintf(centres[b] * scale), codes) / scale - centres[b];
            sum += (double)(error * error) * h->counts[b];
        }
        if (sum < least) {
            least = sum;
            best = centres[i];
        }
    }
    return best;
}

BS_RANGE_OF_SIZES(histogram_mse)

const struct bs_range bs_range_histogram_mse = {
    .plugin = {.name = "histogram_mse",
               .summary = "the least squared error of |x| in symmetric codes, by a histogram",
               .reference = "NVIDIA Model-Optimizer calib/histogram.py",
               .options_size = sizeof(struct bs_sizes_bits),
               .options = histogram_mse_options},
    .needs_values = true,
    .find = histogram_mse_find,
    .watch_bytes = bs_histogram_bytes,
    .watch = bs_sizes_watch,
    .extremes = histogram_mse_extremes,
};
