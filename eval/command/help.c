/* help, and what --help prints. */
#include <stdio.h>
#include <string.h>

#include "eval/base/printable.h"
#include "eval/base/terminal.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/command/manual.h"

/* Two columns, the second folded where the terminal ends; where that leaves it too little room, it
 * stands below the first. */
static void print_pair(const char *left, int width, const char *right, FILE *out)
{
    enum { LEAST_RIGHT = 24, BELOW = 4 };
    int whole = bs_terminal_limit(out), limit = whole - width - 3;
    if (whole && limit < LEAST_RIGHT) {
        fprintf(out, "  %s\n%*s", left, BELOW, "");
        limit = whole - BELOW;
        width = BELOW - 3;
    } else {
        fprintf(out, "  %-*s ", width, left);
    }
    for (const char *line = right; *line;) {
        size_t bytes = limit > 0 ? bs_line_bytes(line, limit) : strlen(line);
        fprintf(out, "%*s%.*s\n", line > right ? width + 3 : 0, "", (int)bytes, line);
        line += bytes;
        line += strspn(line, " ");
    }
}

static void print_flags(const struct bs_command *command, FILE *out)
{
    for (const struct bs_flag *flag = bs_flags; flag->name; flag++) {
        char left[48], letter[] = {'-', flag->letter, ',', ' ', 0};
        snprintf(left, sizeof left, "%s--%s%s%s", flag->letter ? letter : "    ", flag->name,
                 flag->argument ? " " : "", flag->argument ? flag->argument : "");
        if (bs_command_takes(command, flag->name))
            print_pair(left, 24, flag->help, out);
    }
}

void bs_help_print(const struct bs_command *command, FILE *out)
{
    int limit = bs_terminal_limit(out);
    if (command) {
        bs_print_folded(out, limit, "usage: bitsweep %s [options] %s", command->name,
                        command->operands);
        fputc('\n', out);
        bs_print_folded(out, limit, "%s", command->summary);
        fputc('\n', out);
        print_flags(command, out);
        return;
    }
    bs_print_folded(out, limit, "usage: bitsweep COMMAND [options] ...");
    fputc('\n', out);
    bs_print_folded(out, limit, "measures what quantization costs a language model");
    fputc('\n', out);
    for (int i = 0; bs_commands[i]; i++) {
        char left[48];
        snprintf(left, sizeof left, "%-10s %s", bs_commands[i]->name, bs_commands[i]->operands);
        print_pair(left, 32, bs_commands[i]->summary, out);
    }
    fputc('\n', out);
    bs_print_folded(out, limit,
                    "`bitsweep COMMAND --help` lists a command's options, `bitsweep --version` "
                    "says which program this is.");
    bs_print_folded(
        out, limit,
        "exit status: 0 done, 1 a trial failed (the others ran), --fail-if holds or choose "
        "finds none that holds, 2 the input is wrong or the output cannot be written, 75 "
        "stopped by --time-limit or SIGUSR1: the same command goes on");
}

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
