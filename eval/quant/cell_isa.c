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

/* What becomes of x by its level: a NaN stays. */
static inline float decoded(const struct bs_cell *cell, float x, float level)
{
    float value = cell->scale * level;
    value = cell->shift == 0 ? value : value + cell->shift;
    return x != x ? x : value;
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
    for (int l = 0; l < lanes; l++)
        x[l] = decoded(cell, x[l], level[l]);
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

/* --- by an index --- */

enum { QUAD = 4, CHUNK = 128 };

typedef float quad __attribute__((vector_size(4 * QUAD)));
typedef float unaligned_quad __attribute__((vector_size(4 * QUAD), may_alias, aligned(4)));
typedef int32_t codes_of_quad __attribute__((vector_size(4 * QUAD)));
typedef int32_t unaligned_codes __attribute__((vector_size(4 * QUAD), may_alias, aligned(4)));

/* from[at] of each. */
INLINE quad quad_of(const float *from, const uint32_t *at)
{
    return (quad){from[at[0]], from[at[1]], from[at[2]], from[at[3]]};
}

/* The members of the buckets at each. */
INLINE quad buckets_of(const struct bs_level_bucket *from, const uint32_t *at, codes_of_quad *first)
{
#if defined(__x86_64__)
    /* A bucket's members move at once. */
    __m128 low = (__m128)_mm_loadl_epi64((const __m128i *)(from + at[0]));
    __m128 high = (__m128)_mm_loadl_epi64((const __m128i *)(from + at[2]));
    low = _mm_loadh_pi(low, (const __m64 *)(from + at[1]));
    high = _mm_loadh_pi(high, (const __m64 *)(from + at[3]));
    *first = (codes_of_quad)_mm_shuffle_ps(low, high, 0xdd); /* the odd ones of both */
    return (quad)_mm_shuffle_ps(low, high, 0x88);
#else
    *first =
        (codes_of_quad){from[at[0]].first, from[at[1]].first, from[at[2]].first, from[at[3]].first};
    return (quad){from[at[0]].end, from[at[1]].end, from[at[2]].end, from[at[3]].end};
#endif
}

INLINE void find_buckets(const struct bs_level_index *index, const float *u, int lanes,
                         uint32_t *buckets)
{
    for (int l = 0; l < lanes; l++)
        buckets[l] = bs_level_bucket(index, u[l]);
}

/* The codes of at most CHUNK values, as bs_levels_code has them. Whole quads of codes are written,
 * and how many codes those are is returned; u has room for as many. */
INLINE int search(const struct bs_level_index *index, float *u, int count, uint32_t *codes)
{
    int all = (count + QUAD - 1) / QUAD * QUAD, at = 0, half = 1 << (index->steps - 1);
    for (int l = count; l < all; l++)
        u[l] = 0;
    for (; at + LANES <= all; at += LANES)
        find_buckets(index, u + at, LANES, codes + at);
    for (; at < all; at += QUAD)
        find_buckets(index, u + at, QUAD, codes + at);
    for (int l = 0; l < all; l += QUAD) {
        codes_of_quad first;
        quad end = buckets_of(index->buckets, codes + l, &first);
        codes_of_quad past = *(const unaligned_quad *)(u + l) > end;
        *(unaligned_codes *)(codes + l) = first + (past & half);
    }
    for (half /= 2; half; half /= 2)
        for (int l = 0; l < all; l += QUAD) {
            quad end = quad_of(index->ends + half - 1, codes + l);
            codes_of_quad past = *(const unaligned_quad *)(u + l) > end;
            *(unaligned_codes *)(codes + l) += past & half;
        }
    return all;
}

/* --- of few levels --- */

#ifdef __AVX2__
enum { WIDE = 8 };
#else
enum { WIDE = 4 };
#endif
typedef float wide __attribute__((vector_size(4 * WIDE)));
typedef float unaligned_wide __attribute__((vector_size(4 * WIDE), may_alias, aligned(4)));
typedef int32_t wide_codes __attribute__((vector_size(4 * WIDE)));
typedef int32_t unaligned_wide_codes __attribute__((vector_size(4 * WIDE), may_alias, aligned(4)));

/* The ends of FEW levels at most: those of the first three quarters, and of each quarter the three
 * within, which a register holds so that no value waits for memory. */
enum { FEW = 16, QUARTERS = 4 };
struct few {
    float quarter[QUARTERS - 1];
    wide within[QUARTERS - 1]; /* of a quarter in its lane, and again */
};

static struct few few_of(const struct bs_level_index *index)
{
    struct few few;
    for (int k = 0; k < QUARTERS - 1; k++) {
        few.quarter[k] = index->ends[QUARTERS * (k + 1) - 1];
        for (int l = 0; l < WIDE; l++)
            few.within[k][l] = index->ends[l % QUARTERS * QUARTERS + k];
    }
    return few;
}

#if defined(__AVX2__) || !defined(__x86_64__)
/* Of each lane ends[at]. */
INLINE wide ends_at(wide ends, wide_codes at)
{
#ifdef __AVX2__
    return (wide)_mm256_permutevar8x32_ps((__m256)ends, (__m256i)at);
#else
    return (wide){ends[at[0]], ends[at[1]], ends[at[2]], ends[at[3]]};
#endif
}

/* How many ends each is greater than: a comparison gives -1. */
INLINE wide_codes code_wide(const struct few *few, wide u)
{
    wide_codes quarter = -(u > few->quarter[0]) - (u > few->quarter[1]) - (u > few->quarter[2]);
    wide_codes past = (u > ends_at(few->within[0], quarter)) +
                      (u > ends_at(few->within[1], quarter)) +
                      (u > ends_at(few->within[2], quarter));
    return QUARTERS * quarter - past;
}
#else
typedef uint8_t bytes __attribute__((vector_size(4 * WIDE)));

INLINE wide ends_at(wide ends, bytes at)
{
    return (wide)_mm_shuffle_epi8((__m128i)ends, (__m128i)at);
}

/* The same where only bytes can be looked up: all that is counted is counted in every byte. */
INLINE wide_codes code_wide(const struct few *few, wide u)
{
    const bytes byte = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    wide_codes quarter = (wide_codes)(-(bytes)(u > few->quarter[0]) - (bytes)(u > few->quarter[1]) -
                                      (bytes)(u > few->quarter[2]));
    wide_codes code = quarter << 2;
    bytes at = (bytes)code + byte;
    wide_codes past = (u > ends_at(few->within[0], at)) + (u > ends_at(few->within[1], at)) +
                      (u > ends_at(few->within[2], at));
    return code - past;
}
#endif

/* The codes of at most CHUNK values, in their lowest bytes. */
INLINE void search_few(const struct few *few, const struct bs_cell *cell, const float *x, int count,
                       uint32_t *restrict codes)
{
    float scale = cell->scale, inverse = cell->inverse;
    int at = 0;
    for (; at + WIDE <= count && inverse != 0; at += WIDE)
        *(unaligned_wide_codes *)(codes + at) =
            code_wide(few, *(const unaligned_wide *)(x + at) * inverse);
    for (; at + WIDE <= count && cell->shift == 0; at += WIDE)
        *(unaligned_wide_codes *)(codes + at) =
            code_wide(few, *(const unaligned_wide *)(x + at) / scale);
    for (; at < count; at++)
        codes[at] = (uint32_t)bs_cell_nearest(cell, x[at]);
}

static void encode_few(const struct bs_cell *cell, const float *x, size_t count, uint8_t *codes)
{
    const struct few few = few_of(cell->levels->index);
    for (size_t at = 0; at < count; at += CHUNK) {
        uint32_t found[CHUNK];
        int some = count - at < CHUNK ? (int)(count - at) : CHUNK;
        search_few(&few, cell, x + at, some, found);
        for (int l = 0; l < some; l++)
            codes[at + (size_t)l] = (uint8_t)found[l];
    }
}

static void encode_indexed(const struct bs_cell *cell, const float *x, size_t count, uint8_t *codes)
{
    if (cell->levels->count <= FEW) {
        encode_few(cell, x, count, codes);
        return;
    }
    for (size_t at = 0; at < count; at += CHUNK) {
        float u[CHUNK];
        uint32_t found[CHUNK];
        int some = count - at < CHUNK ? (int)(count - at) : CHUNK;
        positions(cell, x + at, some, u);
        search(cell->levels->index, u, some, found);
        for (int l = 0; l < some; l++)
            codes[at + (size_t)l] = (uint8_t)found[l];
    }
}

static void round_indexed(const struct bs_cell *cell, float *x, size_t count)
{
    for (size_t at = 0; at < count; at += CHUNK) {
        float u[CHUNK];
        uint32_t found[CHUNK];
        int some = count - at < CHUNK ? (int)(count - at) : CHUNK;
        positions(cell, x + at, some, u);
        int all = search(cell->levels->index, u, some, found);
        for (int l = 0; l < all; l += QUAD)
            *(unaligned_quad *)(u + l) = quad_of(cell->levels->values, found + l);
        for (int l = 0; l < some; l++)
            x[at + (size_t)l] = decoded(cell, x[at + (size_t)l], u[l]);
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
    .round_indexed = round_indexed,
    .encode_indexed = encode_indexed,
    .encode_bytes = encode_bytes,
};
