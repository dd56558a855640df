/* Keys of a config that the command line sets. */
#ifndef BS_EVAL_CONFIG_SETTINGS_H
#define BS_EVAL_CONFIG_SETTINGS_H

#include "eval/base/error.h"
#include "eval/config/yaml.h"

/* The config's text with `settings` [count] in it, each "KEY=VALUE": a key of the file, or one of a
 * grid, which every grid then has; its parts are parted by dots, and a value with commas is a list,
 * an axis: "weights.bits=3,4", "calibration.windows=8", "algorithm=rtn,[awq,gptq]". In new memory,
 * with a comment before it that tells what was set. `path` is for messages. BS_ECONFIG, BS_ENOMEM.
 */
enum bs_status bs_settings_apply(const char *path, const char *text, const char *const *settings,
                                 int count, char **set, struct bs_error *err);

/* Gives each node of the text with settings in it (bs_settings_apply) the place that a user can
 * look up: that of `text`, which has none of them, or of line -k what the k-th setting has put
 * there. BS_ENOMEM. */
enum bs_status bs_settings_place(struct bs_yaml *set, const char *text, const char *const *settings,
                                 int count, struct bs_error *err);

#endif
