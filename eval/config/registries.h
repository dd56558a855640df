/* Everything that a config can name, kind by kind. */
#ifndef BS_EVAL_CONFIG_REGISTRIES_H
#define BS_EVAL_CONFIG_REGISTRIES_H

#include "eval/base/plugin.h"

/* All registries; NULL-terminated. `describe` and the conformance tests walk them. */
extern const struct bs_registry *const bs_registries[];

#endif
