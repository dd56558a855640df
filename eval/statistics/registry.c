/* Adding a statistic is its file and one line here. */
#include "eval/statistics/statistic.h"

#ifndef BS_MORE_STATISTICS /* of a test: tests/plugins */
#define BS_MORE_STATISTICS(X)
#endif

#define STATISTICS(X)                                                                              \
    X(hessian)                                                                                     \
    X(absmax)                                                                                      \
    X(absmean)                                                                                     \
    X(meansquare)                                                                                  \
    X(samples)                                                                                     \
    X(inputs)                                                                                      \
    X(watched)                                                                                     \
    X(watched_heads)                                                                               \
    X(extremes)                                                                                    \
    X(channel_extremes)                                                                            \
    X(outermost)                                                                                   \
    X(deviation)                                                                                   \
    BS_MORE_STATISTICS(X)

#define DECLARE(s) extern const struct bs_statistic bs_stat_##s;
#define ENTRY(s) &bs_stat_##s.plugin,

STATISTICS(DECLARE)

static const struct bs_plugin *const rows[] = {STATISTICS(ENTRY) NULL};

const struct bs_registry bs_statistic_registry = {
    .kind = "statistic",
    .summary = "what calibration collects at a site, for the algorithms that ask for it",
    .rows = rows,
};
