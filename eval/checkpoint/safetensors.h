/* One safetensors file: its header read and checked whole. */
#ifndef BS_EVAL_CHECKPOINT_SAFETENSORS_H
#define BS_EVAL_CHECKPOINT_SAFETENSORS_H

#include "eval/checkpoint/shard.h"

/* Appends the tensors of the mapped shard. BS_EDATA. */
enum bs_status bs_safetensors_read(struct bs_shard *shard, struct bs_entries *entries,
                                   struct bs_error *err);

#endif
