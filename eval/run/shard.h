/* A sweep in shards: parts that run on several machines, each into a result file of its own. What a
 * shard has follows from the config, its models and its texts alone, so that every machine comes to
 * the same. */
#ifndef BS_EVAL_RUN_SHARD_H
#define BS_EVAL_RUN_SHARD_H

#include "eval/run/sweep.h"

enum { BS_MOST_SHARDS = 4096 };

/* One shard: the number-th of `count`, from 1; number 0: all of them. */
struct bs_shard {
    int number, count; /* count 0: the sweep is not cut */
};

/* What is never cut: the trials of a recipe with one calibration, for all texts. */
struct bs_shard_unit {
    int model, calibration, recipe; /* of the config's */
    int trials;
    double own;    /* what it computes for itself, in flops: bs_walk_own_cost and its evaluation */
    double common; /* what a walk computes that carries it and no other */
    int shard;     /* from 1; 0 until they are cut */
};

/* Units in the order of the config: by model, calibration, recipe. Starts as {0}. */
struct bs_shards {
    int count; /* of shards */
    int num_units;
    struct bs_shard_unit *units;
};

/* Adds the units of a sweep that is open, whose trials are all there. BS_ENOMEM. */
enum bs_status bs_shards_add(struct bs_shards *shards, struct bs_sweep *sweep,
                             struct bs_error *err);
void bs_shards_release(struct bs_shards *shards);

/* Gives each shard units that follow one another, so that the most that any of them computes is the
 * least possible: recipes that stand side by side share a walk, and what a walk computes for all of
 * its recipes counts once a walk. With more shards than units the last ones have none. */
void bs_shards_cut(struct bs_shards *shards, int count);

/* What a shard computes, in flops, and how many units and trials it has. The unquantized model's
 * trials are not counted: every shard has those of its models whose first calibration it works
 * on. */
struct bs_shard_load {
    double flops;
    int units, trials;
};
struct bs_shard_load bs_shards_load(const struct bs_shards *shards, int number);

/* The same of the whole sweep in one piece. */
double bs_shards_flops(const struct bs_shards *shards);

/* True where the shard has the trials of this recipe with this calibration. The unquantized model's
 * are in every shard that works on the model's first calibration. */
bool bs_shards_has(const struct bs_shards *shards, int number, int model, int calibration,
                   int recipe);

/* Leaves the open sweep the trials of this shard alone. What was selected is the first part. */
void bs_shards_keep(const struct bs_shards *shards, int number, struct bs_sweep *sweep);

/* The shard's result file: ".2-of-8" before the ending of the whole's. In new memory; NULL when
 * that runs out. */
char *bs_shard_path(const char *path, struct bs_shard shard);

#endif
