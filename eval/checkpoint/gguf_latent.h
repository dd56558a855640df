/* Latent attention in newer GGUF files. */
#ifndef BS_EVAL_CHECKPOINT_GGUF_LATENT_H
#define BS_EVAL_CHECKPOINT_GGUF_LATENT_H

#include "eval/checkpoint/shard.h"

/* Adds, for each two of the entries from `first` on that are called "NAME.attn_k_b.weight" and
 * "NAME.attn_v_b.weight", the matrix "NAME.attn_kv_b.weight" that they are parts of, and sets the
 * two aside. They are [heads][latent][plain], transposed, and [heads][value][latent]; it is, head
 * by head, `plain` rows and `value` rows of `latent` columns. BS_EDATA where their shapes do not go
 * together; BS_ENOMEM. */
enum bs_status bs_gguf_join_latent(struct bs_entries *entries, size_t first, struct bs_error *err);

#endif
