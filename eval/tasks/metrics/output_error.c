/* How far the outputs of quantized linears are from the original's, on the unquantized model's own
 * inputs; over all linears the mean of theirs. */
#include <math.h>

#include "eval/linalg/vector.h"
#include "eval/tasks/metric.h"

enum { DIFFERENCE, WANTED, GOT, PRODUCT, NUM_SUMS }; /* (Y^ - Y)^2, Y^2, Y^^2, Y Y^ */
enum { ERROR, COSINE };

static const struct bs_value_type types[] = {
    [ERROR] = {.name = "relative_output_error",
               .direction = -1,
               .unit = "",
               .meaning = "|Y^ - Y| / |Y| (Frobenius)",
               .heading = "output\nerror %",
               .scale = 100},
    [COSINE] = {.name = "cosine", .direction = 1, .unit = "", .meaning = "<Y, Y^> / (|Y| |Y^|)"},
    {.name = NULL},
};

static void outputs(const float *y, const float *quantized, size_t count, double *sums)
{
    sums[DIFFERENCE] += bs_sum_squared_difference(quantized, y, count);
    sums[WANTED] += bs_sum_squares(y, count);
    sums[GOT] += bs_sum_squares(quantized, count);
    sums[PRODUCT] += bs_dot(y, quantized, count);
}

static void linear(const struct bs_metric_linear *l, const double *sums, double *values)
{
    /* No token reaches some experts. */
    if (!l->windows || sums[WANTED] == 0)
        return;
    values[ERROR] = sqrt(sums[DIFFERENCE] / sums[WANTED]);
    values[COSINE] = sums[GOT] == 0 ? 0 : sums[PRODUCT] / sqrt(sums[WANTED] * sums[GOT]);
}

static double mean(const struct bs_linear_total *total)
{
    return total->linears ? total->sum / total->linears : (double)NAN;
}

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)m, (void)sums;
    values[ERROR] = mean(&linear_values[ERROR]);
    values[COSINE] = mean(&linear_values[COSINE]);
}

const struct bs_metric bs_metric_output_error = {
    .plugin = {.name = "output_error",
               .summary = "error of the linears' outputs on the unquantized model's inputs",
               .reference = ""},
    .linear_values = types,
    .values = types,
    .num_sums = NUM_SUMS,
    .outputs = outputs,
    .linear = linear,
    .model = model,
};
