/* A mapping with lists among its values, as the product of these lists. */
#ifndef BS_EVAL_CONFIG_YAML_PRODUCT_H
#define BS_EVAL_CONFIG_YAML_PRODUCT_H

#include "eval/base/error.h"
#include "eval/config/yaml.h"

/* Points of the product of the mapping's lists, the empty ones left alone; more than `most` where
 * it exceeds that. */
long bs_yaml_points(const struct bs_yaml_node *mapping, long most);

/* Calls `visit` for every point with a mapping in which each list (but an empty one) is replaced by
 * one of its items, the last key's the fastest. Stops at the first status that is not BS_OK.
 * BS_ENOMEM. */
enum bs_status bs_yaml_each_point(const struct bs_yaml_node *mapping,
                                  enum bs_status (*visit)(void *context,
                                                          const struct bs_yaml_node *point),
                                  void *context, struct bs_error *err);

#endif
