/* A model family: what its checkpoints call the tensors, and what its block is like. */
#ifndef BS_EVAL_MODEL_FAMILY_H
#define BS_EVAL_MODEL_FAMILY_H

#include <stdbool.h>

#include "eval/model/program.h"

/* The part of a block whose output AWQ's code looks at to judge a factor: bs_program_inspected. */
enum bs_module { BS_MODULE_ATTENTION, BS_MODULE_MLP, BS_MODULE_LINEAR, BS_MODULE_BLOCK };

/* What a norm does and which parameters it has: a layer norm has weights and biases, or weights
 * only, or none. */
enum bs_norm_kind { BS_RMS_NORM, BS_LAYER_NORM, BS_LAYER_NORM_UNBIASED, BS_LAYER_NORM_PLAIN };

/* Vectors of parameters that a norm of this kind has. */
int bs_norm_vectors(enum bs_norm_kind kind);

/* Which channels the norms of q and k take together, and how a checkpoint holds their weights. */
enum bs_qk_norm {
    BS_QK_NORM_HEAD,         /* each head, with the weights [head_dim] of all */
    BS_QK_NORM_EACH_HEAD,    /* each head, with its own of a tensor [heads][head_dim] */
    BS_QK_NORM_HEAD_TENSORS, /* the same, with a tensor [head_dim] for each head; its name is a
                                printf format with one %d */
    BS_QK_NORM_WHOLE,        /* all heads together, weights [heads * head_dim] */
};

/* How attention and MLP hang on the residual stream x, with N their norms:
 * pre:      m = x + A(N1 x), y = m + M(N2 m); without a norm the branch reads what it is added to
 * post:     m = N1(x + A x), y = N2(m + M m)
 * parallel: y = x + A(N1 x) + M(N2 x), or M(N1 x) where there is no N2
 * normed:   m = N1 x + A(N1 x), y = N2 m + M(N2 m) */
enum bs_wiring { BS_PRE_NORM, BS_POST_NORM, BS_PARALLEL, BS_NORMED_RESIDUAL };

enum bs_position_kind { BS_ROTARY, BS_LEARNED, BS_ALIBI };

/* How one tensor holds the rows of q, k and v. */
enum bs_fused {
    BS_FUSED_NONE,
    BS_FUSED_GROUPS,   /* for each key-value head: the rows of its query heads, its k, its v */
    BS_FUSED_SECTIONS, /* all of q, all of k, all of v */
};

struct bs_family_config;

/* What a family calls a linear of its program: below the block, without ".weight"; for reports
 * where another name is that of the tensor it stands in. */
struct bs_linear_name {
    const char *role, *name; /* "q", "self_attn.q_proj" */
};

/* How a checkpoint holds the experts of a block: a matrix for each linear of each, or tensors of
 * all of them, [experts][rows][columns] with an expert's rows as in a matrix. Names below the
 * block, without ".weight" and ".bias". */
struct bs_expert_tensors {
    const char *router;                   /* "mlp.gate" */
    const char *gate, *up, *down;         /* printf formats with one %d; or NULL */
    const char *all_gate_up, *all_down;   /* all of gate, all of up */
    const char *all_gate, *all_up;        /* or a tensor for each */
    const char *all_ending, *bias_ending; /* of the names of these: ".weight", "" */
    bool transposed;  /* [experts][columns][rows], where the tensor is plain numbers */
    bool interleaved; /* all_gate_up: a row of gate, a row of up, and so on */
};

/* Vectors of a layer that are neither norms nor biases of linears. */
enum bs_vector {
    BS_VECTOR_SINKS,   /* [num_heads], a score of each head for nothing, beside those of the keys */
    BS_VECTOR_ROUTING, /* [experts], added to what experts are chosen by, not to their weights */
    BS_NUM_VECTORS
};

/* A model family: one row of data, read by one generic block. Names that are NULL stand for what
 * the family does not have. Of all tensors but the head's the names may begin with `prefix`. */
struct bs_family {
    const char *model_type; /* config.json's */
    const char *models;     /* which models are of this family, for people */
    const char *prefix;     /* "model." */
    const char *embedding, *embedding_norm, *positions, *project_in;
    const char *final_norm, *project_out, *head;
    const char *block;                           /* printf format with one %d */
    const char *norms[BS_NUM_NORMS];             /* below the block, without ".weight" */
    struct bs_linear_name linears[BS_MAX_ROLES]; /* in any order; a NULL role after the last */
    const struct bs_expert_tensors
        *experts;                          /* how checkpoints may hold experts, a NULL router after
                                                the last; NULL: the family has none */
    const char *vectors[BS_NUM_VECTORS];   /* whole names below the block */
    const char *fused_qkv, *fused_gate_up; /* gate_up: all of gate, all of up */
    const char *fused_shared;              /* the same of the expert that all tokens go to */
    enum bs_fused fused;                   /* how fused_qkv holds its rows */
    bool fused_v_folds; /* AWQ's code folds the factors of o's columns into v's rows of fused_qkv */
    bool transposed;    /* linears are stored [in_features][out_features] */
    bool paired_rows;   /* of q and k: a head's rows j and j + head_dim / 2 follow one another */
    enum bs_norm_kind norm, qk_norm_kind;
    enum bs_qk_norm qk_norm;
    bool norm_plus_one; /* norm weights are stored less 1 */
    float latent_eps;   /* of the norms of latent attention */
    enum bs_wiring wiring;
    enum bs_position_kind positions_kind;
    int position_offset;     /* of the first row of learned positions */
    bool rotary_interleaved; /* rotary positions turn channels 2j and 2j + 1 of a head as a pair;
                                else j and j + rotary_dim / 2 */
    bool alibi_bfloat16;  /* slopes and their products with positions are rounded to bfloat16, and
                                scaled as q k^T is (Falcon's code) */
    bool gated;           /* MLP: down(act(gate x) * up x); else down(act(up x)) */
    bool clamped_gate;    /* gpt-oss's function in place of act: BS_OP_CLAMPED_GATE */
    bool embedding_scale; /* embeddings are multiplied by sqrt(hidden_size) */
    bool head_bias;
    enum bs_module attention_module, mlp_module; /* what AWQ's code inspects */
    const struct bs_family_config *config;       /* how config.json is read: families.h */
};

/* The rows one by one, NULL after the last; rows of one model_type stand together and differ in
 * keys of config.json. */
const struct bs_family *bs_family_at(int index);

/* The norms that the row names; bit n: one at place n. */
unsigned bs_family_norms(const struct bs_family *family);

/* The first row of this model_type, or NULL. */
const struct bs_family *bs_family_find(const char *model_type);

#endif
