/* The weights that quantization makes zero, and how far outputs are shifted on average. */
#include "eval/tasks/metric.h"

enum { ZEROS, SHIFT, OUTPUTS, NUM_SUMS };
enum { SHARE, OUTPUT_SHIFT };

static const struct bs_value_type types[] = {
    [SHARE] = {.name = "zeros",
               .unit = "",
               .meaning = "share of weights that are zero",
               .heading = "zeros\n%",
               .scale = 100},
    [OUTPUT_SHIFT] = {.name = "output_shift",
                      .direction = -1,
                      .unit = "",
                      .meaning = "mean of Y^ - Y",
                      .signed_ = true},
    {.name = NULL},
};

static void row(const float *w, const double *quantized, int in, double *sums)
{
    (void)w;
    for (int j = 0; j < in; j++)
        sums[ZEROS] += quantized[j] == 0;
}

static void outputs(const float *y, const float *quantized, size_t count, double *sums)
{
    for (size_t i = 0; i < count; i++)
        sums[SHIFT] += (double)quantized[i] - (double)y[i];
    sums[OUTPUTS] += (double)count;
}

static void linear(const struct bs_metric_linear *l, const double *sums, double *values)
{
    values[SHARE] = sums[ZEROS] / ((double)l->original->out_features * l->original->in_features);
    if (sums[OUTPUTS] > 0) /* an expert may see no token */
        values[OUTPUT_SHIFT] = sums[SHIFT] / sums[OUTPUTS];
}

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)linear_values;
    if (m->linears)
        values[SHARE] = sums[ZEROS] / m->weights;
    if (sums[OUTPUTS] > 0)
        values[OUTPUT_SHIFT] = sums[SHIFT] / sums[OUTPUTS];
}

extern const struct bs_metric bs_metric_zeros;
const struct bs_metric bs_metric_zeros = {
    .plugin = {.name = "zeros",
               .summary = "weights that become zero, and outputs that are shifted",
               .reference = ""},
    .linear_values = types,
    .values = types,
    .num_sums = NUM_SUMS,
    .row = row,
    .outputs = outputs,
    .linear = linear,
    .model = model,
};
