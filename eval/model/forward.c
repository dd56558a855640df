/* The forward pass of one generic decoder block over one window, and of the head. */
#include "eval/model/model.h"

#include <math.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"

enum {
    QUERY_TILE = 64, /* rows of the score matrix that exist at a time */
    LEAST_ROWS = 64, /* that scratch is promised for */
};

struct bs_rope {
    int half;
    float *cos, *sin; /* [tokens][half] */
};

struct bs_rope *bs_rope_create(const struct bs_architecture *a, int tokens)
{
    struct bs_rope *rope = bs_calloc(1, sizeof *rope);
    if (!rope)
        return NULL;
    rope->half = a->head_dim / 2;
    size_t count = (size_t)tokens * (size_t)rope->half;
    rope->cos = bs_alloc(count, sizeof(float));
    rope->sin = bs_alloc(count, sizeof(float));
    if (!rope->cos || !rope->sin) {
        bs_rope_free(rope);
        return NULL;
    }
    for (int j = 0; j < rope->half; j++) {
        /* In float as transformers has it: the rounding of the frequency shows at late positions.
         */
        float power = powf((float)a->rope_theta, (float)(2 * j) / (float)a->head_dim);
        float frequency = 1.0f / power;
        for (int t = 0; t < tokens; t++) {
            size_t at = (size_t)t * (size_t)rope->half + (size_t)j;
            rope->cos[at] = cosf((float)t * frequency);
            rope->sin[at] = sinf((float)t * frequency);
        }
    }
    return rope;
}

void bs_rope_free(struct bs_rope *rope)
{
    if (!rope)
        return;
    bs_free(rope->cos);
    bs_free(rope->sin);
    bs_free(rope);
}

/* Rotates every head of x [tokens][heads][head_dim]; halves are paired as Llama checkpoints are. */
static void rotate(const struct bs_rope *rope, float *x, int tokens, int heads)
{
    int half = rope->half;
    for (int t = 0; t < tokens; t++) {
        const float *c = rope->cos + (size_t)t * (size_t)half;
        const float *s = rope->sin + (size_t)t * (size_t)half;
        for (int h = 0; h < heads; h++) {
            float *low = x + ((size_t)t * (size_t)heads + (size_t)h) * 2 * (size_t)half;
            float *high = low + half;
            for (int j = 0; j < half; j++) {
                float a = low[j], b = high[j];
                low[j] = a * c[j] - b * s[j];
                high[j] = b * c[j] + a * s[j];
            }
        }
    }
}

/* Causal softmax of scores [rows][width] whose row r is query first + r, in place. */
static void causal_softmax(float *scores, int rows, int width, int first)
{
    for (int r = 0; r < rows; r++) {
        float *row = scores + (size_t)r * (size_t)width;
        size_t seen = (size_t)(first + r + 1);
        float low, high;
        bs_min_max(row, seen, &low, &high);
        float inverse = 1.0f / bs_exp_shifted(row, seen, high);
        for (size_t j = 0; j < seen; j++)
            row[j] *= inverse;
        memset(row + seen, 0, ((size_t)width - seen) * sizeof *row);
    }
}

/* out [tokens][num_heads * head_dim] = attention of rotated q, k and v. */
static void attend(const struct bs_architecture *a, const float *q, const float *k, const float *v,
                   float *out, int tokens, struct bs_scratch *scratch)
{
    int d = a->head_dim, q_width = a->num_heads * d, kv_width = a->num_kv_heads * d;
    int shared = a->num_heads / a->num_kv_heads;
    float scale = 1.0f / sqrtf((float)d);
    size_t mark = scratch->used;
    float *scores = bs_scratch_take(scratch, (size_t)QUERY_TILE * (size_t)tokens);
    for (int h = 0; h < a->num_heads; h++) {
        const float *keys = k + h / shared * d, *values = v + h / shared * d;
        for (int first = 0; first < tokens; first += QUERY_TILE) {
            int rows = tokens - first < QUERY_TILE ? tokens - first : QUERY_TILE;
            int width = first + rows;
            size_t at = (size_t)first * (size_t)q_width + (size_t)(h * d);
            bs_gemm_nt(rows, width, d, scale, q + at, q_width, keys, kv_width, 0, scores, width);
            causal_softmax(scores, rows, width, first);
            bs_gemm_nn(rows, d, width, 1, scores, width, values, kv_width, 0, out + at, q_width);
        }
    }
    scratch->used = mark;
}

void bs_linear_forward(const struct bs_linear *linear, const float *x, float *y, int tokens)
{
    bs_gemm_nt(tokens, linear->out_features, linear->in_features, 1, x, linear->in_features,
               linear->weight, linear->in_features, 0, y, linear->out_features);
}

void bs_activations_apply(const struct bs_activations *activations, struct bs_params fixed,
                          float *x, int tokens, int features)
{
    if (activations->bits == BS_BITS_NONE)
        return;
    struct bs_format format = bs_activations_format(activations);
    bool per_token = activations->granularity == BS_ACT_TOKEN;
    int rows = per_token ? tokens : 1;
    size_t count = (size_t)features * (size_t)(per_token ? 1 : tokens);
    for (int t = 0; t < rows; t++) {
        float *row = x + (size_t)t * count;
        struct bs_params params = activations->granularity == BS_ACT_TENSOR_STATIC
                                      ? fixed
                                      : bs_format_fit(&format, row, count);
        bs_format_round(&format, params, row, count);
    }
}

/* Shows a set's input to the observer, then quantizes it. */
static void enter_set(const struct bs_block *block, int set, float *x, int tokens,
                      const struct bs_observer *observer)
{
    const struct bs_set *s = &block->architecture->family->sets[set];
    if (observer && observer->set_input)
        observer->set_input(observer->context, set, x, tokens);
    bs_activations_apply(&block->activations, block->set_params[set], x, tokens,
                         block->linears[s->linears[0]].in_features);
}

static void project(const struct bs_block *block, enum bs_role role, const float *x, float *y,
                    int tokens, const struct bs_observer *observer)
{
    const struct bs_linear *linear = &block->linears[role];
    bs_linear_forward(linear, x, y, tokens);
    if (observer && observer->qkv_output)
        observer->qkv_output(observer->context, role, y, tokens, linear->out_features);
    if (block->activations.bmm_input)
        bs_activations_apply(&block->activations, block->bmm_params[role - BS_Q], y, tokens,
                             linear->out_features);
}

/* heads [tokens][num_heads * head_dim]: everything of attention between its input and o_proj. */
static void attention_heads(const struct bs_block *block, const struct bs_rope *rope,
                            const float *x, float *heads, int tokens,
                            const struct bs_observer *observer, struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    size_t mark = scratch->used, rows = (size_t)tokens, d = (size_t)a->head_dim;
    float *q = bs_scratch_take(scratch, rows * (size_t)a->num_heads * d);
    float *k = bs_scratch_take(scratch, rows * (size_t)a->num_kv_heads * d);
    float *v = bs_scratch_take(scratch, rows * (size_t)a->num_kv_heads * d);
    project(block, BS_Q, x, q, tokens, observer);
    project(block, BS_K, x, k, tokens, observer);
    project(block, BS_V, x, v, tokens, observer);
    rotate(rope, q, tokens, a->num_heads);
    rotate(rope, k, tokens, a->num_kv_heads);
    attend(a, q, k, v, heads, tokens, scratch);
    scratch->used = mark;
}

/* hidden [tokens][intermediate]: everything of the MLP between its input and down_proj. */
static void mlp_hidden(const struct bs_block *block, const float *x, float *hidden, int tokens,
                       struct bs_scratch *scratch)
{
    size_t mark = scratch->used;
    size_t count = (size_t)tokens * (size_t)block->architecture->intermediate_size;
    float *up = bs_scratch_take(scratch, count);
    bs_linear_forward(&block->linears[BS_GATE], x, hidden, tokens);
    bs_linear_forward(&block->linears[BS_UP], x, up, tokens);
    bs_silu_times(hidden, up, count);
    scratch->used = mark;
}

static void add(const float *x, float *y, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += x[i];
}

void bs_block_forward(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                      float *y, int tokens, const struct bs_observer *observer,
                      struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    size_t mark = scratch->used, rows = (size_t)tokens, count = rows * (size_t)a->hidden_size;
    float *normed = bs_scratch_take(scratch, count);
    float *middle = bs_scratch_take(scratch, count);
    float *heads = bs_scratch_take(scratch, rows * (size_t)(a->num_heads * a->head_dim));
    float *hidden = bs_scratch_take(scratch, rows * (size_t)a->intermediate_size);

    bs_rms_norm(x, block->norms[0], a->norm_eps, tokens, a->hidden_size, normed);
    enter_set(block, 0, normed, tokens, observer);
    attention_heads(block, rope, normed, heads, tokens, observer, scratch);
    enter_set(block, 1, heads, tokens, observer);
    bs_linear_forward(&block->linears[BS_O], heads, middle, tokens);
    add(x, middle, count);

    bs_rms_norm(middle, block->norms[1], a->norm_eps, tokens, a->hidden_size, normed);
    enter_set(block, 2, normed, tokens, observer);
    mlp_hidden(block, normed, hidden, tokens, scratch);
    enter_set(block, 3, hidden, tokens, observer);
    bs_linear_forward(&block->linears[BS_DOWN], hidden, y, tokens);
    add(middle, y, count);
    scratch->used = mark;
}

void bs_module_forward(const struct bs_block *block, enum bs_module module,
                       const struct bs_rope *rope, const float *x, float *y, int tokens,
                       struct bs_scratch *scratch)
{
    const struct bs_architecture *a = block->architecture;
    size_t mark = scratch->used, rows = (size_t)tokens;
    if (module == BS_MODULE_ATTENTION) {
        float *heads = bs_scratch_take(scratch, rows * (size_t)(a->num_heads * a->head_dim));
        attention_heads(block, rope, x, heads, tokens, NULL, scratch);
        bs_linear_forward(&block->linears[BS_O], heads, y, tokens);
    } else if (module == BS_MODULE_MLP) {
        float *hidden = bs_scratch_take(scratch, rows * (size_t)a->intermediate_size);
        mlp_hidden(block, x, hidden, tokens, scratch);
        bs_linear_forward(&block->linears[BS_DOWN], hidden, y, tokens);
    }
    scratch->used = mark;
}

size_t bs_block_scratch_floats(const struct bs_architecture *a, int tokens)
{
    size_t rows = tokens > LEAST_ROWS ? (size_t)tokens : LEAST_ROWS, d = (size_t)a->head_dim;
    size_t hidden = bs_scratch_floats(rows * (size_t)a->hidden_size);
    size_t heads = bs_scratch_floats(rows * (size_t)a->num_heads * d);
    size_t kv = bs_scratch_floats(rows * (size_t)a->num_kv_heads * d);
    size_t wide = bs_scratch_floats(rows * (size_t)a->intermediate_size);
    size_t attention = heads + 2 * kv + bs_scratch_floats(QUERY_TILE * rows);
    size_t inner = attention > wide ? attention : wide;
    return 3 * hidden + heads + wide + inner;
}

void bs_head_forward(const struct bs_head *head, const float *x, int tokens, float *logits,
                     struct bs_scratch *scratch)
{
    size_t mark = scratch->used;
    float *normed = bs_scratch_take(scratch, (size_t)tokens * (size_t)head->hidden_size);
    bs_rms_norm(x, head->norm, head->norm_eps, tokens, head->hidden_size, normed);
    bs_gemm_nt(tokens, head->vocab_size, head->hidden_size, 1, normed, head->hidden_size,
               head->weight, head->hidden_size, 0, logits, head->vocab_size);
    scratch->used = mark;
}
