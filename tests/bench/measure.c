/* What a walk takes: its time as the clock and as its variants have it, and its arithmetic. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "eval/base/mem.h"
#include "eval/data/random.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/product_choice.h"
#include "eval/tasks/uncertainty.h"
#include "eval/run/walk_cost.h"
#include "tests/support/recipes.h"
#include "tests/support/values.h"

enum { MOST_RUNS = 64, SHORT_RUNS = 5 };

/* A run of less is a warm-up that is repeated, SHORT_RUNS times or until so much time is spent. */
static const double short_seconds = 5, enough_seconds = 20;

/* What a job works with. */
struct bench {
    const struct bench_job *job;
    struct bs_model *model;
    struct bs_windows calibration, text;
    struct bs_recipe recipes[BENCH_MOST_RECIPES];
};

/* One run of the job. */
struct run {
    double seconds, seconds_head, seconds_processor;
    double last_tick, before_last; /* of the walk at hand */
    json_t *recipes;
    char digest[33];
};

/* ids as CPython draws them: random.seed(seed), then random.randint(0, vocab_size - 1) each. */
static enum bs_status draw_windows(struct bs_windows *windows, int count, int tokens, int seed,
                                   int vocab_size, struct bs_error *err)
{
    size_t all = (size_t)count * (size_t)tokens;
    struct bs_evaluation_choice choice = {
        .text = {.text = "drawn"}, .protocol = BS_PROTOCOL_GPTQ, .tokens = tokens};
    *windows = (struct bs_windows){.tokens = tokens};
    if (!count)
        return BS_OK;
    int32_t *ids = bs_alloc(all, sizeof *ids);
    if (!ids)
        return bs_fail_memory(err);
    struct bs_random random;
    bs_random_seed(&random, (uint32_t)seed);
    for (size_t i = 0; i < all; i++)
        ids[i] = (int32_t)bs_random_int(&random, 0, vocab_size - 1);
    enum bs_status status = bs_windows_cut(&choice, ids, all, -1, windows, err);
    bs_free(ids);
    return status;
}

static enum bs_status open_bench(struct bench *bench, struct bs_error *err)
{
    const struct bench_job *job = bench->job;
    if (bs_model_open(job->directory, NULL, &bench->model, err))
        return err->status;
    const struct bs_architecture *a = bs_model_architecture(bench->model);
    int longest = job->windows ? job->tokens : 0, vocab = a->vocab_size;
    if (job->calibration_windows && job->calibration_tokens > longest)
        longest = job->calibration_tokens;
    if (longest > a->max_positions)
        return bs_fail(err, BS_ECONFIG, "the model has %d positions, fewer than %d",
                       a->max_positions, longest);
    if (draw_windows(&bench->text, job->windows, job->tokens, job->seed, vocab, err) ||
        draw_windows(&bench->calibration, job->calibration_windows, job->calibration_tokens,
                     job->seed + 1, vocab, err))
        return err->status;
    for (int i = 0; i < job->num_recipes; i++)
        recipe_build(&bench->recipes[i], job->recipes[i].chain, job->recipes[i].settings);
    return BS_OK;
}

static void close_bench(struct bench *bench)
{
    for (int i = 0; i < bench->job->num_recipes; i++)
        bs_recipe_release(&bench->recipes[i]);
    bs_windows_release(&bench->text);
    bs_windows_release(&bench->calibration);
    bs_model_free(bench->model);
}

static struct bs_walk walk_of(const struct bench *bench)
{
    return (struct bs_walk){.model = bench->model,
                            .calibration = bench->calibration.windows ? &bench->calibration : NULL,
                            .num_texts = bench->text.windows > 0,
                            .texts = &bench->text,
                            .scratch = bench->job->scratch};
}

/* The walk's last report comes after the head, the one before it ahead of the head. */
static void tick(void *context, int done, int total)
{
    (void)done, (void)total;
    struct run *run = context;
    run->before_last = run->last_tick;
    run->last_tick = bs_seconds();
}

static json_t *figure(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static void keep_variant(const struct bench *bench, const struct bs_variant *variant,
                         struct run *run, struct bs_digest_state *digest)
{
    char label[128];
    const float *nll = bs_figure_floats(&variant->figures[0], BS_NLL);
    struct bs_layout layout = {bench->text.windows, bench->text.tokens - 1, bench->text.num_scored};
    double mean = NAN;
    if (nll) {
        mean = bs_mean_of(nll, &layout).mean;
        bs_digest_add(digest, nll, layout.scored * sizeof *nll); /* all are */
    }
    recipe_label(variant->recipe, label, sizeof label);
    json_array_append_new(run->recipes,
                          json_pack("{s:s, s:f, s:f, s:o, s:o}", "label", label, "seconds_quantize",
                                    variant->seconds_quantize, "seconds_evaluate",
                                    variant->seconds_evaluate, "mean_nll", figure(mean), "sqnr_db",
                                    figure(variant_value(variant, "sqnr_db"))));
}

/* Of all threads. */
static double processor_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* One walk with recipes first .. first + count - 1. */
static enum bs_status run_walk(const struct bench *bench, int first, int count, struct run *run,
                               struct bs_digest_state *digest, struct bs_error *err)
{
    struct bs_variant variants[BENCH_MOST_RECIPES];
    struct bs_walk walk = walk_of(bench);
    memset(variants, 0, sizeof variants);
    for (int i = 0; i < count; i++)
        variants[i] = (struct bs_variant){.recipe = &bench->recipes[first + i],
                                          .wanted = {walk.num_texts > 0}};
    walk.progress = tick;
    walk.progress_context = run;
    double start = bs_seconds(), used = processor_seconds();
    enum bs_status status = bs_walk_run(&walk, variants, count, err);
    run->seconds += bs_seconds() - start;
    run->seconds_processor += processor_seconds() - used;
    run->seconds_head += run->last_tick - run->before_last;
    for (int i = 0; i < count; i++) {
        if (!status && variants[i].status)
            status = bs_fail(err, variants[i].status, "%s", variants[i].message);
        if (!status)
            keep_variant(bench, &variants[i], run, digest);
        bs_variant_release(&variants[i]);
    }
    return status;
}

static enum bs_status run_once(const struct bench *bench, struct run *run, struct bs_error *err)
{
    *run = (struct run){.recipes = json_array()};
    struct bs_digest_state *digest = bs_digest_create();
    if (!digest)
        return bs_fail_memory(err);
    int all = bench->job->num_recipes, each = bench->job->apart ? 1 : all;
    enum bs_status status = BS_OK;
    for (int i = 0; i < all && !status; i += each)
        status = run_walk(bench, i, each, run, digest, err);
    struct bs_digest whole = bs_digest_finish(digest);
    memcpy(run->digest, whole.hex, sizeof run->digest);
    return status;
}

/* Runs as often as the job says, a first short run not counted. Returns how many were kept. */
static enum bs_status run_all(const struct bench *bench, struct run *runs, int *count,
                              struct bs_error *err)
{
    const struct bench_job *job = bench->job;
    double spent = 0;
    bool warm = false;
    *count = 0;
    for (;;) {
        struct run *run = &runs[*count];
        if (run_once(bench, run, err))
            return err->status;
        if (!warm && !job->repeat && run->seconds < short_seconds) {
            warm = true;
            json_decref(run->recipes);
            continue;
        }
        spent += run->seconds;
        ++*count;
        if (job->repeat ? *count == job->repeat || *count == MOST_RUNS
                        : !warm || *count == SHORT_RUNS || spent > enough_seconds)
            return BS_OK;
    }
}

static int by_seconds(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

/* Of everything the job asks for: what is done once, stream 0's evaluation among it, and what the
 * recipe does for itself. */
static double job_flops(const struct bench *bench)
{
    const struct bench_job *job = bench->job;
    struct bs_walk walk = walk_of(bench);
    if (job->num_recipes > 1)
        return NAN;
    const struct bs_recipe *recipe = &bench->recipes[0];
    double common = bs_walk_common(&walk, &recipe, 1).flops;
    if (!recipe->num_steps)
        return common;
    return common + bs_walk_evaluation_flops(&walk) + bs_walk_own_cost(&walk, recipe).flops;
}

static json_t *report(const struct bench *bench, struct run *runs, int count)
{
    struct bs_walk walk = walk_of(bench);
    json_t *seconds = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(seconds, json_real(runs[i].seconds));
    qsort(runs, (size_t)count, sizeof *runs, by_seconds);
    const struct run *median = &runs[(count - 1) / 2];
    return json_pack("{s:f, s:f, s:f, s:o, s:o, s:f, s:O, s:s}", "seconds", median->seconds,
                     "seconds_head", median->seconds_head, "seconds_processor",
                     median->seconds_processor, "runs", seconds, "flops", figure(job_flops(bench)),
                     "evaluation_flops", bs_walk_evaluation_flops(&walk), "recipes",
                     median->recipes, "nll_digest", median->digest);
}

json_t *bench_measure(const void *context)
{
    struct bs_error err;
    struct bench bench = {.job = context};
    struct run runs[MOST_RUNS];
    int count;
    bs_set_threads(bench.job->threads);
    bs_numerics_use(bench.job->numerics);
    bs_blas_init();
    bs_product_choose();
    if (open_bench(&bench, &err) || run_all(&bench, runs, &count, &err))
        return json_pack("{s:s}", "error", err.message);
    json_t *made = report(&bench, runs, count);
    for (int i = 0; i < count; i++)
        json_decref(runs[i].recipes);
    close_bench(&bench);
    return made;
}
