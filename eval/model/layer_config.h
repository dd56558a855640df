/* What differs from layer to layer. */
#ifndef BS_EVAL_MODEL_LAYER_CONFIG_H
#define BS_EVAL_MODEL_LAYER_CONFIG_H

#include "eval/model/config_reader.h"
#include "eval/model/model.h"

/* Fills sliding_window, local_layers, unrotated_layers, dense_layers, and what is done to q and k
 * in layers with rotary positions or without; the family and the sizes are set. BS_EDATA,
 * BS_EUNSUPPORTED. */
enum bs_status bs_layers_read(const struct bs_config_reader *r, struct bs_architecture *a);

#endif
