/* A config file, checked whole and expanded into recipes. */
#ifndef BS_EVAL_CONFIG_CONFIG_H
#define BS_EVAL_CONFIG_CONFIG_H

#include <stdint.h>

#include "eval/config/report.h"
#include "eval/recipe/recipe.h"
#include "eval/base/lines.h"
#include "eval/data/windows.h"
#include "eval/linalg/numerics.h"
#include "eval/statistics/channels.h"
#include "eval/tasks/evaluation.h"

/* One of `calibration:`; the option table is bs_calibration_options. */
struct bs_calibration_config {
    char *text;
    char *field, *join; /* NULL = by default */
    bool lines;
    int windows, tokens, seed, documents;
    int sampling; /* enum bs_sampling, not AUTO */
};

/* The seed of its draws; -1 where the sampling draws nothing. */
int bs_calibration_seed(const struct bs_calibration_config *calibration);

/* One entry of a list under `evaluation:`. */
struct bs_evaluation_config {
    char *text;         /* of a task what it is named by */
    char *field, *join; /* NULL = by default */
    char *name; /* as the config has it, else the file's without folder and ending: the text's group
                   in the result file */
    bool lines;
    int windows; /* 0 = all */
    int pick;    /* enum bs_pick */
    int tokens;
    struct bs_choice how;       /* the evaluation, with its own options settled */
    const struct bs_task *task; /* of an evaluation of tasks; windows are items then */
    struct bs_task *own_task;   /* the same where it is no built-in one */
    char *items, *shot_items;   /* files in the place of the task's; NULL = those */
};

/* Windows of the first evaluation text over which the per-linear errors are taken. */
struct bs_layer_error_config {
    int windows;
};

/* Sites whose channels' largest values are kept, over the first windows of the first text. */
struct bs_channels_config {
    int windows, num_sites;
    char *sites[BS_MOST_CHANNEL_SITES];
};

/* Amounts of one `budget:`. */
enum { BS_MOST_AMOUNTS = 32 };

/* What is one place of a recipe that is spread over a model's places. */
enum bs_spread_over {
    BS_OVER_LINEARS, /* a linear; of experts the same of all */
    BS_OVER_FUSED,   /* linears that programs which run models multiply with as one matrix */
    BS_OVER_BLOCKS,  /* a block's linears */
    BS_OVER_ROLES,   /* the same linear in all blocks */
};

/* `budget:` of a grid with `sensitivity:`: what the sum of the chosen candidates may take, and by
 * what they are chosen. */
struct bs_budget_config {
    int by;        /* enum bs_damage */
    char name[32]; /* what tells its recipes from another budget's; "" = none */
    int rounds;    /* in which an amount is shared out: by what is measured around its mix */
    int random;    /* mixes that are drawn */
    int seed;      /* by which they are */
    int line, column;
    int count; /* of amounts */
    struct bs_amount {
        double value;
        bool bytes;       /* of all places in a file; else bits per weight */
        int line, column; /* of the value */
        char text[32];    /* as the config has it */
    } amounts[BS_MOST_AMOUNTS];
};

/* What a place's damage is measured in: values of its one-place trial. */
enum bs_damage { BS_BY_KL, BS_BY_NLL, BS_BY_OUTPUTS, BS_BY_WEIGHTS };
extern const char *const bs_damage_words[];  /* NULL-terminated */
extern const char *const bs_damage_values[]; /* what a trial calls them */

/* A point of a grid with `sensitivity:`. For each place of a model it stands for the recipe that
 * quantizes the weights there, and nothing else. */
struct bs_spread_config {
    struct bs_recipe recipe;        /* everywhere, resolved */
    int places;                     /* enum bs_spread_over */
    uint64_t models, texts;         /* that it is for: bits, as of recipes */
    int grid;                       /* of the sweep: candidates for the same places */
    struct bs_budget_config budget; /* count and random 0: it has none */
    int line, column;               /* of `sensitivity:` */
};

/* One figure of `expected:`, which somebody published for a trial of the config. */
struct bs_expected_config {
    int source, model, text, recipe; /* indices of the config's sources, models, evaluations, ... */
    const struct bs_value_type *type; /* what was published */
    double value;
    char *label;   /* the recipe's */
    char *printed; /* the value as the config has it, with the digits that were published */
    const struct bs_numerics *numerics; /* that the figure came of; NULL = not said */
};

/* One entry of `export:`: recipes of the sweep that are written when their trials have run. */
struct bs_export_config {
    char *recipe; /* a label, or a pattern of them */
    char *model;  /* a name among the config's models; NULL = each that has the recipe */
    char *out;    /* where, from the config's folder on; {recipe} and {model} stand for names */
    struct bs_choice how; /* the writer, with its own options settled */
    bool verify;
    int line, column;
};

/* The options of each part, and the words of some. */
extern const struct bs_option bs_calibration_options[];
extern const char *const bs_sampling_names[];          /* by enum bs_sampling, NULL-terminated */
extern const struct bs_option bs_evaluation_options[]; /* of an entry that is of a text */
extern const struct bs_option bs_task_options[];       /* of one that is of a task */
extern const struct bs_option bs_layer_error_options[], bs_channels_options[];

/* A key that is no option: its value is a text, a list or a mapping. Tables end with a row whose
 * name is NULL. */
struct bs_config_key {
    const char *name, *allowed, *help;
    bool required;
};

/* Of the file, a grid, `calibration:`, `evaluation:` (beside the names of evaluations), an entry of
 * one of those lists, one of `expected:` and one of `export:`. */
extern const struct bs_config_key bs_config_keys[];
extern const struct bs_config_key bs_sweep_keys[];
extern const struct bs_config_key bs_setting_keys[]; /* of `weights:` and `activations:` */
extern const struct bs_config_key bs_where_keys[];   /* of `activations:` beside them */
extern const struct bs_config_key bs_cached_keys[];  /* of `kv_cache:`, by enum bs_cached */
extern const struct bs_config_key bs_except_keys[];
extern const struct bs_config_key bs_sensitivity_keys[];
extern const struct bs_option bs_sensitivity_options[]; /* on struct bs_spread_config */
extern const struct bs_config_key bs_budget_keys[];
extern const struct bs_option bs_budget_options[]; /* on struct bs_budget_config */
extern const struct bs_config_key bs_calibration_keys[];
extern const struct bs_config_key bs_evaluation_keys[], bs_channels_keys[];
extern const struct bs_config_key bs_text_keys[];
extern const struct bs_config_key bs_task_keys[];
extern const struct bs_config_key bs_expected_keys[];
extern const struct bs_config_key bs_export_keys[];
extern const struct bs_option bs_export_options[]; /* on struct bs_export_config */

/* `calibrate_on:` and `compute:` of a grid, on struct bs_recipe. */
extern const struct bs_option bs_recipe_options[];

/* An entry of `charts:`: a chart's name, and what else is said of it; NULL = nothing. */
struct bs_chart_config {
    char *name, *x, *y, *lines, *panels;
    int line, column;
};

/* The keys of an entry that is a mapping. */
extern const struct bs_config_key bs_chart_keys[];

enum { BS_MAX_TEXTS = 16, BS_MAX_MODELS = 64, BS_MAX_CALIBRATIONS = 64 };

/* A config as it is read: everything checked, nothing opened. */
struct bs_config {
    char *path;
    char *folder; /* that relative paths in it start from: its own; "" = the current one */
    char *source; /* the file's whole text, with the settings of the command line in it */
    int num_settings;
    char **settings; /* as they were given; NULL = none */
    int num_models;
    char **models;       /* what each is called: no two alike */
    char **model_places; /* as the config has it: a folder or a hub name */
    bool has_reference;
    int reference;        /* index of the model that the others are compared with, as they are */
    int num_calibrations; /* 0 where the config has none */
    struct bs_calibration_config *calibrations; /* in the order of the file, without repeats */
    int num_evaluations;
    struct bs_evaluation_config evaluations[BS_MAX_TEXTS];
    struct bs_layer_error_config layer_error;
    struct bs_channels_config channels;
    int num_recipes; /* the unquantized model first, then in the order of the file, without repeats
                      */
    struct bs_recipe *recipes;
    struct bs_digest *recipe_digests; /* of each recipe's canonical text */
    uint64_t *recipe_models;          /* of each recipe the models it is for: bit m is models[m] */
    uint64_t *recipe_texts;           /* and what is measured of it: bit t is evaluations[t] */
    int num_spreads; /* whose recipes are not among the above before the models' places are known */
    struct bs_spread_config *spreads;
    int num_sources, num_expected;
    char **sources;
    struct bs_expected_config *expected;
    int num_charts;
    struct bs_chart_config *charts;
    int num_exports;
    struct bs_export_config *exports;
    struct bs_lines notices; /* where the file says what does not apply to all that it names */
    struct bs_lines accept_unknown;     /* keys of the models' config.json */
    const struct bs_numerics *numerics; /* to compute by; NULL = not said */
};

/* Reads and checks the file and expands its sweep. BS_ECONFIG with every error of the file, one a
 * line: "configs/x.yaml:14:17: error: percdamp is '2', expected a number from 0 to 1". Chart names
 * are checked against `charts` (NULL-terminated), where a `*` stands for the name of a value. */
enum bs_status bs_config_load(const char *path, const char *const *charts, struct bs_config *config,
                              struct bs_error *err);

/* The same with settings in it that its text does not have (settings.h). */
enum bs_status bs_config_load_set(const char *path, const char *const *settings, int num_settings,
                                  const char *const *charts, struct bs_config *config,
                                  struct bs_error *err);

/* As bs_config_load, from `size` bytes of text; `path` is for messages. Where `charts` is NULL, as
 * of a text that a result file holds, any chart may be named, and files that options name and the
 * records of own tasks need not be there. */
enum bs_status bs_config_parse(const char *path, const char *text, size_t size,
                               const char *const *charts, struct bs_config *config,
                               struct bs_error *err);
void bs_config_release(struct bs_config *config);

/* What messages call a place of the config (report.h). */
void bs_config_place(const struct bs_config *config, int line, int column, char out[BS_PLACE_TEXT]);

/* True where the sweep has this recipe for this model; a model that is compared with a reference
 * has the first one alone. */
bool bs_config_wants(const struct bs_config *config, int recipe, int model);

/* The index of a resolved recipe; -1 where the config does not have it, -2 without memory. */
int bs_config_find_recipe(const struct bs_config *config, const struct bs_recipe *recipe);

/* Appends a recipe, which the config takes over, for these models and texts; where one of the same
 * canonical text is there that one is for them too. BS_ENOMEM, and then it is released. */
enum bs_status bs_config_add_recipe(struct bs_config *config, struct bs_recipe *recipe,
                                    uint64_t models, uint64_t texts, struct bs_error *err);

/* True where what becomes of a token's activations may depend on other tokens, by any recipe that
 * the sweep has for this model. */
bool bs_config_spans_tokens(const struct bs_config *config, int model);

/* The models called `names` (or by their places), each once, as bits; all where num_names is 0.
 * BS_ECONFIG for a name that the config does not have, with the nearest that it has. */
enum bs_status bs_config_select(const struct bs_config *config, const char *const *names,
                                int num_names, uint64_t *models, struct bs_error *err);

#endif
