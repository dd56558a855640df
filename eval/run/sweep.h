/* A config's sweep of one of its models: its trials, what of them is done, how they share walks,
 * and the run. */
#ifndef BS_EVAL_RUN_SWEEP_H
#define BS_EVAL_RUN_SWEEP_H

#include <stdio.h>

#include "eval/config/config.h"
#include "eval/run/pace.h"
#include "eval/run/telling.h"
#include "eval/run/walk_cost.h"
#include "eval/run/walk_keep.h"
#include "eval/store/results.h"

/* One point of the sweep: recipe x evaluation text, on the sweep's model. */
struct bs_trial {
    char id[17];     /* the first 16 digits of the digest of `canonical` */
    char *canonical; /* every setting and the digests of model and tokens, a line each */
    char *label;     /* what the result file would call it, were these its trials */
    char *recipe_label, *algorithm, *options; /* of the recipe, as bs_recipe_text has them */
    int recipe, text;
    int calibration; /* of the config's; 0 where the recipe looks at none */
    bool done;
    bool kept; /* it is on its way in a walk that was kept */
};

/* Gives back what a trial owns. */
void bs_trial_release(struct bs_trial *trial);

/* A sweep over one model: what is open, and its trials. */
struct bs_sweep {
    const struct bs_config *config;
    int model_index; /* of the config's models */
    struct bs_model *model;
    struct bs_model *reference; /* what the model is compared with, as its files have it; NULL: with
                                 * itself unquantized */
    struct bs_importance_files importance; /* that its recipes name */
    char *notices; /* what there is to say of the model, a line each; "" = nothing */
    struct bs_windows
        *calibrations; /* of the config, [num_calibrations]; NULL where no recipe needs any */
    struct bs_windows texts[BS_MAX_TEXTS];
    unsigned figures[BS_MAX_TEXTS]; /* that are taken of each: struct bs_walk */
    double
        reference_nll[BS_MAX_TEXTS]; /* the unquantized model's mean, as first measured; or NaN */
    double kept_blocks; /* share of the passage through the blocks that a kept walk has before it */
    int num_all;
    struct bs_trial
        *all; /* by calibration, then recipes in the config's order, each with its texts */
    /* What is selected: one calibration, and the trials that look at it. With the first stand those
     * that look at none. Borrowed from the above. */
    struct bs_windows calibration; /* ids NULL where there is none */
    int num_trials;
    struct bs_trial *trials;
};

/* The lines of a trial's canonical text that say which weights it has: all but what is measured. */
void bs_trial_print_written(const struct bs_sweep *sweep, const struct bs_trial *trial, FILE *out);

/* Part of every trial's id, and of a row: it grows when a change of the program changes results. */
int bs_results_revision(void);

/* Opens one of the config's models, its tokenizer and the texts and lists the trials. */
enum bs_status bs_sweep_open(const struct bs_config *config, int model_index,
                             struct bs_sweep *sweep, struct bs_error *err);
void bs_sweep_close(struct bs_sweep *sweep);

/* Opens what a sweep's model, open already, is compared with: sweep->reference, and checks that
 * their places have the same shape. Then, once the texts are loaded, that the tokens are the same.
 * BS_EUNSUPPORTED where not. For bs_sweep_open. */
enum bs_status bs_sweep_open_reference(struct bs_sweep *sweep, struct bs_error *err);
enum bs_status bs_sweep_check_tokens(const struct bs_sweep *sweep, struct bs_error *err);

/* Cuts the windows of one of the config's calibrations for a model. As bs_windows_calibrate. */
enum bs_status bs_calibration_cut(const struct bs_config *config, int index,
                                  const struct bs_model *model,
                                  const struct bs_tokenizer *tokenizer, struct bs_windows *windows,
                                  struct bs_error *err);

/* What the config's evaluation `text` asks of the sweep's model, in tokens of this tokenizer. */
enum bs_status bs_sweep_load_text(const struct bs_sweep *sweep,
                                  const struct bs_tokenizer *tokenizer, int text,
                                  struct bs_windows *windows, struct bs_error *err);

/* A walk has one calibration: the sweep is planned and run a calibration at a time, from 0 to
 * bs_sweep_parts - 1 (at least one part). Opening selects the first. */
int bs_sweep_parts(const struct bs_sweep *sweep);
void bs_sweep_select(struct bs_sweep *sweep, int part);

/* True where a trial of what is selected is not done. */
bool bs_sweep_is_open(const struct bs_sweep *sweep);

/* The ids of all trials in the order of the result file's rows: by recipe, then calibration, then
 * text. order [num_all], borrowed from the sweep. */
void bs_sweep_order(const struct bs_sweep *sweep, const char **order);

/* Marks the trials that `results` holds as done, beside those that are; failed ones stay open. */
void bs_sweep_mark_done(struct bs_sweep *sweep, const struct bs_results *results);

/* What a run may take. */
struct bs_limits {
    double memory;       /* bytes of a walk; to bs_models_run and _plan 0 = half of what is free */
    const char *scratch; /* directory for streams that memory has no room for */
    /* How walks are kept: in this directory, NULL = beside the result file; at least so many
     * seconds apart, below 0 = as bs_keeping chooses; not at all. */
    const char *checkpoints;
    double checkpoint_interval;
    bool no_checkpoints;
};

/* Opens the checkpoint that the keeping names and marks the trials that go on from it: of those
 * that it holds as many as the memory allows. No variants where there is none. One that is of no
 * use is left where it is and told of in a line to `out`. BS_ENOMEM. */
enum bs_status bs_sweep_find_kept(struct bs_sweep *sweep, const struct bs_keeping *keeping,
                                  const struct bs_limits *limits, struct bs_kept *kept, FILE *out,
                                  struct bs_error *err);

/* True where a trial of any part goes on from a checkpoint. */
bool bs_sweep_any_kept(const struct bs_sweep *sweep);

/* The recipes that go on, in the checkpoint's order; returns how many. `recipes` has room for the
 * checkpoint's variants. */
int bs_sweep_kept_recipes(const struct bs_sweep *sweep, const struct bs_kept *kept,
                          const struct bs_recipe **recipes);

/* A line that says what goes on from where; nothing where no walk was kept. */
void bs_sweep_print_kept(const struct bs_sweep *sweep, const struct bs_keeping *keeping,
                         const struct bs_kept *kept, FILE *out);

/* The ids of the recipe's trials that are not done, a text each; NULL for the others. */
void bs_sweep_open_ids(const struct bs_sweep *sweep, int recipe, const char *ids[BS_WALK_TEXTS]);

/* True where the trial is neither done nor kept; where the recipe has such a trial. */
bool bs_trial_is_open(const struct bs_trial *trial);
bool bs_sweep_recipe_is_open(const struct bs_sweep *sweep, int recipe);

/* A walk over the sweep's model and texts; progress is left empty. */
struct bs_walk bs_sweep_walk(const struct bs_sweep *sweep);

/* Fills `keeping` for the sweep's walks to the result file `path`; its path is NULL where they are
 * not kept, else the caller's to free. BS_ENOMEM. */
enum bs_status bs_sweep_keeping(const struct bs_sweep *sweep, const char *path,
                                const struct bs_limits *limits, struct bs_keeping *keeping,
                                struct bs_error *err);

/* How the open trials ride. */
struct bs_sweep_plan {
    int open_trials;
    int recipes, walks, recipes_a_walk; /* the unquantized model, on every walk, not counted */
    double bytes;                       /* at most, of the fullest walk */
    const char *scratch;                /* where its streams are; NULL = in memory */
    double scratch_bytes;               /* that they take there */
    double checkpoint_bytes;            /* of the fullest walk's checkpoint */
    double evaluation_flops;            /* all walks, the unquantized model included */
    double quantize_flops;              /* calibration, statistics, searches */
    double seconds;                     /* what it will take; NAN where that is not known */
    /* What recipes have in common: as it is done, and were each of them to walk alone. */
    struct bs_walk_common shared, alone;
};

/* Measures what the time of all trials that are not done is told from. As bs_pace_measure. */
enum bs_status bs_sweep_pace(const struct bs_sweep *sweep, struct bs_pace *pace,
                             struct bs_error *err);

/* Shares the open recipes out so that a walk stays within the limits. Streams are spilled to the
 * scratch directory where a walk with them in memory does not fit, or where that saves more in
 * walks than it costs. `pace`: what the time is told from, NULL = it is not. BS_ENOMEM naming what
 * the smallest walk needs where not even one recipe fits; BS_EIO naming the scratch directory where
 * it is needed and of no use. */
enum bs_status bs_sweep_plan(const struct bs_sweep *sweep, const struct bs_limits *limits,
                             const struct bs_pace *pace, struct bs_sweep_plan *plan,
                             struct bs_error *err);

/* The texts of a recipe's trials, bit t is texts[t]: of those that are open, or that go on from a
 * checkpoint. */
unsigned bs_sweep_texts(const struct bs_sweep *sweep, const struct bs_recipe *recipe, bool kept);

/* Decides where the streams of one walk of these recipes, measured on texts[count] (NULL = all),
 * are: in memory where they fit, else in the scratch directory. As bs_sweep_plan. */
enum bs_status bs_sweep_place_streams(const struct bs_limits *limits, struct bs_walk *walk,
                                      const struct bs_recipe *const *recipes, const unsigned *texts,
                                      int count, struct bs_error *err);

/* The plan of all parts together, the time of the walk that was kept included; what is selected
 * stays so. */
enum bs_status bs_sweep_plan_all(struct bs_sweep *sweep, const struct bs_limits *limits,
                                 const struct bs_pace *pace, struct bs_sweep_plan *plan,
                                 struct bs_error *err);

struct bs_shards;

/* Prints the trials, memory and work of all parts without running anything. `shards`: where they
 * are cut, which of them runs a trial; else NULL. */
void bs_sweep_print(const struct bs_sweep *sweep, const struct bs_sweep_plan *plan,
                    const struct bs_shards *shards, FILE *out);

/* A line on how large a checkpoint becomes and where it is; nothing where walks are not kept. */
enum bs_status bs_sweep_print_checkpoint(const struct bs_sweep *sweep, const char *path,
                                         const struct bs_limits *limits,
                                         const struct bs_sweep_plan *plan, FILE *out,
                                         struct bs_error *err);

/* How many trials came out, and how many failed. */
struct bs_sweep_outcome {
    int done, failed;
};

/* Runs the open trials and commits them to `path` walk by walk, the last of them as the end of the
 * run where `last`. An error stops the run; what was committed before stays. Counts are added to
 * the outcome. It tells of its progress as `telling` says. */
enum bs_status bs_sweep_run(struct bs_sweep *sweep, const char *path,
                            const struct bs_limits *limits, const struct bs_telling *telling,
                            bool last, struct bs_sweep_outcome *outcome, struct bs_error *err);

#endif
