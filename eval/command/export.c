/* export: writes what a recipe of a config makes of its model. */
#include <stdio.h>
#include <string.h>

#include "eval/base/mem.h"
#include "eval/base/print.h"
#include "eval/base/printable.h"
#include "eval/base/stop.h"
#include "eval/base/terminal.h"
#include "eval/command/opened.h"
#include "eval/config/report.h"
#include "eval/run/export.h"

/* "key=value" into the options of the writer. */
static enum bs_status set_option(const struct bs_plugin *writer, const char *setting, void *options,
                                 struct bs_error *err)
{
    char key[64], list[256];
    const char *value = strchr(setting, '=');
    snprintf(key, sizeof key, "%.*s", value ? (int)(value - setting) : 0, setting);
    const struct bs_option *option =
        writer->options && value ? bs_option_find(writer->options, key) : NULL;
    if (option)
        return bs_option_parse(option, value + 1, options, err);
    struct bs_names names = {0};
    bs_names_add_options(&names, writer->options);
    bs_names_print(&names, key, list, sizeof list);
    return bs_fail(err, BS_ECONFIG, "--set '%.100s': expected KEY=VALUE with an option of %s%s%s",
                   setting, writer->name, writer->options ? ": " : ", which has none",
                   writer->options ? list : "");
}

static enum bs_status take_options(const struct bs_arguments *args, struct bs_choice *choice,
                                   struct bs_error *err)
{
    const struct bs_plugin *writer = &args->writer->plugin;
    if (bs_choice_init(choice, writer, err))
        return err->status;
    for (int i = 0; i < args->num_settings; i++)
        if (set_option(writer, args->settings[i], choice->options, err))
            return err->status;
    return BS_OK;
}

static enum bs_status export_opened(const struct bs_arguments *args, struct bs_opened *opened,
                                    struct bs_error *err)
{
    struct bs_choice choice = {.plugin = NULL};
    if (opened->models.num_models > 1)
        return bs_fail(err, BS_ECONFIG, "the config has several models, expected --model");
    enum bs_status status = take_options(args, &choice, err);
    const struct bs_export_request request = {.how = &choice,
                                              .label = args->recipe,
                                              .path = args->operands[1],
                                              .verify = args->verify,
                                              .quiet = args->quiet};
    if (!status)
        status = bs_export_run(&opened->models.sweep, &request, &args->limits, stdout, err);
    bs_choice_release(&choice);
    return status;
}

static int command_export(const struct bs_arguments *args)
{
    struct bs_opened opened = {.named = NULL};
    struct bs_error err;
    if (!args->writer) {
        bs_print_line(stderr, "bitsweep export: --as is missing; see --help");
        return BS_EXIT_INPUT;
    }
    bs_stop_keep("nothing was written");
    if (bs_stop_watch(&err))
        return bs_fail_print(&err);
    int code = bs_open_all(args, &args->telling, &opened);
    enum bs_status status = code ? BS_OK : export_opened(args, &opened, &err);
    if (status == BS_ESTOPPED)
        bs_stop_now();
    if (status)
        code = bs_fail_print(&err);
    else if (!code)
        bs_print_line(stdout, "%s", args->operands[1]);
    bs_close_all(&opened);
    return code;
}

const struct bs_command bs_command_export = {
    .name = "export",
    .operands = "CONFIG OUT",
    .summary = "write what a recipe makes of the model, as other programs read it",
    .min_operands = 2,
    .max_operands = 2,
    .details = "Quantizes the config's model as the recipe says and writes it, block by block, "
               "in a layout that other programs load. The written folder appears when it is "
               "whole. What a layout cannot hold is refused before anything is computed.",
    .options = "recipe as set verify model accept-unknown memory scratch threads numerics quiet",
    .run = command_export,
};
