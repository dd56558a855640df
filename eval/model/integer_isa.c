#include "eval/model/integer_loops.h"

/* Unsigned, so that steps between may wrap. */
static inline float value(const struct bs_integer_outputs *o, const struct bs_integer_row *row,
                          const int32_t *products, size_t i)
{
    uint32_t exact = (uint32_t)products[i] + row->sum * o->shift[i] - row->zero_point * o->sum[i];
    return (float)(int32_t)exact * (row->scale * o->scale[i]);
}

static void finish(const struct bs_integer_outputs *o, const struct bs_integer_row *row,
                   const int32_t *products, float *y)
{
    if (!o->bias)
        for (size_t i = 0; i < o->count; i++)
            y[i] = value(o, row, products, i);
    else
        for (size_t i = 0; i < o->count; i++)
            y[i] = value(o, row, products, i) + o->bias[i];
}

static uint32_t sum_codes(const uint8_t *codes, size_t count)
{
    uint32_t sum = 0;
    for (size_t j = 0; j < count; j++)
        sum += codes[j];
    return sum;
}

const struct bs_integer_loops BS_AT_LEVEL(bs_integer_loops) = {finish, sum_codes};
