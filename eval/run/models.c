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

enum bs_status bs_models_switch(struct bs_models *models, int k, struct bs_error *err)
{
    if (models->at == k)
        return BS_OK;
    bs_sweep_close(&models->sweep);
    models->at = -1;
    if (bs_sweep_open(models->config, models->models[k].model, &models->sweep, err))
        return models->num_models > 1 ? bs_fail_within(err, "%s", name_of(models, k)) : err->status;
    models->at = k;
    if (models->shards.count && models->shard.number)
        bs_shards_keep(&models->shards, models->shard.number, &models->sweep);
    return BS_OK;
}

static enum bs_status keep_ids(struct bs_models *models, struct bs_error *err)
{
    const struct bs_sweep *sweep = &models->sweep;
    struct bs_model_trials *trials = &models->models[models->at];
    size_t count = (size_t)sweep->num_all;
    trials->ids = bs_alloc(count, sizeof *trials->ids);
    trials->recipes = bs_alloc(count, sizeof *trials->recipes);
    trials->calibrations = bs_alloc(count, sizeof *trials->calibrations);
    if (!trials->ids || !trials->recipes || !trials->calibrations)
        return bs_fail_memory(err);
    trials->num_ids = sweep->num_all;
    for (int i = 0; i < sweep->num_all; i++) {
        memcpy(trials->ids[i], sweep->all[i].id, sizeof *trials->ids);
        trials->recipes[i] = sweep->all[i].recipe;
        trials->calibrations[i] = sweep->all[i].calibration;
    }
    return models->shard.count ? bs_shards_add(&models->shards, &models->sweep, err) : BS_OK;
}

/* Leaves a model the ids of the wanted shard. */
static void keep_shard_ids(const struct bs_models *models, struct bs_model_trials *trials)
{
    int kept = 0;
    for (int i = 0; i < trials->num_ids; i++) {
        if (!bs_shards_has(&models->shards, models->shard.number, trials->model,
                           trials->calibrations[i], trials->recipes[i]))
            continue;
        memmove(trials->ids[kept], trials->ids[i], sizeof *trials->ids);
        trials->recipes[kept] = trials->recipes[i];
        trials->calibrations[kept++] = trials->calibrations[i];
    }
    trials->num_ids = kept;
}

/* Cuts what was opened, and takes the wanted shard of it. */
static void cut(struct bs_models *models)
{
    bs_shards_cut(&models->shards, models->shard.count);
    if (!models->shard.number)
        return;
    for (int k = 0; k < models->num_models; k++)
        keep_shard_ids(models, &models->models[k]);
    bs_shards_keep(&models->shards, models->shard.number, &models->sweep);
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
        if (bs_models_switch(models, k, err) || keep_ids(models, err))
            add_failure(&failed, err);
    if (failed.status)
        *err = failed;
    return failed.status;
}

enum bs_status bs_models_open(const struct bs_config *config, uint64_t wanted,
                              struct bs_shard shard, struct bs_models *models, struct bs_error *err)
{
    *models = (struct bs_models){.config = config, .at = -1, .shard = shard};
    for (int m = 0; m < config->num_models; m++)
        if (wanted >> m & 1)
            models->models[models->num_models++].model = m;
    enum bs_status status = open_each(models, err);
    if (!status)
        status = check_different(models, err);
    if (!status && shard.count)
        cut(models);
    if (status)
        bs_models_close(models);
    return status;
}

void bs_models_close(struct bs_models *models)
{
    bs_sweep_close(&models->sweep);
    for (int k = 0; k < models->num_models; k++) {
        bs_free(models->models[k].ids);
        bs_free(models->models[k].recipes);
        bs_free(models->models[k].calibrations);
    }
    bs_shards_release(&models->shards);
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
                               const struct bs_limits *limits, const struct bs_shards *shards,
                               bool quiet, FILE *out, struct bs_error *err)
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
        bs_sweep_print(sweep, &plan, shards, out);
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

/* Marks what the shards' own files have. */
static enum bs_status mark_shards(struct bs_models *models, const char *whole, struct bs_error *err)
{
    int first = models->shard.number ? models->shard.number : 1;
    int last = models->shard.number ? models->shard.number : models->shard.count;
    enum bs_status status = BS_OK;
    for (int k = first; k <= last && !status; k++) {
        struct bs_results results;
        char *path = bs_shard_path(whole, (struct bs_shard){k, models->shard.count});
        status = path ? look_back(path, &results, err) : bs_fail_memory(err);
        bs_free(path);
        if (status)
            break;
        bs_sweep_mark_done(&models->sweep, &results);
        bs_results_release(&results);
    }
    return status;
}

/* What each shard has, and how much of the work. */
static enum bs_status print_shards(const struct bs_models *models, const char *whole, FILE *out,
                                   struct bs_error *err)
{
    const struct bs_shards *shards = &models->shards;
    double all = bs_shards_flops(shards), sum = 0;
    int empty = 0;
    fputc('\n', out);
    for (int k = 1; k <= shards->count; k++) {
        struct bs_shard_load load = bs_shards_load(shards, k);
        empty += !load.units;
        if (!load.units)
            continue;
        char *path = bs_shard_path(whole, (struct bs_shard){k, shards->count});
        if (!path)
            return bs_fail_memory(err);
        bs_print_line(out, "shard %d of %d: %d trial%s, %.0f %% of the work, in %s", k,
                      shards->count, load.trials, load.trials == 1 ? "" : "s",
                      100 * load.flops / all, path);
        bs_free(path);
        sum += load.flops;
    }
    if (empty)
        bs_print_line(out, "%d shard%s no trials: there are no more to give out", empty,
                      empty == 1 ? " has" : "s have");
    bs_print_line(out,
                  "all shards: %.0f %% of the work of one run, for each of them measures the "
                  "unquantized model",
                  100 * sum / all);
    return BS_OK;
}

enum bs_status bs_models_plan(struct bs_models *models, const char *path,
                              const struct bs_limits *limits, bool quiet, FILE *out,
                              struct bs_error *err)
{
    struct bs_results results;
    bool overview = models->shard.count && !models->shard.number;
    char *own = models->shard.number ? bs_shard_path(path, models->shard) : bs_strdup(path);
    enum bs_status status = own ? look_back(path, &results, err) : bs_fail_memory(err);
    if (status) {
        bs_free(own);
        return status;
    }
    for (int k = 0; k < models->num_models && !status; k++) {
        status = bs_models_switch(models, k, err);
        if (status)
            break;
        bs_sweep_mark_done(&models->sweep, &results);
        if (models->shard.count)
            status = mark_shards(models, path, err);
        if (models->num_models > 1) {
            fputs(k ? "\n" : "", out);
            bs_print_line(out, "%s", name_of(models, k));
            fputc('\n', out);
        }
        if (!status)
            status = plan_one(&models->sweep, own, limits, overview ? &models->shards : NULL, quiet,
                              out, err);
    }
    if (!status)
        print_notices(models->config, out);
    if (!status && overview)
        status = print_shards(models, path, out, err);
    bs_results_release(&results);
    bs_free(own);
    return status;
}

/* What was done before a run: its own file, and another whose trials it does not run either. */
struct past {
    struct bs_results own, whole;
};

static bool is_done(const struct bs_results *results, const char *id)
{
    const struct bs_row *row = bs_results_find(results, id);
    return row && bs_row_is_done(row);
}

static bool any_open(const struct bs_model_trials *trials, const struct past *past)
{
    for (int i = 0; i < trials->num_ids; i++)
        if (!is_done(&past->own, trials->ids[i]) && !is_done(&past->whole, trials->ids[i]))
            return true;
    return false;
}

/* Runs the sweep that is open, a calibration at a time. */
static enum bs_status run_parts(struct bs_sweep *sweep, const char *path,
                                const struct bs_limits *limits, const struct bs_telling *telling,
                                bool last_model, struct bs_sweep_outcome *outcome,
                                struct bs_error *err)
{
    int last = bs_sweep_parts(sweep) - 1;
    for (bs_sweep_select(sweep, last); last > 0 && !bs_sweep_is_open(sweep);)
        bs_sweep_select(sweep, --last);
    enum bs_status status = BS_OK;
    for (int c = 0; c <= last && !status; c++) {
        bs_sweep_select(sweep, c);
        if (bs_sweep_is_open(sweep))
            status =
                bs_sweep_run(sweep, path, limits, telling, last_model && c == last, outcome, err);
    }
    return status;
}

/* The models of which a trial is open, one after another. `last`: of them. */
static enum bs_status run_models(struct bs_models *models, const char *path,
                                 const struct bs_limits *limits, const struct bs_telling *telling,
                                 const struct past *past, int last,
                                 struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    enum bs_status status = BS_OK;
    for (int k = 0; k <= last && !status; k++) {
        if (!any_open(&models->models[k], past))
            continue;
        status = bs_models_switch(models, k, err);
        if (status)
            break;
        bs_sweep_mark_done(&models->sweep, &past->whole);
        bs_sweep_mark_done(&models->sweep, &past->own);
        if (models->num_models > 1)
            bs_tell(telling, "model", false, "model %d of %d: %s", k + 1, models->num_models,
                    name_of(models, k));
        struct bs_limits settled = settle(limits);
        status = run_parts(&models->sweep, path, &settled, telling, k == last, outcome, err);
    }
    return status;
}

enum bs_status bs_models_run(struct bs_models *models, const char *path, const char *whole,
                             const struct bs_limits *limits, const struct bs_telling *telling,
                             struct bs_sweep_outcome *outcome, struct bs_error *err)
{
    const struct bs_config *config = models->config;
    struct past past = {.whole = {0}};
    *outcome = (struct bs_sweep_outcome){0, 0};
    if (look_back(path, &past.own, err))
        return err->status;
    for (int i = 0; i < config->notices.count; i++)
        bs_tell(telling, "notice", false, "%s", config->notices.lines[i]);
    enum bs_status status = whole ? look_back(whole, &past.whole, err) : BS_OK;
    int last = models->num_models - 1;
    while (last >= 0 && !any_open(&models->models[last], &past))
        last--;
    if (!status)
        status = run_models(models, path, limits, telling, &past, last, outcome, err);
    bool renewed = last < 0 && past.own.config && !!strcmp(past.own.config, config->source);
    bs_results_release(&past.own);
    bs_results_release(&past.whole);
    if (!status && renewed)
        status = bs_results_commit(path, NULL, 0, NULL, 0,
                                   &(struct bs_run_info){.config = config->source,
                                                         .num_models = config->num_models,
                                                         .models = config->models},
                                   err);
    return status;
}
