/* Products in integers: exact at the ends of their range, and the float product within rounding
 * whatever the formats of weights and activations. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/linalg/bytes.h"
#include "eval/linalg/bytes_loops.h"
#include "eval/model/integer.h"
#include "tests/support/close.h"
#include "tests/support/settings.h"
#include "tests/support/small_block.h"

static struct bs_error err;

/* Codes 0 to 255, or where `ends` their ends only. */
static uint8_t draw(uint64_t *seed, bool ends)
{
    float unit = random_unit(seed);
    if (ends)
        return unit < 0.5f ? 0 : 255;
    return (uint8_t)(unit * 256);
}

static void assert_exact(int n, int k, bool ends, int all_a, int all_b)
{
    uint64_t seed = (uint64_t)(n * 1000 + k);
    size_t nn = (size_t)n, kk = (size_t)k;
    uint8_t *a = bs_alloc(BS_BYTES_ROWS, kk);
    int8_t *b = bs_alloc(nn, kk);
    int32_t *c = bs_alloc(BS_BYTES_ROWS, nn * sizeof *c);
    struct bs_scratch *scratch = bs_scratch_create(1, BS_BYTES_SCRATCH_FLOATS);
    assert_true(a && b && c && scratch);
    for (size_t i = 0; i < BS_BYTES_ROWS * kk; i++)
        a[i] = all_a >= 0 ? (uint8_t)all_a : draw(&seed, ends);
    for (size_t i = 0; i < nn * kk; i++)
        b[i] = (int8_t)((all_b >= 0 ? all_b : draw(&seed, ends)) - 128);
    struct bs_bytes *packed;
    assert_int_equal(bs_bytes_pack(n, k, b, &packed, &err), BS_OK);
    assert_non_null(packed);
    assert_true(bs_bytes_multiply(packed, BS_BYTES_ROWS, a, c, scratch));
    assert_int_equal(scratch->used, 0);
    for (size_t r = 0; r < BS_BYTES_ROWS; r++)
        for (size_t i = 0; i < nn; i++) {
            int64_t want = 0;
            for (size_t j = 0; j < kk; j++)
                want += (int64_t)a[r * kk + j] * b[i * kk + j];
            assert_int_equal(c[r * nn + i], want);
        }
    bs_bytes_free(packed);
    bs_scratch_free(scratch, 1);
    bs_free(a);
    bs_free(b);
    bs_free(c);
}

/* At every level of instructions, one kernel each at least. */
static void products_of_bytes_are_exact(void **state)
{
    (void)state;
    enum bs_isa best = bs_isa();
    static const int shapes[][2] = {
        {1, 1}, {3, 5}, {40, 56}, {65, 130}, {17, BS_BYTES_BLOCK - 1}, {33, BS_BYTES_BLOCK + 3}};
    for (int level = 0; level <= (int)best; level++) {
        assert_true(bs_isa_use((enum bs_isa)level));
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            assert_exact(shapes[s][0], shapes[s][1], false, -1, -1);
            assert_exact(shapes[s][0], shapes[s][1], true, -1, -1);
            assert_exact(shapes[s][0], shapes[s][1], true, 255, 0);
            assert_exact(shapes[s][0], shapes[s][1], true, 255, 255);
        }
        assert_exact(2, 32960, true, 255, 0); /* about the longest sum that is asked for */
    }
}

/* Kernels that this processor does without, since it has better ones, are exact too; of any number
 * of rows. */
static void kernels_of_pairs_are_exact(void **state)
{
    (void)state;
    enum { N = 37, K = BS_BYTES_BLOCK + 6, ROWS = 11 };
    static uint8_t a[ROWS * K];
    static int8_t b[N * K], panels[2 * (N + 64) * K];
    static int32_t c[ROWS * N];
    static float room[ROWS * BS_BYTES_BLOCK];
    uint64_t seed = 3;
    for (int i = 0; i < ROWS * K; i++)
        a[i] = draw(&seed, false);
    for (int i = 0; i < N * K; i++)
        b[i] = (int8_t)(draw(&seed, false) - 128);
    for (int level = 0; level <= (int)bs_isa(); level++) {
        const struct bs_bytes_kernel *kernel = &bs_bytes_loops[level]->pairs;
        assert_true(kernel->columns > 0 && kernel->columns <= 64);
        kernel->pack(N, K, b, panels);
        for (int rows = 1; rows <= ROWS; rows += 5) {
            memset(c, 0x55, sizeof c);
            kernel->multiply(rows, N, K, a, panels, room, c);
            for (int i = 0; i < ROWS * N; i++) {
                int32_t want = 0;
                for (int j = 0; j < K; j++)
                    want += a[i / N * K + j] * b[i % N * K + j];
                assert_int_equal(c[i], i < rows * N ? want : 0x55555555);
            }
        }
    }
}

static const struct bs_setting *weights_of(int bits, const char *group_size, bool symmetric,
                                           const char *grid)
{
    char text[80];
    snprintf(text, sizeof text, "bits=%d group_size=%s symmetric=%s grid=%s", bits, group_size,
             symmetric ? "true" : "false", grid);
    return weights_setting(text);
}

static const char *const shared_by[] = {"token", "window", "static"};

static const struct bs_setting *activations_of(int bits, int sharing, bool symmetric)
{
    char text[80];
    snprintf(text, sizeof text, "bits=%d sharing=%s symmetric=%s grid=%s", bits, shared_by[sharing],
             symmetric ? "true" : "false", symmetric ? "smoothquant" : "awq");
    return activations_setting(text);
}

/* A site of such activations, static ones between -most and most. */
static struct bs_site_setting site_of(const struct bs_setting *activations, float most)
{
    struct bs_site_setting site = {.setting = activations,
                                   .rounder = bs_rounder_of(activations, 1)};
    bs_values_fix(activations, 16, -most, most, &site.fixed);
    return site;
}

/* A linear of random weights, rounded; bs_linear_release gives it back. */
static struct bs_linear rounded(int out, int in, const struct bs_setting *format)
{
    struct bs_linear linear = {.name = "linear", .out_features = out, .in_features = in};
    size_t count = (size_t)out * (size_t)in;
    linear.weight = bs_alloc(count, sizeof(float));
    linear.bias = bs_alloc((size_t)out, sizeof(float));
    assert_true(linear.weight && linear.bias);
    random_fill(linear.weight, count, 0.1f, 3);
    random_fill(linear.bias, (size_t)out, 0.5f, 4);
    for (size_t i = 0; i < count; i++) /* so that zero points are no middle */
        linear.weight[i] += 0.05f;
    assert_int_equal(bs_codes_init(&linear.codes, format, 0, out, in, &err), BS_OK);
    assert_int_equal(bs_codes_round(&linear.codes, linear.weight, NULL, &err), BS_OK);
    bs_codes_decode(&linear.codes, linear.weight);
    return linear;
}

/* Leaves linear->prepared NULL where the linear does not suit. */
static enum bs_status prepare(struct bs_linear *linear)
{
    struct bs_integer_weights *integer = NULL;
    linear->prepared = NULL;
    const struct bs_codes *codes = &linear->codes;
    if (!codes->codes || codes->group_index || !bs_integer_suits(&codes->layout))
        return BS_OK;
    enum bs_status status = bs_integer_weights_create(linear, &integer, &err);
    linear->prepared = integer;
    return status;
}

static void release(struct bs_linear *linear)
{
    bs_free(linear->weight);
    bs_free(linear->bias);
    bs_codes_release(&linear->codes);
    bs_integer_weights_free(linear->prepared);
}

/* By integers: y as far from the product in double of the decoded values as its own rounding, four
 * units at most, and that of the decoded values, a unit of each term, allow. */
static void assert_linear(const struct bs_setting *format, const struct bs_setting *activations)
{
    enum { OUT = 37, IN = 90, ROWS = 131, STRIDE = OUT + 3 };
    static float x[ROWS * IN], y[ROWS * STRIDE];
    struct bs_site_setting site = site_of(activations, 2.5f);
    struct bs_linear linear = rounded(OUT, IN, format);
    random_fill(x, ROWS * IN, 1, 7);
    for (int i = 0; i < ROWS * IN; i++)
        x[i] = (x[i] + 0.4f) * (float)(1 + i / IN % 5);
    assert_int_equal(prepare(&linear), BS_OK);
    assert_non_null(linear.prepared);
    struct bs_scratch *scratch =
        bs_scratch_create(1, bs_coded_rows_floats(ROWS, IN) + bs_integer_forward_floats(OUT) +
                                 bs_values_floats(ROWS, IN));
    struct bs_coded_rows coded = bs_coded_rows_take(scratch, ROWS, IN);
    bs_coded_rows_encode(&site, x, &coded);
    bs_integer_forward(&linear, linear.prepared, &coded, y, STRIDE, scratch);
    bs_values_round(activations, &site.fixed, site.rounder, &(struct bs_values){x, ROWS, IN, IN, 1},
                    scratch);
    for (int t = 0; t < ROWS; t++) {
        for (int j = 0; j < IN; j++) {
            int level = coded.codes[t * IN + j] - (int)coded.zero_point[t];
            assert_true(coded.scale[t] * (float)level == x[t * IN + j]);
        }
        for (int i = 0; i < OUT; i++) {
            double want = (double)linear.bias[i], size = fabs(want);
            for (int j = 0; j < IN; j++) {
                double term = (double)x[t * IN + j] * (double)linear.weight[i * IN + j];
                want += term;
                size += fabs(term);
            }
            assert_close((double)y[t * STRIDE + i], want, 3 * size * 6e-8, 0);
        }
    }
    bs_scratch_free(scratch, 1);
    release(&linear);
}

static void a_linear_equals_the_product_of_decoded_values(void **state)
{
    (void)state;
    for (int sharing = BS_BY_TOKEN; sharing <= BS_BY_STATIC; sharing++)
        for (int both = 0; both < 4; both++)
            for (int bits = 2; bits <= 8; bits += 3) {
                const struct bs_setting *activations = activations_of(bits, sharing, both & 1);
                assert_linear(weights_of(bits, "channel", both >> 1, "gptq"), activations);
                assert_linear(weights_of(8, "tensor", both >> 1, "awq"), activations);
            }
    assert_linear(weights_of(4, "channel", true, "gptq"),
                  activations_setting("bits=6 rounding=floor"));
    assert_linear(weights_setting("bits=4 rounding=stochastic"),
                  activations_setting("bits=6 rounding=stochastic symmetric=false grid=gptq"));
}

/* y is the exact sum times both scales, then the bias where there is one, each rounded once. */
static void assert_finished(int out, bool biased)
{
    enum { IN = 45, ROWS = 3, MOST_OUT = 70 };
    float x[ROWS * IN], y[ROWS * MOST_OUT];
    struct bs_site_setting site = site_of(activations_of(8, BS_BY_TOKEN, false), 1);
    struct bs_linear linear = rounded(out, IN, weights_of(8, "channel", false, "gptq"));
    assert_in_range(out, 1, MOST_OUT);
    if (!biased) {
        bs_free(linear.bias);
        linear.bias = NULL;
    }
    random_fill(x, ROWS * IN, 1, 9);
    assert_int_equal(prepare(&linear), BS_OK);
    struct bs_scratch *scratch =
        bs_scratch_create(1, bs_coded_rows_floats(ROWS, IN) + bs_integer_forward_floats(out));
    struct bs_coded_rows coded = bs_coded_rows_take(scratch, ROWS, IN);
    bs_coded_rows_encode(&site, x, &coded);
    bs_integer_forward(&linear, linear.prepared, &coded, y, out, scratch);
    for (int t = 0; t < ROWS; t++)
        for (int i = 0; i < out; i++) {
            struct bs_cell cell = bs_codes_cell(&linear.codes, i, 0);
            int sum = 0;
            for (int j = 0; j < IN; j++)
                sum += (coded.codes[t * IN + j] - (int)coded.zero_point[t]) *
                       (bs_codes_get(&linear.codes, i, j) + cell.first);
            volatile float scale = coded.scale[t] * cell.scale, want = (float)sum * scale;
            if (biased)
                want += linear.bias[i];
            assert_true(y[t * out + i] == want);
        }
    bs_scratch_free(scratch, 1);
    release(&linear);
}

static void outputs_are_exact_sums_scaled_once(void **state)
{
    (void)state;
    for (int out = 1; out <= 70; out += 3)
        for (int biased = 0; biased < 2; biased++)
            assert_finished(out, biased);
}

static bool has_integers(int in, const struct bs_setting *format, bool indexed)
{
    struct bs_linear linear = rounded(2, in, format);
    if (indexed)
        linear.codes.group_index = bs_calloc((size_t)in, sizeof(int));
    assert_int_equal(prepare(&linear), BS_OK);
    bool has = linear.prepared != NULL;
    release(&linear);
    return has;
}

static void floats_stay_where_integers_do_not_fit(void **state)
{
    (void)state;
    const struct bs_setting *channel = weights_of(8, "channel", true, "smoothquant");
    const struct bs_setting *groups = weights_of(8, "32", true, "smoothquant");
    assert_true(has_integers(64, channel, false));
    assert_false(has_integers(64, channel, true));
    assert_false(has_integers(64, groups, false));
    assert_true(has_integers(32, groups, false)); /* one group a row */
    /* 255 * 255 * 33088 exceeds 2^31. */
    assert_true(has_integers(32960, channel, false));
    assert_false(has_integers(33088, channel, false));
    struct bs_linear without = {.in_features = 4};
    assert_int_equal(prepare(&without), BS_OK);
    assert_null(without.prepared);
}

static void what_is_not_finite_stays_so(void **state)
{
    (void)state;
    enum { IN = 20, ROWS = 3 };
    const struct bs_setting *format = weights_of(8, "channel", true, "smoothquant");
    struct bs_linear linear = rounded(4, IN, format);
    assert_int_equal(prepare(&linear), BS_OK);
    struct bs_scratch *scratch =
        bs_scratch_create(1, bs_coded_rows_floats(ROWS, IN) + bs_integer_forward_floats(4));
    struct bs_coded_rows coded = bs_coded_rows_take(scratch, ROWS, IN);
    for (int sharing = BS_BY_TOKEN; sharing <= BS_BY_STATIC; sharing++) {
        float x[ROWS * IN], y[ROWS * 4];
        struct bs_site_setting site = site_of(activations_of(8, sharing, true), 12.7f);
        random_fill(x, ROWS * IN, 1, 5);
        x[IN + 7] = NAN;
        bs_coded_rows_encode(&site, x, &coded);
        bs_integer_forward(&linear, linear.prepared, &coded, y, 4, scratch);
        for (int i = 0; i < 4; i++) {
            assert_true(isnan(y[4 + i]));
            assert_true(sharing == BS_BY_WINDOW || (isfinite(y[i]) && isfinite(y[8 + i])));
        }
    }
    bs_scratch_free(scratch, 1);
    release(&linear);
}

static void round_all(struct bs_block *block, const struct bs_setting *format)
{
    for (int r = 0; r < NUM_SLOTS; r++) {
        struct bs_linear *linear = &block->linears[r];
        assert_int_equal(bs_codes_init(&linear->codes, format, 0, linear->out_features,
                                       linear->in_features, &err),
                         BS_OK);
        assert_int_equal(bs_codes_round(&linear->codes, linear->weight, NULL, &err), BS_OK);
        bs_codes_decode(&linear->codes, linear->weight);
    }
}

/* Two copies of the random block that quantize weights and activations to 8 bits; `integers`
 * multiplies them as such. */
static void quantize(const struct bs_setting *format, const struct bs_setting *activations,
                     struct bs_block *floats, struct bs_block *integers)
{
    *floats = *integers = (struct bs_block){.architecture = NULL};
    for (int k = 0; k < random_.architecture.programs[0].num_inputs; k++)
        random_.block.sites[random_block_input(&random_, k)].fixed =
            site_of(activations, 3.8f + 1.27f * (float)k).fixed;
    assert_int_equal(bs_block_copy(floats, &random_.block, &err), BS_OK);
    /* Of linears without codes none multiplies integers. */
    quantize_sites(floats, activations, false);
    round_all(floats, format);
    assert_int_equal(bs_block_copy(integers, &random_.block, &err), BS_OK);
    round_all(integers, format);
    quantize_sites(integers, activations, false);
}

/* Without a norm of its own the MLP of a parallel block reads attention's input. */
static void wire(enum bs_wiring wiring, bool mlp_norm)
{
    struct bs_architecture *a = &random_.architecture;
    a->wiring = wiring;
    a->norms = bs_family_norms(a->family) & (mlp_norm ? ~0u : ~(1u << BS_NORM_MLP));
    assert_int_equal(bs_programs_build(a, &err), BS_OK);
    bs_free(random_.block.sites); /* another program has other values */
    random_.block.sites = bs_calloc((size_t)a->programs[0].num_values, sizeof *random_.block.sites);
    assert_non_null(random_.block.sites);
}

static void blocks_equal_those_of_floats(void **state)
{
    (void)state;
    static const enum bs_wiring wirings[] = {BS_PRE_NORM, BS_POST_NORM, BS_PARALLEL, BS_PARALLEL};
    const struct bs_setting *format = weights_of(8, "channel", true, "smoothquant");
    for (int w = 0; w < 4; w++)
        for (int sharing = BS_BY_TOKEN; sharing <= BS_BY_STATIC; sharing++) {
            const struct bs_setting *activations = activations_of(8, sharing, true);
            struct bs_block floats, integers;
            wire(wirings[w], w < 3);
            quantize(format, activations, &floats, &integers);
            /* A last bit can turn a code of a later set: a step of it, 1/127 of the largest. */
            assert_true(outputs_apart(&random_, &floats, &integers) < 5e-3);
            bs_block_release(&floats);
            bs_block_release(&integers);
        }
    wire(BS_PRE_NORM, true);
}

static void a_block_is_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    const struct bs_setting *format = weights_of(8, "channel", false, "gptq");
    const struct bs_setting *activations = activations_of(8, BS_BY_TOKEN, true);
    struct bs_block floats, integers;
    quantize(format, activations, &floats, &integers);
    assert_same_on_any_threads(&random_, &integers);
    bs_block_release(&floats);
    bs_block_release(&integers);
}

static void a_copy_forgets_integers(void **state)
{
    (void)state;
    const struct bs_setting *format = weights_of(8, "channel", true, "smoothquant");
    const struct bs_setting *activations = activations_of(8, BS_BY_TOKEN, true);
    struct bs_block floats, integers;
    quantize(format, activations, &floats, &integers);
    assert_non_null(integers.linears[SLOT_DOWN].prepared);
    assert_int_equal(bs_block_copy(&integers, &random_.block, &err), BS_OK);
    assert_null(integers.linears[SLOT_DOWN].prepared);
    assert_true(outputs_apart(&random_, &integers, &random_.block) == 0);
    bs_block_release(&floats);
    bs_block_release(&integers);
}

static void no_memory_leaves_floats(void **state)
{
    (void)state;
    const struct bs_setting *format = weights_of(8, "channel", true, "smoothquant");
    struct bs_linear linear = rounded(5, 30, format);
    enum bs_status status = BS_ENOMEM;
    for (long n = 1; status; n++) {
        bs_alloc_fail_at(n);
        status = prepare(&linear);
        bs_alloc_fail_at(0);
        assert_true(!status || (status == BS_ENOMEM && !linear.prepared));
    }
    assert_non_null(linear.prepared);
    release(&linear);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_bytes_are_exact),
        cmocka_unit_test(kernels_of_pairs_are_exact),
        cmocka_unit_test(a_linear_equals_the_product_of_decoded_values),
        cmocka_unit_test(outputs_are_exact_sums_scaled_once),
        cmocka_unit_test(floats_stay_where_integers_do_not_fit),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(blocks_equal_those_of_floats),
        cmocka_unit_test(a_block_is_the_same_on_any_number_of_threads),
        cmocka_unit_test(a_copy_forgets_integers),
        cmocka_unit_test(no_memory_leaves_floats),
    };
    return cmocka_run_group_tests(tests, small_block_setup, small_block_teardown);
}
