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

/* --- tables --- */

void bs_levels_plant(const struct bs_levels *levels, float *tree)
{
    int places = 2 * BS_SHORT_TABLE;
    while (places < levels->count)
        places *= 2;
    tree[0] = INFINITY; /* no node */
    for (int size = 1; size < places; size *= 2)
        for (int j = 0; j < size; j++) {
            int code = (2 * j + 1) * (places / size / 2) - 1; /* the last on the left */
            tree[size + j] = code + 1 < levels->count ? bs_levels_end(levels, code) : INFINITY;
        }
    for (int rest = places; rest < BS_TREE; rest++)
        tree[rest] = INFINITY;
}

/* --- one value --- */

int bs_cell_search(const struct bs_cell *cell, float x)
{
    const struct bs_levels *levels = cell->levels;
    float u = bs_cell_position(cell, x);
    int low = 0, high = levels->count - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        float bound = bs_levels_bound(levels, middle);
        if (bs_levels_goes_up(levels, middle, bound) ? u >= bound : u > bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

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

/* Whether a table's middles are few enough to compare with all of them: a tree is not made anew for
 * each call where that takes no longer. */
static bool is_short(const struct bs_levels *levels)
{
    return levels->count <= (levels->tree ? BS_SHORT_TABLE / 2 : BS_SHORT_TABLE);
}

void bs_cell_round(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float *x,
                   size_t count)
{
    const struct bs_minifloat *minifloat = &cell->levels->minifloat;
    if (rounder.mode == BS_NEAREST && minifloat->exponent_bits) {
        bs_minifloat_round(minifloat, cell->scale, cell->inverse, x, count);
        return;
    }
    if (rounder.mode == BS_NEAREST && !cell->levels->values) {
        bs_cell_loops[bs_isa()]->round_whole(cell, x, count);
        return;
    }
    if (rounder.mode == BS_NEAREST && is_short(cell->levels)) {
        bs_cell_loops[bs_isa()]->round_short_table(cell, x, count);
        return;
    }
    if (rounder.mode == BS_NEAREST && cell->levels->count <= BS_TREE) {
        bs_cell_loops[bs_isa()]->round_table(cell, x, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!isnan(x[i]))
            x[i] = bs_cell_decode(cell, bs_cell_encode(cell, rounder, index + i, x[i]));
}

void bs_cell_encode_all(const struct bs_cell *cell, const float *x, size_t count, bool wide,
                        void *codes)
{
    const struct bs_levels *levels = cell->levels;
    const struct bs_cell_loops *loops = bs_cell_loops[bs_isa()];
    if (!levels->values && levels->minifloat.exponent_bits)
        bs_minifloat_encode_all(&levels->minifloat, cell->scale, cell->inverse, x, count, wide,
                                codes);
    else if (wide)
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)codes)[i] = (uint16_t)bs_cell_nearest(cell, x[i]);
    else if (!levels->values)
        loops->encode_whole(cell, x, count, codes);
    else if (is_short(levels))
        loops->encode_short_table(cell, x, count, codes);
    else
        loops->encode_table(cell, x, count, codes);
}
