/* The parts of `make bench`: models of real shapes with random weights, what is measured on them,
 * and how it is reported. Whatever computes runs in a child process of its own, so that its peak
 * memory is its own. Figures travel as JSON. */
#ifndef BS_TESTS_BENCH_BENCH_H
#define BS_TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "eval/linalg/numerics.h"
#include "eval/run/walk.h"

/* --- bench.c --- */

/* Prints the message, removes what was written to scratch, and ends the program. Not from a child,
 * which says {"error": ...} instead. */
void bench_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* --- options.c --- */

enum { BENCH_MOST_MODELS = 8, BENCH_MOST_CASES = 16 };

/* What the command line asks for; 0 = as model and case have it. */
struct bench_settings {
    bool models[BENCH_MOST_MODELS], cases[BENCH_MOST_CASES];
    bool any_model, any_case;
    int layers, windows, tokens, calibration, calibration_tokens;
    int threads, repeat, seed;
    const struct bs_numerics *numerics; /* NULL = the default ones */
    const char *scratch, *output;
    bool keep;
};

/* What the command line can choose among. */
struct bench_named {
    const char *name, *summary;
};

/* Reads the command line; ends the program after --help, or by bench_fail. */
struct bench_settings bench_read_command_line(int argc, char **argv,
                                              const struct bench_named *cases, int num_cases);

/* --- models.c --- */

/* A model's shape. */
struct bench_model {
    const char *name, *summary;
    const char *config; /* config.json, but for the number of layers */
    bool bfloat16;      /* of the checkpoint; else float16 */
    int layers;
    int quantize_layers; /* on which an algorithm is timed: each takes the same time */
    int windows;         /* to evaluate */
    bool usual;          /* part of a run that names no model */
    bool further;        /* with the further cases where none is named */
};
extern const struct bench_model bench_models[];
extern const int bench_num_models;

/* What a model directory is made from. */
struct bench_checkpoint {
    const struct bench_model *model;
    int layers, seed;
    const char *directory;
};

/* The work of a child: writes config.json and model.safetensors. The values are uniform with a
 * variance of 1 over the number of columns, so that nothing grows, and a matter of the seed and the
 * tensor's name alone. */
json_t *bench_write_model(const void *checkpoint);

/* --- child.c --- */

/* Runs work(context) in a child process and returns the object it made, with "memory" added to it:
 * {"peak": the most that was resident; "peak_private": of it, what is not backed by a file, sampled
 * every 20 ms; "peak_mapped": of files, whose pages the system can take back}, in bytes. On
 * {"error": ...} it ends the program. The caller owns the object. This process must not have
 * started threads. */
json_t *bench_in_child(json_t *(*work)(const void *context), const void *context);

/* From now on SIGINT and SIGTERM end the child at work, and then this program by bench_fail. */
void bench_catch_interrupts(void);

/* --- gemm.c --- */

struct bench_gemm {
    const char *directory; /* of a model */
    int tokens;            /* of a window */
    int threads, rounds;
    const struct bs_numerics *numerics; /* the program's; NULL = the default ones */
};

/* The work of a child: the rate of float32 products at the shapes of the model's linears, head and
 * attention and of the algorithms' own products, one product a thread on all threads, by each
 * library: {"shapes": [{"use", "form", "m", "n", "k", "program", "openblas", "onednn"}, ...]} in
 * Gflop/s, the best of the rounds. */
json_t *bench_measure_gemm(const void *gemm);

/* --- measure.c --- */

enum { BENCH_MOST_RECIPES = 24 };

/* A recipe as recipe_build takes it; an empty chain is the unquantized model. */
struct bench_recipe {
    const char *chain;
    char settings[128];
};

/* One thing to be timed. */
struct bench_job {
    char *directory;     /* of the model */
    int threads, repeat; /* repeat 0: as often as it is short */
    int seed;
    int windows, tokens;                         /* evaluated; windows 0 = none */
    int calibration_windows, calibration_tokens; /* windows 0 = none */
    int num_recipes;
    struct bench_recipe recipes[BENCH_MOST_RECIPES];
    bool apart;                         /* each recipe in a walk of its own */
    const char *scratch;                /* where streams are spilled to; NULL = in memory */
    const struct bs_numerics *numerics; /* NULL = the default ones */
};

/* The work of a child. The figures are those of the run with the median time:
 *   seconds              of the walk, or of all walks
 *   seconds_head         of it, final norm, logits and losses of all recipes
 *   seconds_processor    of all threads, those that wait for work among them
 *   runs                 the seconds of every run
 *   flops                of the evaluation and of what the algorithms do, as walk_cost.h counts;
 *                        null where several recipes share
 *   evaluation_flops     of evaluating one recipe
 *   recipes              [{label, seconds_quantize, seconds_evaluate, mean_nll, sqnr_db}], as the
 *                        walk has them; mean_nll null without evaluation
 *   nll_digest           of all losses */
json_t *bench_measure(const void *job);

/* --- formats.c --- */

/* The work of a child: what rounding takes in each number format, by processor time on one thread,
 * the shortest of some turns: {"formats": [{"name", "program", "ggml"}, ...]} in nanoseconds a
 * weight; ggml null where its library is not at hand or has no such format. */
json_t *bench_measure_formats(const void *nothing);

/* --- report.c --- */

/* Of the program, the numerics (NULL = the default ones), the libraries and the machine. */
json_t *bench_environment(const struct bs_numerics *numerics, int threads);

/* The highest rate in what bench_measure_gemm returned, Gflop/s. */
double bench_best_rate(const json_t *gemm);

/* Of two such objects of the same shapes: raises what `gemm` has to what `again` has. */
void bench_raise_rates(json_t *gemm, const json_t *again);

/* Fills into the rows from `first` on what follows from the product rate on as many threads. */
void bench_fill_shares(json_t *rows, size_t first, const json_t *gemm);

/* Prints {"environment": {...}, "gemm": [...], "rows": [...], "ratios": [...]} as bench.c builds
 * it, and "formats" where bench_measure_formats is part of it; and writes it to the path. */
void bench_report(const json_t *report, const char *path);

#endif
