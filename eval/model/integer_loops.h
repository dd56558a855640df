/* The loops of integer.c as the levels of eval/base/isa.h have them. */
#ifndef BS_EVAL_MODEL_INTEGER_LOOPS_H
#define BS_EVAL_MODEL_INTEGER_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/isa.h"

/* What the outputs' sums are corrected and scaled by, an entry an output; integers modulo 2^32. */
struct bs_integer_outputs {
    size_t count;
    const float *scale, *bias; /* bias may be NULL */
    const uint32_t *shift;     /* the middle of the codes less the zero point */
    const uint32_t *sum;       /* of codes less the zero point */
};

/* A row of inputs: its scale, and sum and zero point of its codes. */
struct bs_integer_row {
    float scale;
    uint32_t sum, zero_point;
};

/* The loops of a level. */
struct bs_integer_loops {
    /* y [count] of a row, whose sums of products are given. */
    void (*finish)(const struct bs_integer_outputs *outputs, const struct bs_integer_row *row,
                   const int32_t *products, float *y);
    uint32_t (*sum_codes)(const uint8_t *codes, size_t count);
};
extern const struct bs_integer_loops *const bs_integer_loops[BS_NUM_ISA];

#endif
