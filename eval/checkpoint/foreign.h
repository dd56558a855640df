/* What a path, a folder or a config.json is that bitsweep does not open, and what to do about
 * it. */
#ifndef BS_EVAL_CHECKPOINT_FOREIGN_H
#define BS_EVAL_CHECKPOINT_FOREIGN_H

#include <jansson.h>

#include "eval/base/error.h"

/* BS_OK for a folder with a config.json. A file (safetensors, ...) or a folder of another
 * kind (a LoRA adapter, a diffusion pipeline, ...) is BS_EUNSUPPORTED, and what is not
 * there BS_EIO. */
enum bs_status bs_foreign_path(const char *path, struct bs_error *err);

/* For a folder without weights in a file that transformers looks for: says what is there instead,
 * or `missing`. Always fails. */
enum bs_status bs_foreign_weights(const char *directory, const char *missing, struct bs_error *err);

/* The kind of model that transformers calls this, where no family is like it ("an encoder such as
 * BERT"), or NULL. */
const char *bs_foreign_kind(const char *model_type);

/* The scheme that a tensor of this name is part of, where it holds quantized weights: "GPTQ or
 * AWQ"; or NULL. */
const char *bs_foreign_tensor(const char *name);

#endif
