/* The walk over the embedded model, for most tests its first two blocks: what a variant gets
 * depends on its recipe alone. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk.h"
#include "tests/support/close.h"
#include "tests/support/folder.h"
#include "tests/support/plain.h"
#include "tests/support/variants.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"
#include "tests/support/values.h"

enum { TEXTS = 2, MOST_RIDERS = 9 };

static struct bs_model *model; /* the embedded one's first two blocks */
static struct bs_windows calibration, texts[TEXTS];

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    model = tiny_model_cut(folder.path, 2, NULL);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", 5, 24);
    texts[0] = tiny_model_windows("datasets/commons/evaluation.txt", 3, 70);
    texts[1] = tiny_model_windows("datasets/commons/calibration.txt", 2, 9);
    tiny_model_make_ragged(&texts[1]);
    return 0;
}

static int teardown(void **state)
{
    bs_windows_release(&calibration);
    for (int t = 0; t < TEXTS; t++)
        bs_windows_release(&texts[t]);
    bs_model_free(model);
    return folder_teardown(state);
}

/* A walk's variants with their recipes. */
struct ride {
    int count;
    struct bs_recipe recipes[MOST_RIDERS];
    struct bs_variant variants[MOST_RIDERS];
};

/* { chain, settings }, "" for the unquantized model; ends with NULL. */
typedef const char *const chains[][2];

static const char *const all_riders[][2] = {
    {"", ""},
    {"rtn", "bits=4 group_size=32"},
    {"gptq", "bits=3 group_size=64 act_order=true"},
    {"awq", "bits=4 group_size=128 scale_grid=2 clip_grid=4 clip_tokens=40"},
    {"awq", "bits=3 group_size=128 scale_grid=2 clip_grid=4 clip_tokens=16"},
    {"smoothquant", "bits=8 a.bits=8 a.sharing=static a.where=inputs,qkv"},
    {"outliers smoothquant gptq", "bits=4 a.bits=8 channels=2"},
    {"gptq", "bits=4 group_size=64 compute=bfloat16"},
    {"gptq", "bits=3 group_size=64 a.bits=8 @*.down_proj bits=8 @layer[0,-1].* bits=16 "
             "@a.down_input bits=16 @a.layer[1].* sharing=static"},
    {NULL, NULL},
};

static void ride_init(struct ride *ride, const char *const (*riders)[2])
{
    memset(ride, 0, sizeof *ride);
    for (; riders[ride->count][0]; ride->count++) {
        int i = ride->count;
        recipe_build(&ride->recipes[i], riders[i][0], riders[i][1]);
        ride->variants[i] =
            (struct bs_variant){.recipe = &ride->recipes[i], .wanted = {true, true}};
    }
}

static void ride_release(struct ride *ride)
{
    for (int i = 0; i < ride->count; i++) {
        bs_variant_release(&ride->variants[i]);
        bs_recipe_release(&ride->recipes[i]);
    }
}

static struct bs_walk walk_of(const struct bs_model *over)
{
    return (struct bs_walk){.model = over,
                            .calibration = &calibration,
                            .num_texts = TEXTS,
                            .texts = texts,
                            .layer_error_windows = 2};
}

static void run(struct ride *ride)
{
    struct bs_error err;
    struct bs_walk walk = walk_of(model);
    if (bs_walk_run(&walk, ride->variants, ride->count, &err))
        fail_msg("%s", err.message);
}

static size_t tokens_of(int text)
{
    return (size_t)texts[text].windows * (size_t)(texts[text].tokens - 1);
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    static struct ride first, other;
    for (int t = 0; t < 3; t++) {
        struct ride *ride = t ? &other : &first;
        bs_set_threads(threads[t]);
        ride_init(ride, all_riders);
        run(ride);
        for (int i = 0; i < ride->count; i++) {
            assert_int_equal(ride->variants[i].status, BS_OK);
            assert_same_variant(&first.variants[i], &ride->variants[i], texts, TEXTS);
        }
        if (t)
            ride_release(ride);
    }
    ride_release(&first);
    bs_set_threads(0);
}

static void streams_in_files_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 3};
    static struct ride held, spilled;
    ride_init(&held, all_riders);
    run(&held);
    for (int t = 0; t < 2; t++) {
        struct bs_error err;
        struct bs_walk walk = walk_of(model);
        walk.scratch = folder.path;
        bs_set_threads(threads[t]);
        ride_init(&spilled, all_riders);
        assert_int_equal(bs_walk_run(&walk, spilled.variants, spilled.count, &err), BS_OK);
        for (int i = 0; i < held.count; i++) {
            assert_int_equal(spilled.variants[i].status, BS_OK);
            assert_same_variant(&held.variants[i], &spilled.variants[i], texts, TEXTS);
        }
        ride_release(&spilled);
    }
    ride_release(&held);
    bs_set_threads(0);
}

static void a_scratch_folder_of_no_use_stops_the_walk(void **state)
{
    (void)state;
    struct bs_error err;
    static struct ride ride;
    struct bs_walk walk = walk_of(model);
    walk.scratch = folder_file(&folder, "nowhere");
    ride_init(&ride, all_riders);
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_EIO);
    assert_non_null(strstr(err.message, walk.scratch));
    ride_release(&ride);
}

/* Allows no file to grow from the second block on. */
static void end_of_room(void *context, int done, int total)
{
    (void)context, (void)total;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = done < 3 ? limit.rlim_max : 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void room_that_goes_away_is_one_message(void **state)
{
    (void)state;
    /* The unquantized model's inputs are everyone's, a recipe's own are the recipe's. */
    static const char *const shared[][2] = {
        {"rtn", "bits=4"}, {"awq", "bits=4 scale_grid=1 clip=false"}, {NULL, NULL}};
    static const char *const own[][2] = {
        {"rtn", "bits=4"}, {"smoothquant awq", "bits=4 scale_grid=1 clip=false"}, {NULL, NULL}};
    struct bs_error err;
    static struct ride ride;
    char want[512];
    struct bs_walk walk = walk_of(model);
    walk.scratch = folder.path;
    walk.progress = end_of_room;
    signal(SIGXFSZ, SIG_IGN); /* an error in its place */
    snprintf(want, sizeof want, "cannot keep 0 MB in the scratch folder '%s': %s", folder.path,
             strerror(EFBIG));
    ride_init(&ride, shared);
    enum bs_status status = bs_walk_run(&walk, ride.variants, ride.count, &err);
    end_of_room(NULL, 0, 0);
    assert_int_equal(status, BS_EIO);
    assert_string_equal(err.message, want);
    ride_release(&ride);
    ride_init(&ride, own);
    status = bs_walk_run(&walk, ride.variants, ride.count, &err);
    end_of_room(NULL, 0, 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, BS_OK);
    assert_int_equal(ride.variants[0].status, BS_OK);
    assert_int_equal(ride.variants[1].status, BS_EIO);
    assert_non_null(strstr(ride.variants[1].message, "block 1: awq: "));
    assert_non_null(strstr(ride.variants[1].message, want));
    ride_release(&ride);
}

static void who_else_rides_does_not_matter(void **state)
{
    (void)state;
    static struct ride together, alone;
    ride_init(&together, all_riders);
    run(&together);
    for (int i = 0; i < together.count; i++) {
        ride_init(&alone, (chains){{all_riders[i][0], all_riders[i][1]}, {NULL, NULL}});
        run(&alone);
        assert_same_variant(&together.variants[i], &alone.variants[0], texts, TEXTS);
        ride_release(&alone);
    }
    ride_release(&together);
}

static void only_what_is_wanted_is_measured(void **state)
{
    (void)state;
    static struct ride both, one;
    static const char *const two[][2] = {
        {"", ""}, {"rtn", "bits=4 a.bits=8 a.sharing=static"}, {NULL, NULL}};
    ride_init(&both, two);
    ride_init(&one, two);
    for (int i = 0; i < one.count; i++)
        one.variants[i].wanted[0] = false;
    run(&both);
    run(&one);
    for (int i = 0; i < one.count; i++) {
        const struct bs_figures *got = one.variants[i].figures;
        for (int f = 0; f < BS_NUM_FIGURES; f++)
            assert_null(got[0].of[f]);
        assert_memory_equal(got[1].of[BS_NLL], both.variants[i].figures[1].of[BS_NLL],
                            tokens_of(1) * sizeof(float));
    }
    ride_release(&both);
    ride_release(&one);
}

static void the_unquantized_model_is_measured_as_it_is(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_model *whole;
    assert_int_equal(bs_model_open("datasets/tiny", NULL, &whole, &err), BS_OK);
    struct bs_walk walk = walk_of(whole);
    static struct ride ride;
    ride_init(&ride, (chains){{"", ""}, {NULL, NULL}});
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_OK);
    const struct bs_variant *got = &ride.variants[0];
    double mean = 0;
    size_t scored[TEXTS] = {0};
    for (int t = 0; t < TEXTS; t++)
        for (int k = 0; k < texts[t].num_spans; k++) {
            const struct bs_span *span = &texts[t].spans[k];
            double want[256];
            plain_nll(whole, NULL, texts[t].ids + span->window * texts[t].tokens,
                      bs_windows_length(&texts[t], span->window), want);
            for (int i = span->first; i < span->first + span->count; i++) {
                size_t at = (size_t)(span->window * (texts[t].tokens - 1) + i);
                assert_close((double)bs_figure_floats(&got->figures[t], BS_NLL)[at], want[i], 1e-5,
                             1e-5);
                assert_true(bs_figure_floats(&got->figures[t], BS_KLD)[at] == 0 &&
                            bs_figure_flags(&got->figures[t], BS_SAME_TOP)[at] == 1);
                mean += t ? 0 : want[i] / (double)tokens_of(0);
                scored[t]++;
            }
        }
    for (int t = 0; t < TEXTS; t++) { /* and nothing else is */
        const float *nll = bs_figure_floats(&got->figures[t], BS_NLL);
        size_t numbers = 0;
        for (size_t k = 0; k < tokens_of(t); k++)
            numbers += !isnan(nll[k]);
        assert_int_equal(numbers, scored[t]);
        assert_int_equal(numbers, texts[t].num_scored);
    }
    assert_true(mean < 0.6 * log(4096)); /* the model knows something of the text */
    assert_int_equal(got->num_layers, 0);
    assert_true(got->linear_bits == 16 * got->linear_weights);
    assert_true(got->linear_weights == 6.0 * 786432);
    ride_release(&ride);
    bs_model_free(whole);
}

/* Windows of unequal length, each as it is alone, to the last bit. */
static void a_window_does_not_know_the_others(void **state)
{
    (void)state;
    struct bs_error err;
    static const char *const two[][2] = {
        {"", ""}, {"rtn", "bits=4 a.bits=8 a.sharing=window"}, {NULL, NULL}};
    static struct ride together, alone;
    const struct bs_windows *all = &texts[1];
    struct bs_walk walk = {.model = model, .num_texts = 1, .texts = all};
    ride_init(&together, two);
    assert_int_equal(bs_walk_run(&walk, together.variants, together.count, &err), BS_OK);
    assert_true(bs_windows_length(all, 0) != bs_windows_length(all, 1));
    for (int w = 0; w < all->windows; w++) {
        int count, length = bs_windows_length(all, w);
        struct bs_span spans[2];
        memcpy(spans, bs_windows_spans(all, w, &count), sizeof spans);
        assert_int_equal(count, 2);
        spans[0].window = spans[1].window = 0;
        struct bs_windows one = {.windows = 1,
                                 .tokens = length,
                                 .ids = all->ids + w * all->tokens,
                                 .num_spans = 2,
                                 .spans = spans};
        walk.texts = &one;
        ride_init(&alone, two);
        assert_int_equal(bs_walk_run(&walk, alone.variants, alone.count, &err), BS_OK);
        for (int i = 0; i < alone.count; i++)
            assert_memory_equal(bs_figure_floats(&alone.variants[i].figures[0], BS_NLL),
                                bs_figure_floats(&together.variants[i].figures[0], BS_NLL) +
                                    (size_t)w * (size_t)(all->tokens - 1),
                                (size_t)(length - 1) * sizeof(float));
        ride_release(&alone);
    }
    ride_release(&together);
}

/* What is not asked for is not there. */
static void figures_are_those_that_are_asked_for(void **state)
{
    (void)state;
    struct bs_error err;
    static struct ride ride;
    static const unsigned asked[] = {1u << BS_NLL | 1u << BS_TARGET_IS_TOP, BS_WALK_FIGURES};
    struct bs_walk walk = walk_of(model);
    walk.figures = asked;
    ride_init(&ride, (chains){{"", ""}, {NULL, NULL}});
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_OK);
    const struct bs_figures *figures = ride.variants[0].figures;
    assert_true(figures[0].of[BS_NLL] && !figures[0].of[BS_KLD] && !figures[0].of[BS_SAME_TOP]);
    assert_true(figures[1].of[BS_KLD] && !figures[1].of[BS_TARGET_IS_TOP]);
    /* A token that is more likely than not is the likeliest. */
    const uint8_t *top = bs_figure_flags(&figures[0], BS_TARGET_IS_TOP);
    const float *nll = bs_figure_floats(&figures[0], BS_NLL);
    size_t tops = 0;
    for (size_t k = 0; k < tokens_of(0); k++) {
        assert_true(top[k] || (double)nll[k] > log(2));
        tops += top[k];
    }
    assert_true(tops > 0 && tops < tokens_of(0));
    ride_release(&ride);
}

static void sixteen_bits_change_nothing(void **state)
{
    (void)state;
    static struct ride ride;
    ride_init(&ride, (chains){{"", ""},
                              {"rtn", "bits=16"},
                              {"gptq", "bits=16"},
                              {"outliers", "bits=16"},
                              {"smoothquant", "bits=16"},
                              {NULL, NULL}});
    run(&ride);
    for (int i = 1; i < ride.count; i++) {
        const struct bs_variant *got = &ride.variants[i];
        bool exact = i < 4; /* smoothing is the same function up to rounding */
        assert_int_equal(got->status, BS_OK);
        assert_true(got->linear_bits == 16 * got->linear_weights);
        assert_true(exact ? variant_value(got, "weight_mse") == 0 &&
                                isinf(variant_value(got, "sqnr_db"))
                          : variant_value(got, "weight_mse") < 1e-13);
        assert_close(variant_value(got, "relative_output_error"), 0, exact ? 0 : 1e-6, 0);
        for (size_t k = 0; k < tokens_of(0); k++) {
            assert_close((double)bs_figure_floats(&got->figures[0], BS_KLD)[k], 0, exact ? 0 : 1e-9,
                         0);
            assert_close((double)bs_figure_floats(&got->figures[0], BS_NLL)[k],
                         (double)bs_figure_floats(&ride.variants[0].figures[0], BS_NLL)[k], 0,
                         exact ? 0 : 1e-5);
        }
    }
    ride_release(&ride);
}

/* Its rounding, of 8 bits, moves a loss by less than a hundredth; what is rounded is the same. */
static void bfloat16_is_close_to_float32(void **state)
{
    (void)state;
    static struct ride ride;
    ride_init(&ride, (chains){{"gptq", "bits=4 group_size=64"},
                              {"gptq", "bits=4 group_size=64 compute=bfloat16"},
                              {"rtn", "bits=16 compute=bfloat16"},
                              {NULL, NULL}});
    run(&ride);
    const struct bs_variant *want = &ride.variants[0], *got = &ride.variants[1];
    assert_int_equal(got->num_layers, want->num_layers);
    assert_true(variant_value(got, "weight_mse") == variant_value(want, "weight_mse"));
    assert_true(variant_value(got, "relative_output_error") ==
                variant_value(want, "relative_output_error"));
    for (int t = 0; t < TEXTS; t++) {
        size_t same = 0;
        for (size_t k = 0; k < tokens_of(t); k++) {
            double nll = (double)bs_figure_floats(&want->figures[t], BS_NLL)[k];
            if (isnan(nll))
                continue;
            assert_close((double)bs_figure_floats(&got->figures[t], BS_NLL)[k], nll, 0.03, 1e-2);
            same += (double)bs_figure_floats(&got->figures[t], BS_NLL)[k] == nll;
            assert_close((double)bs_figure_floats(&ride.variants[2].figures[t], BS_KLD)[k], 0, 1e-3,
                         0);
        }
        assert_true(same < tokens_of(t) / 10);
    }
    ride_release(&ride);
}

static void fewer_bits_cost_more(void **state)
{
    (void)state;
    static struct ride ride;
    double kld[3] = {0};
    static const double bits_a_weight[] = {2 + 18 / 64.0, 4 + 20 / 64.0, 8 + 24 / 64.0};
    ride_init(&ride, (chains){{"rtn", "bits=2 group_size=64"},
                              {"rtn", "bits=4 group_size=64"},
                              {"rtn", "bits=8 group_size=64"},
                              {NULL, NULL}});
    run(&ride);
    for (int i = 0; i < 3; i++) {
        const struct bs_variant *got = &ride.variants[i];
        for (size_t k = 0; k < tokens_of(0); k++)
            kld[i] += (double)bs_figure_floats(&got->figures[0], BS_KLD)[k] / (double)tokens_of(0);
        assert_close(got->linear_bits / got->linear_weights, bits_a_weight[i], 0, 1e-12);
    }
    assert_true(kld[0] > 5 * kld[1] && kld[1] > 5 * kld[2] && kld[2] > 0);
    ride_release(&ride);
}

static void a_variant_that_fails_leaves_the_others_alone(void **state)
{
    (void)state;
    static struct ride with, without;
    ride_init(&with, (chains){{"awq", "bits=3 group_size=128 scale_grid=2 clip=false"},
                              {"outliers gptq", "bits=4 channels=300"}, /* there are 256 */
                              {"gptq", "bits=4"},
                              {NULL, NULL}});
    ride_init(&without, (chains){{"awq", "bits=3 group_size=128 scale_grid=2 clip=false"},
                                 {"gptq", "bits=4"},
                                 {NULL, NULL}});
    run(&with);
    run(&without);
    assert_same_variant(&with.variants[0], &without.variants[0], texts, TEXTS);
    assert_same_variant(&with.variants[2], &without.variants[1], texts, TEXTS);
    assert_int_equal(with.variants[1].status, BS_ECONFIG);
    assert_non_null(strstr(with.variants[1].message, "block 0: outliers: channels is 300"));
    assert_int_equal(with.variants[1].num_layers, 0);
    ride_release(&with);
    ride_release(&without);
}

/* In the second block two channels of q_proj never have an input and hold the largest and the least
 * bfloat16: their range overflows where they share a grid, and only there. */
static void make_overflow(char *weights)
{
    tiny_model_set(weights, "model.layers.1.input_layernorm.weight", 0, 200, 2, 0);
    tiny_model_set(weights, "model.layers.1.self_attn.q_proj.weight", 0, 1, 1, 0x7f7f);
    tiny_model_set(weights, "model.layers.1.self_attn.q_proj.weight", 200, 1, 1, 0xff7f);
}

static void values_that_are_not_finite_stop_their_variant_only(void **state)
{
    (void)state;
    struct bs_error err;
    struct folder own = folder_create();
    struct bs_model *broken = tiny_model_cut(own.path, 2, make_overflow);
    struct bs_walk walk = walk_of(broken);
    static struct ride with, without;
    ride_init(&with,
              (chains){{"", ""}, {"rtn", "bits=4"}, {"rtn", "bits=4 group_size=32"}, {NULL, NULL}});
    ride_init(&without, (chains){{"", ""}, {"rtn", "bits=4 group_size=32"}, {NULL, NULL}});
    assert_int_equal(bs_walk_run(&walk, with.variants, with.count, &err), BS_OK);
    assert_int_equal(bs_walk_run(&walk, without.variants, without.count, &err), BS_OK);
    assert_int_equal(with.variants[0].status, BS_OK);
    assert_same_variant(&with.variants[0], &without.variants[0], texts, TEXTS);
    assert_int_equal(with.variants[1].status, BS_ENUMERIC);
    assert_non_null(strstr(with.variants[1].message, "block 1: evaluation text 1: "));
    assert_non_null(strstr(with.variants[1].message, "not finite"));
    assert_int_equal(with.variants[2].status, BS_OK);
    assert_same_variant(&with.variants[2], &without.variants[1], texts, TEXTS);
    ride_release(&with);
    ride_release(&without);
    bs_model_free(broken);
    folder_remove(&own);
}

static int reports, last_done, last_total;

static void note_progress(void *context, int done, int total)
{
    assert_ptr_equal(context, &reports);
    assert_true(done > last_done && done <= total);
    reports++;
    last_done = done;
    last_total = total;
}

static void progress_comes_to_its_end(void **state)
{
    (void)state;
    struct bs_error err;
    static struct ride ride;
    ride_init(&ride, (chains){{"rtn", "bits=4"}, {"", ""}, {NULL, NULL}});
    struct bs_walk walk = walk_of(model);
    walk.progress = note_progress;
    walk.progress_context = &reports;
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_OK);
    assert_true(reports >= 3);
    assert_int_equal(last_done, last_total);
    ride_release(&ride);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const few[][2] = {{"smoothquant gptq", "bits=4 a.bits=8"},
                                         {"rtn", "bits=4 a.bits=8 a.sharing=static"},
                                         {NULL, NULL}};
    struct bs_error err;
    struct bs_walk walk = walk_of(model);
    static struct ride whole, ride;
    walk.num_texts = 1;
    walk.texts = &texts[1];
    ride_init(&whole, few);
    bs_alloc_fail_at(0);
    assert_int_equal(bs_walk_run(&walk, whole.variants, whole.count, &err), BS_OK);
    long all = bs_alloc_fail_at(0);
    int stopped = 0, left = 0;
    assert_true(all > 200);
    for (long n = 1; n <= all; n += 1 + n / 5) { /* all at the start, then ever fewer */
        ride_init(&ride, few);
        bs_alloc_fail_at(n);
        enum bs_status status = bs_walk_run(&walk, ride.variants, ride.count, &err);
        bs_alloc_fail_at(0);
        assert_true(!status || status == BS_ENOMEM);
        int failed = 0;
        for (int i = 0; i < ride.count; i++) {
            const struct bs_variant *got = &ride.variants[i];
            assert_true(!got->status || got->status == BS_ENOMEM);
            failed += got->status ? 1 : 0;
            if (!status && !got->status)
                assert_memory_equal(bs_figure_floats(&got->figures[0], BS_NLL),
                                    bs_figure_floats(&whole.variants[i].figures[0], BS_NLL),
                                    (size_t)texts[1].windows * (size_t)(texts[1].tokens - 1) *
                                        sizeof(float));
        }
        assert_int_equal(failed, status ? 0 : 1); /* the walk stops, or one variant leaves it */
        stopped += status ? 1 : 0;
        left += failed;
        ride_release(&ride);
    }
    assert_true(stopped > 5 && left > 5);
    ride_release(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(streams_in_files_do_not_change_a_byte),
        cmocka_unit_test(a_scratch_folder_of_no_use_stops_the_walk),
        cmocka_unit_test(room_that_goes_away_is_one_message),
        cmocka_unit_test(who_else_rides_does_not_matter),
        cmocka_unit_test(only_what_is_wanted_is_measured),
        cmocka_unit_test(the_unquantized_model_is_measured_as_it_is),
        cmocka_unit_test(a_window_does_not_know_the_others),
        cmocka_unit_test(figures_are_those_that_are_asked_for),
        cmocka_unit_test(sixteen_bits_change_nothing),
        cmocka_unit_test(bfloat16_is_close_to_float32),
        cmocka_unit_test(fewer_bits_cost_more),
        cmocka_unit_test(a_variant_that_fails_leaves_the_others_alone),
        cmocka_unit_test(values_that_are_not_finite_stop_their_variant_only),
        cmocka_unit_test(progress_comes_to_its_end),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
