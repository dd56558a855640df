/* A decoder language model as data: architecture, blocks of linears, and the pieces around them. */
#ifndef BS_EVAL_MODEL_MODEL_H
#define BS_EVAL_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/base/lines.h"
#include "eval/base/parallel.h"
#include "eval/data/fork.h"
#include "eval/linalg/nonlinearity.h"
#include "eval/linalg/packed.h"
#include "eval/linalg/vector.h"
#include "eval/model/basis.h"
#include "eval/model/family.h"
#include "eval/model/program.h"
#include "eval/quant/codes.h"
#include "eval/quant/values.h"

/* Layers with experts are of one kind, those without of another. */
enum { BS_MAX_LAYERS = 512, BS_MAX_KINDS = 2 };

/* How the frequencies of rotary positions are scaled: transformers' rope_type. */
enum bs_rope_kind {
    BS_ROPE_DEFAULT,
    BS_ROPE_LINEAR,
    BS_ROPE_LLAMA3,
    BS_ROPE_YARN,
    BS_ROPE_DYNAMIC,
    BS_ROPE_LONGROPE
};

enum { BS_MAX_ROPE_PAIRS = 256 }; /* of longrope */

/* Rotary positions; rope.c says what is computed from them. Members of other kinds are 0. */
struct bs_rope_settings {
    enum bs_rope_kind kind;
    double theta;
    double attention_factor; /* of cos and sin; 1 but for yarn and longrope */
    double scores_factor;    /* of yarn with mscale_all_dim: what DeepSeek's code multiplies
                                attention_scale by; else 0 */
    double factor;
    double original_positions; /* llama3, yarn, longrope; dynamic: max_position_embeddings */
    double low_freq_factor, high_freq_factor; /* llama3 */
    double beta_fast, beta_slow;              /* yarn */
    bool truncate;                            /* yarn */
    int num_factors;                          /* longrope: pairs */
    float short_factors[BS_MAX_ROPE_PAIRS], long_factors[BS_MAX_ROPE_PAIRS];
};

/* How the router's products become the weights of the experts that a token goes to. */
enum bs_routing {
    BS_ROUTE_SOFTMAX,        /* softmax over all experts; the largest are chosen */
    BS_ROUTE_SOFTMAX_CHOSEN, /* the largest are chosen; softmax over these */
    BS_ROUTE_SIGMOID,        /* sigmoid of each, to which BS_VECTOR_ROUTING is added to choose */
};

/* The experts of a block: MLPs of which each token goes to a few. */
struct bs_experts {
    int count, per_token; /* 0 = none */
    int size;             /* channels between their linears */
    int shared_size;      /* of the expert that every token goes to; 0 = there is none */
    enum bs_routing routing;
    int groups, groups_per_token; /* experts are chosen out of the best of so many equal groups, by
                                     their best expert or, of BS_ROUTE_SIGMOID, best two; 0 or 1 =
                                     out of all */
    bool normed;                  /* the weights of the chosen ones are divided by their sum */
    float scale;                  /* and multiplied by this; 0 = not */
    bool weighs_input; /* it is an expert's rows that are multiplied by their weights, not what it
                           makes of them (Llama 4) */
};

/* The query at position t is multiplied by 1 + beta * ln(1 + floor((t + first) / positions)); beta
 * 0 = not (Llama 4, transformers' get_llama_4_attn_scale). */
struct bs_query_scaling {
    float beta, positions;
    int first;      /* 0 or 1: positions are counted from it */
    bool unrotated; /* in layers without rotary positions only */
};

/* Latent attention (DeepSeek-V2): keys and values are made of one narrow vector, beside which a
 * part of the key stands that has rotary positions and is one for all heads; queries perhaps of
 * another. Their widths; key_value 0: attention is not of this kind, query 0: queries are made of
 * the input. */
struct bs_latent {
    int query, key_value;
};

/* The numbers of config.json that the forward pass uses. */
struct bs_architecture {
    const struct bs_family *family;
    struct bs_family stored; /* the same as the files have it: what their tensors are called, and
                                how they hold them */
    const char
        *wrapper; /* model_type of the model of more than text that this is a part of, or NULL */
    int hidden_size, intermediate_size, num_layers;
    int num_heads, num_kv_heads, head_dim;
    int value_dim; /* of a head's values; head_dim but for latent attention, and where it is 0
                      before bs_programs_build */
    struct bs_latent latent;
    int vocab_size, max_positions; /* max_positions: INT_MAX where nothing limits them */
    int embedding_size;            /* width of the embeddings; hidden_size but for some OPT */
    enum bs_norm_kind norm;        /* of all but those of q and k */
    float norm_eps;
    unsigned norms; /* bit n: blocks have a norm at place n */
    enum bs_wiring wiring;
    enum bs_nonlinearity activation;
    enum bs_position_kind positions;
    int rotary_dim; /* of each head's dimensions, so many are rotated; 0 = none. An odd number sets
                       the frequencies and is rounded up to pairs */
    struct bs_rope_settings rope, local_rope;      /* local_rope: of local layers */
    uint64_t unrotated_layers[BS_MAX_LAYERS / 64]; /* bit l: layer l has no rotary positions */
    float alibi_exponent; /* the slope of the last head of a power of two is 2 to minus this */
    int sliding_window;   /* 0 = none */
    bool chunked_windows; /* a query sees the keys of its chunk of so many positions instead */
    bool unit_qk;         /* in layers that have rotary positions, q and k are divided by the root
                             mean square of each head after them */
    uint64_t local_layers[BS_MAX_LAYERS / 64]; /* bit l: layer l has the window */
    float attention_scale;                     /* of q k^T */
    bool attention_scale_by_layer;             /* layer l divides it by l + 1 */
    struct bs_query_scaling query_scaling;
    float qkv_clip;                         /* q, k and v are clipped to +- this; 0 = none */
    float attention_softcap, logit_softcap; /* 0 = none */
    /* What embeddings, what a branch adds to the residual stream, and logits are multiplied by;
     * 1 = nothing. */
    float embedding_scale, residual_scale, logit_scale;
    bool tied_head, final_norm;
    unsigned biases;                           /* enum bs_biases: which linears have them */
    struct bs_experts experts;                 /* instead of the MLP */
    uint64_t dense_layers[BS_MAX_LAYERS / 64]; /* bit l: layer l has the MLP all the same */
    /* What the layers compute, a program for each kind of layer, and which kind each is of:
     * bs_programs_build. The first layer is of kind 0. */
    int num_kinds;
    unsigned char kinds[BS_MAX_LAYERS];
    struct bs_program programs[BS_MAX_KINDS];
};

/* What there is to say of a model beyond its architecture: to print, and to keep with the
 * numbers. */
struct bs_remarks {
    struct bs_lines notices;  /* what was passed over, or decided between two readings */
    struct bs_lines accepted; /* keys of config.json that a user let pass: "clip_qkv is 8" */
};

/* Reads `directory`/config.json. A key that changes the forward pass in a way bitsweep does not
 * know is BS_EUNSUPPORTED, never ignored, unless `accept` (NULL = nothing) holds its name; a
 * missing or wrong one BS_EDATA. Adds to *remarks, where that is not NULL. */
enum bs_status bs_architecture_read(const char *directory, const struct bs_lines *accept,
                                    struct bs_architecture *architecture,
                                    struct bs_remarks *remarks, struct bs_error *err);
void bs_remarks_release(struct bs_remarks *remarks);

/* The program of a layer; and a layer that has the program of this kind, the first. */
const struct bs_program *bs_program_of(const struct bs_architecture *architecture, int layer);
int bs_first_of_kind(const struct bs_architecture *architecture, int kind);

/* How many linears a layer has; the layer with the most; all layers. */
int bs_num_linears(const struct bs_architecture *architecture, int layer);
int bs_most_linears(const struct bs_architecture *architecture);
int bs_total_linears(const struct bs_architecture *architecture);

/* True where blocks have a norm at this place; its kind; and how many channels it has weights
 * for. */
bool bs_has_norm(const struct bs_architecture *architecture, enum bs_norm_place place);
bool bs_is_latent(int place); /* whether the norm is on a vector of latent attention */
enum bs_norm_kind bs_norm_kind_at(const struct bs_architecture *architecture,
                                  enum bs_norm_place place);
int bs_norm_width(const struct bs_architecture *architecture, enum bs_norm_place place);

/* Floats of such a vector of the layer; 0: it has none. */
int bs_vector_width(const struct bs_architecture *architecture, int layer, enum bs_vector which);

/* True where layer `layer` attends to the sliding window only; where it has rotary positions; where
 * it has experts. */
bool bs_is_local(const struct bs_architecture *architecture, int layer);
bool bs_is_rotated(const struct bs_architecture *architecture, int layer);
bool bs_has_experts(const struct bs_architecture *architecture, int layer);

/* Weights of all linears of a layer; of the layer that has the most; of all layers. */
double bs_block_weights(const struct bs_architecture *architecture, int layer);
double bs_most_weights(const struct bs_architecture *architecture);
double bs_total_weights(const struct bs_architecture *architecture);

/* Multiply-adds times two of bs_block_forward over one window; through all layers. */
double bs_block_flops(const struct bs_architecture *architecture, int layer, int tokens);
double bs_total_flops(const struct bs_architecture *architecture, int tokens);

struct bs_model;

/* Opens a model directory, of a LoRA its base, into which it is merged (bs_adapter_base):
 * config.json (see bs_architecture_read) and the checkpoint, every tensor present with the right
 * shape and finite, and none that the forward pass has no place for. Weights stay in the map until
 * a block asks for them. */
enum bs_status bs_model_open(const char *directory, const struct bs_lines *accept,
                             struct bs_model **model, struct bs_error *err);
void bs_model_free(struct bs_model *model);
const struct bs_architecture *bs_model_architecture(const struct bs_model *model);

/* What was said of the model as it was opened. */
const struct bs_remarks *bs_model_remarks(const struct bs_model *model);

/* Digest of architecture and weights. */
struct bs_digest bs_model_digest(const struct bs_model *model);

/* BS_EDATA naming the file where one of the model's weights is not what it was when it was
 * opened. */
enum bs_status bs_model_check_files(const struct bs_model *model, struct bs_error *err);

/* Parameters outside the blocks' linears: embedding, head where it is separate, norms, biases. */
size_t bs_model_other_parameters(const struct bs_model *model);

/* Whether any of the weights are quantized in the checkpoint already. */
bool bs_model_is_quantized(const struct bs_model *model);

/* Whether the checkpoint quantizes inputs of linears in every run of its model. */
bool bs_model_quantizes_inputs(const struct bs_model *model);

/* The matrices outside the blocks. Of a model with a tied head both are one tensor. */
enum bs_outer { BS_EMBEDDING, BS_HEAD, BS_NUM_OUTER };

/* Bits that the file spends on such a matrix whose weights are quantized already; 0: they are
 * not. */
double bs_model_outer_bits(const struct bs_model *model, enum bs_outer which);

/* The same as places, under the names "embedding" and "head": [vocab_size][embedding_size]. */
void bs_outer_places(const struct bs_architecture *architecture,
                     struct bs_place places[BS_NUM_OUTER]);

/* What else is outside the blocks. */
enum bs_outer_part {
    BS_PART_POSITIONS,
    BS_PART_PROJECT_IN,
    BS_PART_PROJECT_OUT,
    BS_PART_EMBEDDING_NORM,
    BS_PART_EMBEDDING_NORM_BIAS,
    BS_PART_FINAL_NORM,
    BS_PART_FINAL_NORM_BIAS,
    BS_PART_HEAD_BIAS,
    BS_NUM_OUTER_PARTS
};
extern const char *const bs_outer_part_names[BS_NUM_OUTER_PARTS];

/* Its values as they are computed with, *count of them in new memory; none where the model has no
 * such. BS_ENOMEM. */
enum bs_status bs_model_outer_part(const struct bs_model *model, enum bs_outer_part part,
                                   float **values, size_t *count, struct bs_error *err);

/* A norm's parameters. */
struct bs_norm {
    enum bs_norm_kind kind;
    int width;     /* 0 where there is none */
    float eps;     /* 0: the architecture's */
    float *weight; /* [width]; ones where the kind has none */
    float *bias;   /* [width] of a layer norm, or NULL */
};

/* What becomes of such a matrix in a version of the model: a row at a time it is brought into the
 * basis that the version's residual stream has, and rounded as codes of the whole matrix would
 * decode. */
struct bs_outer_rounding {
    const struct bs_setting *setting; /* borrowed; NULL: it is not rounded */
    struct bs_code_layout layout;
    struct bs_rounder rounder;
    const float *importance; /* borrowed, [embedding_size]: what an error in each column counts;
                                NULL = 1 each */
    unsigned char *shared;   /* what all of the matrix shares, or NULL */
    enum bs_outer which;
    const struct bs_bases *basis; /* borrowed; NULL: the checkpoint's */
    bool late;           /* what is embedded is turned, after a norm or a projection of it, and
                                     not the matrix */
    struct bs_norm norm; /* of a turned output matrix: that which is folded into it */
    float *room;         /* what a change of the basis takes, for each thread */
};

/* Prepares the rounding by a resolved setting and importance, for a residual stream in `basis`
 * (NULL = the checkpoint's), all of which outlive it; a setting that quantizes nothing does not
 * round. BS_ECONFIG where the format cannot take the shape; BS_EUNSUPPORTED where a projection
 * stands between the stream and the output matrix; BS_ENOMEM. */
enum bs_status bs_outer_rounding_init(const struct bs_model *model, enum bs_outer which,
                                      const struct bs_setting *setting, const float *importance,
                                      const struct bs_bases *basis,
                                      struct bs_outer_rounding *rounding, struct bs_error *err);
void bs_outer_rounding_release(struct bs_outer_rounding *rounding);

/* Brings rows [count][embedding_size] into the basis of the residual stream. */
void bs_outer_turn(const struct bs_outer_rounding *rounding, int count, float *rows);

/* Replaces rows `first` and on, [count][embedding_size], by what they become. Called from parallel
 * threads. */
void bs_outer_round(const struct bs_outer_rounding *rounding, int first, int count, float *rows);

/* Rows that are in that basis as codes, to be released either way; their setting is the rounding's.
 * BS_ENOMEM. */
enum bs_status bs_outer_codes(const struct bs_outer_rounding *rounding, int first, int count,
                              const float *rows, struct bs_codes *codes, struct bs_error *err);

/* Embeds ids [windows][tokens] into out [windows][tokens][hidden_size], with learned positions and
 * the embedding's norm where the family has them, of a version of the model where `rounding` is not
 * NULL.
 * Ids were checked against vocab_size, tokens against max_positions. BS_ENOMEM. */
enum bs_status bs_model_embed(const struct bs_model *model,
                              const struct bs_outer_rounding *rounding, const int32_t *ids,
                              int windows, int tokens, float *out, struct bs_error *err);

/* The same for one window that forks. */
enum bs_status bs_model_embed_fork(const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, const int32_t *ids,
                                   const struct bs_fork *fork, float *out, struct bs_error *err);

/* Where a checkpoint has the weights of a linear: rows of a matrix, `before` rows of other linears
 * standing before them. */
struct bs_file_rows {
    const struct bs_tensor *tensor; /* NULL: nowhere as rows, or no longer these */
    struct bs_tensor_rows rows;
    size_t before;
};

/* The row of the tensor that is row i of the linear. */
size_t bs_file_row(const struct bs_file_rows *file, int i);

/* How a linear is multiplied: kernel.h. */
struct bs_kernel;

/* One weight matrix. `weight` is what the forward pass multiplies by. Where steps of a chain have
 * changed bases, `in` says what arrives instead of the checkpoint's input, T_in x, and `out` what
 * leaves instead of its output, T_out y: weight stands for T_out W T_in^-1, bias for T_out b. */
struct bs_linear {
    const char *name; /* "self_attn.q_proj" */
    int out_features, in_features;
    float *weight;            /* [out][in]; NULL where the family has no such linear */
    float *bias;              /* [out], or NULL */
    struct bs_bases in, out;  /* of in_features and out_features */
    struct bs_codes codes;    /* codes.codes is NULL until quantized */
    double file_bits;         /* that are spent on codes which the weights are decoded from, but
                                       which are not at hand: the checkpoint's, or of a rounding in
                                       another basis; 0: plain values, or no longer those */
    struct bs_file_rows file; /* what it was read from, as long as the weights are that */
    const struct bs_kernel *kernel; /* by bs_block_choose_kernels; NULL: floats */
    void *prepared;                 /* what that made of the weights */
    /* What quantizing it took, for the record. */
    double damping;   /* percdamp that held, 0 where none is used */
    int dead_columns; /* input channels that never fired */
    double
        rows; /* calibration tokens that its algorithm saw at its input; NaN: it looked at none */
    bool fallback; /* the algorithm could not do what was asked and did something else */
    double seconds;
};

/* How the values at a site are quantized. */
struct bs_site_setting {
    const struct bs_setting *setting; /* borrowed; NULL: not */
    struct bs_rounder rounder;
    struct bs_fixed fixed;  /* the parameters of static ones that all share */
    struct bs_fixed *parts; /* the same of each head, or of each channel, `num_parts`; the block's.
                               NULL: of none */
    int num_parts;
    int turned; /* of keys and values: bs_cache_turned, for a setting with `hadamard` */
    bool
        blocks; /* of keys: they are multiplied as llama.cpp does, by queries in blocks of 8 bits */
    bool paired; /* and stand as llama.cpp has them: channel j beside j + half of its head */
};

/* One decoder layer, float32. */
struct bs_block {
    const struct bs_architecture *architecture;
    const struct bs_program *program; /* the layer's */
    int index;
    struct bs_linear *linears; /* by slots of the program */
    struct bs_norm norms[BS_NUM_NORMS];
    float *vectors[BS_NUM_VECTORS]; /* NULL where it has none */
    float *hidden_scale; /* [intermediate_size], what the activation's output is divided by */
    struct bs_site_setting *sites;     /* by values of the program; NULL: none is quantized */
    const struct bs_site_setting *own; /* the same, as the checkpoint quantizes inputs in every run
                                          of its model; the model's. NULL: it quantizes none */
    struct bs_basis *online; /* the same: the turn of a value as soon as it is made, before anything
                                else sees it; values NULL: none. NULL: nowhere */
    struct bs_bases residual; /* of the residual stream, as the block reads and writes it; count 0:
                                 the checkpoint's */
};

/* A norm of `width` channels, weights 1, biases undefined. BS_ENOMEM. */
enum bs_status bs_norm_init(struct bs_norm *norm, enum bs_norm_kind kind, int width,
                            struct bs_error *err);
void bs_norm_release(struct bs_norm *norm);

/* y = norm(x) for x [rows][norm->width], with the architecture's eps; y may be x. */
void bs_norm_apply(const struct bs_architecture *architecture, const struct bs_norm *norm,
                   const float *x, float *y, int rows);

/* A layer of this architecture, its weights, biases and norms undefined, the scales 1.
 * BS_ENOMEM. */
enum bs_status bs_block_init(struct bs_block *block, const struct bs_architecture *architecture,
                             int layer, struct bs_error *err);

/* Reads block `index` as the checkpoint has it. BS_ENOMEM. */
enum bs_status bs_block_load(const struct bs_model *model, int index, struct bs_block *block,
                             struct bs_error *err);

/* Bits that a linear takes in a file: of its codes, of the checkpoint's, or of plain weights, as
 * models are published. */
double bs_linear_bits(const struct bs_linear *linear);

/* Copies weights, norms and scales of a block into `to`, which is either zero or an earlier copy
 * whose memory is used again where its program is the same. Codes and what products prepare are not
 * copied. */
enum bs_status bs_block_copy(struct bs_block *to, const struct bs_block *from,
                             struct bs_error *err);
void bs_block_release(struct bs_block *block);

/* view = the block with a list of linears of its own, which bs_free gives back; all else is the
 * block's. False without memory, and then the list is NULL. */
bool bs_block_view(const struct bs_block *block, struct bs_block *view);

/* Chooses how the forward pass multiplies each linear from now on: by the first kernel that suits
 * it and its input, floats in `compute`. Weights and codes do not change any more. BS_ENOMEM,
 * BS_EUNSUPPORTED as bs_packed_create. */
enum bs_status bs_block_choose_kernels(struct bs_block *block, enum bs_compute compute,
                                       struct bs_error *err);

/* The parameters of a static site: of all of it, or of each of its parts. */
static inline const struct bs_fixed *bs_site_fixed(const struct bs_site_setting *site)
{
    return site->parts ? site->parts : &site->fixed;
}

/* Room for the parameters of a site's parts, undefined. BS_ENOMEM. */
enum bs_status bs_block_give_parts(struct bs_block *block, int site, int count,
                                   struct bs_error *err);

/* Lets the forward pass quantize values from now on, at each site of the program by the resolved
 * setting that `sites` has for it and that outlives the block, or where that is none as the
 * checkpoint does, and prepares linears whose weights are quantized too for exact products in
 * integers: their codes do not change any more. Of attention's probabilities a row is what one head
 * makes of one query, of the keys that this sees; static parameters are there those of values from
 * 0 to 1, unless the range watches values: then the caller has fixed them. BS_ECONFIG where a
 * format cannot take a width; BS_ENOMEM. */
enum bs_status bs_block_quantize_sites(struct bs_block *block,
                                       const struct bs_setting *const *sites, struct bs_error *err);

/* Sites are quantized as the checkpoint has it in every run. */
void bs_block_clear_sites(struct bs_block *block);

/* Whether the checkpoint has a scale of its own for all values of one of the block's sites. */
bool bs_block_fixes_inputs(const struct bs_block *block);

/* Room for the codes of a linear by a setting, which outlives the block: bs_codes_init. */
enum bs_status bs_block_init_codes(struct bs_block *block, int slot,
                                   const struct bs_setting *weights, struct bs_error *err);

/* True where a factor at the site can be moved: the program has a fold point for it, and the site
 * is not turned online. */
bool bs_block_folds(const struct bs_block *block, int site);

/* Multiplies the columns of every linear that reads the site, or rows of it, by scale [in] and
 * divides the site's fold point by it, so that the block computes the same function. There is
 * such a point (bs_block_folds), and where it is a linear's rows there are as many as the site has
 * channels. BS_ENOMEM, and then nothing is changed. */
enum bs_status bs_block_fold(struct bs_block *block, int site, const float *scale,
                             struct bs_error *err);

/* Turns a site: what stands before it makes T x instead of x and each linear that reads it is
 * multiplied by T^-1, so that the block computes the same function. T is orthogonal, and its span
 * divides the site's heads. BS_EUNSUPPORTED where the function would change: anything but copies
 * and attention's sum over values stands between a linear's rows and the site, something else
 * than linears reads it, or it is turned online. BS_ENOMEM. Then nothing is changed. */
enum bs_status bs_block_turn(struct bs_block *block, int site, const struct bs_basis *turn,
                             struct bs_error *err);

/* Turns a site online, where it is made: T x is computed for every token, and each linear that
 * reads it is multiplied by T^-1. BS_EUNSUPPORTED where something else than linears reads it, it is
 * turned online already or T's span does not divide it; BS_ENOMEM. Then nothing is changed. */
enum bs_status bs_block_turn_online(struct bs_block *block, int site, const struct bs_basis *turn,
                                    struct bs_error *err);

/* Turns the queries and the keys that attention reads online, each head alike: their products stay
 * the same. The turn's span divides a head. BS_EUNSUPPORTED where they are turned already;
 * BS_ENOMEM.
 */
enum bs_status bs_block_turn_keys(struct bs_block *block, const struct bs_basis *turn,
                                  struct bs_error *err);

/* Turns the residual stream: the block then takes T x and gives T y, where it took x and gave y.
 * What the norms before its linears have as weights and biases is folded into these; they become
 * RMS norms without. Where they were layer norms, what linears add to the stream loses its mean,
 * and x must have none: block->residual says so. BS_EUNSUPPORTED where something else than norms,
 * linears and sums reads or writes the stream; BS_ENOMEM, after which the block is good for
 * nothing. */
enum bs_status bs_block_turn_residual(struct bs_block *block, const struct bs_basis *turn,
                                      struct bs_error *err);

/* What a forward pass shows on the way. Called from parallel threads. */
struct bs_observer {
    void *context;
    /* A site of the program, before it is quantized: x [rows] rows of its width, `stride` floats
     * apart; inputs of linears are close together. Rows are the window's tokens, or of an expert's
     * site those that went to it, perhaps none. NULL = nothing. */
    void (*site)(void *context, int value, const float *x, int rows, int stride);
    bool every;           /* values without a name are shown too */
    int last;             /* the site after which a pass without an output ends */
    const float *routing; /* [tokens][experts]: where tokens go, in place of what the block's router
                             says, -1 where they do not; NULL = as the router says */
    float *routed;        /* the same, as it came out; NULL = unwanted */
    /* Room for attention's probabilities, of a window that does not fork: as their site they are
     * shown as rows of heads, a pair of a query and a key that it sees after another,
     * bs_attention_pairs at most. NULL = they are not. */
    float *probabilities;
};

/* Runs one window: y [tokens][hidden] = block(x [tokens][hidden]); y may be x. Where y is NULL the
 * pass is for the observer only and goes no further than it says. Sites are quantized as
 * block->sites says; where wiring is post-norm, what the linears read is the residual stream, and
 * it is the quantized one that goes on, as in SmoothQuant's code, which quantizes in place. `rope`
 * from bs_rope_create. */
struct bs_rope;
void bs_block_forward(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                      float *y, int tokens, const struct bs_observer *observer,
                      struct bs_scratch *scratch);

/* The same for a window that forks. Where activations share parameters over a window, its branches
 * share them too. */
void bs_block_forward_fork(const struct bs_block *block, const struct bs_rope *rope, const float *x,
                           float *y, const struct bs_fork *fork, const struct bs_observer *observer,
                           struct bs_scratch *scratch);

/* Runs a part of the block on its own input: y [tokens] rows of the width of part.to, of x the same
 * of part.from; the part is one that bs_program_range lets pass. No site is quantized. */
void bs_part_forward(const struct bs_block *block, struct bs_part part, const struct bs_rope *rope,
                     const float *x, float *y, int tokens, struct bs_scratch *scratch);

/* y [tokens] rows of out floats, `stride` floats apart = x [tokens][in] * weight^T + bias. */
void bs_linear_forward(const struct bs_linear *linear, const float *x, float *y, int stride,
                       int tokens);

/* y [tokens] rows, `stride` floats apart, += the linear's bias, where it has one. */
void bs_linear_add_bias(const struct bs_linear *linear, float *y, int stride, int tokens);

/* Floats of scratch that either forward needs for a window of `tokens`, with room besides for one
 * output of the window, or for its input and what turning that takes. */
size_t bs_block_scratch_floats(const struct bs_architecture *architecture, int tokens);

/* cos and sin of rotary positions, for global and local layers, for windows of `windows[0 ..
 * count)` tokens: only of these lengths where frequencies depend on the window's (dynamic,
 * longrope), else of all up to the longest. Empty for other positions. NULL when memory runs
 * out. */
struct bs_rope *bs_rope_create(const struct bs_architecture *architecture, const int *windows,
                               int count);
void bs_rope_free(struct bs_rope *rope);

/* Final norm and output matrix. */
struct bs_ggml_weights;
struct bs_head {
    const struct bs_architecture *architecture;
    struct bs_norm norm;
    float *project; /* [embedding_size][hidden_size], or NULL */
    float *bias;    /* [vocab_size], or NULL */
    int run;        /* ids that are multiplied by at a time */
    /* The output matrix [vocab_size][embedding_size] by runs of ids, the last shorter; NULL where
     * it is not multiplied by in that. */
    struct bs_packed **runs[BS_NUM_PACKED];
    struct bs_ggml_weights **blocks; /* the same, for what is computed as llama.cpp does */
};

/* For the products of `computes`, bits 1 << enum bs_compute, of a version of the model where
 * `rounding` is not NULL: in another basis the final norm has no weights. BS_ENOMEM,
 * BS_EUNSUPPORTED as bs_packed_create. */
enum bs_status bs_head_load(const struct bs_model *model, int run, unsigned computes,
                            const struct bs_outer_rounding *rounding, struct bs_head *head,
                            struct bs_error *err);
void bs_head_release(struct bs_head *head);

/* Rows `first` and on, [count][embedding_size], of an output matrix. Called from parallel
 * threads. */
typedef void bs_head_rows(const void *context, int first, int count, float *rows);

/* Fills head->runs[compute]; architecture and run are set. BS_ENOMEM, BS_EUNSUPPORTED. */
enum bs_status bs_head_pack(struct bs_head *head, enum bs_compute compute, bs_head_rows *rows,
                            const void *context, struct bs_error *err);

/* in [tokens][embedding_size]: what the output matrix is multiplied by, of x [tokens][hidden_size].
 * Scratch for tokens * hidden_size floats. */
void bs_head_inputs(const struct bs_head *head, const float *x, int tokens, float *in,
                    struct bs_scratch *scratch);

/* Fills head->blocks, as bs_ggml_head_create; architecture and run are set. BS_ENOMEM,
 * BS_EUNSUPPORTED. */
enum bs_status bs_head_pack_blocks(struct bs_head *head, const struct bs_model *model,
                                   const struct bs_outer_rounding *rounding, struct bs_error *err);

/* logits [tokens][count] of the run of ids that begins with `first`; returns count. Scratch:
 * bs_head_floats. */
int bs_head_logits(const struct bs_head *head, enum bs_compute compute, const float *in, int tokens,
                   int first, float *logits, struct bs_scratch *scratch);

/* Floats of scratch for a run of so many ids, of an output matrix of that width. */
size_t bs_head_floats(int run, int width);

#endif
