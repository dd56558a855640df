/* Leaves out the values that are largest in size: the range ends where the bin of a histogram of
 * |x| begins that has the percentile in it (NVIDIA Model-Optimizer, calib/histogram.py, as
 * pytorch-quantization and TensorRT). */
#include "eval/quant/ranges/sizes.h"

struct percentile {
    double range_percentile;
};

static const struct bs_option percentile_options[] = {
    BS_OPT(struct percentile, range_percentile, 99.99, 0, 100, "share of the values that is kept"),
    {.name = NULL},
};

static float percentile_most(const void *options, const struct bs_histogram *h)
{
    const struct percentile *opt = options;
    double total = 0, sum = 0;
    for (int b = 0; b < h->bins; b++)
        total += h->counts[b];
    for (int b = 0; b < h->bins; b++) {
        sum += h->counts[b] / total;
        if (sum >= opt->range_percentile / 100)
            return bs_histogram_edge(h, b);
    }
    return bs_histogram_edge(h, h->bins);
}

BS_RANGE_OF_SIZES(percentile)

const struct bs_range bs_range_percentile = {
    .plugin = {.name = "percentile",
               .summary = "the percentile of |x|, by a histogram",
               .reference = "NVIDIA Model-Optimizer calib/histogram.py",
               .options_size = sizeof(struct percentile),
               .options = percentile_options},
    .needs_values = true,
    .find = percentile_find,
    .watch_bytes = bs_histogram_bytes,
    .watch = bs_sizes_watch,
    .extremes = percentile_extremes,
};
