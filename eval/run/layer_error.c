#include "eval/run/layer_error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"

static struct bs_probed *probed_at(const struct bs_probe *probe, int site, int window)
{
    return &probe->inputs[site * probe->windows + window];
}

/* Room for at least so many rows; false without memory. */
static bool make_room(struct bs_probed *probed, int rows, int width)
{
    size_t floats = (size_t)rows * (size_t)width;
    if (floats <= probed->room)
        return true;
    bs_free(probed->x);
    probed->x = bs_alloc(floats, sizeof *probed->x);
    probed->room = probed->x ? floats : 0;
    return probed->x;
}

/* The same at the inputs of a program's linears, for all of a window's tokens. */
static bool make_rooms(const struct bs_probe *probe, const struct bs_program *p, int tokens)
{
    bool enough = true;
    for (int i = 0; enough && i < p->num_inputs * probe->windows; i++) {
        int site = p->inputs[i / probe->windows];
        if (p->values[site].expert < 0)
            enough = make_room(probed_at(probe, site, i % probe->windows), tokens,
                               p->values[site].width);
    }
    return enough;
}

double bs_probe_bytes(const struct bs_architecture *a, int windows, int tokens)
{
    double widest[BS_MAX_VALUES] = {0}, floats = 0;
    for (int k = 0; k < a->num_kinds; k++)
        for (int i = 0; i < a->programs[k].num_inputs; i++) {
            int site = a->programs[k].inputs[i];
            double width =
                bs_value_rows(&a->programs[k], site, 1) * a->programs[k].values[site].width;
            widest[site] = fmax(widest[site], width);
        }
    for (int site = 0; site < BS_MAX_VALUES; site++)
        floats += widest[site] * tokens;
    return floats * windows * sizeof(float);
}

enum bs_status bs_probe_init(struct bs_probe *probe, const struct bs_architecture *a, int windows,
                             int tokens, struct bs_error *err)
{
    *probe = (struct bs_probe){.windows = windows, .layer = -1};
    for (int k = 0; k < a->num_kinds; k++)
        if (a->programs[k].num_values > probe->values)
            probe->values = a->programs[k].num_values;
    probe->inputs = bs_calloc((size_t)probe->values * (size_t)windows, sizeof *probe->inputs);
    bool enough = probe->inputs != NULL;
    for (int k = 0; k < a->num_kinds && enough; k++)
        enough = make_rooms(probe, &a->programs[k], tokens);
    if (enough)
        return BS_OK;
    bs_probe_release(probe);
    return bs_fail_memory(err);
}

static void forget_unchanged(struct bs_probe *probe)
{
    for (int s = 0; s < BS_MAX_SLOTS; s++) {
        bs_free(probe->unchanged[s].weights);
        probe->unchanged[s] = (struct bs_unchanged){.weights = NULL};
    }
    probe->layer = -1;
}

void bs_probe_release(struct bs_probe *probe)
{
    forget_unchanged(probe);
    for (int i = 0; probe->inputs && i < probe->values * probe->windows; i++)
        bs_free(probe->inputs[i].x);
    bs_free(probe->inputs);
    *probe = (struct bs_probe){.windows = 0, .layer = -1};
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
    bool failed; /* memory ran out */
};

static void keep_input(void *context, int site, const float *x, int rows, int stride)
{
    struct filled_window *at = context;
    const struct bs_value *value = &at->filling->block->program->values[site];
    struct bs_probed *probed = probed_at(at->filling->probe, site, at->window);
    if (!bs_is_input(value))
        return;
    probed->rows = rows;
    if (!make_room(probed, rows, value->width))
        at->failed = true;
    else if (rows > 0)
        memcpy(probed->x, x, (size_t)rows * (size_t)stride * sizeof *x);
}

static enum bs_status fill_window(void *context, int window, int thread, struct bs_error *err)
{
    const struct filling *filling = context;
    struct filled_window at = {filling, window, false};
    const struct bs_program *p = filling->block->program;
    struct bs_observer observer = {
        .context = &at, .site = keep_input, .last = p->inputs[p->num_inputs - 1]};
    const struct bs_stream *stream = filling->stream;
    struct bs_fork fork = bs_stream_fork(stream, window);
    bs_block_forward_fork(filling->block, filling->rope, bs_stream_window(stream, window), NULL,
                          &fork, &observer, &filling->scratch[thread]);
    bs_stream_forget(stream, window);
    return at.failed ? bs_fail_memory(err) : BS_OK;
}

enum bs_status bs_probe_fill(struct bs_probe *probe, const struct bs_block *original,
                             const struct bs_rope *rope, const struct bs_stream *stream,
                             struct bs_scratch *scratch, struct bs_error *err)
{
    struct filling filling = {probe, original, rope, stream, scratch};
    forget_unchanged(probe);
    return bs_parallel(probe->windows, fill_window, &filling, err);
}

struct measuring {
    const struct bs_block *original, *quantized;
    struct bs_probe *probe;
    bool unchanged[BS_MAX_SLOTS];
    struct bs_scratch *scratch; /* one a thread */
    int num_linears;
    size_t num_sums; /* of all metrics */
    double *sums;    /* [linear][num_sums], of its weights, then of all */
    double *parts;   /* [linear][windows][num_sums], of its outputs */
    double *basis;   /* [linear][widest], a row of W^ in the checkpoint's basis */
    size_t widest;   /* features of an input */
};

/* Whether a linear and its input are as in the original. */
static bool is_unchanged(const struct measuring *m, int slot)
{
    const struct bs_linear *a = &m->original->linears[slot], *b = &m->quantized->linears[slot];
    int site = m->original->program->slots[slot].input;
    if (m->original == m->quantized)
        return true;
    size_t bytes = (size_t)a->out_features * (size_t)a->in_features * sizeof *a->weight;
    return m->original->sites[site].setting == m->quantized->sites[site].setting &&
           bs_bases_equal(&a->in, &b->in) && bs_bases_equal(&a->out, &b->out) &&
           !memcmp(a->weight, b->weight, bytes);
}

/* What is known of an unchanged linear already; NULL where that is nothing. */
static const struct bs_unchanged *known_of(const struct measuring *m, int slot)
{
    const struct bs_unchanged *known = &m->probe->unchanged[slot];
    return m->unchanged[slot] && known->weights ? known : NULL;
}

/* Keeps the sums of those that are unchanged. */
static enum bs_status keep_unchanged(const struct measuring *m, struct bs_error *err)
{
    size_t outputs = (size_t)m->probe->windows * m->num_sums;
    for (int k = 0; k < m->num_linears; k++) {
        struct bs_unchanged *known = &m->probe->unchanged[k];
        if (!m->unchanged[k] || known->weights)
            continue;
        known->weights = bs_alloc(m->num_sums + outputs, sizeof *known->weights);
        if (!known->weights)
            return bs_fail_memory(err);
        known->outputs = known->weights + m->num_sums;
        memcpy(known->weights, m->sums + (size_t)k * m->num_sums,
               m->num_sums * sizeof *known->weights);
        if (outputs)
            memcpy(known->outputs, m->parts + (size_t)k * outputs,
                   outputs * sizeof *known->outputs);
    }
    return BS_OK;
}

/* x [rows][width]: each row without its mean. */
static void take_means(float *x, size_t rows, size_t width)
{
    for (size_t t = 0; t < rows; t++) {
        double sum = 0;
        for (size_t j = 0; j < width; j++)
            sum += (double)x[t * width + j];
        for (size_t j = 0; j < width; j++)
            x[t * width + j] -= (float)(sum / (double)width);
    }
}

/* x [rows] of a site as the block's linears read it. */
static void round_input(const struct bs_block *block, int site, float *x, int rows,
                        struct bs_scratch *scratch)
{
    const struct bs_site_setting *at = &block->sites[site];
    const struct bs_value *is = &block->program->values[site];
    const struct bs_values values = {x, rows, is->width, is->width, is->heads};
    if (at->setting)
        bs_values_round(at->setting, bs_site_fixed(at), at->rounder, &values, scratch);
}

static enum bs_status measure_output(void *context, int index, int thread, struct bs_error *err)
{
    (void)err;
    const struct measuring *m = context;
    struct bs_scratch *scratch = &m->scratch[thread];
    int slot = index / m->probe->windows, window = index % m->probe->windows;
    int site = m->original->program->slots[slot].input;
    const struct bs_probed *probed = probed_at(m->probe, site, window);
    int tokens = probed->rows;
    const struct bs_linear *wanted = &m->original->linears[slot];
    const struct bs_linear *got = &m->quantized->linears[slot];
    size_t in = (size_t)wanted->in_features, out = (size_t)wanted->out_features;
    size_t rows = (size_t)tokens;
    const struct bs_unchanged *known = known_of(m, slot);
    if (known)
        memcpy(m->parts + (size_t)index * m->num_sums,
               known->outputs + (size_t)window * m->num_sums, m->num_sums * sizeof *m->parts);
    if (!rows || known)
        return BS_OK;
    size_t mark = scratch->used;
    float *changed = bs_scratch_take(scratch, rows * in);
    float *room = bs_scratch_take(scratch, in > out ? in : out);
    memcpy(changed, probed->x, rows * in * sizeof *changed);
    bs_bases_apply(&got->in, changed, tokens, room);
    round_input(m->quantized, site, changed, tokens, scratch);
    float *y = bs_scratch_take(scratch, rows * out);
    float *y_hat = bs_scratch_take(scratch, rows * out);
    bs_linear_forward(got, changed, y_hat, wanted->out_features, tokens);
    memcpy(changed, probed->x, rows * in * sizeof *changed);
    round_input(m->original, site, changed, tokens, scratch); /* as the checkpoint may have it */
    bs_linear_forward(wanted, changed, y, wanted->out_features, tokens);
    bs_bases_undo(&got->out, y_hat, tokens, room);
    if (bs_bases_centre(&got->out)) /* which no norm reads */
        take_means(y, rows, out);
    bs_metrics_outputs(y, y_hat, rows * out, m->parts + (size_t)index * m->num_sums);
    scratch->used = mark;
    return BS_OK;
}

/* row [in] = row i of W^ in the checkpoint's basis, where no channel is mixed with another. */
static void unscaled_row(const struct bs_linear *quantized, size_t i, double *row)
{
    size_t in = (size_t)quantized->in_features;
    const float *in_scale = quantized->in.list[0].values;
    double out_scale = (double)quantized->out.list[0].values[i];
    for (size_t j = 0; j < in; j++)
        row[j] = (double)quantized->weight[i * in + j] * (out_scale / (double)in_scale[j]);
}

/* w [count][in] = rows `first` and on of W^ in the checkpoint's basis. room: as w. */
static void turned_rows(const struct bs_linear *quantized, int first, int count, float *w,
                        float *room)
{
    size_t in = (size_t)quantized->in_features;
    memcpy(w, quantized->weight + (size_t)first * in, (size_t)count * in * sizeof *w);
    bs_bases_transpose(&quantized->in, w, count, room);
    bs_bases_undo_rows(&quantized->out, w, first, count, quantized->in_features, room);
}

/* means [in]: of the columns, where the linear's outputs lost their mean; else 0. */
static void lost_means(const struct bs_linear *original, const struct bs_linear *quantized,
                       float *means)
{
    size_t in = (size_t)original->in_features, out = (size_t)original->out_features;
    memset(means, 0, in * sizeof *means);
    for (size_t j = 0; j < in && bs_bases_centre(&quantized->out); j++) {
        double sum = 0;
        for (size_t i = 0; i < out; i++)
            sum += (double)original->weight[i * in + j];
        means[j] = (float)(sum / (double)out);
    }
}

/* Shows the metrics the weights of a linear whose channels were mixed. */
static enum bs_status measure_turned(const struct bs_linear *original,
                                     const struct bs_linear *quantized, double *row, double *sums,
                                     struct bs_error *err)
{
    int span = bs_bases_span(&quantized->out);
    size_t in = (size_t)original->in_features, floats = (size_t)span * in;
    float *w = bs_alloc(2 * (floats + in), sizeof *w);
    if (!w)
        return bs_fail_memory(err);
    float *room = w + floats, *means = room + floats, *wanted = means + in;
    lost_means(original, quantized, means);
    for (int first = 0; first < original->out_features; first += span) {
        turned_rows(quantized, first, span, w, room);
        for (size_t i = 0; i < (size_t)span; i++) {
            const float *was = original->weight + ((size_t)first + i) * in;
            for (size_t j = 0; j < in; j++) {
                row[j] = (double)w[i * in + j];
                wanted[j] = was[j] - means[j];
            }
            bs_metrics_row(wanted, row, original->in_features, sums);
        }
    }
    bs_free(w);
    return BS_OK;
}

/* Shows the metrics the linear's weights, W^ in the checkpoint's basis, row by row. */
static enum bs_status measure_weights(void *context, int index, int thread, struct bs_error *err)
{
    (void)thread;
    const struct measuring *m = context;
    const struct bs_linear *original = &m->original->linears[index];
    const struct bs_linear *quantized = &m->quantized->linears[index];
    double *row = m->basis + (size_t)index * m->widest;
    double *sums = m->sums + (size_t)index * m->num_sums;
    const struct bs_unchanged *known = known_of(m, index);
    if (known) {
        memcpy(sums, known->weights, m->num_sums * sizeof *sums);
        return BS_OK;
    }
    if (!bs_bases_diagonal(&quantized->in) || !bs_bases_diagonal(&quantized->out))
        return measure_turned(original, quantized, row, sums, err);
    for (size_t i = 0; i < (size_t)original->out_features; i++) {
        unscaled_row(quantized, i, row);
        bs_metrics_row(original->weight + i * (size_t)original->in_features, row,
                       original->in_features, sums);
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
        if (!isnan(row->values[v])) {
            totals->values[v].sum += row->values[v];
            totals->values[v].linears++;
        }
    totals->linears++;
}

static size_t linear_floats(const struct bs_slot *slot, size_t rows)
{
    size_t in = (size_t)slot->in, out = (size_t)slot->out;
    size_t outputs = 2 * bs_scratch_floats(rows * out);
    size_t rounding = bs_values_floats((int)rows, slot->in);
    return bs_scratch_floats(rows * in) + outputs + rounding +
           bs_scratch_floats(in > out ? in : out);
}

size_t bs_layer_error_floats(const struct bs_architecture *a, int tokens)
{
    size_t most = 0;
    for (int k = 0; k < a->num_kinds; k++)
        for (int s = 0; s < a->programs[k].num_slots; s++) {
            size_t floats = linear_floats(&a->programs[k].slots[s], (size_t)tokens);
            most = floats > most ? floats : most;
        }
    return most;
}

enum bs_status bs_layer_errors(const struct bs_block *original, const struct bs_block *quantized,
                               struct bs_probe *probe, struct bs_scratch *scratch,
                               struct bs_layer_row *rows, struct bs_layer_totals *totals,
                               struct bs_error *err)
{
    if (probe->layer != original->index)
        forget_unchanged(probe);
    probe->layer = original->index;
    struct measuring m = {.original = original,
                          .quantized = quantized,
                          .probe = probe,
                          .scratch = scratch,
                          .num_linears = original->program->num_slots};
    int tasks = m.num_linears * probe->windows;
    m.num_sums = (size_t)bs_metrics_sums();
    for (int k = 0; k < m.num_linears; k++) {
        m.unchanged[k] = is_unchanged(&m, k);
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
    if (!status)
        status = keep_unchanged(&m, err);
    for (int k = 0; k < m.num_linears && !status; k++)
        describe_linear(&m, k, &rows[k], totals);
    bs_free(m.basis);
    bs_free(m.sums);
    bs_free(m.parts);
    return status;
}
