/* Some rows of x, at even strides from the first. */
#include "eval/statistics/statistic.h"

#include <string.h>

/* Where rows vary, of as many as were shown. */
static size_t varied_stride(const struct bs_observed *of)
{
    size_t stride = 1;
    while ((of->rows + stride - 1) / stride > 2 * (size_t)of->detail)
        stride *= 2;
    return stride;
}

static int stride_of(const struct bs_observed *of)
{
    if (of->varies)
        return (int)varied_stride(of);
    int tokens = of->windows * of->tokens;
    return tokens / of->detail > 1 ? tokens / of->detail : 1;
}

int bs_sample_rows(const struct bs_observed *of)
{
    int stride = stride_of(of), rows = of->varies ? (int)of->rows : of->windows * of->tokens;
    return (rows + stride - 1) / stride;
}

static size_t samples_bytes(const struct bs_observed *of)
{
    size_t rows = of->varies ? 2 * (size_t)of->detail : (size_t)bs_sample_rows(of);
    return rows * (size_t)of->width * sizeof(float);
}

/* All rows, where their place among all of them is not known yet. */
static size_t samples_slot_bytes(const struct bs_observed *of)
{
    return of->varies ? (size_t)of->tokens * (size_t)of->width * sizeof(float) : 0;
}

static void samples_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    float *samples = result, *kept = slot;
    size_t width = (size_t)of->width;
    for (size_t t = 0; of->varies && t < of->rows; t++)
        memcpy(kept + t * width, x + t * (size_t)stride, width * sizeof *x);
    if (of->varies)
        return;
    int every = stride_of(of), before = window * of->tokens;
    for (int t = (every - before % every) % every; t < of->tokens; t += every)
        memcpy(samples + (size_t)((before + t) / every) * width, x + t * (size_t)stride,
               width * sizeof *x);
}

/* Appends a row where it is one of those at even strides; where there is no more room, every other
 * row goes. */
static void append(struct bs_observed *of, const float *row, float *samples)
{
    size_t width = (size_t)of->width, before = varied_stride(of), place = of->rows++;
    size_t stride = varied_stride(of);
    for (size_t i = 1; stride > before && i < (size_t)of->detail; i++)
        memcpy(samples + i * width, samples + 2 * i * width, width * sizeof *samples);
    if (place % stride == 0)
        memcpy(samples + place / stride * width, row, width * sizeof *samples);
}

static void samples_merge(const struct bs_observed *of, const struct bs_shown *shown, int count,
                          int part, void *result)
{
    (void)part;
    struct bs_observed at = *of;
    for (int k = 0; k < count && of->varies; k++)
        for (size_t t = 0; t < shown[k].rows; t++)
            append(&at, (const float *)shown[k].slot + t * (size_t)of->width, result);
}

const struct bs_statistic bs_stat_samples = {
    .plugin = {.name = "samples",
               .summary = "some rows of x, at even strides from the first",
               .reference = "mit-han-lab/llm-awq auto_clip.py"},
    .bytes = samples_bytes,
    .slot_bytes = samples_slot_bytes,
    .observe = samples_observe,
    .merge = samples_merge,
};
