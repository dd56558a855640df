/* argv to one subcommand. The only place that exits, and the only one that opens stdout. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "eval/base/machine.h"
#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/base/parallel.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/base/terminal.h"
#include "eval/config/describe.h"
#include "eval/data/corpus.h"
#include "eval/data/token_list.h"
#include "eval/hub/fetch.h"
#include "eval/hub/hub.h"
#include "eval/linalg/blas.h"
#include "eval/run/fetch_progress.h"
#include "eval/run/models.h"
#include "eval/run/published.h"
#include "eval/store/chart.h"
#include "eval/store/table.h"

enum { MOST_OPERANDS = 64, MOST_ACCEPTED = 64 };
enum { EXIT_DONE = 0, EXIT_TRIAL_FAILED = 1, EXIT_INPUT = 2 };

/* Everything a subcommand may be told. */
struct arguments {
    const char *operands[MOST_OPERANDS];
    int num_operands;
    const char *output, *format, *plots, *revision;
    const char *models[BS_MAX_MODELS];
    const char *accepted[MOST_ACCEPTED];
    int num_models, num_accepted;
    struct bs_limits limits;
    int threads;
    bool quiet, markdown, ids, no_special;
};

struct command {
    const char *name, *operands, *summary;
    int min_operands, max_operands;
    const char *options; /* letters of the options it takes */
    int (*run)(const struct arguments *args);
};

/* One table for parsing and for help. */
static const struct flag {
    const char *name, *argument;
    char letter;
    const char *help;
} flags[] = {
    {"output", "PATH", 'o',
     "the result file of run and plan, else results/CONFIG.h5; the folder of plot's charts, else "
     "the "
     "result file's name without its ending"},
    {"model", "NAME", 'l', "only this one of the config's models; may be given several times"},
    {"accept-unknown", "KEY", 'u',
     "pass over this key of a config.json although it is not understood; several times"},
    {"memory", "SIZE", 'm', "memory a walk may use, such as 900M or 8G; half of what is free"},
    {"scratch", "FOLDER", 'c',
     "where streams go that memory has no room for (TMPDIR, else /tmp) and checkpoints (beside "
     "results)"},
    {"checkpoint", "SECONDS", 'k',
     "how often a walk is kept, or off; by default so that it takes at most a fortieth of the "
     "time"},
    {"threads", "N", 't',
     "threads; OMP_NUM_THREADS, else every available core. Results do not depend on it"},
    {"format", "NAME", 'f', "terminal, markdown, csv, latex or json"},
    {"plots", "FOLDER", 'p',
     "where the chart templates are; ./plots, else those of the project or prefix that the program "
     "stands in"},
    {"revision", "NAME", 'r', "branch, tag or commit; main, or what follows @ in a name"},
    {"markdown", NULL, 'd', "print Markdown"},
    {"quiet", NULL, 'q', "no progress"},
    {"ids", NULL, 'i', "print the ids alone, on one line"},
    {"no-special", NULL, 's', "without the special tokens around the text"},
    {"help", NULL, 'h', "print this help"},
};
enum { NUM_FLAGS = sizeof flags / sizeof *flags };

static int fail(const struct bs_error *err)
{
    fprintf(stderr, "bitsweep: %s\n", err->message);
    return EXIT_INPUT;
}

/* The error of a config file already begins with its place. */
static int fail_config(const struct bs_error *err)
{
    if (err->status != BS_ECONFIG)
        return fail(err);
    fprintf(stderr, "%s\n", err->message);
    return EXIT_INPUT;
}

/* results/<config's name>.h5 unless told otherwise. In new memory. */
static char *result_path(const struct arguments *args)
{
    if (args->output)
        return bs_strdup(args->output);
    const char *name = strrchr(args->operands[0], '/');
    name = name ? name + 1 : args->operands[0];
    const char *dot = strrchr(name, '.');
    int length = (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
    return bs_printf("results/%.*s.h5", length, name);
}

/* The result file's path without its ending: the folder of its charts. In new memory. */
static char *chart_folder(const char *path)
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    bool ending = dot && dot > (slash ? slash + 1 : path);
    return bs_printf("%.*s%s", (int)(ending ? (size_t)(dot - path) : strlen(path)), path,
                     ending ? "" : ".charts");
}

/* `folder`/`below` in new memory where it holds the chart templates, else NULL. */
static char *templates_in(const char *folder, const char *below)
{
    char *style = bs_printf("%s/%s/style.gp", folder, below);
    bool there = style && !access(style, R_OK);
    bs_free(style);
    return there ? bs_printf("%s/%s", folder, below) : NULL;
}

/* The chart templates: where --plots says, in the current folder, or in the project or prefix that
 * the program stands in, so that it runs from anywhere. In new memory. */
static char *plots_folder(const struct arguments *args)
{
    if (args->plots)
        return bs_strdup(args->plots);
    char *found = templates_in(".", "plots");
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    while (!found && length > 0) {
        while (length > 0 && program[--length] != '/')
            continue;
        program[length] = 0;
        found = templates_in(program, "plots");
        if (!found)
            found = templates_in(program, "share/bitsweep/plots");
    }
    return found ? found : bs_strdup("plots");
}

static enum bs_status draw(const struct bs_results *results, char *const *names, int num_names,
                           const struct arguments *args, const char *folder, struct bs_error *err)
{
    char *plots = plots_folder(args);
    enum bs_status status = plots && folder ? BS_OK : bs_fail_memory(err);
    for (int i = 0; i < num_names && !status; i++) {
        status = bs_chart_draw(results, names[i], plots, folder, err);
        if (!status)
            bs_print_line(stderr, "%s/%s%s.png, .svg, .gp, .tsv", folder, names[i],
                          bs_results_several_models(results) ? "_*" : "");
    }
    bs_free(plots);
    return status;
}

/* What is open at the start of a run or a plan. */
struct opened {
    struct bs_config config;
    struct bs_models models;
    char *path;
};

static void close_all(struct opened *opened)
{
    bs_models_close(&opened->models);
    bs_config_release(&opened->config);
    bs_free(opened->path);
}

/* Opens config, models and texts. */
static int open_all(const struct arguments *args, struct opened *opened)
{
    struct bs_error err;
    uint64_t wanted;
    memset(opened, 0, sizeof *opened);
    if (bs_config_load(args->operands[0], bs_chart_names, &opened->config, &err))
        return fail_config(&err);
    opened->path = result_path(args);
    if (!opened->path) {
        bs_fail_memory(&err);
        return fail(&err);
    }
    for (int i = 0; i < args->num_accepted; i++)
        if (bs_lines_add(&opened->config.accept_unknown, &err, "%s", args->accepted[i]))
            return fail(&err);
    if (bs_config_select(&opened->config, args->models, args->num_models, &wanted, &err) ||
        bs_models_open(&opened->config, wanted, &opened->models, &err))
        return fail(&err);
    return EXIT_DONE;
}

/* Prints the results; a config that cannot be read takes nothing away but what was published. */
static enum bs_status print_table(const struct bs_results *results, enum bs_table_style style,
                                  struct bs_error *err)
{
    struct bs_published_set set;
    enum bs_status status = bs_published_read(results, &set, err);
    if (status == BS_ECONFIG)
        fprintf(stderr,
                "bitsweep: nothing published is shown, for the file's config is wrong\n%s\n",
                err->message);
    else if (status)
        return status;
    status = bs_table_print(results, set.figures, set.count, style, stdout, err);
    bs_published_release(&set);
    return status;
}

static int report_run(const struct arguments *args, const struct opened *opened,
                      const struct bs_sweep_outcome *outcome)
{
    struct bs_error err;
    struct bs_results results;
    if (bs_results_read(opened->path, &results, &err))
        return fail(&err);
    char *folder = chart_folder(opened->path);
    enum bs_status status = print_table(&results, BS_TABLE_TERMINAL, &err);
    if (!status) {
        fflush(stdout);
        bs_print_line(stderr, "%s", opened->path);
        status =
            draw(&results, opened->config.charts, opened->config.num_charts, args, folder, &err);
    }
    bs_free(folder);
    bs_results_release(&results);
    if (status)
        return fail(&err);
    if (outcome->failed)
        fprintf(stderr, "bitsweep: %d of %d trials failed; the table says why\n", outcome->failed,
                outcome->failed + outcome->done);
    return outcome->failed ? EXIT_TRIAL_FAILED : EXIT_DONE;
}

static int run_opened(const struct arguments *args, struct opened *opened)
{
    struct bs_error err;
    struct bs_sweep_outcome outcome;
    struct bs_results_lock *lock;
    if (bs_results_lock_take(opened->path, &lock, &err))
        return fail(&err);
    enum bs_status status =
        bs_models_run(&opened->models, opened->path, &args->limits, args->quiet, &outcome, &err);
    bs_results_unlock(lock);
    if (status == BS_ESTOPPED)
        bs_stop_now();
    if (!status)
        bs_stop_keep("all trials are in %s", opened->path);
    return status ? fail(&err) : report_run(args, opened, &outcome);
}

static int command_run(const struct arguments *args)
{
    struct opened opened;
    bs_stop_keep("nothing was begun");
    bs_stop_watch();
    int code = open_all(args, &opened);
    if (!code)
        code = run_opened(args, &opened);
    close_all(&opened);
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

static enum bs_status print_plan(const struct arguments *args, struct opened *opened,
                                 struct bs_error *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return bs_fail_memory(err);
    enum bs_status status = bs_models_plan(&opened->models, opened->path, &args->limits, out, err);
    bool written = !ferror(out);
    written = !fclose(out) && written;
    if (!status && !written)
        status = bs_fail_memory(err);
    if (!status)
        print_lines(text, bs_terminal_limit(stdout));
    free(text); /* open_memstream's own */
    return status;
}

static int command_plan(const struct arguments *args)
{
    struct opened opened;
    struct bs_error err;
    int code = open_all(args, &opened);
    if (!code && print_plan(args, &opened, &err))
        code = fail(&err);
    close_all(&opened);
    return code;
}

static int style_of(const struct arguments *args, enum bs_table_style *style)
{
    *style = BS_TABLE_TERMINAL;
    for (int i = 0; args->format && bs_table_styles[i]; i++)
        if (!strcmp(bs_table_styles[i], args->format)) {
            *style = (enum bs_table_style)i;
            return EXIT_DONE;
        }
    if (!args->format)
        return EXIT_DONE;
    const char *near = bs_nearest_word(args->format, bs_table_styles);
    bs_print_line(stderr,
                  "bitsweep: format '%s', expected terminal, markdown, csv, latex or json%s%s%s",
                  args->format, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return EXIT_INPUT;
}

static int command_table(const struct arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    enum bs_table_style style;
    if (style_of(args, &style))
        return EXIT_INPUT;
    if (bs_results_read(args->operands[0], &results, &err))
        return fail(&err);
    enum bs_status status = print_table(&results, style, &err);
    bs_results_release(&results);
    return status ? fail(&err) : EXIT_DONE;
}

static int command_diff(const struct arguments *args)
{
    struct bs_error err;
    struct bs_results a, b;
    enum bs_table_style style;
    if (style_of(args, &style))
        return EXIT_INPUT;
    if (bs_results_read(args->operands[0], &a, &err))
        return fail(&err);
    enum bs_status status = bs_results_read(args->operands[1], &b, &err);
    if (!status) {
        status = bs_diff_print(&a, &b, style, stdout, &err);
        bs_results_release(&b);
    }
    bs_results_release(&a);
    return status ? fail(&err) : EXIT_DONE;
}

/* Every chart, or the one named after the file. */
static int command_plot(const struct arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    if (bs_results_read(args->operands[0], &results, &err))
        return fail(&err);
    char *names[16] = {NULL};
    int count = 0;
    enum bs_status status = BS_OK;
    for (int i = 0; bs_chart_names[i] && args->num_operands < 2 && count < 16 && !status; i++)
        if (!(names[count++] = bs_strdup(bs_chart_names[i])))
            status = bs_fail_memory(&err);
    if (args->num_operands == 2 && !(names[count++] = bs_strdup(args->operands[1])))
        status = bs_fail_memory(&err);
    char *folder = args->output ? bs_strdup(args->output) : chart_folder(args->operands[0]);
    if (!status)
        status = draw(&results, names, count, args, folder, &err);
    for (int i = 0; i < count; i++)
        bs_free(names[i]);
    bs_free(folder);
    bs_results_release(&results);
    return status ? fail(&err) : EXIT_DONE;
}

static int command_describe(const struct arguments *args)
{
    struct bs_error err;
    if (!args->num_operands) {
        bs_describe_all(stdout, args->markdown);
        return EXIT_DONE;
    }
    return bs_describe_one(args->operands[0], stdout, args->markdown, &err) ? fail(&err)
                                                                            : EXIT_DONE;
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

/* A model, or one of the files of a known text. */
static int fetch_one(const struct arguments *args, const char *name, const struct bs_remote *remote)
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
    return status ? fail(&err) : EXIT_DONE;
}

/* Every name is tried, whatever became of those before it. */
static int command_fetch(const struct arguments *args)
{
    int code = EXIT_DONE;
    for (int i = 0; i < args->num_operands; i++) {
        const char *name = args->operands[i];
        const struct bs_corpus_files *text = bs_corpus_files_find(name);
        if (!text && fetch_one(args, name, NULL))
            code = EXIT_INPUT;
        for (int f = 0; text && text->files[f]; f++)
            if (fetch_one(args, name, text->files[f]))
                code = EXIT_INPUT;
    }
    return code;
}

/* The ids of a file's text, or of standard input's. */
static int command_tokenize(const struct arguments *args)
{
    struct bs_error err;
    const char *path = args->num_operands == 2 ? args->operands[1] : "/dev/stdin";
    enum bs_token_style style = args->ids ? BS_TOKENS_IDS : BS_TOKENS_PIECES;
    char *directory = NULL;
    enum bs_status status = bs_hub_model(args->operands[0], "", &directory, &err);
    if (!status)
        status = bs_tokens_print(directory, path, !args->no_special, style, stdout, &err);
    bs_free(directory);
    return status ? fail(&err) : EXIT_DONE;
}

static const struct command commands[] = {
    {"run", "CONFIG", "run a sweep, or go on with it; print its table, draw its charts", 1, 1,
     "olumcktpqh", command_run},
    {"plan", "CONFIG", "print the trials, the memory and the work of a sweep without running it", 1,
     1, "olumckth", command_plan},
    {"table", "RESULTS", "print a result file", 1, 1, "fh", command_table},
    {"plot", "RESULTS [CHART]", "draw the charts of a result file", 1, 2, "oph", command_plot},
    {"diff", "RESULTS RESULTS", "compare two result files trial by trial", 2, 2, "fh",
     command_diff},
    {"fetch", "NAME...", "bring models and known texts into the Hugging Face cache", 1,
     MOST_OPERANDS, "rqh", command_fetch},
    {"tokenize", "MODEL [FILE]", "print the token ids of a text, from a file or standard input", 1,
     2, "ish", command_tokenize},
    {"describe", "[NAME]", "explain algorithms, models, texts, protocols and every key of a config",
     0, 1, "dh", command_describe},
};
enum { NUM_COMMANDS = sizeof commands / sizeof *commands };

/* Two columns, the second folded where the terminal ends. */
static void print_pair(const char *left, int width, const char *right, FILE *out)
{
    int limit = bs_terminal_limit(out) - width - 3;
    fprintf(out, "  %-*s ", width, left);
    for (const char *line = right; *line;) {
        size_t bytes = limit > 0 ? bs_line_bytes(line, limit) : strlen(line);
        fprintf(out, "%*s%.*s\n", line > right ? width + 3 : 0, "", (int)bytes, line);
        line += bytes;
        line += strspn(line, " ");
    }
}

static void print_flags(const struct command *command, FILE *out)
{
    for (int i = 0; i < NUM_FLAGS; i++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", flags[i].name, flags[i].argument ? " " : "",
                 flags[i].argument ? flags[i].argument : "");
        if (strchr(command->options, flags[i].letter))
            print_pair(left, 20, flags[i].help, out);
    }
}

static void print_help(const struct command *command, FILE *out)
{
    int limit = bs_terminal_limit(out);
    if (command) {
        fprintf(out, "usage: bitsweep %s [options] %s\n\n", command->name, command->operands);
        bs_print_folded(out, limit, "%s", command->summary);
        fputc('\n', out);
        print_flags(command, out);
        return;
    }
    fputs("usage: bitsweep COMMAND [options] ...\n\n"
          "measures what quantization costs a language model\n\n",
          out);
    for (int i = 0; i < NUM_COMMANDS; i++) {
        char left[40];
        snprintf(left, sizeof left, "%-9s %s", commands[i].name, commands[i].operands);
        print_pair(left, 26, commands[i].summary, out);
    }
    fputc('\n', out);
    bs_print_folded(out, limit,
                    "`bitsweep COMMAND --help` lists a command's options, `bitsweep --version` "
                    "says which program this is.");
    bs_print_folded(out, limit,
                    "exit status: 0 done, 1 a trial failed (the others ran), 2 the input is wrong "
                    "or the output cannot be written");
}

static int usage_error(const struct command *command, const char *what, const char *word)
{
    bs_print_line(stderr, "bitsweep%s%s: %s '%s'; see --help", command ? " " : "",
                  command ? command->name : "", what, word);
    return EXIT_INPUT;
}

/* "900M", "8G", "1.5e9": bytes, or 0 where it is none of these. */
static double parse_size(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    static const char units[] = "KMGT";
    const char *unit = *end ? strchr(units, *end) : NULL;
    for (const char *u = units; unit && u <= unit; u++)
        value *= 1000;
    if (unit)
        end++;
    if (*end == 'B')
        end++;
    return *end || end == text || !(value > 0) ? 0 : value;
}

static int parse_count(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    return *end || end == text || value < 1 || value > 4096 ? 0 : (int)value;
}

/* "off", or seconds. */
static int take_interval(const struct command *command, const char *text, struct bs_limits *limits)
{
    char *end;
    double seconds = strtod(text, &end);
    limits->no_checkpoints = !strcmp(text, "off");
    limits->checkpoint_interval = seconds;
    bool is_number = end != text && !*end && seconds >= 0 && seconds <= 1e9;
    return limits->no_checkpoints || is_number
               ? EXIT_DONE
               : usage_error(command, "--checkpoint takes seconds or off, not", text);
}

static int take_flag(const struct command *command, char letter, const char *value,
                     struct arguments *args)
{
    switch (letter) {
    case 'o':
        args->output = value;
        return *value ? EXIT_DONE : usage_error(command, "--output takes a path, not", value);
    case 'l':
        if (args->num_models == BS_MAX_MODELS)
            return usage_error(command, "one --model too many:", value);
        args->models[args->num_models++] = value;
        return EXIT_DONE;
    case 'u':
        if (args->num_accepted == MOST_ACCEPTED)
            return usage_error(command, "one --accept-unknown too many:", value);
        args->accepted[args->num_accepted++] = value;
        return EXIT_DONE;
    case 'f':
        args->format = value;
        return EXIT_DONE;
    case 'p':
        args->plots = value;
        return EXIT_DONE;
    case 'r':
        args->revision = value;
        return EXIT_DONE;
    case 'm':
        args->limits.memory = parse_size(value);
        return args->limits.memory > 0
                   ? EXIT_DONE
                   : usage_error(command, "--memory takes a size such as 900M, not", value);
    case 'c':
        args->limits.scratch = args->limits.checkpoints = value;
        return *value ? EXIT_DONE : usage_error(command, "--scratch takes a folder, not", value);
    case 'k':
        return take_interval(command, value, &args->limits);
    case 't':
        args->threads = parse_count(value);
        return args->threads
                   ? EXIT_DONE
                   : usage_error(command, "--threads takes a number from 1 to 4096, not", value);
    case 'd':
        args->markdown = true;
        return EXIT_DONE;
    case 'i':
        args->ids = true;
        return EXIT_DONE;
    case 's':
        args->no_special = true;
        return EXIT_DONE;
    default:
        args->quiet = true;
        return EXIT_DONE;
    }
}

/* The word that getopt has just refused. It goes on to the next one only behind the last letter of
 * a word of single letters ("-abc"). */
static const char *unknown_word(int argc, char **argv)
{
    bool within = optopt && optind < argc && argv[optind][0] == '-' && argv[optind][1] == optopt;
    return argv[within ? optind : optind - 1];
}

/* Says what was perhaps meant: the nearest of the command's options, or whose option it is. */
static int unknown_option(const struct command *command, const char *word)
{
    char name[64], hint[160] = "";
    const char *names[NUM_FLAGS + 1] = {NULL};
    int count = 0;
    const struct flag *known = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    for (int i = 0; i < NUM_FLAGS; i++) {
        if (strchr(command->options, flags[i].letter))
            names[count++] = flags[i].name;
        if (!strcmp(flags[i].name, name))
            known = &flags[i];
    }
    const char *near = bs_nearest_word(name, names);
    if (known && strchr(command->options, known->letter))
        snprintf(hint, sizeof hint, ": --%s takes no value", known->name);
    else if (near)
        snprintf(hint, sizeof hint, ", did you mean '--%s'?", near);
    for (int i = 0; known && !*hint && i < NUM_COMMANDS; i++)
        if (strchr(commands[i].options, known->letter))
            snprintf(hint, sizeof hint, ": it is one of bitsweep %s", commands[i].name);
    bs_print_line(stderr, "bitsweep %s: unknown option '%s'%s; see --help", command->name, word,
                  hint);
    return EXIT_INPUT;
}

static int parse_arguments(const struct command *command, int argc, char **argv,
                           struct arguments *args, bool *help)
{
    struct option longs[NUM_FLAGS + 1] = {{NULL, 0, NULL, 0}};
    int count = 0, letter;
    for (int i = 0; i < NUM_FLAGS; i++)
        if (strchr(command->options, flags[i].letter))
            longs[count++] =
                (struct option){flags[i].name, flags[i].argument ? required_argument : no_argument,
                                NULL, flags[i].letter};
    opterr = 0;
    while ((letter = getopt_long(argc, argv, ":", longs, NULL)) != -1) {
        if (letter == ':')
            return usage_error(command, "a value is missing after", argv[optind - 1]);
        if (letter == '?')
            return unknown_option(command, unknown_word(argc, argv));
        if (letter == 'h')
            *help = true;
        else if (take_flag(command, (char)letter, optarg, args))
            return EXIT_INPUT;
    }
    for (; optind < argc; optind++) {
        if (args->num_operands == command->max_operands)
            return usage_error(command, "one operand too many:", argv[optind]);
        args->operands[args->num_operands++] = argv[optind];
    }
    if (args->num_operands < command->min_operands && !*help)
        return usage_error(command, "expected", command->operands);
    return EXIT_DONE;
}

static const struct command *find_command(const char *name)
{
    const char *names[NUM_COMMANDS + 1] = {NULL};
    for (int i = 0; i < NUM_COMMANDS; i++) {
        names[i] = commands[i].name;
        if (!strcmp(name, commands[i].name))
            return &commands[i];
    }
    const char *near = bs_nearest_word(name, names);
    bs_print_line(stderr, "bitsweep: unknown command '%s'%s%s%s; see --help", name,
                  near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

/* The exit status, unless what went to stdout is lost. The reason is known where the last of it
 * fails; what failed before is only remembered. */
static int finish(int code)
{
    bool flushed = !fflush(stdout);
    if (flushed && !ferror(stdout))
        return code;
    fprintf(stderr, "bitsweep: standard output cannot be written%s%s\n", flushed ? "" : ": ",
            flushed ? "" : strerror(errno));
    return EXIT_INPUT;
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

int main(int argc, char **argv)
{
    wait_passively(argv);
    prctl(PR_SET_NAME,
          "bitsweep"); /* else ps and top say "exe", as which it started itself again */
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_help(NULL, argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_INPUT : finish(EXIT_DONE);
    }
    if (!strcmp(argv[1], "--version")) {
        printf("bitsweep %s (%s)\n", BS_VERSION, BS_COMMIT);
        return finish(EXIT_DONE);
    }
    const struct command *command = find_command(argv[1]);
    if (!command)
        return EXIT_INPUT;
    const char *scratch = getenv("TMPDIR");
    struct arguments args = {
        .limits = {.scratch = scratch && *scratch ? scratch : "/tmp", .checkpoint_interval = -1}};
    bool help = false;
    if (parse_arguments(command, argc - 1, argv + 1, &args, &help))
        return EXIT_INPUT;
    if (help) {
        print_help(command, stdout);
        return finish(EXIT_DONE);
    }
    bs_set_threads(args.threads ? args.threads : bs_default_threads());
    bs_blas_init();
    return finish(command->run(&args));
}
