/* Adding a range is its file and one line here. */
#include "eval/quant/format.h"

#ifndef BS_MORE_RANGES /* a test's plug-ins */
#define BS_MORE_RANGES(X)
#endif

#define RANGES(X)                                                                                  \
    X(minmax)                                                                                      \
    X(mse)                                                                                         \
    X(opt_rtn)                                                                                     \
    X(percentile)                                                                                  \
    X(entropy)                                                                                     \
    X(histogram_mse)                                                                               \
    X(moving_average)                                                                              \
    X(histogram)                                                                                   \
    X(rms)                                                                                         \
    BS_MORE_RANGES(X)

#define DECLARE(r) extern const struct bs_range bs_range_##r;
#define ENTRY(r) &bs_range_##r.plugin,

RANGES(DECLARE)

static const struct bs_plugin *const rows[] = {RANGES(ENTRY) NULL};

const struct bs_registry bs_range_registry = {
    .kind = "range",
    .summary = "the extremes that a scale is fitted to",
    .rows = rows,
};
