/* One file of a checkpoint, whatever its format, and the tensors in it. Only the readers of the
 * formats and checkpoint.c use this. */
#ifndef BS_EVAL_CHECKPOINT_SHARD_H
#define BS_EVAL_CHECKPOINT_SHARD_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/base/error.h"
#include "eval/base/file.h"
#include "eval/checkpoint/tensor.h"

/* One file of weights, open. */
struct bs_shard {
    char *path;
    const char *name; /* the last part of path */
    struct bs_map map;
    json_t *header; /* safetensors: holds the names of the tensors */
    char *names;    /* PyTorch: the same */
};

/* Why a tensor cannot be read. */
enum bs_defect {
    BS_NO_DEFECT,
    BS_OTHER_DTYPE,  /* none of enum bs_dtype */
    BS_HIGH_RANK,    /* more than BS_MAX_RANK dimensions */
    BS_FEW_ELEMENTS, /* a view of more elements than its storage holds */
};

/* A tensor, readable or not: one that nobody asks for does no harm. */
struct bs_entry {
    struct bs_tensor tensor; /* beyond BS_MAX_RANK without its shape */
    const char *dtype;       /* as safetensors spell it; "coded" of a coded one */
    enum bs_defect defect;
    bool used;   /* somebody required it */
    bool spent;  /* it became part of a coded one */
    bool aside;  /* an adapter is merged into it: what stands for it has its name */
    char *named; /* the name where it is the entry's own, owned; else NULL */
    const struct bs_shard *shard;
    size_t begin, end; /* safetensors: data_offsets */
};

/* The tensors of all shards. */
struct bs_entries {
    struct bs_entry *items;
    size_t count;
};

/* Opens `directory`/`name` into the zeroed shard and appends its tensors as the reader of such
 * names has them. The entries point to the shard: neither may move or close before them. BS_EIO,
 * BS_EDATA or BS_EUNSUPPORTED; the shard is to be closed either way. */
enum bs_status bs_shard_open(struct bs_shard *shard, const char *directory, const char *name,
                             struct bs_entries *entries, struct bs_error *err);
void bs_shard_close(struct bs_shard *shard);

/* What of them the table owns: the coded ones. */
void bs_entries_release(struct bs_entries *entries);

/* Sorts the entries by name. JSON cannot name a tensor twice and shards were checked against the
 * index, but a pickled state dict can: BS_EDATA. */
enum bs_status bs_entries_sort(struct bs_entries *entries, struct bs_error *err);

/* The entry of this name, of sorted ones, or NULL. */
struct bs_entry *bs_entries_find(const struct bs_entries *entries, const char *name);

/* bs_checkpoint_digest of the used ones. */
enum bs_status bs_entries_digest(const struct bs_entries *entries, const char *directory,
                                 struct bs_digest_state *digest, struct bs_error *err);

/* Merges the tensors of an adapter, whose adapter_config.json is in `directory`, into those of its
 * base: each linear that it changes becomes a coded tensor of both. Both tables are sorted.
 * BS_EUNSUPPORTED for what is not plain LoRA. */
enum bs_status bs_entries_adapt(struct bs_entries *base, const struct bs_entries *adapter,
                                const char *directory, struct bs_error *err);

/* "[4096, 256]" */
void bs_shape_print(int rank, const int64_t *shape, char *out, size_t size);

/* Makes room for `more` entries and returns the first of them, zeroed; the caller raises count by
 * as many as it fills. NULL when memory runs out. */
struct bs_entry *bs_entries_grow(struct bs_entries *entries, size_t more);

#endif
