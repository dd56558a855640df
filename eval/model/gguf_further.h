/* Metadata of a GGUF file beside those that its config.json is made from. */
#ifndef BS_EVAL_MODEL_GGUF_FURTHER_H
#define BS_EVAL_MODEL_GGUF_FURTHER_H

#include <jansson.h>

#include "eval/gguf/gguf.h"
#include "eval/model/families.h"

/* Puts each value of the architecture that bs_gguf_config does not read into the config, by its own
 * name less "ARCH.", to be judged as unknown keys of a config.json are. BS_EUNSUPPORTED for
 * experts of a family without, and for a name that a key of the config has; BS_EDATA for one that
 * is not UTF-8. `rules` are the family's. */
enum bs_status bs_gguf_further_keys(const struct bs_gguf *gguf, const char *arch,
                                    const struct bs_family_config *rules, json_t *config,
                                    struct bs_error *err);

#endif
