/* One safetensors file: its header read and checked whole. Only checkpoint.c uses this. */
#ifndef BS_EVAL_MODEL_SAFETENSORS_H
#define BS_EVAL_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/file.h"
#include "eval/model/checkpoint.h"

struct bs_shard {
    char *path;
    const char *name; /* the last part of path */
    struct bs_map map;
    json_t *header; /* holds the names of the tensors */
};

/* A tensor, readable or not: one that nobody asks for does no harm. */
struct bs_entry {
    struct bs_tensor tensor; /* beyond BS_MAX_RANK without its shape */
    const char *dtype;       /* as the header spells it */
    bool readable;           /* a dtype of enum bs_dtype, and at most BS_MAX_RANK dimensions */
    bool used;               /* somebody required it */
    const struct bs_shard *shard;
    size_t begin, end; /* data_offsets */
};

/* Opens `directory`/`name` into the zeroed shard and appends its tensors to (*entries)[*count],
 * which is allocated anew. The entries point to the shard: neither may move or close before them.
 * BS_EIO or BS_EDATA; the shard is to be closed either way. */
enum bs_status bs_shard_open(struct bs_shard *shard, const char *directory, const char *name,
                             struct bs_entry **entries, size_t *count, struct bs_error *err);
void bs_shard_close(struct bs_shard *shard);

/* Bytes per element. */
size_t bs_dtype_bytes(enum bs_dtype dtype);

#endif
