/* The range with the least squared error of the centres of a histogram of |x|, each as often as the
 * bin counts, once they are rounded to symmetric codes: of every centre from the 129th on, the
 * first of the best (NVIDIA Model-Optimizer, calib/histogram.py, mse). */
#include <math.h>

#include "eval/quant/ranges/sizes.h"

enum { FIRST = 128, CHUNK = 32 };

static const struct bs_option histogram_mse_options[] = {BS_SIZES_BITS, {.name = NULL}};

static float centre(const struct bs_histogram *h, int bin)
{
    return (bs_histogram_edge(h, bin + 1) + bs_histogram_edge(h, bin)) / 2;
}

/* The bins that are not empty, which alone count. */
struct filled {
    int bins;
    float centres[BS_HISTOGRAM_MOST_BINS];
    double counts[BS_HISTOGRAM_MOST_BINS];
};

/* No more than the sum of errors is needed once it reaches `least`: it only grows. */
static double error_of(const struct filled *filled, float codes, float most, double least)
{
    const float nearest = 0x1.8p23f; /* of numbers far smaller, rintf in vectors of any processor */
    float scale = codes / most, errors[CHUNK];
    double sum = 0;
    for (int start = 0; start < filled->bins && sum < least; start += CHUNK) {
        int count = filled->bins - start < CHUNK ? filled->bins - start : CHUNK;
        const float *centres = filled->centres + start;
        for (int b = 0; b < count; b++) {
            float code = (centres[b] * scale + nearest) - nearest;
            float error = (code < codes ? code : codes) / scale - centres[b];
            errors[b] = error * error;
        }
        for (int b = 0; b < count; b++)
            sum += (double)errors[b] * filled->counts[start + b];
    }
    return sum;
}

static float histogram_mse_most(const void *options, const struct bs_histogram *h)
{
    static _Thread_local struct filled filled;
    const struct bs_sizes_bits *opt = options;
    float codes = (float)((1 << (opt->range_bits - 1)) - 1), best = bs_histogram_edge(h, h->bins);
    double least = (double)INFINITY;
    filled.bins = 0;
    for (int b = 0; b < h->bins; b++)
        if (h->counts[b] > 0) {
            filled.centres[filled.bins] = centre(h, b);
            filled.counts[filled.bins++] = h->counts[b];
        }
    for (int i = FIRST; i < h->bins; i++) {
        double error = error_of(&filled, codes, centre(h, i), least);
        if (error < least) {
            least = error;
            best = centre(h, i);
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
