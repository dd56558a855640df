/* The arithmetic that a walk asks for, whatever a program does beyond it. T tokens of calibration
 * in windows, L blocks, W [out][in] the linears, a set the linears with one input:
 *   one pass            2 T out in over a block's linears + 2 T tokens heads head_dim for
 *                       attention, which is the lower triangle of q k^T and of p v, each counted
 *                       once; without down_proj where only the inputs of linears are wanted
 *   statistics X^T X    T in (in + 1) a set: one triangle
 * smoothquant           one pass of each block, of the last for its inputs
 * gptq                  two passes (for the inputs of the block as it is, for the outputs of the
 *                       rounded one, but for the last) + X^T X of each set + its factor
 *                       (Cholesky, inverse: 2/3 in^3) + out in^2 a linear, each column's error
 *                       carried to the columns behind it
 * awq                   the passes of smoothquant + for each set that is scaled and looked at
 *                       through a module, grid + 1 passes of T through this module; for each that
 *                       is looked at on its own, X^T X and grid times dW (X^T X) dW^T, one triangle
 *                       of it; + clipping, for each linear but q and k, X^T X of the sampled inputs
 *                       group by group and steps times dw (X^T X) dw^T
 * Evaluation is counted by bs_walk_evaluation_flops: one pass and the head. */
#include "tests/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/run/walk_cost.h"

/* One block, and what runs through it. */
struct counted {
    const struct bs_architecture *a;
    double windows, window_tokens, tokens;
};

static double linear_flops(const struct counted *c, enum bs_role role)
{
    if (!bs_has_role(c->a, role))
        return 0;
    return 2 * c->tokens * bs_out_features(c->a, role) * bs_in_features(c->a, role);
}

static double attention_flops(const struct counted *c)
{
    return 2 * c->tokens * c->window_tokens * c->a->num_heads * c->a->head_dim;
}

static double linears_flops(const struct counted *c, enum bs_role first, enum bs_role last)
{
    double flops = 0;
    for (int r = (int)first; r <= (int)last; r++)
        flops += linear_flops(c, (enum bs_role)r);
    return flops;
}

static double module_flops(const struct counted *c, enum bs_module module)
{
    if (module == BS_MODULE_ATTENTION)
        return linears_flops(c, BS_Q, BS_O) + attention_flops(c);
    if (module == BS_MODULE_MLP)
        return linears_flops(c, BS_GATE, BS_DOWN);
    return linears_flops(c, BS_Q, BS_DOWN) + attention_flops(c);
}

static double gram_flops(const struct counted *c, double in) { return c->tokens * in * (in + 1); }

static double gptq_flops(const struct counted *c)
{
    double flops = 0;
    for (int s = 0; s < c->a->num_sets; s++) {
        const struct bs_set *set = &c->a->sets[s];
        double in = bs_in_features(c->a, set->linears[0]);
        flops += gram_flops(c, in) + in * in * in * 2 / 3;
        for (int k = 0; k < set->num_linears; k++)
            flops += bs_out_features(c->a, set->linears[k]) * in * in;
    }
    return flops;
}

/* The value that an option of the stage has. */
static double option(const struct bs_stage *stage, const char *name)
{
    char text[32];
    bs_option_print(bs_option_find(stage->algorithm->options, name), stage->options, text,
                    sizeof text);
    return strtod(text, NULL);
}

/* Whether AWQ scales the set (algorithms/awq.c has the authors' rule). */
static bool is_scaled(const struct bs_architecture *a, const struct bs_set *set)
{
    if (set->before != BS_BEFORE_LINEAR)
        return set->before != BS_BEFORE_NOTHING;
    enum bs_role before = set->previous, after = set->linears[0];
    if (after == BS_O)
        return bs_out_features(a, before) == bs_out_features(a, after) &&
               bs_in_features(a, before) == bs_in_features(a, after);
    return bs_out_features(a, before) == bs_in_features(a, after);
}

static double scale_flops(const struct counted *c, const struct bs_set *set, double grid)
{
    double in = bs_in_features(c->a, set->linears[0]);
    if (!is_scaled(c->a, set))
        return 0;
    if (set->module != BS_MODULE_LINEAR)
        return (grid + 1) * module_flops(c, set->module);
    return gram_flops(c, in) + grid * bs_out_features(c->a, set->linears[0]) * in * (in + 1);
}

static double awq_flops(const struct counted *c, const struct bs_stage *stage,
                        const struct bs_format *weights)
{
    double grid = option(stage, "scale_grid"),
           sampled = fmin(option(stage, "clip_tokens"), c->tokens);
    double steps = floor(option(stage, "clip_grid") * option(stage, "clip_max_shrink"));
    double flops = 0;
    for (int s = 0; s < c->a->num_sets; s++)
        flops += scale_flops(c, &c->a->sets[s], grid);
    for (int r = 0; r < BS_NUM_ROLES; r++) {
        enum bs_role role = (enum bs_role)r;
        if (!bs_has_role(c->a, role) || role <= (c->a->family->fused_qkv ? BS_V : BS_K))
            continue;
        double in = bs_in_features(c->a, role), out = bs_out_features(c->a, role);
        double columns = weights->group_size > 0 ? fmin(weights->group_size, in) : in;
        flops += sampled * in * columns + steps * 2 * out * in * columns;
    }
    return flops;
}

double bench_quantize_flops(const struct bs_walk *walk, const struct bs_recipe *recipe)
{
    if (!bs_recipe_needs_calibration(recipe))
        return 0;
    const struct bs_architecture *a = bs_model_architecture(walk->model);
    const struct bs_stage *stage = &recipe->stages[0];
    struct counted c = {
        .a = a, .windows = walk->calibration->windows, .window_tokens = walk->calibration->tokens};
    c.tokens = c.windows * c.window_tokens;
    int layers = a->num_layers;
    double outputs = bs_walk_calibration_flops(walk) / layers;
    double inputs = outputs - linear_flops(&c, BS_DOWN);
    double flops = (layers - 1) * outputs + inputs;
    if (!strcmp(stage->algorithm->name, "gptq"))
        flops += layers * gptq_flops(&c) + (layers - 1) * inputs;
    if (!strcmp(stage->algorithm->name, "awq"))
        flops += layers * awq_flops(&c, stage, &recipe->weights);
    return flops;
}
