/* The Walsh-Hadamard transform. */
#ifndef BS_EVAL_LINALG_HADAMARD_H
#define BS_EVAL_LINALG_HADAMARD_H

#include <stdbool.h>

#include "eval/base/isa.h"

/* The loop of a level, as bs_hadamard. */
struct bs_hadamard_loops {
    void (*transform)(float *x, int n, int length);
};
extern const struct bs_hadamard_loops *const bs_hadamard_loops[BS_NUM_ISA];

/* True where there is a transform of this size: a power of two. */
bool bs_hadamard_takes(int n);

/* x [n][length] = H x, H [n][n] the Hadamard matrix in Sylvester's order over sqrt(n): symmetric,
 * and its own inverse. In place, n log2(n) additions a column, whose order is always the same. */
static inline void bs_hadamard(float *x, int n, int length)
{
    bs_hadamard_loops[bs_isa()]->transform(x, n, length);
}

#endif
