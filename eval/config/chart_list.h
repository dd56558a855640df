/* The charts that a config names. */
#ifndef BS_EVAL_CONFIG_CHART_LIST_H
#define BS_EVAL_CONFIG_CHART_LIST_H

#include "eval/config/load.h"

/* `charts:` into the config; what is wrong is reported. BS_ENOMEM. */
enum bs_status bs_charts_read(struct bs_load *load, const struct bs_yaml_node *node);
/* Gives back what that has made. */
void bs_charts_release(struct bs_config *config);

#endif
