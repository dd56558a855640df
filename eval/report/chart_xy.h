/* The chart of any value against any other. */
#ifndef BS_EVAL_REPORT_CHART_XY_H
#define BS_EVAL_REPORT_CHART_XY_H

#include "eval/report/chart.h"
#include "eval/report/columns.h"

/* The axes of chart xy. */
struct bs_xy_axes {
    struct bs_column x, y;
};

/* What plot->how asks for, else bits per weight and the first value of the results that their
 * evaluation has. BS_ECONFIG for a name that is no number of the trials. */
enum bs_status bs_xy_axes_find(const struct bs_results *results, const struct bs_chart_how *how,
                               struct bs_xy_axes *axes, struct bs_error *err);

/* What the chart of a cache has as x, and that of a map as axes, unless told otherwise. */
#define BS_KV_BITS "kv_bits"
#define BS_HEATMAP_X "activation_bits"
#define BS_HEATMAP_Y "bits"

/* The column that --`axis` names. BS_ECONFIG where it is no number of the trials. */
enum bs_status bs_chart_axis(const struct bs_results *results, const char *axis, const char *name,
                             struct bs_column *found, struct bs_error *err);

/* Whether the column has numbers: a value, or a field that is one. */
bool bs_column_is_number(const struct bs_column *column);

/* Whether its numbers are bits, of a code or of what it takes with all that it needs. */
bool bs_column_is_bits(const struct bs_column *column);

/* What trials that agree in these columns are called, "gptq, KV4", in new memory; NULL without
 * any. */
char *bs_chart_class_name(const struct bs_results *results, const struct bs_columns *columns,
                          const struct bs_row *row);

/* The order of panels, each of which `first[i]` is the first trial of: by the columns one after
 * the other, numbers ascending, texts as they first come. order[k], [count], is the panel in place
 * k. */
void bs_chart_order(const struct bs_columns *columns, const struct bs_row *const *first, int count,
                    int *order);

/* Writes the column's heading in one line as a variable of the script. */
struct bs_plot;
void bs_chart_axis_name(const struct bs_plot *plot, const char *variable,
                        const struct bs_column *column);

/* Whether the trial is a point of the chart. */
bool bs_xy_has_point(const struct bs_xy_axes *axes, const struct bs_row *row);

#endif
