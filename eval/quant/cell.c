#include "eval/quant/cell.h"

#include <string.h>

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

float bs_draw(uint64_t key, uint64_t index)
{
    const float unit = 0x1p-24f;
    return (float)(mix(key + index * golden) >> 40) * unit;
}

/* --- one value --- */

/* The end of a code's level. */
static inline float bound_of(const struct bs_levels *levels, int code)
{
    return levels->bounds ? levels->bounds[code]
                          : 0.5f * levels->values[code] + 0.5f * levels->values[code + 1];
}

/* Whether a tie at the end of a code's level goes up. */
static inline bool goes_up(const struct bs_levels *levels, int code, float bound)
{
    return levels->ties == BS_TIES_EVEN ? code % 2 : levels->ties == BS_TIES_INWARD && bound < 0;
}

int bs_cell_search(const struct bs_cell *cell, float x)
{
    const struct bs_levels *levels = cell->levels;
    float u = bs_cell_position(cell, x);
    int low = 0, high = levels->count - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        float bound = bound_of(levels, middle);
        if (goes_up(levels, middle, bound) ? u >= bound : u > bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
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
    return bs_draw(rounder.key, index) < (x - low) / (high - low) ? above : below;
}

/* --- many values --- */

/* x in steps of scale, clipped to the levels; lets a NaN through. */
static inline float nearest_level(float x, float scale, float lowest, float highest)
{
    float level = rintf(x / scale);
    level = level < lowest ? lowest : level;
    return level > highest ? highest : level;
}

static void round_whole(const struct bs_cell *cell, float *x, size_t count)
{
    float scale = cell->scale, shift = cell->shift;
    float lowest = (float)cell->first, highest = (float)(cell->first + cell->levels->count - 1);
    if (shift == 0)
        for (size_t i = 0; i < count; i++)
            x[i] = scale * nearest_level(x[i], scale, lowest, highest);
    else
        for (size_t i = 0; i < count; i++)
            x[i] = scale * nearest_level(x[i] - shift, scale, lowest, highest) + shift;
}

enum { LANES = 32, SHORT_TABLE = 16 };

/* By a table that is short enough to compare with all of its middles: a value for each of lanes. */
static inline void round_lanes(const struct bs_cell *cell, float *x, int lanes)
{
    const float *values = cell->levels->values;
    float u[LANES], level[LANES];
    for (int l = 0; l < lanes; l++)
        level[l] = values[0];
    if (cell->inverse != 0)
        for (int l = 0; l < lanes; l++)
            u[l] = x[l] * cell->inverse;
    else
        for (int l = 0; l < lanes; l++)
            u[l] = (x[l] - cell->shift) / cell->scale;
    for (int code = 0; code + 1 < cell->levels->count; code++) {
        float middle = bound_of(cell->levels, code), next = values[code + 1];
        if (goes_up(cell->levels, code, middle))
            for (int l = 0; l < lanes; l++)
                level[l] = u[l] >= middle ? next : level[l];
        else
            for (int l = 0; l < lanes; l++)
                level[l] = u[l] > middle ? next : level[l];
    }
    for (int l = 0; l < lanes; l++) {
        float value = cell->scale * level[l];
        value = cell->shift == 0 ? value : value + cell->shift;
        x[l] = x[l] != x[l] ? x[l] : value;
    }
}

static void round_short_table(const struct bs_cell *cell, float *x, size_t count)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        round_lanes(cell, x + i, LANES);
    for (; i < count; i++)
        round_lanes(cell, x + i, 1);
}

void bs_cell_round(const struct bs_cell *cell, struct bs_rounder rounder, uint64_t index, float *x,
                   size_t count)
{
    if (rounder.mode == BS_NEAREST && !cell->levels->values) {
        round_whole(cell, x, count);
        return;
    }
    if (rounder.mode == BS_NEAREST && cell->levels->count <= SHORT_TABLE) {
        round_short_table(cell, x, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (!isnan(x[i]))
            x[i] = bs_cell_decode(cell, bs_cell_encode(cell, rounder, index + i, x[i]));
}

/* --- bytes --- */

/* What encoding gathers, in lanes so that its loops are vector loops. */
struct gathered {
    uint32_t sum[LANES];
    float strange[LANES]; /* NaN after a value that is not finite, else 0 */
    float low[LANES], high[LANES];
};

/* A value for each of lanes. */
static inline void encode_lanes(const struct bs_cell *cell, float lowest, float highest,
                                const float *x, const float *next, int lanes,
                                uint8_t *restrict codes, struct gathered *to)
{
    float scale = cell->scale;
    int first = cell->first;
    for (int l = 0; l < lanes; l++) {
        float level = rintf(x[l] / scale);
        level = level > lowest ? level : lowest; /* which a NaN becomes too */
        level = level < highest ? level : highest;
        int code = (int)level - first;
        codes[l] = (uint8_t)code;
        to->sum[l] += (uint32_t)code;
        to->strange[l] += x[l] - x[l];
        to->low[l] = next[l] < to->low[l] ? next[l] : to->low[l];
        to->high[l] = next[l] > to->high[l] ? next[l] : to->high[l];
    }
}

/* Of the first lanes, a power of two. */
static struct bs_encoded fold(struct gathered *from, int lanes)
{
    for (int half = lanes / 2; half; half /= 2)
        for (int l = 0; l < half; l++) {
            int other = l + half;
            from->sum[l] += from->sum[other];
            from->strange[l] += from->strange[other];
            from->low[l] = from->low[other] < from->low[l] ? from->low[other] : from->low[l];
            from->high[l] = from->high[other] > from->high[l] ? from->high[other] : from->high[l];
        }
    return (struct bs_encoded){.sum = from->sum[0],
                               .finite = from->strange[0] == 0,
                               .next_low = from->low[0],
                               .next_high = from->high[0]};
}

struct bs_encoded bs_cell_encode_bytes(const struct bs_cell *cell, const float *x, size_t count,
                                       const float *next, uint8_t *codes)
{
    float lowest = (float)cell->first, highest = (float)(cell->first + cell->levels->count - 1);
    struct gathered gathered = {.sum = {0}};
    for (int l = 0; l < LANES; l++)
        gathered.low[l] = gathered.high[l] = next[0];
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        encode_lanes(cell, lowest, highest, x + i, next + i, LANES, codes + i, &gathered);
    for (; i < count; i++)
        encode_lanes(cell, lowest, highest, x + i, next + i, 1, codes + i, &gathered);
    return fold(&gathered, count < LANES ? 1 : LANES);
}
