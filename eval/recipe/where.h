/* Patterns of places: the `where` of a rule. A place is a linear's weight or a site of a layer; it
 * is called "layer.3.self_attn.q_proj", or by its name in any layer, "self_attn.q_proj",
 * "down_input".
 *
 *   self_attn.q_proj, down_input   this place in every layer
 *   inputs, qkv                    every site of a kind
 *   *.down_proj                    * stands for any letters, dots too
 *   layer.3.mlp.*                  in the layer with this number, from 0
 *   layer[0,2-5,-1].*              in these layers; -1 is the last */
#ifndef BS_EVAL_RECIPE_WHERE_H
#define BS_EVAL_RECIPE_WHERE_H

#include <stdbool.h>

#include "eval/base/error.h"

/* Refuses what is no pattern: letters that no place has, layers that are no list of numbers.
 * BS_ECONFIG. */
enum bs_status bs_where_check(const char *pattern, struct bs_error *err);

/* Refuses layers that a model of num_layers does not have. BS_ECONFIG. */
enum bs_status bs_where_check_layers(const char *pattern, int num_layers, struct bs_error *err);

/* A place as patterns see it. */
struct bs_where_place {
    int layer, num_layers;
    const char *name; /* "self_attn.q_proj" */
    const char
        *kind; /* "input"; a pattern may say it, or "inputs", in place of the name; NULL = none */
};

/* Whether a good pattern matches the place. */
bool bs_where_matches(const char *pattern, const struct bs_where_place *place);

/* What may have been meant by a pattern that matches nothing: itself with the nearest of these
 * names (NULL-terminated) in place of its own, in new memory; NULL where none is near, or without
 * memory. */
char *bs_where_nearest(const char *pattern, const char *const *names);

#endif
