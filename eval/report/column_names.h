/* Names of columns, and what was perhaps meant by one that none has. */
#ifndef BS_EVAL_REPORT_COLUMN_NAMES_H
#define BS_EVAL_REPORT_COLUMN_NAMES_H

#include <stdbool.h>

/* The one of `names` (ends with NULL) that is nearest, or that a config or a paper calls by this
 * word ("group_size" is granularity, "kl" kld_mean); NULL = none is near. */
const char *bs_column_near(const char *word, const char *const *names);

/* Whether results may have this column, a field or a value that this program knows; else *near is
 * the nearest of them, NULL = none is near. */
bool bs_column_is_known(const char *name, const char **near);

#endif
