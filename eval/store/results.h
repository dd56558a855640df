/* The result file: HDF5, one a sweep, whole at any moment.
 *
 * /                            attributes: schema_version, bitsweep_version, commit, config (the
 *                              YAML text), host, cpu, blas, threads, started, finished (ISO 8601,
 *                              UTC), of the last run
 * /trials                      compound table, one row a trial, what it is and where it comes from:
 *                              struct bs_row, field for field
 * /values                      compound table, one row a value that was measured: struct
 *                              bs_value_row; those of a trial stand together, in the order of
 *                              /trials
 * /trial/<id>                  attributes: `canonical`, the text the id is a hash of; `notices`,
 *                              what was passed over or decided as the model was opened, a line each
 * /trial/<id>/layers           compound table, one row a linear: struct bs_layer_row, its values
 *                              each in a member of its own name
 * /trial/<id>/channels/<site>   [blocks][channels], float32, the largest |x| of every channel of a
 *                              site, where the config asks for it: struct bs_channels
 * /trial/<id>/<text>/<figure>  [windows][tokens - 1], a figure of every prediction, by the table
 *                              of tasks/figure.h, float32 or uint8
 * /trial/<id>/<task>/answers   of an evaluation that has items, in the place of figures: compound
 *                              table, one row an answer: struct bs_answer, field for field
 *
 * Where nothing is scored floats are NaN and bytes 0. What the values and figures are called is the
 * affair of the evaluations and metrics that measure them: nothing here knows a name of theirs.
 *
 * In front of it stands a seal of 512 bytes, which HDF5 passes over (seal.h): a file whose bytes
 * are not those of its last commit is refused before HDF5 sees it, also one that another program
 * has written to.
 *
 * A commit copies the file aside, adds to the copy, seals it, makes it durable and renames it: a
 * reader, or a run that is killed, finds the state before or after, never between. */
#ifndef BS_EVAL_STORE_RESULTS_H
#define BS_EVAL_STORE_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"
#include "eval/data/answers.h"
#include "eval/statistics/channels.h"
#include "eval/tasks/figure.h"
#include "eval/tasks/value.h"

enum { BS_SCHEMA_VERSION = 9 };

/* A value of a trial. */
struct bs_value_row {
    char trial[17];      /* id */
    char evaluation[24]; /* what measured it; "model": a metric (tasks/metric.h) */
    char name[40];       /* of its type (tasks/value.h) */
    double value;
    double se, df; /* standard error and its degrees of freedom; NaN = none */
    double
        calibration_sd; /* of the trial's group (bs_rows_label); NaN where it has fewer than two */
    int n;              /* what it is taken over */
};

/* What a trial is and where it comes from. Text fields are zero-terminated UTF-8; pointers are to
 * texts of any length, NULL = "". NaN stands for "does not exist". */
struct bs_row {
    char id[17];
    const char *label;     /* tells the trial from every other of its file: see bs_rows_label */
    const char *recipe;    /* bs_recipe_label */
    const char *algorithm; /* "smoothquant+gptq" */
    const char *options;   /* not at their default */
    const char *model;     /* as the config names it */
    const char *text;      /* the evaluation text's name */
    char status[8];        /* "done", "failed" */
    const char *message;   /* why it failed */
    char model_digest[33]; /* of config.json and every weight */
    /* Of the weights; "none" and "" where they are not quantized. */
    char format[16], format_family[16];
    char grid[16], range[8], granularity[16]; /* granularity: "channel", "tensor", "128" */
    char activation_granularity[16];
    char calibrate_on[16];
    /* What the algorithms looked at; "" and 0 where they looked at nothing. */
    const char *calibration_text; /* as the config names it */
    char calibration_sampling[16];
    char calibration_text_digest[33]; /* of the text's exact bytes */
    char calibration_digest[33];      /* of the windows' ids */
    int calibration_windows, calibration_tokens;
    int calibration_documents; /* of sampling awq; else 0 */
    int calibration_seed;      /* -1 where the sampling draws nothing */
    char compute[16];          /* what evaluation multiplied in */
    char evaluation[24];       /* what was measured */
    char protocol[24];         /* how */
    char pick[8];              /* which of the text's windows: "all", "even", "first" */
    char text_digest[33];      /* of the text's exact bytes; of a task of its items and record */
    int bits, symmetric, activation_bits;
    int kv_code_bits;    /* the fewest of keys and values as they are kept */
    int windows, tokens; /* of the evaluation */
    int text_windows;    /* that the text holds */
    int stride;          /* tokens from the start of a window to that of the next */
    int scored;          /* predictions, in all windows */
    /* Trials that differ from this one in nothing but the seed of their calibration and are done,
     * itself counted (bs_rows_group); 0 where nothing was drawn. */
    int calibrations;
    double seconds_quantize, seconds_evaluate;
    /* By which program and machine, when. */
    const char *version, *commit; /* NULL in a record: this program's */
    const char *cpu, *blas;
    char numerics[16]; /* by what matrices were multiplied */
    char isa[8];       /* level of instructions, eval/base/isa.h */
    int revision;      /* grows when a change of the program changes results */
    int threads;
    char started[24]; /* of the run; ISO 8601, UTC */
    /* The result file that it was read from, borrowed of the results; NULL in a record, and no
     * field of /trials. */
    const char *file;
    /* What was measured, owned by rows that were read; no fields of /trials. */
    int num_values;
    struct bs_value_row *values;
};

/* One linear of one trial. */
struct bs_layer_row {
    int block;
    char name[64]; /* "self_attn.q_proj" */
    int out_features, in_features;
    double seconds;
    double values[BS_MOST_LINEAR_VALUES]; /* by the columns of its table */
};

/* The linears of a trial. */
struct bs_layer_table {
    int num_rows, num_columns;
    struct bs_layer_row *rows;
    char (*columns)[40]; /* [num_columns], what the rows' values are called */
};

/* What a commit adds for one trial. A failed trial has no values, figures and layers; the
 * unquantized model has an empty table of layers. All borrowed; the rows' values need not name
 * their trial. */
struct bs_trial_record {
    struct bs_row row;
    const char *canonical;
    const char *notices; /* NULL or "" = none */
    struct bs_layer_table layers;
    const struct bs_channel_list *channels; /* NULL = none */
    const struct bs_figures *figures;       /* [windows][tokens - 1]; NULL = none */
    struct bs_answers answers;              /* owned; of an evaluation that has items */
};

/* What a run says of itself in the root attributes; what is NULL (or 0 threads) stays as the file
 * has it. The rows of `models` stand in their order, those of others after them. */
struct bs_run_info {
    const char *config, *host, *cpu, *blas, *started, *finished; /* finished: "" while it goes on */
    int threads;
    int num_models;
    char *const *models;
};

/* /trials, /values and root attributes of a result file, or of several, in memory. */
struct bs_results {
    char *path;   /* of several files the first; of a trial: its `file` */
    char *config; /* root attribute; of the first */
    int schema_version;
    int num_rows;
    struct bs_row *rows;      /* in the file's order; those of a model stand together */
    int num_parts;            /* 0 = one file */
    struct bs_results *parts; /* [num_parts], each file's path and config; their rows have gone */
};

/* Reads a result file. BS_EIO where it cannot be opened, BS_EDATA where it is damaged or no result
 * file of this schema, naming file and place. */
enum bs_status bs_results_read(const char *path, struct bs_results *results, struct bs_error *err);
void bs_results_release(struct bs_results *results);

/* Reads several result files as one: the trials of all, each model's together, files in their
 * order. The same trial in two files is taken from the first where it has the same values, and one
 * that is done goes before one that failed. Labels, and what is said over several calibrations, are
 * those of all trials together. BS_EDATA too where two files differ in a value of a trial, naming
 * both. */
enum bs_status bs_results_read_all(const char *const *paths, int count, struct bs_results *results,
                                   struct bs_error *err);

/* Whether two rows' per-token figures belong to the same tokens, taken by the same protocol: what
 * may stand in one table and be paired. */
bool bs_rows_comparable(const struct bs_row *a, const struct bs_row *b);

/* Sets `label` of every row, in new memory that replaces the old, to its recipe and what else tells
 * it from the others: where the file has calibrations that differ, of a trial that looked at one
 * the parts they differ in ("gptq w3 g128 seed=1", "... cal=wiki 128x2048"); where trials
 * were computed by different numerics, their name ("... numerics=native"); where models of one name
 * differ in their digest, its beginning ("... model=5d41402a"); where labels still agree, of
 * trials of one model and text measured alike, the names of their files where those differ, else
 * the beginning of their ids. And sets `calibrations`
 * and of every value its deviation over them. BS_ENOMEM. */
enum bs_status bs_rows_label(struct bs_row *rows, int num_rows, struct bs_error *err);

/* Whether the trial is done; else it has failed. */
bool bs_row_is_done(const struct bs_row *row);

/* Whether two rows are of one model, by name and digest, computed by the same numerics, and
 * comparable: what one chart holds. */
bool bs_rows_same_subject(const struct bs_row *a, const struct bs_row *b);

/* Whether another model of the rows goes by the name of this row's. */
bool bs_rows_share_name(const struct bs_row *rows, int num_rows, const struct bs_row *row);

/* Whether both trials were calibrated on windows that a seed drew, and differ in them by the seed
 * at most. */
bool bs_rows_drawn_alike(const struct bs_row *a, const struct bs_row *b);

/* Whether every finished trial of the row's group is among the rows, of several: then their mean
 * may stand for them. */
bool bs_rows_whole_group(const struct bs_row *rows, int num_rows, const struct bs_row *row);

/* Whether two trials differ in nothing but the seed of their calibration: of one subject and
 * recipe, calibrated on windows drawn alike. */
bool bs_rows_group(const struct bs_row *a, const struct bs_row *b);

/* The means of a row's group, one trial a seed, where that has two at least (`calibrations`):
 * `mean` is the row with its label but for the seed, the means for values and seconds, and for
 * standard errors those of one trial, averaged, since draws of calibration share the text's noise.
 * Borrows the row's other texts. BS_ENOMEM, which leaves nothing to release. */
enum bs_status bs_rows_mean(const struct bs_row *rows, int num_rows, const struct bs_row *row,
                            struct bs_row *mean, struct bs_error *err);
void bs_rows_mean_release(struct bs_row *mean);

/* The row's value of this name, of any evaluation where that is NULL; NULL where it has none. And
 * the number alone, NaN where it has none. */
const struct bs_value_row *bs_row_value(const struct bs_row *row, const char *evaluation,
                                        const char *name);
double bs_row_number(const struct bs_row *row, const char *name);

/* Gives back what the rows own, and the rows. */
void bs_rows_free(struct bs_row *rows, int num_rows);

/* How a row was measured, for captions: "protocol sliding with stride 64, 9 windows x 128 tokens",
 * "protocol gptq, 24 of 205 windows spread evenly x 256 tokens", "0-shot, 300 items". */
enum { BS_MEASURED_TEXT = 160 };
void bs_row_measured(const struct bs_row *row, char out[BS_MEASURED_TEXT]);

/* The row with this id, or NULL. */
const struct bs_row *bs_results_find(const struct bs_results *results, const char *id);

/* True where the trials are of more than one model: then a label alone does not tell them apart. */
bool bs_results_several_models(const struct bs_results *results);

/* A figure of every prediction of a trial in new memory (bs_free), [windows][tokens - 1]: windows
 * and tokens are the row's. BS_EDATA where it is not there, or of another shape. */
enum bs_status bs_results_read_figure(const char *path, const struct bs_row *row,
                                      enum bs_figure figure, void **values, struct bs_error *err);

/* The answers of a trial whose evaluation has items (bs_evaluation's `answer`), to be released.
 * BS_EDATA where they are not there or make no sense: items that do not follow one another, choices
 * that do not count from 0, an item without exactly one right answer. */
enum bs_status bs_results_read_answers(const char *path, const struct bs_row *row,
                                       struct bs_answers *answers, struct bs_error *err);

/* The layers of a trial in new memory. */
enum bs_status bs_results_read_layers(const char *path, const char *id,
                                      struct bs_layer_table *layers, struct bs_error *err);
void bs_layer_table_release(struct bs_layer_table *layers);

/* Channels of all sites of a trial in new memory, in the order of the sites' names; none where the
 * file has none. */
enum bs_status bs_results_read_channels(const char *path, const char *id,
                                        struct bs_channel_list *list, struct bs_error *err);

/* The column of this name, -1 where there is none. */
int bs_layer_column(const struct bs_layer_table *layers, const char *name);

/* A text of a trial, "canonical" or "notices", or where `id` is NULL of the file, "host" or
 * "finished", in new memory. BS_EDATA where it has none. */
enum bs_status bs_results_read_text(const char *path, const char *id, const char *name, char **text,
                                    struct bs_error *err);

/* What is known of the order of merged trials: their models, and within each their ids. */
struct bs_merge_order {
    int num_models, num_ids;
    char *const *models;
    const char *const *ids;
};

/* Makes the file `path`, which must not be there, of all trials of the files `from` [count], with
 * everything that is stored of each. The same trial in two files must have the same values, and is
 * taken from the first; one that is done goes before one that failed. Labels, and what is said over
 * several calibrations, are those of all trials together; rows stand in the order that is given,
 * others after them as they come. The root attributes are the first file's. BS_EDATA where two
 * files differ in a value of a trial, naming both, BS_EIO, BS_ENOMEM; then there is no file. */
enum bs_status bs_results_merge(const char *path, const char *const *from, int count,
                                const struct bs_merge_order *order, struct bs_error *err);

/* Adds trials to the file (made where it is not there), replacing a failed trial of the same id;
 * puts the rows in the order of the info's models, and within each in that of `order` (ids; rows it
 * does not name follow in their old order); sets the root attributes. Space is reserved beforehand.
 * On any failure the old file stays as it was. */
enum bs_status bs_results_commit(const char *path, const struct bs_trial_record *records,
                                 int num_records, const char *const *order, int num_order,
                                 const struct bs_run_info *info, struct bs_error *err);

#endif
