/* A model's places, and what a config says of them. */
#ifndef BS_EVAL_RUN_PLACES_H
#define BS_EVAL_RUN_PLACES_H

#include <stdio.h>

#include "eval/config/config.h"

/* Prints the places of each wanted model (bit m is the config's models[m]) that rules may name; of
 * the models config.json is enough. BS_ENOMEM, or what opening them meets. */
enum bs_status bs_places_print(const struct bs_config *config, uint64_t wanted, FILE *out,
                               struct bs_error *err);

/* Checks the rules of all recipes that the config has for this model. BS_ECONFIG with a line for
 * each that cannot hold, as many as the message takes: "x.yaml:9:16: error: where is '*.dwn_proj'
 * ..."; BS_ENOMEM. */
enum bs_status bs_places_check(const struct bs_config *config, int model,
                               const struct bs_architecture *architecture, struct bs_error *err);

#endif
