/* CPython's `random` module: MT19937 seeded by init_by_array, and randint on top of it. */
#ifndef BS_EVAL_DATA_RANDOM_H
#define BS_EVAL_DATA_RANDOM_H

#include <stdint.h>

struct bs_random {
    uint32_t state[624];
    int next;
};

/* random.seed(seed) for a seed of 0 to 2^31 - 1. */
void bs_random_seed(struct bs_random *random, uint32_t seed);

/* random.randint(low, high), both ends included, high - low below 2^32 - 1. */
int64_t bs_random_int(struct bs_random *random, int64_t low, int64_t high);

#endif
