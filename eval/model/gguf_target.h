/* A model as a GGUF file holds it: what its tensors are called, which rows of which linears stand
 * in them, and what is outside the blocks. For whoever writes such files. */
#ifndef BS_EVAL_MODEL_GGUF_TARGET_H
#define BS_EVAL_MODEL_GGUF_TARGET_H

#include "eval/model/model.h"

enum { BS_GGUF_NAME_BYTES = 96, BS_GGUF_ARCH_BYTES = 32 };

/* The model. */
struct bs_gguf_target {
    char arch[BS_GGUF_ARCH_BYTES];       /* general.architecture */
    struct bs_architecture architecture; /* `stored` and the program's tensors are the file's */
};

/* How a model of this architecture is held; of one that was read from a GGUF file, as that one.
 * BS_EUNSUPPORTED for families that llama.cpp has no architecture for, or that are not written. */
enum bs_status bs_gguf_target_init(const struct bs_model *model, struct bs_gguf_target *target,
                                   struct bs_error *err);

/* Whether the model was read from a GGUF file. */
bool bs_model_is_gguf(const struct bs_model *model);

/* Whether the GGUF file that the model was read from has one set of rotary factors for texts of any
 * length. */
bool bs_gguf_has_joint_factors(const struct bs_model *model);

/* A tensor of a block's linears: those of slots first to last, [out][in]; or [experts][out][in], of
 * each expert the linear that the first one has in slot `first`. */
struct bs_gguf_matrix {
    char name[BS_GGUF_NAME_BYTES]; /* "blk.0.attn_q", without ".weight" or ".bias" */
    int first, last;
    int out, in;
    int experts; /* 0: it is no tensor of experts */
    bool biased;
};

/* Rows of the tensor, of all experts. */
int bs_gguf_num_rows(const struct bs_gguf_matrix *matrix);

/* The tensors of a layer's linears, in the order of the slots; returns how many. */
int bs_gguf_matrices(const struct bs_gguf_target *target, int layer,
                     struct bs_gguf_matrix list[BS_MAX_SLOTS]);

/* Where row `row` of the tensor comes from. */
struct bs_gguf_row {
    int slot, row;
};

/* Fills rows [bs_gguf_num_rows] of a layer's tensor. */
void bs_gguf_rows(const struct bs_gguf_target *target, int layer,
                  const struct bs_gguf_matrix *matrix, struct bs_gguf_row *rows);

/* The slot of the same linear of another expert. */
int bs_gguf_expert_slot(const struct bs_program *program, const struct bs_gguf_matrix *matrix,
                        int expert);

/* What a norm of a layer is called, without ending. */
void bs_gguf_norm_name(const struct bs_gguf_target *target, int layer, enum bs_norm_place place,
                       char name[BS_GGUF_NAME_BYTES]);

/* A tensor outside the blocks, of plain numbers: a norm's vector, positions, biases of the head. */
struct bs_gguf_outer {
    const char *name, *ending;
    const struct bs_tensor *tensor;
    bool plus_one; /* its values are those of the model's tensor and 1 */
};
enum { BS_GGUF_MOST_OUTER = 8 };

/* Lists them; returns how many. */
int bs_gguf_outer(const struct bs_model *model, const struct bs_gguf_target *target,
                  struct bs_gguf_outer list[BS_GGUF_MOST_OUTER]);

/* What of the numbers that the forward pass looks at differs between two architectures, in a word
 * for people; NULL where nothing does. Rotary factors that stand in tensors are not compared. */
const char *bs_architecture_difference(const struct bs_architecture *a,
                                       const struct bs_architecture *b);

/* The tensor of the model's own files in which a slot of a layer stands. */
const struct bs_tensor *bs_model_slot_tensor(const struct bs_model *model, int layer, int slot);

/* Row i of a linear in blocks, as the model's file has it; NULL where its weights are not, or no
 * longer, such. */
const unsigned char *bs_linear_blocks(const struct bs_linear *linear, int i);

/* The matrices outside the blocks as the model's own files have them. */
const struct bs_tensor *bs_model_outer_tensor(const struct bs_model *model, enum bs_outer which);

#endif
