/* What an opened model makes of tokens, by the forward pass alone. */
#ifndef BS_TESTS_SUPPORT_LOGITS_H
#define BS_TESTS_SUPPORT_LOGITS_H

#include "eval/data/windows.h"
#include "eval/model/model.h"

/* The logits [tokens][vocab_size] of the first window; bs_free. */
float *logits_of(const struct bs_model *model, const struct bs_windows *text);

#endif
