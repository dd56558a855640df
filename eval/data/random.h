/* The random numbers of the papers' codes: CPython's `random` module (MT19937 seeded by
 * init_by_array, and randint on top of it), torch's of the same kind, and the permutations of
 * numpy's default generator. */
#ifndef BS_EVAL_DATA_RANDOM_H
#define BS_EVAL_DATA_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

/* Python's generator, the Mersenne twister MT19937. */
struct bs_random {
    uint32_t state[624];
    int next;
};

/* random.seed(seed) for a seed of 0 to 2^31 - 1. */
void bs_random_seed(struct bs_random *random, uint32_t seed);

/* torch.manual_seed(seed) of the same generator; and torch.randint(0, 2, (count,)) of it. */
void bs_random_seed_torch(struct bs_random *random, uint32_t seed);
void bs_random_bits(struct bs_random *random, int count, unsigned char *bits);

/* torch.randn(count, dtype=torch.float64) of that generator, for a count of 16 and more; of fewer
 * the first of 16. The same within 1e-15: logarithm, sine and cosine are ours. */
void bs_random_normals(struct bs_random *random, size_t count, double *normals);

/* random.randint(low, high), both ends included, high - low below 2^32 - 1. */
int64_t bs_random_int(struct bs_random *random, int64_t low, int64_t high);

/* drawn[0 .. k) = random.sample(range(n), k), k from 0 to n (Lib/random.py of CPython 3.11).
 * BS_ENOMEM. */
enum bs_status bs_random_sample(struct bs_random *random, int n, int k, int *drawn,
                                struct bs_error *err);

/* order[0 .. count) = numpy.random.default_rng(seed).permutation(count), for a seed of 0 to 2^32 -
 * 1. / */
void bs_permutation(uint32_t seed, uint32_t *order, uint32_t count);

#endif
