/* Charts of a result file, by gnuplot. */
#ifndef BS_EVAL_REPORT_CHART_H
#define BS_EVAL_REPORT_CHART_H

#include <stdbool.h>

#include "eval/base/lines.h"
#include "eval/report/table.h"
#include "eval/store/results.h"

/* What pictures are made as. */
enum bs_picture { BS_PNG, BS_SVG, BS_PDF, BS_EPS, BS_NUM_PICTURES };

/* "png", "svg", "pdf", "eps", NULL. */
extern const char *const bs_picture_names[];

/* How charts are drawn. Texts are borrowed. */
struct bs_chart_how {
    const char *plots, *directory; /* of the templates, and of what is made */
    unsigned pictures;             /* 1u << enum bs_picture, each that is wanted */
    bool is_single; /* as wide as one column of a paper, else as two: letters keep their size */
    bool is_dark;   /* light on dark */
    /* Columns (columns.h): a number each, and lists parted by commas. NULL: of chart xy bits per
     * weight, the first value of the evaluation, a line for each recipe but for its bits, a panel
     * for each model and text; of heatmap the bits of activations and weights, a panel for each
     * algorithm and the bits of its cache. */
    const char *x, *y, *lines, *panels;
    struct bs_published_list published; /* figures to be drawn beside the measured ones */
};

/* "perplexity_vs_bits", "pareto", "layer_error", "perplexity_by_position", "kv_cache",
 * "sensitivity", "channels", NULL: those that may be drawn without being asked for. */
extern const char *const bs_chart_names[];

/* The same and, with a `*` for the name of a value, how the kinds of charts are called that draw it
 * in the place of their own; ends with NULL. */
extern const char *const bs_chart_patterns[];

/* Whether a trial has the value that chart `name` draws: perplexity of texts, accuracy of tasks,
 * errors of layers where they were taken. */
bool bs_chart_applies(const struct bs_results *results, const char *name);

/* The charts that `plot` draws unless told otherwise: every kind that the results have anything
 * for, and of tasks their accuracy. Fills `names`; returns how many. */
enum { BS_MOST_CHARTS = 16 };
int bs_charts_that_apply(const struct bs_results *results, const char *names[BS_MOST_CHARTS]);

/* Refuses a name that no chart has, and what is said in `how` of axes, lines and panels that the
 * chart does not take; with `columns_too` also names of columns that no results have.
 * BS_ECONFIG. */
enum bs_status bs_chart_check(const char *name, const struct bs_chart_how *how, bool columns_too,
                              struct bs_error *err);

/* Draws chart `name`, one of the above or a pattern with a value's name, into a folder: the
 * pictures, <name>.png and others, and beside them <name>.tsv and <name>.gp, the data and the
 * script, so that `gnuplot <name>.gp` draws it again. One for a single column is called
 * <name>_single, a dark one <name>_dark. Each model and text has a chart of its own: <name>_<model>
 * where there are several models, and <name>_<text> for every text but the first; where trials of
 * several numerics are in the file, those of other than the default ones have charts of their own,
 * <name>_<numerics>. Chart "xy" is one for all, <y>_over_<x>: any value against any other; so is
 * "kv_cache".
 * BS_ECONFIG for an unknown name, BS_EDATA where the file has nothing to draw, BS_EIO where gnuplot
 * is not there or fails (with its words). What was drawn is added to `drawn` by its name, without
 * _single and _dark. */
enum bs_status bs_chart_draw(const struct bs_results *results, const char *name,
                             const struct bs_chart_how *how, struct bs_lines *drawn,
                             struct bs_error *err);

/* The files of what was drawn, one chart at least: "results/x/pareto.png, .svg, .gp, .tsv", with a
 * star where there are several. In new memory, NULL where that has run out. */
char *bs_chart_files(const char *name, const struct bs_chart_how *how,
                     const struct bs_lines *drawn);

#endif
