/* The state dict in a pickle that torch.save wrote, read without executing anything. */
#ifndef BS_EVAL_CHECKPOINT_PICKLE_H
#define BS_EVAL_CHECKPOINT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/checkpoint/tensor.h"

struct bs_pickle;

/* Bytes of the pickle, not terminated. */
struct bs_text {
    const unsigned char *bytes;
    size_t length;
};

/* A tensor as the pickle describes it: a view of a storage. */
struct bs_pickled_tensor {
    struct bs_text name;    /* its key in the state dict */
    struct bs_text storage; /* the storage's key */
    size_t storage_bytes;
    const struct bs_dtype_info *dtype;
    size_t offset; /* of the first element in the storage, in elements, as everything below */
    int rank;
    int64_t shape[BS_MAX_RANK], strides[BS_MAX_RANK]; /* the first BS_MAX_RANK of them */
    size_t count;
    size_t extent; /* from the first element to the end of the last one in memory */
    bool strided;  /* not in row-major order without gaps */
};

/* Runs the pickle on a machine that knows the opcodes of protocols 2 to 5 that describe a state
 * dict, and of globals OrderedDict, torch's rebuilding of tensors and parameters, and its types of
 * storages and elements. Any other global is an error that names it. The pickle's object must be a
 * dict of tensors, or one with exactly one such dict among its values ({"model": {...}, "epoch":
 * 3}); what is no tensor in it is passed over. The data stay the caller's and must outlive the
 * pickle. It may have 16 MiB at most (some 80 000 tensors), and takes memory in proportion, below a
 * hundred times that. BS_EDATA, BS_EUNSUPPORTED or BS_ENOMEM; `place` begins the message. */
enum bs_status bs_pickle_open(const char *place, const unsigned char *data, size_t size,
                              struct bs_pickle **pickle, struct bs_error *err);
void bs_pickle_free(struct bs_pickle *pickle);

/* The number of tensors, and of bytes in all their names. */
size_t bs_pickle_count(const struct bs_pickle *pickle, size_t *name_bytes);

/* The next tensor of the state dict; *cursor starts at 0, and there are bs_pickle_count of them.
 * BS_EDATA when its numbers do not go together: every product and sum fits, but only the caller
 * knows how large the storage is. */
enum bs_status bs_pickle_next(const struct bs_pickle *pickle, size_t *cursor,
                              struct bs_pickled_tensor *tensor, struct bs_error *err);

#endif
