/* Settings as a test writes them, and what they make of values. */
#ifndef BS_TESTS_SUPPORT_SETTINGS_H
#define BS_TESTS_SUPPORT_SETTINGS_H

#include "eval/quant/codes.h"
#include "eval/quant/values.h"

/* "bits=4 group_size=16 grid=awq": resolved, and there until the test ends. Fails the test where
 * anything is refused. */
const struct bs_setting *weights_setting(const char *settings);
const struct bs_setting *activations_setting(const char *settings);
const struct bs_setting *cache_setting(const char *settings);

/* A copy that is there until the test ends. */
const struct bs_setting *kept_setting(const struct bs_setting *setting);

/* The cell of values that share all parameters; and of any between these extremes. */
struct bs_cell cell_of_values(const struct bs_setting *setting, const float *x, size_t count);
struct bs_cell cell_between(const struct bs_setting *setting, float low, float high);

bool same_cell(struct bs_cell a, struct bs_cell b);

/* Rounds each value by bs_cell_encode and bs_cell_decode. */
void round_one_by_one(struct bs_cell cell, float *x, size_t count);

/* x [rows][columns] as codes of its own decode it. */
void round_matrix(const struct bs_setting *setting, float *x, int rows, int columns);

/* Whether codes, parameters and groups are the same to the byte. */
bool same_codes(const struct bs_codes *a, const struct bs_codes *b);

#endif
