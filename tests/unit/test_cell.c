/* Cells: every mode of rounding against its definition, over whole numbers and over tables of many
 * lengths; draws. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/quant/bits.h"
#include "eval/quant/cell.h"
#include "tests/support/random_block.h"

enum { MOST = 300, COUNT = 203 };

static struct bs_rounder rounder_of(enum bs_rounding mode, int seed, uint64_t place)
{
    struct bs_setting setting = {.rounding = (int)mode, .rounding_seed = seed};
    return bs_rounder_of(&setting, place);
}

/* Ascending values of uneven steps, halves of whole numbers. */
static void fill_table(float *values, int count, uint64_t seed)
{
    float next = -(float)count;
    for (int i = 0; i < count; i++) {
        values[i] = next;
        next += 0.5f * (float)(1 + (int)(4 * random_unit(&seed)));
    }
}

/* The nearest code by trying all; of two that are as near, `even` says which. */
static int naive_nearest(const struct bs_cell *cell, float x)
{
    int best = 0;
    double least = INFINITY;
    for (int c = 0; c < cell->levels->count; c++) {
        double apart = fabs((double)bs_cell_decode(cell, c) - (double)x);
        int key = cell->levels->values ? c : cell->first + c; /* ties go to the even one of these */
        if (apart < least || (apart == least && key % 2 == 0)) {
            least = apart;
            best = c;
        }
    }
    return best;
}

/* By the definition: the greatest value that is not above x, or the least that is not below it; the
 * outermost where there is none. */
static float naive_side(const struct bs_cell *cell, float x, bool below)
{
    float best = NAN, least = INFINITY, most = -INFINITY;
    for (int c = 0; c < cell->levels->count; c++) {
        float value = bs_cell_decode(cell, c);
        least = fminf(least, value);
        most = fmaxf(most, value);
        if (below ? value <= x && !(value < best) : value >= x && !(value > best))
            best = value;
    }
    if (isnan(best))
        return below ? least : most;
    return best;
}

/* By the definition: the level with the least distance, of two the one that is farther from 0. */
static int naive_half_away(const struct bs_cell *cell, float x)
{
    float u = (x - cell->shift) / cell->scale, first = cell->zero;
    int best = 0;
    for (int c = 1; c < cell->levels->count; c++) {
        float level = bs_cell_level(cell, c) + first, held = bs_cell_level(cell, best) + first;
        float own = fabsf(u + first - level), least = fabsf(u + first - held);
        if (own < least || (own == least && fabsf(level) > fabsf(held)))
            best = c;
    }
    return best;
}

static void assert_value(const struct bs_cell *cell, float x, uint64_t index)
{
    static const struct bs_rounder nearest = {.mode = BS_NEAREST};
    int code = bs_cell_nearest(cell, x);
    assert_int_equal(code, naive_nearest(cell, x));
    assert_int_equal(bs_cell_encode(cell, nearest, index, x), code);
    float low = naive_side(cell, x, true), high = naive_side(cell, x, false);
    struct bs_rounder away = rounder_of(BS_HALF_AWAY, 1, 2);
    assert_int_equal(bs_cell_encode(cell, away, index, x), naive_half_away(cell, x));
    for (int mode = BS_FLOOR; mode <= BS_STOCHASTIC; mode++) {
        struct bs_rounder rounder = rounder_of((enum bs_rounding)mode, 1, 2);
        float value = bs_cell_decode(cell, bs_cell_encode(cell, rounder, index, x));
        if (mode == BS_FLOOR)
            assert_true(value == low);
        if (mode == BS_CEIL)
            assert_true(value == high);
        if (mode == BS_TRUNCATE)
            assert_true(value == (x < 0 ? high : low));
        if (mode == BS_STOCHASTIC)
            assert_true(value == low || value == high);
    }
}

/* Quarters, so that every quotient is exact and ties are ties, from below the levels to above
 * them. */
static void assert_cell(const struct bs_cell *cell)
{
    float x[COUNT], rounded[COUNT];
    float first = bs_cell_decode(cell, 0), last = bs_cell_decode(cell, cell->levels->count - 1);
    float low = fminf(first, last) - 2, step = (fabsf(last - first) + 4) / COUNT;
    for (int i = 0; i < COUNT; i++) {
        x[i] = rintf(4 * (low + step * (float)i)) / 4;
        assert_value(cell, x[i], (uint64_t)i);
    }
    for (int c = 0; c < cell->levels->count; c++)
        for (int mode = BS_NEAREST; mode <= BS_STOCHASTIC; mode++)
            assert_int_equal(bs_cell_encode(cell, rounder_of((enum bs_rounding)mode, 3, 4), 5,
                                            bs_cell_decode(cell, c)),
                             c);
    x[7] = NAN;
    x[8] = INFINITY;
    x[9] = -INFINITY;
    for (int mode = BS_NEAREST; mode <= BS_STOCHASTIC; mode++) {
        struct bs_rounder rounder = rounder_of((enum bs_rounding)mode, 1, 2);
        memcpy(rounded, x, sizeof rounded);
        bs_cell_round(cell, rounder, 100, rounded, COUNT);
        for (int i = 0; i < COUNT; i++) {
            int code = bs_cell_encode(cell, rounder, 100 + (uint64_t)i, x[i]);
            assert_in_range(code, 0, cell->levels->count - 1);
            assert_true(isnan(x[i]) ? isnan(rounded[i]) : rounded[i] == bs_cell_decode(cell, code));
        }
    }
}

static void values_go_where_each_mode_says(void **state)
{
    (void)state;
    static const float scales[] = {1, 0.5f, 2, -1, -0.25f}, shifts[] = {0, 0.75f, -3};
    static const int counts[] = {2, 3, 4, 5, 8, 15, 16, 17, 31, 64, 256, 300};
    static float values[MOST];
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (int s = 0; s < 5; s++)
            for (int t = 0; t < 3; t++) {
                const struct bs_levels whole = {.count = counts[n]};
                const struct bs_levels table = {.count = counts[n], .values = values};
                fill_table(values, counts[n], (uint64_t)counts[n]);
                struct bs_cell cell = {.levels = &whole,
                                       .first = -counts[n] / 3,
                                       .scale = scales[s],
                                       .shift = shifts[t]};
                assert_cell(&cell);
                cell.levels = &table;
                assert_cell(&cell);
            }
}

/* How many ends u is past, each looked at: by its bound, and of a tie by the rule. A bound that is
 * rounded to a level, where no float lies between both, belongs to that level. */
static int linear_code(const struct bs_levels *levels, float u)
{
    int code = 0;
    for (int k = 0; k + 1 < levels->count; k++) {
        float low = levels->values[k], high = levels->values[k + 1];
        float bound = levels->bounds ? levels->bounds[k] : 0.5f * low + 0.5f * high;
        bool up = levels->ties == BS_TIES_EVEN      ? k % 2
                  : levels->ties == BS_TIES_INWARD  ? bound < 0
                  : levels->ties == BS_TIES_OUTWARD ? bound >= 0
                                                    : false;
        up = bound == high || (up && bound != low);
        code += u > bound || (up && u == bound);
    }
    return code;
}

/* Codes and rounded values of many at once are those of each by itself, at every level of
 * instructions; of a scale of 1 and no shift they are by linear_code. */
static void assert_many(const struct bs_cell *cell, const float *x, int count)
{
    enum { MOST_VALUES = 8 * BS_MOST_INDEXED };
    static float rounded[MOST_VALUES];
    static uint8_t codes[MOST_VALUES];
    bool plain = cell->scale == 1 && cell->shift == 0;
    enum bs_isa used = bs_isa();
    assert_in_range(count, 1, MOST_VALUES);
    for (int level = 0; level < BS_NUM_ISA; level++) {
        if (!bs_isa_use((enum bs_isa)level))
            continue;
        bs_cell_encode_all(cell, x, (size_t)count, false, codes);
        memcpy(rounded, x, (size_t)count * sizeof *x);
        bs_cell_round(cell, (struct bs_rounder){.mode = BS_NEAREST}, 0, rounded, (size_t)count);
        for (int i = 0; i < count; i++) {
            int code = linear_code(cell->levels, bs_cell_position(cell, x[i]));
            assert_int_equal(bs_cell_nearest(cell, x[i]), code);
            assert_int_equal(codes[i], code);
            float want = isnan(x[i]) ? x[i] : bs_cell_decode(cell, code);
            assert_memory_equal(&rounded[i], &want, sizeof want);
            assert_true(!plain || isnan(x[i]) || rounded[i] == cell->levels->values[code]);
        }
    }
    assert_true(bs_isa_use(used));
}

/* The ends of all levels and the floats beside them, levels, what lies beyond and between, and what
 * is no number; returns how many. */
static int fill_trials(const struct bs_levels *table, float *x)
{
    static const float others[] = {NAN,      -NAN,     INFINITY, -INFINITY, 0.0f,   -0.0f,
                                   FLT_MAX,  -FLT_MAX, FLT_MIN,  -FLT_MIN,  1e-45f, -1e-45f,
                                   0x1p-20f, -1.0f,    1e6f,     -1e6f};
    int count = 0;
    for (int k = 0; k < table->count; k++) {
        x[count++] = table->values[k];
        if (k + 1 == table->count)
            break;
        float bound = bs_levels_bound(table, k);
        x[count++] = bound;
        x[count++] = nextafterf(bound, INFINITY);
        x[count++] = nextafterf(bound, -INFINITY);
        x[count++] = 0.7f * table->values[k] + 0.3f * table->values[k + 1];
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        x[count++] = others[k];
    return count;
}

/* Many values at once have the codes that each has by itself, by any table and rule for ties. */
static void many_are_as_each(void **state)
{
    (void)state;
    enum { TABLES = 13 };
    static const int counts[TABLES] = {2, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 255, 256};
    static float values[MOST], x[8 * BS_MOST_INDEXED], scaled[8 * BS_MOST_INDEXED];
    static struct bs_level_index index;
    for (int n = 0; n < TABLES; n++)
        for (int ties = BS_TIES_EVEN; ties <= BS_TIES_DOWN; ties++)
            for (int indexed = 0; indexed < 2; indexed++) {
                struct bs_levels table = {
                    .count = counts[n], .values = values, .ties = (enum bs_ties)ties};
                const struct bs_cell cell = {
                    .levels = &table, .scale = 0.5f, .shift = ties ? 0 : 1};
                fill_table(values, counts[n], (uint64_t)counts[n]);
                bs_levels_index(&table, &index);
                table.index = indexed ? &index : NULL;
                int count = fill_trials(&table, x);
                for (int i = 0; i < count; i++)
                    scaled[i] = 0.5f * x[i] + cell.shift;
                assert_many(&cell, scaled, count - ties); /* of several remainders */
            }
}

enum spacing { EQUAL, GROWING, UNEVEN, NORMAL, CLUSTERED, FAR_OFF, ADJACENT, EXTREME, SPACINGS };

static float drawn_level(enum spacing spacing, int k, int count, uint64_t *seed)
{
    float unit = (float)random_unit(seed), part = (float)k / (float)count;
    switch (spacing) {
    case EQUAL:
        return (float)k - 0.37f * (float)count;
    case GROWING: /* by a factor, to both sides of zero */
        return (k % 2 ? -1.0f : 1.0f) * exp2f(-40 * part);
    case UNEVEN:
        return unit;
    case NORMAL:
        return random_normal(seed);
    case CLUSTERED:
        return (float)(k % 5) - 2 + 1e-4f * unit;
    case FAR_OFF:
        return -1000 + part;
    case ADJACENT:
        return bs_float_of_bits(bs_bits_of_float(0.9f) + (uint32_t)(2 * k + (unit < 0.5f)));
    case EXTREME: /* of any exponent, subnormal ones too */
        return bs_float_of_bits((uint32_t)(unit * (float)0xff000000u) ^ (uint32_t)k << 31);
    case SPACINGS:
        break;
    }
    return 0;
}

static int compare_floats(const void *one, const void *two)
{
    float a = *(const float *)one, b = *(const float *)two;
    return (a > b) - (a < b);
}

/* A table of at most `count` levels, each once; returns how many. */
static int draw_table(enum spacing spacing, int count, float *values, uint64_t *seed)
{
    for (int k = 0; k < count; k++)
        values[k] = drawn_level(spacing, k, count, seed);
    for (int k = 0; k < count; k++)
        values[k] = isfinite(values[k]) ? values[k] : (float)k;
    qsort(values, (size_t)count, sizeof *values, compare_floats);
    int kept = 1;
    for (int k = 1; k < count; k++)
        if (values[k] > values[kept - 1])
            values[kept++] = values[k];
    return kept;
}

static void an_index_finds_what_looking_at_all_levels_does(void **state)
{
    (void)state;
    enum { DRAWS = 25 };
    static float values[BS_MOST_INDEXED], x[8 * BS_MOST_INDEXED];
    static struct bs_level_index index;
    uint64_t seed = 77;
    for (int spacing = EQUAL; spacing < SPACINGS; spacing++)
        for (int draw = 0; draw < DRAWS; draw++) {
            int size = draw < 2 ? 2 + draw : 2 + (int)(255 * random_unit(&seed));
            size = draw == 2 ? BS_MOST_INDEXED : size;
            int count = draw_table((enum spacing)spacing, size, values, &seed);
            if (count < 2)
                continue;
            struct bs_levels table = {
                .count = count, .values = values, .ties = (enum bs_ties)(draw % 4)};
            const struct bs_cell cell = {.levels = &table, .scale = 1};
            bs_levels_index(&table, &index);
            table.index = &index;
            assert_many(&cell, x, fill_trials(&table, x));
            for (int k = 0; k < count; k++)
                assert_int_equal(bs_levels_code(&table, values[k]), k);
        }
}

/* One of every table of the kinds that formats have, two where levels fall as they may. */
static void an_index_leaves_few_steps(void **state)
{
    (void)state;
    static const int most[SPACINGS] = {
        [EQUAL] = 1, [GROWING] = 1, [UNEVEN] = 2, [NORMAL] = 2, [FAR_OFF] = 1};
    static float values[BS_MOST_INDEXED];
    static struct bs_level_index index;
    for (int spacing = EQUAL; spacing < SPACINGS; spacing++)
        for (int size = 2; most[spacing] && size <= BS_MOST_INDEXED; size *= 2) {
            uint64_t seed = 5;
            struct bs_levels table = {.values = values};
            table.count = draw_table((enum spacing)spacing, size, values, &seed);
            bs_levels_index(&table, &index);
            assert_in_range(index.steps, 1, most[spacing]);
        }
}

static void a_negative_zero_stays_one(void **state)
{
    (void)state;
    const struct bs_levels whole = {.count = 16};
    const struct bs_cell cell = {.levels = &whole, .first = -8, .scale = 0.5f};
    float x[] = {-0.1f, -0.0f, 0.1f};
    bs_cell_round(&cell, (struct bs_rounder){.mode = BS_NEAREST}, 0, x, 3);
    assert_true(x[0] == 0 && signbit(x[0]) && signbit(x[1]) && !signbit(x[2]));
}

static void stochastic_rounding_has_no_bias(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    static const float table[] = {-1, -0.4f, 0.1f, 0.35f, 2};
    const struct bs_levels whole = {.count = 8}, uneven = {.count = 5, .values = table};
    static const float values[] = {-0.9f, -0.41f, -0.01f, 0.05f, 0.2f, 0.36f, 1.3f, 1.99f};
    for (int t = 0; t < 2; t++) {
        const struct bs_cell cell = {
            .levels = t ? &uneven : &whole, .first = -4, .scale = t ? 1 : 0.7f, .shift = 0.02f};
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            struct bs_rounder rounder = rounder_of(BS_STOCHASTIC, 7, v);
            double sum = 0, squares = 0;
            for (uint64_t i = 0; i < DRAWS; i++) {
                double got =
                    (double)bs_cell_decode(&cell, bs_cell_encode(&cell, rounder, i, values[v]));
                sum += got;
                squares += got * got;
            }
            double mean = sum / DRAWS, spread = sqrt((squares / DRAWS - mean * mean) / DRAWS);
            assert_true(fabs(mean - (double)values[v]) < 5 * spread + 1e-6);
        }
    }
}

/* A draw is the same whenever, and with whatever else, it is made; another for another key. */
static void draws_are_keyed(void **state)
{
    (void)state;
    enum { PARTS = 7 };
    const struct bs_levels whole = {.count = 256};
    const struct bs_cell cell = {.levels = &whole, .first = -128, .scale = 0.1f};
    float x[COUNT], all[COUNT], parts[COUNT], other[COUNT];
    random_fill(x, COUNT, 1, 3);
    const struct bs_rounder rounder = rounder_of(BS_STOCHASTIC, 5, 11);
    memcpy(all, x, sizeof x);
    memcpy(parts, x, sizeof x);
    bs_cell_round(&cell, rounder, 1000, all, COUNT);
    for (int end = COUNT; end > 0; end -= PARTS) { /* from the last part to the first */
        int start = end > PARTS ? end - PARTS : 0;
        bs_cell_round(&cell, rounder, 1000 + (uint64_t)start, parts + start, (size_t)(end - start));
    }
    assert_memory_equal(all, parts, sizeof all);
    const struct bs_rounder others[] = {rounder_of(BS_STOCHASTIC, 6, 11),
                                        rounder_of(BS_STOCHASTIC, 5, 12), rounder};
    for (int k = 0; k < 3; k++) {
        int different = 0;
        memcpy(other, x, sizeof x);
        bs_cell_round(&cell, others[k], k == 2 ? 1001 : 1000, other, COUNT);
        for (int i = 0; i < COUNT; i++)
            different += other[i] != all[i];
        assert_in_range(different, COUNT / 10, COUNT);
    }
    assert_true(bs_draw_place(1, false, 2) != bs_draw_place(1, true, 2));
    assert_true(bs_draw_place(1, false, 2) != bs_draw_place(2, false, 1));
}

static void draws_are_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 100000, BINS = 16 };
    int bins[BINS] = {0};
    struct bs_rounder rounder = rounder_of(BS_STOCHASTIC, 0, 0);
    double products = 0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        float draw = bs_draw(rounder.key, i), next = bs_draw(rounder.key, i + 1);
        assert_true(draw >= 0 && draw < 1);
        bins[(int)(draw * BINS)]++;
        products += ((double)draw - 0.5) * ((double)next - 0.5);
    }
    for (int b = 0; b < BINS; b++)
        assert_in_range(bins[b], DRAWS / BINS - 500, DRAWS / BINS + 500);
    assert_true(fabs(products / DRAWS) < 5.0 / 12 / sqrt(DRAWS));
}

static void bits_come_back_as_they_were_put(void **state)
{
    (void)state;
    unsigned char bytes[4096] = {0};
    struct bs_bits to = {.bytes = bytes}, from = to;
    uint64_t seed = 2;
    for (int k = 0; k < 500; k++) {
        int count = k % 33;
        bs_bits_put(&to, (uint32_t)(random_unit(&seed) * 4e9f), count);
    }
    seed = 2;
    for (int k = 0; k < 500; k++) {
        int count = k % 33;
        uint32_t put = (uint32_t)(random_unit(&seed) * 4e9f);
        uint32_t mask = count == 32 ? ~0u : (1u << count) - 1;
        assert_int_equal(bs_bits_get(&from, count), put & mask);
    }
    assert_int_equal(from.at, to.at);
}

static void halves_are_the_nearest(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float value = bs_half_value((uint16_t)half), next = bs_half_value((uint16_t)(half + 1));
        assert_int_equal(bs_half_of(value), half);
        assert_int_equal(bs_half_of(-value), half | 0x8000);
        if (half + 1 == 0x7c00)
            break;
        assert_true(next > value);
        float middle = 0.5f * value + 0.5f * next;
        assert_int_equal(bs_half_of(middle), half + half % 2); /* a tie goes to the even one */
        assert_int_equal(bs_half_of(nextafterf(middle, 0)), half);
        assert_int_equal(bs_half_of(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_true(bs_half_value(0x3c00) == 1 && bs_half_value(1) == 0x1p-24f);
    assert_true(bs_half_value(0x7bff) == 65504);
    assert_int_equal(bs_half_of(65519), 0x7bff);
    assert_int_equal(bs_half_of(65520), 0x7c00);
    assert_true(isinf(bs_half_value(bs_half_of(-INFINITY))));
    assert_true(isnan(bs_half_value(bs_half_of(NAN))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_where_each_mode_says),
        cmocka_unit_test(many_are_as_each),
        cmocka_unit_test(an_index_finds_what_looking_at_all_levels_does),
        cmocka_unit_test(an_index_leaves_few_steps),
        cmocka_unit_test(a_negative_zero_stays_one),
        cmocka_unit_test(stochastic_rounding_has_no_bias),
        cmocka_unit_test(draws_are_keyed),
        cmocka_unit_test(draws_are_uniform),
        cmocka_unit_test(bits_come_back_as_they_were_put),
        cmocka_unit_test(halves_are_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
