/* Models of text and more whose text part is a model of a family: opened by that part alone. */
#ifndef BS_EVAL_MODEL_WRAPPERS_H
#define BS_EVAL_MODEL_WRAPPERS_H

#include <stdbool.h>

/* A model_type whose config.json holds that of the text part in `text_config`. For text, its
 * forward pass is the text part's. */
struct bs_wrapper {
    const char *model_type;
    const char *text; /* model_type of a text part that does not say its own */
};

/* The rows by index; NULL after the last. */
const struct bs_wrapper *bs_wrapper_at(int index);

/* The row of this model_type, or NULL. */
const struct bs_wrapper *bs_wrapper_find(const char *model_type);

/* Where the text part's tensors stand, in place of the family's own prefix, and its head: as
 * transformers 5 and 4 name them. Ends with a NULL prefix. */
struct bs_wrapper_place {
    const char *prefix, *head_prefix;
};
extern const struct bs_wrapper_place bs_wrapper_places[];

#endif
