/* What the golden figures were taken on: the embedded model and texts, and the recipes that the
 * rows of tests/golden name. */
#ifndef BS_TESTS_SUPPORT_GOLDEN_H
#define BS_TESTS_SUPPORT_GOLDEN_H

#include <jansson.h>

#include "eval/run/walk.h"

/* All whole windows of 256 tokens of the evaluation text. */
extern struct bs_windows golden_evaluation;

/* Group setup and teardown: model, 64 windows of calibration, evaluation. */
int golden_open(void **state);
int golden_close(void **state);

/* A walk over these. */
struct bs_walk golden_walk(void);

/* The recipe that a row's settings name, resolved; released by bs_recipe_release. */
void golden_recipe(const json_t *row, struct bs_recipe *recipe);

#endif
