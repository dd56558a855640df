/* What a quantized cache of keys and values takes. */
#include "eval/tasks/metric.h"

#include <math.h>

enum { BITS, BYTES };

static const struct bs_value_type types[] = {
    [BITS] = {.name = "kv_bits",
              .direction = -1,
              .unit = "bits",
              .meaning =
                  "of a value of a quantized cache that holds one window, scales and what stays "
                  "in 16 bits counted",
              .heading = "bits/\nKV value",
              .decimals = 2},
    [BYTES] = {.name = "kv_bytes",
               .direction = -1,
               .unit = "bytes",
               .meaning = "of all layers' keys and values of one window"},
    {.name = NULL},
};

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)sums, (void)linear_values;
    if (m->cached_values <= 0)
        return;
    values[BITS] = m->cache_bits / m->cached_values;
    values[BYTES] = m->cache_bits / 8;
}

const struct bs_metric bs_metric_cache = {
    .plugin = {.name = "cache",
               .summary = "bits a cached value, and bytes of the cache of a window",
               .reference = ""},
    .values = types,
    .model = model,
};
