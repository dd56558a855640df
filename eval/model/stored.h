/* A model as its checkpoint holds it: which linears stand in one tensor, in which rows, and which
 * tensors there are besides. For whoever writes checkpoints. */
#ifndef BS_EVAL_MODEL_STORED_H
#define BS_EVAL_MODEL_STORED_H

#include "eval/checkpoint/tensor.h"
#include "eval/model/model.h"

enum { BS_STORED_NAME_BYTES = 256 };

/* A tensor of a block's linears, by itself or of several. */
struct bs_stored_linear {
    char module[BS_STORED_NAME_BYTES]; /* its name, "model.layers.0.self_attn.q_proj" */
    const char *ending;                /* of the tensor's name: ".weight"; "" */
    const struct bs_tensor *source;    /* the checkpoint's */
    int first, last;                   /* the slots whose rows it has */
    int out, in;                       /* of all of them */
    bool biased;                       /* module.bias is there */
    bool transposed;                   /* plain values are [in][out] */
    bool stacked;                      /* one expert's of a tensor of three dimensions */
};

/* Where the files of the model are: the folder, of a LoRA that of its base, or a GGUF file. */
const char *bs_model_directory(const struct bs_model *model);

/* Takes a tensor that was read off the process's resident memory: what it holds stays readable. */
void bs_stored_forget(const struct bs_model *model, const struct bs_tensor *tensor);

/* What the output matrix is called, without ".weight", also where it is tied to the embedding and
 * the checkpoint has none. */
void bs_stored_head(const struct bs_model *model, char module[BS_STORED_NAME_BYTES]);

/* The tensors of a layer's linears, in the order of the slots; returns how many. */
int bs_stored_linears(const struct bs_model *model, int layer,
                      struct bs_stored_linear list[BS_MAX_SLOTS]);

/* The row of the tensor in which row i of a slot's linear stands. */
int bs_stored_row(const struct bs_slot *slot, int i);

/* Whether the recipe has given codes to the linears of the tensor. */
bool bs_stored_is_coded(const struct bs_block *block, const struct bs_stored_linear *stored);

/* The codes of the whole tensor, [out][in] in its order of rows: the linear's own, or put together
 * in `room`, which bs_codes_release gives back and whose setting is the first linear's.
 * BS_EUNSUPPORTED where its linears are rounded each in its own way; BS_ENOMEM. */
enum bs_status bs_stored_codes(const struct bs_block *block, const struct bs_stored_linear *stored,
                               struct bs_codes *room, const struct bs_codes **codes,
                               struct bs_error *err);

/* Whether the block's weights, and biases, of the tensor are other than the original's. */
bool bs_stored_weights_differ(const struct bs_block *original, const struct bs_block *block,
                              const struct bs_stored_linear *stored);
bool bs_stored_biases_differ(const struct bs_block *original, const struct bs_block *block,
                             const struct bs_stored_linear *stored);

/* The values as the tensor has them: weights [out][in], or [in][out] where it is transposed; biases
 * [out]. */
void bs_stored_weights(const struct bs_block *block, const struct bs_stored_linear *stored,
                       float *values);
void bs_stored_biases(const struct bs_block *block, const struct bs_stored_linear *stored,
                      float *values);

/* A tensor that is no linear's weight, as the model has it (values NULL) or with other values. */
struct bs_stored_tensor {
    const struct bs_tensor *source;
    const float *values; /* [source->count], lent for the call */
};
typedef enum bs_status bs_stored_visit(void *context, const struct bs_stored_tensor *tensor,
                                       struct bs_error *err);

/* The norms of a block, one after another. BS_EUNSUPPORTED where the file cannot hold a value;
 * BS_ENOMEM; what the visit returns. */
enum bs_status bs_stored_norms(const struct bs_model *model, const struct bs_block *original,
                               const struct bs_block *block, bs_stored_visit *visit, void *context,
                               struct bs_error *err);

/* The same of all biases of its linears. */
enum bs_status bs_stored_all_biases(const struct bs_model *model, const struct bs_block *original,
                                    const struct bs_block *block, bs_stored_visit *visit,
                                    void *context, struct bs_error *err);

/* The tensors outside the blocks. */
enum bs_status bs_stored_outer(const struct bs_model *model, bs_stored_visit *visit, void *context,
                               struct bs_error *err);

#endif
