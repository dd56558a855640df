/* Hadamard transforms. */
#ifndef BS_EVAL_LINALG_HADAMARD_H
#define BS_EVAL_LINALG_HADAMARD_H

#include <stdbool.h>

#include "eval/base/isa.h"

/* The loop of a level, as bs_hadamard; core [k][k], what the power of two is multiplied by. */
struct bs_hadamard_loops {
    void (*transform)(float *x, int n, int length, const float *core, int k, bool transposed);
};
extern const struct bs_hadamard_loops *const bs_hadamard_loops[BS_NUM_ISA];

/* The largest order of a core. */
enum { BS_HADAMARD_CORE = 172 };

/* The order k of the core of a transform of n channels, 1 for a power of two; 0 where there is
 * none. n = k 2^m, with k the first of 172, 156, 140, 108, 60, 52, 36, 28, 40, 20 and 12 that
 * leaves a power of two, as in QuaRot's get_hadK; else the least k up to BS_HADAMARD_CORE that
 * Paley's constructions have. */
int bs_hadamard_core(int n);

/* True where there is a transform of this size. */
bool bs_hadamard_takes(int n);

/* x [n][length] = H x, H [n][n] = (C (x) S) / sqrt(n): S Sylvester's matrix of the power of two, C
 * the core of order k; H is orthogonal, and symmetric where k is 1. In place; the order of the sums
 * is always the same. */
void bs_hadamard(float *x, int n, int length);

/* x = H^T x, which takes the above back. */
void bs_hadamard_back(float *x, int n, int length);

#endif
