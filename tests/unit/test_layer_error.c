/* The errors of each linear against the definitions, in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/run/layer_error.h"
#include "eval/run/apply.h"
#include "tests/support/close.h"
#include "tests/support/recipes.h"
#include "tests/support/small_block.h"
#include "tests/support/values.h"

enum { PROBES = 3, WIDEST = 64 };

static struct site_inputs shown;
static struct bs_block changed;

static int setup(void **state)
{
    int status = small_block_setup(state);
    shown = random_block_site_inputs(&random_);
    return status;
}

static int teardown(void **state)
{
    site_inputs_release(&shown);
    bs_block_release(&changed);
    return small_block_teardown(state);
}

static void quantize(const char *chain, const char *settings)
{
    struct bs_error err;
    static struct bs_recipe recipe; /* which `changed` borrows from */
    bs_recipe_release(&recipe);
    struct bs_inputs inputs = {.rope = random_.rope,
                               .unquantized = &random_.inputs,
                               .quantized = &random_.inputs,
                               .scratch = random_.scratch};
    recipe_build(&recipe, chain, settings);
    assert_int_equal(bs_block_copy(&changed, &random_.block, &err), BS_OK);
    assert_int_equal(bs_apply_recipe(&recipe, &changed, &inputs, &err), BS_OK);
}

/* The rows of the changed block over the first `probes` windows. */
static void measure(int probes, struct bs_layer_row *rows, struct bs_layer_totals *totals)
{
    struct bs_error err;
    struct bs_probe probe;
    memset(rows, 0, NUM_SLOTS * sizeof *rows);
    *totals = (struct bs_layer_totals){.linears = 0};
    assert_int_equal(bs_probe_init(&probe, &random_.architecture, probes, small_shape.tokens, &err),
                     BS_OK);
    assert_int_equal(
        bs_probe_fill(&probe, &random_.block, random_.rope, &random_.inputs, random_.scratch, &err),
        BS_OK);
    assert_int_equal(
        bs_layer_errors(&random_.block, &changed, &probe, random_.scratch, rows, totals, &err),
        BS_OK);
    bs_probe_release(&probe);
}

static double totals_value(const struct bs_layer_totals *totals, const char *name)
{
    const struct bs_variant variant = {.totals = *totals, .linear_weights = 1, .linear_bits = 16};
    return variant_value(&variant, name);
}

static double row_times(const struct bs_linear *linear, int i, const float *x)
{
    double sum = 0;
    for (int j = 0; j < linear->in_features; j++)
        sum += (double)linear->weight[i * linear->in_features + j] * (double)x[j];
    return sum;
}

/* Y = W x on the original inputs; Y^ is what the changed linear makes of its own: x / in_scale,
 * quantized token by token, its output times out_scale. */
static void assert_output_figures(int role, const struct bs_layer_row *row)
{
    const struct bs_linear *was = &random_.block.linears[role], *is = &changed.linears[role];
    int in = was->in_features, site = random_.architecture.programs[0].slots[role].input;
    double difference = 0, wanted = 0, got = 0, product = 0;
    for (int t = 0; t < PROBES * small_shape.tokens; t++) {
        const float *x = shown.x[site] + t * in;
        float own[WIDEST];
        for (int j = 0; j < in; j++)
            own[j] = x[j] / is->in.list[0].values[j];
        const struct bs_site_setting *at = &changed.sites[site];
        if (at->setting)
            bs_values_round(at->setting, &at->fixed, at->rounder,
                            &(struct bs_values){own, 1, in, in, 1}, &random_.scratch[0]);
        for (int i = 0; i < was->out_features; i++) {
            double y = row_times(was, i, x);
            double y_hat = row_times(is, i, own) * (double)is->out.list[0].values[i];
            difference += (y_hat - y) * (y_hat - y);
            wanted += y * y;
            got += y_hat * y_hat;
            product += y * y_hat;
        }
    }
    assert_close(layer_value(row, "relative_output_error"), sqrt(difference / wanted), 0, 1e-4);
    assert_close(layer_value(row, "cosine"), product / sqrt(wanted * got), 0, 1e-6);
}

/* In the checkpoint's basis: W^[i][j] * out_scale[i] / in_scale[j] against W. */
static void assert_weight_figures(int role, const struct bs_layer_row *row)
{
    const struct bs_linear *was = &random_.block.linears[role], *is = &changed.linears[role];
    int in = was->in_features, count = was->out_features * in;
    double error = 0, size = 0;
    for (int k = 0; k < count; k++) {
        double w = (double)was->weight[k];
        double back = (double)is->weight[k] * (double)is->out.list[0].values[k / in] /
                      (double)is->in.list[0].values[k % in];
        error += (back - w) * (back - w);
        size += w * w;
    }
    assert_close(layer_value(row, "weight_mse"), error / count, 0, 1e-9);
    assert_close(layer_value(row, "sqnr_db"), 10 * log10(size / error), 0, 1e-9);
}

static void figures_follow_their_definitions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"rtn", "bits=4 group_size=16"},
        {"smoothquant", "bits=4 a.bits=6"},
        {"awq", "bits=3 group_size=16"}, /* rows are scaled as well */
        {"gptq", "bits=3"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bs_layer_row rows[NUM_SLOTS];
        struct bs_layer_totals totals;
        double mean = 0, cosine = 0;
        quantize(cases[c][0], cases[c][1]);
        measure(PROBES, rows, &totals);
        for (int r = 0; r < NUM_SLOTS; r++) {
            assert_string_equal(rows[r].name, random_.block.linears[r].name);
            assert_int_equal(rows[r].out_features, random_.block.linears[r].out_features);
            assert_int_equal(rows[r].in_features, random_.block.linears[r].in_features);
            assert_close(layer_value(&rows[r], "damping"), changed.linears[r].damping, 0, 0);
            assert_close(layer_value(&rows[r], "bits_per_weight"),
                         bs_codes_bits(&changed.linears[r].codes) /
                             (rows[r].out_features * rows[r].in_features),
                         0, 1e-15);
            assert_output_figures(r, &rows[r]);
            assert_weight_figures(r, &rows[r]);
            mean += layer_value(&rows[r], "relative_output_error");
            cosine += layer_value(&rows[r], "cosine");
        }
        assert_int_equal(totals.linears, NUM_SLOTS);
        assert_close(totals_value(&totals, "relative_output_error"), mean / NUM_SLOTS, 0, 1e-15);
        assert_close(totals_value(&totals, "cosine"), cosine / NUM_SLOTS, 0, 1e-15);
    }
}

static void totals_are_sums_over_weights(void **state)
{
    (void)state;
    struct bs_layer_row rows[NUM_SLOTS];
    struct bs_layer_totals totals;
    double weights = 0, error = 0;
    quantize("rtn", "bits=4");
    measure(1, rows, &totals);
    for (int r = 0; r < NUM_SLOTS; r++) {
        double count = (double)rows[r].out_features * rows[r].in_features;
        weights += count;
        error += layer_value(&rows[r], "weight_mse") * count;
    }
    assert_true(totals.weights == weights);
    assert_close(totals_value(&totals, "weight_mse"), error / weights, 0, 1e-12);
    assert_true(totals_value(&totals, "sqnr_db") > 0);
}

static void the_original_has_no_error(void **state)
{
    (void)state;
    struct bs_layer_row rows[NUM_SLOTS];
    struct bs_layer_totals totals;
    quantize("rtn", "bits=16");
    measure(PROBES, rows, &totals);
    for (int r = 0; r < NUM_SLOTS; r++) {
        assert_true(layer_value(&rows[r], "weight_mse") == 0 &&
                    isinf(layer_value(&rows[r], "sqnr_db")));
        assert_true(layer_value(&rows[r], "relative_output_error") == 0 &&
                    layer_value(&rows[r], "bits_per_weight") == 16);
        assert_close(layer_value(&rows[r], "cosine"), 1, 0, 1e-14);
    }
}

static void without_windows_there_are_no_output_figures(void **state)
{
    (void)state;
    struct bs_layer_row rows[NUM_SLOTS];
    struct bs_layer_totals totals;
    quantize("rtn", "bits=4");
    measure(0, rows, &totals);
    for (int r = 0; r < NUM_SLOTS; r++) {
        assert_true(isnan(layer_value(&rows[r], "relative_output_error")) &&
                    isnan(layer_value(&rows[r], "cosine")));
        assert_true(layer_value(&rows[r], "weight_mse") > 0);
    }
    assert_true(isnan(totals_value(&totals, "cosine")));
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    static struct bs_layer_row rows[3][NUM_SLOTS];
    struct bs_layer_totals totals[3];
    quantize("awq", "bits=4 group_size=16");
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        measure(PROBES, rows[t], &totals[t]);
        assert_memory_equal(rows[t], rows[0], sizeof rows[0]);
        assert_memory_equal(&totals[t], &totals[0], sizeof totals[0]);
    }
    bs_set_threads(0);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_probe probe;
    struct bs_layer_row rows[NUM_SLOTS];
    struct bs_layer_totals totals = {.linears = 0};
    for (long n = 1; n <= 4; n++) {
        bs_alloc_fail_at(n);
        assert_int_equal(bs_probe_init(&probe, &random_.architecture, 1, small_shape.tokens, &err),
                         BS_ENOMEM);
        bs_alloc_fail_at(0);
    }
    assert_int_equal(bs_probe_init(&probe, &random_.architecture, 1, small_shape.tokens, &err),
                     BS_OK);
    assert_int_equal(
        bs_probe_fill(&probe, &random_.block, random_.rope, &random_.inputs, random_.scratch, &err),
        BS_OK);
    quantize("rtn", "bits=4");
    bs_alloc_fail_at(1);
    assert_int_equal(
        bs_layer_errors(&random_.block, &changed, &probe, random_.scratch, rows, &totals, &err),
        BS_ENOMEM);
    bs_alloc_fail_at(0);
    bs_probe_release(&probe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_follow_their_definitions),
        cmocka_unit_test(totals_are_sums_over_weights),
        cmocka_unit_test(the_original_has_no_error),
        cmocka_unit_test(without_windows_there_are_no_output_figures),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
