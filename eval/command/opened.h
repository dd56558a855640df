/* What run, plan and export begin with: a config, its models and texts. */
#ifndef BS_EVAL_COMMAND_OPENED_H
#define BS_EVAL_COMMAND_OPENED_H

#include "eval/command/arguments.h"
#include "eval/run/models.h"

/* What is open. */
struct bs_opened {
    struct bs_config config;
    struct bs_models models;
    uint64_t wanted; /* models: bits */
    int waiting;     /* recipes that budgets give when the trials of their sensitivities have run */
    int later;       /* and those that further rounds give when what they go by has */
    char *named, *path; /* the result file as it is called, and where that leads if it is a link */
    char *whole;        /* where a shard's is the whole sweep's; NULL where there is no shard */
};

/* The result file: results/<config's name>.h5 unless --output says another. In new memory; NULL
 * when that runs out. */
char *bs_result_path(const struct bs_arguments *args);

/* What a command makes takes the place of nothing, of an empty file, or of one of its own kind (a
 * "page"), which starts with `begin`: not of results or a config that are named by mistake, nor of
 * a device. BS_EIO. */
enum bs_status bs_may_replace(const char *path, const char *begin, const char *kind,
                              struct bs_error *err);

/* Loads the config, with what --set sets of it. As bs_config_load. */
enum bs_status bs_config_of(const struct bs_arguments *args, struct bs_config *config,
                            struct bs_error *err);

/* Opens config, models and texts; of a shard its trials. The exit status; where it is not
 * BS_EXIT_DONE the message is out, and in the log if there is one. Either way bs_close_all
 * follows. */
int bs_open_all(const struct bs_arguments *args, const struct bs_telling *telling,
                struct bs_opened *opened);
void bs_close_all(struct bs_opened *opened);

#endif
