/* The least and the largest value of a site, and of each of its channels: what static activation
 * scales span. */
#include "eval/statistics/statistic.h"

#include <math.h>

#include "eval/linalg/vector.h"

static const struct bs_extremes nothing = {INFINITY, -INFINITY};

static size_t extremes_bytes(const struct bs_observed *of)
{
    (void)of;
    return sizeof(struct bs_extremes);
}

static void extremes_begin(const struct bs_observed *of, void *result)
{
    (void)of;
    *(struct bs_extremes *)result = nothing;
}

static void extremes_observe(const struct bs_observed *of, int window, const float *x, int stride,
                             void *slot, void *result)
{
    (void)window, (void)result;
    struct bs_extremes *e = slot;
    *e = nothing;
    for (size_t t = 0; t < of->rows; t++) {
        float least, most;
        bs_min_max(x + t * (size_t)stride, (size_t)of->width, &least, &most);
        e->low = fminf(e->low, least);
        e->high = fmaxf(e->high, most);
    }
}

static void extremes_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                           int part, void *result)
{
    (void)of, (void)part;
    struct bs_extremes *to = result;
    for (int k = 0; k < count; k++) {
        const struct bs_extremes *e = shown[k].slot;
        to->low = fminf(to->low, e->low);
        to->high = fmaxf(to->high, e->high);
    }
}

/* --- of each channel --- */

static size_t channel_bytes(const struct bs_observed *of)
{
    return (size_t)of->width * sizeof(struct bs_extremes);
}

static void channel_begin(const struct bs_observed *of, void *result)
{
    struct bs_extremes *e = result;
    for (int j = 0; j < of->width; j++)
        e[j] = nothing;
}

static void channel_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)window, (void)result;
    struct bs_extremes *e = slot;
    channel_begin(of, slot);
    for (size_t t = 0; t < of->rows; t++) {
        const float *row = x + t * (size_t)stride;
        for (int j = 0; j < of->width; j++) {
            e[j].low = row[j] < e[j].low ? row[j] : e[j].low;
            e[j].high = row[j] > e[j].high ? row[j] : e[j].high;
        }
    }
}

static void channel_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                          int part, void *result)
{
    for (int k = 0; k < count; k++) {
        const struct bs_extremes *e = shown[k].slot;
        struct bs_extremes *to = result;
        for (int j = 0; j < of->width; j++) {
            struct bs_shown one = {&e[j], shown[k].rows};
            extremes_merge(of, &one, 1, part, &to[j]);
        }
    }
}

const struct bs_statistic bs_stat_channel_extremes = {
    .plugin = {.name = "channel_extremes",
               .summary = "the least and the largest value of every channel",
               .reference = ""},
    .bytes = channel_bytes,
    .slot_bytes = channel_bytes,
    .begin = channel_begin,
    .observe = channel_observe,
    .merge = channel_merge,
};

const struct bs_statistic bs_stat_extremes = {
    .plugin = {.name = "extremes", .summary = "the least and the largest value", .reference = ""},
    .bytes = extremes_bytes,
    .slot_bytes = extremes_bytes,
    .begin = extremes_begin,
    .observe = extremes_observe,
    .merge = extremes_merge,
};
