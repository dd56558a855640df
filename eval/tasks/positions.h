/* Positions in a window: per-token values cut by how many tokens of context a prediction had there,
 * so that what quantization costs can be told apart by how far into a window a model is. */
#ifndef BS_EVAL_TASKS_POSITIONS_H
#define BS_EVAL_TASKS_POSITIONS_H

#include "eval/tasks/uncertainty.h"

enum { BS_MOST_POSITIONS = 64 };

/* Predictions that have `first` to `last` tokens of their window before them. */
struct bs_positions {
    int first, last;
};

/* Cuts the predictions of windows, with 1 to per_window tokens before them, into ranges two of
 * which double the context: 1, 2 - 3, 4, 5 - 7, 8 - 10, 11 - 15, 16 - 21, ... One begins at each
 * 2^(k / 2), rounded down; the last ends with the window. Returns how many. */
int bs_positions_cut(int per_window, struct bs_positions out[BS_MOST_POSITIONS]);

/* Copies what lies in a range of x, in `layout`, to `out` [windows][last - first + 1], and returns
 * how it lies there: scored are the values that are no NaN. */
struct bs_layout bs_positions_take(const float *x, const struct bs_layout *layout,
                                   struct bs_positions range, float *out);

#endif
