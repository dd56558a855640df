/* The metrics: one line each. */
#include "eval/tasks/metric.h"

#ifndef BS_MORE_METRICS /* a test's plug-ins: tests/plugins */
#define BS_MORE_METRICS(X)
#endif

#define METRICS(X)                                                                                 \
    X(weight_error)                                                                                \
    X(output_error)                                                                                \
    X(size)                                                                                        \
    X(cache)                                                                                       \
    X(solver)                                                                                      \
    BS_MORE_METRICS(X)

#define DECLARE(name) extern const struct bs_metric bs_metric_##name;
#define ENTRY(name) &bs_metric_##name.plugin,

METRICS(DECLARE)

static const struct bs_plugin *const metrics[] = {METRICS(ENTRY) NULL};

static void print_facts(const struct bs_plugin *plugin, FILE *out)
{
    const struct bs_metric *metric = (const void *)plugin;
    bs_value_types_print(metric->values, "value", out);
    bs_value_types_print(metric->linear_values, "of every linear:", out);
}

const struct bs_registry bs_metric_registry = {
    .kind = "metric",
    .summary = "what is measured of every quantized linear and of the whole model",
    .rows = metrics,
    .print_facts = print_facts};
