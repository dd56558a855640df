/* The grids of a config's `sweep:`, multiplied out into recipes. */
#ifndef BS_EVAL_CONFIG_SWEEP_H
#define BS_EVAL_CONFIG_SWEEP_H

#include "eval/config/load.h"

enum { BS_MAX_RECIPES = 10000 };

/* Expands `sweep` into the config's recipes: the unquantized model, then each grid's product in the
 * order of the file, the last axis fastest, recipes that do the same once, for the models of every
 * grid that has them. The config's models are read. What is wrong with the grids goes to the
 * report; the return value is BS_OK or BS_ENOMEM, and then the config has no recipes. */
enum bs_status bs_sweep_expand(struct bs_load *load, const struct bs_yaml_node *sweep,
                               bool has_calibration);
void bs_recipes_free(struct bs_recipe *recipes, int num_recipes);

#endif
