#include "eval/linalg/hadamard.h"

BS_LEVELS(bs_hadamard_loops);

bool bs_hadamard_takes(int n) { return n > 0 && !(n & (n - 1)); }
