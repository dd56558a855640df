/* A new kind of plug-in is its registry and one line here. */
#include "eval/config/registries.h"

#include "algorithms/algorithm.h"
#include "eval/checkpoint/layout.h"
#include "eval/checkpoint/reader.h"
#include "eval/export/writer.h"
#include "eval/linalg/numerics.h"
#include "eval/model/kernel.h"
#include "eval/quant/setting.h"
#include "eval/statistics/statistic.h"
#include "eval/tasks/evaluation.h"
#include "eval/tasks/metric.h"

const struct bs_registry *const bs_registries[] = {
    &bs_algorithm_registry,  &bs_format_registry, &bs_range_registry,    &bs_statistic_registry,
    &bs_evaluation_registry, &bs_metric_registry, &bs_reader_registry,   &bs_layout_registry,
    &bs_writer_registry,     &bs_kernel_registry, &bs_numerics_registry, NULL,
};
