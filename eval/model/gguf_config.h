/* What the metadata of a GGUF file say of a model, as the config.json of its family would. */
#ifndef BS_EVAL_MODEL_GGUF_CONFIG_H
#define BS_EVAL_MODEL_GGUF_CONFIG_H

#include <jansson.h>

#include "eval/gguf/gguf.h"
#include "eval/model/model.h"

/* The config.json in a new reference: model_type, the keys of the family's row, and by its own name
 * (less "llama.") each value of the architecture that is not known, to be judged as those of a
 * config.json are. What is not in the metadata (biases, a head of its own, ...) is seen from the
 * tensors. BS_EDATA naming file and key; BS_EUNSUPPORTED for an architecture without a family. */
enum bs_status bs_gguf_config(const struct bs_gguf_model *model, json_t **config,
                              struct bs_error *err);

/* What tells how a GGUF file holds the tensors of a family. */
struct bs_gguf_holding {
    const char *arch;  /* general.architecture, "llama" */
    bool ffn_norm;     /* the norm before the MLP goes by that name */
    bool attn_norm_2;  /* attention has that one, and the MLP's is called as attention's */
    bool qkv, gate_up; /* q, k and v, and gate and up, stand in one tensor */
};

/* Makes *stored, a copy of the family's row, say what a GGUF file calls its tensors and how it
 * holds them. */
void bs_gguf_store(const struct bs_gguf_model *model, struct bs_family *stored);
void bs_gguf_store_as(const struct bs_gguf_holding *holding, struct bs_family *stored);

/* What the family is called whose models a file of this architecture holds; NULL where none is
 * known. */
const char *bs_gguf_model_type(const struct bs_gguf_model *model, const char *arch);

/* BS_EUNSUPPORTED naming the architectures that are known. */
enum bs_status bs_gguf_fail_arch(const char *path, const char *arch, struct bs_error *err);

/* What llama.cpp calls the architecture of a model, or NULL where it is none that is written. */
const char *bs_gguf_arch_of(const struct bs_family *family);

/* Whether llama.cpp rotates channels 2j and 2j + 1 of such a model's heads, as its files have them,
 * where transformers does j and j + half. */
bool bs_gguf_pairs(const struct bs_family *family);

/* A linear's weight as llama.cpp's files have it: a tensor, and which of its matrices. */
struct bs_inputs_name {
    char tensor[96];      /* "blk.0.attn_q.weight" */
    int matrix, matrices; /* 0 of 1, but of a tensor of all experts */
};

/* What llama.cpp calls a linear of a layer in one of `num_experts` experts, or of none, and from
 * which = 1 on the other tensors that the same inputs may be named by: those that hold several
 * linears. False where there are no more. */
bool bs_inputs_name_of(const struct bs_slot *slot, int num_experts, int layer, int which,
                       struct bs_inputs_name *matrix);

/* What llama.cpp calls embedding and head; of a tied head both are the embedding. */
const char *bs_gguf_outer_name(enum bs_outer which, bool tied);

#endif
