/* The products of bytes.h as the levels of eval/base/isa.h have them. */
#ifndef BS_EVAL_LINALG_BYTES_LOOPS_H
#define BS_EVAL_LINALG_BYTES_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/isa.h"

/* Steps of k whose rows of A and columns of B stay near while they are multiplied; with fewer, sums
 * would go to memory and back more often. */
enum { BS_BYTES_BLOCK = 2048 };

/* A way to multiply bytes. B is laid out in panels of `columns` of its rows: a block of k has its
 * panels one after the other, each of them [steps / together][columns][together], the steps and the
 * last panel filled up with zeros. */
struct bs_bytes_kernel {
    int columns, together; /* 0 columns: the level has no such kernel */
    size_t number;         /* bytes of one of B in a panel */
    /* B [n][k] into panels. */
    void (*pack)(int n, int k, const int8_t *b, void *panels);
    /* C [rows][n] = A [rows][k] B^T. `room`: rows * BS_BYTES_BLOCK numbers. */
    void (*multiply)(int rows, int n, int k, const uint8_t *a, const void *panels, void *room,
                     int32_t *c);
};

/* The kernels of a level: that of multiply-adds of pairs of 16 bits, and that of four bytes each by
 * AVX-512 VNNI, which not every processor of its level has. */
struct bs_bytes_loops {
    struct bs_bytes_kernel pairs, fours;
};
extern const struct bs_bytes_loops *const bs_bytes_loops[BS_NUM_ISA];

#endif
