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

/* The largest of choice among those whose weight is not set, -1; the first of equals. */
static int next_largest(const float *choice, const float *weights, int count)
{
    int best = -1;
    for (int i = 0; i < count; i++)
        if (weights[i] < 0 && (best < 0 || choice[i] > choice[best]))
            best = i;
    return best;
}

/* What a group of experts is chosen by: its largest, or the sum of its two largest. */
static float group_score(const float *choice, int count, bool of_two)
{
    int best = 0, second = -1;
    for (int i = 1; i < count; i++) {
        bool better = choice[i] > choice[best];
        second = better ? best : second < 0 || choice[i] > choice[second] ? i : second;
        best = better ? i : best;
    }
    return choice[best] + (of_two && second >= 0 ? choice[second] : 0);
}

/* Experts of groups that are not among the best are not chosen from now on. */
static void keep_groups(const struct bs_experts *e, float *choice)
{
    float scores[BS_MAX_EXPERTS], taken[BS_MAX_EXPERTS];
    int size = e->count / e->groups;
    for (int g = 0; g < e->groups; g++) {
        scores[g] = group_score(choice + g * size, size, e->routing == BS_ROUTE_SIGMOID);
        taken[g] = -1;
    }
    for (int k = 0; k < e->groups_per_token; k++)
        taken[next_largest(scores, taken, e->groups)] = 1;
    for (int i = 0; i < e->count; i++)
        choice[i] = taken[i / size] < 0 ? -INFINITY : choice[i];
}

/* What experts are chosen by, and what the chosen ones' weights are made of. Without a correction
 * both functions only rise: products choose, also where float32 rounds sigmoids to the same. */
static void score(const struct bs_experts *e, const float *correction, const float *products,
                  float *choice, float *scores)
{
    float most = largest(products, e->count);
    for (int i = 0; i < e->count; i++) {
        scores[i] = e->routing == BS_ROUTE_SIGMOID ? 1 / (1 + bs_expf(-products[i]))
                                                   : bs_expf(products[i] - most);
        choice[i] = correction ? scores[i] + correction[i] : products[i];
    }
}

void bs_experts_route(const struct bs_experts *e, const float *correction, const float *products,
                      float *weights)
{
    int chosen[BS_MAX_EXPERTS];
    float choice[BS_MAX_EXPERTS], scores[BS_MAX_EXPERTS], all = 0, sum = 0;
    bool sigmoid = e->routing == BS_ROUTE_SIGMOID;
    score(e, correction, products, choice, scores);
    if (e->groups > 1)
        keep_groups(e, choice);
    for (int i = 0; i < e->count; i++)
        weights[i] = -1;
    for (int k = 0; k < e->per_token; k++) {
        chosen[k] = next_largest(choice, weights, e->count);
        weights[chosen[k]] = scores[chosen[k]];
        sum += weights[chosen[k]];
    }
    for (int i = 0; i < e->count; i++)
        all += scores[i];
    bool of_chosen = e->routing == BS_ROUTE_SOFTMAX_CHOSEN;
    for (int k = 0; k < e->per_token; k++) {
        float *weight = &weights[chosen[k]];
        if (of_chosen || e->normed)
            *weight /= sigmoid ? sum + 1e-20f : sum;
        else if (!sigmoid)
            *weight /= all;
        *weight *= e->scale > 0 ? e->scale : 1;
    }
}
