/* The block's forward pass against a naive twin in double, piece by piece and whole; activation
 * quantization by hand and at each place of the block; folded factors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/linalg/blas.h"
#include "tests/support/close.h"
#include "tests/support/settings.h"
#include "tests/support/random_block.h"

enum { MOST_TOKENS = 130, WIDEST = 64, FLOATS = MOST_TOKENS * WIDEST };

/* out [tokens][out_features] of x [tokens][in_features]. */
static void twin_linear(const struct bs_linear *linear, const double *x, int tokens, double *out)
{
    int m = linear->out_features, n = linear->in_features;
    for (int t = 0; t < tokens; t++)
        for (int i = 0; i < m; i++) {
            out[t * m + i] = 0;
            for (int j = 0; j < n; j++)
                out[t * m + i] += (double)linear->weight[i * n + j] * x[t * n + j];
        }
}

static void twin_norm(const double *x, const float *weight, double eps, int tokens, int width,
                      double *out)
{
    for (int t = 0; t < tokens; t++) {
        double mean = 0;
        for (int j = 0; j < width; j++)
            mean += x[t * width + j] * x[t * width + j] / width;
        for (int j = 0; j < width; j++)
            out[t * width + j] = x[t * width + j] / sqrt(mean + eps) * (double)weight[j];
    }
}

/* Component j of head h at token t, after rotation: pairs are (j, j + d / 2), angle t
 * theta^(-2j/d). */
static double rotated(const struct bs_architecture *a, const double *x, int heads, int t, int h,
                      int j)
{
    int d = a->head_dim, half = d / 2, low = j % half;
    const double *head = x + (t * heads + h) * d;
    double angle = t * pow(a->rope.theta, -2.0 * low / d);
    double real = head[low], imaginary = head[low + half];
    return j < half ? real * cos(angle) - imaginary * sin(angle)
                    : imaginary * cos(angle) + real * sin(angle);
}

/* heads [tokens][num_heads * head_dim] of unrotated q, k, v: query head h looks at key head
 * h / (num_heads / num_kv_heads), a token at itself and those before it. */
static void twin_attention(const struct bs_architecture *a, const double *q, const double *k,
                           const double *v, int tokens, double *heads)
{
    int d = a->head_dim, kv = a->num_kv_heads;
    for (int h = 0; h < a->num_heads; h++)
        for (int t = 0; t < tokens; t++) {
            int shared = h / (a->num_heads / kv);
            double weight[MOST_TOKENS], sum = 0;
            double *out = heads + (t * a->num_heads + h) * d;
            for (int s = 0; s <= t; s++) {
                double score = 0;
                for (int j = 0; j < d; j++)
                    score += rotated(a, q, a->num_heads, t, h, j) * rotated(a, k, kv, s, shared, j);
                weight[s] = exp(score / sqrt(d));
                sum += weight[s];
            }
            for (int j = 0; j < d; j++) {
                out[j] = 0;
                for (int s = 0; s <= t; s++)
                    out[j] += weight[s] / sum * v[(s * kv + shared) * d + j];
            }
        }
}

/* y [tokens][hidden] of the attention's or the MLP's input. */
static void twin_attention_module(const struct bs_block *block, const double *x, int tokens,
                                  double *y)
{
    static double q[FLOATS], k[FLOATS], v[FLOATS], heads[FLOATS];
    twin_linear(&block->linears[SLOT_Q], x, tokens, q);
    twin_linear(&block->linears[SLOT_K], x, tokens, k);
    twin_linear(&block->linears[SLOT_V], x, tokens, v);
    twin_attention(block->architecture, q, k, v, tokens, heads);
    twin_linear(&block->linears[SLOT_O], heads, tokens, y);
}

static void twin_hidden(const struct bs_block *block, const double *x, int tokens, double *hidden)
{
    static double up[FLOATS];
    int count = tokens * block->architecture->intermediate_size;
    twin_linear(&block->linears[SLOT_GATE], x, tokens, hidden);
    twin_linear(&block->linears[SLOT_UP], x, tokens, up);
    for (int i = 0; i < count; i++)
        hidden[i] *= up[i] / (1 + exp(-hidden[i]));
}

static void twin_mlp_module(const struct bs_block *block, const double *x, int tokens, double *y)
{
    static double hidden[FLOATS];
    twin_hidden(block, x, tokens, hidden);
    twin_linear(&block->linears[SLOT_DOWN], hidden, tokens, y);
}

static void twin_block(const struct bs_block *block, const float *x, int tokens, double *y)
{
    static double residual[FLOATS], normed[FLOATS];
    const struct bs_architecture *a = block->architecture;
    int width = a->hidden_size;
    double eps = (double)a->norm_eps;
    for (int i = 0; i < tokens * width; i++)
        residual[i] = (double)x[i];
    twin_norm(residual, block->norms[0].weight, eps, tokens, width, normed);
    twin_attention_module(block, normed, tokens, y);
    for (int i = 0; i < tokens * width; i++)
        residual[i] += y[i];
    twin_norm(residual, block->norms[1].weight, eps, tokens, width, normed);
    twin_mlp_module(block, normed, tokens, y);
    for (int i = 0; i < tokens * width; i++)
        y[i] += residual[i];
}

static void assert_all_close(const float *got, const double *want, int count, double absolute)
{
    for (int i = 0; i < count; i++)
        assert_close((double)got[i], want[i], absolute, 1e-5);
}

static struct random_block random_;
static struct bs_block *block = &random_.block;

static int setup(void **state)
{
    (void)state;
    struct random_shape shape = small_shape;
    shape.windows = 1;
    shape.tokens = MOST_TOKENS;
    bs_blas_init();
    random_block_init(&random_, &shape);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    random_block_release(&random_);
    return 0;
}

/* Before each test, whatever the one before left. */
static int without_activation_quantization(void **state)
{
    (void)state;
    bs_block_clear_sites(block);
    return 0;
}

/* Windows around the tile of 64 queries, each with exactly the scratch that was promised. */
static const int lengths[] = {1, 2, 63, 64, 65, 70, 128, 130};
enum { NUM_LENGTHS = sizeof lengths / sizeof *lengths };

static void block_equals_its_twin(void **state)
{
    (void)state;
    static float y[FLOATS];
    static double want[FLOATS];
    int width = random_.architecture.hidden_size;
    for (int k = 0; k < NUM_LENGTHS; k++) {
        int tokens = lengths[k];
        struct bs_scratch *scratch =
            bs_scratch_create(1, bs_block_scratch_floats(&random_.architecture, tokens));
        assert_non_null(scratch);
        /* There is room for one output besides. */
        float *out = bs_scratch_take(scratch, (size_t)(tokens * width));
        bs_block_forward(block, random_.rope, random_.inputs.data, out, tokens, NULL, scratch);
        assert_int_equal(scratch->used, bs_scratch_floats((size_t)(tokens * width)));
        memcpy(y, out, (size_t)(tokens * width) * sizeof *y);
        twin_block(block, random_.inputs.data, tokens, want);
        assert_all_close(y, want, tokens * width, 2e-5);
        /* and may be written over the input */
        memcpy(out, random_.inputs.data, (size_t)(tokens * width) * sizeof *out);
        bs_block_forward(block, random_.rope, out, out, tokens, NULL, scratch);
        assert_memory_equal(out, y, (size_t)(tokens * width) * sizeof *y);
        bs_scratch_free(scratch, 1);
    }
}

/* The site that linears read as the k-th, and one by its name. */
static int input(int k) { return random_block_input(&random_, k); }

static int site(const char *name)
{
    return bs_program_find(&random_.architecture.programs[0], name);
}

struct counted {
    int shown[BS_MAX_VALUES];
};

static void count_site(void *context, int value, const float *x, int tokens, int stride)
{
    (void)x, (void)tokens, (void)stride;
    struct counted *counted = context;
    counted->shown[value]++;
}

static void a_pass_without_output_ends_where_the_observer_says(void **state)
{
    (void)state;
    for (int last = 0; last < 4; last++) {
        struct counted counted = {.shown = {0}};
        struct bs_observer observer = {
            .context = &counted, .site = count_site, .last = input(last)};
        bs_block_forward(block, random_.rope, random_.inputs.data, NULL, 70, &observer,
                         &random_.scratch[0]);
        for (int k = 0; k < 4; k++)
            assert_int_equal(counted.shown[input(k)], k <= last);
        assert_int_equal(counted.shown[site("q")], last > 0);
        assert_int_equal(counted.shown[site("value")], last > 0);
        assert_int_equal(counted.shown[site("resid_mid")], last > 1);
        assert_int_equal(counted.shown[site("resid_post")], 0);
        assert_int_equal(random_.scratch[0].used, 0);
    }
}

static void scratch_holds_64_rows_of_the_widest_linear_twice(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_architecture a = random_.architecture;
    assert_true(bs_block_scratch_floats(&a, 1) >= 2 * 64 * 56);
    a.intermediate_size = 8; /* the widest is now hidden_size */
    assert_int_equal(bs_programs_build(&a, &err), BS_OK);
    assert_true(bs_block_scratch_floats(&a, 1) >= 2 * 64 * 40);
}

static void modules_equal_their_twins(void **state)
{
    (void)state;
    static float y[FLOATS];
    static double x[FLOATS], want[FLOATS];
    int width = random_.architecture.hidden_size;
    for (int i = 0; i < MOST_TOKENS * width; i++)
        x[i] = (double)random_.inputs.data[i];
    /* The modules know nothing of activation quantization. */
    const struct bs_setting *activations = activations_setting("bits=2 sharing=window");
    quantize_sites(block, activations, false);
    struct bs_part attention, mlp;
    assert_true(bs_program_inspected(&random_.architecture.programs[0], input(0), &attention));
    assert_true(bs_program_inspected(&random_.architecture.programs[0], input(2), &mlp));
    assert_int_equal(attention.to, site("attn_output"));
    assert_int_equal(mlp.to, site("mlp_output"));
    for (int k = 0; k < NUM_LENGTHS; k++) {
        int tokens = lengths[k];
        bs_part_forward(block, attention, random_.rope, random_.inputs.data, y, tokens,
                        &random_.scratch[0]);
        twin_attention_module(block, x, tokens, want);
        assert_all_close(y, want, tokens * width, 2e-5);
        bs_part_forward(block, mlp, random_.rope, random_.inputs.data, y, tokens,
                        &random_.scratch[0]);
        twin_mlp_module(block, x, tokens, want);
        assert_all_close(y, want, tokens * width, 5e-5);
    }
}

static void a_token_does_not_see_later_ones(void **state)
{
    (void)state;
    static float x[FLOATS], before[FLOATS], after[FLOATS];
    int width = random_.architecture.hidden_size;
    memcpy(x, random_.inputs.data, (size_t)(100 * width) * sizeof *x);
    bs_block_forward(block, random_.rope, x, before, 100, NULL, &random_.scratch[0]);
    for (int changed = 1; changed < 100; changed += 21) {
        x[changed * width] += 1;
        bs_block_forward(block, random_.rope, x, after, 100, NULL, &random_.scratch[0]);
        x[changed * width] -= 1;
        assert_memory_equal(after, before, (size_t)(changed * width) * sizeof *x);
        assert_memory_not_equal(after + 99 * width, before + 99 * width, (size_t)width * sizeof *x);
    }
}

static void rows_of(const void *context, int first, int count, float *rows)
{
    memcpy(rows, (const float *)context + first * 40, (size_t)(count * 40) * sizeof *rows);
}

static void head_equals_its_twin(void **state)
{
    (void)state;
    enum { VOCAB = 33, TOKENS = 5 };
    struct bs_error err;
    static float norm[40], weight[VOCAB * 40], logits[TOKENS * VOCAB];
    static double x[TOKENS * 40], normed[TOKENS * 40], want[TOKENS * VOCAB];
    random_fill(norm, 40, 1, 5);
    random_fill(weight, VOCAB * 40, 1, 6);
    struct bs_architecture a = random_.architecture;
    a.vocab_size = VOCAB;
    a.norm_eps = 0.01f;
    struct bs_head head = {
        .architecture = &a, .norm = {.width = 40, .weight = norm}, .run = 12}; /* the last has 9 */
    struct bs_scratch *scratch = bs_scratch_create(1, bs_gemm_nt_packed_floats(12, 40));
    assert_int_equal(bs_head_pack(&head, BS_FLOAT32, rows_of, weight, &err), BS_OK);
    for (int i = 0; i < TOKENS * 40; i++)
        x[i] = (double)random_.inputs.data[i];
    twin_norm(x, norm, (double)a.norm_eps, TOKENS, 40, normed);
    struct bs_linear linear = {.out_features = VOCAB, .in_features = 40, .weight = weight};
    twin_linear(&linear, normed, TOKENS, want);
    float in[TOKENS * 40], part[TOKENS * 12];
    bs_head_inputs(&head, random_.inputs.data, TOKENS, in, &random_.scratch[0]);
    for (int first = 0, ids; first < VOCAB; first += ids) {
        ids = bs_head_logits(&head, BS_FLOAT32, in, TOKENS, first, part, scratch);
        assert_int_equal(ids, VOCAB - first < 12 ? VOCAB - first : 12);
        for (int i = 0; i < TOKENS * ids; i++)
            logits[i / ids * VOCAB + first + i % ids] = part[i];
    }
    assert_all_close(logits, want, TOKENS * VOCAB, 2e-5);
    assert_int_equal(random_.scratch[0].used, 0);
    assert_int_equal(scratch->used, 0);
    bs_scratch_free(scratch, 1);
    head.norm.weight = NULL; /* not the head's own */
    bs_head_release(&head);
}

/* With what static values between -`most` and `most` are rounded by. */
static void assert_applied(const char *settings, float most, const float *want)
{
    const struct bs_setting *setting = activations_setting(settings);
    struct bs_fixed fixed;
    float x[] = {7, -3.4f, 0.5f, 0.7f, 0.24f, -0.26f};
    bs_values_fix(setting, 3, -most, most, &fixed);
    bs_values_round(setting, &fixed, bs_rounder_of(setting, 0), &(struct bs_values){x, 2, 3, 3, 1},
                    &random_.scratch[0]);
    for (int i = 0; i < 6; i++)
        assert_close((double)x[i], (double)want[i], 0, 1e-6);
}

static void activations_by_hand(void **state)
{
    (void)state;
    /* 4 bits, symmetric: scale = largest / 7. A scale a token: 1 and 0.1. */
    assert_applied("bits=4", 14, (float[]){7, -3, 0, 0.7f, 0.2f, -0.3f});
    /* One scale for all: 1. */
    assert_applied("bits=4 sharing=window", 14, (float[]){7, -3, 0, 1, 0, 0});
    /* The scale that was fixed before: 2. */
    assert_applied("bits=4 sharing=static", 14, (float[]){8, -4, 0, 0, 0, 0});
    /* With scale 0.5 the levels end at -4 and 3.5. */
    assert_applied("bits=4 sharing=static", 3.5f, (float[]){3.5f, -3.5f, 0.5f, 0.5f, 0, -0.5f});
    /* An asymmetric grid: scales (7 + 3.4) / 15 and (0.7 + 0.26) / 15, zero points 5 and 4. */
    assert_applied("bits=4 symmetric=false grid=awq", 14,
                   (float[]){6.9333333f, -3.4666667f, 0.6933333f, 0.704f, 0.256f, -0.256f});
    /* Groups of two columns of a token: scales 1 and 0.5 / 7, 0.1 and 0.26 / 7. */
    assert_applied("bits=4 group_size=2", 14, (float[]){7, -3, 0.5f, 0.7f, 0.2f, -0.26f});
}

/* Everything that an observer is shown of one window. */
struct shown {
    float x[BS_MAX_VALUES][FLOATS];
};

static void show(void *context, int value, const float *x, int tokens, int stride)
{
    struct shown *shown = context;
    int width = random_.architecture.programs[0].values[value].width;
    for (int t = 0; t < tokens; t++)
        memcpy(shown->x[value] + t * width, x + t * stride, (size_t)width * sizeof *x);
}

/* What the block makes of values that it was seen to have. */
static void applied(const struct shown *shown, int value, int tokens, double *out)
{
    static float copy[FLOATS];
    int width = random_.architecture.programs[0].values[value].width;
    const struct bs_site_setting *setting = &block->sites[value];
    memcpy(copy, shown->x[value], (size_t)(tokens * width) * sizeof *copy);
    if (setting->setting)
        bs_values_round(setting->setting, &setting->fixed, setting->rounder,
                        &(struct bs_values){copy, tokens, width, width,
                                            random_.architecture.programs[0].values[value].heads},
                        &random_.scratch[0]);
    for (int i = 0; i < tokens * width; i++)
        out[i] = (double)copy[i];
}

/* Every step between two observations, in double, from the earlier to the later one. */
static void assert_steps(const struct shown *shown, const float *x, const float *y, int tokens)
{
    static double a[FLOATS], b[FLOATS], want[FLOATS], qkv[3][FLOATS], middle[FLOATS];
    static const char *const names[3] = {"q", "k", "v"};
    int width = random_.architecture.hidden_size, inner = random_.architecture.intermediate_size;
    double eps = (double)random_.architecture.norm_eps;
    for (int i = 0; i < tokens * width; i++)
        a[i] = (double)x[i];
    twin_norm(a, block->norms[0].weight, eps, tokens, width, want);
    assert_all_close(shown->x[input(0)], want, tokens * width, 1e-6);
    applied(shown, input(0), tokens, a);
    for (int r = 0; r < 3; r++) {
        const struct bs_linear *linear = &block->linears[SLOT_Q + r];
        twin_linear(linear, a, tokens, want);
        assert_all_close(shown->x[site(names[r])], want, tokens * linear->out_features, 1e-5);
        applied(shown, site(names[r]), tokens, qkv[r]);
    }
    twin_attention(&random_.architecture, qkv[0], qkv[1], qkv[2], tokens, want);
    assert_all_close(shown->x[input(1)], want, tokens * block->linears[SLOT_O].in_features, 2e-5);
    applied(shown, input(1), tokens, a);
    twin_linear(&block->linears[SLOT_O], a, tokens, middle);
    for (int i = 0; i < tokens * width; i++)
        middle[i] += (double)x[i];
    twin_norm(middle, block->norms[1].weight, eps, tokens, width, want);
    assert_all_close(shown->x[input(2)], want, tokens * width, 2e-5);
    applied(shown, input(2), tokens, a);
    twin_hidden(block, a, tokens, want);
    assert_all_close(shown->x[input(3)], want, tokens * inner, 2e-5);
    applied(shown, input(3), tokens, a);
    twin_linear(&block->linears[SLOT_DOWN], a, tokens, b);
    for (int i = 0; i < tokens * width; i++)
        b[i] += middle[i];
    assert_all_close(y, b, tokens * width, 2e-5);
}

static void activations_are_quantized_at_their_sites(void **state)
{
    (void)state;
    enum { TOKENS = 70 };
    static struct shown shown;
    static float y[FLOATS];
    struct bs_observer observer = {.context = &shown, .site = show};
    static const char *const settings[] = {"bits=4",
                                           "bits=4 sharing=window",
                                           "bits=4 sharing=static",
                                           "bits=4 group_size=16 rounding=floor",
                                           "bits=4 rounding=stochastic",
                                           "bits=4 sharing=head",
                                           "bits=4 sharing=channel group_size=32 grid=kivi",
                                           "bits=4 keep=0.1 grid=kvquant",
                                           "bits=8 threshold=1.5 grid=bitsandbytes"};
    for (int k = 0; k < 18; k++) {
        const struct bs_setting *activations = activations_setting(settings[k / 2]);
        for (int v = 0; v < block->program->num_values;
             v++) { /* different, so that none can stand for another */
            float most = 0.7f + 0.21f * (float)v;
            bs_values_fix(activations, 40, -most, most, &block->sites[v].fixed);
        }
        quantize_sites(block, activations, k % 2);
        bs_block_forward(block, random_.rope, random_.inputs.data, y, TOKENS, &observer,
                         &random_.scratch[0]);
        assert_steps(&shown, random_.inputs.data, y, TOKENS);
    }
}

/* weight[i][j] stands for the original's W[i][j] * in_scale[j] / out_scale[i]. */
static void assert_accounted(const struct bs_block *folded)
{
    for (int r = 0; r < NUM_SLOTS; r++) {
        const struct bs_linear *got = &folded->linears[r], *original = &block->linears[r];
        for (int i = 0; i < got->out_features; i++)
            for (int j = 0; j < got->in_features; j++) {
                int at = i * got->in_features + j;
                double want = (double)original->weight[at] * (double)got->in.list[0].values[j] /
                              (double)got->out.list[0].values[i];
                assert_close((double)got->weight[at], want, 0, 1e-6);
            }
    }
}

static void folding_keeps_the_function(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_block folded = {.architecture = NULL};
    float scale[WIDEST];
    uint64_t seed = 3;
    static const int sets[] = {0, 2, 3}; /* o_proj's previous linear has fewer rows here */
    for (int exact = 0; exact < 2; exact++) {
        assert_int_equal(bs_block_copy(&folded, block, &err), BS_OK);
        for (int k = 0; k < 3; k++) {
            for (int j = 0; j < WIDEST; j++) {
                float draw = random_unit(&seed);
                scale[j] = exact ? ldexpf(1, (int)(16 * draw) - 8) : 0.2f + 3 * draw;
            }
            assert_int_equal(bs_block_fold(&folded, input(sets[k]), scale, &err), BS_OK);
            double difference = outputs_apart(&random_, block, &folded);
            assert_true(exact ? difference == 0 : difference > 0 && difference < 1e-5);
        }
        assert_false(same_block(block, &folded));
        assert_accounted(&folded);
    }
    bs_block_release(&folded);
}

static void folding_before_o_proj_divides_the_rows_of_v_proj(void **state)
{
    (void)state;
    struct bs_error err;
    struct random_block full;
    struct random_shape shape = {.hidden = 32,
                                 .intermediate = 24,
                                 .heads = 4,
                                 .kv_heads = 4,
                                 .head_dim = 8,
                                 .windows = 1,
                                 .tokens = 70,
                                 .seed = 8};
    struct bs_block folded = {.architecture = NULL};
    float scale[32], y[2][70 * 32];
    random_block_init(&full, &shape);
    assert_int_equal(bs_block_copy(&folded, &full.block, &err), BS_OK);
    for (int j = 0; j < 32; j++)
        scale[j] = ldexpf(1, j % 7 - 3);
    assert_int_equal(bs_block_fold(&folded, random_block_input(&full, 1), scale, &err), BS_OK);
    assert_true(folded.linears[SLOT_V].out.list[0].values[5] == 4 &&
                folded.linears[SLOT_O].in.list[0].values[5] == 4);
    bs_block_forward(&full.block, full.rope, full.inputs.data, y[0], 70, NULL, full.scratch);
    bs_block_forward(&folded, full.rope, full.inputs.data, y[1], 70, NULL, full.scratch);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    bs_block_release(&folded);
    random_block_release(&full);
}

#define TEST(function) cmocka_unit_test_setup(function, without_activation_quantization)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(block_equals_its_twin),
        TEST(a_pass_without_output_ends_where_the_observer_says),
        TEST(scratch_holds_64_rows_of_the_widest_linear_twice),
        TEST(modules_equal_their_twins),
        TEST(a_token_does_not_see_later_ones),
        TEST(head_equals_its_twin),
        TEST(activations_by_hand),
        TEST(activations_are_quantized_at_their_sites),
        TEST(folding_keeps_the_function),
        TEST(folding_before_o_proj_divides_the_rows_of_v_proj),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
