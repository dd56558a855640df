/* Products of product.h for one level: a block of A is packed into panels of a few rows each, then
 * panel by panel of B, which stays in the first cache, tile after tile of C is added up in
 * registers. How rows and columns are shared out among tiles changes no bit. */
#include <math.h>

#include "eval/linalg/product_loops.h"
#include "eval/linalg/product_vectors.h"

/* Tiles have at most ROWS rows and NV vectors of columns; UNROLLED steps are made at a time. What
 * already stands as a tile reads it is not packed where it would be read too seldom: A for
 * FEW_COLUMNS columns of B or fewer, B for FEW_TILES tiles or, where its rows are so NEAR each
 * other that the lines of a panel do not drive each other out of the first cache, SOME_TILES.
 * Where rows are a multiple of SAME_SET apart their lines have to share one set of the
 * first cache, of no more than 8: a tile then reads half as many. Where C has LARGE elements
 * and more, and tiles are so fast that its way from memory and back would count, several blocks of
 * k, a CHUNK, are added up before it is touched again, and it is stored past the caches. */
enum { NV = 2, FOURS = W / 4, COLUMNS = NV * W, BLOCK = BS_PRODUCT_BLOCK };
#if BS_ISA == 3
enum { ROWS = 14, UNROLLED = 4, CHUNK = 4 * BLOCK };
#else
enum { ROWS = 6, UNROLLED = BS_ISA ? 4 : 1, CHUNK = BLOCK };
#endif
enum { LARGE = 1 << 22 };
enum { FEW_COLUMNS = 128, FEW_TILES = 3, SOME_TILES = 24, NEAR = 128, SAME_SET = 1024 };
_Static_assert((int)COLUMNS <= (int)BS_PRODUCT_MOST_COLUMNS && (int)W <= (int)BS_PRODUCT_BEYOND,
               "a room is large enough for a level's panels");

/* --- packing --- */

/* to[p * width + i] = x[i][p] for W rows i and 4 * fours steps p. Lines of many rows may be in each
 * other's way in the first cache: what is wanted of one is read at once. */
INLINE void turn_steps(const float *const *x, int p, int fours, float *to, size_t width)
{
    vec rows[FOURS][4], turned[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
#pragma GCC unroll 4
        for (int f = 0; f < fours; f++)
            rows[f][i] = of_rows(x, i, p + 4 * f);
#pragma GCC unroll 4
    for (int f = 0; f < fours; f++) {
        turn_four(rows[f], turned);
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++, to += width)
            store(to, turned[q]);
    }
}

/* to[p * width + i] = x[i][p] for W rows i. What is written beyond the width is written again with
 * the next p. */
INLINE void turn_rows(const float *const *x, int steps, float *to, size_t width)
{
    int p = 0;
    for (; p + 4 * FOURS <= steps; p += 4 * FOURS)
        turn_steps(x, p, FOURS, to + (size_t)p * width, width);
    for (; p + 4 <= steps; p += 4)
        turn_steps(x, p, 1, to + (size_t)p * width, width);
    for (; p < steps; p++)
        for (int i = 0; i < W; i++)
            to[(size_t)p * width + (size_t)i] = x[i][p];
}

/* Vectors are written from the last of a panel to the first: what the last one writes beyond the
 * width is then written again. */

/* A panel whose rows stand apart and whose steps are neighbours: to[p * width + i] =
 * x[i * row + p], zero for rows first rows and on. */
static void pack_rows(const float *x, size_t row, int rows, int steps, float *to, int width)
{
    static const float zeros[BLOCK];
    const float *at[W];
    for (int first = (width - 1) / W * W; first >= 0; first -= W) {
        for (int i = 0; i < W; i++)
            at[i] = first + i < rows ? x + (size_t)(first + i) * row : zeros;
        turn_rows(at, steps, to + first, (size_t)width);
    }
}

/* The same where rows are neighbours and steps stand apart: to[p * width + i] = x[p * step + i]. */
static void pack_steps(const float *x, size_t step, int rows, int steps, float *to, int width)
{
    for (int p = 0; p < steps && rows == COLUMNS; p++)
        for (int j = 0; j < COLUMNS; j += W)
            store(to + p * COLUMNS + j, load(x + (size_t)p * step + j));
    for (int first = (width - 1) / W * W; first >= 0 && rows < COLUMNS; first -= W) {
        part some = part_of(rows - first);
        for (int p = 0; p < steps; p++)
            store(to + p * width + first,
                  rows > first ? load_part(x + (size_t)p * step + first, some) : (vec){0});
    }
}

/* The panel of all columns of B from `column` on, or as many as a tile has, of steps first and
 * on. */
static void pack_columns(const struct bs_product *product, int column, int first, int steps,
                         float *to)
{
    const float *b =
        product->b + (size_t)first * product->b_step + (size_t)column * product->b_column;
    int left = product->n - column, columns = left < COLUMNS ? left : COLUMNS;
    if (product->b_step == 1)
        pack_rows(b, product->b_column, columns, steps, to, COLUMNS);
    else
        pack_steps(b, product->b_step, columns, steps, to, COLUMNS);
}

/* As many whole panels of B as a room has, where columns are neighbours. A step may be pages of
 * memory away from the next: all that is wanted of one is read at once. */
static void pack_group(const struct bs_product *product, int column, int first, int steps,
                       float *to)
{
    const float *b = product->b + (size_t)first * product->b_step + column;
    for (int p = 0; p < steps; p++, b += product->b_step)
        for (int q = 0; q < BS_PRODUCT_PANELS; q++)
            for (int j = 0; j < COLUMNS; j += W)
                store(to + (q * steps + p) * COLUMNS + j, load(b + q * COLUMNS + j));
}

static void pack(const struct bs_product *product, float *panels)
{
    for (int first = 0; first < product->k; first += BLOCK) {
        int left = product->k - first, steps = left < BLOCK ? left : BLOCK;
        for (int j = 0; j < product->n; j += COLUMNS, panels += COLUMNS * steps)
            pack_columns(product, j, first, steps, panels);
    }
}

/* --- tiles --- */

/* A tile of C and what it is made of: A[i][p] is a[i * a_row + p * a_step], row p of B stands at
 * b + p * b_step. */
struct tile {
    int steps, columns;
    const float *a;
    size_t a_row, a_step;
    const float *b;
    size_t b_step;
    float *c;
    size_t c_row;
    float alpha, beta;
};

/* Chains one step further. */
INLINE void add_step(int rows, const float *a, size_t a_row, const float *b, vec sums[ROWS][NV])
{
    vec of_b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++)
        of_b[j] = load(b + j * W);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        vec of_a = all(a[(size_t)i * a_row]);
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++)
            sums[i][j] = fused(of_a, of_b[j], sums[i][j]);
    }
}

/* Adds a block's sums to C. */
INLINE void add_block(int rows, const struct tile *t, vec sums[ROWS][NV])
{
    vec alpha = all(t->alpha), beta = all(t->beta);
    float *c = t->c;
    if (t->beta == 0) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, c += t->c_row)
#pragma GCC unroll 4
            for (int j = 0; j < NV; j++)
                store(c + j * W, alpha * sums[i][j]);
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, c += t->c_row)
#pragma GCC unroll 4
            for (int j = 0; j < NV; j++)
                store(c + j * W, fused(alpha, sums[i][j], beta * load(c + j * W)));
    }
}

/* The same at the right edge of C. */
INLINE void add_part(int rows, const struct tile *t, vec sums[ROWS][NV])
{
    vec alpha = all(t->alpha), beta = all(t->beta);
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
        part some = part_of(t->columns - j * W);
        float *c = t->c + j * W;
        if (t->columns <= j * W)
            return;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++, c += t->c_row) {
            vec sum = alpha * sums[i][j];
            if (t->beta != 0)
                sum = fused(alpha, sums[i][j], beta * load_part(c, some));
            store_part(c, some, sum);
        }
    }
}

/* `rows` is a constant wherever this is compiled into; a_row and a_step are where A is packed. */
INLINE void make_tile(int rows, const struct tile *t, size_t a_row, size_t a_step)
{
    vec sums[ROWS][NV];
    const float *a = t->a, *b = t->b;
    int p = 0, steps = t->steps;
    size_t b_step = t->b_step;
    /* Rows of C are often so far apart that they would drive each other out of the first cache. */
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        __builtin_prefetch(t->c + (size_t)i * t->c_row, 0, 2);
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++)
            sums[i][j] = (vec){0};
    }
    for (; p + UNROLLED <= steps; p += UNROLLED)
#pragma GCC unroll 4
        for (int u = 0; u < UNROLLED; u++, a += a_step, b += b_step)
            add_step(rows, a, a_row, b, sums);
    for (; p < steps; p++, a += a_step, b += b_step)
        add_step(rows, a, a_row, b, sums);
    if (t->columns == COLUMNS)
        add_block(rows, t, sums);
    else
        add_part(rows, t, sums);
}

#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) MORE_HEIGHTS(X)
#if BS_ISA == 3
#define MORE_HEIGHTS(X) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#else
#define MORE_HEIGHTS(X)
#endif

/* Of A packed, and of A as it stands with neighbouring steps. */
#define TILES(rows)                                                                                \
    static void packed_##rows(const struct tile *t) { make_tile(rows, t, 1, rows); }               \
    static void plain_##rows(const struct tile *t) { make_tile(rows, t, t->a_row, 1); }
EACH_HEIGHT(TILES)

#define PACKED_ENTRY(rows) [rows] = packed_##rows,
#define PLAIN_ENTRY(rows) [rows] = plain_##rows,
static void (*const packed_tiles[ROWS + 1])(const struct tile *) = {EACH_HEIGHT(PACKED_ENTRY)};
static void (*const plain_tiles[ROWS + 1])(const struct tile *) = {EACH_HEIGHT(PLAIN_ENTRY)};

/* --- a product --- */

/* Rows first .. first + rows - 1 of A and C in panels of nearly equal heights. A is packed for the
 * steps chunk .. end - 1, block of k after block, and multiplied by one block of them after the
 * other. */
struct strip {
    const struct bs_product *product;
    struct bs_product_room *room;
    int first, rows, panels;
    int chunk, end;
    int step, steps; /* the block at hand */
    bool plain;      /* A is read where it stands */
};

static int panel_start(const struct strip *s, int panel)
{
    return (int)((long)s->rows * panel / s->panels);
}

static const float *a_at(const struct strip *s, int row)
{
    const struct bs_product *p = s->product;
    return p->a + (size_t)(s->first + row) * p->a_row + (size_t)s->step * p->a_step;
}

/* The block of k from `step` on. */
static void enter_block(struct strip *s, int step)
{
    s->step = step;
    s->steps = s->end - step < BLOCK ? s->end - step : BLOCK;
}

/* Where the block at hand has its packed panels of A. */
static float *packed_a(const struct strip *s)
{
    return s->room->a + (size_t)s->rows * (size_t)(s->step - s->chunk);
}

static void pack_strip(const struct strip *s)
{
    const struct bs_product *product = s->product;
    for (int q = 0; q < s->panels; q++) {
        int start = panel_start(s, q), height = panel_start(s, q + 1) - start;
        float *to = packed_a(s) + start * s->steps;
        if (product->a_step == 1)
            pack_rows(a_at(s, start), product->a_row, height, s->steps, to, height);
        else
            pack_steps(a_at(s, start), product->a_step, height, s->steps, to, height);
    }
}

/* The panel of B whose first column is `column`, packed: the panels of a strip are asked for one
 * after the other. */
static const float *packed_panel(const struct strip *s, int column)
{
    const struct bs_product *p = s->product;
    int place = column / COLUMNS % BS_PRODUCT_PANELS, begin = column - place * COLUMNS;
    float *panels = s->room->b;
    if (p->b_column != 1 || begin + BS_PRODUCT_PANELS * COLUMNS > p->n) {
        pack_columns(p, column, s->step, s->steps, panels);
        return panels;
    }
    if (place == 0)
        pack_group(p, begin, s->step, s->steps, panels);
    return panels + place * COLUMNS * s->steps;
}

/* The panel of B whose first column is `column`: where a tile reads it from. */
static void enter_panel(const struct strip *s, int column, struct tile *tile)
{
    const struct bs_product *p = s->product;
    int padded = (p->n + COLUMNS - 1) / COLUMNS * COLUMNS;
    tile->b_step = COLUMNS;
    if (p->panels) {
        tile->b = p->panels + (size_t)s->step * (size_t)padded + (size_t)column * (size_t)s->steps;
    } else if (p->b_column == 1 && tile->columns == COLUMNS &&
               s->panels <= (p->b_step <= NEAR ? SOME_TILES : FEW_TILES)) {
        tile->b = p->b + (size_t)s->step * p->b_step + column;
        tile->b_step = p->b_step;
    } else {
        tile->b = packed_panel(s, column);
    }
}

/* Brings a share of the panel of B that is wanted next closer, while a tile of this one is made. */
static void fetch_ahead(const struct strip *s, int column, int share)
{
    enum { LINE = 64 / sizeof(float) };
    const struct bs_product *p = s->product;
    int step = s->step + BLOCK < s->end ? s->step + BLOCK : s->chunk;
    int from = step == s->chunk ? column + COLUMNS : column;
    int columns = p->n - from < COLUMNS ? p->n - from : COLUMNS;
    if (p->panels || p->b_step != 1 || columns <= 0)
        return;
    int steps = s->end - step < BLOCK ? s->end - step : BLOCK;
    for (int j = columns * share / s->panels; j < columns * (share + 1) / s->panels; j++) {
        const float *b = p->b + (size_t)(from + j) * p->b_column + step;
        for (int i = 0; i < steps; i += LINE)
            __builtin_prefetch(b + i, 0, 2);
    }
}

/* Tiles of the columns column .. column + columns - 1 and of the block at hand, added to C, or to
 * what of C is kept aside. */
static void multiply_panel(const struct strip *s, int column, int columns, bool aside)
{
    const struct bs_product *p = s->product;
    struct tile tile = {.steps = s->steps,
                        .columns = columns,
                        .c_row = aside ? COLUMNS : p->c_row,
                        .a_row = p->a_row,
                        .alpha = p->alpha,
                        .beta = s->step ? 1 : p->beta};
    float *c = aside ? s->room->c : p->c + (size_t)s->first * p->c_row + column;
    enter_panel(s, column, &tile);
    for (int q = 0; q < s->panels; q++) {
        int start = panel_start(s, q), height = panel_start(s, q + 1) - start;
        fetch_ahead(s, column, q);
        tile.c = c + (size_t)start * tile.c_row;
        tile.a = s->plain ? a_at(s, start) : packed_a(s) + start * s->steps;
        (s->plain ? plain_tiles : packed_tiles)[height](&tile);
    }
}

/* The strip's rows of the columns column .. column + columns - 1 of C, brought aside. */
static void fetch_aside(const struct strip *s, int column, int columns)
{
    const float *c = s->product->c + (size_t)s->first * s->product->c_row + column;
    for (int i = 0; i < s->rows; i++, c += s->product->c_row)
        for (int j = 0; j < columns; j += W)
            store(s->room->c + i * COLUMNS + j, load_part(c + j, part_of(columns - j)));
}

/* Back to C. */
static void put_back(const struct strip *s, int column, int columns)
{
    float *c = s->product->c + (size_t)s->first * s->product->c_row + column;
    for (int i = 0; i < s->rows; i++, c += s->product->c_row)
        for (int j = 0; j < columns; j += W)
            if (columns - j >= W && (uintptr_t)(c + j) % sizeof(vec) == 0)
                store_past_caches(c + j, load(s->room->c + i * COLUMNS + j));
            else
                store_part(c + j, part_of(columns - j), load(s->room->c + i * COLUMNS + j));
}

static void multiply_strip(struct strip *s)
{
    const struct bs_product *p = s->product;
    bool aside = s->end - s->chunk > BLOCK;
    for (int j = 0; j < p->n; j += COLUMNS) {
        int columns = p->n - j < COLUMNS ? p->n - j : COLUMNS;
        if (aside && (s->chunk > 0 || p->beta != 0))
            fetch_aside(s, j, columns);
        for (int step = s->chunk; step < s->end; step += BLOCK) {
            enter_block(s, step);
            multiply_panel(s, j, columns, aside);
        }
        if (aside)
            put_back(s, j, columns);
    }
}

/* Of a chunk of k: all strips. */
static void multiply_chunk(struct strip *s)
{
    const struct bs_product *product = s->product;
    int most_rows = BS_PRODUCT_FLOATS / (s->end - s->chunk);
    most_rows = most_rows < BS_PRODUCT_ROWS ? most_rows : BS_PRODUCT_ROWS;
    int strips = (product->m + most_rows - 1) / most_rows;
    int most = s->plain && product->a_row % SAME_SET == 0 && ROWS > 8 ? ROWS / 2 : ROWS;
    for (int i = 0; i < strips; i++) {
        s->first = (int)((long)product->m * i / strips);
        s->rows = (int)((long)product->m * (i + 1) / strips) - s->first;
        s->panels = (s->rows + most - 1) / most;
        for (int step = s->chunk; step < s->end && !s->plain; step += BLOCK) {
            enter_block(s, step);
            pack_strip(s);
        }
        multiply_strip(s);
    }
}

static void multiply(const struct bs_product *product, struct bs_product_room *room)
{
    struct strip s = {.product = product, .room = room};
    s.plain = product->a_step == 1 && product->n <= FEW_COLUMNS;
    bool large = (size_t)product->m * (size_t)product->n >= LARGE;
    bool by_panel = product->panels || product->b_step == 1;
    int chunk = by_panel && large && !s.plain ? CHUNK : BLOCK;
    for (; s.chunk < product->k; s.chunk += chunk) {
        int left = product->k - s.chunk;
        s.end = s.chunk + (left < chunk ? left : chunk);
        multiply_chunk(&s);
    }
    finish_stores();
}

extern const struct bs_product_loops BS_AT_LEVEL(bs_product_loops);
const struct bs_product_loops BS_AT_LEVEL(bs_product_loops) = {
    .columns = COLUMNS,
    .multiply = multiply,
    .pack = pack,
};
