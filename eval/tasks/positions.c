#include "eval/tasks/positions.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* The k-th beginning. No 2^(k / 2) is so near to a whole number that rounding would matter. */
static int64_t beginning(int k) { return (int64_t)sqrt(ldexp(1, k)); }

int bs_positions_cut(int per_window, struct bs_positions out[BS_MOST_POSITIONS])
{
    int count = 0;
    for (int k = 0; count < BS_MOST_POSITIONS && beginning(k) <= per_window; k++) {
        int64_t first = beginning(k), next = beginning(k + 1);
        if (next > first) /* the first two begin at 1 */
            out[count++] =
                (struct bs_positions){(int)first, next > per_window ? per_window : (int)next - 1};
    }
    return count;
}

struct bs_layout bs_positions_take(const float *x, const struct bs_layout *layout,
                                   struct bs_positions range, float *out)
{
    assert(range.first >= 1 && range.last >= range.first && range.last <= layout->per_window);
    struct bs_layout taken = {layout->windows, range.last - range.first + 1, 0};
    size_t width = (size_t)taken.per_window;
    for (size_t w = 0; w < (size_t)layout->windows; w++) {
        /* The prediction with n tokens before it is the window's (n - 1)-th. */
        const float *from = x + w * (size_t)layout->per_window + (size_t)range.first - 1;
        memcpy(out + w * width, from, width * sizeof *out);
        for (size_t i = 0; i < width; i++)
            taken.scored += !isnan(from[i]);
    }
    return taken;
}
