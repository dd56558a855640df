/* What bitsweep's arithmetic costs: times and memory of evaluation, GPTQ, AWQ and SmoothQuant on
 * models of real shapes with random weights, against the product rate of the machine in the same
 * run. Prints tables and writes a JSON file. tests/bench/compare.py sets the same work beside other
 * programs. */
#include "tests/bench/bench.h"

#include "tests/bench/comparisons.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "tests/support/folder.h"

enum { GEMM_ROUNDS = 3, TURNS = 2, EXIT_BAD = 2 };

/* A run of the program. */
struct session {
    struct bench_settings settings;
    char *folder; /* of the model directories */
    json_t *gemm, *rows, *ratios;
    size_t first_row; /* of the model at hand */
};

/* A way to measure a model. */
struct bench_case {
    const char *name, *summary;
    bool further; /* not part of every model's cases */
    bool alone;   /* without a model */
    bool spilled; /* streams are in files */
    int layers;   /* 0 = the model's */
    int windows, tokens;
    int calibration_windows, calibration_tokens;
    struct bench_recipe recipe;           /* of a case that is one algorithm */
    const struct comparison *comparisons; /* of one that is some of them */
    void (*run)(struct session *session, const struct bench_model *model,
                const struct bench_case *which);
};

/* For bench_fail, which can come from anywhere. */
static struct session *running;

/* --- scratch --- */

/* Without --keep the folder is the session's own. */
static void remove_scratch(const struct session *session)
{
    if (session && session->folder && !session->settings.keep)
        folder_remove_path(session->folder);
}

void bench_fail(const char *format, ...)
{
    va_list arguments;
    fflush(stdout);
    fprintf(stderr, "bench: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    remove_scratch(running);
    exit(EXIT_BAD);
}

static char *checked(char *text)
{
    if (!text)
        bench_fail("memory ran out");
    return text;
}

static void open_scratch(struct session *session)
{
    const char *where = session->settings.scratch ? session->settings.scratch : getenv("TMPDIR");
    struct bs_error err;
    where = where && *where ? where : "/tmp";
    if (bs_make_directory(where, &err))
        bench_fail("%s", err.message);
    bool keep = session->settings.keep;
    char *path = checked(keep ? bs_strdup(where) : bs_printf("%s/bitsweep-bench-XXXXXX", where));
    if (!keep && !mkdtemp(path))
        bench_fail("%s: %s", path, strerror(errno));
    session->folder = path;
}

/* The model's directory, written where it is not there yet. In new memory. */
static char *model_directory(struct session *session, const struct bench_model *model, int layers)
{
    int seed = session->settings.seed;
    char *path = checked(bs_printf("%s/%s-%d-seed-%d", session->folder, model->name, layers, seed));
    if (!access(path, F_OK))
        return path;
    char *unfinished = checked(bs_printf("%s.unfinished", path));
    struct bench_checkpoint checkpoint = {model, layers, seed, unfinished};
    fprintf(stderr, "%s: writing %d blocks of random weights\n", model->name, layers);
    json_decref(bench_in_child(bench_write_model, &checkpoint));
    if (rename(unfinished, path))
        bench_fail("%s: %s", path, strerror(errno));
    bs_free(unfinished);
    return path;
}

/* --- measuring --- */

static int first_of(int asked, int otherwise) { return asked ? asked : otherwise; }

/* Windows that keep every thread busy where nobody asked for a number. */
static int windows_of(int asked, int otherwise, int threads)
{
    return first_of(asked, otherwise > threads ? otherwise : threads);
}

static int threads_of(const struct session *session)
{
    return first_of(session->settings.threads, (int)sysconf(_SC_NPROCESSORS_ONLN));
}

static int layers_of(const struct session *session, const struct bench_model *model,
                     const struct bench_case *which)
{
    int own = which->recipe.chain ? model->quantize_layers : model->layers;
    return first_of(session->settings.layers, first_of(which->layers, own));
}

/* The job of a case, still without recipes; its directory is to be freed. */
static struct bench_job job_of(struct session *session, const struct bench_model *model,
                               const struct bench_case *which)
{
    const struct bench_settings *s = &session->settings;
    struct bench_job job = {.threads = threads_of(session),
                            .repeat = s->repeat,
                            .seed = s->seed,
                            .numerics = s->numerics};
    job.directory = model_directory(session, model, layers_of(session, model, which));
    if (!which->recipe.chain)
        job.windows = windows_of(s->windows, first_of(which->windows, model->windows), job.threads);
    job.tokens = first_of(s->tokens, first_of(which->tokens, 2048));
    if (which->calibration_windows)
        job.calibration_windows =
            windows_of(s->calibration, which->calibration_windows, job.threads);
    job.calibration_tokens = first_of(s->calibration_tokens, which->calibration_tokens);
    if (which->spilled)
        job.scratch = session->folder;
    return job;
}

static void add_recipe(struct bench_job *job, const char *chain, const char *settings)
{
    struct bench_recipe *recipe = &job->recipes[job->num_recipes++];
    recipe->chain = chain;
    snprintf(recipe->settings, sizeof recipe->settings, "%s", settings);
}

/* The sum of one figure over the recipes. */
static double sum_of(const json_t *measured, const char *key)
{
    double sum = 0;
    size_t i;
    json_t *recipe;
    json_array_foreach(json_object_get(measured, "recipes"), i, recipe) sum +=
        json_number_value(json_object_get(recipe, key));
    return sum;
}

/* A row of the table, without what follows from the product rate; `measured` goes into it whole. */
static json_t *add_row(struct session *session, const struct bench_model *model,
                       const struct bench_case *which, const struct bench_job *job,
                       const char *label, json_t *measured)
{
    bool evaluates = job->windows > 0;
    int windows = evaluates ? job->windows : job->calibration_windows;
    int tokens = evaluates ? job->tokens : job->calibration_tokens;
    double seconds = json_number_value(json_object_get(measured, "seconds"));
    json_t *row = json_copy(measured);
    json_object_update_new(row,
                           json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:f}",
                                     "directory", job->directory, "model", model->name, "case",
                                     label, "layers", layers_of(session, model, which), "windows",
                                     windows, "tokens", tokens, "threads", job->threads,
                                     "seconds_quantize", sum_of(measured, "seconds_quantize"),
                                     "seconds_evaluate", sum_of(measured, "seconds_evaluate"),
                                     "tokens_per_second", (double)windows * tokens / seconds));
    json_object_set_new(row, "calibration",
                        json_pack("[i, i]", job->calibration_windows, job->calibration_tokens));
    json_array_append_new(session->rows, row);
    return row;
}

static void add_ratio(struct session *session, const struct bench_model *model, const char *name,
                      double ratio)
{
    json_array_append_new(session->ratios, json_pack("{s:s, s:s, s:f}", "model", model->name,
                                                     "name", name, "ratio", ratio));
}

static json_t *measure(const struct bench_model *model, const char *label,
                       const struct bench_job *job)
{
    fprintf(stderr, "%s: %s, threads %d\n", model->name, label, job->threads);
    return bench_in_child(bench_measure, job);
}

static double number_of(const json_t *measured, const char *key)
{
    return json_number_value(json_object_get(measured, key));
}

static double seconds_of(const json_t *measured) { return number_of(measured, "seconds"); }

/* --- the cases --- */

/* One recipe: the unquantized model's, or an algorithm's. */
static void run_one(struct session *session, const struct bench_model *model,
                    const struct bench_case *which)
{
    const struct bench_recipe *recipe = &which->recipe;
    struct bench_job job = job_of(session, model, which);
    add_recipe(&job, recipe->chain ? recipe->chain : "", recipe->settings);
    json_t *measured = measure(model, which->name, &job);
    add_row(session, model, which, &job, which->name, measured);
    json_decref(measured);
    bs_free(job.directory);
}

/* What is measured of every model is all. */
static void run_none(struct session *session, const struct bench_model *model,
                     const struct bench_case *which)
{
    (void)session, (void)model, (void)which;
}

/* Times of evaluating one recipe of a walk that carries two: with the head, and the blocks
 * alone. */
struct split {
    double whole, blocks;
};

static struct split split_of(const json_t *measured, size_t index)
{
    const json_t *recipe = json_array_get(json_object_get(measured, "recipes"), index);
    double head = json_number_value(json_object_get(measured, "seconds_head"));
    double whole = json_number_value(json_object_get(recipe, "seconds_evaluate"));
    return (struct split){whole, whole - head / 2};
}

static void compare(struct session *session, const struct bench_model *model,
                    const struct bench_case *which, const struct comparison *comparison)
{
    struct bench_job job = job_of(session, model, which);
    struct split splits[2];
    for (int i = 0; i < 2; i++)
        add_recipe(&job, comparison->chain, comparison->settings[i]);
    json_t *measured = measure(model, which->name, &job);
    json_t *flops = json_object_get(measured, "evaluation_flops");
    for (size_t i = 0; i < 2; i++) {
        splits[i] = split_of(measured, i);
        json_t *one = json_copy(measured);
        json_t *recipe = json_array_get(json_object_get(measured, "recipes"), i);
        json_object_set_new(one, "recipes", json_pack("[O]", recipe));
        json_object_set_new(one, "seconds", json_real(splits[i].whole));
        json_object_set(one, "flops", flops);
        add_row(session, model, which, &job, comparison->labels[i], one);
        json_decref(one);
    }
    add_ratio(session, model, comparison->whole, splits[0].whole / splits[1].whole);
    add_ratio(session, model, comparison->blocks, splits[0].blocks / splits[1].blocks);
    json_decref(measured);
    bs_free(job.directory);
}

static void run_compared(struct session *session, const struct bench_model *model,
                         const struct bench_case *which)
{
    for (const struct comparison *one = which->comparisons; one->chain; one++)
        compare(session, model, which, one);
}

static void run_trials(struct session *session, const struct bench_model *model,
                       const struct bench_case *which)
{
    static const char *const algorithms[] = {"rtn", "gptq", "awq"};
    static const char *const groups[] = {"channel", "128", "64", "32"};
    static const char *const labels[] = {"24 trials in one walk", "24 trials apart"};
    struct bench_job job = job_of(session, model, which);
    double seconds[2];
    for (int a = 0; a < 3; a++)
        for (int bits = 3; bits <= 4; bits++)
            for (int g = 0; g < 4; g++) {
                char settings[64];
                snprintf(settings, sizeof settings, "bits=%d group_size=%s", bits, groups[g]);
                add_recipe(&job, algorithms[a], settings);
            }
    job.repeat = first_of(job.repeat, 1);
    for (int apart = 0; apart < 2; apart++) {
        job.apart = apart;
        json_t *measured = measure(model, labels[apart], &job);
        seconds[apart] = seconds_of(measured);
        add_row(session, model, which, &job, labels[apart], measured);
        json_decref(measured);
    }
    add_ratio(session, model, "time of 24 trials in one walk by 24 walks", seconds[0] / seconds[1]);
    bs_free(job.directory);
}

/* What two streams take that are in files; stream 0 rides along. */
static void run_spilled(struct session *session, const struct bench_model *model,
                        const struct bench_case *which)
{
    struct bench_job job = job_of(session, model, which);
    add_recipe(&job, "rtn", "bits=4 group_size=128");
    json_t *measured = measure(model, which->name, &job);
    add_row(session, model, which, &job, which->name, measured);
    json_decref(measured);
    bs_free(job.directory);
}

/* Two jobs in turn, of each the fastest run. */
static void measure_in_turn(const struct bench_model *model, const char *label,
                            const struct bench_job jobs[2], json_t *best[2])
{
    for (int i = 0; i < 2 * TURNS; i++) {
        json_t *measured = measure(model, label, &jobs[i % 2]), **kept = &best[i % 2];
        if (!*kept || seconds_of(measured) < seconds_of(*kept)) {
            json_decref(*kept);
            *kept = json_incref(measured);
        }
        json_decref(measured);
    }
}

static void run_threads(struct session *session, const struct bench_model *model,
                        const struct bench_case *which)
{
    char name[64];
    struct bench_job job = job_of(session, model, which);
    json_t *best[2] = {NULL, NULL};
    int most = job.threads;
    add_recipe(&job, "", "");
    if (most > 1) {
        struct bench_job jobs[2] = {job, job};
        jobs[0].threads = 1;
        measure_in_turn(model, which->name, jobs, best);
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "%d of %d threads", jobs[i].threads, most);
            add_row(session, model, which, &jobs[i], name, best[i]);
        }
        snprintf(name, sizeof name, "evaluation time on 1 thread by %d", most);
        add_ratio(session, model, name, seconds_of(best[0]) / seconds_of(best[1]));
        add_ratio(session, model, "of these, the same bytes (1 = yes)",
                  json_equal(json_object_get(best[0], "nll_digest"),
                             json_object_get(best[1], "nll_digest")));
    }
    json_decref(best[0]);
    json_decref(best[1]);
    bs_free(job.directory);
}

/* The libraries' numerics against our own. */
static void run_numerics(struct session *session, const struct bench_model *model,
                         const struct bench_case *which)
{
    const struct bench_recipe *recipe = &which->recipe;
    const char *what = recipe->chain ? recipe->chain : "evaluation";
    char name[64];
    struct bench_job job = job_of(session, model, which);
    json_t *best[2] = {NULL, NULL};
    add_recipe(&job, recipe->chain ? recipe->chain : "", recipe->settings);
    struct bench_job jobs[2] = {job, job};
    jobs[0].numerics = &bs_numerics_native;
    jobs[1].numerics = &bs_numerics_portable;
    measure_in_turn(model, which->name, jobs, best);
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s, %s", what, jobs[i].numerics->plugin.name);
        add_row(session, model, which, &jobs[i], name, best[i]);
    }
    snprintf(name, sizeof name, "%s time by native numerics by portable", what);
    add_ratio(session, model, name, seconds_of(best[0]) / seconds_of(best[1]));
    snprintf(name, sizeof name, "%s processor time by native numerics by portable", what);
    add_ratio(session, model, name,
              number_of(best[0], "seconds_processor") / number_of(best[1], "seconds_processor"));
    json_decref(best[0]);
    json_decref(best[1]);
    bs_free(job.directory);
}

static const struct bench_case cases[] = {
    {.name = "evaluation", .summary = "the unquantized model", .run = run_one},
    {.name = "gptq",
     .summary = "quantizing at w4 g128",
     .calibration_windows = 4,
     .calibration_tokens = 2048,
     .recipe = {"gptq", "bits=4 group_size=128"},
     .run = run_one},
    {.name = "awq",
     .summary = "quantizing at w4 g128",
     .calibration_windows = 4,
     .calibration_tokens = 512,
     .recipe = {"awq", "bits=4 group_size=128"},
     .run = run_one},
    {.name = "smoothquant",
     .summary = "quantizing at W8A8",
     .calibration_windows = 4,
     .calibration_tokens = 2048,
     .recipe = {"smoothquant", "bits=8 a.bits=8"},
     .run = run_one},
    {.name = "w8a8",
     .summary = "evaluation with 8-bit activations against float32 ones",
     .further = true,
     .windows = 4,
     .calibration_windows = 2,
     .calibration_tokens = 512,
     .comparisons = w8a8,
     .run = run_compared},
    {.name = "bfloat16",
     .summary = "evaluation in bfloat16 against float32",
     .further = true,
     .windows = 4,
     .comparisons = bfloat16,
     .run = run_compared},
    {.name = "sites",
     .summary = "evaluation with values quantized at a site against evaluation without",
     .further = true,
     .windows = 2,
     .comparisons = sites,
     .run = run_compared},
    {.name = "trials",
     .summary = "rtn, gptq, awq x 2 bits x 4 groups in one walk against 24 walks",
     .further = true,
     .layers = 2,
     .windows = 8,
     .tokens = 256,
     .calibration_windows = 8,
     .calibration_tokens = 256,
     .run = run_trials},
    {.name = "threads",
     .summary = "evaluation on 1 thread against all",
     .further = true,
     .windows = 1,
     .run = run_threads},
    {.name = "numerics",
     .summary = "evaluation by native numerics against portable ones",
     .further = true,
     .windows = 4,
     .run = run_numerics},
    {.name = "gptq-numerics",
     .summary = "quantizing at w4 g128 by native numerics against portable ones",
     .further = true,
     .calibration_windows = 4,
     .calibration_tokens = 2048,
     .recipe = {"gptq", "bits=4 group_size=128"},
     .run = run_numerics},
    {.name = "spilled",
     .summary = "evaluation of rtn w4 g128 and the unquantized model, their streams in files",
     .further = true,
     .spilled = true,
     .run = run_spilled},
    {.name = "awq-spilled",
     .summary = "quantizing at w4 g128, what the search goes over in files",
     .further = true,
     .spilled = true,
     .calibration_windows = 4,
     .calibration_tokens = 512,
     .recipe = {"awq", "bits=4 group_size=128"},
     .run = run_one},
    {.name = "products", .summary = "the products above alone", .further = true, .run = run_none},
    {.name = "formats",
     .summary = "rounding to each number format, of no model; GGML_LIBRARY=libggml-base.so: and "
                "ggml's",
     .further = true,
     .alone = true,
     .run = run_none},
};
enum { NUM_CASES = sizeof cases / sizeof *cases };

/* --- a model --- */

static json_t *gemm_of(struct session *session, const struct bench_model *model, int threads)
{
    const struct bench_settings *s = &session->settings;
    int layers = first_of(s->layers, model->layers);
    char *directory = model_directory(session, model, layers);
    struct bench_gemm gemm = {directory, first_of(s->tokens, 2048), threads, GEMM_ROUNDS,
                              s->numerics};
    fprintf(stderr, "%s: product rate, threads %d\n", model->name, threads);
    json_t *measured = bench_in_child(bench_measure_gemm, &gemm);
    json_object_update_new(measured,
                           json_pack("{s:s, s:i}", "model", model->name, "threads", threads));
    bs_free(directory);
    return measured;
}

static bool is_wanted(const struct session *session, const struct bench_model *model, int which)
{
    const struct bench_settings *s = &session->settings;
    return s->any_case ? s->cases[which] : !cases[which].further || model->further;
}

static void run_model(struct session *session, const struct bench_model *model)
{
    int counts[] = {threads_of(session), 1};
    bool scaling = false;
    for (int c = 0; c < NUM_CASES; c++)
        scaling |= cases[c].run == run_threads && is_wanted(session, model, c);
    int num_counts = scaling && counts[0] > 1 ? 2 : 1;
    json_t *gemms[2] = {NULL, NULL};
    session->first_row = json_array_size(session->rows);
    /* Once before and once after, since the machine's clock wanders. */
    for (int i = 0; i < num_counts; i++)
        gemms[i] = gemm_of(session, model, counts[i]);
    for (int c = 0; c < NUM_CASES; c++)
        if (is_wanted(session, model, c))
            cases[c].run(session, model, &cases[c]);
    for (int i = 0; i < num_counts; i++) {
        json_t *again = gemm_of(session, model, counts[i]);
        bench_raise_rates(gemms[i], again);
        bench_fill_shares(session->rows, session->first_row, gemms[i]);
        json_array_append_new(session->gemm, gemms[i]);
        json_decref(again);
    }
    if (num_counts == 2) { /* what the scaling of the program can be at most */
        char name[64];
        snprintf(name, sizeof name, "product rate on %d threads by 1", counts[0]);
        add_ratio(session, model, name, bench_best_rate(gemms[0]) / bench_best_rate(gemms[1]));
    }
    if (!session->settings.keep) { /* the next model needs the room */
        remove_scratch(session);
        struct bs_error err;
        if (bs_make_directory(session->folder, &err))
            bench_fail("%s", err.message);
    }
}

/* What is measured without a model; NULL where nobody asks for it. */
static json_t *run_formats(const struct bench_settings *settings)
{
    bool wanted = false;
    for (int c = 0; c < NUM_CASES; c++)
        wanted |= cases[c].alone && settings->cases[c];
    return wanted ? bench_in_child(bench_measure_formats, NULL) : NULL;
}

/* Whether any case that a model has is asked for. */
static bool any_of_models(const struct bench_settings *settings)
{
    bool any = !settings->any_case;
    for (int c = 0; c < NUM_CASES; c++)
        any |= !cases[c].alone && settings->cases[c];
    return any;
}

int main(int argc, char **argv)
{
    struct bench_named named[NUM_CASES];
    for (int i = 0; i < NUM_CASES; i++)
        named[i] = (struct bench_named){cases[i].name, cases[i].summary};
    struct session session = {.settings = bench_read_command_line(argc, argv, named, NUM_CASES)};
    session.gemm = json_array();
    session.rows = json_array();
    session.ratios = json_array();
    running = &session;
    bench_catch_interrupts();
    open_scratch(&session);
    /* Taken first: afterwards the load would be our own. */
    json_t *environment = bench_environment(session.settings.numerics, threads_of(&session));
    json_t *formats = run_formats(&session.settings);
    for (int i = 0; i < bench_num_models && any_of_models(&session.settings); i++)
        if (session.settings.any_model ? session.settings.models[i] : bench_models[i].usual)
            run_model(&session, &bench_models[i]);
    json_t *report = json_pack("{s:o, s:o, s:o, s:o}", "environment", environment, "gemm",
                               session.gemm, "rows", session.rows, "ratios", session.ratios);
    json_object_update_new(report, formats ? formats : json_object());
    bench_report(report, session.settings.output);
    remove_scratch(&session);
    bs_free(session.folder);
    json_decref(report);
    return EXIT_SUCCESS;
}
