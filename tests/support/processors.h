/* For tests of what depends on the instructions that a processor has. */
#ifndef BS_TESTS_SUPPORT_PROCESSORS_H
#define BS_TESTS_SUPPORT_PROCESSORS_H

#include <stdbool.h>

/* Runs this program again in a process of its own, where oneDNN takes every processor for one with
 * nothing newer than AVX2; returns its exit status. Where ONEDNN_MAX_CPU_ISA is set, as it is in
 * that process, there is nothing to be done: 0. Call it before oneDNN is used. */
int run_again_with_avx2(char **argv);

/* True where oneDNN was told so. */
bool told_avx2(void);

#endif
