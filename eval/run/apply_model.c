/* What a recipe does outside the blocks. */
#include "eval/run/apply.h"

#include "eval/recipe/assign.h"

bool bs_apply_embeds_own(const struct bs_recipe *recipe, const struct bs_architecture *architecture)
{
    struct bs_outer_assignment outer;
    bs_recipe_assign_outer(recipe, architecture, &outer);
    return bs_setting_quantizes(outer.of[BS_EMBEDDING]) || bs_recipe_turns(recipe);
}

enum bs_status bs_apply_model(const struct bs_recipe *recipe,
                              const struct bs_architecture *architecture, struct bs_bases *residual,
                              struct bs_error *err)
{
    if (bs_recipe_check_model(recipe, architecture, err))
        return err->status;
    for (int i = 0; i < recipe->num_steps; i++) {
        const struct bs_choice *step = &recipe->steps[i];
        const struct bs_algorithm *algorithm = bs_algorithm_of(step);
        if (algorithm->prepare_model &&
            algorithm->prepare_model(step->options, architecture, residual, err))
            return bs_fail_within(err, "%s", algorithm->plugin.name);
    }
    return BS_OK;
}
