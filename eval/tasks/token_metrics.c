#include "eval/tasks/token_metrics.h"

#include <math.h>
#include <stddef.h>

#include "eval/linalg/elementary.h"
#include "eval/linalg/vector.h"

struct bs_distribution bs_distribution_none(void)
{
    return (struct bs_distribution){.highest = -INFINITY, .target = NAN};
}

static int first_largest(const float *x, int count, float largest)
{
    for (int i = 0; i < count; i++)
        if (x[i] == largest)
            return i;
    return 0;
}

double bs_distribution_add(struct bs_distribution *d, const float *logits, int first, int count,
                           int target, double *p)
{
    float largest = bs_max(logits, (size_t)count);
    double factor = 1;
    if (largest > d->highest) {
        factor = bs_exp((double)d->highest - (double)largest);
        d->highest = largest;
        d->top = first + first_largest(logits, count, largest);
        d->sum *= factor;
    }
    d->sum += p ? bs_exp_to_double(logits, (size_t)count, (double)d->highest, p)
                : bs_sum_exp(logits, (size_t)count, (double)d->highest);
    if (target >= first && target < first + count)
        d->target = logits[target - first];
    return factor;
}

void bs_apart_add(double *apart, double factor, const double *p, const float *reference,
                  const float *logits, int count)
{
    *apart = *apart * factor + bs_weighted_difference(p, reference, logits, (size_t)count);
}

double bs_distribution_log_sum(const struct bs_distribution *d)
{
    return (double)d->highest + bs_log(d->sum);
}
