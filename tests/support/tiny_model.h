/* The embedded model cut short, as files of its own. */
#ifndef BS_TESTS_SUPPORT_TINY_MODEL_H
#define BS_TESTS_SUPPORT_TINY_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "eval/data/windows.h"
#include "eval/model/model.h"

/* Writes the first `blocks` (1 to 6) blocks of datasets/tiny to `directory`, the weights after
 * `change` (or NULL) has seen the whole safetensors file, and opens it; bs_model_free. */
struct bs_model *tiny_model_cut(const char *directory, int blocks, void (*change)(char *weights));

/* For `change`: `count` bfloat16 values of a tensor, every stride-th from the first, become value.
 */
void tiny_model_set(char *weights, const char *tensor, size_t first, size_t stride, size_t count,
                    uint16_t value);

/* The first `windows` windows of `tokens` of a text; bs_windows_release. */
struct bs_windows tiny_model_windows(const char *text, int windows, int tokens);

/* Makes windows of 8 tokens at least unequal: each loses one token, every second three more; two
 * spans of each are scored, with a prediction between them that is not. */
void tiny_model_make_ragged(struct bs_windows *windows);

#endif
