/* What the algorithms note of each linear as they solve it. */
#include "eval/tasks/metric.h"

enum { DAMPING, DEAD_COLUMNS, TOKENS_SEEN, FALLBACK };
enum { FALLBACKS, ALL_DEAD_COLUMNS };

static const struct bs_value_type linear_types[] = {
    [DAMPING] = {.name = "damping",
                 .unit = "",
                 .meaning = "the share of the mean of the Hessian's diagonal that was added to it"},
    [DEAD_COLUMNS] = {.name = "dead_columns",
                      .unit = "columns",
                      .meaning = "input columns that are always zero"},
    [TOKENS_SEEN] = {.name = "tokens_seen",
                     .unit = "tokens",
                     .meaning = "tokens that the algorithm saw at the linear's input; of an "
                                "expert those that were routed to it; none where it looked "
                                "at none"},
    [FALLBACK] = {.name = "fallback",
                  .direction = -1,
                  .unit = "",
                  .meaning = "1 where the algorithm had to change its plan"},
    {.name = NULL},
};

static const struct bs_value_type types[] = {
    [FALLBACKS] = {.name = "fallbacks",
                   .direction = -1,
                   .unit = "linears",
                   .meaning = "linears for which the algorithm had to change its plan"},
    [ALL_DEAD_COLUMNS] = {.name = "dead_columns",
                          .unit = "columns",
                          .meaning = "input columns that are always zero, over all linears"},
    {.name = NULL},
};

static void linear(const struct bs_metric_linear *l, const double *sums, double *values)
{
    (void)sums;
    values[DAMPING] = l->quantized->damping;
    values[DEAD_COLUMNS] = l->quantized->dead_columns;
    values[TOKENS_SEEN] = l->quantized->rows;
    values[FALLBACK] = l->quantized->fallback;
}

static void model(const struct bs_metric_model *m, const double *sums,
                  const struct bs_linear_total *linear_values, double *values)
{
    (void)m, (void)sums;
    values[FALLBACKS] = linear_values[FALLBACK].sum;
    values[ALL_DEAD_COLUMNS] = linear_values[DEAD_COLUMNS].sum;
}

const struct bs_metric bs_metric_solver = {
    .plugin = {.name = "solver",
               .summary = "what the algorithms note of each linear as they solve it",
               .reference = ""},
    .linear_values = linear_types,
    .values = types,
    .linear = linear,
    .model = model,
};
