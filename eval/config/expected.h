/* Published figures beside a config's trials: an entry of `expected:`. */
#ifndef BS_EVAL_CONFIG_EXPECTED_H
#define BS_EVAL_CONFIG_EXPECTED_H

#include "eval/config/config.h"
#include "eval/config/report.h"
#include "eval/config/yaml.h"

/* Adds the figures of an entry, whose keys are checked, to the config. Model, text and recipe must
 * be the config's own, which is read already; what is wrong goes to the report. BS_OK or
 * BS_ENOMEM. */
enum bs_status bs_expected_read(const struct bs_yaml_node *entry, struct bs_report *report,
                                struct bs_config *config, struct bs_error *err);

#endif
