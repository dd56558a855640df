/* What is measured at a token: its negative log-likelihood, and how far a model's distribution of
 * the next token is from the unquantized model's. All in nats; log-softmax in double with the
 * maximum subtracted. */
#ifndef BS_EVAL_METRICS_TOKEN_METRICS_H
#define BS_EVAL_METRICS_TOKEN_METRICS_H

#include <stdint.h>

/* The unquantized model's distribution at one position. */
struct bs_reference {
    const float *logits; /* [vocab_size] */
    const double *p;     /* [vocab_size] */
    double log_sum;      /* log sum exp(logits) */
    int top;             /* first index of the largest logit */
};

/* Fills p [vocab_size] and the reference from logits; both stay the caller's. */
struct bs_reference bs_reference_of(const float *logits, int vocab_size, double *p);

struct bs_token {
    float nll;        /* -log q(target) */
    float kld;        /* sum p (log p - log q) */
    uint8_t same_top; /* 1 where both models' likeliest token (first of equals) is the same */
};

/* Measures a model with these logits at the same position. */
struct bs_token bs_token_measure(const struct bs_reference *reference, const float *logits,
                                 int vocab_size, int target);

#endif
