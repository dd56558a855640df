/* The random block of a test program, there from its group's setup to its teardown. */
#ifndef BS_TESTS_SUPPORT_SMALL_BLOCK_H
#define BS_TESTS_SUPPORT_SMALL_BLOCK_H

#include "eval/linalg/blas.h"
#include "tests/support/random_block.h"

/* Of small_shape. */
static struct random_block random_;

static inline int small_block_setup(void **state)
{
    (void)state;
    bs_blas_init();
    random_block_init(&random_, &small_shape);
    return 0;
}

static inline int small_block_teardown(void **state)
{
    (void)state;
    random_block_release(&random_);
    return 0;
}

#endif
