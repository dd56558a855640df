/* How a sweep is cut into shards: against all cuts there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/run/shard.h"

enum { MOST_UNITS = 9 };

/* A small generator: which units come up does not matter, only that they are many. */
static unsigned next_number(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static struct bs_shards random_units(unsigned *state, struct bs_shard_unit *units)
{
    struct bs_shards shards = {.num_units = 1 + (int)(next_number(state) % MOST_UNITS),
                               .units = units};
    int model = 0, calibration = 0;
    for (int i = 0; i < shards.num_units; i++) {
        if (i && next_number(state) % 4 == 0)
            calibration++;
        if (i && next_number(state) % 6 == 0) {
            model++;
            calibration = 0;
        }
        units[i] = (struct bs_shard_unit){.model = model,
                                          .calibration = calibration,
                                          .recipe = i + 1,
                                          .trials = 1 + (int)(next_number(state) % 3),
                                          .own = next_number(state) % 50,
                                          .common = next_number(state) % 30};
    }
    return shards;
}

/* The least that the costliest of so many pieces costs, by trying every place of the next cut. */
static double least(const struct bs_shards *all, int first, int pieces)
{
    struct bs_shards shards = *all;
    struct bs_shard_unit units[MOST_UNITS];
    shards.units = units;
    double best = -1;
    for (int end = first + 1; end <= all->num_units - (pieces - 1); end++) {
        if (pieces == 1 && end < all->num_units)
            continue;
        for (int i = 0; i < all->num_units; i++) {
            units[i] = all->units[i];
            units[i].shard = i < first ? 1 : i < end ? 2 : 3;
        }
        double cost = bs_shards_load(&shards, 2).flops;
        double rest = pieces > 1 ? least(all, end, pieces - 1) : 0;
        cost = cost > rest ? cost : rest;
        best = best < 0 || cost < best ? cost : best;
    }
    return best;
}

static void test_no_other_cut_is_better(void **state)
{
    (void)state;
    unsigned random = 7;
    for (int turn = 0; turn < 300; turn++) {
        struct bs_shard_unit units[MOST_UNITS];
        struct bs_shards shards = random_units(&random, units);
        int count = 1 + (int)(next_number(&random) % 6);
        int pieces = count < shards.num_units ? count : shards.num_units;
        bs_shards_cut(&shards, count);
        double most = 0;
        int seen = 0;
        for (int k = 1; k <= count; k++) {
            struct bs_shard_load load = bs_shards_load(&shards, k);
            assert_true(k > pieces ? load.units == 0 : load.units > 0);
            most = load.flops > most ? load.flops : most;
            seen += load.units;
        }
        assert_int_equal(seen, shards.num_units); /* they follow one another, each in one shard */
        double best = least(&shards, 0, pieces);
        assert_true(most >= best - 1e-9 && most <= best + 1e-9);
    }
}

static void test_what_a_walk_shares_counts_once(void **state)
{
    (void)state;
    struct bs_shard_unit units[] = {{.recipe = 1, .own = 1, .common = 10},
                                    {.recipe = 2, .own = 2, .common = 12},
                                    {.calibration = 1, .recipe = 1, .own = 3, .common = 5}};
    struct bs_shards shards = {.num_units = 3, .units = units};
    bs_shards_cut(&shards, 2);
    assert_true(bs_shards_flops(&shards) == 1 + 2 + 12 + 3 + 5);
    assert_int_equal(units[1].shard, 1);
    assert_int_equal(units[2].shard, 2);
    assert_true(bs_shards_has(&shards, 1, 0, 0, 0));  /* the unquantized model */
    assert_false(bs_shards_has(&shards, 2, 0, 0, 0)); /* it has nothing of the first calibration */
    assert_true(bs_shards_has(&shards, 2, 0, 1, 1));
    assert_false(bs_shards_has(&shards, 1, 0, 1, 1));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"results/my.h5", "results/my.2-of-8.h5"},
                                           {"my", "my.2-of-8"},
                                           {"a.b/my", "a.b/my.2-of-8"},
                                           {"a.b/.my", "a.b/.my.2-of-8"},
                                           {"v1.5.h5", "v1.5.2-of-8.h5"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = bs_shard_path(names[i][0], (struct bs_shard){2, 8});
        assert_string_equal(path, names[i][1]);
        bs_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_other_cut_is_better),
        cmocka_unit_test(test_what_a_walk_shares_counts_once),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
