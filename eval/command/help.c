/* help: the same as --help. */
#include <stdio.h>

#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/command/manual.h"

static int command_help(const struct bs_arguments *args)
{
    const struct bs_command *command = NULL;
    if (args->num_operands && !(command = bs_command_find(args->operands[0])))
        return BS_EXIT_INPUT;
    if (args->man)
        bs_manual_print(command, stdout);
    else
        bs_help_print(command, stdout);
    return BS_EXIT_DONE;
}

const struct bs_command bs_command_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "print the commands, or the options of one",
    .max_operands = 1,
    .details = "Prints what `bitsweep --help` or `bitsweep COMMAND --help` prints.",
    .options = "man",
    .run = command_help,
};
