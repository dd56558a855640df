/* Keys that a family does not read, and yet say what its model is. */
#ifndef BS_EVAL_MODEL_CONFIG_FACTS_H
#define BS_EVAL_MODEL_CONFIG_FACTS_H

#include <jansson.h>

#include "eval/model/model.h"

/* What a key's value says of the architecture. */
enum bs_fact {
    BS_FACT_UNKNOWN, /* a key that says nothing of the kind */
    BS_FACT_SAME,    /* it says what the architecture is */
    BS_FACT_OTHER,   /* it says something else */
};

/* Compares the value of a key, by the name that any family or tool has for it (head_dim, n_head,
 * layer_norm_eps, use_bias, is_causal, ...), with the architecture. */
enum bs_fact bs_config_compare_fact(const struct bs_architecture *a, const char *key,
                                    const json_t *value);

#endif
