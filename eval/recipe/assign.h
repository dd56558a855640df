/* A recipe's rules at the places of a model. */
#ifndef BS_EVAL_RECIPE_ASSIGN_H
#define BS_EVAL_RECIPE_ASSIGN_H

#include "eval/recipe/recipe.h"

/* What each place of a layer gets, of slots and values of the program; a setting that quantizes
 * nothing where it is left as it is. Lent by the recipe. */
struct bs_assignment {
    const struct bs_setting *weights[BS_MAX_SLOTS];
    const struct bs_setting *sites[BS_MAX_VALUES];
};

/* Refuses rules that cannot hold in this model: one that names no place of it, with what was
 * perhaps meant, or that parts linears which share one scale. BS_ECONFIG, and then *rule is the
 * exception in question (the last one where several meet), NULL for the recipe's own `where`;
 * BS_ENOMEM. */
enum bs_status bs_recipe_check_places(const struct bs_recipe *recipe,
                                      const struct bs_architecture *architecture,
                                      const struct bs_rule **rule, struct bs_error *err);

/* The settings of one layer's places. */
void bs_recipe_assign(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                      int layer, struct bs_assignment *assignment);

#endif
