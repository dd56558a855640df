/* Batch scripts of a sweep in shards, as Slurm takes them: an array of a task a shard, and a job
 * that merges what they leave. */
#ifndef BS_EVAL_COMMAND_SLURM_H
#define BS_EVAL_COMMAND_SLURM_H

#include <stdio.h>

#include "eval/command/arguments.h"
#include "eval/config/config.h"

/* What the scripts are made of. All borrowed. */
struct bs_slurm {
    const struct bs_arguments *args; /* of submit */
    const struct bs_config *config;
    const char *program, *directory; /* that runs, and where; absolute */
    const char *results;             /* the whole sweep's file */
    const char *folder;              /* of the logs */
    int shards;
};

/* A task runs its shard and, where a time limit or SIGUSR1 cut it, asks Slurm to queue it again; on
 * which node it then goes on does not matter. */
void bs_slurm_print_shards(const struct bs_slurm *slurm, FILE *out);

/* Merges the files of the shards that there are, and the whole's where there is one already, prints
 * the table, draws the config's charts and says what is still to run. */
void bs_slurm_print_merge(const struct bs_slurm *slurm, FILE *out);

/* Seconds before a task's time limit at which its run ends. */
double bs_slurm_lead(double time_limit);

#endif
