/* What other quantization tools call the things of a config. */
#ifndef BS_EVAL_CONFIG_OTHER_TOOLS_H
#define BS_EVAL_CONFIG_OTHER_TOOLS_H

#include "eval/config/report.h"

/* Of the names, the one that another tool's `key` stands for; NULL where it is none of them. */
const char *bs_other_tools_name(const char *key, const struct bs_names *names);

/* Where a config has what another tool's `key` says, as the end of a message ("; here it is windows
 * under calibration"), or "". */
void bs_other_tools_hint(const char *key, char *out, size_t size);

/* What another tool's `value` of `key` is called here ("-1" of group_size: "channel"), or NULL. */
const char *bs_other_tools_value(const char *key, const char *value);

#endif
