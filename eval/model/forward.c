/* The forward pass of one generic decoder block over one window. */
#include "eval/model/attention.h"
#include "eval/model/integer.h"
#include "eval/model/rope.h"

#include <math.h>
#include <string.h>

#include "eval/linalg/blas.h"
#include "eval/linalg/packed.h"
#include "eval/linalg/vector.h"

/* Of a linear at a time, so that its output is still near for the bias. */
enum { PRODUCT_ROWS = 1024 };

/* --- linears and norms --- */

static void add_bias(const struct bs_linear *linear, float *y, int stride, int tokens)
{
    for (int t = 0; linear->bias && t < tokens; t++)
        bs_add(linear->bias, y + (size_t)t * (size_t)stride, (size_t)linear->out_features);
}

void bs_linear_forward(const struct bs_linear *linear, const float *x, float *y, int stride,
                       int tokens)
{
    int in = linear->in_features;
    for (int first = 0; first < tokens; first += PRODUCT_ROWS) {
        int left = tokens - first, rows = left < PRODUCT_ROWS ? left : PRODUCT_ROWS;
        float *to = y + (size_t)first * (size_t)stride;
        bs_gemm_nt(rows, linear->out_features, in, 1, x + (size_t)first * (size_t)in, in,
                   linear->weight, in, 0, to, stride);
        add_bias(linear, to, stride, rows);
    }
}

/* What the linears of a set read. */
struct set_input {
    const float *x;                    /* [tokens][in] */
    const struct bs_coded_rows *coded; /* the same for linears with integer weights; else NULL */
};

/* y [tokens] rows of out floats, `stride` floats apart. */
static void linear_of(const struct bs_linear *l, const struct set_input *in, float *y, int stride,
                      int tokens, struct bs_scratch *scratch)
{
    if (in->coded && l->integer) {
        bs_integer_forward(l, in->coded, y, stride, scratch);
    } else if (l->bfloat16) {
        bs_gemm_nt_packed(tokens, in->x, l->bfloat16, y, stride, scratch);
        add_bias(l, y, stride, tokens);
    } else {
        bs_linear_forward(l, in->x, y, stride, tokens);
    }
}

/* y [tokens][out], close together. */
static void linear(const struct bs_block *block, enum bs_role role, const struct set_input *in,
                   float *y, int tokens, struct bs_scratch *scratch)
{
    const struct bs_linear *l = &block->linears[role];
    linear_of(l, in, y, l->out_features, tokens, scratch);
}

void bs_norm_apply(const struct bs_architecture *a, const struct bs_norm *norm, const float *x,
                   float *y, int rows)
{
    if (norm->kind == BS_RMS_NORM)
        bs_rms_norm(x, norm->weight, a->norm_eps, rows, norm->width, y);
    else
        bs_layer_norm(x, norm->weight, norm->bias, a->norm_eps, rows, norm->width, y);
}

void bs_activations_apply(const struct bs_activations *activations, struct bs_params fixed,
                          float *x, int tokens, int features, int stride)
{
    if (activations->bits == BS_BITS_NONE)
        return;
    struct bs_format format = bs_activations_format(activations);
    struct bs_params params = fixed;
    if (activations->granularity == BS_ACT_TENSOR) {
        float low = x[0], high = x[0];
        for (int t = 0; t < tokens; t++) {
            float least, most;
            bs_min_max(x + (size_t)t * (size_t)stride, (size_t)features, &least, &most);
            low = least < low ? least : low;
            high = most > high ? most : high;
        }
        params = bs_format_fit_range(&format, low, high);
    }
    for (int t = 0; t < tokens; t++) {
        float *row = x + (size_t)t * (size_t)stride;
        if (activations->granularity == BS_ACT_TOKEN)
            params = bs_format_fit(&format, row, (size_t)features);
        bs_format_round(&format, params, row, (size_t)features);
    }
}

/* --- the block --- */

/* The set that the linear with this role belongs to. */
static int set_of(const struct bs_architecture *a, enum bs_role role)
{
    for (int s = 0; s < a->num_sets; s++)
        for (int k = 0; k < a->sets[s].num_linears; k++)
            if (a->sets[s].linears[k] == role)
                return s;
    return -1;
}

/* Shows the input x [tokens][in] of the linear with this role to the observer, then quantizes it:
 * to codes for the linears of the set that multiply integers, in place where others read it or
 * `goes_on`, the residual stream being it. */
static struct set_input enter_set(const struct bs_block *block, enum bs_role role, float *x,
                                  int tokens, bool goes_on, const struct bs_observer *observer,
                                  struct bs_coded_rows *coded)
{
    int number = set_of(block->architecture, role), in = block->linears[role].in_features;
    const struct bs_set *set = &block->architecture->sets[number];
    if (observer && observer->set_input)
        observer->set_input(observer->context, number, x, tokens);
    if (block->activations.bits == BS_BITS_NONE)
        return (struct set_input){.x = x};
    int integer = 0;
    for (int k = 0; k < set->num_linears; k++)
        integer += block->linears[set->linears[k]].integer != NULL;
    if (integer)
        bs_coded_rows_encode(&block->activations, block->set_params[number], x, coded);
    if (goes_on || integer < set->num_linears)
        bs_activations_apply(&block->activations, block->set_params[number], x, tokens, in, in);
    return (struct set_input){.x = x, .coded = integer ? coded : NULL};
}

static void clip(float *x, size_t count, float most)
{
    for (size_t i = 0; i < count; i++)
        x[i] = x[i] < -most ? -most : x[i] > most ? most : x[i]; /* lets a NaN through */
}

/* qkv [tokens] rows of q, k and v side by side. Where one tensor holds all three, they are
 * quantized as one. */
static void project(const struct bs_block *block, const struct set_input *x, float *qkv, int width,
                    int tokens, const struct bs_observer *observer, struct bs_scratch *scratch)
{
    const struct bs_activations *activations = &block->activations;
    bool fused = block->architecture->family->fused_qkv != NULL;
    float *at = qkv;
    for (enum bs_role role = BS_Q; role <= BS_V; role++) {
        const struct bs_linear *l = &block->linears[role];
        linear_of(l, x, at, width, tokens, scratch);
        if (observer && observer->qkv_output)
            observer->qkv_output(observer->context, role, at, tokens, l->out_features, width);
        if (activations->bmm_input && !fused)
            bs_activations_apply(activations, block->bmm_params[role - BS_Q], at, tokens,
                                 l->out_features, width);
        at += l->out_features;
    }
    if (activations->bmm_input && fused)
        bs_activations_apply(activations, block->bmm_params[0], qkv, tokens, width, width);
    if (block->architecture->qkv_clip > 0)
        clip(qkv, (size_t)tokens * (size_t)width, block->architecture->qkv_clip);
}

/* The norm of q or k over x, [tokens] rows of `heads` heads, `stride` floats apart. */
static void norm_heads(const struct bs_block *block, enum bs_norm_place place, float *x, int tokens,
                       int heads, int stride)
{
    const struct bs_architecture *a = block->architecture;
    const struct bs_norm *norm = &block->norms[place];
    int width = heads * a->head_dim;
    int span = a->family->qk_norm == BS_QK_NORM_WHOLE ? width : a->head_dim;
    for (int t = 0; norm->width && t < tokens; t++)
        for (int at = 0; at < width; at += span) {
            int first = at % norm->width; /* 0 where all heads share the weights */
            struct bs_norm part = {.kind = norm->kind,
                                   .width = span,
                                   .weight = norm->weight + first,
                                   .bias = norm->bias ? norm->bias + first : NULL};
            float *row = x + (size_t)t * (size_t)stride + at;
            bs_norm_apply(a, &part, row, row, 1);
        }
}

/* Multiplies the queries of q, [tokens] rows of `width` floats, `stride` floats apart, by what their
 * positions ask for. */
static void scale_queries(const struct bs_query_scaling *scaling, float *q, int tokens, int width,
                          int stride)
{
    for (int t = 0; scaling->beta > 0 && t < tokens; t++) {
        float factor = 1 + scaling->beta * logf(1 + floorf((float)t / scaling->positions));
        for (int j = 0; j < width; j++)
            q[(size_t)t * (size_t)stride + (size_t)j] *= factor;
    }
}

/* heads [tokens][num_heads * head_dim]: everything of attention between its input and o_proj. */
static void attention_heads(const struct bs_block *block, const struct bs_rope *rope,
                            const struct set_input *x, float *heads, int tokens,
                            const struct bs_observer *observer, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    int d = a->head_dim, q_width = a->num_heads * d, kv_width = a->num_kv_heads * d;
    int width = q_width + 2 * kv_width;
    bool local = bs_is_local(a, block->index);
    size_t mark = scratch->used;
    float *qkv = bs_scratch_take(scratch, (size_t)tokens * (size_t)width);
    float *k = qkv + q_width;
    project(block, x, qkv, width, tokens, observer, scratch);
    norm_heads(block, BS_NORM_Q, qkv, tokens, a->num_heads, width);
    norm_heads(block, BS_NORM_K, k, tokens, a->num_kv_heads, width);
    if (bs_is_rotated(a, block->index)) {
        bs_rotate(rope, local, qkv, tokens, a->num_heads, d, width);
        bs_rotate(rope, local, k, tokens, a->num_kv_heads, d, width);
    }
    scale_queries(&a->query_scaling, qkv, tokens, q_width, width);
    int layers = a->attention_scale_by_layer ? block->index + 1 : 1;
    struct bs_heads in = {.architecture = a,
                          .scale = a->attention_scale / (float)layers,
                          .tokens = tokens,
                          .width = width,
                          .q = qkv,
                          .k = k,
                          .v = k + kv_width,
                          .window = local ? a->sliding_window : tokens};
    bs_attend(&in, heads, scratch);
    scratch->used = mark;
}

/* hidden [tokens][intermediate]: everything of the MLP between its input and down_proj. */
static void mlp_hidden(const struct bs_block *block, const struct set_input *x, float *hidden,
                       int tokens, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    size_t mark = scratch->used, width = (size_t)a->intermediate_size;
    size_t count = (size_t)tokens * width;
    if (a->family->gated) {
        float *up = bs_scratch_take(scratch, count);
        linear(block, BS_GATE, x, hidden, tokens, scratch);
        linear(block, BS_UP, x, up, tokens, scratch);
        bs_nonlinearity_times(a->activation, hidden, up, count);
    } else {
        linear(block, BS_UP, x, hidden, tokens, scratch);
        bs_nonlinearity_apply(a->activation, hidden, count);
    }
    for (size_t t = 0; block->hidden_scale && t < (size_t)tokens; t++)
        for (size_t j = 0; j < width; j++)
            hidden[t * width + j] /= block->hidden_scale[j];
    scratch->used = mark;
}

/* x [tokens][hidden] = norm(x) where the block has that norm. */
static void norm_in_place(const struct bs_block *block, enum bs_norm_place place, float *x,
                          int tokens)
{
    if (block->norms[place].width)
        bs_norm_apply(block->architecture, &block->norms[place], x, x, tokens);
}

/* in [tokens][hidden] = what a branch reads of the residual stream x: its norm, where one stands
 * before it, or x itself. */
static void read_stream(const struct bs_block *block, enum bs_norm_place place, const float *x,
                        float *in, int tokens)
{
    const struct bs_architecture *a = block->architecture;
    if (a->wiring == BS_POST_NORM || !block->norms[place].width)
        memcpy(in, x, (size_t)tokens * (size_t)a->hidden_size * sizeof *in);
    else
        bs_norm_apply(a, &block->norms[place], x, in, tokens);
}

/* y = x + scale * branch; y may be x or branch. */
static void add_branch(const float *x, const float *branch, float scale, size_t count, float *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = x[i] + scale * branch[i];
}

/* Whether a pass without an output has shown all that it is made for, after this set. */
static bool ends_after(const struct bs_block *block, enum bs_role role, const float *y,
                       const struct bs_observer *observer)
{
    return !y && set_of(block->architecture, role) >= observer->last_set;
}

/* bs_block_forward, whose caller gives the scratch back. */
static void pass_block(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                       float *y, int tokens, const struct bs_observer *observer,
                       struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    bool post = a->wiring == BS_POST_NORM, parallel = a->wiring == BS_PARALLEL;
    bool normed = a->wiring == BS_NORMED_RESIDUAL, goes_on = post || normed;
    size_t rows = (size_t)tokens, count = rows * (size_t)a->hidden_size;
    float *in = bs_scratch_take(scratch, count); /* of a branch */
    float *middle = bs_scratch_take(scratch, count);
    float *heads = bs_scratch_take(scratch, rows * (size_t)(a->num_heads * a->head_dim));
    float *hidden = bs_scratch_take(scratch, rows * (size_t)a->intermediate_size);
    struct bs_coded_rows coded = bs_coded_rows_take(scratch, tokens, a->hidden_size);
    struct bs_coded_rows coded_heads =
        bs_coded_rows_take(scratch, tokens, a->num_heads * a->head_dim);
    struct bs_coded_rows coded_hidden = bs_coded_rows_take(scratch, tokens, a->intermediate_size);

    read_stream(block, BS_NORM_ATTENTION, x, in, tokens);
    struct set_input read = enter_set(block, BS_Q, in, tokens, goes_on, observer, &coded);
    if (ends_after(block, BS_Q, y, observer))
        return;
    attention_heads(block, rope, &read, heads, tokens, observer, scratch);
    struct set_input last = enter_set(block, BS_O, heads, tokens, false, observer, &coded_heads);
    if (ends_after(block, BS_O, y, observer))
        return;
    linear(block, BS_O, &last, middle, tokens, scratch);
    norm_in_place(block, BS_NORM_ATTENTION_OUT, middle, tokens);
    add_branch(goes_on ? in : x, middle, a->residual_scale, count, middle);
    if (post)
        norm_in_place(block, BS_NORM_ATTENTION, middle, tokens);

    if (!parallel || block->norms[BS_NORM_MLP].width) {
        if (!post)
            read_stream(block, BS_NORM_MLP, parallel ? x : middle, in, tokens);
        read = enter_set(block, BS_UP, post ? middle : in, tokens, goes_on, observer, &coded);
        if (ends_after(block, BS_UP, y, observer))
            return;
    } /* else attention's input serves both */
    mlp_hidden(block, &read, hidden, tokens, scratch);
    last = enter_set(block, BS_DOWN, hidden, tokens, false, observer, &coded_hidden);
    if (!y)
        return;
    float *stream = normed ? in : middle, *branch = normed ? middle : in;
    linear(block, BS_DOWN, &last, branch, tokens, scratch);
    norm_in_place(block, BS_NORM_MLP_OUT, branch, tokens);
    add_branch(stream, branch, a->residual_scale, count, y);
    if (post)
        norm_in_place(block, BS_NORM_MLP, y, tokens);
}

void bs_block_forward(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                      float *y, int tokens, const struct bs_observer *observer,
                      struct bs_scratch *scratch)
{
    size_t mark = scratch->used;
    pass_block(block, rope, x, y, tokens, observer, scratch);
    scratch->used = mark;
}

void bs_module_forward(const struct bs_block *block, enum bs_module module,
                       const struct bs_rope *rope, const float *x, float *y, int tokens,
                       struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    size_t mark = scratch->used, rows = (size_t)tokens;
    const struct set_input in = {.x = x};
    if (module == BS_MODULE_ATTENTION) {
        float *heads = bs_scratch_take(scratch, rows * (size_t)(a->num_heads * a->head_dim));
        attention_heads(block, rope, &in, heads, tokens, NULL, scratch);
        linear(block, BS_O, &(struct set_input){.x = heads}, y, tokens, scratch);
    } else if (module == BS_MODULE_MLP) {
        float *hidden = bs_scratch_take(scratch, rows * (size_t)a->intermediate_size);
        mlp_hidden(block, &in, hidden, tokens, scratch);
        linear(block, BS_DOWN, &(struct set_input){.x = hidden}, y, tokens, scratch);
    } else if (module == BS_MODULE_BLOCK) {
        bs_block_forward(block, rope, x, y, tokens, NULL, scratch);
    }
    scratch->used = mark;
}

/* Of the codes of all sets' inputs, and of one product that is not of floats. */
static size_t packed_floats(const struct bs_architecture *a, int tokens)
{
    size_t product = 0;
    for (enum bs_role role = BS_Q; role < BS_NUM_ROLES; role++) {
        if (!bs_has_role(a, role))
            continue;
        int out = bs_out_features(a, role), in = bs_in_features(a, role);
        size_t integer = bs_integer_forward_floats(out);
        size_t bfloat16 = bs_gemm_nt_packed_floats(out, in);
        product = integer > product ? integer : product;
        product = bfloat16 > product ? bfloat16 : product;
    }
    return bs_coded_rows_floats(tokens, a->hidden_size) +
           bs_coded_rows_floats(tokens, a->num_heads * a->head_dim) +
           bs_coded_rows_floats(tokens, a->intermediate_size) + product;
}

size_t bs_block_scratch_floats(const struct bs_architecture *a, int tokens)
{
    size_t rows = (size_t)tokens, d = (size_t)a->head_dim;
    size_t hidden = bs_scratch_floats(rows * (size_t)a->hidden_size);
    size_t heads = bs_scratch_floats(rows * (size_t)a->num_heads * d);
    size_t qkv = bs_scratch_floats(rows * (size_t)(a->num_heads + 2 * a->num_kv_heads) * d);
    size_t wide = bs_scratch_floats(rows * (size_t)a->intermediate_size);
    size_t attention = qkv + bs_attend_floats(a, (int)rows);
    size_t inner = attention > wide ? attention : wide;
    return 3 * hidden + heads + wide + inner + packed_floats(a, tokens);
}
