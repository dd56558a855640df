/* Help that is printed from the tables the program itself reads. */
#ifndef BS_EVAL_CONFIG_DESCRIBE_H
#define BS_EVAL_CONFIG_DESCRIBE_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/base/error.h"

/* The algorithms, and every key a config may have; in Markdown each algorithm's options too. */
void bs_describe_all(FILE *out, bool markdown);

/* One algorithm; one part of the config: config, sweep, weights, activations, calibration,
 * evaluation, layer_error; protocols or texts. Another name is BS_ECONFIG with the nearest and all that exist. */
enum bs_status bs_describe_one(const char *name, FILE *out, bool markdown, struct bs_error *err);

#endif
