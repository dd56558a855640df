/* Result files of parts of one sweep, put together as one run would have left them. */
#ifndef BS_EVAL_RUN_MERGE_H
#define BS_EVAL_RUN_MERGE_H

#include "eval/base/error.h"

/* Merges the files `from` [count] into the new file `path` (bs_results_merge). Trials stand in the
 * order of the first file's config: models, then recipes, calibrations and texts. Where that config
 * cannot be read, as one of another version of bitsweep, they stand by model as the files come.
 * *num_trials is how many there are then. */
enum bs_status bs_merge_files(const char *path, const char *const *from, int count, int *num_trials,
                              struct bs_error *err);

#endif
