/* config.json being read: values by the names that the family has for them. */
#ifndef BS_EVAL_MODEL_CONFIG_READER_H
#define BS_EVAL_MODEL_CONFIG_READER_H

#include <stdbool.h>

#include "eval/base/json.h"
#include "eval/base/lines.h"
#include "eval/gguf/gguf.h"
#include "eval/model/families.h"

/* Bytes of a message that show a value of the file. */
enum { BS_CONFIG_PRINTED = 200 };

/* A config.json being read. */
struct bs_config_reader {
    const char *path;
    json_t *config;                   /* an object */
    const struct bs_gguf_model *gguf; /* whose metadata the config was made from; or NULL */
    const struct bs_family_config *rules;
    const struct bs_lines *accept; /* keys to pass over where they are not understood, or NULL */
    const struct bs_config_reader *outer; /* of the whole model where this is the text part of one
                                             of more, which may leave sizes out; or NULL */
    struct bs_remarks *remarks;           /* what there is to say */
    struct bs_lines *ignored;             /* keys that were passed over as notes */
    struct bs_error *err;
};

/* Fails with `status`: "PATH: KEY is VALUE, expected EXPECTED". */
enum bs_status bs_config_fail(const char *path, const char *key, const json_t *value,
                              enum bs_status status, const char *expected, struct bs_error *err);

/* The value of this name; "a.b" is b of the object a. NULL where there is none. */
const json_t *bs_config_named(const struct bs_config_reader *r, const char *name);

/* The value that tells `key`, or NULL; *name is what the family calls it, NULL where it has no such
 * key. Of the family's names for it the first that is there counts, a null last. */
const json_t *bs_config_get(const struct bs_config_reader *r, enum bs_key key, const char **name);

/* True for a value that is absent or null. */
bool bs_config_is_null(const json_t *value);

/* A whole number of at least 1. A key that is absent or null takes `initial`; 0 = it must be there.
 * BS_EDATA. */
enum bs_status bs_config_int(const struct bs_config_reader *r, enum bs_key key, int initial,
                             int *out);

/* The same of at least 0; a key that is absent or null takes `initial`. BS_EDATA. */
enum bs_status bs_config_count(const struct bs_config_reader *r, enum bs_key key, int initial,
                               int *out);

/* A positive number that is a finite float32 above 0 too; where it is absent or null, `initial`.
 * BS_EDATA. */
enum bs_status bs_config_positive_of(const char *path, const char *name, const json_t *value,
                                     double initial, double *out, struct bs_error *err);

/* The same of a family's key. */
enum bs_status bs_config_positive(const struct bs_config_reader *r, enum bs_key key, double initial,
                                  double *out);

/* As float; null switches the feature off (0), an absent key leaves `initial`. BS_EDATA. */
enum bs_status bs_config_cap(const struct bs_config_reader *r, enum bs_key key, double initial,
                             float *out);

/* True or false; a key that is absent or null leaves `initial`. BS_EDATA. */
enum bs_status bs_config_bool(const struct bs_config_reader *r, enum bs_key key, bool initial,
                              bool *out);

#endif
