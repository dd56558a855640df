#include "eval/command/command.h"

#include <stdio.h>
#include <string.h>

#include "eval/base/option.h"
#include "eval/base/printable.h"

enum { MOST_COMMANDS = 32 };

const struct bs_command *const bs_commands[] = {
    &bs_command_init,
    &bs_command_run,
    &bs_command_plan,
    &bs_command_submit,
    &bs_command_export,
    &bs_command_table,
    &bs_command_plot,
    &bs_command_report,
    &bs_command_choose,
    &bs_command_allot,
    &bs_command_merge,
    &bs_command_diff,
    &bs_command_fetch,
    &bs_command_imatrix,
    &bs_command_tokenize,
    &bs_command_describe,
    &bs_command_help,
    &bs_command_completion,
    NULL,
};

const struct bs_command *bs_command_find(const char *name)
{
    const char *names[MOST_COMMANDS + 1] = {NULL};
    for (int i = 0; i < MOST_COMMANDS && bs_commands[i]; i++) {
        names[i] = bs_commands[i]->name;
        if (!strcmp(name, names[i]))
            return bs_commands[i];
    }
    const char *near = bs_nearest_word(name, names);
    bs_print_line(stderr, "bitsweep: unknown command '%s'%s%s%s; see --help", name,
                  near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

bool bs_command_takes(const struct bs_command *command, const char *option)
{
    size_t length = strlen(option);
    if (!strcmp(option, "help"))
        return true;
    for (const char *at = command->options; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (word == length && !strncmp(at, option, length))
            return true;
        at += word;
    }
    return false;
}

int bs_fail_print(const struct bs_error *err)
{
    fprintf(stderr, "bitsweep: %s\n", err->message);
    return BS_EXIT_INPUT;
}

int bs_fail_print_config(const struct bs_error *err)
{
    if (err->status != BS_ECONFIG)
        return bs_fail_print(err);
    fprintf(stderr, "%s\n", err->message);
    return BS_EXIT_INPUT;
}

int bs_fail_print_model(const struct bs_config *config, const struct bs_error *err)
{
    const char *set = "--set '"; /* a place too (report.h) */
    bool is_config = !strncmp(err->message, config->path, strlen(config->path)) ||
                     (config->num_settings && !strncmp(err->message, set, strlen(set)));
    return is_config ? bs_fail_print_config(err) : bs_fail_print(err);
}
