/* A model as open.c leaves it, and what its tensors are called. Only the files of eval/model that
 * read tensors use this. */
#ifndef BS_EVAL_MODEL_MODEL_INTERNAL_H
#define BS_EVAL_MODEL_MODEL_INTERNAL_H

#include "eval/checkpoint/checkpoint.h"
#include "eval/model/model.h"

enum { BS_PLACE_BYTES = 96, BS_NORM_NAME_BYTES = 64, BS_TENSOR_NAME_BYTES = 256 };

/* A norm's tensors; weight NULL where there is no norm, bias where it has none. */
struct bs_norm_tensors {
    const struct bs_tensor *weight, *bias;
};

/* How the checkpoint quantizes inputs of linears in every run of its model. */
struct bs_own_inputs {
    struct bs_own_setting *settings; /* [count], each as one of the linears' texts has it */
    int count;
    struct bs_site_setting **layers; /* by layers: by values of its program, owned, or NULL; NULL:
                                        none are quantized */
};

/* An open model: where its tensors are. */
struct bs_model {
    char *directory; /* that config.json and the tensors are of, owned */
    struct bs_architecture architecture;
    struct bs_checkpoint *checkpoint;
    /* What the names begin with: of all tensors but the head's, and of the head's. */
    const char *prefix, *head_prefix;
    const struct bs_tensor *embedding, *positions, *project_in, *project_out, *head, *head_bias;
    struct bs_norm_tensors embedding_norm, final_norm;
    const struct bs_expert_tensors *experts; /* as the checkpoint holds them; NULL where there are
                                                none */
    struct bs_digest digest;
    struct bs_remarks remarks;
    bool quantized; /* some of the checkpoint's weights are */
    struct bs_own_inputs own;
};

/* Adds everything of the architecture that the forward pass looks at. BS_ENOMEM. */
enum bs_status bs_architecture_digest(const struct bs_architecture *architecture,
                                      struct bs_digest_state *digest, struct bs_error *err);

/* Finds them among the coded matrices of a model whose tensors were all required, and adds to the
 * notices what is quantized, and what cannot be as the checkpoint says. BS_ENOMEM. */
enum bs_status bs_own_inputs_find(struct bs_model *model, struct bs_error *err);
void bs_own_inputs_release(struct bs_own_inputs *own, int num_layers);

/* The norm before the head, which the model has. BS_ENOMEM. */
enum bs_status bs_model_final_norm(const struct bs_model *model, struct bs_norm *norm,
                                   struct bs_error *err);

/* What the tensors of a block begin with. */
void bs_block_place(const struct bs_model *model, int block, char out[BS_PLACE_BYTES]);

/* Tensors that the weights of a block's norm stand in, and what one of them is called. */
int bs_norm_parts(const struct bs_architecture *a, enum bs_norm_place place);
void bs_norm_name(const struct bs_architecture *a, enum bs_norm_place place, int part,
                  char name[BS_NORM_NAME_BYTES]);

/* Where a checkpoint holds a linear of a block. */
struct bs_slot_tensor {
    char weight[BS_TENSOR_NAME_BYTES], bias[BS_TENSOR_NAME_BYTES]; /* whole names */
    int rank;
    int64_t shape[3];
    int slice; /* of a tensor of several experts, along its first dimension */
    struct bs_tensor_rows rows;
    bool transposed; /* a slice is [in][all rows] */
};

/* Of a slot of a layer's program; place: bs_block_place. */
void bs_slot_tensor(const struct bs_model *model, const struct bs_program *program,
                    const char *place, int slot, struct bs_slot_tensor *tensor);

/* What a change of the rounding's basis takes, the calling thread's. */
float *bs_outer_room(const struct bs_outer_rounding *rounding);

#endif
