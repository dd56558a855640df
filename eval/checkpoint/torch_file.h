/* One file that torch.save wrote: a zip archive of a pickled state dict and its storages. */
#ifndef BS_EVAL_CHECKPOINT_TORCH_FILE_H
#define BS_EVAL_CHECKPOINT_TORCH_FILE_H

#include "eval/checkpoint/shard.h"

/* Appends the tensors of the mapped shard, which point into the map. Checked are the archive, see
 * torch_zip.h, the pickle, see pickle.h, and for each tensor that its storage is there, has the size
 * that the pickle says, and holds every element. BS_EDATA, or BS_EUNSUPPORTED for the format before
 * PyTorch 1.6, which is no archive. */
enum bs_status bs_torch_read(struct bs_shard *shard, struct bs_entries *entries,
                             struct bs_error *err);

#endif
