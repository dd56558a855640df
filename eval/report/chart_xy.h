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

/* Whether the trial is a point of the chart. */
bool bs_xy_has_point(const struct bs_xy_axes *axes, const struct bs_row *row);

#endif
