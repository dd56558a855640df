#include "eval/tasks/metric.h"

#include <assert.h>
#include <math.h>

const struct bs_metric *bs_metric_at(int i)
{
    return (const struct bs_metric *)(const void *)bs_metric_registry.rows[i];
}

int bs_metrics_sums(void)
{
    int count = 0;
    for (int m = 0; bs_metric_at(m); m++)
        count += bs_metric_at(m)->num_sums;
    assert(count <= BS_MOST_METRIC_SUMS);
    return count;
}

int bs_metrics_linear_values(void)
{
    int count = 0;
    for (int m = 0; bs_metric_at(m); m++)
        count += bs_value_types_count(bs_metric_at(m)->linear_values);
    assert(count <= BS_MOST_LINEAR_VALUES);
    return count;
}

int bs_metrics_values(void)
{
    int count = 0;
    for (int m = 0; bs_metric_at(m); m++)
        count += bs_value_types_count(bs_metric_at(m)->values);
    return count;
}

const struct bs_value_type *bs_metrics_linear_value_at(int column)
{
    for (int m = 0; bs_metric_at(m); m++) {
        int count = bs_value_types_count(bs_metric_at(m)->linear_values);
        if (column < count)
            return &bs_metric_at(m)->linear_values[column];
        column -= count;
    }
    return NULL;
}

void bs_metrics_row(const float *w, const double *quantized, int in, double *sums)
{
    for (int m = 0; bs_metric_at(m); m++) {
        if (bs_metric_at(m)->row)
            bs_metric_at(m)->row(w, quantized, in, sums);
        sums += bs_metric_at(m)->num_sums;
    }
}

void bs_metrics_outputs(const float *y, const float *quantized, size_t count, double *sums)
{
    for (int m = 0; bs_metric_at(m); m++) {
        if (bs_metric_at(m)->outputs)
            bs_metric_at(m)->outputs(y, quantized, count, sums);
        sums += bs_metric_at(m)->num_sums;
    }
}

void bs_metrics_linear(const struct bs_metric_linear *linear, const double *sums, double *values)
{
    for (int m = 0; bs_metric_at(m); m++) {
        const struct bs_metric *metric = bs_metric_at(m);
        int count = bs_value_types_count(metric->linear_values);
        for (int v = 0; v < count; v++)
            values[v] = (double)NAN;
        if (metric->linear)
            metric->linear(linear, sums, values);
        sums += metric->num_sums;
        values += count;
    }
}

void bs_metrics_model(const struct bs_metric_model *model, const double *sums,
                      const struct bs_linear_total *linear_values, struct bs_measured *out,
                      int *count)
{
    *count = 0;
    for (int m = 0; bs_metric_at(m); m++) {
        const struct bs_metric *metric = bs_metric_at(m);
        double values[BS_MOST_LINEAR_VALUES];
        int num_values = bs_value_types_count(metric->values);
        assert(num_values <= BS_MOST_LINEAR_VALUES);
        for (int v = 0; v < num_values; v++)
            values[v] = (double)NAN;
        if (metric->model)
            metric->model(model, sums, linear_values, values);
        for (int v = 0; v < num_values; v++)
            if (!isnan(values[v]))
                out[(*count)++] =
                    bs_measured_plainly(&metric->values[v], values[v], model->linears);
        sums += metric->num_sums;
        linear_values += bs_value_types_count(metric->linear_values);
    }
}
