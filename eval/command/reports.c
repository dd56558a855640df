/* table, plot and diff: what shows result files. */
#include "eval/command/reports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/option.h"
#include "eval/base/printable.h"
#include "eval/command/opened.h"
#include "eval/report/chart.h"
#include "eval/report/table.h"
#include "eval/run/published.h"

char *bs_chart_folder(const char *path)
{
    const char *dot = strrchr(path, '.');
    bool ending = dot && dot > bs_path_name(path);
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

/* In the current folder, or in one of those that the program stands in; NULL where in none. */
static char *find_templates(char *program, ssize_t length)
{
    char *found = templates_in(".", "plots");
    while (!found && length > 0) {
        while (length > 0 && program[--length] != '/')
            continue;
        program[length] = 0;
        found = templates_in(program, "plots");
        if (!found)
            found = templates_in(program, "share/bitsweep/plots");
    }
    return found;
}

enum bs_status bs_plots_folder(const struct bs_arguments *args, char **folder, struct bs_error *err)
{
    char program[4096] = "", searched[4096];
    if (args->chart.plots) {
        *folder = bs_strdup(args->chart.plots);
        return *folder ? BS_OK : bs_fail_memory(err);
    }
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    snprintf(searched, sizeof searched, "%.*s", length > 0 ? (int)length : 0, program);
    *folder = find_templates(program, length);
    if (*folder)
        return BS_OK;
    return bs_fail(
        err, BS_EIO,
        "no chart templates (style.gp and others): neither in ./plots nor, from the folder "
        "of the program '%s' upwards, in plots or share/bitsweep/plots; copy the "
        "project's folder plots to one of these, or name it by --plots",
        searched);
}

void bs_chart_how_of(const struct bs_chart_config *chart, struct bs_chart_how *how)
{
    how->x = chart->x;
    how->y = chart->y;
    how->lines = chart->lines;
    how->panels = chart->panels;
}

enum bs_status bs_report_chart(const struct bs_results *results, const char *name,
                               const struct bs_arguments *args,
                               const struct bs_published_list *published, const char *folder,
                               struct bs_error *err)
{
    struct bs_chart_how how = args->chart;
    struct bs_lines drawn = {0};
    char *plots = NULL, *files = NULL;
    enum bs_status status = folder ? bs_plots_folder(args, &plots, err) : bs_fail_memory(err);
    how.plots = plots;
    how.directory = folder;
    how.published = *published;
    if (!status)
        status = bs_chart_draw(results, name, &how, &drawn, err);
    if (!status && !(files = bs_chart_files(name, &how, &drawn)))
        status = bs_fail_memory(err);
    if (files)
        bs_print_line(stderr, "%s", files);
    bs_lines_release(&drawn);
    bs_free(files);
    bs_free(plots);
    return status;
}

void bs_charts_failed_add(struct bs_charts_failed *failed, const char *chart,
                          const struct bs_error *why)
{
    struct bs_error ignored; /* without memory a message is lost, not that there is one */
    failed->status = failed->count++ ? failed->status : why->status;
    if (!bs_lines_have(&failed->messages, why->message) &&
        !bs_lines_add(&failed->charts, &ignored, "%s", chart))
        bs_lines_add(&failed->messages, &ignored, "%s", why->message);
}

enum bs_status bs_charts_failed_end(struct bs_charts_failed *failed, int asked,
                                    struct bs_error *err)
{
    enum bs_status status = failed->status;
    if (failed->count == asked && failed->messages.count == 1) {
        bs_fail(err, status, "%s", failed->messages.lines[0]);
    } else if (failed->count) {
        char all[sizeof err->message];
        size_t used = 0;
        for (int i = 0; i < failed->messages.count && used < sizeof all; i++)
            used += (size_t)snprintf(all + used, sizeof all - used, "%s%s: %s", i ? "; " : "",
                                     failed->charts.lines[i], failed->messages.lines[i]);
        bs_fail(err, status, "%d of %d charts %s not drawn: %s", failed->count, asked,
                failed->count == 1 ? "is" : "are", used ? all : "out of memory");
    }
    bs_lines_release(&failed->charts);
    bs_lines_release(&failed->messages);
    return status;
}

enum bs_status bs_report_published(const struct bs_results *results, struct bs_published_set *set,
                                   struct bs_error *err)
{
    enum bs_status status = bs_published_read(results, set, err);
    if (status != BS_ECONFIG)
        return status;
    fprintf(stderr, "bitsweep: nothing published is shown, for the file's config is wrong\n%s\n",
            err->message);
    return BS_OK;
}

/* The table that is asked for, of the trials that were chosen. */
static enum bs_status print_chosen(const struct bs_trials *shown,
                                   const struct bs_published_list *published,
                                   const struct bs_arguments *args, enum bs_table_style style,
                                   struct bs_error *err)
{
    if (!shown->results.num_rows && (args->items || args->positions))
        return bs_fail(err, BS_EDATA, "%s: none of %d trials fits", shown->all->path,
                       shown->all->num_rows);
    if (args->items)
        return bs_items_print(shown, args->columns, style, stdout, err);
    if (args->positions)
        return bs_positions_print(shown, args->columns, style, stdout, err);
    if (args->pivot)
        return bs_pivot_print(shown, args->pivot, args->columns, style, stdout, err);
    if (args->values)
        return bs_values_print(shown, args->columns, style, stdout, err);
    return bs_table_print(shown, published, args->columns, args->split, style, stdout, err);
}

/* Prints what the selection leaves of the results; *passed is false where its gate says no. */
static enum bs_status print_table(const struct bs_results *results, const struct bs_arguments *args,
                                  enum bs_table_style style, bool *passed, struct bs_error *err)
{
    const struct bs_selection *selection = &args->selection;
    struct bs_published_set set;
    struct bs_trials shown;
    if (bs_report_published(results, &set, err))
        return err->status;
    const struct bs_published_list published = {set.count, set.figures};
    enum bs_status status = bs_trials_select(results, &published, selection, &shown, err);
    if (!status) {
        status = print_chosen(&shown, &published, args, style, err);
        if (!status && selection->fail_if)
            status = bs_gate_report(selection->fail_if, &shown.gate, shown.num_failed, stderr,
                                    passed, err);
        bs_trials_release(&shown);
    }
    bs_published_release(&set);
    return status;
}

/* The same of linears. */
static enum bs_status print_layers(const struct bs_results *results,
                                   const struct bs_arguments *args, enum bs_table_style style,
                                   bool *passed, struct bs_error *err)
{
    const struct bs_selection *selection = &args->selection;
    struct bs_gate gate;
    int num_failed = 0;
    for (int i = 0; i < results->num_rows; i++)
        num_failed += !bs_row_is_done(&results->rows[i]);
    enum bs_status status =
        bs_layers_print(results, selection, args->columns, style, stdout, &gate, err);
    if (!status && selection->fail_if)
        status = bs_gate_report(selection->fail_if, &gate, num_failed, stderr, passed, err);
    bs_gate_release(&gate);
    return status;
}

int bs_report_style(const struct bs_arguments *args, enum bs_table_style *style)
{
    *style = BS_TABLE_TERMINAL;
    for (int i = 0; args->format && bs_table_styles[i]; i++)
        if (!strcmp(bs_table_styles[i], args->format)) {
            *style = (enum bs_table_style)i;
            return BS_EXIT_DONE;
        }
    if (!args->format)
        return BS_EXIT_DONE;
    const char *near = bs_nearest_word(args->format, bs_table_styles);
    bs_print_line(
        stderr,
        "bitsweep: format '%s', expected terminal, markdown, csv, latex, html, json or jsonl%s%s%s",
        args->format, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return BS_EXIT_INPUT;
}

enum bs_status bs_report_table(const struct bs_results *results, struct bs_error *err)
{
    const struct bs_arguments everything = {.num_operands = 0};
    bool passed;
    return print_table(results, &everything, BS_TABLE_TERMINAL, &passed, err);
}

static int command_table(const struct bs_arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    enum bs_table_style style;
    if (bs_report_style(args, &style))
        return BS_EXIT_INPUT;
    int kinds = args->items + args->positions + args->layers + args->values + !!args->pivot;
    if (kinds > 1 || (kinds && args->split)) {
        fputs(args->split ? "bitsweep table: --split is of the table of trials alone\n"
                          : "bitsweep table: --items, --positions, --layers, --values and --pivot "
                            "are a table each, ask for one\n",
              stderr);
        return BS_EXIT_INPUT;
    }
    if (args->pivot && args->selection.group_by) {
        fputs("bitsweep table: --pivot has a row for each recipe, which --group-by cannot group\n",
              stderr);
        return BS_EXIT_INPUT;
    }
    if (bs_results_read_all(args->operands, args->num_operands, &results, &err))
        return bs_fail_print(&err);
    bool passed = true;
    enum bs_status status = args->layers ? print_layers(&results, args, style, &passed, &err)
                                         : print_table(&results, args, style, &passed, &err);
    bs_results_release(&results);
    return status ? bs_fail_print(&err) : passed ? BS_EXIT_DONE : BS_EXIT_GATE;
}

static int command_choose(const struct bs_arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    struct bs_trials shown;
    static const struct bs_published_list nothing = {.count = 0};
    enum bs_table_style style;
    bool held = false;
    struct bs_choice_limits wish = args->wish;
    wish.memory = args->limits.memory;
    if (bs_report_style(args, &style))
        return BS_EXIT_INPUT;
    if (bs_results_read(args->operands[0], &results, &err))
        return bs_fail_print(&err);
    enum bs_status status = bs_trials_select(&results, &nothing, &args->selection, &shown, &err);
    if (!status) {
        status = bs_choose_print(&shown, &wish, style, stdout, &held, &err);
        bs_trials_release(&shown);
    }
    bs_results_release(&results);
    return status ? bs_fail_print(&err) : held ? BS_EXIT_DONE : BS_EXIT_GATE;
}

/* Trials of one file against each other. */
static enum bs_status diff_between(const struct bs_arguments *args, enum bs_table_style style,
                                   bool *passed, struct bs_error *err)
{
    struct bs_results results;
    if (bs_results_read(args->operands[0], &results, err))
        return err->status;
    enum bs_status status = bs_diff_print_between(&results, args->between[0], args->between[1],
                                                  args->columns, style, stdout, err);
    if (!status && args->selection.fail_if)
        status = bs_diff_gate(&results, &results, args->between, args->selection.fail_if, stderr,
                              passed, err);
    bs_results_release(&results);
    return status;
}

static enum bs_status diff_files(const struct bs_arguments *args, enum bs_table_style style,
                                 bool *passed, struct bs_error *err)
{
    struct bs_results a, b;
    if (bs_results_read(args->operands[0], &a, err))
        return err->status;
    enum bs_status status = bs_results_read(args->operands[1], &b, err);
    if (!status) {
        status = bs_diff_print(&a, &b, args->columns, style, stdout, err);
        if (!status && args->selection.fail_if)
            status =
                bs_diff_gate(&a, &b, args->between, args->selection.fail_if, stderr, passed, err);
        bs_results_release(&b);
    }
    bs_results_release(&a);
    return status;
}

static int command_diff(const struct bs_arguments *args)
{
    struct bs_error err;
    enum bs_table_style style;
    bool between = args->between[0], passed = true;
    if (bs_report_style(args, &style))
        return BS_EXIT_INPUT;
    if (args->num_operands != (between ? 1 : 2)) {
        fputs("bitsweep diff: expected two result files, or one and --between TRIAL TRIAL; see "
              "--help\n",
              stderr);
        return BS_EXIT_INPUT;
    }
    enum bs_status status =
        between ? diff_between(args, style, &passed, &err) : diff_files(args, style, &passed, &err);
    return status ? bs_fail_print(&err) : passed ? BS_EXIT_DONE : BS_EXIT_GATE;
}

/* What a plot is told: result files, then charts. */
struct plotted {
    int num_files, num_charts;
    const char *files[BS_MOST_OPERANDS], *charts[BS_MOST_OPERANDS];
};

/* A word is a file where there is one of this name, or it ends as one; the first always is. */
static void sort_operands(const struct bs_arguments *args, struct plotted *plotted)
{
    *plotted = (struct plotted){.num_files = 0};
    for (int i = 0; i < args->num_operands; i++) {
        const char *word = args->operands[i];
        size_t length = strlen(word);
        bool ends_as_file = length > 3 && !strcmp(word + length - 3, ".h5");
        if (!i || ends_as_file || !access(word, F_OK))
            plotted->files[plotted->num_files++] = word;
        else
            plotted->charts[plotted->num_charts++] = word;
    }
}

/* Where no chart is named: every one that the results have anything for, or the first where they
 * have nothing. */
static void choose_charts(const struct bs_results *results, struct plotted *plotted)
{
    if (!plotted->num_charts)
        plotted->num_charts = bs_charts_that_apply(results, plotted->charts);
    if (!plotted->num_charts)
        plotted->charts[plotted->num_charts++] = bs_chart_names[0];
}

/* Beside the first file, of two or three by the names of all: "results/a+b", else "results/a+4". In
 * new memory. */
static char *folder_of(const struct plotted *plotted)
{
    char *folder = bs_chart_folder(plotted->files[0]);
    if (plotted->num_files > 3) {
        char *longer = folder ? bs_printf("%s+%d", folder, plotted->num_files - 1) : NULL;
        bs_free(folder);
        return longer;
    }
    for (int f = 1; f < plotted->num_files && folder; f++) {
        char *own = bs_chart_folder(bs_path_name(plotted->files[f]));
        char *longer = own ? bs_printf("%s+%s", folder, own) : NULL;
        bs_free(own);
        bs_free(folder);
        folder = longer;
    }
    return folder;
}

/* Whether there is any beside the unquantized models. */
static bool has_trials(const struct bs_results *results)
{
    for (int i = 0; i < results->num_rows; i++)
        if (strcmp(results->rows[i].algorithm, "unquantized"))
            return true;
    return false;
}

/* Draws every chart that can be drawn. */
static enum bs_status draw_all(const struct bs_results *results, const struct plotted *plotted,
                               const struct bs_arguments *args,
                               const struct bs_published_list *published, const char *folder,
                               struct bs_error *err)
{
    struct bs_charts_failed failed = {0};
    for (int i = 0; i < plotted->num_charts; i++)
        if (bs_report_chart(results, plotted->charts[i], args, published, folder, err))
            bs_charts_failed_add(&failed, plotted->charts[i], err);
    return bs_charts_failed_end(&failed, plotted->num_charts, err);
}

/* Draws the charts of the trials that are chosen. */
static enum bs_status draw_chosen(const struct bs_results *results, struct plotted *plotted,
                                  const struct bs_arguments *args, struct bs_error *err)
{
    struct bs_selection selection = args->selection;
    struct bs_published_set set;
    struct bs_trials shown;
    selection.keeps_references = true;
    if (bs_report_published(results, &set, err))
        return err->status;
    const struct bs_published_list published = {set.count, set.figures};
    if (bs_trials_select(results, &published, &selection, &shown, err)) {
        bs_published_release(&set);
        return err->status;
    }
    char *folder = args->output ? bs_strdup(args->output) : folder_of(plotted);
    enum bs_status status = BS_OK;
    if (selection.where && results->num_rows && !has_trials(&shown.results))
        status = bs_fail(err, BS_EDATA, "%s: none of %d trials fits --where '%s'", results->path,
                         results->num_rows, selection.where);
    choose_charts(&shown.results, plotted);
    if (!status)
        status = draw_all(&shown.results, plotted, args, &published, folder, err);
    bs_free(folder);
    bs_trials_release(&shown);
    bs_published_release(&set);
    return status;
}

/* What is said of axes and lines has a meaning only where a chart is drawn that takes it. */
static enum bs_status check_axes(const struct bs_arguments *args, const struct plotted *plotted,
                                 struct bs_error *err)
{
    const struct bs_chart_how *how = &args->chart;
    const struct {
        const char *word;
        struct bs_chart_how only;
    } all[] = {{"--x", {.x = how->x}},
               {"--y", {.y = how->y}},
               {"--lines", {.lines = how->lines}},
               {"--panels", {.panels = how->panels}}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct bs_chart_how *only = &all[i].only;
        bool is_taken = !only->x && !only->y && !only->lines && !only->panels;
        struct bs_error ignored;
        for (int c = 0; c < plotted->num_charts; c++)
            is_taken = is_taken || !bs_chart_check(plotted->charts[c], only, false, &ignored);
        if (!is_taken)
            return bs_fail(err, BS_ECONFIG,
                           "%s is nothing that can be said of the charts asked for, expected xy%s "
                           "among them",
                           all[i].word,
                           only->lines    ? " or kv_cache"
                           : only->panels ? ", kv_cache or heatmap"
                                          : " or heatmap");
    }
    return BS_OK;
}

static int command_plot(const struct bs_arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    struct plotted plotted;
    sort_operands(args, &plotted);
    if (check_axes(args, &plotted, &err) ||
        bs_results_read_all(plotted.files, plotted.num_files, &results, &err))
        return bs_fail_print(&err);
    enum bs_status status = draw_chosen(&results, &plotted, args, &err);
    bs_results_release(&results);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

const struct bs_command bs_command_table = {
    .name = "table",
    .operands = "RESULTS...",
    .summary = "print result files",
    .min_operands = 1,
    .max_operands = BS_MOST_OPERANDS,
    .details = "Prints the trials of a result file, or of several as of one, each model and text "
               "by itself. Where the "
               "terminal is too narrow the columns that matter least are left out and named; "
               "`--format csv` and `json` always have all.",
    .options =
        "format columns split where sort group-by top pivot fail-if items positions layers values",
    .run = command_table,
};

const struct bs_command bs_command_plot = {
    .name = "plot",
    .operands = "RESULTS... [CHART...]",
    .summary = "draw the charts of result files",
    .min_operands = 1,
    .max_operands = BS_MOST_OPERANDS,
    .details = "Draws the charts that are named, or all that the results have something for, of "
               "one result file or of several together. Beside each picture stand its data and the "
               "gnuplot script that draws it again. The chart `xy` has any number of the trials "
               "over any other.",
    .options = "output where sort top x y lines panels pictures size dark plots",
    .run = command_plot,
};

const struct bs_command bs_command_diff = {
    .name = "diff",
    .operands = "RESULTS [RESULTS]",
    .summary = "compare two result files trial by trial, or with --between trials of one",
    .min_operands = 1,
    .max_operands = 2,
    .details = "Puts the trials that two result files share side by side, with paired tests: "
               "token by token for texts, item by item for tasks. With `--between` it compares "
               "trials of one file with each other.",
    .options = "format columns between fail-if",
    .run = command_diff,
};

const struct bs_command bs_command_choose = {
    .name = "choose",
    .operands = "RESULTS",
    .summary = "say which trials to take within limits, and why the others fell",
    .min_operands = 1,
    .max_operands = 1,
    .details = "Takes the trials that no other beats in both size and quality, and of these those "
               "that stay within the limits with their uncertainty; of every other trial it says "
               "what it fell by.",
    .options = "memory max-delta bits where format",
    .run = command_choose,
};
