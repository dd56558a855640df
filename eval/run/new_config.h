/* A config for a model, to begin with. */
#ifndef BS_EVAL_RUN_NEW_CONFIG_H
#define BS_EVAL_RUN_NEW_CONFIG_H

#include "eval/base/error.h"

/* What a config is written for. */
struct bs_new_config {
    const char *model;    /* as the user calls it: a path, or a hub name */
    const char *path;     /* the config's */
    const char *template; /* configs/template.yaml, wherever that is */
    const char *texts;    /* the folder of the embedded texts; NULL = there is none: the known text
                           * that papers measure on stands in the config */
};

/* Writes the template with the model, texts and windows in it, as they are called from the config's
 * folder; windows are no longer than the model's positions. *fetch is the name of a text that is
 * still to be fetched, NULL = none; borrowed. BS_EIO where the model is not there, or the config
 * is: nothing is written over; BS_EDATA and BS_EUNSUPPORTED as bs_architecture_read. */
enum bs_status bs_new_config_write(const struct bs_new_config *request, const char **fetch,
                                   struct bs_error *err);

#endif
