/* Result files of parts of one sweep, put together as one run would have left them. */
#ifndef BS_EVAL_RUN_MERGE_H
#define BS_EVAL_RUN_MERGE_H

#include "eval/base/error.h"

/* What came of it. */
struct bs_merged {
    int num_trials;
    int num_other_configs; /* files whose config is not the first one's, and is left out */
};

/* Merges the files `from` [count] into the new file `path` (bs_results_merge). Trials stand in the
 * order of the first file's config: models, then recipes, calibrations and texts. Where that config
 * cannot be read, as one of another version of bitsweep, they stand by model as the files come.
 * The config is the first file's alone. */
enum bs_status bs_merge_files(const char *path, const char *const *from, int count,
                              struct bs_merged *merged, struct bs_error *err);

#endif
