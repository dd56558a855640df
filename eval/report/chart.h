/* Charts of a result file, by gnuplot. */
#ifndef BS_EVAL_REPORT_CHART_H
#define BS_EVAL_REPORT_CHART_H

#include "eval/store/results.h"

/* "perplexity_vs_bits", "pareto", "layer_error", "perplexity_by_position", NULL. */
extern const char *const bs_chart_names[];

/* The same and, with a `*` for the name of a value, how the kinds of charts are called that draw it
 * in the place of their own; ends with NULL. */
extern const char *const bs_chart_patterns[];

/* Whether a trial has the value that chart `name` draws: perplexity of texts, accuracy of tasks,
 * errors of layers where they were taken. */
bool bs_chart_applies(const struct bs_results *results, const char *name);

/* Draws chart `name`, one of the above or a pattern with a value's name, into `directory`:
 * <name>.png, <name>.svg, and beside them <name>.tsv and <name>.gp, the data and the script, so
 * that `gnuplot <name>.gp` draws it again. Each model and text has a chart of its own:
 * <name>_<model> where there are several models, and <name>_<text> for every text but the first;
 * where trials of several numerics are in the file, those of other than the default ones have
 * charts of their own, <name>_<numerics>.
 * Templates are read from `plots`. BS_ECONFIG for an unknown name, BS_EDATA where the file has
 * nothing to draw, BS_EIO where gnuplot is not there or fails (with its words). */
enum bs_status bs_chart_draw(const struct bs_results *results, const char *name, const char *plots,
                             const char *directory, struct bs_error *err);

#endif
