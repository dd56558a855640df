/* One linear with a Hessian at hand, in the place of q_proj, and what an algorithm makes of it. */
#ifndef BS_TESTS_SUPPORT_ONE_LINEAR_H
#define BS_TESTS_SUPPORT_ONE_LINEAR_H

#include "algorithms/algorithm.h"
#include "eval/recipe/recipe.h"

enum { OUT = 70, IN = 40, TOKENS = 200, SET = 0 };

struct problem {
    struct bs_architecture architecture; /* of which only the input of the linear counts */
    float original[OUT * IN], weight[OUT * IN], hessian[IN * IN];
    float deviation[IN * IN]; /* zero, where a test does not fill it */
    struct bs_linear linears[1];
    struct bs_block block;
    struct bs_collected collected[2]; /* hessian, deviation */
    struct bs_statistics statistics;
    struct bs_recipe recipe;
    float decoded[OUT * IN];
};

/* Random weights, and a Hessian of channels that correlate and differ in size. */
void problem_init(struct problem *p, uint64_t seed);

/* The linear itself. */
const struct bs_linear *linear_of(const struct problem *p);

/* Rounds it by p->recipe; by the chain and the settings of recipe_build; and decodes the codes. */
enum bs_status try_quantize(struct problem *p, struct bs_error *err);
void solve_by(struct problem *p, const char *chain, const char *settings);

/* Gives back all but the problem itself. */
void problem_release(struct problem *p);

/* tr(dW H dW^T) of decoded weights. */
double objective(const struct problem *p, const float *decoded);

#endif
