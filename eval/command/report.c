/* report: result files as a page for a browser. */
#include <stdio.h>
#include <string.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/command/opened.h"
#include "eval/command/reports.h"
#include "eval/report/page.h"

/* results/a.html of results/a.h5, unless --output says another; in new memory. */
static char *page_path(const struct bs_arguments *args)
{
    if (args->output)
        return bs_strdup(args->output);
    const char *path = args->operands[0], *dot = strrchr(path, '.');
    bool ending = dot && dot > bs_path_name(path);
    return bs_printf("%.*s.html", (int)(ending ? (size_t)(dot - path) : strlen(path)), path);
}

/* The options by which trials are chosen, as they were given; "" = none. In new memory. */
static char *selection_words(const struct bs_selection *selection)
{
    const char *const words[][2] = {{"--where", selection->where},
                                    {"--sort", selection->sort},
                                    {"--group-by", selection->group_by}};
    struct bs_print printing;
    FILE *out = bs_print_begin(&printing);
    if (!out)
        return NULL;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i][1])
            fprintf(out, "%s '%s' ", words[i][0], words[i][1]);
    if (selection->top)
        fprintf(out, "--top %d ", selection->top);
    return bs_print_end(&printing);
}

/* The charts that the configs name. */
static enum bs_status list_charts(const struct bs_published_set *set, struct bs_page *page,
                                  struct bs_error *err)
{
    int count = 0, most = 0;
    for (int c = 0; c < set->num_configs; c++)
        most += set->configs[c].num_charts;
    const struct bs_chart_config **charts = bs_calloc((size_t)most + 1, sizeof *charts);
    if (!charts)
        return bs_fail_memory(err);
    for (int c = 0; c < set->num_configs; c++)
        for (int i = 0; i < set->configs[c].num_charts; i++)
            charts[count++] = &set->configs[c].charts[i];
    page->num_charts = count;
    page->charts = charts;
    return BS_OK;
}

/* The rest of the page, whose trials are chosen. */
static enum bs_status write_page(const struct bs_arguments *args,
                                 const struct bs_published_set *set, struct bs_page page,
                                 const char *path, struct bs_error *err)
{
    char *plots = NULL, *selected = selection_words(&args->selection);
    enum bs_status status = selected ? bs_plots_folder(args, &plots, err) : bs_fail_memory(err);
    if (!status)
        status = list_charts(set, &page, err);
    page.selected = selected && *selected ? selected : NULL;
    page.columns = args->columns;
    page.plots = plots;
    if (!status)
        status = bs_page_write(&page, path, err);
    bs_free((void *)page.charts);
    bs_free(selected);
    bs_free(plots);
    return status;
}

static enum bs_status report(const struct bs_arguments *args, const struct bs_results *results,
                             const char *path, struct bs_error *err)
{
    struct bs_published_set set;
    struct bs_trials shown = {.all = NULL}, drawn = {.all = NULL};
    struct bs_selection with_references = args->selection;
    with_references.keeps_references = true;
    if (bs_report_published(results, &set, err))
        return err->status;
    const struct bs_published_list published = {set.count, set.figures};
    const struct bs_page page = {.shown = &shown, .drawn = &drawn, .published = &published};
    enum bs_status status = bs_trials_select(results, &published, &args->selection, &shown, err);
    if (!status)
        status = bs_trials_select(results, &published, &with_references, &drawn, err);
    if (!status)
        status = write_page(args, &set, page, path, err);
    bs_trials_release(&drawn);
    bs_trials_release(&shown);
    bs_published_release(&set);
    return status;
}

static int command_report(const struct bs_arguments *args)
{
    struct bs_error err;
    struct bs_results results;
    if (bs_results_read_all(args->operands, args->num_operands, &results, &err))
        return bs_fail_print(&err);
    char *path = page_path(args);
    enum bs_status status =
        path ? bs_may_replace(path, "<!doctype html>", "page", &err) : bs_fail_memory(&err);
    if (!status)
        status = report(args, &results, path, &err);
    if (!status)
        bs_print_line(stderr, "%s", path);
    bs_free(path);
    bs_results_release(&results);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

const struct bs_command bs_command_report = {
    .name = "report",
    .operands = "RESULTS...",
    .summary = "write result files as one page of HTML, to read or to send round",
    .min_operands = 1,
    .max_operands = BS_MOST_OPERANDS,
    .details =
        "Writes one page that needs no network and no other file: what was run and where, what "
        "failed or fell back, the table, to be sorted and filtered, which trials to take, whether "
        "the best is better than what comes next, the charts, the errors of every layer, and the "
        "config. It is read on a screen, a telephone or paper. Trials are chosen as for `table`.",
    .options = "output columns where sort group-by top plots",
    .run = command_report,
};
