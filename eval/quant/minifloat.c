#include "eval/quant/minifloat.h"

BS_LEVELS(bs_minifloat_loops);
