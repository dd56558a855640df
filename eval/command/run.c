/* run and plan: what begins with a config. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/base/terminal.h"
#include "eval/command/command.h"
#include "eval/command/opened.h"
#include "eval/command/reports.h"
#include "eval/report/chart.h"
#include "eval/run/exports.h"
#include "eval/run/models.h"
#include "eval/run/places.h"
#include "eval/run/published.h"
#include "eval/store/lock.h"

/* A shard's table is for its log: charts are of the whole. */
static enum bs_status report_charts(const struct bs_arguments *args, const struct bs_opened *opened,
                                    const struct bs_results *results, struct bs_error *err)
{
    if (opened->whole)
        return BS_OK;
    struct bs_published_set set;
    if (bs_published_read(results, &set, err))
        return err->status;
    const struct bs_published_list published = {set.count, set.figures};
    char *folder = bs_chart_folder(opened->named);
    struct bs_charts_failed failed = {0};
    for (int i = 0; i < opened->config.num_charts; i++) {
        const struct bs_chart_config *chart = &opened->config.charts[i];
        struct bs_arguments own = *args;
        bs_chart_how_of(chart, &own.chart);
        if (bs_report_chart(results, chart->name, &own, &published, folder, err))
            bs_charts_failed_add(&failed, chart->name, err);
        if (failed.count && bs_stop_asked())
            break;
    }
    enum bs_status status = bs_charts_failed_end(&failed, opened->config.num_charts, err);
    bs_free(folder);
    bs_published_release(&set);
    return status;
}

static int fail(const struct bs_telling *telling, const struct bs_error *err)
{
    bs_tell_log(telling, "%s", err->message);
    return bs_fail_print(err);
}

static int report_run(const struct bs_arguments *args, const struct bs_telling *telling,
                      const struct bs_opened *opened, const struct bs_sweep_outcome *outcome)
{
    struct bs_error err;
    struct bs_results results;
    if (opened->whole && access(opened->named, F_OK)) {
        bs_print_line(stderr, "shard %d of %d: there is nothing to run", args->shard.number,
                      args->shard.count);
        return BS_EXIT_DONE;
    }
    if (bs_results_read(opened->named, &results, &err))
        return fail(telling, &err);
    enum bs_status status = bs_report_table(&results, &err);
    if (!status) {
        fflush(stdout);
        bs_print_line(stderr, "%s", opened->named);
        status = report_charts(args, opened, &results, &err);
    }
    bs_results_release(&results);
    if (status)
        return fail(telling, &err);
    if (outcome->failed)
        fprintf(stderr, "bitsweep: %d of %d trials failed; the table says why\n", outcome->failed,
                outcome->failed + outcome->done);
    return outcome->failed ? BS_EXIT_TRIAL_FAILED : BS_EXIT_DONE;
}

/* Runs the trials that are open, and adds to the outcome; the exit status of what went wrong. */
static int run_trials(const struct bs_arguments *args, const struct bs_telling *telling,
                      struct bs_opened *opened, struct bs_sweep_outcome *all)
{
    struct bs_error err;
    struct bs_sweep_outcome outcome;
    struct bs_results_lock *lock;
    if (bs_results_lock_take(opened->path, &lock, &err))
        return fail(telling, &err);
    enum bs_status status = bs_models_run(&opened->models, opened->path, opened->whole,
                                          &args->limits, telling, &outcome, &err);
    bs_results_unlock(lock);
    if (status == BS_ESTOPPED)
        bs_stop_now();
    if (status)
        return fail(telling, &err);
    bs_tell_log(telling, "%d trials done, %d failed: %s", outcome.done, outcome.failed,
                opened->path);
    all->done += outcome.done;
    all->failed += outcome.failed;
    return BS_EXIT_DONE;
}

/* What the config asks to be written, which is refused before any trial runs where it cannot be; of
 * a shard nothing is. */
static enum bs_status list_exports(const struct bs_arguments *args,
                                   const struct bs_telling *telling, struct bs_opened *opened,
                                   bool waiting, struct bs_planned_exports *exports,
                                   struct bs_error *err)
{
    *exports = (struct bs_planned_exports){.count = 0};
    if (!args->shard.count)
        return bs_exports_list(&opened->models, waiting, exports, err);
    if (opened->config.num_exports)
        bs_tell(telling, "notice", false,
                "export: a shard writes none; a run without --shard does, over merged results");
    return BS_OK;
}

/* Writes it; 1 where any of it failed. */
static int run_exports(const struct bs_arguments *args, const struct bs_telling *telling,
                       struct bs_opened *opened, const struct bs_planned_exports *exports)
{
    struct bs_error err;
    int failed;
    enum bs_status status =
        bs_exports_run(&opened->models, exports, &args->limits, telling, stdout, &failed, &err);
    if (status == BS_ESTOPPED)
        bs_stop_now();
    if (status)
        return fail(telling, &err);
    return failed ? BS_EXIT_TRIAL_FAILED : BS_EXIT_DONE;
}

/* The trials, and after the last round what is to be said and written of them. */
static int run_round(const struct bs_arguments *args, const struct bs_telling *telling,
                     struct bs_opened *opened, bool last, struct bs_sweep_outcome *outcome)
{
    struct bs_error err;
    struct bs_planned_exports exports;
    if (list_exports(args, telling, opened, !last, &exports, &err)) {
        bs_tell_log(telling, "%s", err.message);
        return bs_fail_print_model(&opened->config, &err);
    }
    int code = run_trials(args, telling, opened, outcome);
    if (!code && last) {
        bs_stop_keep("all trials are in %s", opened->path);
        code = report_run(args, telling, opened, outcome);
        if (code != BS_EXIT_INPUT) {
            int exported = run_exports(args, telling, opened, &exports);
            code = exported ? exported : code;
        }
    }
    bs_exports_release(&exports);
    return code;
}

/* In rounds where budgets wait for what the one before measures; one by which nothing came is the
 * last. */
static int run_opened(const struct bs_arguments *args, const struct bs_telling *telling,
                      struct bs_opened *opened)
{
    struct bs_sweep_outcome outcome = {0, 0};
    int code = BS_EXIT_DONE, before = -1;
    for (bool last = false; !code && !last;) {
        if (before >= 0) {
            bs_close_all(opened);
            code = bs_open_all(args, telling, opened);
        }
        if (code)
            break;
        int done = outcome.done + outcome.failed;
        last = (!opened->waiting && !opened->later) || done == before;
        before = done;
        code = run_round(args, telling, opened, last, &outcome);
    }
    return code;
}

/* What a run adds to is a log, and nothing else that is named by mistake: a config, results. */
static bool may_add(FILE *file)
{
    struct stat info;
    char line[64];
    int end = 0;
    if (fstat(fileno(file), &info) || !S_ISREG(info.st_mode) || !info.st_size)
        return true;
    if (fgets(line, sizeof line, file))
        sscanf(line, "%*4[0-9]-%*2[0-9]-%*2[0-9]T%*2[0-9]:%*2[0-9]:%*2[0-9]Z bitsweep %n", &end);
    fseek(file, 0, SEEK_END);
    return end > 0;
}

/* Opens the log, to which a run adds, with a first line. */
static enum bs_status open_log(const struct bs_arguments *args, struct bs_telling *telling,
                               struct bs_error *err)
{
    *telling = args->telling;
    telling->quiet = args->quiet;
    if (!args->log)
        return BS_OK;
    if (bs_make_parent(args->log, err))
        return err->status;
    telling->log = fopen(args->log, "a+e");
    if (!telling->log)
        return bs_fail(err, BS_EIO, "%s: %s", args->log, strerror(errno));
    if (!may_add(telling->log)) {
        fclose(telling->log);
        return bs_fail(err, BS_EIO, "%s: is no log of a run, expected a new file or one",
                       args->log);
    }
    bs_stop_log(fileno(telling->log));
    bs_tell_log(telling, "bitsweep %s: run %s", BS_VERSION, args->operands[0]);
    return BS_OK;
}

static int command_run(const struct bs_arguments *args)
{
    struct bs_opened opened;
    struct bs_error err;
    struct bs_telling telling;
    bs_stop_keep("nothing was begun");
    if (args->time_limit > 0)
        bs_stop_limit(args->time_limit);
    if (bs_stop_watch(&err) || open_log(args, &telling, &err))
        return bs_fail_print(&err);
    int code = bs_open_all(args, &telling, &opened);
    if (!code)
        code = run_opened(args, &telling, &opened);
    bs_close_all(&opened);
    if (telling.log) {
        bs_tell_log(&telling, "ended with exit status %d", code);
        bs_stop_log(-1);
        bool whole = !ferror(telling.log);
        if (fclose(telling.log) || !whole)
            bs_print_line(stderr, "bitsweep: %s: not all of the log could be written", args->log);
    }
    return code;
}

/* Prints lines within the terminal's width. */
static void print_lines(const char *lines, int width)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        bs_print_folded(stdout, width, "%.*s", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

static enum bs_status print_plan(const struct bs_arguments *args, struct bs_opened *opened,
                                 struct bs_error *err)
{
    struct bs_print printing;
    struct bs_planned_exports exports;
    if (list_exports(args, &args->telling, opened, opened->waiting || opened->later, &exports, err))
        return err->status;
    if (!bs_print_begin(&printing)) {
        bs_exports_release(&exports);
        return bs_fail_memory(err);
    }
    const char *path = opened->whole ? opened->whole : opened->path;
    enum bs_status status =
        bs_models_plan(&opened->models, path, &args->limits, args->quiet, printing.out, err);
    if (!status)
        bs_exports_print(&opened->models, &exports, printing.out);
    bs_exports_release(&exports);
    char *text = bs_print_end(&printing);
    if (!status && !text)
        status = bs_fail_memory(err);
    if (!status)
        print_lines(text, bs_terminal_limit(stdout));
    if (!status && opened->waiting)
        bs_print_folded(stdout, bs_terminal_limit(stdout),
                        "budgets: %d recipe%s more, once what they are shared out by has run",
                        opened->waiting, opened->waiting == 1 ? "" : "s");
    if (!status && opened->later)
        bs_print_folded(stdout, bs_terminal_limit(stdout),
                        "rounds: %d recipe%s more, around what budgets come to", opened->later,
                        opened->later == 1 ? "" : "s");
    bs_free(text);
    return status;
}

/* Weights and texts are left alone: who has a rule wrong wants to know what is there. */
static int print_places(const struct bs_arguments *args)
{
    struct bs_config config;
    struct bs_error err;
    uint64_t wanted;
    if (bs_config_of(args, &config, &err))
        return bs_fail_print_config(&err);
    enum bs_status status =
        bs_config_select(&config, args->models, args->num_models, &wanted, &err);
    if (!status)
        status = bs_places_print(&config, wanted, stdout, &err);
    bs_config_release(&config);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

static int command_plan(const struct bs_arguments *args)
{
    if (args->places)
        return print_places(args);
    struct bs_opened opened;
    struct bs_error err;
    int code = bs_open_all(args, &args->telling, &opened);
    if (!code && print_plan(args, &opened, &err))
        code = bs_fail_print_model(&opened.config, &err);
    bs_close_all(&opened);
    return code;
}

const struct bs_command bs_command_run = {
    .name = "run",
    .operands = "CONFIG",
    .summary = "run a sweep, or go on with it; print its table, draw its charts",
    .min_operands = 1,
    .max_operands = 1,
    .details = "Runs the trials that the config asks for and that its result file does not have, "
               "then prints the whole table, draws the config's charts and writes its exports. A "
               "run that was "
               "stopped goes on where it was: what is finished is never computed twice, and an "
               "unfinished walk begins at its last checkpoint.",
    .options = "output model set shard time-limit accept-unknown memory scratch checkpoint threads "
               "numerics plots progress verbose log quiet",
    .run = command_run,
};

const struct bs_command bs_command_plan = {
    .name = "plan",
    .operands = "CONFIG",
    .summary = "print the trials, the memory, the work and the time of a sweep without running it",
    .min_operands = 1,
    .max_operands = 1,
    .details = "Reads the config and opens its models and texts as a run would, and says what a "
               "run would do: its trials, how much memory and disk it takes, how much work it is "
               "and about how long.",
    .options =
        "output model set shard shards places accept-unknown memory scratch checkpoint threads "
        "numerics quiet",
    .run = command_plan,
};
