/* A figure by position in the window, a line for each trial, and below it what quantization adds to
 * it there. */
#include <math.h>
#include <stdbool.h>

#include "eval/base/mem.h"
#include "eval/linalg/elementary.h"
#include "eval/report/by_position.h"
#include "eval/report/chart_internal.h"

/* The chart's curves: the unquantized model's first, then those of the lines. */
struct curves {
    struct bs_chart_lines of;
    const struct bs_row *unquantized; /* NULL = none, or the figure says nothing of it */
    struct bs_by_position by[1 + BS_MOST_LINES];
};

static double or_none(double se) { return isfinite(se) ? se : 0; }

/* One standard error about a value; of a perplexity about its logarithm, which keeps it
 * positive. */
static struct bs_axis_range about(const struct bs_mean *mean, bool exponential)
{
    double se = or_none(mean->se);
    if (!exponential)
        return (struct bs_axis_range){mean->mean - se, mean->mean + se};
    double factor = bs_exp(se / mean->mean);
    return (struct bs_axis_range){mean->mean / factor, mean->mean * factor};
}

/* A block of data for each curve; one of nothing has a line too, for gnuplot to count it. */
static void print_curve(FILE *data, const struct bs_by_position *by, bool exponential,
                        const char *label)
{
    for (int i = 0; i < by->count; i++) {
        const struct bs_at_position *at = &by->at[i];
        struct bs_axis_range range = about(&at->value, exponential);
        fprintf(data, "%.6g\t%d\t%d\t%.10g\t%.10g\t%.10g\t%.10g\t%.10g\t%.10g\t",
                sqrt((double)at->at.first * at->at.last), at->at.first, at->at.last, at->value.mean,
                or_none(at->value.se), range.low, range.high, at->change.mean,
                or_none(at->change.se));
        bs_print_field(data, label);
        fputc('\n', data);
    }
    fputs(by->count ? "\n\n" : "nan\tnan\tnan\tnan\tnan\tnan\tnan\tnan\tnan\t\n\n\n", data);
}

/* Room for all values, and for their errors where these are no larger than what the values span: a
 * few windows say little of one position. */
static struct bs_axis_range value_range(const struct curves *curves, bool exponential)
{
    struct bs_axis_range values = {(double)NAN, (double)NAN}, all;
    for (int c = 0; c <= curves->of.count; c++)
        for (int i = 0; i < curves->by[c].count; i++)
            bs_axis_range_widen(&values, curves->by[c].at[i].value.mean);
    all = values;
    double low = exponential ? values.low / 1.5 : values.low - (values.high - values.low);
    double high = exponential ? values.high * 1.5 : values.high + (values.high - values.low);
    for (int c = 0; c <= curves->of.count; c++)
        for (int i = 0; i < curves->by[c].count; i++) {
            struct bs_axis_range range = about(&curves->by[c].at[i].value, exponential);
            bs_axis_range_widen(&all, fmax(range.low, low));
            bs_axis_range_widen(&all, fmin(range.high, high));
        }
    return all;
}

static void widen(struct bs_axis_range *range, const struct bs_mean *mean)
{
    if (isnan(mean->mean))
        return;
    bs_axis_range_widen(range, mean->mean - or_none(mean->se));
    bs_axis_range_widen(range, mean->mean + or_none(mean->se));
}

static void print_script(const struct curves *curves, bool exponential, const struct bs_plot *plot)
{
    FILE *script = plot->script;
    const double none = (double)NAN;
    struct bs_axis_range changes = {0, 0}, positions = {none, none};
    bool changed = false;
    for (int c = 0; c <= curves->of.count; c++)
        for (int i = 0; i < curves->by[c].count; i++) {
            const struct bs_at_position *at = &curves->by[c].at[i];
            widen(&changes, &at->change);
            changed = changed || !isnan(at->change.mean);
            bs_axis_range_widen(&positions, at->at.first);
            bs_axis_range_widen(&positions, at->at.last);
        }
    bs_script_lines(plot, &curves->of, changed ? "unquantized" : NULL);
    bs_script_range(script, "Y", value_range(curves, exponential));
    bs_script_range(script, "CHANGE", changes);
    fprintf(script, "CHANGES = %d\nX_LOW = %g\nX_HIGH = %g\n", changed, positions.low / 1.15,
            positions.high * 1.15);
}

static enum bs_status read_curves(const struct bs_by_position_what *what, struct curves *curves,
                                  struct bs_error *err)
{
    curves->by[0].count = 0;
    enum bs_status status = BS_OK;
    if (curves->unquantized)
        status = bs_by_position_read(curves->unquantized, NULL, what, &curves->by[0], err);
    for (int line = 0; line < curves->of.count && !status; line++)
        status = bs_by_position_read(curves->of.rows[line], curves->unquantized, what,
                                     &curves->by[1 + line], err);
    return status;
}

enum bs_status bs_plot_positions(struct bs_plot *plot, struct bs_error *err)
{
    struct bs_by_position_what what;
    if (!bs_by_position_find(plot->asked, &what))
        return bs_by_position_unknown(plot->asked, err);
    struct curves *curves = bs_calloc(1, sizeof *curves);
    if (!curves)
        return bs_fail_memory(err);
    bool compares = bs_figure_types[what.figure].compares;
    curves->unquantized = compares ? NULL : plot->unquantized;
    bs_chart_lines_choose(plot, &curves->of);
    enum bs_status status = read_curves(&what, curves, err);
    if (!status) {
        fprintf(plot->data,
                "# position\tfirst\tlast\t%s\tse\tlow\thigh\t%s_change\tchange_se\tlabel\n",
                what.name, bs_figure_types[what.figure].name);
        print_curve(plot->data, &curves->by[0], what.exponential, "unquantized");
        for (int line = 0; line < curves->of.count; line++)
            print_curve(plot->data, &curves->by[1 + line], what.exponential,
                        curves->of.rows[line]->label);
        print_script(curves, what.exponential, plot);
        bs_script_value_name(plot->script, "POSITION_VALUE", what.name);
        bs_script_value_name(plot->script, "CHANGE_VALUE", bs_figure_types[what.figure].name);
    }
    bs_free(curves);
    return status;
}
