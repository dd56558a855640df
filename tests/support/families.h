/* The tiny models of tests/golden/families, one for each way that a family's block is built. */
#ifndef BS_TESTS_SUPPORT_FAMILIES_H
#define BS_TESTS_SUPPORT_FAMILIES_H

#include <jansson.h>

#include "eval/data/windows.h"
#include "eval/model/model.h"

#define FAMILIES "tests/golden/families/"

/* The rows of families.json, one a model; json_decref. */
json_t *families_load(void);

/* The model that a row names; bs_model_free. */
struct bs_model *family_open(const json_t *row);

/* Token ids of a row with `windows`, `tokens` and `ids`; bs_windows_release. */
struct bs_windows family_windows(const json_t *row);

#endif
