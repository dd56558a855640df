/* Where tokens go, as transformers' routers have it. Arithmetic is float32 like theirs. */
#include "eval/model/experts.h"

#include <math.h>

#include "eval/linalg/elementary.h"

static float largest(const float *x, int count)
{
    float most = x[0];
    for (int i = 1; i < count; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* The largest of products among those whose weight is not set, -1; the first of equals. */
static int next_largest(const float *products, const float *weights, int count)
{
    int best = -1;
    for (int i = 0; i < count; i++)
        if (weights[i] < 0 && (best < 0 || products[i] > products[best]))
            best = i;
    return best;
}

void bs_experts_route(const struct bs_experts *e, const float *products, float *weights)
{
    int chosen[BS_MAX_EXPERTS];
    float most = largest(products, e->count), all = 0, sum = 0;
    for (int i = 0; i < e->count; i++)
        weights[i] = -1;
    for (int k = 0; k < e->per_token; k++) {
        chosen[k] = next_largest(products, weights, e->count);
        weights[chosen[k]] = bs_expf(products[chosen[k]] - most);
        sum += weights[chosen[k]];
    }
    for (int i = 0; i < e->count; i++)
        all += bs_expf(products[i] - most);
    bool of_chosen = e->routing == BS_ROUTE_SOFTMAX_CHOSEN;
    for (int k = 0; k < e->per_token; k++)
        weights[chosen[k]] /= of_chosen || e->normed ? sum : all;
}
