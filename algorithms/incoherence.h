/* Random orthogonal matrices that are products of two sparse ones, as QuIP draws them (method.py,
 * rand_ortho_butterfly and its variants): with n = p q, all factors of n dealt out to the two, the
 * channels are permuted, then mixed p at a time, then q at a time, then permuted. */
#ifndef BS_ALGORITHMS_INCOHERENCE_H
#define BS_ALGORITHMS_INCOHERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/base/error.h"

/* How a matrix is drawn. */
enum bs_projection {
    BS_PROJECT_NOT,        /* the unit matrix */
    BS_PROJECT_BLOCKS,     /* each p, or q, channels by a matrix of their own */
    BS_PROJECT_KRONECKER,  /* all by the same two: their Kronecker product */
    BS_PROJECT_UNPERMUTED, /* as blocks, without the permutations */
};

/* An orthogonal matrix U [n][n]. */
struct bs_projector {
    int n;
    int factors[2];   /* p, q */
    int *orders[2];   /* [n] which channel comes where, before and after; NULL = as it is */
    float *blocks[2]; /* [n / factor][factor][factor], or one where all are the same; NULL = none */
    bool same;        /* they are */
};

/* Draws one from a seed: blocks uniform among rotations, permutations among permutations. Release
 * it either way. BS_ENOMEM. */
enum bs_status bs_projector_init(struct bs_projector *projector, enum bs_projection how, int n,
                                 uint32_t seed, struct bs_error *err);
void bs_projector_release(struct bs_projector *projector);

/* x [n][length] = U x, or U^T x. On all threads, with the same bits on any number: not to be called
 * from a bs_parallel task. BS_ENOMEM. */
enum bs_status bs_project(const struct bs_projector *projector, bool transposed, float *x,
                          int length, struct bs_error *err);

/* Floats that drawing and applying it take at most, of n channels. */
double bs_projector_floats(enum bs_projection how, int n);

/* Multiply-adds times two of U x for one x. */
double bs_project_flops(enum bs_projection how, int n);

#endif
