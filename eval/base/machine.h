/* The machine as this process may use it: what a container, a batch system or a shell has set is
 * taken as the machine's size. */
#ifndef BS_EVAL_BASE_MACHINE_H
#define BS_EVAL_BASE_MACHINE_H

#include <stddef.h>

/* "AMD EPYC 7763 64-Core Processor", or "unknown". */
void bs_cpu_name(char *out, size_t size);

/* Bytes that may still be taken: the least of the system's available memory, what the limits of the
 * process's control groups leave (version 1 and 2, with the groups above), and what RLIMIT_AS and
 * RLIMIT_DATA leave. Of a group's usage its file cache is not counted, which the system gives up.
 * `root` stands before /proc and /sys: "" but in tests. */
double bs_free_memory(const char *root);

/* Processors that the quotas of the process's control groups come to, rounded up; 0 = no quota. */
int bs_cpu_quota(const char *root);

/* Threads to use where none are asked for: OMP_NUM_THREADS where it is set, else the processors
 * that the process may run on, no more than its quota. To be called before anything sets
 * threads. */
int bs_default_threads(void);

#endif
