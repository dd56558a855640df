/* What `run` tells of a result file at its end, as `table` and `plot` do. */
#ifndef BS_EVAL_COMMAND_REPORTS_H
#define BS_EVAL_COMMAND_REPORTS_H

#include "eval/base/lines.h"
#include "eval/command/arguments.h"
#include "eval/report/table.h"
#include "eval/run/published.h"
#include "eval/store/results.h"

/* The style that --format names, the terminal's without it; the exit status, after a message. */
int bs_report_style(const struct bs_arguments *args, enum bs_table_style *style);

/* Prints the whole table on standard output. */
enum bs_status bs_report_table(const struct bs_results *results, struct bs_error *err);

/* Draws a chart into the folder, with what was published where it shows that, and says so on
 * stderr. */
enum bs_status bs_report_chart(const struct bs_results *results, const char *name,
                               const struct bs_arguments *args,
                               const struct bs_published_list *published, const char *folder,
                               struct bs_error *err);

/* Charts that could not be drawn while others were: what each fails by is told once, in the end.
 * Starts as {0}; ends with bs_charts_failed_end. */
struct bs_charts_failed {
    int count;
    enum bs_status status;    /* of the first */
    struct bs_lines messages; /* why, each once */
    struct bs_lines charts;   /* [messages.count] the first that fails so */
};

/* Notes that a chart fails. */
void bs_charts_failed_add(struct bs_charts_failed *failed, const char *chart,
                          const struct bs_error *why);

/* Of `asked` charts: BS_OK where none failed, else the status of the first, and in one message all
 * that is not drawn. Releases. */
enum bs_status bs_charts_failed_end(struct bs_charts_failed *failed, int asked,
                                    struct bs_error *err);

/* What a config says of a chart, in the words of `plot`. Borrowed. */
void bs_chart_how_of(const struct bs_chart_config *chart, struct bs_chart_how *how);

/* The result file's path without its ending: the folder of its charts. In new memory. */
char *bs_chart_folder(const char *path);

/* The chart templates: where --plots says, in the current folder, or in the project or prefix that
 * the program stands in, so that it runs from anywhere. In new memory. BS_EIO where they are in
 * none of these, BS_ENOMEM. */
enum bs_status bs_plots_folder(const struct bs_arguments *args, char **folder,
                               struct bs_error *err);

/* What was published for the file's trials, to be released. A config that cannot be read takes
 * nothing else away: the set is empty then, and a message says why. */
enum bs_status bs_report_published(const struct bs_results *results, struct bs_published_set *set,
                                   struct bs_error *err);

#endif
