/* Adding an algorithm is its file and one line here. */
#include "algorithms/algorithm.h"

#include <string.h>

#define ALGORITHMS(X)                                                                              \
    X(rtn)                                                                                         \
    X(gptq)                                                                                        \
    X(awq)                                                                                         \
    X(smoothquant)                                                                                 \
    X(outliers)

#define DECLARE(a) extern const struct bs_algorithm bs_alg_##a;
#define ENTRY(a) &bs_alg_##a,

ALGORITHMS(DECLARE)

const struct bs_algorithm *const bs_algorithms[] = {ALGORITHMS(ENTRY) NULL};

const struct bs_algorithm *bs_algorithm_find(const char *name)
{
    for (int i = 0; bs_algorithms[i]; i++)
        if (!strcmp(bs_algorithms[i]->name, name))
            return bs_algorithms[i];
    return NULL;
}
