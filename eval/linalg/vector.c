#include "eval/linalg/vector.h"

BS_LEVELS(bs_vector_loops);
