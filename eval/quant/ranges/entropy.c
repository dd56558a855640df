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

enum { FIRST = 128, MOST_LOGS = 4096 }; /* bins of the narrowest range; logarithms that are kept */

static const struct bs_option entropy_options[] = {BS_SIZES_BITS, {.name = NULL}};

/* What stands below each bin: how often its values are, how many bins are not empty, and the sum
 * of count * ln(count). Counts are whole numbers, so that sums of them are exact. */
struct below {
    double count, filled, entropy;
};

/* ln of a whole number: few values, many times. */
static double log_of(double count)
{
    static _Thread_local double known[MOST_LOGS];
    if (!(count < MOST_LOGS))
        return bs_log(count);
    double *log = &known[(int)count];
    if (*log == 0 && count > 1)
        *log = bs_log(count);
    return *log;
}

static double times_log(double count) { return count > 0 ? count * log_of(count) : 0; }

static void sum_up(const struct bs_histogram *h, struct below *below)
{
    below[0] = (struct below){0, 0, 0};
    for (int b = 0; b < h->bins; b++) {
        double count = h->counts[b > 0 ? b : 1];
        below[b + 1] = (struct below){below[b].count + count, below[b].filled + (count > 0),
                                      below[b].entropy + times_log(count)};
    }
}

/* With c a bin's count, m its level's mean, N and M the sums of both: sum of c/N ln((c/N)/(m/M)) =
 * sum of c (ln c - ln m) / N - ln N + ln M. All bins of a level have one m. */
static double divergence(const struct below *below, int bins, int kept, int levels)
{
    double all = below[bins].count, inside = below[kept].count, beyond = all - inside;
    double last = inside - below[kept - 1].count, mean = 0, sum = below[kept].entropy;
    if (beyond > 0 && !(last > 0))
        return (double)INFINITY;
    double step = (double)kept / levels;
    for (int l = 0, from = 0; l < levels; l++) {
        int to = l + 1 < levels ? (int)ceil((l + 1) * step) : kept;
        double count = below[to].count - below[from].count;
        double filled = below[to].filled - below[from].filled;
        from = to;
        if (!(count > 0))
            continue;
        mean = log_of(count) - log_of(filled);
        sum -= count * mean;
    }
    if (beyond > 0)
        sum += times_log(last + beyond) - times_log(last) - beyond * mean;
    return sum / all - log_of(all) + log_of(inside);
}

static float entropy_most(const void *options, const struct bs_histogram *h)
{
    static _Thread_local struct below below[BS_HISTOGRAM_MOST_BINS + 1];
    const struct bs_sizes_bits *opt = options;
    double least = (double)INFINITY;
    int best = h->bins, levels = 1 << (opt->range_bits - 1);
    sum_up(h, below);
    for (int kept = FIRST; kept <= h->bins; kept++) {
        double found = divergence(below, h->bins, kept, levels);
        if (found <= least) {
            least = found;
            best = kept;
        }
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
