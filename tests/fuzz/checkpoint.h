/* What the targets of checkpoint files share. */
#ifndef BS_TESTS_FUZZ_CHECKPOINT_H
#define BS_TESTS_FUZZ_CHECKPOINT_H

/* Opens the checkpoint in the targets' folder and, where it opens, reads every value of it. */
void fuzz_read_checkpoint(void);

#endif
