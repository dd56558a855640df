#include "eval/model/ggml_loops.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "eval/quant/bits.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* --- inputs --- */

enum { MOST = 127 };

/* To the nearest whole number, ties to even, of |x| below 2^22. */
INLINE float nearest(float x)
{
    const float magic = 12582912; /* 1.5 * 2^23: beside it a float has no fraction */
    return x + magic - magic;
}

/* The largest |x|, or NaN where not all are finite. */
INLINE float magnitude(const float *x, int count)
{
    float most = 0;
    bool finite = true;
    for (int j = 0; j < count; j++) {
        float size = fabsf(x[j]);
        finite &= size <= FLT_MAX;
        most = size > most ? size : most;
    }
    return finite ? most : NAN;
}

INLINE int round_block(const float *x, int count, float inverse, int16_t *codes)
{
    int sum = 0;
    for (int j = 0; j < count; j++) {
        int code = (int)nearest(x[j] * inverse);
        codes[j] = (int16_t)(code > MOST ? MOST : code);
        sum += codes[j];
    }
    return sum;
}

static void round_legacy(const float *x, int16_t *codes, float *scale, float *total)
{
    float most = magnitude(x, BS_GGML_SHORT), step = most / MOST;
    bool any = most > 0; /* and so no NaN */
    int sum = 0;
    if (any)
        sum = round_block(x, BS_GGML_SHORT, MOST / most, codes);
    else
        memset(codes, 0, BS_GGML_SHORT * sizeof *codes);
    *scale = bs_half_value(bs_half_of(step));
    if (total)
        *total = bs_half_value(bs_half_of(step * (float)sum));
}

/* The scale has the sign that makes the code of the first of the largest -127. */
static void round_super(const float *x, int16_t *codes, float *scale, int16_t *sums)
{
    float most = magnitude(x, BS_GGML_LONG);
    if (!(most > 0)) {
        memset(codes, 0, BS_GGML_LONG * sizeof *codes);
        memset(sums, 0, BS_GGML_LONG / BS_GGML_SUMMED * sizeof *sums);
        *scale = most;
        return;
    }
    int first = 0;
    while (fabsf(x[first]) < most)
        first++;
    float inverse = -(float)MOST / x[first];
    for (int at = 0; at < BS_GGML_LONG; at += BS_GGML_SUMMED)
        sums[at / BS_GGML_SUMMED] =
            (int16_t)round_block(x + at, BS_GGML_SUMMED, inverse, codes + at);
    *scale = 1 / inverse;
}

/* --- products --- */

/* Numbers of a vector, vectors of a panel, rows that stay in registers together. */
#if BS_ISA == 3
enum { LANES = 16, ROWS = 8 };
#elif BS_ISA == 2
enum { LANES = 8, ROWS = 3 };
#else
enum { LANES = 4, ROWS = 2 };
#endif
enum { VECTORS = BS_GGML_COLUMNS / LANES };

typedef int32_t integers __attribute__((vector_size(4 * LANES)));
typedef int32_t unaligned_integers __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));
typedef float floats __attribute__((vector_size(4 * LANES)));
typedef float unaligned_floats __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

INLINE integers load(const int16_t *x) { return *(const unaligned_integers *)(const void *)x; }
INLINE floats load_floats(const float *x) { return *(const unaligned_floats *)x; }

/* Adds to each sum a_0 b_0 + a_1 b_1, of the pairs of 16 bits in its lane. */
INLINE integers add_pairs(integers sum, integers a, integers b)
{
#if BS_ISA == 3
    return sum + (integers)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif BS_ISA == 2
    return sum + (integers)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return sum + (integers)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return sum + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
#endif
}

/* Sums of products of `count` columns, an even number, of rows `stride` numbers apart. */
INLINE void sum_products(const int16_t *weights, const int16_t *x, size_t stride, int rows,
                         int count, integers sums[ROWS][VECTORS])
{
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            sums[r][v] = (integers){0};
    for (int j = 0; j < count; j += 2, weights += 2 * BS_GGML_COLUMNS) {
        integers w[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            w[v] = load(weights + 2 * v * LANES);
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)r * stride + j, sizeof pair);
            integers both = (integers){0} + pair;
            for (int v = 0; v < VECTORS; v++)
                sums[r][v] = add_pairs(sums[r][v], both, w[v]);
        }
    }
}

/* y += factor of the row and weights * sum. */
INLINE void add_scaled(floats y[VECTORS], float factor, const float *weights,
                       const integers sums[VECTORS])
{
    for (int v = 0; v < VECTORS; v++)
        y[v] +=
            factor * load_floats(weights + v * LANES) * __builtin_convertvector(sums[v], floats);
}

/* Adds what a block of the inputs has beside its groups: sums by minima, or its total. */
INLINE void add_least(const struct bs_ggml_panel *panel, const struct bs_ggml_inputs *x, int rows,
                      int b, floats y[ROWS][VECTORS])
{
    size_t blocks = (size_t)(panel->in / panel->block);
    const float *least = panel->least + (size_t)b * BS_GGML_COLUMNS;
    if (panel->minima) {
        enum { OF_BLOCK = BS_GGML_LONG / BS_GGML_SUMMED };
        integers sums[ROWS][VECTORS];
        sum_products(panel->minima + (size_t)b * OF_BLOCK * BS_GGML_COLUMNS,
                     x->sums + (size_t)b * OF_BLOCK, (size_t)panel->in / BS_GGML_SUMMED, rows,
                     OF_BLOCK, sums);
        for (int r = 0; r < rows; r++)
            add_scaled(y[r], -x->scale[(size_t)r * blocks + (size_t)b], least, sums[r]);
        return;
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            y[r][v] += load_floats(least + v * LANES) * x->total[(size_t)r * blocks + (size_t)b];
}

INLINE void multiply_rows(const struct bs_ggml_panel *panel, const struct bs_ggml_inputs *x,
                          int rows, float *to, size_t stride)
{
    size_t in = (size_t)panel->in, blocks = in / (size_t)panel->block;
    int of_block = panel->block / panel->group;
    floats y[ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            y[r][v] = (floats){0};
    for (int g = 0; g < panel->in / panel->group; g++) {
        size_t column = (size_t)g * (size_t)panel->group;
        int b = g / of_block;
        integers sums[ROWS][VECTORS];
        sum_products(panel->levels + column * BS_GGML_COLUMNS, x->codes + column, in, rows,
                     panel->group, sums);
        for (int r = 0; r < rows; r++)
            add_scaled(y[r], x->scale[(size_t)r * blocks + (size_t)b],
                       panel->scale + (size_t)g * BS_GGML_COLUMNS, sums[r]);
        if (panel->least && (g + 1) % of_block == 0)
            add_least(panel, x, rows, b, y);
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < VECTORS; v++)
            memcpy(to + (size_t)r * stride + (size_t)(v * LANES), &y[r][v], sizeof y[r][v]);
}

static struct bs_ggml_inputs from_row(const struct bs_ggml_panel *panel,
                                      const struct bs_ggml_inputs *x, size_t row)
{
    size_t in = (size_t)panel->in, blocks = in / (size_t)panel->block;
    return (struct bs_ggml_inputs){
        .codes = x->codes + row * in,
        .scale = x->scale + row * blocks,
        .sums = x->sums ? x->sums + row * (in / BS_GGML_SUMMED) : NULL,
        .total = x->total ? x->total + row * blocks : NULL,
    };
}

static void multiply(const struct bs_ggml_panel *panel, const struct bs_ggml_inputs *x, int rows,
                     float *y, size_t stride)
{
    int r = 0;
    for (; r + ROWS <= rows; r += ROWS) {
        struct bs_ggml_inputs some = from_row(panel, x, (size_t)r);
        multiply_rows(panel, &some, ROWS, y + (size_t)r * stride, stride);
    }
    for (; r < rows; r++) {
        struct bs_ggml_inputs one = from_row(panel, x, (size_t)r);
        multiply_rows(panel, &one, 1, y + (size_t)r * stride, stride);
    }
}

const struct bs_ggml_product_loops BS_AT_LEVEL(bs_ggml_product_loops) = {round_legacy, round_super,
                                                                         multiply};
