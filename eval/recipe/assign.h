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

/* What the matrices outside the blocks get: those that an exception names, "embedding" or "head",
 * for what a recipe says of weights is about linears, but for a mix, which has formats for them. Of
 * a model with a tied head (bs_recipe_ties) both names are of one tensor, and a rule for either
 * holds for both uses of it. Lent by the recipe. */
struct bs_outer_assignment {
    const struct bs_setting *of[BS_NUM_OUTER]; /* by enum bs_outer */
};
void bs_recipe_assign_outer(const struct bs_recipe *recipe,
                            const struct bs_architecture *architecture,
                            struct bs_outer_assignment *assignment);

/* Whether embedding and head are one tensor still: a step that changes the basis of the residual
 * stream makes two of it. */
bool bs_recipe_ties(const struct bs_recipe *recipe, const struct bs_architecture *architecture);

/* Weights outside the blocks that the recipe quantizes, a tensor once, and the bits that they take
 * in a file. */
struct bs_outer_size {
    double weights, bits;
};
struct bs_outer_size bs_recipe_outer_size(const struct bs_recipe *recipe,
                                          const struct bs_architecture *architecture);

/* Refuses rules that cannot hold in this model: one that names no place of it, with what was
 * perhaps meant, that parts linears which share one scale, or embedding and head which are one
 * tensor; formats that cannot take a shape; and steps that cannot rewrite the model
 * (BS_EUNSUPPORTED). BS_ECONFIG, and then *rule is the exception in question (the last one where
 * several meet), NULL for the recipe's own `where`; BS_ENOMEM. */
enum bs_status bs_recipe_check_places(const struct bs_recipe *recipe,
                                      const struct bs_architecture *architecture,
                                      const struct bs_rule **rule, struct bs_error *err);

/* Whether a linear shares parameters of a whole matrix with others, by the settings of a layer's
 * slots: those that stand in one tensor of the checkpoint, or that its format fuses. first to last
 * are their slots. */
bool bs_recipe_sharing(const struct bs_program *program, const struct bs_setting *const *weights,
                       int slot, int *first, int *last);

/* The settings of one layer's places. */
void bs_recipe_assign(const struct bs_recipe *recipe, const struct bs_architecture *architecture,
                      int layer, struct bs_assignment *assignment);

#endif
