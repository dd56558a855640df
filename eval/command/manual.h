/* The pages of the manual. */
#ifndef BS_EVAL_COMMAND_MANUAL_H
#define BS_EVAL_COMMAND_MANUAL_H

#include <stdio.h>

#include "eval/command/command.h"

/* Prints the page bitsweep-COMMAND(1), or for NULL bitsweep(1), in the language of man. */
void bs_manual_print(const struct bs_command *command, FILE *out);

#endif
