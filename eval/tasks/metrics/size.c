/* What a quantized model takes in a file. */
#include "eval/tasks/metric.h"

enum { BITS, BYTES, RATIO };

static const struct bs_value_type linear_types[] = {
    {.name = "bits_per_weight",
     .direction = -1,
     .unit = "bits",
     .meaning = "scales and zero points counted"},
    {.name = NULL},
};

static const struct bs_value_type types[] = {
    [BITS] = {.name = "bits_per_weight",
              .direction = -1,
              .unit = "bits",
              .meaning =
                  "of the linears, and of embedding and head where they are quantized, scales and "
                  "zero points counted",
              .heading = "bits/\nweight",
              .decimals = 2},
    [BYTES] = {.name = "bytes",
               .direction = -1,
               .unit = "bytes",
               .meaning = "of the whole model, what is not quantized at 16 bits"},
    [RATIO] = {.name = "compression_ratio",
               .direction = 1,
               .unit = "",
               .meaning = "bytes of the unquantized model at 16 bits over bytes",
               .heading = "times\nsmaller"},
    {.name = NULL},
};

static void linear(const struct bs_metric_linear *l, const double *sums, double *values)
{
    (void)sums;
    double count = (double)l->original->out_features * l->original->in_features;
    values[BITS] = bs_linear_bits(l->quantized) / count;
}

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)sums, (void)linear_values;
    double other = 2 * m->other_weights;
    values[BITS] = m->matrix_bits / m->matrix_weights;
    values[BYTES] = m->matrix_bits / 8 + other;
    values[RATIO] = (2 * (m->matrix_weights - m->added_weights) + other) / values[BYTES];
}

const struct bs_metric bs_metric_size = {
    .plugin = {.name = "size",
               .summary = "bits a weight, and bytes of the whole model",
               .reference = ""},
    .linear_values = linear_types,
    .values = types,
    .linear = linear,
    .model = model,
};
