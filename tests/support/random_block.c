#include "tests/support/random_block.h"
#include "tests/support/settings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/vector.h"
#include "eval/run/apply.h"

const struct random_shape small_shape = {.hidden = 40,
                                         .intermediate = 56,
                                         .heads = 4,
                                         .kv_heads = 2,
                                         .head_dim = 8,
                                         .windows = 5,
                                         .tokens = 70,
                                         .seed = 1};

const struct random_shape expert_shape = {.hidden = 40,
                                          .intermediate = 24,
                                          .heads = 4,
                                          .kv_heads = 2,
                                          .head_dim = 8,
                                          .windows = 5,
                                          .tokens = 70,
                                          .seed = 2,
                                          .experts = 6,
                                          .per_token = 2};

const struct random_shape block_shapes[2] = {{.hidden = 64,
                                              .intermediate = 128,
                                              .heads = 2,
                                              .kv_heads = 1,
                                              .head_dim = 32,
                                              .windows = 3,
                                              .tokens = 40,
                                              .seed = 3},
                                             {.hidden = 256,
                                              .intermediate = 256,
                                              .heads = 2,
                                              .kv_heads = 1,
                                              .head_dim = 128,
                                              .windows = 3,
                                              .tokens = 60,
                                              .seed = 3}};

/* SplitMix64. */
static uint64_t next_draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

float random_unit(uint64_t *state) { return (float)(next_draw(state) >> 40) / (float)(1 << 24); }

float random_normal(uint64_t *state)
{
    /* Four uniform draws have variance 1/3. */
    float sum = random_unit(state) + random_unit(state) + random_unit(state) + random_unit(state);
    return (sum - 2.0f) * 1.7320508f;
}

void random_fill(float *x, size_t count, float scale, uint64_t seed)
{
    for (size_t i = 0; i < count; i++)
        x[i] = scale * random_normal(&seed);
}

static float *filled(size_t count, float value)
{
    float *x = bs_alloc(count, sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = value;
    return x;
}

static void fill_linear(struct random_block *random, int s, uint64_t *seed)
{
    const struct bs_slot *slot = &random->architecture.programs[0].slots[s];
    struct bs_linear *linear = &random->block.linears[s];
    *linear =
        (struct bs_linear){.name = slot->name, .out_features = slot->out, .in_features = slot->in};
    size_t out = (size_t)linear->out_features, in = (size_t)linear->in_features;
    linear->weight = filled(out * in, 0);
    for (size_t i = 0; i < out * in; i++)
        linear->weight[i] = 0.15f * random_normal(seed);
    struct bs_error err;
    assert_int_equal(bs_bases_init(&linear->in, (int)in, &err), BS_OK);
    assert_int_equal(bs_bases_init(&linear->out, (int)out, &err), BS_OK);
}

/* One expert's products are far below all others. */
static void send_nothing(struct random_block *random)
{
    struct bs_linear *router =
        &random->block.linears[bs_program_slot(random->block.program, "router")];
    router->bias = filled((size_t)router->out_features, 0);
    router->bias[UNREACHED] = -1000;
}

/* Every channel is its own draw and a share of one that the whole token has in common. */
static void fill_inputs(struct bs_stream *inputs, uint64_t *seed)
{
    for (int t = 0; t < inputs->windows * inputs->tokens; t++) {
        float common = random_normal(seed);
        for (int j = 0; j < inputs->width; j++) {
            float size = j % 11 == 3 ? 4.0f : 1.0f;
            inputs->data[(size_t)t * (size_t)inputs->width + (size_t)j] =
                size * (random_normal(seed) + 0.6f * common);
        }
    }
}

void random_block_init(struct random_block *random, const struct random_shape *shape)
{
    struct bs_error err;
    uint64_t seed = shape->seed;
    struct bs_architecture *a = &random->architecture;
    const char *family = shape->experts ? "mixtral" : "llama";
    *a = (struct bs_architecture){.family = bs_family_find(family),
                                  .stored = *bs_family_find(family),
                                  .hidden_size = shape->hidden,
                                  .intermediate_size = shape->intermediate,
                                  .num_layers = 1,
                                  .num_heads = shape->heads,
                                  .num_kv_heads = shape->kv_heads,
                                  .head_dim = shape->head_dim,
                                  .vocab_size = 16,
                                  .max_positions = shape->tokens,
                                  .embedding_size = shape->hidden,
                                  .norm_eps = 1e-5f,
                                  .activation = BS_SILU,
                                  .rotary_dim = shape->head_dim,
                                  .rope = {.theta = 10000, .attention_factor = 1},
                                  .attention_scale = 1.0f / sqrtf((float)shape->head_dim),
                                  .embedding_scale = 1,
                                  .residual_scale = 1,
                                  .logit_scale = 1,
                                  .experts = {.count = shape->experts,
                                              .per_token = shape->per_token,
                                              .size = shape->intermediate,
                                              .normed = true},
                                  .biases = shape->experts ? BS_BIASES_ROUTER : 0,
                                  .final_norm = true};
    a->norms = bs_family_norms(a->family);
    assert_int_equal(bs_programs_build(a, &err), BS_OK);
    const struct bs_program *p = &a->programs[0];
    random->block = (struct bs_block){.architecture = a, .program = p};
    random->block.linears = bs_calloc((size_t)p->num_slots, sizeof(struct bs_linear));
    random->block.sites = bs_calloc((size_t)p->num_values, sizeof(struct bs_site_setting));
    assert_true(random->block.linears && random->block.sites);
    for (int s = 0; s < p->num_slots; s++)
        fill_linear(random, s, &seed);
    if (shape->experts)
        send_nothing(random);
    for (int n = BS_NORM_ATTENTION; n <= BS_NORM_MLP; n++) {
        struct bs_norm *norm = &random->block.norms[n];
        *norm =
            (struct bs_norm){.width = a->hidden_size, .weight = filled((size_t)a->hidden_size, 0)};
        for (int j = 0; j < a->hidden_size; j++)
            norm->weight[j] = 0.7f + 0.6f * random_unit(&seed);
    }
    assert_int_equal(
        bs_stream_init(&random->inputs, shape->windows, shape->tokens, shape->hidden, &err), BS_OK);
    fill_inputs(&random->inputs, &seed);
    random->rope = bs_rope_create(a, &shape->tokens, 1);
    random->scratch = bs_scratch_create(MOST_THREADS, bs_block_scratch_floats(a, shape->tokens));
    assert_true(random->rope && random->scratch);
}

void random_block_release(struct random_block *random)
{
    bs_block_release(&random->block);
    bs_stream_release(&random->inputs);
    bs_rope_free(random->rope);
    bs_scratch_free(random->scratch, MOST_THREADS);
}

const struct bs_setting *const *setting_at_slots(const struct bs_setting *weights)
{
    static const struct bs_setting *slots[BS_MAX_SLOTS];
    for (int s = 0; s < BS_MAX_SLOTS; s++)
        slots[s] = weights;
    return slots;
}

void quantize_sites(struct bs_block *block, const struct bs_setting *activations, bool outputs)
{
    const struct bs_program *p = block->program;
    static const struct bs_setting none; /* without a format */
    const struct bs_setting *sites[BS_MAX_VALUES];
    struct bs_error err;
    for (int v = 0; v < p->num_values; v++) {
        bool meant =
            p->values[v].kind == BS_SITE_INPUT || (outputs && p->values[v].kind == BS_SITE_QKV);
        sites[v] = meant ? activations : &none;
    }
    assert_int_equal(bs_block_quantize_sites(block, sites, &err), BS_OK);
}

struct bs_job random_block_job(const struct random_block *random, struct bs_block *block,
                               struct bs_statistics *statistics, const struct bs_setting *weights)
{
    return (struct bs_job){.block = block,
                           .statistics = statistics,
                           .weights = setting_at_slots(weights),
                           .rope = random->rope,
                           .scratch = random->scratch};
}

struct bs_statistics random_block_statistics(const struct random_block *random,
                                             const struct bs_wanted *wanted)
{
    struct bs_error err;
    struct bs_statistics statistics;
    assert_int_equal(bs_calibrate(&random->block, random->rope, &random->inputs, NULL, wanted,
                                  &statistics, NULL, random->scratch, &err),
                     BS_OK);
    return statistics;
}

struct bs_statistics random_block_step_statistics(const struct random_block *random,
                                                  const struct bs_recipe *recipe)
{
    const struct bs_choice *step = &recipe->steps[0];
    struct bs_wanted wanted = {.architecture = &random->architecture,
                               .weights = setting_at_slots(&recipe->weights)};
    if (bs_algorithm_of(step)->needs)
        bs_algorithm_of(step)->needs(step->options, &wanted);
    struct bs_statistics statistics = random_block_statistics(random, &wanted);
    bs_wanted_release(&wanted);
    return statistics;
}

void random_block_prepare(const struct random_block *random, const struct bs_recipe *recipe,
                          struct bs_block *prepared)
{
    struct bs_error err;
    const struct bs_choice *step = &recipe->steps[0];
    struct bs_statistics statistics = random_block_step_statistics(random, recipe);
    assert_int_equal(bs_block_copy(prepared, &random->block, &err), BS_OK);
    struct bs_job job = random_block_job(random, prepared, &statistics, &recipe->weights);
    struct bs_bases residual;
    assert_int_equal(bs_bases_init(&residual, random->architecture.hidden_size, &err), BS_OK);
    assert_int_equal(bs_apply_model(recipe, &random->architecture, &residual, &err), BS_OK);
    job.residual = &residual;
    if (bs_algorithm_of(step)->prepare_block(step->options, &job, &err))
        fail_msg("%s", err.message);
    bs_bases_release(&residual);
    bs_statistics_release(&statistics);
}

/* y = block(x), both in the checkpoint's basis. */
static void forward_as_was(const struct random_block *random, const struct bs_block *block,
                           const float *x, float *y)
{
    int tokens = random->inputs.tokens, width = random->inputs.width;
    float *in = filled((size_t)(tokens + 1) * (size_t)width, 0), *room = in + tokens * width;
    memcpy(in, x, (size_t)tokens * (size_t)width * sizeof *in);
    if (block->residual.count)
        bs_bases_apply(&block->residual, in, tokens, room);
    bs_block_forward(block, random->rope, in, y, tokens, NULL, random->scratch);
    if (block->residual.count)
        bs_bases_undo(&block->residual, y, tokens, room);
    bs_free(in);
}

double outputs_apart(const struct random_block *random, const struct bs_block *a,
                     const struct bs_block *b)
{
    const struct bs_stream *inputs = &random->inputs;
    size_t count = (size_t)inputs->tokens * (size_t)inputs->width;
    float *y = filled(2 * count, 0), *z = y + count;
    double most = 0, size = 0;
    for (int w = 0; w < inputs->windows; w++) {
        const float *x = bs_stream_window(inputs, w);
        forward_as_was(random, a, x, y);
        forward_as_was(random, b, x, z);
        assert_int_equal(bs_first_not_finite(y, 2 * count), 2 * count);
        for (size_t i = 0; i < count; i++) {
            most = fmax(most, fabs((double)y[i] - (double)z[i]));
            size = fmax(size, fabs((double)y[i]));
        }
    }
    bs_free(y);
    return most / size;
}

void assert_same_on_any_threads(const struct random_block *random, const struct bs_block *block)
{
    const struct bs_stream *inputs = &random->inputs;
    size_t count = (size_t)inputs->windows * (size_t)inputs->tokens * (size_t)inputs->width;
    float *want = filled(count, 0);
    struct bs_error err;
    for (int threads = 1; threads <= MOST_THREADS; threads += 3) {
        struct bs_stream stream;
        assert_int_equal(
            bs_stream_init(&stream, inputs->windows, inputs->tokens, inputs->width, &err), BS_OK);
        memcpy(stream.data, inputs->data, count * sizeof *want);
        bs_set_threads(threads);
        assert_int_equal(bs_stream_push(block, random->rope, &stream, random->scratch, &err),
                         BS_OK);
        if (threads == 1)
            memcpy(want, stream.data, count * sizeof *want);
        assert_memory_equal(stream.data, want, count * sizeof *want);
        bs_stream_release(&stream);
    }
    bs_set_threads(0);
    bs_free(want);
}

/* Which window of which block is on its way. */
struct keeping {
    const struct random_block *random;
    struct site_inputs all, window;
};

int random_block_input(const struct random_block *random, int k)
{
    return random->architecture.programs[0].inputs[k];
}

static size_t site_floats(const struct random_block *random, int site)
{
    return (size_t)random->inputs.tokens *
           (size_t)random->architecture.programs[0].values[site].width;
}

static void keep_input(void *context, int site, const float *x, int tokens, int stride)
{
    const struct keeping *keeping = context;
    assert_int_equal(tokens, keeping->random->inputs.tokens);
    if (!keeping->window.x[site])
        return;
    assert_int_equal(stride, keeping->random->architecture.programs[0].values[site].width);
    memcpy(keeping->window.x[site], x, site_floats(keeping->random, site) * sizeof *x);
}

struct site_inputs random_block_site_inputs(const struct random_block *random)
{
    struct keeping keeping = {.random = random};
    struct bs_observer observer = {.context = &keeping, .site = keep_input};
    const struct bs_stream *inputs = &random->inputs;
    float *y = filled((size_t)inputs->tokens * (size_t)inputs->width, 0);
    int count = random->architecture.programs[0].num_inputs;
    for (int k = 0; k < count; k++) {
        int site = random_block_input(random, k);
        keeping.all.x[site] = filled((size_t)inputs->windows * site_floats(random, site), 0);
    }
    for (int w = 0; w < inputs->windows; w++) {
        for (int k = 0; k < count; k++) {
            int site = random_block_input(random, k);
            keeping.window.x[site] = keeping.all.x[site] + (size_t)w * site_floats(random, site);
        }
        bs_block_forward(&random->block, random->rope, bs_stream_window(inputs, w), y,
                         inputs->tokens, &observer, &random->scratch[0]);
    }
    bs_free(y);
    return keeping.all;
}

void site_inputs_release(struct site_inputs *inputs)
{
    for (int v = 0; v < BS_MAX_VALUES; v++)
        bs_free(inputs->x[v]);
}

static bool same(const void *a, const void *b, size_t bytes)
{
    return (!a && !b) || (a && b && !memcmp(a, b, bytes));
}

/* Whether the same values are turned online, and in the same way. */
static bool same_online(const struct bs_block *a, const struct bs_block *b)
{
    for (int v = 0; v < a->program->num_values; v++) {
        const struct bs_basis none = {.values = NULL};
        const struct bs_basis *x = a->online ? &a->online[v] : &none;
        const struct bs_basis *y = b->online ? &b->online[v] : &none;
        if (!same(x->values, y->values, (size_t)x->width * sizeof(float)) ||
            (x->values && (x->kind != y->kind || x->width != y->width || x->apart != y->apart)))
            return false;
    }
    return true;
}

bool same_block(const struct bs_block *a, const struct bs_block *b)
{
    bool all = same_online(a, b);
    for (int v = 0; v < a->program->num_values; v++)
        all = all && !memcmp(&a->sites[v].fixed, &b->sites[v].fixed, sizeof a->sites[v].fixed);
    for (int n = 0; n < BS_NUM_NORMS; n++)
        all = all &&
              same(a->norms[n].weight, b->norms[n].weight,
                   (size_t)a->norms[n].width * sizeof(float)) &&
              same(a->norms[n].bias, b->norms[n].bias, (size_t)a->norms[n].width * sizeof(float));
    for (int r = 0; r < a->program->num_slots && all; r++) {
        const struct bs_linear *x = &a->linears[r], *y = &b->linears[r];
        size_t out = (size_t)x->out_features, in = (size_t)x->in_features;
        all = same(x->weight, y->weight, out * in * sizeof(float)) &&
              bs_bases_equal(&x->in, &y->in) && bs_bases_equal(&x->out, &y->out) &&
              same_codes(&x->codes, &y->codes);
    }
    return all;
}
