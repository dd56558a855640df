/* A decoder language model as data: architecture, blocks of linears, and the pieces around them. */
#ifndef BS_EVAL_MODEL_MODEL_H
#define BS_EVAL_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/base/parallel.h"
#include "eval/quant/format.h"

/* What a linear does in a block. */
enum bs_role { BS_Q, BS_K, BS_V, BS_O, BS_GATE, BS_UP, BS_DOWN, BS_NUM_ROLES };

enum { BS_NUM_NORMS = 2, BS_MAX_SET = 3, BS_MAX_SETS = 4 };

/* The part of a block whose output tells how well a set of linears does (AWQ's inspected module).
 */
enum bs_module { BS_MODULE_ATTENTION, BS_MODULE_MLP, BS_MODULE_LINEAR };

/* Linears that read the same input, and what stands right before them: a norm, or a linear whose
 * rows feed this set's columns. A per-channel factor can be folded into either. */
struct bs_set {
    const char *name; /* "attn_input" */
    int num_linears;
    enum bs_role linears[BS_MAX_SET];
    int norm;              /* index into bs_block.norms, or -1 */
    int previous;          /* enum bs_role of the linear before, or -1 */
    enum bs_module module; /* where the error is looked at */
};

/* A model family: one row of data, read by one generic block. */
struct bs_family {
    const char *model_type;                    /* config.json's */
    const char *embedding, *final_norm, *head; /* tensor names */
    const char *block;                         /* printf format with one %d */
    const char *norms[BS_NUM_NORMS];           /* below the block: before attention, before MLP */
    const char *linears[BS_NUM_ROLES];         /* below the block, without ".weight" */
    int num_sets;
    struct bs_set sets[BS_MAX_SETS]; /* in the order of the computation */
};

/* The family of this model_type, or NULL; and all names, NULL-terminated, for messages. */
const struct bs_family *bs_family_find(const char *model_type);
extern const char *const bs_family_names[];

/* The numbers of config.json that the forward pass uses. */
struct bs_architecture {
    const struct bs_family *family;
    int hidden_size, intermediate_size, num_layers;
    int num_heads, num_kv_heads, head_dim;
    int vocab_size, max_positions;
    float norm_eps;
    double rope_theta;
    bool tied_head;
};

/* Reads `directory`/config.json. A key that changes the forward pass in a way bitsweep does not
 * know is BS_EUNSUPPORTED, never ignored; a missing or wrong one BS_EDATA. */
enum bs_status bs_architecture_read(const char *directory, struct bs_architecture *architecture,
                                    struct bs_error *err);

/* Shape of the linear with this role. */
int bs_out_features(const struct bs_architecture *architecture, enum bs_role role);
int bs_in_features(const struct bs_architecture *architecture, enum bs_role role);

struct bs_model;

/* Opens a model directory: config.json and the checkpoint, every tensor present with the right
 * shape and finite. Weights stay in the map until a block asks for them. */
enum bs_status bs_model_open(const char *directory, struct bs_model **model, struct bs_error *err);
void bs_model_free(struct bs_model *model);
const struct bs_architecture *bs_model_architecture(const struct bs_model *model);

/* Digest of architecture and weights. */
struct bs_digest bs_model_digest(const struct bs_model *model);

/* Parameters outside the blocks' linears: embedding, head where it is separate, norms. */
size_t bs_model_other_parameters(const struct bs_model *model);

/* Embeds `tokens` ids into out [tokens][hidden_size]. Ids were checked against vocab_size. */
void bs_model_embed(const struct bs_model *model, const int32_t *ids, int tokens, float *out);

/* One weight matrix. `weight` is what the forward pass multiplies by. Where stages of a chain have
 * moved factors in or out, in_scale and out_scale say how it relates to the checkpoint's W:
 * weight[i][j] stands for W[i][j] * in_scale[j] / out_scale[i], and its input arrives divided by
 * in_scale. */
struct bs_linear {
    const char *name; /* "self_attn.q_proj" */
    enum bs_role role;
    int out_features, in_features;
    float *weight;         /* [out][in] */
    float *in_scale;       /* [in] */
    float *out_scale;      /* [out] */
    struct bs_codes codes; /* codes.codes is NULL until quantized */
    /* What quantizing it took, for the record. */
    double damping;   /* percdamp that held, 0 where none is used */
    int dead_columns; /* input channels that never fired */
    bool fallback;    /* the algorithm could not do what was asked and did something else */
    double seconds;
};

/* One decoder layer, float32. */
struct bs_block {
    const struct bs_architecture *architecture;
    int index;
    struct bs_linear linears[BS_NUM_ROLES];
    float *norms[BS_NUM_NORMS]; /* [hidden_size] each */
    struct bs_activations activations;
    /* Static activation scales: of each set's input, and of the q, k and v outputs. */
    struct bs_params set_params[BS_MAX_SETS], bmm_params[3];
};

/* Reads block `index` as the checkpoint has it. BS_ENOMEM. */
enum bs_status bs_block_load(const struct bs_model *model, int index, struct bs_block *block,
                             struct bs_error *err);

/* Copies weights, norms and scales of a block into `to`, which is either zero or an earlier copy of
 * the same shape whose memory is used again. Codes are not copied. */
enum bs_status bs_block_copy(struct bs_block *to, const struct bs_block *from,
                             struct bs_error *err);
void bs_block_release(struct bs_block *block);

/* Multiplies the columns of every linear in the set by scale [in] and divides what stands before
 * them, so that the block computes the same function. The set has a norm or a previous linear. For
 * a previous linear with fewer rows than the set has columns the last rows are meant (fused
 * layouts), equal counts here. */
void bs_block_fold(struct bs_block *block, int set, const float *scale);

/* What a forward pass shows on the way; members may be NULL. Called from parallel threads. */
struct bs_observer {
    void *context;
    /* The input of set s: x [tokens][in_features], before activation quantization. */
    void (*set_input)(void *context, int set, const float *x, int tokens);
    /* The output of q, k or v (role), before quantization and rotary positions. */
    void (*qkv_output)(void *context, enum bs_role role, const float *x, int tokens, int features);
};

/* Runs one window: y [tokens][hidden] = block(x [tokens][hidden]); y may be x. Activation
 * quantization as block->activations says. `rope` from bs_rope_create. */
struct bs_rope;
void bs_block_forward(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                      float *y, int tokens, const struct bs_observer *observer,
                      struct bs_scratch *scratch);

/* Runs the inspected module of a set on its own input (module ATTENTION: o_proj of attention over
 * x; MLP: the whole MLP), without residual; no activation quantization. */
void bs_module_forward(const struct bs_block *block, enum bs_module module,
                       const struct bs_rope *rope, const float *x, float *y, int tokens,
                       struct bs_scratch *scratch);

/* y [tokens][out] = x [tokens][in] * weight^T. */
void bs_linear_forward(const struct bs_linear *linear, const float *x, float *y, int tokens);

/* Replaces x [tokens][features] by its quantized values; `fixed` is the static scale, used only
 * where the granularity asks for it. */
void bs_activations_apply(const struct bs_activations *activations, struct bs_params fixed,
                          float *x, int tokens, int features);

/* Floats of scratch that either forward needs for a window of `tokens`, with room for one output of
 * the window besides; always enough for 64 rows of the widest linear, twice. */
size_t bs_block_scratch_floats(const struct bs_architecture *architecture, int tokens);

/* cos and sin of rotary positions 0 .. tokens - 1. NULL when memory runs out. */
struct bs_rope *bs_rope_create(const struct bs_architecture *architecture, int tokens);
void bs_rope_free(struct bs_rope *rope);

/* Final norm and output matrix. */
struct bs_head {
    int hidden_size, vocab_size;
    float norm_eps;
    float *norm;   /* [hidden_size] */
    float *weight; /* [vocab_size][hidden_size] */
};
enum bs_status bs_head_load(const struct bs_model *model, struct bs_head *head,
                            struct bs_error *err);
void bs_head_release(struct bs_head *head);

/* logits [tokens][vocab_size] of x [tokens][hidden_size]; scratch for tokens * hidden_size floats.
 */
void bs_head_forward(const struct bs_head *head, const float *x, int tokens, float *logits,
                     struct bs_scratch *scratch);

#endif
