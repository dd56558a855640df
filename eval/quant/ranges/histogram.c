/* The range that a search in a histogram of the values ends at (PyTorch,
 * ao/quantization/observer.py, HistogramObserver): from both ends inwards by steps of 1e-5 of the
 * values, at each the end that leaves more bins out, until the squared error of codes over the
 * range grows; values are spread evenly over their bin. A batch that is wider than those before it
 * widens the histogram, whose bins become 16 parts each, moved to where their middles are. Sums
 * over all bins are float64 here; there their order depends on the processor. */
#include <math.h>
#include <string.h>

#include "eval/linalg/vector.h"
#include "eval/quant/ranges/sizes.h"

enum { BINS = 2048, PARTS = 16 };

static const struct bs_option histogram_options[] = {BS_SIZES_BITS, {.name = NULL}};

/* Zeros before the first batch. */
struct observed {
    bool begun;
    float low, high;
    float counts[BINS]; /* where low = high, all in the first one */
};

/* As torch.histc. */
static int bin_of(float low, float high, float x)
{
    float at = (x - low) * BINS / (high - low);
    return at < BINS ? (int)at : BINS - 1;
}

static void widen(struct observed *seen, float low, float high)
{
    float moved[BINS] = {0}, own = seen->high - seen->low;
    if (!(own > 0)) {
        moved[bin_of(low, high, seen->low)] = seen->counts[0];
    } else {
        float half = 0.5f * (own / (BINS * PARTS));
        for (int i = 0, bin = 0; i < BINS * PARTS; i++) {
            float middle = bs_part_end(seen->low, seen->high, BINS * PARTS, i) + half;
            while (bin + 1 < BINS && bs_part_end(low, high, BINS, bin + 1) <= middle)
                bin++;
            moved[bin] += seen->counts[i / PARTS] / PARTS;
        }
    }
    memcpy(seen->counts, moved, sizeof moved);
}

static void observe(struct observed *seen, const struct bs_sample *batch)
{
    unsigned counts[BINS] = {0};
    float low, high;
    bs_sample_extremes(batch, &low, &high);
    if (seen->begun) {
        low = fminf(low, seen->low);
        high = fmaxf(high, seen->high);
        if (low < seen->low || high > seen->high)
            widen(seen, low, high);
    }
    seen->begun = true;
    seen->low = low;
    seen->high = high;
    for (size_t r = 0; r < batch->rows; r++)
        for (size_t j = 0; j < batch->count; j++)
            counts[low < high ? bin_of(low, high, batch->x[r * batch->stride + j]) : 0]++;
    for (int b = 0; b < BINS; b++)
        seen->counts[b] += (float)counts[b];
}

/* a / b rounded down, as torch divides. */
static float floor_quotient(float a, float b)
{
    float rest = fmodf(a, b), quotient = (a - rest) / b;
    if (rest < 0)
        quotient--;
    float whole = floorf(quotient);
    return quotient - whole > 0.5f ? whole + 1 : whole;
}

/* The integral of x^2. */
static float cubes(float from, float to) { return (to * to * to - from * from * from) / 3; }

/* The squared error of codes over bins first to last. */
static float error_of(const struct observed *seen, int first, int last, int codes)
{
    double bin = ((double)seen->high - (double)seen->low) / BINS;
    double code = bin * (last - first + 1) / codes, sum = 0;
    float width = (float)bin, step = (float)code, half = (float)(code / 2);
    if (code == 0)
        return 0;
    for (int b = 0; b < BINS; b++) {
        if (!(seen->counts[b] > 0))
            continue;
        float density = seen->counts[b] / width;
        float begin = (float)(b - first) * width, end = begin + width;
        float low = fminf(fmaxf(floor_quotient(begin, step), 0), (float)(codes - 1));
        float high = fminf(fmaxf(floor_quotient(end, step), 0), (float)(codes - 1));
        float error = density * cubes(begin - (low + 0.5f) * step, half);
        error += (high - low - 1) * (density * cubes(-half, half));
        error += density * cubes(-half, end - (high * step + half));
        sum += (double)error;
    }
    return (float)sum;
}

/* The bins that are kept. */
static void search(const struct observed *seen, int codes, int *first, int *last)
{
    const double share = 1e-5;
    float below[BINS], least = INFINITY;
    double alpha = 0, beta = 1, sum = 0;
    for (int b = 0; b < BINS; b++)
        below[b] = (float)(sum += (double)seen->counts[b]);
    double all = (double)(float)sum;
    *first = 0;
    *last = BINS - 1;
    while (alpha < beta) {
        int left = *first, right = *last;
        while (left < *last && below[left] < (float)((alpha + share) * all))
            left++;
        while (right > *first && below[right] > (float)((beta - share) * all))
            right--;
        bool from_left = left - *first > *last - right;
        *(from_left ? &alpha : &beta) += from_left ? share : -share;
        if (from_left)
            right = *last;
        else
            left = *first;
        if (left == *first && right == *last)
            continue;
        float error = error_of(seen, left, right, codes);
        if (error > least)
            return;
        least = error;
        *first = left;
        *last = right;
    }
}

static size_t histogram_bytes(int batches)
{
    (void)batches;
    return sizeof(struct observed);
}

static void histogram_watch(void *state, int batches, const struct bs_sample *batch)
{
    (void)batches;
    observe(state, batch);
}

static void histogram_extremes(const void *options, const void *state, float *low, float *high)
{
    const struct bs_sizes_bits *opt = options;
    const struct observed *seen = state;
    if (!seen->begun)
        return;
    int first, last;
    float width = (seen->high - seen->low) / BINS;
    search(seen, 1 << opt->range_bits, &first, &last);
    *low = seen->low + width * (float)first;
    *high = seen->low + width * (float)(last + 1);
}

static void histogram_find(const void *options, const struct bs_sample *sample,
                           const struct bs_range_trial *trial, float *low, float *high)
{
    (void)trial;
    struct observed seen = {.begun = false};
    if (!sample->x) /* what extremes there are have been searched for */
        return;
    observe(&seen, sample);
    histogram_extremes(options, &seen, low, high);
}

const struct bs_range bs_range_histogram = {
    .plugin = {.name = "histogram",
               .summary = "the least squared error over both ends, searched for in a histogram",
               .reference = "PyTorch ao/quantization/observer.py",
               .options_size = sizeof(struct bs_sizes_bits),
               .options = histogram_options},
    .needs_values = true,
    .find = histogram_find,
    .watch_bytes = histogram_bytes,
    .watch = histogram_watch,
    .extremes = histogram_extremes,
};
