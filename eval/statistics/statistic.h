/* The interface of a statistic, what calibration collects at a site of a block: a const struct in a
 * file of its own, and a line in registry.c. */
#ifndef BS_EVAL_STATISTICS_STATISTIC_H
#define BS_EVAL_STATISTICS_STATISTIC_H

#include "eval/base/plugin.h"

/* What is looked at: x [windows][tokens][width] at one site; of an expert's, where `varies`, only
 * the rows that were routed to it, at most `tokens` of a window. Of attention's probabilities rows
 * are pairs of a query and a key that it sees, channels heads, and `tokens` is how many pairs there
 * are at most. */
struct bs_observed {
    int width, windows, tokens;
    int heads; /* that share the width equally; 1 where there are none */
    bool varies;
    int detail; /* the wish's: what it means is the statistic's affair; 0 where it has none */
    /* Rows that were shown: to observe and compare those of this window, to merge those before its
     * slots, then all. */
    size_t rows;
};

/* How many windows' length of rows were shown: windows, where rows do not vary. */
static inline double bs_observed_windows(const struct bs_observed *of)
{
    return (double)of->rows / of->tokens;
}

/* The slot of a window, and the rows that were shown to it. */
struct bs_shown {
    const void *slot;
    size_t rows;
};

/* The result is one piece of memory; windows are observed side by side and merged in their order,
 * so that the same bits come out on any number of threads. Hooks are optional but for one of
 * observe and compare. */
struct bs_statistic {
    struct bs_plugin plugin;

    /* The result is [windows][tokens][width] floats, kept in a stream that is where the calibration
     * inputs are: in memory or in a file. Then `bytes` is NULL. */
    bool in_stream;

    /* Bytes of the result, which begins as zeros unless `begin` fills it; and of the slot that a
     * window at work has for itself, one a thread, contents undefined. NULL = none. */
    size_t (*bytes)(const struct bs_observed *of);
    size_t (*slot_bytes)(const struct bs_observed *of);
    void (*begin)(const struct bs_observed *of, void *result);

    /* Multiply-adds times two of all windows. NULL = next to the products of a pass, few. */
    double (*flops)(const struct bs_observed *of);

    /* Shows a window, of->rows > 0 rows of `width` floats, `stride` floats apart, once. Fills the
     * slot and, of the result, only what is this window's. Called from parallel threads. */
    void (*observe)(const struct bs_observed *of, int window, const float *x, int stride,
                    void *slot, void *result);

    /* The same, with what the window is at this site in the unquantized model, rows
     * `other_stride` floats apart. */
    void (*compare)(const struct bs_observed *of, int window, const float *x, int stride,
                    const float *unquantized, int other_stride, void *slot, void *result);

    /* Parts of the result that merge and finish work on, from parallel threads. NULL = 1. */
    int (*parts)(const struct bs_observed *of);

    /* Takes the slots [count] of windows that had rows, in their order, into one part. */
    void (*merge)(const struct bs_observed *of, const struct bs_shown *shown, int count, int part,
                  void *result);

    /* After the last window, where any had rows. */
    void (*finish)(const struct bs_observed *of, int part, void *result);
};

/* All statistics. */
extern const struct bs_registry bs_statistic_registry;

/* Results of the statistics that are known by name, [width] at one site. */
extern const struct bs_statistic bs_stat_hessian; /* float [width][width], 2/windows X^T X, both
                                                     triangles */
extern const struct bs_statistic bs_stat_absmax;  /* float [width], largest |x| of each channel */
extern const struct bs_statistic bs_stat_absmean; /* float [width], mean |x| of each channel */
extern const struct bs_statistic bs_stat_meansquare; /* float [width], mean x^2 of each */
extern const struct bs_statistic bs_stat_samples;  /* float [bs_sample_rows][width]; detail: rows */
extern const struct bs_statistic bs_stat_inputs;   /* a stream: all of x */
extern const struct bs_statistic bs_stat_extremes; /* struct bs_extremes */
extern const struct bs_statistic bs_stat_channel_extremes; /* struct bs_extremes [width] */
extern const struct bs_statistic bs_stat_outermost;     /* bs_outermost_extremes; detail: the share
                                                       bs_outermost_detail */
extern const struct bs_statistic bs_stat_deviation;     /* float [width][width], 2/windows
                                                       (X~ - X)^T X */
extern const struct bs_statistic bs_stat_watched;       /* of a range that watches; detail: which */
extern const struct bs_statistic bs_stat_watched_heads; /* the same of each head */

/* How many rows are sampled: every n-th of all rows, counted from the first, where n is the whole
 * part of tokens / detail, or 1 (llm-awq's auto_clip.py); where rows vary, the least power of two
 * that leaves at most 2 * detail. */
int bs_sample_rows(const struct bs_observed *of);

/* The detail of bs_stat_watched and bs_stat_watched_heads for a range that watches: its number
 * among these. And what such a range has seen of a head, in a result of the latter. */
int bs_watched_detail(const struct bs_plugin *range);
const void *bs_watched_head(const struct bs_observed *of, const void *result, int head);

/* The least and the largest value of a site. */
struct bs_extremes {
    float low, high;
};

/* The detail of bs_stat_outermost for a share of a channel's values, half of it at either end. */
int bs_outermost_detail(double share);

/* From its result after all of->rows: the quantiles of a channel at half the share and at one less
 * that, linear between two values as numpy.percentile has them. */
struct bs_extremes bs_outermost_extremes(const struct bs_observed *of, const void *result,
                                         int channel);

#endif
