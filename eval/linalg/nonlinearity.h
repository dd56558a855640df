/* The functions between a model's matrices, by the names that transformers has for them. */
#ifndef BS_EVAL_LINALG_NONLINEARITY_H
#define BS_EVAL_LINALG_NONLINEARITY_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/isa.h"

/* Formulas: nonlinearity_isa.c. */
enum bs_nonlinearity {
    BS_SILU,
    BS_GELU,
    BS_GELU_TANH,
    BS_GELU_10,
    BS_QUICK_GELU,
    BS_RELU,
    BS_RELU_SQUARED,
    BS_RELU_6,
    BS_LEAKY_RELU,
    BS_HARD_SWISH,
    BS_MISH,
    BS_SIGMOID,
    BS_SQRT_SOFTPLUS,
    BS_TANH,
    BS_LAPLACE,
    BS_LINEAR,
    BS_NUM_NONLINEARITIES
};

/* The loops of a level: x[i] = f(x[i]) for each f, and gate[i] *= up[i]. */
struct bs_nonlinearity_loops {
    void (*apply[BS_NUM_NONLINEARITIES])(float *x, size_t count);
    void (*times)(const float *up, float *gate, size_t count);
};
extern const struct bs_nonlinearity_loops *const bs_nonlinearity_loops[BS_NUM_ISA];

/* False where no function has this name ("gelu_new", "relu2"); name may be NULL. */
bool bs_nonlinearity_find(const char *name, enum bs_nonlinearity *f);

/* The names one by one; NULL after the last. */
const char *bs_nonlinearity_name(int index);

/* True where f(c x) = c f(x) for every c > 0, so that a factor passes through. */
bool bs_nonlinearity_passes_factors(enum bs_nonlinearity f);

/* x[i] = f(x[i]). */
void bs_nonlinearity_apply(enum bs_nonlinearity f, float *x, size_t count);

/* gate[i] = f(gate[i]) * up[i]. */
void bs_nonlinearity_times(enum bs_nonlinearity f, float *gate, const float *up, size_t count);

#endif
