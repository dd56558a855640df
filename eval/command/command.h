/* What every command is: its place on the command line, its help, and the function that runs it. */
#ifndef BS_EVAL_COMMAND_COMMAND_H
#define BS_EVAL_COMMAND_COMMAND_H

#include "eval/base/error.h"
#include "eval/config/config.h"

struct bs_arguments;

/* Exit statuses; those of a run that was stopped are in base/stop.h. */
enum { BS_EXIT_DONE = 0, BS_EXIT_TRIAL_FAILED = 1, BS_EXIT_GATE = 1, BS_EXIT_INPUT = 2 };

/* A command, as its own file defines it. */
struct bs_command {
    const char *name, *operands, *summary;
    int min_operands, max_operands;
    const char *details; /* what the manual says of it, `code` in backquotes */
    const char *options; /* names of the options it takes, parted by blanks; --help always */
    int (*run)(const struct bs_arguments *args); /* gives the exit status */
};

/* Every command, in the order of the help; ends with NULL. A new one is its file and a line
 * there. */
extern const struct bs_command *const bs_commands[];

/* Every one of them by name, for the table and for what tells them apart. */
extern const struct bs_command bs_command_init, bs_command_run, bs_command_plan, bs_command_submit,
    bs_command_export, bs_command_table, bs_command_plot, bs_command_report, bs_command_choose,
    bs_command_allot, bs_command_merge, bs_command_diff, bs_command_fetch, bs_command_imatrix,
    bs_command_tokenize, bs_command_describe, bs_command_help, bs_command_completion;

/* The command called `name`. NULL, after a message with the nearest name, where there is none. */
const struct bs_command *bs_command_find(const char *name);

/* Whether the command takes the option of this name. */
bool bs_command_takes(const struct bs_command *command, const char *option);

/* Each prints what went wrong to stderr and gives BS_EXIT_INPUT. The second is for a config file,
 * whose errors already begin with their place; the third for what is wrong with the config for one
 * of its models. */
int bs_fail_print(const struct bs_error *err);
int bs_fail_print_config(const struct bs_error *err);
int bs_fail_print_model(const struct bs_config *config, const struct bs_error *err);

#endif
