/* How far quantized weights are from the checkpoint's, in its own basis. */
#include <math.h>

#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"
#include "eval/tasks/metric.h"

enum { SQUARED_ERROR, SQUARED_WEIGHT, NUM_SUMS };
enum { MSE, SQNR };

static const struct bs_value_type types[] = {
    [MSE] = {.name = "weight_mse", .direction = -1, .unit = "", .meaning = "mean of (W - W^)^2"},
    [SQNR] = {.name = "sqnr_db",
              .direction = 1,
              .unit = "dB",
              .meaning = "10 log10(sum W^2 / sum (W - W^)^2)",
              .heading = "SQNR\ndB"},
    {.name = NULL},
};

static void row(const float *w, const double *quantized, int in, double *sums)
{
    enum { LANES = 8 }; /* sums that need not wait for each other */
    double lanes[LANES] = {0}, sum = 0;
    for (int j = 0; j < in; j++) {
        double d = quantized[j] - (double)w[j];
        lanes[j % LANES] += d * d;
    }
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    sums[SQUARED_ERROR] += sum;
    sums[SQUARED_WEIGHT] += bs_sum_squares(w, (size_t)in);
}

static double decibels(double ratio) { return 10 / bs_log(10) * bs_log(ratio); }

static void values_of(const double *sums, double weights, double *values)
{
    values[MSE] = sums[SQUARED_ERROR] / weights;
    values[SQNR] = sums[SQUARED_ERROR] > 0 ? decibels(sums[SQUARED_WEIGHT] / sums[SQUARED_ERROR])
                                           : (double)INFINITY;
}

static void linear(const struct bs_metric_linear *l, const double *sums, double *values)
{
    values_of(sums, (double)l->original->out_features * l->original->in_features, values);
}

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)linear_values;
    if (m->linears)
        values_of(sums, m->weights, values);
}

const struct bs_metric bs_metric_weight_error = {
    .plugin = {.name = "weight_error",
               .summary = "error of the weights, in the checkpoint's own basis",
               .reference = ""},
    .linear_values = types,
    .values = types,
    .num_sums = NUM_SUMS,
    .row = row,
    .linear = linear,
    .model = model,
};
