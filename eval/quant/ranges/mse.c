/* Shrinks the extremes step by step and keeps those whose rounding has the least error. */
#include "eval/quant/flat.h"
#include "eval/quant/format.h"

static const struct bs_option mse_options[] = {
    BS_OPT(struct bs_mse, range_norm, 2.4, 0.1, 10, "power of the error"),
    BS_OPT(struct bs_mse, range_grid, 100, 1, 10000, "steps from full range to none"),
    BS_OPT(struct bs_mse, range_maxshrink, 0.8, 0, 1, "share of the steps that is tried"),
    {.name = NULL},
};

const struct bs_range bs_range_mse = {
    .plugin = {.name = "mse",
               .summary = "shrunk to the least sum of |error|^norm",
               .reference = "IST-DASLab/gptq quant.py",
               .options_size = sizeof(struct bs_mse),
               .options = mse_options},
};
