/* fetch: models, texts and tasks into the Hugging Face cache. */
#include <stdio.h>

#include "eval/base/printable.h"
#include "eval/command/arguments.h"
#include "eval/command/command.h"
#include "eval/data/corpus.h"
#include "eval/hub/fetch.h"
#include "eval/run/fetch_progress.h"
#include "eval/tasks/task.h"

static void print_outcome(const char *name, const struct bs_fetch_outcome *outcome)
{
    if (outcome->fetched)
        bs_print_line(stdout, "%s: %d file%s fetched, %.1f MB: %s", name, outcome->fetched,
                      outcome->fetched == 1 ? "" : "s", (double)outcome->bytes / 1e6,
                      outcome->path);
    else
        bs_print_line(stdout, "%s: up to date: %s", name, outcome->path);
}

/* A model, or one of the files of a known text or task. */
static int fetch_one(const struct bs_arguments *args, const char *name,
                     const struct bs_remote *remote)
{
    struct bs_error err;
    struct bs_fetch_outcome outcome;
    struct bs_fetch_display display;
    const struct bs_fetch_watch watch = {bs_fetch_display_progress, bs_fetch_display_notice,
                                         &display};
    bs_fetch_display_start(&display, args->quiet);
    enum bs_status status = remote ? bs_fetch_remote(remote, &watch, &outcome, &err)
                                   : bs_fetch_model(name, args->revision, &watch, &outcome, &err);
    bs_fetch_display_end(&display);
    if (!status)
        print_outcome(name, &outcome);
    bs_fetch_outcome_release(&outcome);
    return status ? bs_fail_print(&err) : BS_EXIT_DONE;
}

/* The items of a known task, and what its shots are drawn from. */
static int fetch_task(const struct bs_arguments *args, const struct bs_task *task)
{
    int code = fetch_one(args, task->name, &task->remote);
    if (task->shot_remote.repository && fetch_one(args, task->name, &task->shot_remote))
        code = BS_EXIT_INPUT;
    return code;
}

/* Every name is tried, whatever became of those before it. */
static int command_fetch(const struct bs_arguments *args)
{
    int code = BS_EXIT_DONE;
    for (int i = 0; i < args->num_operands; i++) {
        const char *name = args->operands[i];
        const struct bs_corpus_files *text = bs_corpus_files_find(name);
        const struct bs_task *task = bs_known_task(name);
        if (task && task->remote.repository)
            code = fetch_task(args, task) ? BS_EXIT_INPUT : code;
        else if (!text && fetch_one(args, name, NULL))
            code = BS_EXIT_INPUT;
        for (int f = 0; text && text->files[f]; f++)
            if (fetch_one(args, name, text->files[f]))
                code = BS_EXIT_INPUT;
    }
    return code;
}

const struct bs_command bs_command_fetch = {
    .name = "fetch",
    .operands = "NAME...",
    .summary = "bring models, known texts and tasks into the Hugging Face cache",
    .min_operands = 1,
    .max_operands = BS_MOST_OPERANDS,
    .details = "Brings models, texts and tasks from the hub into the cache of Hugging Face's own "
               "tools. An interrupted download goes on where it was, and what the hub has a "
               "checksum for is verified. No other command uses the network.",
    .options = "revision quiet",
    .run = command_fetch,
};
