#include "tests/support/one_linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/random_block.h"
#include "tests/support/recipes.h"

const struct bs_linear *linear_of(const struct problem *p) { return &p->block.linears[SLOT_Q]; }

/* Channels that correlate and differ in size: H = 2 / 5 X^T X as of five windows. */
static void fill_hessian(float *hessian, uint64_t seed)
{
    static double x[TOKENS * IN];
    for (int t = 0; t < TOKENS; t++) {
        double common = (double)random_normal(&seed);
        for (int j = 0; j < IN; j++)
            x[t * IN + j] = (j % 7 == 2 ? 3 : 1) * ((double)random_normal(&seed) + common);
    }
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < IN; j++) {
            double sum = 0;
            for (int t = 0; t < TOKENS; t++)
                sum += x[t * IN + i] * x[t * IN + j];
            hessian[i * IN + j] = (float)(0.4 * sum);
        }
}

void problem_init(struct problem *p, uint64_t seed)
{
    memset(p, 0, sizeof *p);
    random_fill(p->original, OUT * IN, 1, seed);
    fill_hessian(p->hessian, seed + 1000);
}

static void collect(struct problem *p, int i, const struct bs_statistic *statistic, float *data)
{
    p->collected[i].wish = (struct bs_wish){.statistic = statistic, .site = SET};
    p->collected[i].of.width = IN;
    p->collected[i].data = data;
}

enum bs_status try_quantize(struct problem *p, struct bs_error *err)
{
    memcpy(p->weight, p->original, sizeof p->weight);
    p->block.linears = p->linears;
    p->block.program = &p->architecture.programs[0];
    p->block.linears[SLOT_Q] = (struct bs_linear){
        .name = "q", .out_features = OUT, .in_features = IN, .weight = p->weight};
    p->architecture.programs[0].slots[SLOT_Q].input = SET;
    p->block.architecture = &p->architecture;
    collect(p, 0, &bs_stat_hessian, p->hessian);
    collect(p, 1, &bs_stat_deviation, p->deviation);
    p->statistics.count = 2;
    p->statistics.collected = p->collected;
    struct bs_job job = {.block = &p->block,
                         .statistics = &p->statistics,
                         .weights = setting_at_slots(&p->recipe.weights)};
    const struct bs_choice *step = &p->recipe.steps[0];
    return bs_algorithm_of(step)->quantize(step->options, &job, SLOT_Q, err);
}

void solve_by(struct problem *p, const char *chain, const char *settings)
{
    struct bs_error err;
    recipe_build(&p->recipe, chain, settings);
    if (try_quantize(p, &err))
        fail_msg("%s %s: %s", chain, settings, err.message);
    if (linear_of(p)->codes.codes)
        bs_codes_decode(&linear_of(p)->codes, p->decoded);
    else
        memcpy(p->decoded, p->weight, sizeof p->decoded);
}

void problem_release(struct problem *p)
{
    bs_codes_release(&p->block.linears[SLOT_Q].codes);
    bs_recipe_release(&p->recipe);
    bs_derived_release(&p->statistics, SET);
}

double objective(const struct problem *p, const float *decoded)
{
    double sum = 0;
    for (int r = 0; r < OUT; r++)
        for (int i = 0; i < IN; i++) {
            double product = 0;
            for (int j = 0; j < IN; j++)
                product += (double)p->hessian[i * IN + j] *
                           ((double)decoded[r * IN + j] - (double)p->original[r * IN + j]);
            sum += product * ((double)decoded[r * IN + i] - (double)p->original[r * IN + i]);
        }
    return sum;
}
