/* The command line: which subcommand, and what it is told. */
#ifndef BS_EVAL_COMMAND_ARGUMENTS_H
#define BS_EVAL_COMMAND_ARGUMENTS_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/config/config.h"
#include "eval/export/writer.h"
#include "eval/report/table.h"
#include "eval/run/sweep.h"

enum { BS_MOST_OPERANDS = 64, BS_MOST_ACCEPTED = 64, BS_MOST_SETTINGS = 16 };

/* Exit statuses. */
enum { BS_EXIT_DONE = 0, BS_EXIT_TRIAL_FAILED = 1, BS_EXIT_GATE = 1, BS_EXIT_INPUT = 2 };

/* Everything a subcommand may be told. */
struct bs_arguments {
    const char *operands[BS_MOST_OPERANDS];
    int num_operands;
    const char *output, *format, *columns, *plots, *revision;
    const char *between[2];                 /* both or neither */
    const char *recipe;                     /* the label of one; NULL = the only one there is */
    const struct bs_writer *writer;         /* NULL = none was named */
    const char *settings[BS_MOST_SETTINGS]; /* "key=value" */
    int num_settings;
    const char *models[BS_MAX_MODELS];
    const char *accepted[BS_MOST_ACCEPTED];
    int num_models, num_accepted;
    struct bs_limits limits;
    struct bs_selection selection;
    const struct bs_numerics *numerics; /* NULL = as the config says */
    int threads;
    bool quiet, markdown, ids, no_special, places, items, positions, verify;
};

/* A command: its help, and the function that runs it and gives the exit status. */
struct bs_command {
    const char *name, *operands, *summary;
    int min_operands, max_operands;
    const char *options; /* letters of the options it takes */
    int (*run)(const struct bs_arguments *args);
};

/* The command called `name`, of a table that ends with a row whose name is NULL. NULL, after a
 * message with the nearest name, where there is none. */
const struct bs_command *bs_command_find(const struct bs_command *commands, const char *name);

/* Reads the command's options and operands into args, which has the defaults; *help where --help is
 * among them. BS_EXIT_DONE, or BS_EXIT_INPUT after a message. `commands` is for hints. */
int bs_arguments_parse(const struct bs_command *command, const struct bs_command *commands,
                       int argc, char **argv, struct bs_arguments *args, bool *help);

/* Prints the options of a command, or for NULL the commands. */
void bs_help_print(const struct bs_command *commands, const struct bs_command *command, FILE *out);

#endif
