/* Metrics: what is measured of quantized linears and of the whole model, without a text to predict.
 * A metric adds up sums while a walk passes, over rows of weights and over the outputs of linears,
 * and makes values of them for every linear and for the trial. */
#ifndef BS_EVAL_TASKS_METRIC_H
#define BS_EVAL_TASKS_METRIC_H

#include "eval/base/plugin.h"
#include "eval/model/model.h"
#include "eval/tasks/value.h"

enum { BS_MOST_METRIC_SUMS = 48 }; /* of all metrics */

/* A linear as a metric sees it once all of it was added. */
struct bs_metric_linear {
    const struct bs_linear *original, *quantized;
    int windows; /* whose outputs were added; 0 = none were taken */
};

/* A trial's model. */
struct bs_metric_model {
    int linears;           /* quantized ones that were measured; 0 of the unquantized model */
    double weights;        /* of these */
    double matrix_bits;    /* that the linears take in a file, and embedding and head where they are
                           quantized */
    double matrix_weights; /* of these */
    double other_weights;  /* norms, embedding, head: 16 bits each */
    double added_weights;  /* of all these, that the unquantized model does not have */
    double cache_bits;     /* that keys and values of a window take in a quantized cache */
    double cached_values;  /* of these; 0 where the cache is not quantized */
};

/* A value over all linears that have it: one that no token reached has no output error. */
struct bs_linear_total {
    double sum;
    int linears;
};

/* A metric: what it measures of each linear, and of the whole model. */
struct bs_metric {
    struct bs_plugin plugin;
    const struct bs_value_type *linear_values; /* columns of the table of linears; NULL = none */
    const struct bs_value_type *values;        /* of the trial; NULL = none */
    int num_sums;                              /* doubles that `row` and `outputs` add to */

    /* All optional. A row of W, [in], and of W^ in the basis of the checkpoint. */
    void (*row)(const float *w, const double *quantized, int in, double *sums);

    /* Outputs of the linear over one window, [count], on the unquantized model's inputs. */
    void (*outputs)(const float *y, const float *quantized, size_t count, double *sums);

    /* The linear's values from its sums; those not set stay NaN, which is "does not exist". */
    void (*linear)(const struct bs_metric_linear *linear, const double *sums, double *values);

    /* The trial's values, from the sums over all linears and the totals of their values. */
    void (*model)(const struct bs_metric_model *model, const double *sums,
                  const struct bs_linear_total *linear_values, double *values);
};

/* All metrics. */
extern const struct bs_registry bs_metric_registry;

/* The i-th metric; NULL after the last. */
const struct bs_metric *bs_metric_at(int i);

/* Sums and values of a linear of all metrics, one metric's after another's; at most as many as
 * there is room for above. */
int bs_metrics_sums(void);
int bs_metrics_linear_values(void);

/* The type of a column of the table of linears. */
const struct bs_value_type *bs_metrics_linear_value_at(int column);

/* The hooks of all metrics at once: `sums` [bs_metrics_sums()], `values`
 * [bs_metrics_linear_values()]. */
void bs_metrics_row(const float *w, const double *quantized, int in, double *sums);
void bs_metrics_outputs(const float *y, const float *quantized, size_t count, double *sums);
void bs_metrics_linear(const struct bs_metric_linear *linear, const double *sums, double *values);

/* The trial's values, those that exist: *count of them to `out`, which has room for
 * bs_metrics_values(). */
int bs_metrics_values(void);
void bs_metrics_model(const struct bs_metric_model *model, const double *sums,
                      const struct bs_linear_total *linear_values, struct bs_measured *out,
                      int *count);

#endif
