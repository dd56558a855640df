/* How far each quantized linear is from the original, on the unquantized model's own inputs. */
#ifndef BS_EVAL_RUN_LAYER_ERROR_H
#define BS_EVAL_RUN_LAYER_ERROR_H

#include "eval/model/model.h"
#include "eval/statistics/calibrate.h"
#include "eval/store/results.h"
#include "eval/tasks/metric.h"

/* What one window is at one site. */
struct bs_probed {
    float *x; /* [rows][width]; NULL where there is room for none */
    size_t room;
    int rows;
};

/* What the metrics add up over a linear that is as the model has it: the same for all recipes. */
struct bs_unchanged {
    double *weights, *outputs; /* [sums of all metrics], the outputs' of each window; NULL = nobody
                                  has asked */
};

/* The inputs of all linears of one block over some windows of stream 0. */
struct bs_probe {
    int windows, values;
    struct bs_probed *inputs; /* [values of the program][windows] */
    int layer;                /* that `unchanged` is of, -1: none */
    struct bs_unchanged unchanged[BS_MAX_SLOTS];
};

/* Bytes of a probe that is full: each place has room for the widest of the kinds of layers, of
 * experts in proportion to the tokens they get. */
double bs_probe_bytes(const struct bs_architecture *architecture, int windows, int tokens);

/* Room for the inputs of so many windows; of experts' it is made as they are filled, of as many
 * rows as go to them. BS_ENOMEM. */
enum bs_status bs_probe_init(struct bs_probe *probe, const struct bs_architecture *architecture,
                             int windows, int tokens, struct bs_error *err);
void bs_probe_release(struct bs_probe *probe);

/* Runs the first windows of the stream through the original block and keeps the inputs of
 * linears. BS_ENOMEM. */
enum bs_status bs_probe_fill(struct bs_probe *probe, const struct bs_block *original,
                             const struct bs_rope *rope, const struct bs_stream *stream,
                             struct bs_scratch *scratch, struct bs_error *err);

/* What the metrics (tasks/metric.h) added up over a trial's linears. */
struct bs_layer_totals {
    double weights;
    double sums[BS_MOST_METRIC_SUMS];
    struct bs_linear_total values[BS_MOST_LINEAR_VALUES];
    int linears;
};

/* Fills rows [slots of the block's program], in their order, with every metric's values, and adds
 * to the totals. What a linear that is as in the original comes to is kept with the probe. With a
 * probe of no windows what metrics make of outputs is NaN. Weights and outputs are shown to them in
 * the checkpoint's basis: factors that steps moved between tensors, and turns of their channels,
 * are taken back first. */
enum bs_status bs_layer_errors(const struct bs_block *original, const struct bs_block *quantized,
                               struct bs_probe *probe, struct bs_scratch *scratch,
                               struct bs_layer_row *rows, struct bs_layer_totals *totals,
                               struct bs_error *err);

/* Floats of scratch that this takes in each thread for windows of `tokens`. */
size_t bs_layer_error_floats(const struct bs_architecture *architecture, int tokens);

#endif
