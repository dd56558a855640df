/* What is measured at a token: its negative log-likelihood, and how far a model's distribution of
 * the next token is from the unquantized model's. The logits of a vocabulary come in runs, so that
 * the whole of them never exists. All in nats; sums in double, with the largest logit so far taken
 * out. */
#ifndef BS_EVAL_TASKS_TOKEN_METRICS_H
#define BS_EVAL_TASKS_TOKEN_METRICS_H

#include <stdint.h>

/* A model's distribution at one position, as far as its logits were seen. */
struct bs_distribution {
    double sum;    /* of exp(logit - highest) */
    float highest; /* logit so far */
    float target;  /* the target's logit, NaN until it was seen */
    int top;       /* first id with the highest logit */
};

/* One of which nothing was seen. */
struct bs_distribution bs_distribution_none(void);

/* Adds the logits [count] of the ids from `first` on, and leaves exp(logit - highest) in p [count]
 * where that is not NULL. Returns what `sum` was multiplied by before that, because the highest
 * logit grew: sums that others keep relative to it need the same. */
double bs_distribution_add(struct bs_distribution *distribution, const float *logits, int first,
                           int count, int target, double *p);

/* apart = sum of exp(l - highest) (l - logit) over the ids so far, l and `highest` the reference's:
 * adds ids whose reference logits [count] were just added to it, with p [count] and `factor` what
 * that left and returned. */
void bs_apart_add(double *apart, double factor, const double *p, const float *reference,
                  const float *logits, int count);

/* log sum of exp(logit), once all were added. */
double bs_distribution_log_sum(const struct bs_distribution *distribution);

/* A model's distribution at a position beside the unquantized model's, and what comes there. */
struct bs_prediction {
    const struct bs_distribution *reference, *own;
    double apart; /* bs_apart_add over all ids */
    int target;
};

#endif
