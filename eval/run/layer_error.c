#include "eval/run/layer_error.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

enum bs_status bs_probe_init(struct bs_probe *probe, const struct bs_architecture *a, int windows,
                             int tokens, struct bs_error *err)
{
    *probe = (struct bs_probe){.windows = windows, .tokens = tokens};
    probe->lengths = bs_calloc((size_t)windows, sizeof *probe->lengths);
    if (!probe->lengths)
        return bs_fail_memory(err);
    for (int k = 0; k < a->program.num_inputs && windows; k++) {
        int s = a->program.inputs[k];
        size_t in = (size_t)a->program.values[s].width;
        probe->inputs[s] = bs_alloc((size_t)windows * (size_t)tokens, in * sizeof(float));
        if (!probe->inputs[s]) {
            bs_probe_release(probe);
            return bs_fail_memory(err);
        }
    }
    return BS_OK;
}

void bs_probe_release(struct bs_probe *probe)
{
    for (int s = 0; s < BS_MAX_VALUES; s++)
        bs_free(probe->inputs[s]);
    bs_free(probe->lengths);
    *probe = (struct bs_probe){.windows = 0};
}

struct filling {
    struct bs_probe *probe;
    const struct bs_block *block;
    const struct bs_rope *rope;
    const struct bs_stream *stream;
    struct bs_scratch *scratch;
};

struct filled_window {
    const struct filling *filling;
    int window;
};

static void keep_input(void *context, int site, const float *x, int tokens, int stride)
{
    const struct filled_window *at = context;
    const struct bs_probe *probe = at->filling->probe;
    size_t begin = (size_t)at->window * (size_t)probe->tokens * (size_t)stride;
    if (probe->inputs[site])
        memcpy(probe->inputs[site] + begin, x, (size_t)tokens * (size_t)stride * sizeof *x);
}

static enum bs_status fill_window(void *context, int window, int thread, struct bs_error *err)
{
    (void)err;
    const struct filling *filling = context;
    struct filled_window at = {filling, window};
    const struct bs_program *p = &filling->block->architecture->program;
    struct bs_observer observer = {
        .context = &at, .site = keep_input, .last = p->inputs[p->num_inputs - 1]};
    const struct bs_stream *stream = filling->stream;
    int tokens = bs_stream_length(stream, window);
    filling->probe->lengths[window] = tokens;
    bs_block_forward(filling->block, filling->rope, bs_stream_window(stream, window), NULL, tokens,
                     &observer, &filling->scratch[thread]);
    bs_stream_forget(stream, window);
    return BS_OK;
}

enum bs_status bs_probe_fill(struct bs_probe *probe, const struct bs_block *original,
                             const struct bs_rope *rope, const struct bs_stream *stream,
                             struct bs_scratch *scratch, struct bs_error *err)
{
    struct filling filling = {probe, original, rope, stream, scratch};
    return bs_parallel(probe->windows, fill_window, &filling, err);
}

struct measuring {
    const struct bs_block *original, *quantized;
    const struct bs_probe *probe;
    struct bs_scratch *scratch; /* one a thread */
    int num_linears;
    size_t num_sums; /* of all metrics */
    double *sums;    /* [linear][num_sums], of its weights, then of all */
    double *parts;   /* [linear][windows][num_sums], of its outputs */
    double *basis;   /* [linear][widest], a row of W^ in the checkpoint's basis */
    size_t widest;   /* features of an input */
};

static enum bs_status measure_output(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct measuring *m = context;
    struct bs_scratch *scratch = &m->scratch[thread];
    int slot = index / m->probe->windows, window = index % m->probe->windows;
    int site = m->original->architecture->program.slots[slot].input;
    int tokens = m->probe->lengths[window];
    const struct bs_linear *wanted = &m->original->linears[slot];
    const struct bs_linear *got = &m->quantized->linears[slot];
    size_t in = (size_t)wanted->in_features, out = (size_t)wanted->out_features;
    size_t rows = (size_t)tokens;
    const float *x = m->probe->inputs[site] + (size_t)window * (size_t)m->probe->tokens * in;
    size_t mark = scratch->used;
    float *scaled = bs_scratch_take(scratch, rows * in);
    float *y = bs_scratch_take(scratch, rows * out);
    float *y_hat = bs_scratch_take(scratch, rows * out);
    for (size_t t = 0; t < rows; t++)
        for (size_t j = 0; j < in; j++)
            scaled[t * in + j] = x[t * in + j] / got->in_scale[j];
    bs_activations_apply(&m->quantized->sites[site].activations, m->quantized->sites[site].fixed,
                         scaled, tokens, got->in_features, got->in_features);
    bs_linear_forward(wanted, x, y, wanted->out_features, tokens);
    bs_linear_forward(got, scaled, y_hat, wanted->out_features, tokens);
    for (size_t t = 0; t < rows; t++)
        for (size_t i = 0; i < out; i++)
            y_hat[t * out + i] *= got->out_scale[i];
    bs_metrics_outputs(y, y_hat, rows * out, m->parts + (size_t)index * m->num_sums);
    scratch->used = mark;
    return BS_OK;
}

/* Shows the metrics the linear's weights, W^ in the checkpoint's basis, row by row. */
static enum bs_status measure_weights(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    const struct measuring *m = context;
    const struct bs_linear *original = &m->original->linears[index];
    const struct bs_linear *quantized = &m->quantized->linears[index];
    size_t in = (size_t)original->in_features;
    double *row = m->basis + (size_t)index * m->widest;
    for (size_t i = 0; i < (size_t)original->out_features; i++) {
        double out_scale = (double)quantized->out_scale[i];
        for (size_t j = 0; j < in; j++)
            row[j] = (double)quantized->weight[i * in + j] *
                     (out_scale / (double)quantized->in_scale[j]);
        bs_metrics_row(original->weight + i * in, row, original->in_features,
                       m->sums + (size_t)index * m->num_sums);
    }
    return BS_OK;
}

/* The linear's sums whole, its row, and both added to the totals. */
static void describe_linear(const struct measuring *m, int linear, struct bs_layer_row *row,
                            struct bs_layer_totals *totals)
{
    const struct bs_linear *w = &m->original->linears[linear];
    const struct bs_linear *q = &m->quantized->linears[linear];
    const struct bs_metric_linear shown = {w, q, m->probe->windows};
    double *sums = m->sums + (size_t)linear * m->num_sums;
    const double *parts = m->parts + (size_t)(linear * m->probe->windows) * m->num_sums;
    for (size_t i = 0; i < (size_t)m->probe->windows * m->num_sums; i++)
        sums[i % m->num_sums] += parts[i];
    *row = (struct bs_layer_row){.block = m->original->index,
                                 .out_features = w->out_features,
                                 .in_features = w->in_features,
                                 .seconds = q->seconds};
    snprintf(row->name, sizeof row->name, "%s", w->name);
    bs_metrics_linear(&shown, sums, row->values);
    totals->weights += (double)w->out_features * w->in_features;
    for (size_t i = 0; i < m->num_sums; i++)
        totals->sums[i] += sums[i];
    for (int v = 0; v < bs_metrics_linear_values(); v++)
        totals->values[v] += row->values[v];
    totals->linears++;
}

size_t bs_layer_error_floats(const struct bs_architecture *a, int tokens)
{
    size_t most = 0, rows = (size_t)tokens;
    for (int s = 0; s < a->program.num_slots; s++) {
        size_t in = bs_scratch_floats(rows * (size_t)a->program.slots[s].in);
        size_t out = bs_scratch_floats(rows * (size_t)a->program.slots[s].out);
        most = in + 2 * out > most ? in + 2 * out : most;
    }
    return most;
}

enum bs_status bs_layer_errors(const struct bs_block *original, const struct bs_block *quantized,
                               const struct bs_probe *probe, struct bs_scratch *scratch,
                               struct bs_layer_row *rows, struct bs_layer_totals *totals,
                               struct bs_error *err)
{
    struct measuring m = {.original = original,
                          .quantized = quantized,
                          .probe = probe,
                          .scratch = scratch,
                          .num_linears = original->architecture->program.num_slots};
    int tasks = m.num_linears * probe->windows;
    m.num_sums = (size_t)bs_metrics_sums();
    for (int k = 0; k < m.num_linears; k++) {
        size_t in = (size_t)original->linears[k].in_features;
        m.widest = in > m.widest ? in : m.widest;
    }
    m.parts = bs_calloc((size_t)tasks, m.num_sums * sizeof *m.parts);
    m.sums = bs_calloc((size_t)m.num_linears, m.num_sums * sizeof *m.sums);
    m.basis = bs_alloc((size_t)m.num_linears, m.widest * sizeof *m.basis);
    enum bs_status status = m.parts && m.sums && m.basis ? BS_OK : bs_fail_memory(err);
    if (!status)
        status = bs_parallel(tasks, measure_output, &m, err);
    if (!status)
        status = bs_parallel(m.num_linears, measure_weights, &m, err);
    for (int k = 0; k < m.num_linears && !status; k++)
        describe_linear(&m, k, &rows[k], totals);
    bs_free(m.basis);
    bs_free(m.sums);
    bs_free(m.parts);
    return status;
}
