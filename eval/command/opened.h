/* What run, plan and export begin with: a config, its models and texts; and what is said where that
 * fails. */
#ifndef BS_EVAL_COMMAND_OPENED_H
#define BS_EVAL_COMMAND_OPENED_H

#include "eval/command/arguments.h"
#include "eval/run/models.h"

/* What is open. */
struct bs_opened {
    struct bs_config config;
    struct bs_models models;
    char *named, *path; /* the result file as it is called, and where that leads if it is a link */
};

/* Opens config, models and texts. The exit status; the message is out where it is not
 * BS_EXIT_DONE. Either way bs_close_all follows. */
int bs_open_all(const struct bs_arguments *args, struct bs_opened *opened);
void bs_close_all(struct bs_opened *opened);

/* Print an error and return the exit status: any; of a config file, which already begins with its
 * place; of what is wrong with the config for one of its models. */
int bs_fail_print(const struct bs_error *err);
int bs_fail_print_config(const struct bs_error *err);
int bs_fail_print_model(const struct bs_config *config, const struct bs_error *err);

/* Writes what a recipe of the config makes of its model. */
int bs_command_export(const struct bs_arguments *args);

#endif
