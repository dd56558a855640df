/* Which trials of a section a chart draws. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "eval/report/chart_internal.h"
#include "eval/tasks/evaluation.h"

/* True where an earlier row of the results is of this row's group. */
static bool is_drawn_already(const struct bs_results *results, int i)
{
    for (int k = 0; k < i && results->rows[i].calibrations > 1; k++)
        if (bs_rows_group(&results->rows[k], &results->rows[i]) &&
            bs_row_is_done(&results->rows[k]))
            return true;
    return false;
}

enum bs_status bs_plot_choose_rows(struct bs_plot *plot, const struct bs_row *first,
                                   struct bs_row *copies, bool means, struct bs_error *err)
{
    const struct bs_results *results = plot->results;
    for (int i = 0; i < results->num_rows; i++) {
        const struct bs_row *row = &results->rows[i];
        if (!bs_row_is_done(row) || (!plot->of_all && !bs_rows_same_subject(row, first)))
            continue;
        if (plot->of_predictions && bs_evaluation_has_answers(row->evaluation))
            continue;
        if (!strcmp(row->algorithm, "unquantized")) {
            plot->unquantized = row;
            continue;
        }
        copies[i] = *row;
        bool is_mean = means && bs_rows_whole_group(results->rows, results->num_rows, row);
        if (is_mean && is_drawn_already(results, i))
            continue;
        if (is_mean && bs_rows_mean(results->rows, results->num_rows, row, &copies[i], err))
            return err->status;
        if (!means || plot->of_all || (plot->value && isfinite(bs_plot_value(plot, &copies[i]))))
            plot->rows[plot->num_rows++] = &copies[i];
    }
    return BS_OK;
}

void bs_chart_shown(const struct bs_results *results, const struct bs_value_type *value,
                    const char *asked, char out[64])
{
    bool has = false;
    snprintf(out, 64, "%s%s", asked ? asked : value->name, asked ? "" : "_delta");
    for (int i = 0; i < results->num_rows && !has; i++)
        has = bs_row_value(&results->rows[i], NULL, out);
    if (!asked && !has)
        snprintf(out, 64, "%s", value->name);
}

int bs_charts_that_apply(const struct bs_results *results, const char *names[BS_MOST_CHARTS])
{
    static const char of_tasks[] = "acc_vs_bits";
    int count = 0;
    for (int i = 0; bs_chart_names[i] && count + 1 < BS_MOST_CHARTS; i++)
        if (bs_chart_applies(results, bs_chart_names[i]))
            names[count++] = bs_chart_names[i];
    if (bs_chart_applies(results, of_tasks))
        names[count++] = of_tasks;
    return count;
}
