/* The result file: HDF5, one a sweep, whole at any moment.
 *
 * /                            attributes: schema_version, bitsweep_version, commit, config (the YAML
 *                              text), host, cpu, blas, threads, started, finished (ISO 8601, UTC),
 *                              of the last run
 * /trials                      compound table, one row a trial: struct bs_row, field for field
 * /trial/<id>                  attributes: `canonical`, the text the id is a hash of; `notices`, what was
 *                              passed over or decided as the model was opened, a line each
 * /trial/<id>/layers           compound table, one row a linear: struct bs_layer_row
 * /trial/<id>/<text>/nll       float32 [windows][tokens - 1], nats
 * /trial/<id>/<text>/kld       float32 [windows][tokens - 1], nats
 * /trial/<id>/<text>/same_top  uint8   [windows][tokens - 1]
 *
 * Where the protocol does not score a position, nll and kld are NaN and same_top is 0.
 *
 * In front of it stands a seal of 512 bytes, which HDF5 passes over (seal.h): a file whose bytes are
 * not those of its last commit is refused before HDF5 sees it, also one that another program has
 * written to.
 *
 * A commit copies the file aside, adds to the copy, seals it, makes it durable and renames it: a
 * reader, or a run that is killed, finds the state before or after, never between. */
#ifndef BS_EVAL_STORE_RESULTS_H
#define BS_EVAL_STORE_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/error.h"

enum { BS_SCHEMA_VERSION = 4 };

/* One trial's summary. Text fields are zero-terminated UTF-8; pointers are to texts of any length,
 * NULL = "". NaN stands for "does not exist". */
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
    char protocol[16];         /* by which the text was measured */
    char pick[8];              /* which of the text's windows: "all", "even", "first" */
    char text_digest[33];      /* of the text's exact bytes */
    int bits, symmetric, activation_bits;
    int windows, tokens; /* of the evaluation */
    int text_windows;    /* that the text holds */
    int stride;          /* tokens from the start of a window to that of the next */
    int scored;          /* predictions, in all windows */
    int fallbacks;       /* linears for which the algorithm had to change its plan */
    int dead_columns;    /* over all linears */
    double perplexity, perplexity_se;
    double nll, nll_se; /* mean, nats a token */
    double nll_df;      /* degrees of freedom of nll_se and perplexity_se */
    /* The mean over other units of the text: exp(nll * T / N) with T tokens (special ones that the
     * tokenizer adds not counted) and N words or bytes of the whole text, however much of it the
     * windows cover. Words as lm-evaluation-harness counts them: len(re.split(r"\s+", text)). */
    double word_perplexity, byte_perplexity, bits_per_byte;
    double perplexity_delta, perplexity_delta_se; /* to the unquantized model, paired */
    double nll_delta, nll_delta_se, nll_delta_df;
    double kld_mean, kld_mean_se, kld_median, kld_p90, kld_p95, kld_p99, kld_p999, kld_max;
    double same_top,
        same_top_se; /* share of tokens where both models' likeliest next token agree */
    double weight_mse, sqnr_db, relative_output_error, cosine; /* over all linears */
    double bits_per_weight;   /* of the quantized linears, scales and zero points included */
    double bytes;             /* of the whole model, what is not quantized at 16 bits */
    double compression_ratio; /* 16-bit bytes over bytes */
    /* Of the trials that differ from this one in nothing but the seed of their calibration, itself
     * counted (bs_rows_group): how many are done, and the standard deviation of their figures, NaN
     * for fewer than two. 0 where nothing was drawn. */
    int calibrations;
    double perplexity_calibration_sd, nll_calibration_sd, kld_calibration_sd,
        same_top_calibration_sd;
    double seconds_quantize, seconds_evaluate;
    /* By which program and machine, when. */
    const char *commit; /* NULL in a record: this program's */
    const char *cpu, *blas;
    int threads;
    char started[24]; /* of the run; ISO 8601, UTC */
};

/* One linear of one trial. */
struct bs_layer_row {
    int block;
    char name[64]; /* "self_attn.q_proj" */
    int out_features, in_features;
    double weight_mse;            /* mean (W - W^)^2, in the checkpoint's own basis */
    double sqnr_db;               /* 10 log10(sum W^2 / sum (W - W^)^2) */
    double relative_output_error; /* |Y^ - Y| / |Y| (Frobenius) on the unquantized model's inputs */
    double cosine;                /* <Y, Y^> / (|Y| |Y^|) */
    double bits_per_weight;
    double damping; /* the percdamp that held; NaN = no Hessian */
    int dead_columns, fallback;
    double seconds;
};

/* What a commit adds for one trial. Arrays are [windows][tokens - 1], NULL for what does not exist.
 * A failed trial has no arrays and no layers; the unquantized model has an empty table of layers.
 * All borrowed. */
struct bs_trial_record {
    struct bs_row row;
    const char *canonical;
    const char *notices; /* NULL or "" = none */
    int num_layers;
    const struct bs_layer_row *layers;
    const float *nll, *kld;
    const uint8_t *same_top;
};

/* What a run says of itself in the root attributes; what is NULL (or 0 threads) stays as the file
 * has it. The rows of `models` stand in their order, those of others behind. */
struct bs_run_info {
    const char *config, *host, *cpu, *blas, *started, *finished; /* finished: "" while it goes on */
    int threads;
    int num_models;
    char *const *models;
};

/* A result file's /trials and root attributes in memory. */
struct bs_results {
    char *path;
    char *config; /* root attribute */
    int schema_version;
    int num_rows;
    struct bs_row *rows; /* in the file's order */
};

/* Reads a result file. BS_EIO where it cannot be opened, BS_EDATA where it is damaged or no result
 * file of this schema, naming file and place. */
enum bs_status bs_results_read(const char *path, struct bs_results *results, struct bs_error *err);
void bs_results_release(struct bs_results *results);

/* Whether two rows' per-token figures belong to the same tokens, taken by the same protocol: what
 * may stand in one table and be paired. */
bool bs_rows_comparable(const struct bs_row *a, const struct bs_row *b);

/* Sets `label` of every row, in new memory that replaces the old, to its recipe and what else tells
 * it from the others: where the file has calibrations that differ, of a trial that looked at one
 * the parts they differ in ("gptq w3 g128 seed=1", "... cal=wiki 128x2048"); where models of one
 * name differ in their digest, its beginning ("... model=5d41402a"); where labels still agree, of
 * trials of one model and text measured alike, the beginning of their ids. And sets `calibrations`
 * and what follows it. BS_ENOMEM. */
enum bs_status bs_rows_label(struct bs_row *rows, int num_rows, struct bs_error *err);

/* Whether the trial is done; else it has failed. */
bool bs_row_is_done(const struct bs_row *row);

/* Whether two rows are of one model, by name and digest, and comparable: what one chart holds. */
bool bs_rows_same_subject(const struct bs_row *a, const struct bs_row *b);

/* Whether another model of the rows goes by the name of this row's. */
bool bs_rows_share_name(const struct bs_row *rows, int num_rows, const struct bs_row *row);

/* Whether both trials were calibrated on windows that a seed drew, and differ in them by the seed at
 * most. */
bool bs_rows_drawn_alike(const struct bs_row *a, const struct bs_row *b);

/* Whether two trials differ in nothing but the seed of their calibration: of one model, text,
 * protocol and recipe, calibrated on windows drawn alike. */
bool bs_rows_group(const struct bs_row *a, const struct bs_row *b);

/* The means of a row's group, one trial a seed, where it has two at least: `mean` is the row with
 * its recipe for label, the means for figures, and for standard errors those of one trial,
 * averaged, since draws of calibration share the text's noise. Borrows the row's texts. False where
 * there are fewer. */
bool bs_rows_mean(const struct bs_row *rows, int num_rows, const struct bs_row *row,
                  struct bs_row *mean);

/* Gives back what the rows own, and the rows. */
void bs_rows_free(struct bs_row *rows, int num_rows);

/* How a row was measured, for captions: "protocol sliding with stride 64, 9 windows x 128 tokens",
 * "protocol gptq, 24 of 205 windows spread evenly x 256 tokens". */
enum { BS_MEASURED_TEXT = 160 };
void bs_row_measured(const struct bs_row *row, char out[BS_MEASURED_TEXT]);

/* The row with this id, or NULL. */
const struct bs_row *bs_results_find(const struct bs_results *results, const char *id);

/* True where the trials are of more than one model: then a label alone does not tell them apart. */
bool bs_results_several_models(const struct bs_results *results);

/* The per-token arrays of a trial in new memory (bs_free); any of the three may be NULL = not
 * wanted. windows and tokens are the row's. BS_EDATA where shapes differ from the row's. */
enum bs_status bs_results_read_tokens(const char *path, const struct bs_row *row, float **nll,
                                      float **kld, uint8_t **same_top, struct bs_error *err);

/* The layers table of a trial in new memory. */
enum bs_status bs_results_read_layers(const char *path, const char *id,
                                      struct bs_layer_row **layers, int *num_layers,
                                      struct bs_error *err);

/* A text of a trial, "canonical" or "notices", in new memory. BS_EDATA where it has none. */
enum bs_status bs_results_read_text(const char *path, const char *id, const char *name, char **text,
                                    struct bs_error *err);

/* Takes the file's lock, so that one run writes it at a time, and checks that its folder can be
 * written. BS_EIO where another run holds it or the place cannot be written. The lock goes with the
 * process, or with bs_results_unlock. */
struct bs_results_lock;
enum bs_status bs_results_lock_take(const char *path, struct bs_results_lock **lock,
                                    struct bs_error *err);
void bs_results_unlock(struct bs_results_lock *lock);

/* Adds trials to the file (made where it is not there), replacing a failed trial of the same id;
 * puts the rows in the order of the info's models, and within each in that of `order` (ids; rows it
 * does not name follow in their old order); sets the root attributes. Space is reserved beforehand.
 * On any failure the old file stays as it was. */
enum bs_status bs_results_commit(const char *path, const struct bs_trial_record *records,
                                 int num_records, const char *const *order, int num_order,
                                 const struct bs_run_info *info, struct bs_error *err);

#endif
