/* Result files of parts of a sweep, put together. */
#include <stdio.h>

#include "eval/base/printable.h"
#include "eval/command/arguments.h"
#include "eval/run/merge.h"

static int command_merge(const struct bs_arguments *args)
{
    struct bs_error err;
    struct bs_merged merged;
    if (!args->output) {
        fputs("bitsweep merge: expected --output PATH, the new file\n", stderr);
        return BS_EXIT_INPUT;
    }
    if (bs_merge_files(args->output, args->operands, args->num_operands, &merged, &err))
        return bs_fail_print(&err);
    bs_print_line(stderr, "%s: %d trials of %d files", args->output, merged.num_trials,
                  args->num_operands);
    if (merged.num_other_configs)
        bs_print_line(stderr,
                      "%s: has the config of %s; %d other%s from it and %s left "
                      "out, with what is under `expected`",
                      args->output, args->operands[0], merged.num_other_configs,
                      merged.num_other_configs == 1 ? " differs" : "s differ",
                      merged.num_other_configs == 1 ? "is" : "are");
    return BS_EXIT_DONE;
}

const struct bs_command bs_command_merge = {
    .name = "merge",
    .operands = "RESULTS...",
    .summary = "put the trials of several result files into a new one, as one run leaves them",
    .min_operands = 1,
    .max_operands = BS_MOST_OPERANDS,
    .details =
        "Parts of a sweep that ran in several places become the file that one run would have left, "
        "with the same values in its tables and charts. A trial that is in several files must have "
        "the same figures in all. The config is that of the first file: what others have under "
        "`expected` is left out, and a message says so.",
    .options = "output",
    .run = command_merge,
};
