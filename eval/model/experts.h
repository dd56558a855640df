/* The experts of a block: what their places are called, and where tokens go. */
#ifndef BS_EVAL_MODEL_EXPERTS_H
#define BS_EVAL_MODEL_EXPERTS_H

#include "eval/model/model.h"

/* The names of an expert's places, the same in every family. */
struct bs_expert_places {
    const char *gate, *up, *down; /* "mlp.experts.3.gate_proj", ... */
    const char *input;            /* "mlp.experts.3.input", what gate and up read */
    const char *down_input;
};
extern const struct bs_expert_places bs_expert_places[BS_MAX_EXPERTS];

/* Where one token goes: weights [count] of the router's products [count], -1 for experts that it
 * does not go to. Of equal products the first expert's counts as the larger. correction [count]:
 * BS_VECTOR_ROUTING, or NULL. weights may not be products. */
void bs_experts_route(const struct bs_experts *experts, const float *correction,
                      const float *products, float *weights);

#endif
