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
#include "tests/support/settings.h"
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

static struct bs_wanted everything; /* that there is, at all sites */

static int width_of(int site) { return random_.architecture.programs[0].values[site].width; }

/* The site that linears read as the k-th; any other, by its name. */
static int input(int k) { return random_block_input(&random_, k); }

static int site_called(const char *name)
{
    return bs_program_find(&random_.architecture.programs[0], name);
}

static const char *name_of(const struct bs_statistic *statistic) { return statistic->plugin.name; }

/* Every statistic of the registry, `detail` for those that have one, at every site whose values
 * are ever there all at once. */
static void want_all(struct bs_wanted *wanted, int detail)
{
    const struct bs_program *p = &random_.architecture.programs[0];
    for (int k = 0; bs_statistic_registry.rows[k]; k++)
        for (int v = 0; v < p->num_values; v++)
            if (p->values[v].name && p->values[v].width)
                bs_want(wanted, (const struct bs_statistic *)bs_statistic_registry.rows[k], v,
                        detail);
}

/* Statistics of one kind at every site that linears read. */
static struct bs_statistics statistics_of(const struct bs_statistic *statistic, int detail)
{
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, statistic, BS_EVERY_SITE, detail);
    struct bs_statistics statistics = random_block_statistics(&random_, &wanted);
    bs_wanted_release(&wanted);
    return statistics;
}

static int setup(void **state)
{
    folder_setup(state);
    bs_blas_init();
    random_block_init(&random_, &wide_shape);
    shown = random_block_site_inputs(&random_);
    tokens_in_all = wide_shape.windows * wide_shape.tokens;
    everything.architecture = &random_.architecture;
    want_all(&everything, 40);
    return 0;
}

static int teardown(void **state)
{
    bs_wanted_release(&everything);
    site_inputs_release(&shown);
    random_block_release(&random_);
    return folder_teardown(state);
}

static void hessian_is_two_over_windows_times_xtx(void **state)
{
    (void)state;
    struct bs_statistics statistics = statistics_of(&bs_stat_hessian, 0);
    assert_int_equal(statistics.windows, wide_shape.windows);
    assert_int_equal(statistics.tokens, wide_shape.tokens);
    assert_int_equal(statistics.count, 4);
    for (int k = 0; k < 4; k++) {
        int s = input(k), n = width_of(s);
        const float *x = shown.x[s], *h = bs_statistics_of(&statistics, &bs_stat_hessian, s);
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
        assert_null(bs_statistics_find(&statistics, &bs_stat_absmax, s, 0));
        assert_null(bs_statistics_find(&statistics, &bs_stat_hessian, s, 1));
    }
    bs_statistics_release(&statistics);
}

static void channel_figures_are_plain_maxima_and_means(void **state)
{
    (void)state;
    struct bs_statistics maxima = statistics_of(&bs_stat_absmax, 0);
    struct bs_statistics means = statistics_of(&bs_stat_absmean, 0);
    for (int k = 0; k < 4; k++) {
        int s = input(k), n = width_of(s);
        const float *absmax = bs_statistics_of(&maxima, &bs_stat_absmax, s);
        const float *absmean = bs_statistics_of(&means, &bs_stat_absmean, s);
        for (int j = 0; j < n; j++) {
            float most = 0;
            double sum = 0;
            for (int t = 0; t < tokens_in_all; t++) {
                most = fmaxf(most, fabsf(shown.x[s][t * n + j]));
                sum += fabs((double)shown.x[s][t * n + j]);
            }
            assert_true(absmax[j] == most);
            assert_close((double)absmean[j], sum / tokens_in_all, 0, 1e-6);
        }
    }
    bs_statistics_release(&maxima);
    bs_statistics_release(&means);
}

static void inputs_are_kept_where_they_are_asked_for(void **state)
{
    (void)state;
    struct bs_wanted wanted = {.architecture = &random_.architecture};
    bs_want(&wanted, &bs_stat_inputs, input(0), 0);
    bs_want(&wanted, &bs_stat_inputs, input(3), 0);
    struct bs_statistics statistics = random_block_statistics(&random_, &wanted);
    for (int k = 0; k < 4; k++) {
        int s = input(k);
        if (k == 1 || k == 2)
            assert_null(bs_statistics_find(&statistics, &bs_stat_inputs, s, 0));
        else
            assert_memory_equal(bs_statistics_of(&statistics, &bs_stat_inputs, s), shown.x[s],
                                (size_t)(tokens_in_all * width_of(s)) * sizeof(float));
    }
    bs_statistics_release(&statistics);
    bs_wanted_release(&wanted);
}

static void samples_are_every_nth_token_of_all_windows(void **state)
{
    (void)state;
    /* 189 tokens: of 40 wanted every 4th, 48 rows; of 100 and of more than there are, every one. */
    static const int wanted[] = {1, 40, 94, 100, 189, 1000}, stride[] = {189, 4, 2, 1, 1, 1};
    for (int k = 0; k < 6; k++) {
        struct bs_statistics statistics = statistics_of(&bs_stat_samples, wanted[k]);
        int rows = (tokens_in_all + stride[k] - 1) / stride[k];
        for (int i = 0; i < 4; i++) {
            int s = input(i);
            size_t n = (size_t)width_of(s);
            const struct bs_collected *c =
                bs_statistics_at(&statistics, &bs_stat_samples, s, wanted[k]);
            assert_int_equal(bs_sample_rows(&c->of), rows);
            for (int r = 0; r < rows; r++)
                assert_memory_equal((const float *)c->data + (size_t)r * n,
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
    struct bs_observer observer = {.site = widen_site};
    float *y = bs_alloc((size_t)(wide_shape.tokens * wide_shape.hidden), sizeof *y);
    for (int w = 0; w < wide_shape.windows; w++)
        bs_block_forward(&random_.block, random_.rope, bs_stream_window(&random_.inputs, w), y,
                         wide_shape.tokens, &observer, random_.scratch);
    bs_free(y);
    struct bs_statistics ranges = random_block_statistics(&random_, &everything);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int site = site_called(names[i]);
        assert_true(site > 0 && extremes[site].low < extremes[site].high);
        const struct bs_extremes *e = bs_statistics_at(&ranges, &bs_stat_extremes, site, 40)->data;
        assert_true(e->low == extremes[site].low && e->high == extremes[site].high);
    }
    bs_statistics_release(&ranges);
}

/* Everything that is in `a` is in `b`, byte for byte. */
static void assert_same(const struct bs_statistics *a, const struct bs_statistics *b)
{
    for (int i = 0; i < a->count; i++) {
        const struct bs_collected *x = &a->collected[i];
        const struct bs_wish *wish = &x->wish;
        const struct bs_collected *y =
            bs_statistics_at(b, wish->statistic, wish->site, wish->detail);
        size_t bytes = wish->statistic->in_stream
                           ? (size_t)(tokens_in_all * x->of.width) * sizeof(float)
                           : wish->statistic->bytes(&x->of);
        if (memcmp(x->data, y->data, bytes))
            fail_msg("%s at site %d", name_of(wish->statistic), wish->site);
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
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &in_place, NULL, &everything,
                                  &statistics, &in_place, random_.scratch, &err),
                     BS_OK);
    assert_memory_equal(in_place.data, pushed.data, bytes);
    assert_same(&statistics, &plain); /* of the inputs as they were */
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
    const struct bs_setting *activations = activations_setting("bits=4");
    quantize_sites(block, activations, false);
    assert_int_equal(bs_stream_push(block, random_.rope, &pushed, random_.scratch, &err), BS_OK);
    assert_memory_not_equal(pushed.data, plain.data, bytes);
    assert_int_equal(bs_calibrate(block, random_.rope, &random_.inputs, NULL, NULL, NULL, &out,
                                  random_.scratch, &err),
                     BS_OK);
    assert_memory_equal(out.data, plain.data, bytes);
    assert_ptr_equal(block->sites[input(0)].setting, activations);
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

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    struct bs_statistics first = {.windows = 0};
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        struct bs_statistics other = random_block_statistics(&random_, &everything);
        if (t == 0) {
            first = other;
            continue;
        }
        assert_same(&first, &other);
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
        assert_int_equal(bs_calibrate(&random_.block, random_.rope, &inputs, NULL, &everything,
                                      &spilled, NULL, random_.scratch, &err),
                         BS_OK);
        for (int k = 0; k < 4; k++) {
            int s = input(k);
            const struct bs_stream *stream =
                &bs_statistics_at(&spilled, &bs_stat_inputs, s, 40)->stream;
            assert_null(bs_statistics_at(&held, &bs_stat_inputs, s, 40)->stream.spill.data);
            assert_true(stream->data && stream->spill.data == stream->data);
            /* Beside another thread's window pages may have come back. */
            assert_true(threads[t] > 1 || !resident_pages(stream->data));
        }
        assert_same(&held, &spilled);
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
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &inputs, NULL, &everything,
                                  &statistics, NULL, random_.scratch, &err),
                     BS_EIO);
    assert_non_null(strstr(err.message, inputs.scratch));
    assert_true(!statistics.count && !statistics.collected); /* nothing is left to release */
    bs_stream_release(&inputs);
}

static void a_wish_alone_gives_what_it_gives_beside_others(void **state)
{
    (void)state;
    struct bs_statistics all = random_block_statistics(&random_, &everything);
    for (int i = 0; i < everything.count; i++) {
        struct bs_wanted wanted = {.architecture = &random_.architecture};
        const struct bs_wish *wish = &everything.wishes[i];
        bs_want(&wanted, wish->statistic, wish->site, wish->detail);
        struct bs_statistics one = random_block_statistics(&random_, &wanted);
        assert_int_equal(one.count, 1);
        assert_same(&one, &all);
        bs_statistics_release(&one);
        bs_wanted_release(&wanted);
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
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &broken, NULL, &everything,
                                  &statistics, NULL, random_.scratch, &err),
                     BS_ENUMERIC);
    assert_non_null(strstr(err.message, "attn_input is not finite at window 3, token 8, "));
    assert_true(!statistics.count && !statistics.collected);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &broken, NULL, &everything,
                                  &statistics, &broken, random_.scratch, &err),
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
        enum bs_status status = bs_calibrate(&random_.block, random_.rope, &random_.inputs, NULL,
                                             &everything, &statistics, NULL, random_.scratch, &err);
        long made = bs_alloc_fail_at(0);
        if (!status) {
            assert_true(made < n && n > 16); /* all figures of all sets were allocated */
            bs_statistics_release(&statistics);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
        assert_true(!statistics.count && !statistics.collected);
    }
}

static struct bs_derived_choice choice_of(double number)
{
    return (struct bs_derived_choice){{number}};
}

/* A derivation that makes nothing. */
static double eight_bytes(const struct bs_architecture *architecture, const struct bs_observed *of)
{
    (void)architecture, (void)of;
    return 8;
}

static double its_width(const struct bs_observed *of) { return of->width; }

static const struct bs_derivation derivation = {
    .of = &bs_stat_absmax, .bytes = eight_bytes, .flops = its_width};

static void wishes_are_merged_and_compared(void **state)
{
    (void)state;
    struct bs_wanted none = {.architecture = &random_.architecture}, one = none, both = none,
                     site = none, derived = none;
    bs_want(&one, &bs_stat_hessian, BS_EVERY_SITE, 0);
    assert_true(!bs_wanted_any(&none) && bs_wanted_any(&one) && one.count == 4);
    bs_wanted_merge(&both, &one);
    bs_wanted_merge(&both, &one);
    assert_int_equal(both.count, 4); /* none twice */
    bs_want(&both, &bs_stat_samples, input(2), 8);
    assert_true(bs_wanted_within(&one, &both) && !bs_wanted_within(&both, &one));
    assert_true(bs_wanted_within(&none, &one) && !bs_wanted_within(&one, &none));
    bs_want(&site, &bs_stat_samples, input(2), 9); /* other rows */
    assert_false(bs_wanted_within(&site, &both));
    bs_wanted_release(&site);
    bs_want(&site, &bs_stat_samples, input(1), 8); /* elsewhere */
    assert_false(bs_wanted_within(&site, &both));
    bs_wanted_release(&site);
    bs_wanted_merge_site(&site, &both, input(2));
    assert_true(site.count == 2 && bs_wanted_within(&site, &both));
    assert_true(bs_wanted_last(&site) == input(2) && bs_wanted_last(&one) == input(3));
    bs_want(&none, &bs_stat_extremes, site_called("v"), 0);
    bs_want(&none, &bs_stat_extremes, site_called("q"), 0);
    assert_int_equal(bs_wanted_last(&none), site_called("v"));
    /* What is made of a statistic asks for it, and is shared by who asks for the same. */
    bs_want_derived(&derived, &derivation, input(0), 0, choice_of(1));
    bs_want_derived(&derived, &derivation, input(0), 0, choice_of(1));
    bs_want_derived(&derived, &derivation, input(0), 0, choice_of(2));
    assert_true(derived.count == 3 && bs_derived_count(&derived) == 2);
    assert_true(bs_derived_flops(&derived, 1, 1) == 2 * 40);
    bs_want(&none, &bs_stat_absmax, input(0), 0);
    assert_true(bs_wanted_within(&derived, &none));
    struct bs_wanted *all[] = {&none, &one, &both, &site, &derived};
    for (int k = 0; k < 5; k++)
        bs_wanted_release(all[k]);
}

static void a_set_that_memory_cut_short_says_so(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_wanted wanted = {.architecture = &random_.architecture}, other = wanted;
    struct bs_statistics statistics;
    bs_alloc_fail_at(1);
    bs_want(&wanted, &bs_stat_absmax, input(0), 0);
    bs_alloc_fail_at(0);
    assert_int_equal(bs_wanted_check(&wanted, &err), BS_ENOMEM);
    assert_true(bs_wanted_any(&wanted) && !bs_wanted_within(&wanted, &everything));
    bs_wanted_merge(&other, &wanted);
    assert_int_equal(bs_wanted_check(&other, &err), BS_ENOMEM);
    assert_int_equal(bs_calibrate(&random_.block, random_.rope, &random_.inputs, NULL, &other,
                                  &statistics, NULL, random_.scratch, &err),
                     BS_ENOMEM);
    bs_wanted_release(&wanted);
    assert_int_equal(bs_wanted_check(&wanted, &err), BS_OK);
}

static void every_statistic_describes_itself_and_its_bytes(void **state)
{
    (void)state;
    int count = 0;
    for (; bs_statistic_registry.rows[count]; count++) {
        const struct bs_plugin *plugin = bs_statistic_registry.rows[count];
        const struct bs_statistic *statistic = (const struct bs_statistic *)plugin;
        assert_true(plugin->name && *plugin->name && plugin->summary && *plugin->summary);
        assert_non_null(plugin->reference);
        assert_ptr_equal(bs_registry_find(&bs_statistic_registry, plugin->name), plugin);
        assert_true(!statistic->observe != !statistic->compare);
        assert_true(statistic->in_stream != (statistic->bytes != NULL));
        assert_true(!statistic->slot_bytes == !statistic->merge);
        /* What plan counts is what is there: 7 windows of 3 tokens. */
        struct bs_wanted wanted = {.architecture = &random_.architecture};
        bs_want(&wanted, statistic, input(3), 5);
        struct bs_observed of =
            bs_observed_at(&random_.architecture.programs[0], wanted.wishes, 7, 3);
        assert_true(of.width == 550 && of.windows == 7 && of.tokens == 3 && of.detail == 5);
        struct bs_calibrate_bytes bytes = bs_calibrate_bytes(&wanted, 7, 3);
        double result = statistic->bytes ? (double)statistic->bytes(&of) : 0;
        double slots = statistic->slot_bytes ? (double)statistic->slot_bytes(&of) : 0;
        if (statistic->compare) /* the window in the unquantized model */
            slots += 3 * 550 * 4;
        assert_true(bytes.memory == result && bytes.working == bs_threads() * slots);
        assert_true(bytes.derived == 0 && bytes.site == 0);
        assert_true(bytes.streams == (statistic->in_stream ? 7 * 3 * 550 * 4 : 0));
        bs_wanted_release(&wanted);
    }
    assert_true(count >= 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hessian_is_two_over_windows_times_xtx),
        cmocka_unit_test(channel_figures_are_plain_maxima_and_means),
        cmocka_unit_test(inputs_are_kept_where_they_are_asked_for),
        cmocka_unit_test(samples_are_every_nth_token_of_all_windows),
        cmocka_unit_test(ranges_are_the_extremes_over_all_windows),
        cmocka_unit_test(outputs_are_the_blocks_and_may_replace_the_inputs),
        cmocka_unit_test(activation_quantization_is_for_pushing_only),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(streams_are_where_the_inputs_are),
        cmocka_unit_test(a_scratch_folder_of_no_use_is_named),
        cmocka_unit_test(a_wish_alone_gives_what_it_gives_beside_others),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(wishes_are_merged_and_compared),
        cmocka_unit_test(a_set_that_memory_cut_short_says_so),
        cmocka_unit_test(every_statistic_describes_itself_and_its_bytes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
