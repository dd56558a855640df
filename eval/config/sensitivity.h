/* Grids that quantize one place at a time. */
#ifndef BS_EVAL_CONFIG_SENSITIVITY_H
#define BS_EVAL_CONFIG_SENSITIVITY_H

#include "eval/config/load.h"

/* Reads `sensitivity:` of a grid, and its `budget:` (NULL = none): everything but recipe, grid and
 * models. False after a report. */
bool bs_sensitivity_read(struct bs_load *load, const struct bs_yaml_node *node,
                         const struct bs_yaml_node *budget, struct bs_spread_config *spread);

/* The evaluation by which a budget is shared out: the first that is measured. An index. */
int bs_sensitivity_text(const struct bs_config *config, const struct bs_spread_config *spread);

/* Why a resolved recipe cannot quantize one place at a time; NULL where it can. */
const char *bs_sensitivity_refuses(const struct bs_recipe *recipe);

/* Gives back the points of grids with `sensitivity:`. */
void bs_spreads_free(struct bs_spread_config *spreads, int num_spreads);

#endif
