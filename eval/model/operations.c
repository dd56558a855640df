/* The operations of a block, one row each. */
#include "eval/model/operations.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/elementary.h"
#include "eval/model/attention.h"
#include "eval/model/cache.h"
#include "eval/model/experts.h"
#include "eval/model/rope.h"

static float *row_of(const struct bs_frame_value *value, int t)
{
    return value->x + (size_t)t * (size_t)value->stride;
}

/* The values that an op changes in place, brought to where they are wanted. */
static struct bs_frame_value *bring(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *in = &frame->values[op->in[0]];
    struct bs_frame_value *out = &frame->values[op->out];
    size_t width = (size_t)frame->block->program->values[op->out].width;
    for (int t = 0; in->x != out->x && t < out->rows; t++)
        memcpy(row_of(out, t), row_of(in, t), width * sizeof(float));
    return out;
}

static const struct bs_value *value_of(const struct bs_frame *frame, int value)
{
    return &frame->block->program->values[value];
}

static float sigmoid(float x) { return 1 / (1 + bs_expf(-x)); }

static size_t count_of(const struct bs_frame *frame, int value)
{
    return (size_t)frame->values[value].rows * (size_t)value_of(frame, value)->width;
}

static void copy(const struct bs_op *op, struct bs_frame *frame) { bring(op, frame); }

/* It is where it was made. */
static void part(const struct bs_op *op, struct bs_frame *frame) { (void)op, (void)frame; }

/* --- norms --- */

/* A norm of q or k, whose rows hold several heads, or of part of what a linear makes. */
static void norm_heads(const struct bs_norm *norm, const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_architecture *a = frame->block->architecture;
    const struct bs_frame_value *x = bring(op, frame);
    int width = value_of(frame, op->out)->width;
    bool whole = a->family->qk_norm == BS_QK_NORM_WHOLE || bs_is_latent(op->detail);
    int span = whole ? width : a->head_dim;
    for (int t = 0; t < frame->tokens; t++)
        for (int at = 0; at < width; at += span) {
            int first = at % norm->width; /* 0 where all heads share the weights */
            struct bs_norm one = {.kind = norm->kind,
                                  .width = span,
                                  .eps = norm->eps,
                                  .weight = norm->weight + first,
                                  .bias = norm->bias ? norm->bias + first : NULL};
            bs_norm_apply(a, &one, row_of(x, t) + at, row_of(x, t) + at, 1);
        }
}

static void norm(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_block *block = frame->block;
    const struct bs_norm *norm = &block->norms[op->detail];
    if (op->detail == BS_NORM_Q || op->detail == BS_NORM_K || bs_is_latent(op->detail))
        norm_heads(norm, op, frame);
    else
        bs_norm_apply(block->architecture, norm, frame->values[op->in[0]].x,
                      frame->values[op->out].x, frame->tokens);
}

/* --- linears --- */

/* A kernel that multiplies codes has none where the site was not quantized. */
static void multiply(const struct bs_linear *linear, const struct bs_frame_value *in,
                     struct bs_frame *frame, float *y, int stride)
{
    const struct bs_kernel *kernel = linear->kernel;
    const float *x = in->x;
    if (!kernel || (kernel->encode && !in->coded))
        kernel = &bs_kernel_float32;
    if (kernel->encode)
        x = in->room + bs_kernel_room_at(kernel, frame->tokens, linear->in_features);
    kernel->multiply(linear, x, in->rows, y, stride, frame->scratch);
}

static void linears(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *out = &frame->values[op->out];
    float *y = out->x;
    for (int k = 0; k < op->num_slots; k++) {
        const struct bs_linear *linear = &frame->block->linears[op->slot + k];
        multiply(linear, &frame->values[op->in[0]], frame, y, out->stride);
        y += linear->out_features;
    }
}

static double linears_flops(const struct bs_program *p, const struct bs_op *op, double tokens)
{
    double flops = 0, rows = bs_value_rows(p, op->in[0], tokens);
    for (int s = op->slot; s < op->slot + op->num_slots; s++)
        flops += 2 * rows * p->slots[s].out * p->slots[s].in;
    return flops;
}

/* Of one product at a time. */
static size_t linears_extra(const struct bs_program *p, const struct bs_op *op, int tokens)
{
    (void)tokens;
    size_t most = 0;
    for (int s = op->slot; s < op->slot + op->num_slots; s++) {
        size_t floats = bs_kernels_extra(p->slots[s].out, p->slots[s].in);
        most = floats > most ? floats : most;
    }
    return most;
}

/* --- attention --- */

static void clip(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *out = bring(op, frame);
    float most = frame->block->architecture->qkv_clip;
    for (int t = 0; t < frame->tokens; t++) {
        float *x = row_of(out, t);
        for (int i = 0; i < value_of(frame, op->out)->width; i++)
            x[i] = x[i] < -most ? -most : x[i] > most ? most : x[i]; /* lets a NaN through */
    }
}

void bs_rotate_rows(const struct bs_frame *frame, int value, float *x, int stride)
{
    const struct bs_architecture *a = frame->block->architecture;
    int layer = frame->block->index, heads = value_of(frame, value)->heads;
    int width = value_of(frame, value)->width / heads;
    int first = a->latent.key_value ? width - a->rotary_dim : 0; /* the last channels turn there */
    for (int i = 0; bs_is_rotated(a, layer) && i <= frame->fork.branches; i++) {
        struct bs_segment s = bs_fork_segment(&frame->fork, i);
        bs_rotate(frame->rope, bs_is_local(a, layer), x + (size_t)s.begin * (size_t)stride + first,
                  s.position, s.count, heads, width, stride);
    }
}

static void rotary(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *x = bring(op, frame);
    bs_rotate_rows(frame, op->out, x->x, x->stride);
}

/* x [width] by its root mean square. */
static void divide_by_rms(float *x, int width, float eps)
{
    float sum = 0;
    for (int j = 0; j < width; j++)
        sum += x[j] * x[j];
    float by = 1 / sqrtf(sum / (float)width + eps);
    for (int j = 0; j < width; j++)
        x[j] *= by;
}

static void unit(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_architecture *a = frame->block->architecture;
    const struct bs_frame_value *x = bring(op, frame);
    int heads = value_of(frame, op->out)->heads, width = value_of(frame, op->out)->width / heads;
    for (int t = 0; bs_is_rotated(a, frame->block->index) && t < frame->tokens; t++)
        for (int h = 0; h < heads; h++)
            divide_by_rms(row_of(x, t) + (size_t)h * (size_t)width, width, a->norm_eps);
}

/* Some of the channels of each head, close together. */
static void heads(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *in = &frame->values[op->in[0]], *out = &frame->values[op->out];
    int count = value_of(frame, op->out)->heads;
    size_t all = (size_t)(value_of(frame, op->in[0])->width / count);
    size_t width = (size_t)(value_of(frame, op->out)->width / count);
    for (int t = 0; t < out->rows; t++)
        for (size_t h = 0; h < (size_t)count; h++)
            memcpy(row_of(out, t) + h * width, row_of(in, t) + h * all + (size_t)op->detail,
                   width * sizeof(float));
}

static void join(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *a = &frame->values[op->in[0]], *b = &frame->values[op->in[1]];
    const struct bs_value *first = value_of(frame, op->in[0]), *second = value_of(frame, op->in[1]);
    const struct bs_frame_value *out = &frame->values[op->out];
    size_t left = (size_t)(first->width / first->heads);
    size_t right = (size_t)(second->width / second->heads);
    for (int t = 0; t < out->rows; t++)
        for (size_t h = 0; h < (size_t)first->heads; h++) {
            float *to = row_of(out, t) + h * (left + right);
            size_t at = second->heads == 1 ? 0 : h;
            memcpy(to, row_of(a, t) + h * left, left * sizeof *to);
            memcpy(to + left, row_of(b, t) + at * right, right * sizeof *to);
        }
}

static void scale(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_query_scaling *scaling = &frame->block->architecture->query_scaling;
    const struct bs_frame_value *x = bring(op, frame);
    bool passed =
        scaling->unrotated && bs_is_rotated(frame->block->architecture, frame->block->index);
    for (int i = 0; i <= frame->fork.branches && !passed; i++) {
        struct bs_segment s = bs_fork_segment(&frame->fork, i);
        for (int t = 0; t < s.count; t++) {
            float at = (float)(s.position + t + scaling->first);
            float steps = floorf(at / scaling->positions);
            float factor = 1 + scaling->beta * (float)bs_log(1 + (double)steps);
            for (int j = 0; j < value_of(frame, op->out)->width; j++)
                row_of(x, s.begin + t)[j] *= factor;
        }
    }
}

/* How a cache stores the value, of what queries see as it was stored at their time; else NULL. */
static const struct bs_site_setting *stored_at(const struct bs_frame *frame, int value)
{
    const struct bs_site_setting *sites = frame->quantizes ? frame->block->sites : NULL;
    bool stores = sites && sites[value].setting && sites[value].setting->when == BS_WHEN_STORED;
    return stores ? &sites[value] : NULL;
}

/* How attention's probabilities are quantized; NULL: not. */
static const struct bs_site_setting *probabilities_at(const struct bs_frame *frame, int value)
{
    const struct bs_site_setting *sites = frame->quantizes ? frame->block->sites : NULL;
    return sites && sites[value].setting ? &sites[value] : NULL;
}

/* Queries as keys in a cache meet them. */
static void round_queries(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_value *is = &frame->block->program->values[op->in[0]];
    const struct bs_frame_value *at = &frame->values[op->in[0]];
    const struct bs_values queries = {at->x, at->rows, is->width, at->stride, is->heads};
    if (frame->quantizes && frame->block->sites)
        bs_cache_round_query(&frame->block->sites[op->in[1]], &queries, frame->scratch);
}

static void attend(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_architecture *a = frame->block->architecture;
    int layer = frame->block->index, layers = a->attention_scale_by_layer ? layer + 1 : 1;
    struct bs_heads in = {.architecture = a,
                          .scale = a->attention_scale / (float)layers,
                          .fork = frame->fork,
                          .sinks = frame->block->vectors[BS_VECTOR_SINKS],
                          .stored_keys = stored_at(frame, op->in[1]),
                          .stored_values = stored_at(frame, op->in[2]),
                          .probabilities = probabilities_at(frame, op->detail),
                          .shown = frame->probabilities,
                          .rotated = {frame->stored, value_of(frame, op->in[1])->width},
                          .q = {frame->values[op->in[0]].x, frame->values[op->in[0]].stride},
                          .k = {frame->values[op->in[1]].x, frame->values[op->in[1]].stride},
                          .v = {frame->values[op->in[2]].x, frame->values[op->in[2]].stride},
                          .chunked = a->chunked_windows,
                          .window = bs_is_local(a, layer) ? a->sliding_window : frame->tokens};
    round_queries(op, frame);
    bs_attend(&in, frame->values[op->out].x, frame->scratch);
    if (in.shown)
        frame->values[op->detail] = (struct bs_frame_value){
            .x = in.shown, .rows = (int)bs_pairs_seen(&in, frame->tokens), .stride = a->num_heads};
}

static double attend_flops(const struct bs_program *p, const struct bs_op *op, double tokens)
{
    double pairs = tokens * tokens / 2; /* each in q k^T and in p v */
    return 2 * pairs * ((double)p->values[op->in[0]].width + p->values[op->out].width);
}

static size_t attend_extra(const struct bs_program *p, const struct bs_op *op, int tokens)
{
    return bs_attend_floats(p, op, tokens);
}

/* --- the MLP and the residual stream --- */

static void activate(const struct bs_op *op, struct bs_frame *frame)
{
    enum bs_nonlinearity activation = frame->block->architecture->activation;
    float *x = bring(op, frame)->x;
    size_t count = count_of(frame, op->out);
    if (op->in[1] >= 0)
        bs_nonlinearity_times(activation, x, frame->values[op->in[1]].x, count);
    else
        bs_nonlinearity_apply(activation, x, count);
}

/* gpt-oss's own, with its own bounds. */
static void clamped_gate(const struct bs_op *op, struct bs_frame *frame)
{
    const float most = 7, slope = 1.702f;
    const float *up = frame->values[op->in[1]].x;
    float *x = bring(op, frame)->x;
    size_t count = count_of(frame, op->out);
    for (size_t i = 0; i < count; i++) {
        float gate = x[i] > most ? most : x[i]; /* lets a NaN through, as the next */
        float times = up[i] > most ? most : up[i] < -most ? -most : up[i];
        x[i] = (times + 1) * (gate * sigmoid(gate * slope));
    }
}

static void weigh(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *x = bring(op, frame), *by = &frame->values[op->in[1]];
    for (int t = 0; t < frame->tokens; t++) {
        float factor = sigmoid(*row_of(by, t));
        for (int j = 0; j < value_of(frame, op->out)->width; j++)
            row_of(x, t)[j] *= factor;
    }
}

static void divide(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *x = bring(op, frame);
    const float *by = frame->block->hidden_scale;
    for (int t = 0; by && t < frame->tokens; t++)
        for (int j = 0; j < value_of(frame, op->out)->width; j++)
            row_of(x, t)[j] /= by[j];
}

static void add(const struct bs_op *op, struct bs_frame *frame)
{
    const float *x = frame->values[op->in[0]].x, *branch = frame->values[op->in[1]].x;
    float *y = frame->values[op->out].x, by = frame->block->architecture->residual_scale;
    by = op->detail == BS_ADD_PLAIN ? 1 : by;
    size_t count = count_of(frame, op->out);
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] + by * branch[i];
}

/* --- experts --- */

static void route(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_experts *experts = &frame->block->architecture->experts;
    const struct bs_frame_value *in = &frame->values[op->in[0]], *out = &frame->values[op->out];
    size_t count = (size_t)experts->count;
    for (size_t t = 0; t < (size_t)frame->tokens; t++) {
        if (frame->imposed)
            memcpy(row_of(out, (int)t), frame->imposed + t * count, count * sizeof(float));
        else
            bs_experts_route(experts, frame->block->vectors[BS_VECTOR_ROUTING], row_of(in, (int)t),
                             row_of(out, (int)t));
        if (frame->routed)
            memcpy(frame->routed + t * count, row_of(out, (int)t), count * sizeof(float));
    }
}

static void gather(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *in = &frame->values[op->in[0]], *routing;
    struct bs_frame_value *out = &frame->values[op->out];
    size_t width = (size_t)value_of(frame, op->out)->width;
    routing = &frame->values[op->in[1]];
    bool weighs = frame->block->architecture->experts.weighs_input;
    out->rows = 0;
    for (int t = 0; t < frame->tokens; t++) {
        float weight = row_of(routing, t)[op->detail];
        if (weight < 0)
            continue;
        float *to = row_of(out, out->rows++);
        memcpy(to, row_of(in, t), width * sizeof *to);
        for (size_t j = 0; weighs && j < width; j++)
            to[j] *= weight;
    }
}

/* Experts come in their order, as in transformers. */
static void scatter(const struct bs_op *op, struct bs_frame *frame)
{
    const struct bs_frame_value *in = &frame->values[op->in[0]], *routing;
    struct bs_frame_value *out = &frame->values[op->out];
    int width = value_of(frame, op->out)->width, row = 0;
    routing = &frame->values[op->in[1]];
    out->rows = frame->tokens;
    for (int t = 0; t < frame->tokens; t++) {
        float *sum = row_of(out, t), weight = row_of(routing, t)[op->detail];
        if (op->in[2] < 0)
            memset(sum, 0, (size_t)width * sizeof *sum);
        else if (sum != row_of(&frame->values[op->in[2]], t))
            memcpy(sum, row_of(&frame->values[op->in[2]], t), (size_t)width * sizeof *sum);
        if (weight < 0)
            continue;
        const float *x = row_of(in, row++);
        weight = frame->block->architecture->experts.weighs_input ? 1 : weight;
        for (int j = 0; j < width; j++)
            sum[j] += x[j] * weight;
    }
}

enum { FIRST = 1, SECOND = 2, THIRD = 4 };

const struct bs_op_type bs_op_types[BS_NUM_OPS] = {
    [BS_OP_COPY] = {"copy", "the same values under another name", 1, 1, FIRST, copy, NULL, NULL},
    [BS_OP_PART] = {"part", "some of the channels", 1, 1, 0, part, NULL, NULL},
    [BS_OP_NORM] = {"norm", "RMS norm or layer norm of rows or heads", 1, 1, FIRST, norm, NULL,
                    NULL},
    [BS_OP_LINEAR] = {"linear", "products with weight matrices, and their biases", 1, 1, 0, linears,
                      linears_flops, linears_extra},
    [BS_OP_CLIP] = {"clip", "q, k and v held within bounds", 1, 1, FIRST, clip, NULL, NULL},
    [BS_OP_ROTARY] = {"rotary", "rotary positions", 1, 1, FIRST, rotary, NULL, NULL},
    [BS_OP_SCALE] = {"scale", "queries by what their positions ask for", 1, 1, FIRST, scale, NULL,
                     NULL},
    [BS_OP_UNIT] = {"unit", "each head by its root mean square", 1, 1, FIRST, unit, NULL, NULL},
    [BS_OP_HEADS] = {"heads", "some of the channels of each head", 1, 1, 0, heads, NULL, NULL},
    [BS_OP_JOIN] = {"join", "two parts of each head", 2, 2, 0, join, NULL, NULL},
    [BS_OP_ATTEND] = {"attend", "softmax(q k^T) v of every head", 3, 3, 0, attend, attend_flops,
                      attend_extra},
    [BS_OP_ACTIVATE] = {"activate", "the MLP's nonlinearity, gated or not", 1, 2, FIRST, activate,
                        NULL, NULL},
    [BS_OP_DIVIDE] = {"divide", "by factors that the nonlinearity let none of through", 1, 1, FIRST,
                      divide, NULL, NULL},
    [BS_OP_CLAMPED_GATE] = {"clamped gate", "gpt-oss's gated nonlinearity", 2, 2, FIRST,
                            clamped_gate, NULL, NULL},
    [BS_OP_WEIGH] = {"weigh", "rows, each by how much of it there is", 2, 2, FIRST, weigh, NULL,
                     NULL},
    [BS_OP_ADD] = {"add", "a branch to the residual stream", 2, 2, SECOND, add, NULL, NULL},
    [BS_OP_ROUTE] = {"route", "which experts a row goes to, and with which weights", 1, 1, 0, route,
                     NULL, NULL},
    [BS_OP_GATHER] = {"gather", "the rows that go to an expert", 2, 2, 0, gather, NULL, NULL},
    [BS_OP_SCATTER] = {"scatter", "an expert's rows, weighted, to where they came from", 2, 3,
                       THIRD, scatter, NULL, NULL},
};
