#include "eval/run/models.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"

static const char *name_of(const struct bs_models *models, int k)
{
    return models->config->models[models->models[k].model];
}

/* Opens the k-th model in place of the one that is open. */
static enum bs_status switch_to(struct bs_models *models, int k, struct bs_error *err)
{
    if (models->at == k)
        return BS_OK;
    bs_sweep_close(&models->sweep);
    models->at = -1;
    if (bs_sweep_open(models->config, models->models[k].model, &models->sweep, err))
        return models->num_models > 1 ? bs_fail_within(err, "%s", name_of(models, k)) : err->status;
    models->at = k;
    return BS_OK;
}

static enum bs_status keep_ids(struct bs_models *models, struct bs_error *err)
{
    const struct bs_sweep *sweep = &models->sweep;
    struct bs_model_trials *trials = &models->models[models->at];
    trials->ids = bs_alloc((size_t)sweep->num_all, sizeof *trials->ids);
    if (!trials->ids)
        return bs_fail_memory(err);
    trials->num_ids = sweep->num_all;
    for (int i = 0; i < sweep->num_all; i++)
        memcpy(trials->ids[i], sweep->all[i].id, sizeof *trials->ids);
    return BS_OK;
}

/* Trials are told apart by what is in a model, not by its name. Two of the same contents would
 * count each other's trials as done. */
static enum bs_status check_different(const struct bs_models *models, struct bs_error *err)
{
    for (int k = 1; k < models->num_models; k++)
        for (int j = 0; j < k; j++)
            if (!strcmp(models->models[j].ids[0], models->models[k].ids[0]))
                return bs_fail(err, BS_ECONFIG,
                               "'%s' and '%s' hold the same model, expected each once",
                               name_of(models, j), name_of(models, k));
    return BS_OK;
}

/* Puts a failure before those of the later models, a line each, as many as there is room for. */
static void add_failure(struct bs_error *failed, const struct bs_error *err)
{
    struct bs_error later = *failed;
    *failed = *err;
    size_t used = strlen(failed->message), room = sizeof failed->message - 1 - used;
    if (!later.status || room < 2)
        return;
    failed->message[used] = '\n';
    failed->message[used + 1] = '\0';
    strncat(failed->message, later.message, room - 1);
}

/* From the last to the first, which stays open: a single model is opened once. */
static enum bs_status open_each(struct bs_models *models, struct bs_error *err)
{
    struct bs_error failed = {.status = BS_OK};
    for (int k = models->num_models - 1; k >= 0; k--)
        if (switch_to(models, k, err) || keep_ids(models, err))
            add_failure(&failed, err);
    if (failed.status)
        *err = failed;
    return failed.status;
}

enum bs_status bs_models_open(const struct bs_config *config, uint64_t wanted,
                              struct bs_models *models, struct bs_error *err)
{
    *models = (struct bs_models){.config = config, .at = -1};
    for (int m = 0; m < config->num_models; m++)
        if (wanted >> m & 1)
            models->models[models->num_models++].model = m;
    enum bs_status status = open_each(models, err);
    if (!status)
        status = check_different(models, err);
    if (status)
        bs_models_close(models);
    return status;
}

void bs_models_close(struct bs_models *models)
{
    bs_sweep_close(&models->sweep);
    for (int k = 0; k < models->num_models; k++)
        bs_free(models->models[k].ids);
    *models = (struct bs_models){.at = -1};
}

/* What earlier runs have left; a file that is not there holds nothing. */
static enum bs_status look_back(const char *path, struct bs_results *results, struct bs_error *err)
{
    *results = (struct bs_results){0};
    return access(path, F_OK) ? BS_OK : bs_results_read(path, results, err);
}

/* Where no memory is asked for: half of what is free, now that the weights are mapped. */
static struct bs_limits settle(const struct bs_limits *limits)
{
    struct bs_limits settled = *limits;
    if (!settled.memory)
        settled.memory = bs_free_memory("") / 2;
    return settled;
}

/* Says what of the selected part goes on from a checkpoint. */
static enum bs_status plan_kept(struct bs_sweep *sweep, const char *path,
                                const struct bs_limits *limits, char **line, struct bs_error *err)
{
    struct bs_keeping keeping;
    struct bs_kept kept;
    struct bs_print printing;
    if (!bs_sweep_is_open(sweep))
        return BS_OK;
    if (bs_sweep_keeping(sweep, path, limits, &keeping, err))
        return err->status;
    FILE *out = bs_print_begin(&printing);
    enum bs_status status =
        out ? bs_sweep_find_kept(sweep, &keeping, limits, &kept, out, err) : bs_fail_memory(err);
    if (out && !status) {
        bs_sweep_print_kept(sweep, &keeping, &kept, out);
        bs_kept_close(&kept);
    }
    *line = out ? bs_print_end(&printing) : NULL;
    if (!status && !*line)
        status = bs_fail_memory(err);
    bs_free(keeping.path);
    return status;
}

/* Adds the time to a plan: only of one that memory allows is a piece measured. */
static enum bs_status plan_time(struct bs_sweep *sweep, const struct bs_limits *limits,
                                struct bs_sweep_plan *plan, struct bs_error *err)
{
    struct bs_pace pace;
    if (bs_sweep_pace(sweep, &pace, err))
        return bs_fail_within(err, "to tell the time");
    return bs_sweep_plan_all(sweep, limits, &pace, plan, err);
}

static bool all_done(const struct bs_sweep *sweep)
{
    for (int i = 0; i < sweep->num_all; i++)
        if (!sweep->all[i].done)
            return false;
    return true;
}

/* The plan of the sweep that is open, with the walk that was kept. */
static enum bs_status plan_one(struct bs_sweep *sweep, const char *path,
                               const struct bs_limits *limits, bool quiet, FILE *out,
                               struct bs_error *err)
{
    struct bs_sweep_plan plan;
    struct bs_limits settled = settle(limits);
    char *kept = NULL;
    enum bs_status status = BS_OK;
    for (int c = 0; c < bs_sweep_parts(sweep) && !status && !bs_sweep_any_kept(sweep); c++) {
        bs_free(kept);
        kept = NULL;
        bs_sweep_select(sweep, c);
        status = plan_kept(sweep, path, &settled, &kept, err);
    }
    if (!status)
        status = bs_sweep_plan_all(sweep, &settled, NULL, &plan, err);
    if (!status && !quiet && !all_done(sweep))
        status = plan_time(sweep, &settled, &plan, err);
    if (!status) {
        bs_sweep_print(sweep, &plan, out);
        fputs(kept ? kept : "", bs_sweep_any_kept(sweep) ? out : stderr);
        status = bs_sweep_print_checkpoint(sweep, path, &settled, &plan, out, err);
    }
    bs_free(kept);
    return status;
}

static void print_notices(const struct bs_config *config, FILE *out)
{
    for (int i = 0; i < config->notices.count; i++)
        bs_print_line(out, "%s", config->notices.lines[i]);
}

enum bs_status bs_models_plan(struct bs_models *models, const char *path,
                              const struct bs_limits *limits, bool quiet, FILE *out,
                              struct bs_error *err)
{
    struct bs_results results;
    enum bs_status status = look_back(path, &results, err);
    for (int k = 0; k < models->num_models && !status; k++) {
        status = switch_to(models, k, err);
        if (status)
            break;
        bs_sweep_mark_done(&models->sweep, &results);
        if (models->num_models > 1) {
            fputs(k ? "\n" : "", out);
            bs_print_line(out, "%s", name_of(models, k));
            fputc('\n', out);
        }
        status = plan_one(&models->sweep, path, limits, quiet, out, err);
    }
    if (!status)
        print_notices(models->config, out);
    bs_results_release(&results);
    return status;
}

static bool any_open(const struct bs_model_trials *trials, const struct bs_results *results)
{
    for (int i = 0; i < trials->num_ids; i++) {
        const struct bs_row *row = bs_results_find(results, trials->ids[i]);
        if (!row || !bs_row_is_done(row))
            return true;
    }
    return false;
}

/* Runs the sweep that is open, a calibration at a time. */
static enum bs_status run_parts(struct bs_sweep *sweep, const char *path,
                                const struct bs_limits *limits, bool quiet, bool last_model,
                                struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    int last = bs_sweep_parts(sweep) - 1;
    for (bs_sweep_select(sweep, last); last > 0 && !bs_sweep_is_open(sweep);)
        bs_sweep_select(sweep, --last);
    enum bs_status status = BS_OK;
    for (int c = 0; c <= last && !status; c++) {
        bs_sweep_select(sweep, c);
        if (bs_sweep_is_open(sweep))
            status =
                bs_sweep_run(sweep, path, limits, quiet, last_model && c == last, outcome, err);
    }
    return status;
}

enum bs_status bs_models_run(struct bs_models *models, const char *path,
                             const struct bs_limits *limits, bool quiet,
                             struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    const struct bs_config *config = models->config;
    struct bs_results results;
    *outcome = (struct bs_sweep_outcome){0, 0};
    if (look_back(path, &results, err))
        return err->status;
    if (!quiet)
        print_notices(config, stderr);
    enum bs_status status = BS_OK;
    int last = models->num_models - 1;
    while (last >= 0 && !any_open(&models->models[last], &results))
        last--;
    for (int k = 0; k <= last && !status; k++) {
        if (!any_open(&models->models[k], &results))
            continue;
        status = switch_to(models, k, err);
        if (status)
            break;
        bs_sweep_mark_done(&models->sweep, &results);
        if (models->num_models > 1 && !quiet)
            bs_print_line(stderr, "model %d of %d: %s", k + 1, models->num_models,
                          name_of(models, k));
        struct bs_limits settled = settle(limits);
        status = run_parts(&models->sweep, path, &settled, quiet, k == last, outcome, err);
    }
    bool renewed = last < 0 && results.config && strcmp(results.config, config->source);
    bs_results_release(&results);
    if (renewed)
        status = bs_results_commit(path, NULL, 0, NULL, 0,
                                   &(struct bs_run_info){.config = config->source,
                                                         .num_models = config->num_models,
                                                         .models = config->models},
                                   err);
    return status;
}
