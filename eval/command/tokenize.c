/* tokenize: what ids a model is given. */
#include <stdio.h>

#include "eval/base/mem.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/hub/hub.h"
#include "eval/tokenizer/token_list.h"

/* The ids of a file's text, or of standard input's. */
static int command_tokenize(const struct bs_arguments *args)
{
    struct bs_error err;
    const char *path = args->num_operands == 2 ? args->operands[1] : "/dev/stdin";
    enum bs_token_style style = args->ids ? BS_TOKENS_IDS : BS_TOKENS_PIECES;
    char *directory = NULL;
    enum bs_status status = bs_hub_model(args->operands[0], "", &directory, &err);
    if (!status)
        status = bs_tokens_print(directory, path, !args->no_special, style, stdout, &err);
    bs_free(directory);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

const struct bs_command bs_command_tokenize = {
    .name = "tokenize",
    .operands = "MODEL [FILE]",
    .summary = "print the token ids of a text, from a file or standard input",
    .min_operands = 1,
    .max_operands = 2,
    .details = "Prints the tokens that a model is given for a text.",
    .options = "ids no-special",
    .run = command_tokenize,
};
