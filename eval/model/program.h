/* A decoder layer as a short program: operations over named values, built from the family's row and
 * config.json. Layers of one kind have the same program, layers of different kinds (with experts,
 * without) each their own. How a block is wired is said here once: what linears read together,
 * where a factor can be folded, which part of a block is looked at by itself, the memory that a
 * window takes and what it costs follow from the program. */
#ifndef BS_EVAL_MODEL_PROGRAM_H
#define BS_EVAL_MODEL_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "eval/base/error.h"

/* Sets of linears that have biases together. */
enum bs_biases {
    BS_BIASES_QKV = 1, /* what makes query, key and value */
    BS_BIASES_O = 2,   /* attention's last */
    BS_BIASES_MLP = 4,
    BS_BIASES_ALL = 7,
    BS_BIASES_ROUTER = 8,
    BS_BIASES_SHARED = 16 /* of the expert that all tokens go to */
};

/* Where a block's norms stand. */
enum bs_norm_place {
    BS_NORM_ATTENTION,     /* before attention; after its residual sum where wiring is post-norm */
    BS_NORM_MLP,           /* the same of the MLP */
    BS_NORM_ATTENTION_OUT, /* on attention's output, before the residual sum (Gemma 2) */
    BS_NORM_MLP_OUT,       /* the same of the MLP */
    BS_NORM_Q,             /* on q, and on k, before rotary positions (Qwen3) */
    BS_NORM_K,
    BS_NORM_QUERY_LATENT, /* of latent attention, on the narrow vector that queries are made of */
    BS_NORM_KEY_VALUE_LATENT,
    BS_NUM_NORMS
};

/* The most experts of a block; linears that stand side by side but for theirs, by their roles; and
 * what experts of three linears add. */
enum {
    BS_MAX_EXPERTS = 384,
    BS_MAX_ROLES = 20,
    BS_MAX_VALUES = 64 + 6 * BS_MAX_EXPERTS,
    BS_MAX_SLOTS = BS_MAX_ROLES + 3 * BS_MAX_EXPERTS,
    BS_MAX_OPS = BS_MAX_VALUES,
    BS_MAX_DEPTHS = 8 /* linears that follow one another */
};

enum { BS_ADD_PLAIN = 1 };

/* What is done at a step; bs_op_types says more of each. */
enum bs_op_kind {
    BS_OP_COPY,     /* the same values under another name, or to be changed apart */
    BS_OP_PART,     /* channels `detail` and on of what several linears made side by side */
    BS_OP_NORM,     /* detail: enum bs_norm_place */
    BS_OP_LINEAR,   /* the outputs of num_slots linears, slot and on, side by side */
    BS_OP_CLIP,     /* to +- qkv_clip */
    BS_OP_ROTARY,   /* in layers that have rotary positions */
    BS_OP_SCALE,    /* queries by what their positions ask for: bs_query_scaling */
    BS_OP_UNIT,     /* each head by its root mean square, in layers that have rotary positions */
    BS_OP_HEADS,    /* of each head the channels `detail` and on */
    BS_OP_JOIN,     /* each head of in[0] with that of in[1], or with the only one there */
    BS_OP_ATTEND,   /* in: query, key, value; detail: the value that stands for its probabilities */
    BS_OP_ACTIVATE, /* act(in[0]), times in[1] where there is one */
    BS_OP_DIVIDE,   /* by bs_block.hidden_scale, where there is one */
    BS_OP_CLAMPED_GATE, /* (up + 1) * g * sigmoid(1.702 g), g the gate, both held within bounds */
    BS_OP_ADD,     /* in[0] + residual_scale * in[1]; detail BS_ADD_PLAIN: without the factor */
    BS_OP_WEIGH,   /* rows of in[0] by the sigmoid of in[1], a number each */
    BS_OP_ROUTE,   /* which experts a row goes to: the weight of each, -1 where it does not */
    BS_OP_GATHER,  /* in: rows, routing; the rows that go to expert `detail`, one after the other */
    BS_OP_SCATTER, /* in: an expert's rows, routing, the sum so far (-1: none); adds the rows,
                        weighted, to where they came from */
    BS_NUM_OPS
};

/* What a named value is to the model; a word for rules and reports: bs_site_word. */
enum bs_site {
    BS_SITE_NONE,   /* no site: on the way from one to the next */
    BS_SITE_INPUT,  /* of linears */
    BS_SITE_ROUTER, /* what decides to which experts a token goes, and is handed to them */
    BS_SITE_QKV, /* the outputs of q, k and v, before norms and positions; of a checkpoint's tensor
                      that holds all three they are one */
    BS_SITE_QUERY,         /* as attention reads it */
    BS_SITE_CACHE,         /* key and value as attention reads them: what a cache holds */
    BS_SITE_PROBABILITIES, /* of attention: what a head makes of a query's scores. Its value has no
                              width and no memory, as rows are as long as the keys that a query
                              sees, and exist only while attention works on them */
    BS_SITE_OUTPUT,        /* of attention and of the MLP: of their last linear */
    BS_SITE_RESIDUAL,      /* the residual stream after a branch was added */
    BS_NUM_SITES
};
const char *bs_site_word(enum bs_site kind);

/* What attention's probabilities are called as a site; and how many there are of a head at most, in
 * a window of so many tokens: pairs of a query and a key that it sees. */
extern const char bs_probabilities_name[];
static inline double bs_attention_pairs(int tokens) { return (double)tokens * (tokens + 1.0) / 2; }

/* A value on its way through the block, [tokens][width]: a site where it has a name. */
struct bs_value {
    const char *name; /* "attn_input"; NULL where it is no site */
    enum bs_site kind;
    int width, heads; /* width = heads * head_dim of queries, keys and values; else heads is 1 */
    bool residual;    /* in the residual stream's basis, added to as it is */
    int expert;       /* whose rows it has, as many as were routed to it; -1: all of the window's */
    int made_by;      /* op; -1: the block's input */
    int last_read;    /* op; made_by where none reads it */
    /* The value whose memory it is in, from this channel of each row on; itself at 0 where it has
     * its own. */
    int home, channel;
};

/* Whether linears read the value. */
static inline bool bs_is_input(const struct bs_value *value)
{
    return value->kind == BS_SITE_INPUT || value->kind == BS_SITE_ROUTER;
}

/* Rows of a tensor: `run` of them from row `first` on, as many `stride` rows further, and so on. */
struct bs_tensor_rows {
    int first, run, stride;
    int paired; /* of each so many rows, j and j + half of them follow one another in the tensor;
                   0 = they stand in their order */
};

/* A linear of the block. */
struct bs_slot {
    const char *role; /* what the program calls it by, and the family's row names: "q" */
    const char *name; /* "self_attn.q_proj" */
    int expert;       /* whose it is; -1: no expert's, or that of all tokens */
    int out, in;
    bool biased;
    bool routes;     /* decides where tokens go: rounded only where a rule names it */
    int input;       /* value */
    int first, last; /* the slots that stand in one tensor of the checkpoint with it, itself one */
    const char *tensor;         /* what that is called, without ".weight" or ".bias"; NULL where it
                                   stands with the experts: tensor_names.c */
    struct bs_tensor_rows rows; /* the linear's, of that tensor */
};

/* One operation of a program. */
struct bs_op {
    enum bs_op_kind kind;
    int in[3], out; /* values; -1 = none */
    int slot, num_slots;
    int detail;
};

/* What a per-channel factor at a site can be divided out of: an op, and of a linear the slot whose
 * rows feed the site's channels. op -1: nothing. */
struct bs_fold {
    int op, slot;
};

/* The ops that lead from one value to another. */
struct bs_part {
    int from, to;
};

/* What a block computes: values, slots, and the operations in order. */
struct bs_program {
    int num_values, num_slots, num_ops, num_inputs;
    struct bs_value values[BS_MAX_VALUES];
    struct bs_slot slots[BS_MAX_SLOTS];      /* in the order of the computation */
    struct bs_op ops[BS_MAX_OPS];            /* the same */
    int inputs[BS_MAX_SLOTS];                /* sites that linears read, the same */
    struct bs_fold folds[BS_MAX_VALUES];     /* of these */
    struct bs_part inspected[BS_MAX_VALUES]; /* of these: bs_program_inspected */
    int output;                              /* value; the block's input is value 0 */
    int num_experts;                         /* 0 = none */
    double share;                            /* of a window's tokens an expert gets, on average */
};

struct bs_architecture;

/* Fills the programs of an architecture whose other members are set, and says which layer has
 * which. Beyond that layers differ in what their ops look up. BS_EUNSUPPORTED where there is no
 * room for a program, or the family's row lacks the name of a linear. */
enum bs_status bs_programs_build(struct bs_architecture *architecture, struct bs_error *err);

/* BS_EDATA naming the op that does not fit: one whose input is made later or is overwritten before
 * it is read, whose widths do not go together, that makes what is made already, or that no code
 * computes. */
enum bs_status bs_program_check(const struct bs_program *program, struct bs_error *err);

/* The value of this name, or -1; the first slot of this role ("q"), or -1. */
int bs_program_find(const struct bs_program *program, const char *name);
int bs_program_slot(const struct bs_program *program, const char *role);

/* The first slot of this role that is an expert's, or -1. */
int bs_program_expert_slot(const struct bs_program *program, const char *role);

/* What a value was before its rotary positions; itself where it was not just given any. */
int bs_program_before_rotary(const struct bs_program *program, int value);

/* The value that is rounded where a cache has this setting for one of its sides. */
int bs_program_cached(const struct bs_program *program, int site, bool pre_rope);

/* The linears that read a value, in the order of the slots; returns how many. */
int bs_program_readers(const struct bs_program *program, int value, int slots[BS_MAX_SLOTS]);

/* The slots that programs which run models multiply with as one matrix: q, k and v; gate and up of
 * one MLP; of any other linear itself. They follow one another. */
void bs_program_fused(const struct bs_program *program, int slot, int *first, int *last);

/* Whether a value is the site, or rows gathered or copied from it. */
bool bs_program_is_from(const struct bs_program *program, int value, int site);

/* The linears whose columns a factor at this site is multiplied into: those that read it, and those
 * that read rows gathered or copied from it. In the order of the slots; returns how many. */
int bs_program_scaled(const struct bs_program *program, int site, int slots[BS_MAX_SLOTS]);

/* depths[v] = how many linears follow one another before value v: those that read values of equal
 * depth do not depend on each other. */
void bs_program_depths(const struct bs_program *program, int depths[BS_MAX_VALUES]);

/* Rows that a value has of a window, on average. */
double bs_value_rows(const struct bs_program *program, int value, double tokens);

/* Weights of the linears that a factor at the site is multiplied into; of all. */
double bs_site_weights(const struct bs_program *program, int value);
double bs_program_weights(const struct bs_program *program);

/* The op that makes a value is of this kind; so is the one that a factor at a site folds into. */
bool bs_is_made_by(const struct bs_program *program, int value, enum bs_op_kind kind);
bool bs_folds_into(const struct bs_program *program, int site, enum bs_op_kind kind);

/* The linear each of whose rows makes a channel of the site, as it is or summed over tokens by
 * attention's probabilities; the rows of no other linear do. Else -1, and `between` is the op that
 * stands in the way, -1 where the site is the block's input or something else than linears reads
 * what is on the way. */
int bs_program_source(const struct bs_program *program, int site, int *between);

/* How linears stand to the residual stream: which read it, through which norm (an enum
 * bs_norm_place; -1: as it is), and which make what is added to it. */
struct bs_residual_use {
    bool reads[BS_MAX_SLOTS], writes[BS_MAX_SLOTS];
    int norm[BS_MAX_SLOTS];
};

/* BS_EUNSUPPORTED where something else than that is done with the stream: no change of its basis
 * can then be moved into the linears. */
enum bs_status bs_program_residual(const struct bs_program *program, struct bs_residual_use *use,
                                   struct bs_error *err);

/* The part of the block whose output AWQ's authors look at to judge a factor at a site that linears
 * read (the family's row says which); false where it is the linear alone. The whole block is fed
 * what the site is fed, as their code does it. */
bool bs_program_inspected(const struct bs_program *program, int value, struct bs_part *part);

/* All of the block. */
struct bs_part bs_program_whole(const struct bs_program *program);

/* ops[i] = whether op i is of the part; false where something leads to part.to by another way, or
 * the part's input would be overwritten. */
bool bs_program_range(const struct bs_program *program, struct bs_part part, bool ops[BS_MAX_OPS]);

/* Multiply-adds times two of the part over one window, as counted: those of its linears and, of
 * attention, of half of all pairs of tokens. And of all ops until a value is made. */
double bs_part_flops(const struct bs_program *program, struct bs_part part, int tokens);
double bs_flops_until(const struct bs_program *program, int value, int tokens);

/* Where the values of a window stand in scratch: floats from the beginning of a region of
 * `floats`; a value that linears read is followed by room for what
 * kernels make of it (kernel.h). */
struct bs_frame_layout {
    size_t at[BS_MAX_VALUES], floats;
};
void bs_program_lay(const struct bs_program *program, int tokens, struct bs_frame_layout *layout);

/* A place of the model that a recipe can name: a linear's weight or a site. */
struct bs_place {
    const char *name; /* within the layer: "self_attn.q_proj", "attn_input" */
    const char *kind; /* "weight", or bs_site_word */
    int out, width;   /* of a weight [out][width]; of a site out is 0 */
    int index;        /* slot or value */
};
enum { BS_MAX_PLACES = BS_MAX_SLOTS + BS_MAX_VALUES };

/* The places of a layer: weights, then sites, in the order of the computation. Returns how
 * many. */
int bs_program_places(const struct bs_program *program, struct bs_place places[BS_MAX_PLACES]);

#endif
