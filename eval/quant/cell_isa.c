#include "eval/quant/cell.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 32 };

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
    if (cell->zero != 0 || cell->inverse != 0)
        for (size_t i = 0; i < count; i++) {
            float level = rintf(bs_cell_position(cell, x[i]) + cell->zero);
            level = level < lowest ? lowest : level;
            level = level > highest ? highest : level;
            x[i] = scale * (level - cell->zero) + shift;
        }
    else if (shift == 0)
        for (size_t i = 0; i < count; i++)
            x[i] = scale * nearest_level(x[i], scale, lowest, highest);
    else
        for (size_t i = 0; i < count; i++)
            x[i] = scale * nearest_level(x[i] - shift, scale, lowest, highest) + shift;
}

/* bs_cell_position of a value for each of lanes. */
static inline void positions(const struct bs_cell *cell, const float *x, int lanes, float *u)
{
    if (cell->inverse != 0)
        for (int l = 0; l < lanes; l++)
            u[l] = x[l] * cell->inverse;
    else
        for (int l = 0; l < lanes; l++)
            u[l] = (x[l] - cell->shift) / cell->scale;
}

/* By a table that is short enough to compare with all of its middles: a value for each of lanes. */
static inline void round_lanes(const struct bs_cell *cell, float *x, int lanes)
{
    const float *values = cell->levels->values;
    float u[LANES], level[LANES];
    for (int l = 0; l < lanes; l++)
        level[l] = values[0];
    positions(cell, x, lanes, u);
    for (int code = 0; code + 1 < cell->levels->count; code++) {
        float middle = bs_levels_bound(cell->levels, code), next = values[code + 1];
        if (bs_levels_goes_up(cell->levels, code, middle))
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

/* ---- codes ---- */

static void encode_whole(const struct bs_cell *cell, const float *x, size_t count,
                         uint8_t *restrict codes)
{
    float scale = cell->scale, inverse = cell->inverse, shift = cell->shift, zero = cell->zero;
    float lowest = (float)cell->first, highest = (float)(cell->first + cell->levels->count - 1);
    int first = cell->first;
    if (zero == 0 && inverse == 0 && shift == 0)
        for (size_t i = 0; i < count; i++) {
            float level = rintf(x[i] / scale);
            level = level > lowest ? level : lowest; /* which a NaN becomes too */
            level = level < highest ? level : highest;
            codes[i] = (uint8_t)((int)level - first);
        }
    else
        for (size_t i = 0; i < count; i++) {
            float u = inverse != 0 ? x[i] * inverse : (x[i] - shift) / scale;
            float level = rintf(u + zero);
            level = level > lowest ? level : lowest;
            level = level < highest ? level : highest;
            codes[i] = (uint8_t)((int)level - first);
        }
}

/* By a short table: a code is how many of its bounds a value is past. */
static inline void code_lanes(const struct bs_cell *cell, const float *x, int lanes,
                              uint8_t *restrict codes)
{
    float u[LANES];
    int32_t passed[LANES] = {0};
    positions(cell, x, lanes, u);
    for (int code = 0; code + 1 < cell->levels->count; code++) {
        float bound = bs_levels_bound(cell->levels, code);
        if (bs_levels_goes_up(cell->levels, code, bound))
            for (int l = 0; l < lanes; l++)
                passed[l] += u[l] >= bound ? 1 : 0;
        else
            for (int l = 0; l < lanes; l++)
                passed[l] += u[l] > bound ? 1 : 0;
    }
    for (int l = 0; l < lanes; l++)
        codes[l] = (uint8_t)passed[l];
}

static void encode_short_table(const struct bs_cell *cell, const float *x, size_t count,
                               uint8_t *codes)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        code_lanes(cell, x + i, LANES, codes + i);
    for (; i < count; i++)
        code_lanes(cell, x + i, 1, codes + i);
}

/* --- by a tree --- */

#if BS_ISA == 3
enum { W = 16, REACH = 32, MOST_HELD = 128 };
#elif BS_ISA == 2
enum { W = 8, REACH = 8, MOST_HELD = 32 };
#else
enum { W = 4, REACH = 1, MOST_HELD = 1 };
#endif

typedef float vec __attribute__((vector_size(4 * W)));
typedef float unaligned_vec __attribute__((vector_size(4 * W), may_alias, aligned(4)));
typedef int32_t places __attribute__((vector_size(4 * W)));
typedef int32_t unaligned_places __attribute__((vector_size(4 * W), may_alias, aligned(4)));

/* from[at modulo REACH], all of which is in registers. */
INLINE vec permuted(const float *from, places at)
{
#if BS_ISA == 3
    return (vec)_mm512_permutex2var_ps(_mm512_loadu_ps(from), (__m512i)at,
                                       _mm512_loadu_ps(from + W));
#elif BS_ISA == 2
    return (vec)_mm256_permutevar8x32_ps(_mm256_loadu_ps(from), (__m256i)at);
#else
    (void)at;
    return from[0] - (vec){0};
#endif
}

/* from[at] of the first `size`, at most MOST_HELD; REACH of them are read. */
INLINE vec held(const float *from, int size, places at)
{
    vec found = permuted(from, at);
    for (int first = REACH; first < size; first += REACH) {
        places here = at >= first;
        vec other = permuted(from + first, at);
        found = (vec)(((places)other & here) | ((places)found & ~here));
    }
    return found;
}

/* from[at], from memory. */
INLINE vec gathered(const float *from, places at)
{
#if BS_ISA == 2
    return (vec)_mm256_i32gather_ps(from, (__m256i)at, sizeof(float));
#else
    vec found;
    for (int l = 0; l < W; l++)
        found[l] = from[at[l]];
    return found;
#endif
}

/* One level of the tree down: to the right of the nodes whose end u is greater than. */
INLINE places descend(const float *tree, int size, vec u, places at)
{
    vec end = size <= MOST_HELD ? held(tree + size, size, at) : gathered(tree + size, at);
    return at + at - (places)(u > end);
}

#if defined(__x86_64__) && BS_ISA < 2
/* The first five levels of a tree: the ends of its quarters, and of the four of them what lies
 * within, in the order of the tree. */
struct quarters {
    __m128 ends[3], within[7];
};

INLINE struct quarters quarters_of(const float *tree)
{
    struct quarters q;
    for (int k = 0; k < 3; k++)
        q.ends[k] = _mm_set1_ps(tree[1 + k]);
    q.within[0] = _mm_loadu_ps(tree + 4);
    __m128 low = _mm_loadu_ps(tree + 8), high = _mm_loadu_ps(tree + 12);
    q.within[1] = _mm_shuffle_ps(low, high, 0x88); /* the even ones */
    q.within[2] = _mm_shuffle_ps(low, high, 0xdd); /* the odd ones */
    for (int k = 0; k < 4; k++)
        q.within[3 + k] = _mm_loadu_ps(tree + 16 + 4 * k);
    _MM_TRANSPOSE4_PS(q.within[3], q.within[4], q.within[5], q.within[6]);
    return q;
}

/* Five levels of the tree down: which quarter, then how many ends within it u is greater than. */
INLINE places descend_five(const struct quarters *q, vec u)
{
    const __m128i lowest = _mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    places passed = {0}, within = {0};
    for (int k = 0; k < 3; k++)
        passed -= (places)(u > (vec)q->ends[k]);
    __m128i first = _mm_shuffle_epi8(_mm_slli_epi32((__m128i)passed, 2), lowest); /* byte */
    __m128i bytes = _mm_add_epi8(first, _mm_set1_epi32(0x03020100));
    for (int k = 0; k < 7; k++)
        within -= (places)(u > (vec)_mm_shuffle_epi8((__m128i)q->within[k], bytes));
    return 8 * passed + within;
}
#else
struct quarters {
    const float *tree;
};

INLINE struct quarters quarters_of(const float *tree) { return (struct quarters){tree}; }

INLINE places descend_five(const struct quarters *q, vec u)
{
    places at = {0};
    for (int size = 1; size <= 16; size *= 2)
        at = descend(q->tree, size, u, at);
    return at;
}
#endif

/* The codes of LANES values, as bs_cell_search has them. */
static inline void search_lanes(const struct bs_cell *cell, const float *tree, const float *x,
                                int32_t *codes)
{
    float all[LANES];
    const struct quarters quarters = quarters_of(tree);
    positions(cell, x, LANES, all);
    for (int l = 0; l < LANES; l += W) {
        vec u = *(const unaligned_vec *)(all + l);
        places at = descend_five(&quarters, u);
        if (cell->levels->count > 32)
            at = descend(tree, 32, u, at);
        if (cell->levels->count > 64)
            at = descend(tree, 64, u, at);
        if (cell->levels->count > 128)
            at = descend(tree, 128, u, at);
        *(unaligned_places *)(codes + l) = at;
    }
}

/* The table's tree; where it brings none, made in room. */
static const float *tree_of(const struct bs_levels *levels, float *room)
{
    if (levels->tree)
        return levels->tree;
    bs_levels_plant(levels, room);
    return room;
}

/* The last values of many, as LANES of them. */
static const float *fill_lanes(const float *x, size_t some, float *room)
{
    if (some == LANES)
        return x;
    for (size_t l = 0; l < LANES; l++)
        room[l] = l < some ? x[l] : 0;
    return room;
}

static void encode_table(const struct bs_cell *cell, const float *x, size_t count, uint8_t *codes)
{
    float room[BS_TREE], last[LANES];
    const float *tree = tree_of(cell->levels, room);
    for (size_t at = 0; at < count; at += LANES) {
        int32_t found[LANES];
        size_t some = count - at < LANES ? count - at : LANES;
        search_lanes(cell, tree, fill_lanes(x + at, some, last), found);
        if (some == LANES)
            for (size_t l = 0; l < LANES; l++)
                codes[at + l] = (uint8_t)found[l];
        else
            for (size_t l = 0; l < some; l++)
                codes[at + l] = (uint8_t)found[l];
    }
}

static void round_table(const struct bs_cell *cell, float *x, size_t count)
{
    float room[BS_TREE], last[LANES];
    const float *tree = tree_of(cell->levels, room), *values = cell->levels->values;
    for (size_t at = 0; at < count; at += LANES) {
        int32_t found[LANES];
        size_t some = count - at < LANES ? count - at : LANES;
        const float *from = fill_lanes(x + at, some, last);
        search_lanes(cell, tree, from, found);
        float rounded[LANES];
        for (size_t l = 0; l < LANES; l++) {
            float value = cell->scale * values[found[l]];
            value = cell->shift == 0 ? value : value + cell->shift;
            rounded[l] = from[l] != from[l] ? from[l] : value;
        }
        memcpy(x + at, rounded, some * sizeof *x);
    }
}

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

static struct bs_encoded encode_bytes(const struct bs_cell *cell, const float *x, size_t count,
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

const struct bs_cell_loops BS_AT_LEVEL(bs_cell_loops) = {
    .round_whole = round_whole,
    .round_short_table = round_short_table,
    .encode_whole = encode_whole,
    .encode_short_table = encode_short_table,
    .round_table = round_table,
    .encode_table = encode_table,
    .encode_bytes = encode_bytes,
};
