#include "eval/quant/histogram.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/vector.h"

static int room_of(int batches) { return batches > 1 ? BS_HISTOGRAM_MOST_BINS : BS_HISTOGRAM_BINS; }

size_t bs_histogram_bytes(int batches)
{
    return sizeof(struct bs_histogram) + (size_t)room_of(batches) * sizeof(double);
}

static float first_edge(float most, int bin)
{
    return bs_part_end(0, most, BS_HISTOGRAM_BINS, bin);
}

static float width_of(const struct bs_histogram *h)
{
    return first_edge(h->first_max, 1) - first_edge(h->first_max, 0);
}

float bs_histogram_edge(const struct bs_histogram *h, int bin)
{
    return h->grown ? (float)((double)width_of(h) * bin) : first_edge(h->first_max, bin);
}

/* As torch.histc from 0 to `end`. */
static void count(struct bs_histogram *h, const struct bs_sample *x, float end)
{
    for (size_t r = 0; r < x->rows; r++)
        for (size_t j = 0; j < x->count; j++) {
            float size = fabsf(x->x[r * x->stride + j]);
            float at = size * (float)h->bins / end;
            int bin = at < (float)h->bins ? (int)at : h->bins - 1;
            h->counts[bin]++;
        }
}

void bs_histogram_add(struct bs_histogram *h, int batches, const struct bs_sample *x)
{
    float low, high;
    bs_sample_extremes(x, &low, &high);
    float most = fmaxf(fabsf(low), fabsf(high));
    if (!h->bins && !(most > 0))
        return;
    if (!h->bins) {
        h->bins = BS_HISTOGRAM_BINS;
        h->first_max = most;
        memset(h->counts, 0, (size_t)h->bins * sizeof *h->counts);
    }
    if (most > bs_histogram_edge(h, h->bins)) {
        float bins = fminf(ceilf(most / width_of(h)), (float)room_of(batches));
        memset(h->counts + h->bins, 0, (size_t)((int)bins - h->bins) * sizeof *h->counts);
        h->bins = (int)bins;
        h->grown = true;
    }
    count(h, x, h->grown ? bs_histogram_edge(h, h->bins) : h->first_max);
}
