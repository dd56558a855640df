/* The tensors of a Hugging Face model directory, memory-mapped: safetensors or PyTorch's files,
 * single or sharded, plain or quantized. */
#ifndef BS_EVAL_CHECKPOINT_CHECKPOINT_H
#define BS_EVAL_CHECKPOINT_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/base/lines.h"
#include "eval/checkpoint/tensor.h"

struct bs_checkpoint;

/* Opens the first there is of model.safetensors, model.safetensors.index.json, pytorch_model.bin
 * and pytorch_model.bin.index.json, as transformers does, or else the one file whose name ends in
 * .pt; or a GGUF file and its further parts, where the place means one (bs_gguf_place). An index
 * names the files that hold the tensors. Every file's table of contents is checked whole (see
 * safetensors.c and torch_file.c), and each tensor stands where the index says. BS_EIO,
 * BS_EDATA or BS_EUNSUPPORTED naming file and tensor. A tensor that cannot be read is no error by
 * itself: find and digest pass over it, and require says why. What config.json says of quantized
 * weights is followed: codes, scales and zero points of a linear become one coded tensor, called as
 * the plain one would be (layout.h). */
enum bs_status bs_checkpoint_open(const char *directory, struct bs_checkpoint **checkpoint,
                                  struct bs_error *err);
void bs_checkpoint_free(struct bs_checkpoint *checkpoint);

/* Merges the LoRA in `directory` (adapter_config.json, adapter_model.safetensors) into an open
 * checkpoint, before anything was required of it. BS_EIO, BS_EDATA; BS_EUNSUPPORTED for adapters of
 * other kinds. */
enum bs_status bs_checkpoint_adapt(struct bs_checkpoint *checkpoint, const char *directory,
                                   struct bs_error *err);

/* The tensor called `name`, or NULL. */
const struct bs_tensor *bs_checkpoint_find(const struct bs_checkpoint *checkpoint,
                                           const char *name);

/* The tensor called `name`, which must have exactly this shape (rank dimensions); it counts as used
 * from now on. BS_EDATA naming the directory or file, the tensor, what was found and what was
 * expected. */
enum bs_status bs_checkpoint_require(struct bs_checkpoint *checkpoint, const char *name, int rank,
                                     const int64_t *shape, const struct bs_tensor **tensor,
                                     struct bs_error *err);

/* Takes a tensor that was read off the process's resident memory: what it holds stays readable. */
void bs_checkpoint_forget(const struct bs_checkpoint *checkpoint, const struct bs_tensor *tensor);

/* The next tensor in order of name, readable or not, that nobody has required; NULL after the last.
 * *cursor says where to go on, and starts at 0. *dtype (NULL = not wanted) is its element type as
 * safetensors spell it. The texts are the checkpoint's. */
const char *bs_checkpoint_unused(const struct bs_checkpoint *checkpoint, size_t *cursor,
                                 const char **dtype);

/* The next tensor in order of name that was required and is coded, but for one that an adapter is
 * merged into; *cursor as above. NULL after the last. */
const struct bs_tensor *bs_checkpoint_coded(const struct bs_checkpoint *checkpoint, size_t *cursor);

/* How many tensors of its files an index does not name, so that they are no part of the model. */
size_t bs_checkpoint_unnamed(const struct bs_checkpoint *checkpoint);

/* Adds lines on what is passed over: of quantized weights, each further file of weights that could
 * have been opened in place of the one that was, and an adapter beside it. BS_ENOMEM. */
enum bs_status bs_checkpoint_note(const struct bs_checkpoint *checkpoint, struct bs_lines *notices,
                                  struct bs_error *err);

/* Adds name, dtype (of a coded one the scheme), shape and bytes of every tensor that was required
 * so far to the digest, in order of name, and looks for values that are not finite on the way:
 * BS_EDATA naming file, tensor and index of the first. What nobody requires does not count: a
 * buffer of -inf, such as the masks that older checkpoints hold, is no part of the model. Reads
 * each tensor once, on all threads; the digest depends neither on their number nor on the files
 * that the tensors come from. */
enum bs_status bs_checkpoint_digest(const struct bs_checkpoint *checkpoint,
                                    struct bs_digest_state *digest, struct bs_error *err);

/* As bs_map_check, for each file of weights. */
enum bs_status bs_checkpoint_check(const struct bs_checkpoint *checkpoint, struct bs_error *err);

#endif
