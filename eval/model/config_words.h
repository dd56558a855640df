/* What a key of config.json is about, by its name: arithmetic or a note. */
#ifndef BS_EVAL_MODEL_CONFIG_WORDS_H
#define BS_EVAL_MODEL_CONFIG_WORDS_H

#include <stdbool.h>

#include <jansson.h>

/* True where a key of this name says how to compute: one that no family here reads must then not be
 * passed over. The words of the name decide ("rope", "norm", "bias", "scale", "expert", ...), but
 * for names known to be something else ("attention_dropout", "max_grad_norm", "use_flash_attn"). A
 * number of things counts only where the value is one. */
bool bs_config_is_arithmetic(const char *key, const json_t *value);

/* True where a key that is about arithmetic switches nothing on with this value: null, false,
 * nothing, 0 of a number of things or of a limit, 1 of a factor of the stream, "none", full
 * attention in every layer. */
bool bs_config_is_off(const char *key, const json_t *value);

#endif
