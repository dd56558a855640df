/* What the targets of checkpoint files share. */
#ifndef BS_TESTS_FUZZ_CHECKPOINT_H
#define BS_TESTS_FUZZ_CHECKPOINT_H

#include <jansson.h>

#include "eval/checkpoint/checkpoint.h"

/* Opens the checkpoint in the targets' folder and, where it opens, reads every value of it. */
void fuzz_read_checkpoint(void);

/* Writes a file of safetensors of the targets' folder with these tensors,
 *   {"NAME": {"dtype": "I32", "shape": [2, 3], "text": ""}, ...}
 * filled with `text` where there is any, else with numbers; what has no room is left out. */
void fuzz_put_tensors(const char *file, const json_t *tensors);

/* Reads every tensor of an open checkpoint as a model does: by whole rows. */
void fuzz_read_tensors(struct bs_checkpoint *checkpoint);

#endif
