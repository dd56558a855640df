/* Some rows of x, at even strides from the first. */
#include "eval/statistics/statistic.h"

#include <string.h>

static int stride_of(const struct bs_observed *of)
{
    int tokens = of->windows * of->tokens;
    return tokens / of->detail > 1 ? tokens / of->detail : 1;
}

int bs_sample_rows(const struct bs_observed *of)
{
    int stride = stride_of(of);
    return (of->windows * of->tokens + stride - 1) / stride;
}

static size_t samples_bytes(const struct bs_observed *of)
{
    return (size_t)bs_sample_rows(of) * (size_t)of->width * sizeof(float);
}

static void samples_observe(const struct bs_observed *of, int window, const float *x, int stride,
                            void *slot, void *result)
{
    (void)slot;
    float *samples = result;
    int every = stride_of(of), before = window * of->tokens;
    size_t width = (size_t)of->width;
    for (int t = (every - before % every) % every; t < of->tokens; t += every)
        memcpy(samples + (size_t)((before + t) / every) * width, x + (size_t)t * (size_t)stride,
               width * sizeof *x);
}

const struct bs_statistic bs_stat_samples = {
    .plugin = {.name = "samples",
               .summary = "some rows of x, at even strides from the first",
               .reference = "mit-han-lab/llm-awq auto_clip.py"},
    .bytes = samples_bytes,
    .observe = samples_observe,
};
