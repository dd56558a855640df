#include "eval/run/layer_error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/vector.h"

enum bs_status bs_probe_init(struct bs_probe *probe, const struct bs_architecture *a, int windows,
                             int tokens, struct bs_error *err)
{
    *probe = (struct bs_probe){.windows = windows, .tokens = tokens};
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
    size_t count = (size_t)tokens * (size_t)stride;
    if (!at->filling->probe->inputs[site])
        return;
    memcpy(at->filling->probe->inputs[site] + (size_t)at->window * count, x, count * sizeof *x);
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
    bs_block_forward(filling->block, filling->rope, bs_stream_window(stream, window), NULL,
                     stream->tokens, &observer, &filling->scratch[thread]);
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

/* What one (linear, window) adds. */
struct part {
    double difference, wanted, got, product; /* sums of (Y^-Y)^2, Y^2, Y^2 hat, Y Y^ */
};

/* Sums of (W - W^)^2 and W^2 over a linear. */
struct weight_part {
    double squared_error, squared_weight;
};

struct measuring {
    const struct bs_block *original, *quantized;
    const struct bs_probe *probe;
    struct bs_scratch *scratch; /* one a thread */
    int num_linears;
    struct part *parts; /* [linear][windows] */
    struct weight_part weight_parts[BS_MAX_SLOTS];
};

static enum bs_status measure_output(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct measuring *m = context;
    struct bs_scratch *scratch = &m->scratch[thread];
    int slot = index / m->probe->windows, window = index % m->probe->windows;
    int site = m->original->architecture->program.slots[slot].input, tokens = m->probe->tokens;
    const struct bs_linear *wanted = &m->original->linears[slot];
    const struct bs_linear *got = &m->quantized->linears[slot];
    size_t in = (size_t)wanted->in_features, out = (size_t)wanted->out_features;
    size_t rows = (size_t)tokens;
    const float *x = m->probe->inputs[site] + (size_t)window * rows * in;
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
    m->parts[index] = (struct part){.difference = bs_sum_squared_difference(y_hat, y, rows * out),
                                    .wanted = bs_sum_squares(y, rows * out),
                                    .got = bs_sum_squares(y_hat, rows * out),
                                    .product = bs_dot(y, y_hat, rows * out)};
    scratch->used = mark;
    return BS_OK;
}

static void output_figures(const struct measuring *m, int linear, struct bs_layer_row *row)
{
    struct part sum = {0};
    for (int w = 0; w < m->probe->windows; w++) {
        const struct part *part = &m->parts[linear * m->probe->windows + w];
        sum.difference += part->difference;
        sum.wanted += part->wanted;
        sum.got += part->got;
        sum.product += part->product;
    }
    row->relative_output_error = sqrt(sum.difference / sum.wanted);
    row->cosine = sum.product / sqrt(sum.wanted * sum.got);
}

/* Sum of (W - W^)^2 over row i in the checkpoint's basis. */
static double row_error(const struct bs_linear *original, const struct bs_linear *quantized,
                        size_t i)
{
    enum { LANES = 8 }; /* sums that need not wait for each other */
    size_t in = (size_t)original->in_features;
    const float *w = original->weight + i * in, *q = quantized->weight + i * in;
    double out_scale = (double)quantized->out_scale[i], lanes[LANES] = {0}, sum = 0;
    for (size_t j = 0; j < in; j++) {
        double d = (double)q[j] * (out_scale / (double)quantized->in_scale[j]) - (double)w[j];
        lanes[j % LANES] += d * d;
    }
    for (int l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* Adds the sums of (W - W^)^2 and W^2 in the checkpoint's basis, row by row. */
static enum bs_status measure_weights(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread, (void)err;
    struct measuring *m = context;
    const struct bs_linear *original = &m->original->linears[index];
    const struct bs_linear *quantized = &m->quantized->linears[index];
    struct weight_part *part = &m->weight_parts[index];
    for (int i = 0; i < original->out_features; i++) {
        part->squared_error += row_error(original, quantized, (size_t)i);
        part->squared_weight +=
            bs_sum_squares(original->weight + (size_t)i * (size_t)original->in_features,
                           (size_t)original->in_features);
    }
    return BS_OK;
}

static void describe_linear(const struct measuring *m, int linear, struct bs_layer_row *row,
                            struct bs_layer_totals *totals)
{
    const struct bs_linear *w = &m->original->linears[linear];
    const struct bs_linear *q = &m->quantized->linears[linear];
    double count = (double)w->out_features * w->in_features;
    double error = m->weight_parts[linear].squared_error;
    double weight = m->weight_parts[linear].squared_weight;
    *row = (struct bs_layer_row){
        .block = m->original->index,
        .out_features = w->out_features,
        .in_features = w->in_features,
        .weight_mse = error / count,
        .sqnr_db = error > 0 ? 10 * log10(weight / error) : (double)INFINITY,
        .relative_output_error = NAN,
        .cosine = NAN,
        .bits_per_weight = q->codes.codes ? bs_codes_bits(&q->codes) / count : BS_BITS_NONE,
        .damping = q->damping,
        .dead_columns = q->dead_columns,
        .fallback = q->fallback,
        .seconds = q->seconds,
    };
    snprintf(row->name, sizeof row->name, "%s", w->name);
    totals->weights += count;
    totals->squared_error += error;
    totals->squared_weight += weight;
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
    m.parts = bs_calloc((size_t)tasks, sizeof *m.parts);
    if (!m.parts)
        return bs_fail_memory(err);
    enum bs_status status = bs_parallel(tasks, measure_output, &m, err);
    if (!status)
        status = bs_parallel(m.num_linears, measure_weights, &m, err);
    for (int k = 0; k < m.num_linears && !status; k++) {
        describe_linear(&m, k, &rows[k], totals);
        if (probe->windows)
            output_figures(&m, k, &rows[k]);
        totals->relative_output_error += rows[k].relative_output_error;
        totals->cosine += rows[k].cosine;
        totals->linears++;
    }
    bs_free(m.parts);
    return status;
}
