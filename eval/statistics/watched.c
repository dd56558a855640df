/* What a range looks at, window after window in their order, a window one batch. */
#include <assert.h>
#include <stddef.h>
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

/* --- of each head --- */

static size_t head_bytes(const struct bs_observed *of)
{
    const size_t unit = _Alignof(max_align_t);
    return (watched_bytes(of) + unit - 1) / unit * unit;
}

static size_t heads_bytes(const struct bs_observed *of)
{
    return (size_t)of->heads * head_bytes(of);
}

/* The values of a head stand together, after those of the head before it. */
static void heads_observe(const struct bs_observed *of, int window, const float *x, int stride,
                          void *slot, void *result)
{
    struct bs_observed one = *of;
    one.width = of->width / of->heads;
    for (int h = 0; h < of->heads; h++)
        watched_observe(&one, window, x + h * one.width, stride,
                        (float *)slot + (size_t)h * of->rows * (size_t)one.width, result);
}

static int heads_parts(const struct bs_observed *of) { return of->heads; }

static void heads_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                        int head, void *result)
{
    unsigned char *own = (unsigned char *)result + (size_t)head * head_bytes(of);
    for (int k = 0; k < count; k++) {
        size_t values = shown[k].rows * (size_t)(of->width / of->heads);
        struct bs_sample batch =
            bs_sample_of((const float *)shown[k].slot + (size_t)head * values, values);
        range_of(of)->watch(own, of->windows, &batch);
    }
}

const void *bs_watched_head(const struct bs_observed *of, const void *result, int head)
{
    return (const unsigned char *)result + (size_t)head * head_bytes(of);
}

const struct bs_statistic bs_stat_watched_heads = {
    .plugin = {.name = "watched_heads",
               .summary = "the same of every head by itself",
               .reference = ""},
    .bytes = heads_bytes,
    .slot_bytes = watched_slot_bytes,
    .observe = heads_observe,
    .parts = heads_parts,
    .merge = heads_merge,
};

const struct bs_statistic bs_stat_watched = {
    .plugin = {.name = "watched",
               .summary = "what the range of a static activation looks at, window after window",
               .reference = ""},
    .bytes = watched_bytes,
    .slot_bytes = watched_slot_bytes,
    .observe = watched_observe,
    .merge = watched_merge,
};
