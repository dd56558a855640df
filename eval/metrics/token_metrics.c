#include "eval/metrics/token_metrics.h"

#include <math.h>
#include <stddef.h>

#include "eval/linalg/vector.h"

static int first_largest(const float *x, int count, float largest)
{
    for (int i = 0; i < count; i++)
        if (x[i] == largest)
            return i;
    return 0;
}

static double log_sum_exp(const float *logits, int count, float *largest)
{
    float low;
    bs_min_max(logits, (size_t)count, &low, largest);
    return (double)*largest + log(bs_sum_exp(logits, (size_t)count, (double)*largest));
}

struct bs_reference bs_reference_of(const float *logits, int vocab_size, double *p)
{
    struct bs_reference reference = {.logits = logits, .p = p};
    float largest;
    reference.log_sum = log_sum_exp(logits, vocab_size, &largest);
    reference.top = first_largest(logits, vocab_size, largest);
    bs_exp_to_double(logits, (size_t)vocab_size, reference.log_sum, p);
    return reference;
}

struct bs_token bs_token_measure(const struct bs_reference *reference, const float *logits,
                                 int vocab_size, int target)
{
    float largest;
    double log_sum = log_sum_exp(logits, vocab_size, &largest);
    /* sum p (log p - log q) with both normalisers taken out of the sum. */
    double apart =
        bs_weighted_difference(reference->p, reference->logits, logits, (size_t)vocab_size);
    return (struct bs_token){
        .nll = (float)(log_sum - (double)logits[target]),
        .kld = (float)(apart - reference->log_sum + log_sum),
        .same_top = first_largest(logits, vocab_size, largest) == reference->top,
    };
}
