/* What a model is called that has only the place it was read from. */
#ifndef BS_EVAL_BASE_MODEL_NAME_H
#define BS_EVAL_BASE_MODEL_NAME_H

/* In new memory: "org/name" for a snapshot in the hub's cache
 * (.../models--org--name/snapshots/...), else the path less the way to it ("./", "../") and slashes
 * at its end. NULL when memory runs out. */
char *bs_model_short_name(const char *place);

#endif
