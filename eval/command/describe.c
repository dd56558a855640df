/* describe: what a config can name. */
#include <stdio.h>

#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/config/describe.h"

static int command_describe(const struct bs_arguments *args)
{
    struct bs_error err;
    enum bs_status status = args->num_operands
                                ? bs_describe_one(args->operands[0], stdout, args->markdown, &err)
                                : bs_describe_all(stdout, args->markdown, &err);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

const struct bs_command bs_command_describe = {
    .name = "describe",
    .operands = "[NAME]",
    .summary = "explain algorithms, models, texts, protocols and every key of a config",
    .max_operands = 1,
    .details = "Without a name it lists everything that a config can name; with one it says what "
               "that does, what it follows and which options it has.",
    .options = "markdown",
    .run = command_describe,
};
