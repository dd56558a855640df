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
    BS_KEY_MAX_WINDOW_LAYERS,  /* layers from this one on have the window */
    BS_KEY_WINDOW_PATTERN,     /* every n-th layer has none */
    BS_KEY_LAYER_TYPES,        /* a word a layer */
    BS_KEY_ROTATED_LAYERS,     /* 1 or 0 a layer: has rotary positions, has none */
    BS_KEY_UNROTATED_INTERVAL, /* every n-th layer has none */
    BS_KEY_ROTARY_DIM,         /* channels of a head that are rotated */
    BS_KEY_ALIBI,              /* positions are ALiBi's instead of the row's */
    BS_KEY_ALIBI_EXPONENT,
    BS_KEY_QUERY_PRE_ATTN_SCALAR,    /* attention_scale = this ^ -1/2 */
    BS_KEY_ATTENTION_SCALE,          /* of q k^T */
    BS_KEY_ATTENTION_SCALED,         /* false: q k^T is taken as it is */
    BS_KEY_ATTENTION_SCALE_BY_LAYER, /* layer l divides it by l + 1 */
    BS_KEY_ATTENTION_SOFTCAP,
    BS_KEY_QKV_CLIP,
    BS_KEY_LOGIT_SOFTCAP,
    BS_KEY_LOGIT_SCALE,
    BS_KEY_LOGIT_DIVISOR,
    BS_KEY_EMBEDDING_SCALE,
    BS_KEY_RESIDUAL_SCALE,
    BS_KEY_BIAS,           /* of all linears */
    BS_KEY_ATTENTION_BIAS, /* of q, k, v and o */
    BS_KEY_QKV_BIAS,
    BS_KEY_O_BIAS,
    BS_KEY_MLP_BIAS,
    BS_KEY_PARALLEL,      /* parallel residual */
    BS_KEY_SHARED_NORM,   /* parallel residual over attention's norm, the MLP has none */
    BS_KEY_NORM_BEFORE,   /* false: post-norm */
    BS_KEY_NORMED_STREAM, /* what was normed goes on: BS_NORMED_RESIDUAL */
    BS_KEY_NO_FINAL_NORM,
    BS_KEY_NORM_AFFINE, /* false: layer norms have no parameters */
    BS_KEY_QK_NORM,     /* q and k have the row's norms */
    BS_KEY_MULTI_QUERY, /* one key-value head, whatever their number says */
    BS_KEY_NUM_EXPERTS,
    BS_KEY_EXPERTS_PER_TOKEN,
    BS_KEY_EXPERT_SIZE,    /* intermediate_size of an expert; else it has the MLP's */
    BS_KEY_NORMED_WEIGHTS, /* of the chosen experts: divided by their sum */
    BS_KEY_ROUTED_SCALE,   /* and multiplied by this */
    BS_KEY_SHARED_SIZE,    /* intermediate_size of the expert that all tokens go to; 0: none */
    BS_KEY_SHARED_COUNT,   /* the same, in sizes of an expert */
    BS_KEY_EXPERT_GROUPS,
    BS_KEY_GROUPS_PER_TOKEN,
    BS_KEY_GROUP_METHOD,  /* "greedy": groups do not count; "group_limited_greedy" */
    BS_KEY_SPARSE_STEP,   /* every n-th layer has experts */
    BS_KEY_FIRST_SPARSE,  /* layers before this one have none */
    BS_KEY_DENSE_LAYERS,  /* those that have none */
    BS_KEY_SPARSE_LAYERS, /* those that have them */
    BS_KEY_QUERY_LATENT,  /* bs_latent; null: queries are made of the input */
    BS_KEY_KEY_VALUE_LATENT,
    BS_KEY_PLAIN_DIM, /* channels of a head of latent attention without positions */
    BS_KEY_VALUE_DIM,
    BS_KEY_UNIT_QK,
    BS_KEY_QUERY_SCALED, /* false: bs_query_scaling is not */
    BS_KEY_QUERY_BETA,   /* of bs_query_scaling, of layers without rotary positions */
    BS_KEY_QUERY_POSITIONS,
};

/* What a family calls a key of its config.json. */
struct bs_config_key_name {
    const char *name;
    enum bs_key key;
};

/* Which layers have rotary positions. */
enum bs_rotated {
    BS_ROTATED_ALL,
    BS_ROTATED_BY_KEY,         /* BS_KEY_ROTATED_LAYERS; without layer_types the others have the
                                  window */
    BS_ROTATED_WINDOWS,        /* those with a sliding window */
    BS_ROTATED_WINDOWS_IF_ANY, /* the same, all where sliding_window is null */
};

/* A key that tells the rows of one model_type apart. */
struct bs_selector {
    const char *key, *value; /* as JSON prints it */
    bool initial;            /* an absent key has this value */
};

/* A key of a feature that bitsweep does not have, and the only value accepted, as JSON prints
 * it. */
struct bs_neutral_key {
    const char *name, *value;
};

/* Sizes that transformers' configuration class has by itself. */
struct bs_class_sizes {
    int hidden_size, intermediate_size, num_layers, num_heads, vocab_size;
};

/* How a family's config.json is read. */
struct bs_family_config {
    const struct bs_config_key_name *keys; /* ends with a NULL name; an earlier name wins */
    const struct bs_neutral_key *neutral;  /* ends with a NULL name; NULL = none */
    const char *const *harmless;           /* NULL-terminated; beyond those of every family */
    const char *nested; /* an object whose keys have names with it and a dot before; or NULL */
    const struct bs_selector *selectors; /* ends with a NULL key; all hold; NULL = none */
    /* What holds where the key is absent; 0 = it must be there, or follows from the others. */
    int max_positions;
    int kv_heads, head_dim, sliding_window, window_pattern, max_window_layers;
    int intermediate_times;            /* of hidden_size */
    struct bs_class_sizes class_sizes; /* in the text part of a model of more */
    int rotary_dim, unrotated_interval;
    const char *initial_rope; /* what rope_parameters is, in JSON; NULL = nothing */
    bool scales_queries;      /* by keys of rope_parameters: bs_query_scaling */
    double norm_eps, rope_theta, local_rope_theta, rotary_share;
    double query_pre_attn_scalar, attention_scale, attention_softcap, logit_softcap, logit_scale;
    const char *activation;
    bool gelu_is_tanh;      /* by "gelu" the class means gelu_pytorch_tanh */
    bool local_rope_plain;  /* local layers have rope_theta without its scaling */
    bool even_rotary_dim;   /* transformers' code cuts heads where rotation ends, and so fails where
                              that is odd; else it is rounded up */
    int original_positions; /* what original_max_position_embeddings is where it is absent; 0 = all
                               positions there are */
    enum bs_rotated rotated;
    bool tied, multi_query;
    int num_experts, experts_per_token, expert_size;
    int shared_size, shared_count, first_sparse, expert_groups, groups_per_token;
    double routed_scale;
    bool weighs_input;  /* bs_experts */
    bool windows_below; /* the layers before max_window_layers have the window, not those after */
    bool chunked;       /* windows are chunks: bs_architecture.chunked_windows */
    int query_latent, key_value_latent, plain_dim, value_dim; /* 0: attention is not latent */
    double query_beta, query_positions;
    bool normed_weights;
    enum bs_routing routing;
    unsigned biases; /* enum bs_biases */
};

/* What the family calls a key, the first name of several; NULL where it has none. */
const char *bs_config_key_of(const struct bs_family_config *rules, enum bs_key key);

#endif
