/* The products of product.h as the levels of eval/base/isa.h have them. */
#ifndef BS_EVAL_LINALG_PRODUCT_LOOPS_H
#define BS_EVAL_LINALG_PRODUCT_LOOPS_H

#include <stddef.h>

#include "eval/base/isa.h"
#include "eval/linalg/product.h"

/* Of every level: rows and floats of A and panels of B that are packed at a time, at most, and
 * bounds of what a level's panel of A or B has of rows or columns, and reads beyond. */
enum {
    BS_PRODUCT_ROWS = 512,
    BS_PRODUCT_FLOATS = 192 * 1024,
    BS_PRODUCT_PANELS = 4,
    BS_PRODUCT_MOST_COLUMNS = 32,
    BS_PRODUCT_BEYOND = 16
};

/* One product. Of A and of B one stride is 1. */
struct bs_product {
    int m, n, k;
    float alpha, beta;
    const float *a; /* A[i][p] is a[i * a_row + p * a_step] */
    size_t a_row, a_step;
    const float *b; /* B[p][j] is b[p * b_step + j * b_column]; NULL where B is packed */
    size_t b_step, b_column;
    const float *panels; /* of packed B */
    float *c;
    size_t c_row;
};

/* A thread's own memory for what is packed, and what of C is not finished, while a product runs. */
struct bs_product_room {
    float a[BS_PRODUCT_FLOATS + BS_PRODUCT_BEYOND] __attribute__((aligned(64)));
    float b[BS_PRODUCT_PANELS * BS_PRODUCT_MOST_COLUMNS * BS_PRODUCT_BLOCK]
        __attribute__((aligned(64)));
    float c[BS_PRODUCT_ROWS * BS_PRODUCT_MOST_COLUMNS] __attribute__((aligned(64)));
};

/* What a level has. */
struct bs_product_loops {
    /* Columns of a panel of B. A block of k has its panels one after the other, each of them
     * [steps of the block][columns], the last one filled up with zeros. */
    int columns;
    void (*multiply)(const struct bs_product *product, struct bs_product_room *room);
    /* All panels of B as the product has it: floats for k and for n rounded up to `columns`. */
    void (*pack)(const struct bs_product *product, float *panels);
};

/* By level. */
extern const struct bs_product_loops *const bs_product_loops[BS_NUM_ISA];

#endif
