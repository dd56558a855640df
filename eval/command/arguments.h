/* The command line: what a command is told. */
#ifndef BS_EVAL_COMMAND_ARGUMENTS_H
#define BS_EVAL_COMMAND_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "eval/command/command.h"
#include "eval/config/config.h"
#include "eval/export/writer.h"
#include "eval/report/chart.h"
#include "eval/report/choose.h"
#include "eval/run/shard.h"

enum { BS_MOST_OPERANDS = BS_MOST_SHARDS, BS_MOST_ACCEPTED = 64, BS_MOST_SETTINGS = 16 };

/* Everything a command may be told. */
struct bs_arguments {
    const char *operands[BS_MOST_OPERANDS];
    int num_operands;
    const char *output, *format, *columns, *pivot, *revision;
    struct bs_chart_how chart;              /* its folder and figures are the command's affair */
    const char *between[2];                 /* both or neither */
    const char *recipe;                     /* the label of one; NULL = the only one there is */
    const struct bs_writer *writer;         /* NULL = none was named */
    const char *settings[BS_MOST_SETTINGS]; /* "key=value" */
    int num_settings;
    const char *models[BS_MAX_MODELS];
    const char *accepted[BS_MOST_ACCEPTED];
    int num_models, num_accepted;
    struct bs_limits limits;
    struct bs_shard shard;
    double time_limit, job_time; /* seconds; 0 = none. job_time: that a job asks for */
    int nodes;
    const char *partition;
    struct bs_selection selection;
    struct bs_choice_limits wish;
    const struct bs_numerics *numerics; /* NULL = as the config says */
    int threads;
    struct bs_telling telling; /* its log is opened by the command */
    const char *log;           /* NULL = none */
    bool quiet, markdown, ids, no_special, places, items, positions, layers, values, split, verify;
    bool slurm, dry_run, process_output, man, help;
};

/* An option. What it is given goes to the text or the truth value at an offset of the arguments, or
 * to `take`, which prints a message and gives BS_EXIT_INPUT where it is wrong. */
struct bs_flag {
    const char *name, *argument; /* argument: NULL = it takes none */
    char letter;                 /* its short form, or 0 */
    const char *help;
    size_t text, set, pair; /* pair: it takes two words, to an array of two texts */
    int (*take)(const struct bs_command *command, const char *value, struct bs_arguments *args);
};

/* Every option of any command; the last has no name. */
extern const struct bs_flag *const bs_flags;

/* Sets the defaults. */
void bs_arguments_start(struct bs_arguments *args);

/* Reads the command's options and operands into args, which has the defaults. BS_EXIT_DONE, or
 * BS_EXIT_INPUT after a message. */
int bs_arguments_parse(const struct bs_command *command, int argc, char **argv,
                       struct bs_arguments *args);

/* Prints the options of a command, or for NULL the commands. */
void bs_help_print(const struct bs_command *command, FILE *out);

#endif
