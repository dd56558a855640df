/* Configs as tests of their reading write them. */
#ifndef BS_TESTS_SUPPORT_CONFIGS_H
#define BS_TESTS_SUPPORT_CONFIGS_H

#include "eval/config/config.h"

/* The charts that a config may name, and the file that config_load writes. */
extern const char *const config_charts[];
extern char config_path[80];

/* What every config needs, so that a case shows only what it is about: four lines with a sweep's
 * key. */
extern const char *const config_frame;

/* A folder for the file. */
int config_setup(void **state);
int config_teardown(void **state);

/* Writes the text to the file; and reads it. */
void config_write(const char *text);
enum bs_status config_load(const char *text, struct bs_config *config, struct bs_error *err);

/* Checks that the sweep expands to these labels, one a line, after the unquantized model. */
void config_expect_labels(const char *sweep, const char *labels);

/* Checks that a text is refused with exactly these lines, each without "path:" in front. */
void config_expect_errors(const char *text, const char *lines);

/* Checks a sweep after the frame, its first line being line 5: one error for each fragment, which
 * stands in it. Fragments leave out what other tables contribute. NULL ends them. */
void config_expect_sweep_errors(const char *sweep, const char *const *fragments);

#endif
