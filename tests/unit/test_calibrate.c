/* Calibration statistics against plain sums over the inputs that a forward pass shows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/random_block.h"
#include "tests/support/resident.h"

static struct random_block random_;
static struct site_inputs shown;
static int tokens_in_all;

/* Wider than the tile of 384 columns that a Hessian is added up in, and no multiple of it or of the
 * 128 rows of a strip. */
static const struct random_shape wide_shape = {.hidden = 40,
                                               .intermediate = 550,
                                               .heads = 4,
                                               .kv_heads = 2,
                                               .head_dim = 8,
                                               .windows = 9,
                                               .tokens = 21,
                                               .seed = 2};

static const struct bs_needs everything = {
    .hessian = true, .absmax = true, .absmean = true, .module_inputs = true, .sample_tokens = 40};

static int setup(void **state)
{
    folder_setup(state);
    bs_blas_init();
    random_block_init(&random_, &wide_shape);
    shown = random_block_site_inputs(&random_);
    tokens_in_all = wide_shape.windows * wide_shape.tokens;
    return 0;
}

static int teardown(void **state)
{
    site_inputs_release(&shown);
    random_block_release(&random_);
    return folder_teardown(state);
}

static int width_of(int site) { return random_.architecture.program.values[site].width; }

static int input(int k) { return random_block_input(&random_, k); }

static void hessian_is_two_over_windows_times_xtx(void **state)
{
    (void)state;
    struct bs_needs needs = {.hessian = true};
    struct bs_statistics statistics = random_block_statistics(&random_, &needs);
    assert_int_equal(statistics.windows, wide_shape.windows);
    assert_int_equal(statistics.tokens, wide_shape.tokens);
    for (int k = 0; k < 4; k++) {
        int s = input(k);
        int n = width_of(s);
        const float *x = shown.x[s], *h = statistics.sets[s].hessian;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0, size = 0;
                for (int t = 0; t < tokens_in_all; t++) {
                    sum += (double)x[t * n + i] * (double)x[t * n + j];
                    size += fabs((double)x[t * n + i] * (double)x[t * n + j]);
                }
                assert_close((double)h[i * n + j], sum * 2 / wide_shape.windows,
                             1e-6 * size * 2 / wide_shape.windows, 0);
                assert_true(h[i * n + j] == h[j * n + i]);
            }
        assert_null(statistics.sets[s].absmax);
        assert_null(statistics.sets[s].absmean);
        assert_null(statistics.sets[s].inputs.data);
        assert_null(statistics.sets[s].samples);
    }
    bs_statistics_release(&statistics);
}

static void channel_figures_are_plain_maxima_and_means(void **state)
{
    (void)state;
    struct bs_needs needs = {.absmax = true, .absmean = true};
    struct bs_statistics statistics = random_block_statistics(&random_, &needs);
    for (int k = 0; k < 4; k++) {
        int s = input(k);
        int n = width_of(s);
        for (int j = 0; j < n; j++) {
            float most = 0;
            double sum = 0;
            for (int t = 0; t < tokens_in_all; t++) {
                most = fmaxf(most, fabsf(shown.x[s][t * n + j]));
                sum += fabs((double)shown.x[s][t * n + j]);
            }
            assert_true(statistics.sets[s].absmax[j] == most);
            assert_close((double)statistics.sets[s].absmean[j], sum / tokens_in_all, 0, 1e-6);
        }
        assert_null(statistics.sets[s].hessian);
    }
    bs_statistics_release(&statistics);
}

static void inputs_are_kept_where_a_module_is_looked_at(void **state)
{
    (void)state;
    struct bs_needs needs = {.module_inputs = true};
    struct bs_statistics statistics = random_block_statistics(&random_, &needs);
    for (int k = 0; k < 4; k++) {
        int s = input(k);
        struct bs_part part;
        if (bs_program_inspected(&random_.architecture.program, s, &part))
            assert_memory_equal(statistics.sets[s].inputs.data, shown.x[s],
                                (size_t)(tokens_in_all * width_of(s)) * sizeof(float));
        else
            assert_null(statistics.sets[s].inputs.data);
    }
    bs_statistics_release(&statistics);
}

static void samples_are_every_nth_token_of_all_windows(void **state)
{
    (void)state;
    /* 189 tokens: of 40 wanted every 4th, 48 rows; of 100 and of more than there are, every one. */
    static const int wanted[] = {1, 40, 94, 100, 189, 1000}, stride[] = {189, 4, 2, 1, 1, 1};
    for (int k = 0; k < 6; k++) {
        struct bs_needs needs = {.sample_tokens = wanted[k]};
        struct bs_statistics statistics = random_block_statistics(&random_, &needs);
        int rows = (tokens_in_all + stride[k] - 1) / stride[k];
        for (int i = 0; i < 4; i++) {
            int s = input(i);
            size_t n = (size_t)width_of(s);
            assert_int_equal(statistics.sets[s].num_samples, rows);
            for (int r = 0; r < rows; r++)
                assert_memory_equal(statistics.sets[s].samples + (size_t)r * n,
                                    shown.x[s] + (size_t)(r * stride[k]) * n, n * sizeof(float));
        }
        bs_statistics_release(&statistics);
    }
}

struct extremes {
    float low, high;
};

static struct extremes extremes[BS_MAX_VALUES];

static void widen_site(void *context, int site, const float *x, int tokens, int stride)
{
    (void)context;
    struct extremes *e = &extremes[site];
    for (int t = 0; t < tokens; t++)
        for (int i = 0; i < width_of(site); i++) {
            e->low = fminf(e->low, x[t * stride + i]);
            e->high = fmaxf(e->high, x[t * stride + i]);
        }
}

static void ranges_are_the_extremes_over_all_windows(void **state)
{
    (void)state;
    static const char *const names[] = {"attn_input",  "q",         "k",         "v",
                                        "query",       "key",       "value",     "o_input",
                                        "attn_output", "resid_mid", "mlp_input", "down_input"};
    struct bs_error err;
    struct bs_ranges ranges;
    struct bs_observer observer = {.site = widen_site};
    float *y = bs_alloc((size_t)(wide_shape.tokens * wide_shape.hidden), sizeof *y);
    for (int w = 0; w < wide_shape.windows; w++)
        bs_block_forward(&random_.block, random_.rope, bs_stream_window(&random_.inputs, w), y,
                         wide_shape.tokens, &observer, random_.scratch);
    bs_free(y);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, NULL, NULL,
                                  &ranges, NULL, random_.scratch, &err),
                     BS_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int site = bs_program_find(&random_.architecture.program, names[i]);
        assert_true(site > 0 && extremes[site].low < extremes[site].high);
        assert_true(ranges.low[site] == extremes[site].low);
        assert_true(ranges.high[site] == extremes[site].high);
    }
}

static struct bs_stream copy_of_inputs(void)
{
    struct bs_error err;
    struct bs_stream copy;
    const struct bs_stream *in = &random_.inputs;
    assert_int_equal(bs_stream_init(&copy, in->windows, in->tokens, in->width, &err), BS_OK);
    memcpy(copy.data, in->data, (size_t)(in->windows * in->tokens * in->width) * sizeof(float));
    return copy;
}

static void outputs_are_the_blocks_and_may_replace_the_inputs(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream pushed = copy_of_inputs(), in_place = copy_of_inputs(), out = copy_of_inputs();
    struct bs_statistics statistics, plain = random_block_statistics(&random_, &everything);
    size_t bytes = (size_t)(tokens_in_all * wide_shape.hidden) * sizeof(float);
    assert_int_equal(bs_stream_push(&random_.block, random_.rope, &pushed, random_.scratch, &err),
                     BS_OK);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, NULL, NULL, NULL,
                                  &out, random_.scratch, &err),
                     BS_OK);
    assert_memory_equal(out.data, pushed.data, bytes);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &in_place, &everything, &statistics,
                                  NULL, &in_place, random_.scratch, &err),
                     BS_OK);
    assert_memory_equal(in_place.data, pushed.data, bytes);
    for (int k = 0; k < 4; k++) /* of the inputs as they were */
        assert_memory_equal(statistics.sets[input(k)].hessian, plain.sets[input(k)].hessian,
                            (size_t)(width_of(input(k)) * width_of(input(k))) * sizeof(float));
    bs_statistics_release(&statistics);
    bs_statistics_release(&plain);
    bs_stream_release(&pushed);
    bs_stream_release(&in_place);
    bs_stream_release(&out);
}

static void activation_quantization_is_for_pushing_only(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream pushed = copy_of_inputs(), out = copy_of_inputs(), plain = copy_of_inputs();
    struct bs_block *block = &random_.block;
    size_t bytes = (size_t)(tokens_in_all * wide_shape.hidden) * sizeof(float);
    assert_int_equal(bs_stream_push(block, random_.rope, &plain, random_.scratch, &err), BS_OK);
    const struct bs_activations activations = {
        .bits = 4, .granularity = BS_ACT_TOKEN, .symmetric = 1, .grid = BS_GRID_SMOOTHQUANT};
    assert_int_equal(bs_block_quantize_activations(block, &activations, &err), BS_OK);
    assert_int_equal(bs_stream_push(block, random_.rope, &pushed, random_.scratch, &err), BS_OK);
    assert_memory_not_equal(pushed.data, plain.data, bytes);
    assert_int_equal(bs_calibrate(block, random_.rope, &random_.inputs, NULL, NULL, NULL, &out,
                                  random_.scratch, &err),
                     BS_OK);
    assert_memory_equal(out.data, plain.data, bytes);
    assert_int_equal(block->sites[input(0)].activations.bits, 4);
    bs_block_clear_sites(block);
    bs_stream_release(&pushed);
    bs_stream_release(&out);
    bs_stream_release(&plain);
}

/* random_.inputs in a file. */
static struct bs_stream spilled_inputs(void)
{
    struct bs_error err;
    struct bs_stream copy;
    const struct bs_stream *in = &random_.inputs;
    assert_int_equal(
        bs_stream_init_in(folder.path, &copy, in->windows, in->tokens, in->width, &err), BS_OK);
    memcpy(copy.data, in->data, (size_t)tokens_in_all * (size_t)in->width * sizeof *copy.data);
    return copy;
}

/* Everything that was collected for one set, byte for byte. */
static void assert_same_set(const struct bs_statistics *a, const struct bs_statistics *b, int set)
{
    const struct bs_set_statistics *x = &a->sets[set], *y = &b->sets[set];
    size_t n = (size_t)width_of(set);
    assert_memory_equal(x->hessian, y->hessian, n * n * sizeof(float));
    assert_memory_equal(x->absmax, y->absmax, n * sizeof(float));
    assert_memory_equal(x->absmean, y->absmean, n * sizeof(float));
    assert_int_equal(x->num_samples, y->num_samples);
    assert_memory_equal(x->samples, y->samples, (size_t)x->num_samples * n * sizeof(float));
    assert_int_equal(x->inputs.data != NULL, y->inputs.data != NULL);
    if (x->inputs.data)
        assert_memory_equal(x->inputs.data, y->inputs.data,
                            (size_t)tokens_in_all * n * sizeof(float));
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    struct bs_error err;
    static const int threads[] = {1, 2, 7};
    struct bs_statistics first = {.windows = 0}, other;
    struct bs_ranges ranges[3];
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, &everything,
                                      t ? &other : &first, &ranges[t], NULL, random_.scratch, &err),
                         BS_OK);
        for (int k = 0; k < 4 && t; k++)
            assert_same_set(&first, &other, input(k));
        assert_memory_equal(&ranges[t], &ranges[0], sizeof ranges[0]);
        if (t)
            bs_statistics_release(&other);
    }
    bs_statistics_release(&first);
    bs_set_threads(0);
}

static void streams_are_where_the_inputs_are(void **state)
{
    (void)state;
    static const int threads[] = {7, 1};
    struct bs_error err;
    struct bs_stream inputs = spilled_inputs();
    struct bs_statistics held = random_block_statistics(&random_, &everything), spilled;
    for (int t = 0; t < 2; t++) {
        bs_set_threads(threads[t]);
        assert_int_equal(bs_calibrate(&random_.block, random_.rope, &inputs, &everything, &spilled,
                                      NULL, NULL, random_.scratch, &err),
                         BS_OK);
        for (int k = 0; k < 4; k++) {
            int s = input(k);
            const struct bs_stream *stream = &spilled.sets[s].inputs;
            assert_null(held.sets[s].inputs.spill.data);
            assert_true(stream->spill.data == stream->data);
            /* Beside another thread's window pages may have come back. */
            assert_true(!stream->data || threads[t] > 1 || !resident_pages(stream->data));
            assert_same_set(&held, &spilled, s);
        }
        bs_statistics_release(&spilled);
    }
    bs_set_threads(0);
    bs_statistics_release(&held);
    bs_stream_release(&inputs);
}

static void a_scratch_folder_of_no_use_is_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_statistics statistics;
    struct bs_stream inputs = spilled_inputs();
    inputs.scratch = folder_file(&folder, "nowhere");
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &inputs, &everything, &statistics,
                                  NULL, NULL, random_.scratch, &err),
                     BS_EIO);
    assert_non_null(strstr(err.message, inputs.scratch));
    for (int k = 0; k < 4; k++)
        assert_true(!statistics.sets[input(k)].hessian && !statistics.sets[input(k)].inputs.data);
    bs_stream_release(&inputs);
}

static void sets_left_out_cost_nothing_and_change_nothing(void **state)
{
    (void)state;
    struct bs_statistics all = random_block_statistics(&random_, &everything);
    struct bs_needs needs = everything;
    for (int kept = 0; kept < 4; kept++) {
        needs.sets_left_out = ~((uint64_t)1 << input(kept));
        struct bs_statistics one = random_block_statistics(&random_, &needs);
        for (int k = 0; k < 4; k++) {
            int s = input(k);
            if (k == kept) {
                assert_same_set(&all, &one, s);
                continue;
            }
            const struct bs_set_statistics *out = &one.sets[s];
            assert_true(!out->hessian && !out->absmax && !out->absmean && !out->inputs.data &&
                        !out->samples);
        }
        bs_statistics_release(&one);
    }
    bs_statistics_release(&all);
}

static void a_value_that_is_not_finite_is_named(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_stream broken = copy_of_inputs();
    struct bs_statistics statistics;
    /* In two windows, of which the earlier one is reported. */
    bs_stream_window(&broken, 6)[3 * wide_shape.hidden + 5] = NAN;
    bs_stream_window(&broken, 3)[8 * wide_shape.hidden + 1] = INFINITY;
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &broken, &everything, &statistics,
                                  NULL, NULL, random_.scratch, &err),
                     BS_ENUMERIC);
    assert_non_null(strstr(err.message, "attn_input is not finite at window 3, token 8, "));
    assert_int_equal(statistics.windows, 0); /* nothing is left to release */
    assert_null(statistics.sets[input(0)].hessian);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &broken, &everything, &statistics,
                                  NULL, &broken, random_.scratch, &err),
                     BS_ENUMERIC);
    assert_non_null(strstr(err.message, "the output is not finite at window 3, token "));
    bs_stream_window(&broken, 3)[0] = NAN;
    assert_int_equal(bs_stream_push(&random_.block, random_.rope, &broken, random_.scratch, &err),
                     BS_ENUMERIC);
    assert_non_null(strstr(err.message, "window 3, token "));
    bs_stream_release(&broken);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_statistics statistics;
    for (long n = 1;; n++) {
        bs_alloc_fail_at(n);
        enum bs_status status =
            bs_calibrate(&random_.block, random_.rope, &random_.inputs, &everything, &statistics,
                         NULL, NULL, random_.scratch, &err);
        long made = bs_alloc_fail_at(0);
        if (!status) {
            assert_true(made < n && n > 16); /* all figures of all sets were allocated */
            bs_statistics_release(&statistics);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        for (int k = 0; k < 4; k++)
            assert_null(statistics.sets[input(k)].hessian);
    }
}

static void needs_are_compared_and_joined(void **state)
{
    (void)state;
    struct bs_needs none = {.hessian = false}, hessian = {.hessian = true};
    struct bs_needs both = hessian, samples = {.sample_tokens = 8};
    struct bs_needs fewer = {.sample_tokens = 7}, more = {.sample_tokens = 9};
    bs_needs_add(&both, &samples);
    assert_true(!bs_needs_any(&none) && bs_needs_any(&hessian) && bs_needs_any(&samples));
    assert_true(both.hessian && both.sample_tokens == 8);
    assert_true(bs_needs_within(&hessian, &both) && bs_needs_within(&samples, &both));
    assert_false(bs_needs_within(&both, &hessian));
    assert_false(bs_needs_within(&fewer, &both)); /* other rows would be sampled */
    assert_false(bs_needs_within(&more, &both));
    struct bs_needs partial = hessian, other_part = hessian;
    partial.sets_left_out = 1;
    other_part.sets_left_out = 2;
    assert_true(bs_needs_within(&partial, &hessian)); /* more than is asked for */
    assert_false(bs_needs_within(&hessian, &partial));
    bs_needs_add(&partial, &other_part); /* a set is left out where both leave it out */
    assert_int_equal(partial.sets_left_out, 0);
    static const struct bs_needs single[] = {
        {.absmax = true}, {.absmean = true}, {.module_inputs = true}};
    for (int k = 0; k < 3; k++) {
        assert_true(bs_needs_any(&single[k]) && !bs_needs_within(&single[k], &both));
        bs_needs_add(&both, &single[k]);
        assert_true(bs_needs_within(&single[k], &both));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hessian_is_two_over_windows_times_xtx),
        cmocka_unit_test(channel_figures_are_plain_maxima_and_means),
        cmocka_unit_test(inputs_are_kept_where_a_module_is_looked_at),
        cmocka_unit_test(samples_are_every_nth_token_of_all_windows),
        cmocka_unit_test(ranges_are_the_extremes_over_all_windows),
        cmocka_unit_test(outputs_are_the_blocks_and_may_replace_the_inputs),
        cmocka_unit_test(activation_quantization_is_for_pushing_only),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(streams_are_where_the_inputs_are),
        cmocka_unit_test(a_scratch_folder_of_no_use_is_named),
        cmocka_unit_test(sets_left_out_cost_nothing_and_change_nothing),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(needs_are_compared_and_joined),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
