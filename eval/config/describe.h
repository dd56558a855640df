/* Help that is printed from the tables the program itself reads. */
#ifndef BS_EVAL_CONFIG_DESCRIBE_H
#define BS_EVAL_CONFIG_DESCRIBE_H

#include <stdbool.h>
#include <stdio.h>

#include "eval/base/error.h"

/* What there is of each kind of plug-in, and every key a config may have; in Markdown each
 * plug-in's options too. BS_ENOMEM. */
enum bs_status bs_describe_all(FILE *out, bool markdown, struct bs_error *err);

/* All that is called `name`: a kind of plug-in and those of it; a plug-in; a part of the config
 * (config, model, sweep, weights, activations, except, calibration, evaluation, task, layer_error,
 * expected), or a list beside them (models, protocols, texts, known_tasks, task_record, text_steps,
 * ...). Another name is BS_ECONFIG with the nearest and all that exist; BS_ENOMEM. */
enum bs_status bs_describe_one(const char *name, FILE *out, bool markdown, struct bs_error *err);

#endif
