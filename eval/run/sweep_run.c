/* Runs a sweep: walk after walk, each committed before the next begins. */
#include "eval/run/sweep.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eval/base/mem.h"
#include "eval/base/printable.h"
#include "eval/linalg/blas.h"
#include "eval/run/progress.h"
#include "eval/run/summary.h"

/* What all commits of a run share. */
struct running {
    struct bs_sweep *sweep;
    const char *path;
    const char **order;
    struct bs_run_info info;
    char host[256], cpu[128], started[32], finished[32];
};

static void time_text(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void cpu_text(char *out, size_t size)
{
    char line[256];
    snprintf(out, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%.*s", (int)size - 1, colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static enum bs_status start_running(struct running *run, struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    run->order = bs_alloc((size_t)sweep->num_all, sizeof *run->order);
    if (!run->order)
        return bs_fail_memory(err);
    bs_sweep_order(sweep, run->order);
    if (gethostname(run->host, sizeof run->host - 1))
        snprintf(run->host, sizeof run->host, "unknown");
    cpu_text(run->cpu, sizeof run->cpu);
    time_text(run->started, sizeof run->started);
    run->info = (struct bs_run_info){.config = sweep->config->source,
                                     .host = run->host,
                                     .cpu = run->cpu,
                                     .blas = bs_blas_name(),
                                     .started = run->started,
                                     .finished = run->finished,
                                     .threads = bs_threads(),
                                     .num_models = sweep->config->num_models,
                                     .models = sweep->config->models};
    return BS_OK;
}

/* Commits what one walk brought: every open trial of its passengers. */
static enum bs_status commit_walk(struct running *run, const struct bs_passenger *passengers,
                                  int num_passengers, bool last, struct bs_sweep_outcome *outcome,
                                  struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    struct bs_trial_record *records = bs_alloc((size_t)sweep->num_trials, sizeof *records);
    if (!records)
        return bs_fail_memory(err);
    int count = 0;
    enum bs_status status = BS_OK;
    for (int i = 0; i < sweep->num_trials && !status; i++) {
        struct bs_trial *trial = &sweep->trials[i];
        for (int p = 0; p < num_passengers && !trial->done && !status; p++)
            if (passengers[p].recipe == &sweep->config->recipes[trial->recipe]) {
                status = bs_trial_summarise(sweep, &run->info, trial, &passengers[p],
                                            &passengers[0], &records[count++], err);
                trial->done = true;
                outcome->failed += passengers[p].status != BS_OK;
                outcome->done += passengers[p].status == BS_OK;
            }
    }
    if (last)
        time_text(run->finished, sizeof run->finished);
    if (!status)
        status = bs_results_commit(run->path, records, count, run->order, sweep->num_all,
                                   &run->info, err);
    bs_free(records);
    return status;
}

/* The unquantized model first: every difference is to it. Then the next open recipes. */
static int board(const struct bs_sweep *sweep, int *next, int most, struct bs_passenger *passengers)
{
    const struct bs_config *config = sweep->config;
    int count = 0;
    passengers[count++] = (struct bs_passenger){.recipe = &config->recipes[0]};
    for (; *next < config->num_recipes && count <= most; (*next)++)
        if (*next > 0 && bs_sweep_recipe_is_open(sweep, *next))
            passengers[count++] = (struct bs_passenger){.recipe = &config->recipes[*next]};
    for (int i = 0; i < sweep->num_trials; i++)
        for (int p = 0; p < count && !sweep->trials[i].done; p++)
            if (passengers[p].recipe == &config->recipes[sweep->trials[i].recipe])
                passengers[p].wanted[sweep->trials[i].text] =
                    passengers[0].wanted[sweep->trials[i].text] = true;
    return count;
}

static enum bs_status run_walk(struct running *run, const struct bs_walk *walk, int *next, int most,
                               bool last, struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    struct bs_passenger *passengers = bs_calloc((size_t)most + 1, sizeof *passengers);
    if (!passengers)
        return bs_fail_memory(err);
    int count = board(run->sweep, next, most, passengers);
    enum bs_status status = bs_walk_run(walk, passengers, count, err);
    if (!status && passengers[0].status)
        status = bs_fail(err, passengers[0].status, "the unquantized model: %.*s", 500,
                         passengers[0].message);
    if (!status)
        status = commit_walk(run, passengers, count, last, outcome, err);
    for (int p = 0; p < count; p++)
        bs_passenger_release(&passengers[p]);
    bs_free(passengers);
    return status;
}

static void announce(const struct bs_sweep_plan *plan)
{
    char spilled[64] = "";
    if (plan->scratch)
        snprintf(spilled, sizeof spilled, "; streams spilled: %.0f MB in ",
                 plan->scratch_bytes / 1e6);
    bs_print_line(stderr, "%d trials to run: %d recipes in %d walk%s, at most %.0f MB%s%s",
                  plan->open_trials, plan->recipes, plan->walks, plan->walks == 1 ? "" : "s",
                  plan->bytes / 1e6, spilled, plan->scratch ? plan->scratch : "");
}

enum bs_status bs_sweep_run(struct bs_sweep *sweep, const char *path,
                            const struct bs_limits *limits, bool quiet, bool last,
                            struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    struct bs_sweep_plan plan;
    struct running run = {.sweep = sweep, .path = path};
    if (bs_sweep_plan(sweep, limits, &plan, err))
        return err->status;
    if (!plan.walks)
        return BS_OK;
    if (start_running(&run, err))
        return err->status;
    int layers = bs_model_architecture(sweep->model)->num_layers, next = 0;
    struct bs_progress progress;
    struct bs_walk walk = bs_sweep_walk(sweep);
    walk.scratch = plan.scratch;
    walk.progress = bs_progress_report;
    walk.progress_context = &progress;
    if (!quiet) {
        fputs(sweep->notices, stderr);
        announce(&plan);
    }
    bs_progress_start(&progress, quiet, (layers + 1) * (plan.recipes + 2 * plan.walks));
    enum bs_status status = BS_OK;
    for (int w = 0; w < plan.walks && !status; w++) {
        status = run_walk(&run, &walk, &next, plan.recipes_a_walk, last && w + 1 == plan.walks,
                          outcome, err);
        progress.before += (layers + 1) * (plan.recipes_a_walk + 2);
    }
    bs_progress_end(&progress);
    bs_free(run.order);
    return status;
}
