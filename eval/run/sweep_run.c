/* Runs a sweep: walk after walk, each committed before the next begins. */
#include "eval/run/sweep.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/linalg/blas.h"
#include "eval/run/progress.h"
#include "eval/run/summary.h"

/* What all commits of a run share. */
struct running {
    struct bs_sweep *sweep;
    const char *path;
    const char **order;
    struct bs_run_info info;
    struct bs_keeping keeping;
    struct bs_sweep_outcome *outcome;
    struct bs_progress *progress;
    const struct bs_telling *telling;
    const char **names; /* of the recipes in the walk */
    bool last;          /* of the run's sweeps */
    struct bs_variant *variants;
    int num_variants;
    bool is_kept; /* the walk under way, from this place on */
    struct bs_walk_place kept_at;
    bool warned; /* that it cannot be */
    char host[256], cpu[128], started[32], finished[32];
};

static void time_text(char *out, size_t size)
{
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
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
    bs_cpu_name(run->cpu, sizeof run->cpu);
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

/* What a walk brought that is still to be committed. */
static bool is_measured(const struct bs_variant *variant, const struct bs_trial *trial, int text)
{
    return !trial->done && variant->wanted[trial->text] && (variant->status || trial->text == text);
}

/* Whether the variant is the trial's: of a model that is compared with a reference it is the model,
 * and the first one, which has the same recipe, the reference. */
static bool is_of(const struct bs_sweep *sweep, const struct bs_variant *variant,
                  const struct bs_trial *trial)
{
    return variant->recipe == &sweep->config->recipes[trial->recipe] &&
           (!sweep->reference || variant->model);
}

/* Takes the trials of one text, and those that failed, off the walk: they are done. */
static enum bs_status take_records(struct running *run, int text, struct bs_trial_record *records,
                                   int *count, struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    for (int i = 0; i < sweep->num_trials; i++) {
        struct bs_trial *trial = &sweep->trials[i];
        for (int p = 0; p < run->num_variants; p++) {
            const struct bs_variant *variant = &run->variants[p];
            if (!is_of(sweep, variant, trial) || !is_measured(variant, trial, text))
                continue;
            if (bs_trial_summarise(sweep, &run->info, trial, variant, run->variants,
                                   &records[(*count)++], err))
                return err->status;
            trial->done = true;
            run->outcome->failed += variant->status ? 1 : 0;
            run->outcome->done += !variant->status;
        }
    }
    return BS_OK;
}

static int count_done(const struct bs_sweep *sweep)
{
    int done = 0;
    for (int i = 0; i < sweep->num_all; i++)
        done += sweep->all[i].done;
    return done;
}

/* What is said should a signal end the run. */
static void tell_kept(const struct running *run)
{
    const struct bs_walk_place *place = &run->kept_at;
    int layers = bs_model_architecture(run->sweep->model)->num_layers;
    int done = count_done(run->sweep), all = run->sweep->num_all;
    char walk[160] = "nothing is kept of the walk under way";
    if (run->is_kept && place->block < layers)
        snprintf(walk, sizeof walk, "the walk under way is kept from block %d of %d on",
                 place->block + 1, layers);
    else if (run->is_kept)
        snprintf(walk, sizeof walk, "the walk under way is kept from its last step, the head, on");
    if (done == all)
        bs_stop_keep("all trials are in %s", run->path);
    else
        bs_stop_keep("%d of %d trials are in %s, %s; the same command goes on from there", done,
                     all, run->path, walk);
}

/* Each walk measures the unquantized model: where its figures are not those that the file has, its
 * files are others, whatever their dates say. Another processor's last digits are no difference. */
static enum bs_status check_reference(const struct running *run, int text, struct bs_error *err)
{
    struct bs_sweep *sweep = run->sweep;
    const float *nll = bs_figure_floats(&run->variants[0].figures[text], BS_NLL);
    const struct bs_windows *windows = &sweep->texts[text];
    const double tolerance = 1e-4;
    double sum = 0, *before = &sweep->reference_nll[text];
    if (!nll)
        return BS_OK;
    for (size_t i = 0; i < (size_t)windows->windows * (size_t)(windows->tokens - 1); i++)
        sum += isnan(nll[i]) ? 0 : (double)nll[i];
    double mean = sum / (double)windows->num_scored;
    if (isnan(*before))
        *before = mean;
    if (fabs(mean - *before) <= tolerance * (1 + *before))
        return BS_OK;
    return bs_fail(err, BS_EDATA,
                   "the unquantized model has an NLL of %.6f on '%s' now and had one of %.6f: its "
                   "files have changed",
                   mean, sweep->config->evaluations[text].name, *before);
}

/* Nothing of the walk is left to do: its checkpoint goes. */
static void forget_kept(struct running *run)
{
    if (run->keeping.path)
        unlink(run->keeping.path);
    run->is_kept = false;
}

/* That a trial is in the file now. */
static void tell_trial(const struct running *run, const struct bs_row *row)
{
    if (!bs_row_is_done(row))
        bs_tell(run->telling, "trial", true, "failed: %s, %s on %s: %s", row->model, row->recipe,
                row->text, row->message);
    else
        bs_tell(run->telling, "trial", true, "done: %s, %s on %s", row->model, row->recipe,
                row->text);
}

/* Commits what the walk has measured: called when a text is, or when a variant has failed. After
 * the last text its checkpoint goes at once, so that a kill between the two is next to
 * impossible. */
static enum bs_status commit_measured(void *context, int text, struct bs_error *err)
{
    struct running *run = context;
    struct bs_sweep *sweep = run->sweep;
    const struct bs_variant *reference = &run->variants[0];
    if (reference->status)
        return bs_fail(err, reference->status, "the unquantized model: %.*s", 500,
                       reference->message);
    if (text >= 0 && check_reference(run, text, err))
        return err->status;
    struct bs_trial_record *records = bs_calloc((size_t)sweep->num_trials, sizeof *records);
    if (!records)
        return bs_fail_memory(err);
    int count = 0;
    enum bs_status status = take_records(run, text, records, &count, err);
    if (run->last && !bs_sweep_is_open(sweep))
        time_text(run->finished, sizeof run->finished);
    if (!status && count)
        status = bs_results_commit(run->path, records, count, run->order, sweep->num_all,
                                   &run->info, err);
    if (!status && count)
        bs_stop_gained();
    for (int r = 0; r < count; r++) {
        if (!status)
            tell_trial(run, &records[r].row);
        bs_trial_record_release(&records[r]);
    }
    bs_free(records);
    if (!status && text + 1 == sweep->config->num_evaluations)
        forget_kept(run);
    if (!status)
        tell_kept(run);
    return status;
}

/* After each attempt to keep the walk. */
static void on_kept(void *context, const struct bs_walk_place *place, const struct bs_error *err)
{
    struct running *run = context;
    if (!err) {
        run->is_kept = true;
        run->kept_at = *place;
        bs_stop_gained();
        tell_kept(run);
        bs_tell(run->telling, "kept", true, "the walk is kept, before block %d", place->block + 1);
    } else if (!run->warned) {
        run->warned = true; /* once is enough: it is tried again, and the run goes on */
        bs_progress_end(run->progress);
        bs_tell(run->telling, "warning", false,
                "bitsweep: the walk cannot be kept, and goes on: %s", err->message);
    }
}

/* ---- who rides ---- */

static void add_rider(struct running *run, const struct bs_recipe *recipe)
{
    run->variants[run->num_variants++] = (struct bs_variant){.recipe = recipe};
}

/* Every variant to the texts of its trials that `wanted` is true of; the unquantized model to
 * all of theirs. */
static void want_texts(struct running *run, bool (*wanted)(const struct bs_trial *trial))
{
    const struct bs_sweep *sweep = run->sweep;
    struct bs_variant *reference = &run->variants[0];
    for (int i = 0; i < sweep->num_trials; i++) {
        const struct bs_trial *trial = &sweep->trials[i];
        for (int p = 0; p < run->num_variants; p++) {
            struct bs_variant *variant = &run->variants[p];
            if (!is_of(sweep, variant, trial))
                continue;
            variant->ids[trial->text] = trial->id;
            if (wanted(trial))
                variant->wanted[trial->text] = reference->wanted[trial->text] = true;
        }
    }
}

static bool not_done(const struct bs_trial *trial) { return !trial->done; }
static bool not_done_but_kept(const struct bs_trial *trial) { return !trial->done && trial->kept; }

/* The unquantized model first: every difference is to it. Then the next open recipes. */
static void board(struct running *run, int *next, int most)
{
    const struct bs_recipe *recipes = run->sweep->config->recipes;
    add_rider(run, &recipes[0]);
    if (run->sweep->reference) {
        add_rider(run, &recipes[0]);
        run->variants[1].model = run->sweep->model;
    }
    for (; *next < run->sweep->config->num_recipes && run->num_variants <= most; (*next)++)
        if (*next > 0 && bs_sweep_recipe_is_open(run->sweep, *next))
            add_rider(run, &recipes[*next]);
    want_texts(run, not_done);
}

static enum bs_status make_room(struct running *run, int riders, struct bs_error *err)
{
    run->num_variants = 0;
    run->variants = bs_calloc((size_t)riders + 1, sizeof *run->variants);
    return run->variants ? BS_OK : bs_fail_memory(err);
}

static void leave(struct running *run)
{
    for (int p = 0; p < run->num_variants; p++)
        bs_variant_release(&run->variants[p]);
    bs_free(run->variants);
    run->variants = NULL;
    run->num_variants = 0;
}

/* ---- the walks ---- */

/* What the recipes on board are called, for the line of progress. */
static enum bs_status name_walk(struct running *run, struct bs_error *err)
{
    const struct bs_sweep *sweep = run->sweep;
    struct bs_progress_walk *walk = &run->progress->walk;
    run->names = bs_calloc((size_t)run->num_variants, sizeof *run->names);
    if (!run->names)
        return bs_fail_memory(err);
    for (int p = 0; p < run->num_variants; p++)
        for (int i = 0; i < sweep->num_trials && !run->names[p]; i++)
            if (is_of(sweep, &run->variants[p], &sweep->trials[i]))
                run->names[p] = sweep->trials[i].recipe_label;
    walk->number++;
    walk->recipes = run->names;
    walk->num_recipes = run->num_variants;
    return BS_OK;
}

/* Runs the walk of those who are on board; its checkpoint goes when it ends. */
static enum bs_status run_walk(struct running *run, struct bs_walk *walk, struct bs_error *err)
{
    if (name_walk(run, err))
        return err->status;
    tell_kept(run);
    bs_stop_hold(true);
    walk->keeping = run->keeping.path ? &run->keeping : NULL;
    bs_keep_begin(&run->keeping);
    enum bs_status status = bs_walk_run(walk, run->variants, run->num_variants, err);
    if (!status) {
        forget_kept(run);
        tell_kept(run);
        if (bs_stop_asked())
            status = bs_fail(err, BS_ESTOPPED, "asked to stop");
    }
    bs_stop_hold(false);
    run->progress->walk.num_recipes = 0;
    bs_free((void *)run->names);
    run->names = NULL;
    return status;
}

static int units_of(const struct running *run, int recipes)
{
    return (bs_model_architecture(run->sweep->model)->num_layers + 1) * (recipes + 2);
}

static void announce(const struct running *run, const struct bs_sweep_plan *plan)
{
    char spilled[64] = "";
    if (plan->scratch)
        snprintf(spilled, sizeof spilled, "; streams spilled: %.0f MB in ",
                 plan->scratch_bytes / 1e6);
    bs_tell(run->telling, "plan", false,
            "%d trials to run: %d recipe%s in %d walk%s, at most %.0f MB%s%s", plan->open_trials,
            plan->recipes, plan->recipes == 1 ? "" : "s", plan->walks, plan->walks == 1 ? "" : "s",
            plan->bytes / 1e6, spilled, plan->scratch ? plan->scratch : "");
}

/* Goes on with the walk that was kept. */
static enum bs_status go_on(struct running *run, const struct bs_limits *limits,
                            const struct bs_kept *kept, struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(run->sweep);
    walk.kept = kept;
    walk.progress = bs_progress_report;
    walk.progress_context = run->progress;
    walk.measured = commit_measured;
    walk.measured_context = run;
    if (make_room(run, kept->num_variants, err))
        return err->status;
    const struct bs_recipe **recipes =
        bs_alloc((size_t)kept->num_variants, sizeof(const struct bs_recipe *));
    unsigned *texts = bs_calloc((size_t)kept->num_variants, sizeof *texts);
    enum bs_status status = recipes && texts ? BS_OK : bs_fail_memory(err);
    int count = status ? 0 : bs_sweep_kept_recipes(run->sweep, kept, recipes);
    for (int i = 0; i < count; i++)
        texts[i] = bs_sweep_texts(run->sweep, recipes[i], true);
    add_rider(run, run->sweep->config->recipes);
    for (int i = 0; i < count; i++)
        add_rider(run, recipes[i]);
    want_texts(run, not_done_but_kept);
    if (!status)
        status = bs_sweep_place_streams(limits, &walk, recipes, texts, count, err);
    bs_free(texts);
    bs_free(recipes);
    run->is_kept = true;
    run->kept_at = kept->place;
    run->progress->skipped = kept->place.block * run->num_variants + kept->place.variant;
    if (!status)
        status = run_walk(run, &walk, err);
    run->progress->before += units_of(run, run->num_variants - 1);
    leave(run);
    return status;
}

static enum bs_status run_planned(struct running *run, const struct bs_sweep_plan *plan,
                                  struct bs_error *err)
{
    struct bs_walk walk = bs_sweep_walk(run->sweep);
    walk.scratch = plan->scratch;
    walk.progress = bs_progress_report;
    walk.progress_context = run->progress;
    walk.measured = commit_measured;
    walk.measured_context = run;
    int next = 0;
    enum bs_status status = BS_OK;
    for (int w = 0; w < plan->walks && !status; w++) {
        if (make_room(run, plan->recipes_a_walk, err))
            return err->status;
        board(run, &next, plan->recipes_a_walk);
        status = run_walk(run, &walk, err);
        run->progress->before += units_of(run, plan->recipes_a_walk);
        leave(run);
    }
    return status;
}

/* Of the walk that was kept, where there is one. */
static enum bs_status tell_going_on(const struct running *run, const struct bs_kept *kept,
                                    struct bs_error *err)
{
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (out)
        bs_sweep_print_kept(run->sweep, &run->keeping, kept, out);
    char *text = out ? bs_print_end(&printing) : NULL;
    if (!text)
        return bs_fail_memory(err);
    bs_tell_lines(run->telling, "kept", text);
    bs_free(text);
    return BS_OK;
}

/* The walk that was kept, if there is one, then the others. */
static enum bs_status run_walks(struct running *run, const struct bs_limits *limits,
                                const struct bs_kept *kept, struct bs_error *err)
{
    struct bs_sweep_plan plan;
    if (bs_sweep_plan(run->sweep, limits, NULL, &plan, err))
        return err->status;
    bool goes_on = kept->num_variants > 0;
    if (!plan.walks && !goes_on)
        return BS_OK;
    if (start_running(run, err))
        return err->status;
    bs_tell_lines(run->telling, "notice", run->sweep->notices);
    if (tell_going_on(run, kept, err))
        return err->status;
    if (plan.walks)
        announce(run, &plan);
    bs_progress_start(run->progress, run->telling,
                      (goes_on ? units_of(run, kept->num_variants - 1) : 0) +
                          units_of(run, plan.recipes_a_walk) * plan.walks);
    run->progress->walk =
        (struct bs_progress_walk){.count = goes_on + plan.walks,
                                  .layers = bs_model_architecture(run->sweep->model)->num_layers};
    enum bs_status status = goes_on ? go_on(run, limits, kept, err) : BS_OK;
    if (!status)
        status = run_planned(run, &plan, err);
    bs_progress_end(run->progress);
    bs_free(run->order);
    return status;
}

enum bs_status bs_sweep_run(struct bs_sweep *sweep, const char *path,
                            const struct bs_limits *limits, const struct bs_telling *telling,
                            bool last, struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    struct bs_progress progress;
    struct bs_kept kept;
    struct running run = {.sweep = sweep,
                          .path = path,
                          .telling = telling,
                          .last = last,
                          .outcome = outcome,
                          .progress = &progress};
    if (bs_sweep_keeping(sweep, path, limits, &run.keeping, err) ||
        bs_sweep_find_kept(sweep, &run.keeping, limits, &kept, stderr, err))
        return err->status;
    run.keeping.kept = on_kept;
    run.keeping.context = &run;
    enum bs_status status = run_walks(&run, limits, &kept, err);
    bs_kept_close(&kept);
    bs_free(run.keeping.path);
    return status;
}
