/* argv to one subcommand. The only place that exits, and the only one that opens stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/isa.h"
#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/base/parallel.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/base/terminal.h"
#include "eval/command/address_space.h"
#include "eval/command/opened.h"
#include "eval/command/reports.h"
#include "eval/config/describe.h"
#include "eval/data/corpus.h"
#include "eval/tokenizer/token_list.h"
#include "eval/hub/fetch.h"
#include "eval/hub/hub.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/numerics.h"
#include "eval/linalg/product_choice.h"
#include "eval/store/lock.h"
#include "eval/run/fetch_progress.h"
#include "eval/run/models.h"
#include "eval/run/places.h"
#include "eval/report/chart.h"
#include "eval/tasks/task.h"

static int report_run(const struct bs_arguments *args, const struct bs_opened *opened,
                      const struct bs_sweep_outcome *outcome)
{
    struct bs_error err;
    struct bs_results results;
    if (bs_results_read(opened->named, &results, &err))
        return bs_fail_print(&err);
    char *folder = bs_chart_folder(opened->named);
    enum bs_status status = bs_report_table(&results, &err);
    if (!status) {
        fflush(stdout);
        bs_print_line(stderr, "%s", opened->named);
        status = bs_report_charts(&results, opened->config.charts, opened->config.num_charts, args,
                                  folder, &err);
    }
    bs_free(folder);
    bs_results_release(&results);
    if (status)
        return bs_fail_print(&err);
    if (outcome->failed)
        fprintf(stderr, "bitsweep: %d of %d trials failed; the table says why\n", outcome->failed,
                outcome->failed + outcome->done);
    return outcome->failed ? BS_EXIT_TRIAL_FAILED : BS_EXIT_DONE;
}

static int run_opened(const struct bs_arguments *args, struct bs_opened *opened)
{
    struct bs_error err;
    struct bs_sweep_outcome outcome;
    struct bs_results_lock *lock;
    if (bs_results_lock_take(opened->path, &lock, &err))
        return bs_fail_print(&err);
    enum bs_status status =
        bs_models_run(&opened->models, opened->path, &args->limits, args->quiet, &outcome, &err);
    bs_results_unlock(lock);
    if (status == BS_ESTOPPED)
        bs_stop_now();
    if (!status)
        bs_stop_keep("all trials are in %s", opened->path);
    return status ? bs_fail_print(&err) : report_run(args, opened, &outcome);
}

static int command_run(const struct bs_arguments *args)
{
    struct bs_opened opened;
    struct bs_error err;
    bs_stop_keep("nothing was begun");
    if (bs_stop_watch(&err))
        return bs_fail_print(&err);
    int code = bs_open_all(args, &opened);
    if (!code)
        code = run_opened(args, &opened);
    bs_close_all(&opened);
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
    if (!bs_print_begin(&printing))
        return bs_fail_memory(err);
    enum bs_status status = bs_models_plan(&opened->models, opened->path, &args->limits,
                                           args->quiet, printing.out, err);
    char *text = bs_print_end(&printing);
    if (!status && !text)
        status = bs_fail_memory(err);
    if (!status)
        print_lines(text, bs_terminal_limit(stdout));
    bs_free(text);
    return status;
}

/* Weights and texts are left alone: who has a rule wrong wants to know what is there. */
static int print_places(const struct bs_arguments *args)
{
    struct bs_config config;
    struct bs_error err;
    uint64_t wanted;
    if (bs_config_load(args->operands[0], bs_chart_patterns, &config, &err))
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
    int code = bs_open_all(args, &opened);
    if (!code && print_plan(args, &opened, &err))
        code = bs_fail_print(&err);
    bs_close_all(&opened);
    return code;
}

static int command_describe(const struct bs_arguments *args)
{
    struct bs_error err;
    enum bs_status status = args->num_operands
                                ? bs_describe_one(args->operands[0], stdout, args->markdown, &err)
                                : bs_describe_all(stdout, args->markdown, &err);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

static void print_outcome(const char *name, const struct bs_fetch_outcome *outcome)
{
    if (outcome->fetched)
        bs_print_line(stdout, "%s: %d file%s fetched, %.1f MB: %s", name, outcome->fetched,
                      outcome->fetched == 1 ? "" : "s", (double)outcome->bytes / 1e6,
                      outcome->path);
    else
        bs_print_line(stdout, "%s: up to date: %s", name, outcome->path);
}

/* A model, or one of the files of a known text or task. */
static int fetch_one(const struct bs_arguments *args, const char *name,
                     const struct bs_remote *remote)
{
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    struct bs_fetch_display display;
    const struct bs_fetch_watch watch = {bs_fetch_display_progress, bs_fetch_display_notice,
                                         &display};
    bs_fetch_display_start(&display, args->quiet);
    enum bs_status status = remote ? bs_fetch_remote(remote, &watch, &outcome, &err)
                                   : bs_fetch_model(name, args->revision, &watch, &outcome, &err);
    bs_fetch_display_end(&display);
    if (!status)
        print_outcome(name, &outcome);
    bs_fetch_outcome_release(&outcome);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

/* The items of a known task, and what its shots are drawn from. */
static int fetch_task(const struct bs_arguments *args, const struct bs_task *task)
{
    int code = fetch_one(args, task->name, &task->remote);
    if (task->shot_remote.repository && fetch_one(args, task->name, &task->shot_remote))
        code = BS_EXIT_INPUT;
    return code;
}

/* Every name is tried, whatever became of those before it. */
static int command_fetch(const struct bs_arguments *args)
{
    int code = BS_EXIT_DONE;
    for (int i = 0; i < args->num_operands; i++) {
        const char *name = args->operands[i];
        const struct bs_corpus_files *text = bs_corpus_files_find(name);
        const struct bs_task *task = bs_known_task(name);
        if (task && task->remote.repository)
            code = fetch_task(args, task) ? BS_EXIT_INPUT : code;
        else if (!text && fetch_one(args, name, NULL))
            code = BS_EXIT_INPUT;
        for (int f = 0; text && text->files[f]; f++)
            if (fetch_one(args, name, text->files[f]))
                code = BS_EXIT_INPUT;
    }
    return code;
}

/* The ids of a file's text, or of standard input's. */
static int command_tokenize(const struct bs_arguments *args)
{
    struct bs_error err;
    const char *path = args->num_operands == 2 ? args->operands[1] : "/dev/stdin";
    enum bs_token_style style = args->ids ? BS_TOKENS_IDS : BS_TOKENS_PIECES;
    char *directory = NULL;
    enum bs_status status = bs_hub_model(args->operands[0], "", &directory, &err);
    if (!status)
        status = bs_tokens_print(directory, path, !args->no_special, style, stdout, &err);
    bs_free(directory);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

static const struct bs_command commands[] = {
    {"run", "CONFIG", "run a sweep, or go on with it; print its table, draw its charts", 1, 1,
     "olumcktxpqh", command_run},
    {"plan", "CONFIG",
     "print the trials, the memory, the work and the time of a sweep without running it", 1, 1,
     "olumcktxqah", command_plan},
    {"export", "CONFIG OUT", "write what a recipe makes of the model, as other programs read it", 2,
     2, "evyzlumctxqh", bs_command_export},
    {"table", "RESULTS", "print a result file", 1, 1, "fnWSGTFjbh", bs_command_table},
    {"plot", "RESULTS [CHART]", "draw the charts of a result file", 1, 2, "oph", bs_command_plot},
    {"diff", "RESULTS [RESULTS]",
     "compare two result files trial by trial, or with --between trials of one", 1, 2, "fnwh",
     bs_command_diff},
    {"fetch", "NAME...", "bring models, known texts and tasks into the Hugging Face cache", 1,
     BS_MOST_OPERANDS, "rqh", command_fetch},
    {"tokenize", "MODEL [FILE]", "print the token ids of a text, from a file or standard input", 1,
     2, "ish", command_tokenize},
    {"describe", "[NAME]", "explain algorithms, models, texts, protocols and every key of a config",
     0, 1, "dh", command_describe},
    {.name = NULL},
};

/* The exit status, unless what went to stdout is lost. The reason is known where the last of it
 * fails; what failed before is only remembered. */
static int finish(int code)
{
    bool flushed = !fflush(stdout);
    if (flushed && !ferror(stdout))
        return code;
    fprintf(stderr, "bitsweep: standard output cannot be written%s%s\n", flushed ? "" : ": ",
            flushed ? "" : strerror(errno));
    return BS_EXIT_INPUT;
}

/* Threads of GNU OpenMP spin while they wait, unless told otherwise before the program starts. On a
 * machine with other work that can cost several times the run; waiting passively costs nothing
 * measurable on an idle one. So the program starts itself again with the setting in place. */
static void wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (!setenv("OMP_WAIT_POLICY", "passive", 1))
        execv("/proc/self/exe", argv);
}

/* Runs before any library is initialised, so that it may use little of them. */
static void before_libraries(int argc, char **argv, char **environment)
{
    (void)argc, (void)argv, (void)environment;
    bs_address_space_check(2);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(int, char **, char **) = before_libraries;

int main(int argc, char **argv)
{
    wait_passively(argv);
    prctl(PR_SET_NAME,
          "bitsweep"); /* else ps and top say "exe", as which it started itself again */
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        bs_help_print(commands, NULL, argc < 2 ? stderr : stdout);
        return argc < 2 ? BS_EXIT_INPUT : finish(BS_EXIT_DONE);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("bitsweep %s (%s)\n", BS_VERSION, BS_COMMIT);
        return finish(BS_EXIT_DONE);
    }
    const struct bs_command *command = bs_command_find(commands, argv[1]);
    if (!command)
        return BS_EXIT_INPUT;
    const char *scratch = getenv("TMPDIR");
    struct bs_arguments args = {
        .limits = {.scratch = scratch && *scratch ? scratch : "/tmp", .checkpoint_interval = -1}};
    bool help = false;
    if (bs_arguments_parse(command, commands, argc - 1, argv + 1, &args, &help))
        return BS_EXIT_INPUT;
    if (help) {
        bs_help_print(commands, command, stdout);
        return finish(BS_EXIT_DONE);
    }
    struct bs_error err = {0};
    if (bs_isa_check(&err))
        return bs_fail_print(&err);
    bs_set_threads(args.threads ? args.threads : bs_default_threads());
    bs_map_watch();
    bs_address_space_check((size_t)bs_threads());
    bs_blas_init();
    bs_product_choose();
    return finish(command->run(&args));
}
