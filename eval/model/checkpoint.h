/* The tensors of a Hugging Face model directory: safetensors, single or sharded, memory-mapped. */
#ifndef BS_EVAL_MODEL_CHECKPOINT_H
#define BS_EVAL_MODEL_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/base/file.h"

enum bs_dtype { BS_F32, BS_F16, BS_BF16 };

enum { BS_MAX_RANK = 4 };

/* One tensor; data points into the map. */
struct bs_tensor {
    const char *name;
    const char *file; /* path of the file that holds it */
    enum bs_dtype dtype;
    int rank;
    int64_t shape[BS_MAX_RANK];
    size_t count; /* elements */
    const unsigned char *data;
};

struct bs_checkpoint;

/* Opens model.safetensors, or the shards that model.safetensors.index.json names. Every header is
 * checked whole: length, JSON, dtype, shape against data_offsets, offsets inside the file, without
 * overlap or holes, each tensor where the index says. BS_EIO or BS_EDATA naming file and tensor.
 * A tensor of another dtype, or with more than BS_MAX_RANK dimensions, is no error by itself: find
 * and digest pass over it, and require says why it cannot be read. */
enum bs_status bs_checkpoint_open(const char *directory, struct bs_checkpoint **checkpoint,
                                  struct bs_error *err);
void bs_checkpoint_free(struct bs_checkpoint *checkpoint);

/* The tensor called `name`, or NULL. */
const struct bs_tensor *bs_checkpoint_find(const struct bs_checkpoint *checkpoint,
                                           const char *name);

/* The tensor called `name`, which must have exactly this shape (rank dimensions); it counts as used
 * from now on. BS_EDATA naming the directory or file, the tensor, what was found and what was
 * expected. */
enum bs_status bs_checkpoint_require(struct bs_checkpoint *checkpoint, const char *name, int rank,
                                     const int64_t *shape, const struct bs_tensor **tensor,
                                     struct bs_error *err);

/* The next tensor in order of name, readable or not, that nobody has required; NULL behind the
 * last. *cursor says where to go on, and starts at 0. The name is the checkpoint's. */
const char *bs_checkpoint_unused(const struct bs_checkpoint *checkpoint, size_t *cursor);

/* Widens elements [first, first + count) to float32. */
void bs_tensor_read(const struct bs_tensor *tensor, size_t first, size_t count, float *out);

/* Adds name, dtype, shape and bytes of every tensor that was required so far to the digest, in order
 * of name, and looks for values that are not finite on the way: BS_EDATA naming file, tensor and
 * index of the first. What nobody requires does not count: a buffer of -inf, such as the masks that
 * older checkpoints hold, is no part of the model. Reads each tensor once, on all threads; the
 * digest depends neither on their number nor on the files that the tensors come from. */
enum bs_status bs_checkpoint_digest(const struct bs_checkpoint *checkpoint,
                                    struct bs_digest_state *digest, struct bs_error *err);

#endif
