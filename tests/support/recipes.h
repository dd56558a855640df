/* Recipes as a test writes them. */
#ifndef BS_TESTS_SUPPORT_RECIPES_H
#define BS_TESTS_SUPPORT_RECIPES_H

#include "eval/recipe/recipe.h"

/* recipe_build(&recipe, "smoothquant gptq", "bits=4 a.bits=8 percdamp=0.1"): the algorithms of the
 * chain; settings whose name is an option of the weights, after "a." of the activations (a.where is
 * "inputs,qkv"), after "kv." of keys and values in a cache, else of the recipe or of a step; after
 * "@*.down_proj" or "@a.down_input" those of an exception. Resolved. Fails the test where anything
 * is refused. */
void recipe_build(struct bs_recipe *recipe, const char *chain, const char *settings);

/* The same, without resolving: for what resolving is to refuse. */
void recipe_build_unresolved(struct bs_recipe *recipe, const char *chain, const char *settings);

/* What one of the recipe's print functions prints, cut to size; and the label. */
void recipe_text(const struct bs_recipe *recipe,
                 void (*print)(const struct bs_recipe *recipe, FILE *out), char *text, size_t size);
void recipe_label(const struct bs_recipe *recipe, char *label, size_t size);

#endif
