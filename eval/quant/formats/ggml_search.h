/* ggml's searches for scales, in float32 in the order of its own sums (ggml-org/ggml
 * src/ggml-quants.c at d99724f2). Blocks are searched side by side, a lane each, which changes
 * nothing of a block's own order: value i of lane l is x[i][l]. */
#ifndef BS_EVAL_QUANT_FORMATS_GGML_SEARCH_H
#define BS_EVAL_QUANT_FORMATS_GGML_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "eval/quant/formats/ggml_codes.h"

enum { BS_GGML_LANES = 16, BS_GGML_MOST_BLOCK = 32 };

/* A value of each lane; and the blocks themselves. */
struct bs_ggml_lanes {
    float v[BS_GGML_LANES];
};
struct bs_ggml_blocks {
    struct bs_ggml_lanes x[BS_GGML_MOST_BLOCK];
};

/* The codes of blocks. */
struct bs_ggml_codes {
    uint8_t q[BS_GGML_MOST_BLOCK][BS_GGML_LANES];
};

/* A grid of scales for codes 0 to `most`: (most + from + k step) / width, k = 0 to steps. */
struct bs_ggml_grid {
    int most, steps;
    float from, step;
    bool absolute; /* errors count by |error|, not by its square */
};

/* The loops of a level. */
struct bs_ggml_loops {
    /* The blocks of n values from x on, one after the other; beyond `count` of them zeros. */
    void (*gather)(const float *x, int n, int count, struct bs_ggml_blocks *to);

    /* The codes of `count` blocks of n, back in their order. */
    void (*scatter)(const struct bs_ggml_codes *codes, int n, int count, uint8_t *to);

    /* Scales and codes 0 to 2 most - 1, which stand for -most to most - 1: the scale of least
     * weighted square error among those of the codes that 19 scales give (make_qx_quants). */
    void (*symmetric)(int n, int most, const struct bs_ggml_blocks *x,
                      const struct bs_ggml_blocks *weights, struct bs_ggml_lanes *scale,
                      struct bs_ggml_codes *codes);

    /* The same of one block of n; returns the scale. */
    float (*symmetric_one)(int n, int most, const float *x, const float *weights, uint8_t *codes);

    /* The same, weighted by x^2, from one scale's codes by changing one at a time
     * (make_q3_quants). */
    void (*descend)(int n, int most, const struct bs_ggml_blocks *x, struct bs_ggml_lanes *scale,
                    struct bs_ggml_codes *codes);

    /* Scales, minima (what is subtracted, so at least 0) and codes of values of both signs: from
     * each scale's codes the least squares fit of both (make_qkx2_quants, make_qkx3_quants). */
    void (*affine)(int n, const struct bs_ggml_grid *grid, const struct bs_ggml_blocks *x,
                   const struct bs_ggml_blocks *weights, struct bs_ggml_lanes *scale,
                   struct bs_ggml_lanes *minimum, struct bs_ggml_codes *codes);

    /* Codes 0 to `most` of n values that are at least 0, a super-block's scales; returns their
     * scale (make_qp_quants). */
    float (*positive)(int n, int most, const float *x, const float *weights, uint8_t *codes);

    /* The scales of codes by the table, found among 15 and one more (quantize_row_iq4_nl_impl). */
    void (*table)(int n, const struct bs_ggml_blocks *x, const struct bs_ggml_blocks *weights,
                  struct bs_ggml_lanes *scale);

    /* The sum of x^2, one after the other. */
    float (*sum_squares)(const float *x, int n);

    /* to[j] = importance[j] sqrt(sigma2 + x[j]^2). */
    void (*weigh)(const float *x, const float *importance, float sigma2, int n, float *to);
};
extern const struct bs_ggml_loops *const bs_ggml_loops[BS_NUM_ISA];

/* Those of the level in use. */
static inline const struct bs_ggml_loops *bs_ggml(void) { return bs_ggml_loops[bs_isa()]; }

#endif
