/* `model:` of a config: where models are and what they are called. */
#ifndef BS_EVAL_CONFIG_MODEL_LIST_H
#define BS_EVAL_CONFIG_MODEL_LIST_H

#include "eval/config/config.h"
#include "eval/config/yaml.h"

/* The keys of an entry that is a mapping. */
extern const struct bs_config_key bs_model_keys[];

/* Reads one model or a list of them into config->models and config->model_places, and which of them
 * `reference` (NULL = none) is; one that is not among them is added. What is wrong is reported.
 * BS_ENOMEM. */
enum bs_status bs_model_list_read(const struct bs_yaml_node *node,
                                  const struct bs_yaml_node *reference, struct bs_report *report,
                                  struct bs_config *config, struct bs_error *err);

/* The index of the model that `word` names, by its name or as the config says where it is; -1 for
 * none. */
int bs_config_find_model(const struct bs_config *config, const char *word);

#endif
