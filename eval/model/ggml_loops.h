/* The loops of ggml.c as the levels of eval/base/isa.h have them. */
#ifndef BS_EVAL_MODEL_GGML_LOOPS_H
#define BS_EVAL_MODEL_GGML_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/isa.h"

/* Sizes of a panel, and of the blocks of inputs. */
enum {
    BS_GGML_COLUMNS = 16, /* outputs of a panel */
    BS_GGML_SHORT = 32,   /* inputs of a block of Q8_0 or Q8_1 */
    BS_GGML_LONG = 256,   /* of Q8_K */
    BS_GGML_SUMMED = 16,  /* codes in one of its sums */
};

/* Weights of BS_GGML_COLUMNS outputs. Whole numbers stand in pairs of columns of the weight, of one
 * output after the other. */
struct bs_ggml_panel {
    int in, group;         /* columns of the weight; those that have one scale */
    int block;             /* columns of a block of the inputs */
    const int16_t *levels; /* [in / 2][outputs][2] */
    const int16_t *minima; /* [in / BS_GGML_SUMMED / 2][outputs][2], or NULL */
    const float *scale;    /* [in / group][outputs] */
    const float *least;    /* [in / block][outputs], or NULL */
};

/* Rows of inputs in blocks. */
struct bs_ggml_inputs {
    int16_t *codes; /* [rows][in] */
    float *scale;   /* [rows][in / block] */
    int16_t *sums;  /* of codes, [rows][in / BS_GGML_SUMMED]: of Q8_K */
    float *total;   /* of values, [rows][in / block]: of Q8_1 */
};

/* The loops of a level. */
struct bs_ggml_product_loops {
    /* Rounds a row's block as ggml does on x86-64: Q8_0's and Q8_1's 32 values to codes and a
     * scale, and the sum of values where `total` is not NULL; Q8_K's 256 to codes, a scale and
     * sums. What is not finite gives a scale of NaN. */
    void (*round_legacy)(const float *x, int16_t *codes, float *scale, float *total);
    void (*round_super)(const float *x, int16_t *codes, float *scale, int16_t *sums);
    /* y [rows] rows of BS_GGML_COLUMNS, `stride` apart = inputs by a panel, in the order of
     * ggml.h. */
    void (*multiply)(const struct bs_ggml_panel *panel, const struct bs_ggml_inputs *x, int rows,
                     float *y, size_t stride);
};
extern const struct bs_ggml_product_loops *const bs_ggml_product_loops[BS_NUM_ISA];

#endif
