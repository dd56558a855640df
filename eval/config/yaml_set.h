/* Values of a YAML text that the command line sets. */
#ifndef BS_EVAL_CONFIG_YAML_SET_H
#define BS_EVAL_CONFIG_YAML_SET_H

#include <stddef.h>

#include "eval/base/error.h"

/* A value and where it goes. */
struct bs_yaml_setting {
    const char *path;  /* keys parted by dots; of a list on the way, each of its elements */
    const char *value; /* YAML; with commas outside brackets and quotes the elements of a list */
    const char *given; /* what messages call it */
};

/* `text` with the settings in their places, in new memory: a key that is there has its value
 * replaced, one that is not is added with the mappings on the way to it. Comments and layout of
 * what is set go. `text` is whole YAML (bs_yaml_parse). BS_ECONFIG where a value is no YAML or a
 * key's place is no mapping; BS_ENOMEM. */
enum bs_status bs_yaml_set(const char *text, const struct bs_yaml_setting *settings, int count,
                           char **set, struct bs_error *err);

#endif
