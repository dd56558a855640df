/* init: a config to begin with. */
#define _GNU_SOURCE /* realpath */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/base/file.h"
#include "eval/base/mem.h"
#include "eval/base/model_name.h"
#include "eval/base/printable.h"
#include "eval/command/reports.h"
#include "eval/run/new_config.h"

/* `folder`/`below` in new memory where `file` is in it, else NULL. */
static char *found_at(const char *folder, const char *below, const char *file)
{
    char *path = folder ? bs_printf("%s/%s%s", folder, below, file) : NULL;
    bool there = path && !access(path, R_OK);
    bs_free(path);
    return there ? bs_printf("%s/%s", folder, below) : NULL;
}

/* The template: beside the charts' where the program is installed, else in the project. */
static char *find_template(const char *plots)
{
    char *found = found_at(plots, "../template.yaml", "");
    return found ? found : found_at(plots, "../configs/template.yaml", "");
}

/* opt-125m.yaml of facebook/opt-125m@main, in new memory. */
static char *config_path(const struct bs_arguments *args)
{
    if (args->output)
        return bs_strdup(args->output);
    char *name = bs_model_short_name(args->operands[0]), whole[PATH_MAX];
    if (!name)
        return NULL;
    const char *last = bs_path_name(name);
    if (!last[strspn(last, ".")] && realpath(args->operands[0], whole)) /* ".", ".." */
        last = bs_path_name(whole);
    const char *end = strrchr(last, '.');
    bool is_file = end && (!strcmp(end, ".gguf") || !strcmp(end, ".safetensors"));
    size_t length = is_file ? (size_t)(end - last) : strcspn(last, "@");
    char *path = bs_printf("%.*s.yaml", (int)length, length ? last : "model");
    bs_free(name);
    return path;
}

static int command_init(const struct bs_arguments *args)
{
    struct bs_error err;
    const char *fetch;
    char *plots = NULL, *path = config_path(args);
    enum bs_status status = path ? bs_plots_folder(args, &plots, &err) : bs_fail_memory(&err);
    char *template = find_template(plots);
    char *texts = found_at(plots, "../datasets/commons", "/evaluation.txt");
    if (!status && !template)
        status = bs_fail(&err, BS_EIO,
                         "no template.yaml, which a config is made of: neither beside the chart "
                         "templates in '%s' nor in configs beside their folder",
                         plots);
    else if (status == BS_EIO)
        status = bs_fail(&err, BS_EIO,
                         "no template.yaml, which a config is made of: the program stands without "
                         "the files of its project or installation (configs/template.yaml, or "
                         "share/bitsweep/template.yaml)");
    const struct bs_new_config request = {args->operands[0], path, template, texts};
    if (!status)
        status = bs_new_config_write(&request, &fetch, &err);
    if (!status)
        bs_print_line(stdout, "%s", path);
    if (!status && fetch)
        bs_print_line(stderr, "its text has to be there: bitsweep fetch %s", fetch);
    bs_free(texts);
    bs_free(template);
    bs_free(path);
    bs_free(plots);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

const struct bs_command bs_command_init = {
    .name = "init",
    .operands = "MODEL",
    .summary = "write a config for a model, with comments, to begin with",
    .min_operands = 1,
    .max_operands = 1,
    .details =
        "Writes a config that runs as it is: a small sweep of the model on part of a text, with "
        "the "
        "other things that a config may ask for as comments. A file that is there is never written "
        "over.",
    .options = "output",
    .run = command_init,
};
