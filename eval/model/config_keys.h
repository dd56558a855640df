/* Which keys a config.json may have: what changes the numbers must be understood, the rest is
 * passed over. */
#ifndef BS_EVAL_MODEL_CONFIG_KEYS_H
#define BS_EVAL_MODEL_CONFIG_KEYS_H

#include "eval/model/config_reader.h"

/* Two names of one number that differ are BS_EDATA. */
enum bs_status bs_config_check_names(const struct bs_config_reader *r);

/* Judges every key once the architecture is read. A key is read by the family; or says what the
 * architecture is anyway (config_facts.h); or is about arithmetic and switches nothing on
 * (config_words.h); or is a note, which goes to r->ignored. Any other is BS_EUNSUPPORTED, since a
 * feature that is silently left out makes every number wrong, unless r->accept names it: then it
 * goes to r->remarks. A null is a key that is not there. */
enum bs_status bs_config_check_keys(const struct bs_config_reader *r,
                                    const struct bs_architecture *a);

/* The same of the keys beside text_config, where r is the text part of a model of more than text:
 * those of the other parts are notes. */
enum bs_status bs_config_check_outer(const struct bs_config_reader *r,
                                     const struct bs_architecture *a);

/* Judges a key that nobody reads, which stands within `within` ("" or "rope_parameters."), by its
 * name; `arithmetic` says that it counts for the forward pass whatever that is. BS_EUNSUPPORTED. */
enum bs_status bs_config_unread(const struct bs_config_reader *r, const char *within,
                                const char *key, const json_t *value, bool arithmetic);

#endif
