/* How a family's config.json is read. Used by families.c and the files that read it. */
#ifndef BS_EVAL_MODEL_FAMILIES_H
#define BS_EVAL_MODEL_FAMILIES_H

#include "eval/model/model.h"

/* What a key of config.json tells. */
enum bs_key {
    BS_KEY_HIDDEN_SIZE,
    BS_KEY_INTERMEDIATE_SIZE,
    BS_KEY_NUM_LAYERS,
    BS_KEY_NUM_HEADS,
    BS_KEY_NUM_KV_HEADS,
    BS_KEY_HEAD_DIM,
    BS_KEY_VOCAB_SIZE,
    BS_KEY_MAX_POSITIONS,
    BS_KEY_EMBEDDING_SIZE,
    BS_KEY_NORM_EPS,
    BS_KEY_ACTIVATION,
    BS_KEY_TIED,
    BS_KEY_ROPE_THETA,
    BS_KEY_LOCAL_ROPE_THETA,
    BS_KEY_ROPE, /* rope_scaling, rope_parameters */
    BS_KEY_ROTARY_SHARE,
    BS_KEY_SLIDING_WINDOW,
    BS_KEY_USE_SLIDING_WINDOW,
    BS_KEY_MAX_WINDOW_LAYERS,     /* layers from this one on have the window */
    BS_KEY_WINDOW_PATTERN,        /* every n-th layer has none */
    BS_KEY_LAYER_TYPES,           /* a word a layer */
    BS_KEY_QUERY_PRE_ATTN_SCALAR, /* attention_scale = this ^ -1/2 */
    BS_KEY_ATTENTION_SOFTCAP,
    BS_KEY_LOGIT_SOFTCAP,
    BS_KEY_BIAS, /* of all linears */
    BS_KEY_ATTENTION_BIAS,
    BS_KEY_MLP_BIAS,
    BS_KEY_PARALLEL,    /* parallel residual */
    BS_KEY_NORM_BEFORE, /* false: post-norm */
    BS_KEY_NO_FINAL_NORM,
    BS_KEY_MULTI_QUERY, /* one key-value head, whatever their number says */
    BS_KEY_SELECTS,     /* tells this row from others of its model_type */
};

struct bs_config_key_name {
    const char *name;
    enum bs_key key;
};

/* A key of a feature that bitsweep does not have, and the only value accepted, as JSON prints it. */
struct bs_neutral_key {
    const char *name, *value;
};

struct bs_family_config {
    const struct bs_config_key_name *keys; /* ends with a NULL name; an earlier name wins */
    const struct bs_neutral_key *neutral;  /* ends with a NULL name; NULL = none */
    const char *const *harmless;           /* NULL-terminated; beyond those of every family */
    const char *selector;                  /* this boolean key ... */
    bool selected;                         /* ... has this value (absent = false); or NULL */
    /* What holds where the key is absent; 0 = it must be there, or follows from the others. */
    int max_positions;
    int kv_heads, head_dim, sliding_window, window_pattern, max_window_layers;
    int intermediate_times; /* of hidden_size */
    double norm_eps, rope_theta, local_rope_theta, rotary_share;
    double query_pre_attn_scalar, attention_softcap, logit_softcap;
    const char *activation;
    bool local_rope_plain;  /* local layers have rope_theta without its scaling */
    bool even_rotary_dim;   /* transformers' code cuts heads where rotation ends, and so fails where
                              that is odd; else it is rounded up */
    int original_positions; /* what original_max_position_embeddings is where it is absent; 0 = all
                               positions there are */
    bool tied, multi_query;
    unsigned biases; /* bit r: the linear with role r */
};

#endif
