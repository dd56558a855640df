/* Which keys a config.json may have. */
#ifndef BS_EVAL_MODEL_CONFIG_KEYS_H
#define BS_EVAL_MODEL_CONFIG_KEYS_H

#include "eval/model/config_reader.h"

/* A key is read by the family, or known to leave the forward pass alone, or has the value that
 * switches its feature off; any other is BS_EUNSUPPORTED, since a feature that is silently left out
 * makes every number wrong. Two names of one number that differ are BS_EDATA. */
enum bs_status bs_config_check_keys(const struct bs_config_reader *r);

/* Judges a key that nobody reads, which stands within `within` ("" or "rope_parameters.");
 * `arithmetic` says that it counts for the forward pass whatever its name. BS_EUNSUPPORTED. */
enum bs_status bs_config_unread(const struct bs_config_reader *r, const char *within,
                                const char *key, const json_t *value, bool arithmetic);

#endif
