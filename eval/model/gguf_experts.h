/* What the metadata of a GGUF file say of experts and of latent attention. */
#ifndef BS_EVAL_MODEL_GGUF_EXPERTS_H
#define BS_EVAL_MODEL_GGUF_EXPERTS_H

#include <jansson.h>

#include "eval/gguf/gguf.h"
#include "eval/model/families.h"

/* Puts it into the config by the names of the family, which is one with experts. BS_EDATA;
 * BS_EUNSUPPORTED where the file says what no model of the family computes. */
enum bs_status bs_gguf_put_experts(const struct bs_gguf_model *model, const char *arch,
                                   const struct bs_family_config *rules, json_t *config,
                                   struct bs_error *err);

/* Whether metadata of this name, less "ARCH.", are read there. */
bool bs_gguf_is_of_experts(const char *name);

#endif
