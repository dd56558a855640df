/* Products of bytes, exact in sums of 32 bits. A tile of rows of A by two vectors of B's columns
 * stays in registers while it runs over a block of k. */
#include <stdbool.h>
#include <string.h>

#include "eval/linalg/bytes_loops.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Sums of a vector, rows of A in a tile. */
#if BS_ISA == 3
enum { LANES = 16, ROWS = 8 };
#elif BS_ISA == 2
enum { LANES = 8, ROWS = 6 };
#else
enum { LANES = 4, ROWS = 4 };
#endif
enum { COLUMNS = 2 * LANES };

typedef uint32_t sums __attribute__((vector_size(4 * LANES)));
typedef uint32_t unaligned_sums __attribute__((vector_size(4 * LANES), may_alias, aligned(4)));

INLINE sums load(const void *x) { return *(const unaligned_sums *)x; }
INLINE void store(void *x, sums v) { *(unaligned_sums *)x = v; }
INLINE sums all(uint32_t x) { return (sums){0} + x; }

/* Adds to each sum a_0 b_0 + a_1 b_1, of the pairs of signed 16 bits in its lane. */
INLINE sums add_pairs(sums sum, sums a, sums b)
{
#if BS_ISA == 3
    return sum + (sums)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif BS_ISA == 2
    return sum + (sums)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
    return sum + (sums)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    typedef int32_t numbers __attribute__((vector_size(4 * LANES)));
    numbers low = ((numbers)(a << 16) >> 16) * ((numbers)(b << 16) >> 16);
    numbers high = ((numbers)a >> 16) * ((numbers)b >> 16);
    return sum + (sums)low + (sums)high;
#endif
}

/* Adds to each sum that of the products of the four unsigned bytes of a and signed ones of b in its
 * lane. Of the level only some processors have it: the compiler is not told of the rest. */
INLINE sums add_fours(sums sum, sums a, sums b)
{
#if BS_ISA == 3
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
    (void)a, (void)b;
#endif
    return sum;
}

/* What differs between kernels, so that their loops are written once: constants to the compiler. */
struct kind {
    int together;
    size_t number; /* bytes of A and B, as they are multiplied */
};

INLINE sums add_groups(struct kind kind, sums sum, sums a, sums b)
{
    return kind.together == 4 ? add_fours(sum, a, b) : add_pairs(sum, a, b);
}

/* C [rows][COLUMNS] (+)= A [rows][steps] times a panel. A's rows and C's are `a_row` bytes and
 * `c_row` numbers apart. */
INLINE void multiply_tile(struct kind kind, int rows, const char *a, size_t a_row,
                          const char *panel, int groups, int32_t *c, size_t c_row, bool add)
{
    enum { GROUP = sizeof(uint32_t) };
    sums s[ROWS][2];
    for (int r = 0; r < rows; r++)
        s[r][0] = s[r][1] = all(0);
    for (int g = 0; g < groups; g++, a += GROUP, panel += 2 * sizeof(sums)) {
        sums left = load(panel), right = load(panel + sizeof(sums));
        for (int r = 0; r < rows; r++) {
            uint32_t group;
            memcpy(&group, a + (size_t)r * a_row, sizeof group);
            sums x = all(group);
            s[r][0] = add_groups(kind, s[r][0], x, left);
            s[r][1] = add_groups(kind, s[r][1], x, right);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++) {
            int32_t *to = c + (size_t)r * c_row + v * LANES;
            store(to, add ? load(to) + s[r][v] : s[r][v]);
        }
}

/* The same, where the last panel is wider than what is left of C. */
INLINE void multiply_columns(struct kind kind, int rows, const char *a, size_t a_row,
                             const char *panel, int groups, int32_t *c, size_t c_row, bool add,
                             int columns)
{
    if (columns >= COLUMNS) {
        multiply_tile(kind, rows, a, a_row, panel, groups, c, c_row, add);
        return;
    }
    int32_t tile[ROWS * COLUMNS];
    multiply_tile(kind, rows, a, a_row, panel, groups, tile, COLUMNS, false);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < columns; j++) {
            int32_t *to = c + (size_t)r * c_row + j, sum = tile[r * COLUMNS + j];
            *to = add ? (int32_t)((uint32_t)*to + (uint32_t)sum) : sum;
        }
}

static size_t rounded(int count, int to) { return (size_t)((count + to - 1) / to * to); }

/* The next steps of A's rows, each filled up to whole groups, as they are multiplied. */
INLINE void enter_rows(struct kind kind, int rows, int steps, const uint8_t *a, int k, char *room)
{
    size_t width = rounded(steps, kind.together);
    for (int r = 0; r < rows; r++) {
        const uint8_t *from = a + (size_t)r * (size_t)k;
        char *row = room + (size_t)r * width * kind.number;
        memset(row + (size_t)steps * kind.number, 0, (width - (size_t)steps) * kind.number);
        if (kind.number == 1) {
            memcpy(row, from, (size_t)steps);
            continue;
        }
        int16_t *wide = (int16_t *)(void *)row;
        for (int j = 0; j < steps; j++)
            wide[j] = from[j];
    }
}

INLINE void multiply(struct kind kind, int rows, int n, int k, const uint8_t *a, const char *panels,
                     char *room, int32_t *c)
{
    for (int first = 0; first < k; first += BS_BYTES_BLOCK) {
        int steps = k - first < BS_BYTES_BLOCK ? k - first : BS_BYTES_BLOCK;
        size_t width = rounded(steps, kind.together), row = width * kind.number;
        int groups = (int)width / kind.together;
        enter_rows(kind, rows, steps, a + first, k, room);
        for (int j = 0; j < n; j += COLUMNS, panels += COLUMNS * row) {
            int r = 0;
            for (; r + ROWS <= rows; r += ROWS)
                multiply_columns(kind, ROWS, room + (size_t)r * row, row, panels, groups,
                                 c + (size_t)r * (size_t)n + j, (size_t)n, first > 0, n - j);
            for (; r < rows; r++)
                multiply_columns(kind, 1, room + (size_t)r * row, row, panels, groups,
                                 c + (size_t)r * (size_t)n + j, (size_t)n, first > 0, n - j);
        }
    }
}

INLINE void pack(struct kind kind, int n, int k, const int8_t *b, char *panels)
{
    for (int first = 0; first < k; first += BS_BYTES_BLOCK) {
        int steps = k - first < BS_BYTES_BLOCK ? k - first : BS_BYTES_BLOCK;
        size_t width = rounded(steps, kind.together);
        for (int j = 0; j < n; j += COLUMNS, panels += COLUMNS * width * kind.number)
            for (size_t i = 0; i < COLUMNS; i++)
                for (size_t p = 0; p < width; p++) {
                    bool there = (size_t)j + i < (size_t)n && p < (size_t)steps;
                    int8_t value =
                        there ? b[((size_t)j + i) * (size_t)k + (size_t)first + p] : (int8_t)0;
                    size_t together = (size_t)kind.together;
                    size_t at = (p / together * COLUMNS + i) * together + p % together;
                    if (kind.number == 1)
                        panels[at] = value;
                    else
                        ((int16_t *)(void *)panels)[at] = value;
                }
    }
}

#define PAIRS ((struct kind){.together = 2, .number = sizeof(int16_t)})
#define FOURS ((struct kind){.together = 4, .number = 1})

static void multiply_pairs(int rows, int n, int k, const uint8_t *a, const void *panels, void *room,
                           int32_t *c)
{
    multiply(PAIRS, rows, n, k, a, panels, room, c);
}

static void pack_pairs(int n, int k, const int8_t *b, void *panels)
{
    pack(PAIRS, n, k, b, panels);
}

#if BS_ISA == 3
static void multiply_fours(int rows, int n, int k, const uint8_t *a, const void *panels, void *room,
                           int32_t *c)
{
    multiply(FOURS, rows, n, k, a, panels, room, c);
}

static void pack_fours(int n, int k, const int8_t *b, void *panels)
{
    pack(FOURS, n, k, b, panels);
}
#endif

const struct bs_bytes_loops BS_AT_LEVEL(bs_bytes_loops) = {
    .pairs = {COLUMNS, 2, sizeof(int16_t), pack_pairs, multiply_pairs},
#if BS_ISA == 3
    .fours = {COLUMNS, 4, 1, pack_fours, multiply_fours},
#endif
};
