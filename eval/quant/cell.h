/* How one group of values is rounded and decoded: value = scale * level + shift over one ascending
 * table of levels, or scale * (level - zero) + shift of whole numbers. All rounding goes through a
 * cell; what a cell is fitted to is a format's affair. */
#ifndef BS_EVAL_QUANT_CELL_H
#define BS_EVAL_QUANT_CELL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "eval/base/isa.h"
#include "eval/quant/levels.h"
#include "eval/quant/setting.h"

/* The values of a group. */
struct bs_cell {
    const struct bs_levels *levels;
    int first;          /* of whole numbers: the level of code 0 (minus a zero point) */
    float scale, shift; /* scale may be negative; 0 with an inverse only. No shift of minifloats */
    float zero;    /* of whole numbers: added to x in steps of the scale before it is rounded */
    float inverse; /* what values are multiplied with to be in steps of the scale, where the
                         * authors do not divide; else 0 */
};

/* How values are rounded: the mode, and what stochastic draws are made from. */
struct bs_rounder {
    enum bs_rounding mode;
    uint64_t key;
};

/* What the draws at a place are keyed by beside the seed and a value's index: nothing runs on from
 * draw to draw, so that any order of rounding, and any part of it, gives the same values. A site's
 * index is that of the value in its window. */
uint64_t bs_draw_place(int layer, bool site, int index);
struct bs_rounder bs_rounder_of(const struct bs_setting *setting, uint64_t place);

/* The same for values that are counted from the first-th of the place on. */
struct bs_rounder bs_rounder_from(struct bs_rounder rounder, uint64_t first);

/* A number in [0, 1), uniform over keys and over indices. */
float bs_draw(uint64_t key, uint64_t index);

/* The level of a code, less the zero point. */
static inline float bs_cell_level(const struct bs_cell *cell, int code)
{
    const struct bs_levels *levels = cell->levels;
    if (levels->values)
        return levels->values[code];
    return levels->minifloat.exponent_bits ? bs_minifloat_decode(&levels->minifloat, code)
                                           : (float)(cell->first + code) - cell->zero;
}

/* The value that a code stands for. */
static inline float bs_cell_decode(const struct bs_cell *cell, int code)
{
    float value = cell->scale * bs_cell_level(cell, code);
    return cell->shift == 0 ? value : value + cell->shift;
}

/* x in steps of the scale. */
static inline float bs_cell_position(const struct bs_cell *cell, float x)
{
    if (cell->inverse != 0)
        return x * cell->inverse;
    return (cell->shift == 0 ? x : x - cell->shift) / cell->scale;
}

/* The code nearest to x: of whole numbers, ties to the even level, of tables and minifloats as they
 * have it; the outermost beyond the levels. Of a NaN, 0. */
static inline int bs_cell_nearest(const struct bs_cell *cell, float x)
{
    if (cell->levels->values)
        return bs_levels_code(cell->levels, bs_cell_position(cell, x));
    if (cell->levels->minifloat.exponent_bits)
        return bs_minifloat_encode(&cell->levels->minifloat, bs_cell_position(cell, x));
    float lowest = (float)cell->first, highest = (float)(cell->first + cell->levels->count - 1);
    float level = rintf(bs_cell_position(cell, x) + cell->zero);
    level = level > lowest ? level : lowest; /* which a NaN becomes too */
    level = level < highest ? level : highest;
    return (int)level - cell->first;
}

/* The code that another mode makes of the nearest one. */
int bs_cell_direct(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float x,
                   int nearest);

/* The code of x, the index-th value of its place. */
static inline int bs_cell_encode(const struct bs_cell *cell, struct bs_rounder rounder,
                                 uint64_t index, float x)
{
    int code = bs_cell_nearest(cell, x);
    return rounder.mode == BS_NEAREST ? code : bs_cell_direct(cell, rounder, index, x, code);
}

/* Replaces each of count values, the index-th and on of their place, by the value its code decodes
 * to; a NaN stays. */
void bs_cell_round(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float *x,
                   size_t count);

/* The nearest codes of count values, uint8_t or, where `wide`, uint16_t; of a NaN, 0. */
void bs_cell_encode_all(const struct bs_cell *cell, const float *x, size_t count, bool wide,
                        void *codes);

/* What is known of values once they are encoded. */
struct bs_encoded {
    uint32_t sum;              /* of the codes */
    bool finite;               /* every value is */
    float next_low, next_high; /* the extremes of the values that come next, as of bs_min_max */
};

/* The loops of a level of instructions: of cells of whole numbers, of short tables, and of those
 * with an index, the values that bs_cell_round puts in the place of count, and their codes; and
 * bs_cell_encode_bytes. */
struct bs_cell_loops {
    void (*round_whole)(const struct bs_cell *cell, float *x, size_t count);
    void (*round_short_table)(const struct bs_cell *cell, float *x, size_t count);
    void (*round_indexed)(const struct bs_cell *cell, float *x, size_t count);
    void (*encode_whole)(const struct bs_cell *cell, const float *x, size_t count, uint8_t *codes);
    void (*encode_short_table)(const struct bs_cell *cell, const float *x, size_t count,
                               uint8_t *codes);
    void (*encode_indexed)(const struct bs_cell *cell, const float *x, size_t count,
                           uint8_t *codes);
    struct bs_encoded (*encode_bytes)(const struct bs_cell *cell, const float *x, size_t count,
                                      const float *next, uint8_t *codes);
};
extern const struct bs_cell_loops *const bs_cell_loops[BS_NUM_ISA];

/* The nearest codes of count >= 1 values by a cell of at most 256 whole numbers without a shift; of
 * a NaN, any. The extremes of `next`, count values too, cost nothing while the processor divides,
 * and are what their scale is fitted to; x itself where none are wanted. */
static inline struct bs_encoded bs_cell_encode_bytes(const struct bs_cell *cell, const float *x,
                                                     size_t count, const float *next,
                                                     uint8_t *codes)
{
    return bs_cell_loops[bs_isa()]->encode_bytes(cell, x, count, next, codes);
}

#endif
