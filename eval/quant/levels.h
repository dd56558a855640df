/* Tables of levels, and how the one nearest to a value is found. */
#ifndef BS_EVAL_QUANT_LEVELS_H
#define BS_EVAL_QUANT_LEVELS_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "eval/base/float_bits.h"
#include "eval/quant/minifloat.h"

enum { BS_MOST_INDEXED = 256, BS_LEVEL_BUCKETS = 1024 };

struct bs_level_index;

/* Ascending levels, no two alike; a code is the place of one. */
struct bs_levels {
    int count;           /* 2 to 65536 */
    const float *values; /* [count]; NULL: by arithmetic */
    const float *bounds; /* [count - 1] where one level ends and the next begins, between the two;
                            NULL: middles */
    enum bs_ties ties;   /* at a bound, of a table */
    const struct bs_level_index *index; /* of a table; NULL: a search by halves for each value */

    /* Without a table all of these numbers; where they have no exponent_bits whole numbers, of
     * which the cell says which is the first, and ties go to even ones. */
    struct bs_minifloat minifloat;
};

/* The end of a code's level. */
static inline float bs_levels_bound(const struct bs_levels *levels, int code)
{
    return levels->bounds ? levels->bounds[code]
                          : 0.5f * levels->values[code] + 0.5f * levels->values[code + 1];
}

/* Whether what is equal to the end of a code's level is past it: a tie as the rule has it, and no
 * tie where no float lies between the levels, so that the bound is one of them. */
static inline bool bs_levels_goes_up(const struct bs_levels *levels, int code, float bound)
{
    if (bound <= levels->values[code] || bound >= levels->values[code + 1])
        return bound >= levels->values[code + 1];
    if (levels->ties == BS_TIES_EVEN)
        return code % 2;
    return levels->ties == BS_TIES_INWARD ? bound < 0
                                          : levels->ties == BS_TIES_OUTWARD && bound >= 0;
}

/* What a value is greater than exactly where it is past a code's level: the bound, or the float
 * before it where what is equal to it is past it. These ascend as the levels do. */
static inline float bs_levels_end(const struct bs_levels *levels, int code)
{
    float bound = bs_levels_bound(levels, code);
    return bs_levels_goes_up(levels, code, bound) ? nextafterf(bound, -INFINITY) : bound;
}

/* --- by an index --- */

/* Of the values in a bucket: all are past the ends before code `first`, and which of the next
 * 2^steps - 1 they are past, halving tells, beginning with `end`, the middle one. */
struct bs_level_bucket {
    float end;
    int32_t first;
};

/* A table's ends in buckets, of which a value's own is a matter of arithmetic. A value's key
 * is that of its magnitude, with its sign; a magnitude's is how many floats there are from `offset`
 * to the sum of both. So keys are of equal width for values that are small beside the offset, and
 * of equal ratio for those that are large. A bucket is 2^shift keys; the
 * first has the first end's and all below, the last the last end's and all above. */
struct bs_level_index {
    float offset;
    int32_t lowest, highest; /* keys of the first end and of the last */
    int shift, steps;
    float ends[2 * BS_MOST_INDEXED]; /* infinity after the last */
    struct bs_level_bucket buckets[BS_LEVEL_BUCKETS];
};

/* Makes the index of a table of at most BS_MOST_INDEXED levels, for a format to keep in
 * levels->index: with the offset by which the fewest steps are left. */
void bs_levels_index(const struct bs_levels *levels, struct bs_level_index *index);

/* The key of u: never below that of a number that is less. */
static inline int32_t bs_level_key(float offset, float u)
{
    int32_t key = (int32_t)bs_bits_of_float(fabsf(u) + offset) - (int32_t)bs_bits_of_float(offset);
    int32_t sign = (int32_t)bs_bits_of_float(u) >> BS_FLOAT_SIGN;
    return (key ^ sign) - sign;
}

/* The bucket of u; of a NaN, the first. */
static inline uint32_t bs_level_bucket(const struct bs_level_index *index, float u)
{
    int32_t key = bs_level_key(index->offset, u);
    key = key > index->lowest ? key : index->lowest;
    key = key < index->highest ? key : index->highest;
    uint32_t from_lowest = (uint32_t)key - (uint32_t)index->lowest;
    return (u == u ? from_lowest : 0) >> index->shift;
}

/* The code of u, how many ends it is greater than: ties as the table has them; of a NaN, 0. */
int bs_levels_code(const struct bs_levels *levels, float u);

#endif
