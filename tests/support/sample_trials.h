/* Trials made up to be stored: what tests of the result file commit, and where. */
#ifndef BS_TESTS_SUPPORT_SAMPLE_TRIALS_H
#define BS_TESTS_SUPPORT_SAMPLE_TRIALS_H

#include "eval/store/results.h"

enum {
    SAMPLE_WINDOWS = 4,
    SAMPLE_TOKENS = 16,
    SAMPLE_VALUES = SAMPLE_WINDOWS * (SAMPLE_TOKENS - 1)
};

/* A folder of the test's own, the result file in it, and what a commit writes first. */
extern char sample_folder[64], sample_file[96], sample_partial[112];
int sample_setup(void **state);
int sample_teardown(void **state);

/* The run that the trials are of. */
extern const struct bs_run_info sample_info;

/* One trial's record, with storage for what it borrows. */
struct sample {
    struct bs_trial_record record;
    char label[32];
    struct bs_value_row values[3];
    struct bs_layer_row layers[3];
    float nll[SAMPLE_VALUES], kld[SAMPLE_VALUES];
    uint8_t same_top[SAMPLE_VALUES];
    struct bs_figures figures;
};

/* A value, whose standard error is none. */
struct bs_value_row sample_value(const char *evaluation, const char *name, double value);

/* A trial that is done, with figures that depend on the seed; one that failed. */
void sample_make(struct sample *s, const char *id, double seed);
void sample_make_failed(struct sample *s, const char *id);

/* Adds the trial to the result file. */
enum bs_status sample_commit(struct sample *s, struct bs_error *err);

/* Fails the test with the message. */
void sample_must(enum bs_status status, const struct bs_error *err);

#endif
