/* A config's sweep over its models, one after another: only one is open at a time, and all trials
 * go into one result file. */
#ifndef BS_EVAL_RUN_MODELS_H
#define BS_EVAL_RUN_MODELS_H

#include "eval/run/shard.h"

/* The ids of a model's trials, as they were listed when it was last open. */
struct bs_model_trials {
    int model; /* of the config's models */
    int num_ids;
    char (*ids)[17];
    int *recipes, *calibrations; /* [num_ids] */
};

/* The models of a config, of which one is open at a time. */
struct bs_models {
    const struct bs_config *config;
    int num_models; /* that are wanted */
    struct bs_model_trials models[BS_MAX_MODELS];
    int at; /* whose sweep is open */
    struct bs_sweep sweep;
    struct bs_shard shard;   /* of them: their trials alone are there where its number is not 0 */
    struct bs_shards shards; /* how they are cut */
};

/* Opens the wanted models (bit m is the config's models[m]), one after another: what is wrong with
 * any of them, or with its texts, is met before the first minute of work. The message has a line
 * for each model that cannot be opened. Cuts their trials where the shard says so. */
enum bs_status bs_models_open(const struct bs_config *config, uint64_t wanted,
                              struct bs_shard shard, struct bs_models *models,
                              struct bs_error *err);
void bs_models_close(struct bs_models *models);

/* Opens the k-th of the wanted models in place of the one that is open. As bs_sweep_open, naming
 * the model where there are several. */
enum bs_status bs_models_switch(struct bs_models *models, int k, struct bs_error *err);

/* Prints what bs_sweep_print does, for each model, with the time unless `quiet`: a piece of the
 * work is measured for it, where there is any. `path` is the result file, which need not be there;
 * of a sweep that is cut it is the whole's, and what shards have done is looked up in theirs. */
enum bs_status bs_models_plan(struct bs_models *models, const char *path,
                              const struct bs_limits *limits, bool quiet, FILE *out,
                              struct bs_error *err);

/* Runs the open trials of each model as bs_sweep_run does. Where none is open and the file holds
 * another text of the config, it gets this one. `whole`: another result file whose trials are not
 * run either; NULL = there is none. The caller holds the lock of `path`. */
enum bs_status bs_models_run(struct bs_models *models, const char *path, const char *whole,
                             const struct bs_limits *limits, const struct bs_telling *telling,
                             struct bs_sweep_outcome *outcome, struct bs_error *err);

#endif
