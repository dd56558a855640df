#include "eval/quant/cell.h"

BS_LEVELS(bs_cell_loops);

/* --- draws --- */

/* The finalizer of SplitMix64 (Steele et al. 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static const uint64_t golden = 0x9e3779b97f4a7c15u;

uint64_t bs_draw_place(int layer, bool site, int index)
{
    return (uint64_t)layer << 32 | (uint64_t)site << 31 | (uint64_t)index;
}

struct bs_rounder bs_rounder_of(const struct bs_setting *setting, uint64_t place)
{
    uint64_t seed = mix((uint64_t)setting->rounding_seed + golden);
    return (struct bs_rounder){.mode = (enum bs_rounding)setting->rounding,
                               .key = mix(seed + place * golden)};
}

struct bs_rounder bs_rounder_from(struct bs_rounder rounder, uint64_t first)
{
    rounder.key += first * golden;
    return rounder;
}

float bs_draw(uint64_t key, uint64_t index)
{
    const float unit = 0x1p-24f;
    return (float)(mix(key + index * golden) >> 40) * unit;
}

/* --- one value --- */

/* A level as values in steps of the scale are compared with: one of whole numbers with its zero. */
static float compared_level(const struct bs_cell *cell, int code)
{
    return cell->zero != 0 ? (float)(cell->first + code) : bs_cell_level(cell, code);
}

/* Of two codes that are neighbours the nearest, of a tie the one whose level is farther from 0. */
static int half_away(const struct bs_cell *cell, float x, int nearest, int other)
{
    float u = bs_cell_position(cell, x) + cell->zero;
    float one = compared_level(cell, nearest), two = compared_level(cell, other);
    bool tie = fabsf(u - one) == fabsf(two - u);
    return tie && fabsf(two) > fabsf(one) ? other : nearest;
}

/* By what the codes decode to, so that a value on a level stays there in every mode. */
int bs_cell_direct(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float x,
                   int nearest)
{
    float value = bs_cell_decode(cell, nearest);
    bool up = value < x; /* where the other level that x may go to lies */
    int other = nearest + (up == (cell->scale > 0) ? 1 : -1);
    if (value == x || isnan(x) || other < 0 || other >= cell->levels->count)
        return nearest;
    int below = up ? nearest : other, above = up ? other : nearest;
    switch (rounder.mode) {
    case BS_NEAREST:
        return nearest;
    case BS_HALF_AWAY:
        return half_away(cell, x, nearest, other);
    case BS_FLOOR:
        return below;
    case BS_CEIL:
        return above;
    case BS_TRUNCATE:
        return x < 0 ? above : below;
    case BS_STOCHASTIC:
        break;
    }
    float low = bs_cell_decode(cell, below), high = bs_cell_decode(cell, above);
    if (low == high)
        return nearest;
    return bs_draw(rounder.key, index) < (x - low) / (high - low) ? above : below;
}

/* --- many values --- */

/* What is done with the values of a cell, all in one loop where that is quicker than one by one. */
enum manner { WHOLE, MINIFLOAT, COMPARED, INDEXED, ONE_BY_ONE };

static enum manner manner_of(const struct bs_levels *levels)
{
    enum { COMPARED_LEVELS = 16 }; /* the most */
    if (!levels->values)
        return levels->minifloat.exponent_bits ? MINIFLOAT : WHOLE;
    if (levels->index)
        return INDEXED;
    return levels->count <= COMPARED_LEVELS ? COMPARED : ONE_BY_ONE;
}

void bs_cell_round(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float *x,
                   size_t count)
{
    const struct bs_cell_loops *loops = bs_cell_loops[bs_isa()];
    switch (rounder.mode == BS_NEAREST ? manner_of(cell->levels) : ONE_BY_ONE) {
    case WHOLE:
        loops->round_whole(cell, x, count);
        break;
    case MINIFLOAT:
        bs_minifloat_round(&cell->levels->minifloat, cell->scale, cell->inverse, x, count);
        break;
    case COMPARED:
        loops->round_short_table(cell, x, count);
        break;
    case INDEXED:
        loops->round_indexed(cell, x, count);
        break;
    case ONE_BY_ONE:
        for (size_t i = 0; i < count; i++)
            if (!isnan(x[i]))
                x[i] = bs_cell_decode(cell, bs_cell_encode(cell, rounder, index + i, x[i]));
    }
}

static void encode_each(const struct bs_cell *cell, const float *x, size_t count, bool wide,
                        void *codes)
{
    for (size_t i = 0; i < count; i++) {
        int code = bs_cell_nearest(cell, x[i]);
        if (wide)
            ((uint16_t *)codes)[i] = (uint16_t)code;
        else
            ((uint8_t *)codes)[i] = (uint8_t)code;
    }
}

void bs_cell_encode_all(const struct bs_cell *cell, const float *x, size_t count, bool wide,
                        void *codes)
{
    const struct bs_minifloat *minifloat = &cell->levels->minifloat;
    const struct bs_cell_loops *loops = bs_cell_loops[bs_isa()];
    enum manner manner = manner_of(cell->levels);
    if (manner == MINIFLOAT)
        bs_minifloat_encode_all(minifloat, cell->scale, cell->inverse, x, count, wide, codes);
    else if (wide || manner == ONE_BY_ONE)
        encode_each(cell, x, count, wide, codes);
    else if (manner == WHOLE)
        loops->encode_whole(cell, x, count, codes);
    else if (manner == COMPARED)
        loops->encode_short_table(cell, x, count, codes);
    else
        loops->encode_indexed(cell, x, count, codes);
}
