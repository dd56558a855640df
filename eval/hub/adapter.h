/* Adapters of PEFT: folders that hold a difference to a model that is elsewhere. */
#ifndef BS_EVAL_HUB_ADAPTER_H
#define BS_EVAL_HUB_ADAPTER_H

#include "eval/base/error.h"

/* The folder of the model that the adapter in `directory` is of, in new memory: what
 * adapter_config.json calls it, of the revision that it names, as bs_hub_model has it. NULL where
 * the folder is no adapter, or has a config.json of its own. As bs_hub_model; BS_EDATA where the
 * file does not say. */
enum bs_status bs_adapter_base(const char *directory, char **base, struct bs_error *err);

#endif
