/* What compressed-tensors' settings say of the inputs of linears. */
#ifndef BS_EVAL_CHECKPOINT_LAYOUTS_COMPRESSED_INPUTS_H
#define BS_EVAL_CHECKPOINT_LAYOUTS_COMPRESSED_INPUTS_H

#include "eval/checkpoint/layout.h"

/* How the inputs of the linear called `module` are quantized: by the input_activations of the group
 * of config_groups that it is of, and where these are static by its tensors input_scale,
 * input_zero_point and input_global_scale, each one number. A way that no setting has becomes one
 * that no setting is made of, so that whoever opens the model says so. BS_EDATA, BS_EUNSUPPORTED
 * naming a target that is no regular expression. */
enum bs_status bs_compressed_inputs(const struct bs_assembly *assembly, const char *module,
                                    struct bs_coded_inputs *inputs, struct bs_error *err);

#endif
