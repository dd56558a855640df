/* The extremes of the values themselves. */
#include "eval/quant/format.h"

const struct bs_range bs_range_minmax = {
    .plugin = {.name = "minmax",
               .summary = "the extremes of the values that share a scale",
               .reference = ""},
};
