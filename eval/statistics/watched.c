/* What a range looks at, window after window in their order, a window one batch. */
#include <assert.h>
#include <string.h>

#include "eval/quant/format.h"
#include "eval/statistics/statistic.h"

static bool watches(int row)
{
    return ((const struct bs_range *)bs_range_registry.rows[row])->watch != NULL;
}

int bs_watched_detail(const struct bs_plugin *range)
{
    int detail = 0;
    for (int row = 0; bs_range_registry.rows[row] != range; row++)
        detail += watches(row);
    return detail;
}

/* The range of this detail; after the last one comes the first again. */
static const struct bs_range *range_of(const struct bs_observed *of)
{
    int count = 0, left, row = 0;
    for (int r = 0; bs_range_registry.rows[r]; r++)
        count += watches(r);
    assert(count > 0); /* a detail is a range that watches */
    for (left = of->detail % count; left > 0 || !watches(row); row++)
        left -= watches(row);
    return (const struct bs_range *)bs_range_registry.rows[row];
}

static size_t watched_bytes(const struct bs_observed *of)
{
    return range_of(of)->watch_bytes(of->windows);
}

static size_t watched_slot_bytes(const struct bs_observed *of)
{
    return (size_t)of->tokens * (size_t)of->width * sizeof(float);
}

static void watched_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)window, (void)result;
    float *copy = slot;
    size_t width = (size_t)of->width;
    for (size_t t = 0; t < of->rows; t++)
        memcpy(copy + t * width, x + t * (size_t)stride, width * sizeof *copy);
}

static void watched_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                          int part, void *result)
{
    (void)part;
    for (int k = 0; k < count; k++) {
        struct bs_sample batch = bs_sample_of(shown[k].slot, shown[k].rows * (size_t)of->width);
        range_of(of)->watch(result, of->windows, &batch);
    }
}

const struct bs_statistic bs_stat_watched = {
    .plugin = {.name = "watched",
               .summary = "what the range of a static activation looks at, window after window",
               .reference = ""},
    .bytes = watched_bytes,
    .slot_bytes = watched_slot_bytes,
    .observe = watched_observe,
    .merge = watched_merge,
};
