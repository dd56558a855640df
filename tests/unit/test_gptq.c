/* GPTQ on one linear with a Hessian at hand: against round-to-nearest where both must agree,
 * against the paper's recursion done the slow way, and by its own objective. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "algorithms/factor.h"
#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/linalg/blas.h"
#include "eval/linalg/vector.h"
#include "tests/support/close.h"
#include "tests/support/naive.h"
#include "tests/support/one_linear.h"
#include "tests/support/random_block.h"
#include "tests/support/recipes.h"
#include "tests/support/settings.h"

static void solve(struct problem *p, const char *settings) { solve_by(p, "gptq", settings); }

static enum bs_status try_solve(struct problem *p, const char *settings, struct bs_error *err)
{
    recipe_build(&p->recipe, "gptq", settings);
    return try_quantize(p, err);
}

static void round_to_nearest(const struct problem *p, struct bs_codes *codes, float *decoded)
{
    struct bs_error err;
    assert_int_equal(bs_codes_init(codes, &p->recipe.weights, 0, OUT, IN, &err), BS_OK);
    assert_int_equal(bs_codes_round(codes, p->original, NULL, &err), BS_OK);
    bs_codes_decode(codes, decoded);
}

static void a_diagonal_hessian_leaves_nothing_to_correct(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "bits=2",
        "bits=3 symmetric=true",
        "bits=4 group_size=tensor",
        "bits=4 group_size=16 block_size=8",
        "bits=8 group_size=7 percdamp=1",
        "bits=3 group_size=16 static_groups=true act_order=true",
        "bits=3 act_order=true block_size=3",
        "bits=4 range=mse grid=awq",
    };
    static struct problem p;
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        struct bs_codes codes;
        static float nearest[OUT * IN];
        problem_init(&p, k);
        uint64_t seed = k;
        for (int i = 0; i < IN * IN; i++)
            p.hessian[i] = i % (IN + 1) ? 0 : k == 0 ? 1 : 0.1f + random_unit(&seed);
        solve(&p, settings[k]);
        round_to_nearest(&p, &codes, nearest);
        const struct bs_codes *got = &linear_of(&p)->codes;
        assert_true(same_codes(got, &codes));
        assert_memory_equal(p.decoded, nearest, sizeof nearest);
        assert_int_equal(linear_of(&p)->dead_columns, 0);
        assert_false(linear_of(&p)->fallback);
        bs_codes_release(&codes);
        problem_release(&p);
    }
}

/* The recursion of the paper, equations 2 and 3, in double: for each column in its order, with the
 * inverse of H over the columns that are left,
 *   delta = -(w - quantize(w)) / [H^-1]_00 * [H^-1]_0. */
struct twin {
    double percdamp;
    int block_size, group_size; /* group_size 0 = a row */
    bool act_order, static_groups;
    double hessian[IN * IN], weight[OUT * IN];
    float outer[OUT * IN]; /* the weights as they were when the lazy block began */
    int order[IN];
    struct bs_cell params[OUT][IN]; /* of the column processed i-th */
    uint8_t codes[OUT * IN];
};

/* The damped H; columns ranked by its diagonal before damping, of equals the first one first. */
static void twin_order(struct twin *twin, const struct problem *p)
{
    double mean = 0;
    for (int i = 0; i < IN; i++) {
        int rank = i;
        for (int j = 0; j < IN && twin->act_order; j++) {
            float own = p->hessian[i * IN + i], other = p->hessian[j * IN + j];
            rank += j < i ? -(own > other) : other > own;
        }
        twin->order[rank] = i;
        mean += (double)p->hessian[i * IN + i] / IN;
    }
    for (int i = 0; i < IN * IN; i++)
        twin->hessian[i] = (double)p->hessian[i] + (i % (IN + 1) ? 0 : twin->percdamp * mean);
}

/* The grid of the columns first .. first + count - 1 in the order, or in their own order. */
static struct bs_cell twin_fit(const struct twin *twin, const struct bs_setting *format,
                               const float *row, int first, int count, bool own_order)
{
    float x[IN];
    for (int j = 0; j < count; j++)
        x[j] = row[own_order ? first + j : twin->order[first + j]];
    return cell_of_values(format, x, (size_t)count);
}

static struct bs_cell twin_params(struct twin *twin, const struct problem *p, int r, int i)
{
    const struct bs_setting *format = &p->recipe.weights;
    int size = twin->group_size;
    if (!size)
        return twin_fit(twin, format, p->original + r * IN, 0, IN, true);
    if (twin->static_groups) {
        int first = twin->order[i] / size * size, count = IN - first < size ? IN - first : size;
        return twin_fit(twin, format, p->original + r * IN, first, count, true);
    }
    if (i % size)
        return twin->params[r][i - 1];
    int count = IN - i < size ? IN - i : size;
    return twin_fit(twin, format, twin->outer + r * IN, i, count, false);
}

static void twin_column(struct twin *twin, const struct problem *p, int i)
{
    static double inverse[IN * IN];
    int left = IN - i;
    for (int a = 0; a < left; a++)
        for (int b = 0; b < left; b++)
            inverse[a * left + b] = twin->hessian[twin->order[i + a] * IN + twin->order[i + b]];
    naive_invert(inverse, left);
    if (i % twin->block_size == 0)
        for (int k = 0; k < OUT * IN; k++)
            twin->outer[k] = (float)twin->weight[k];
    for (int r = 0; r < OUT; r++) {
        int at = r * IN + twin->order[i];
        struct bs_cell cell = twin->params[r][i] = twin_params(twin, p, r, i);
        int code = bs_cell_nearest(&cell, (float)twin->weight[at]);
        double error = twin->weight[at] - (double)bs_cell_decode(&cell, code);
        twin->codes[at] = (uint8_t)code;
        for (int j = 0; j < left; j++)
            twin->weight[r * IN + twin->order[i + j]] -= error / inverse[0] * inverse[j];
    }
}

/* Solves with both and compares every row whose rounding decisions agree: nearly all. */
static void assert_like_twin(struct problem *p, struct twin *twin, const char *settings)
{
    solve(p, settings);
    struct bs_code_layout layout = bs_setting_layout(&p->recipe.weights);
    twin->group_size = layout.by_columns ? layout.group : 0;
    twin_order(twin, p);
    for (int i = 0; i < OUT * IN; i++)
        twin->weight[i] = (double)p->original[i];
    for (int i = 0; i < IN; i++)
        twin_column(twin, p, i);
    const struct bs_codes *got = &linear_of(p)->codes;
    int agree = 0;
    for (int r = 0; r < OUT; r++) {
        if (memcmp((const uint8_t *)got->codes + r * IN, twin->codes + r * IN, IN))
            continue;
        agree++;
        for (int i = 0; i < IN; i++) {
            int column = twin->order[i];
            assert_close((double)bs_codes_cell(got, r, bs_codes_group(got, column)).scale,
                         (double)twin->params[r][i].scale, 0, 1e-4);
        }
    }
    assert_in_range(agree, OUT - OUT / 10, OUT);
    assert_close(linear_of(p)->damping, twin->percdamp, 0, 0);
    problem_release(p);
}

static void rows_follow_the_papers_recursion(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        double percdamp;
        int block_size;
        bool act_order, static_groups;
    } cases[] = {
        {"bits=4", 0.01, 128, false, false},
        {"bits=2 block_size=7 percdamp=0.1", 0.1, 7, false, false},
        {"bits=3 symmetric=true act_order=true", 0.01, 128, true, false},
        {"bits=3 act_order=true block_size=5", 0.01, 5, true, false},
        /* groups as long as a lazy block, or longer: fitted on weights that are up to date */
        {"bits=3 group_size=8 block_size=8", 0.01, 8, false, false},
        {"bits=3 group_size=16 block_size=8", 0.01, 8, false, false},
        /* shorter groups: all but a block's first are fitted on weights of the block's beginning */
        {"bits=3 group_size=8 block_size=16", 0.01, 16, false, false},
        {"bits=4 group_size=8", 0.01, 128, false, false},
        {"bits=3 group_size=12 block_size=16 symmetric=true", 0.01, 16, false, false},
        /* in the order of processing, or each column in the group where it stands */
        {"bits=3 group_size=8 act_order=true block_size=16", 0.01, 16, true, false},
        {"bits=3 group_size=12 act_order=true static_groups=true", 0.01, 128, true, true},
        {"bits=3 group_size=12 static_groups=true block_size=8", 0.01, 8, false, true},
        {"bits=3 group_size=100", 0.01, 128, false, false},
    };
    static struct problem p;
    static struct twin twin;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        problem_init(&p, 10 + k);
        memset(&twin, 0, sizeof twin);
        twin.percdamp = cases[k].percdamp;
        twin.block_size = cases[k].block_size;
        twin.act_order = cases[k].act_order;
        twin.static_groups = cases[k].static_groups;
        assert_like_twin(&p, &twin, cases[k].settings);
    }
}

static void groups_within_a_block_are_fitted_on_stale_weights(void **state)
{
    (void)state;
    static struct problem p;
    static float fresh[OUT], stale[OUT], plain[OUT];
    problem_init(&p, 3);
    solve(&p, "bits=3 group_size=8 block_size=8");
    for (int r = 0; r < OUT; r++)
        fresh[r] = bs_codes_cell(&linear_of(&p)->codes, r, 1).scale;
    problem_release(&p);
    solve(&p, "bits=3 group_size=8 block_size=128");
    for (int r = 0; r < OUT; r++) {
        stale[r] = bs_codes_cell(&linear_of(&p)->codes, r, 1).scale;
        plain[r] = cell_of_values(&p.recipe.weights, p.original + r * IN + 8, 8).scale;
    }
    problem_release(&p);
    assert_memory_equal(stale, plain, sizeof stale); /* the block is the whole row */
    assert_memory_not_equal(fresh, stale, sizeof stale);
}

static void it_does_no_worse_than_rounding_by_its_objective(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=2",
                                           "bits=3",
                                           "bits=4",
                                           "bits=3 group_size=8",
                                           "bits=4 symmetric=true act_order=true",
                                           "bits=3 group_size=8 act_order=true",
                                           "bits=8 group_size=tensor"};
    static struct problem p;
    static float nearest[OUT * IN];
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            struct bs_codes codes;
            problem_init(&p, 100 + seed);
            solve(&p, settings[k]);
            round_to_nearest(&p, &codes, nearest);
            double got = objective(&p, p.decoded), rtn = objective(&p, nearest);
            assert_true(got < 0.9 * rtn);
            bs_codes_release(&codes);
            problem_release(&p);
        }
}

static void the_lazy_block_does_not_matter_to_channel_grids(void **state)
{
    (void)state;
    static const char *const settings[] = {"bits=3 block_size=1", "bits=3 block_size=7",
                                           "bits=3 block_size=39", "bits=3 block_size=65536"};
    static struct problem p;
    static uint8_t want[OUT * IN];
    problem_init(&p, 4);
    solve(&p, "bits=3 block_size=40");
    memcpy(want, linear_of(&p)->codes.codes, sizeof want);
    double error = objective(&p, p.decoded);
    problem_release(&p);
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        int differ = 0;
        solve(&p, settings[k]);
        for (int i = 0; i < OUT * IN; i++)
            differ += bs_codes_get(&linear_of(&p)->codes, i / IN, i % IN) != want[i];
        assert_in_range(differ, 0, OUT * IN / 50);
        assert_close(objective(&p, p.decoded), error, 0, 0.02);
        problem_release(&p);
    }
}

/* Columns 5 and 17 see no input, and hold the largest weights. */
static void make_dead_columns(struct problem *p)
{
    for (int r = 0; r < OUT; r++) {
        p->original[r * IN + 5] = 20;
        p->original[r * IN + 17] = -30;
    }
    for (int i = 0; i < IN; i++)
        p->hessian[i * IN + 5] = p->hessian[5 * IN + i] = p->hessian[i * IN + 17] =
            p->hessian[17 * IN + i] = 0;
}

static void dead_columns_become_zero_and_are_counted(void **state)
{
    (void)state;
    static const char *const settings[] = {
        "bits=4", "bits=4 group_size=tensor", "bits=4 group_size=8",
        "bits=4 group_size=8 static_groups=true", "bits=4 act_order=true"};
    static struct problem p;
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        problem_init(&p, 5);
        make_dead_columns(&p);
        solve(&p, settings[k]);
        assert_int_equal(linear_of(&p)->dead_columns, 2);
        for (int r = 0; r < OUT; r++) {
            assert_true(p.decoded[r * IN + 5] == 0 && p.decoded[r * IN + 17] == 0);
            /* Channel and tensor grids were fitted before, group grids after. */
            float scale = bs_codes_cell(&linear_of(&p)->codes, r, 0).scale;
            bool whole = !bs_setting_layout(&p.recipe.weights).by_columns;
            assert_true(whole ? scale == 50.0f / 15 : scale < 1);
        }
        problem_release(&p);
    }
}

static void act_order_ranks_columns_and_records_their_groups(void **state)
{
    (void)state;
    static struct problem p;
    problem_init(&p, 6);
    memset(p.hessian, 0, sizeof p.hessian);
    for (int i = 0; i < IN; i++) /* falling, 0.1 * 40 to 0.1 */
        p.hessian[i * IN + i] = 0.1f * (float)(IN - i);
    p.hessian[35 * IN + 35] = 9;    /* first */
    p.hessian[20 * IN + 20] = 9;    /* as large and before it */
    p.hessian[2 * IN + 2] = 0;      /* dead: ranks as 1, after columns 0 to 29 and before 31 */
    p.hessian[30 * IN + 30] = 1.0f; /* the same value; column 2 stands before it */
    solve(&p, "bits=4 group_size=1 act_order=true");
    const int *rank = linear_of(&p)->codes.group_index;
    assert_non_null(rank);
    assert_int_equal(rank[20], 0);
    assert_int_equal(rank[35], 1);
    assert_int_equal(rank[0], 2);
    assert_int_equal(rank[1], 3);
    assert_int_equal(rank[3], 4);
    assert_int_equal(rank[29], 29);
    assert_int_equal(rank[2], 30);
    assert_int_equal(rank[30], 31);
    assert_int_equal(rank[31], 32);
    assert_int_equal(rank[39], 39);
    problem_release(&p);
    solve(&p, "bits=4 group_size=8 act_order=true");
    rank = linear_of(&p)->codes.group_index;
    assert_true(rank[20] == 0 && rank[35] == 0 && rank[6] == 0 && rank[7] == 1 && rank[39] == 4);
    problem_release(&p);
    /* Elsewhere a column's group is where it stands. */
    static const char *const plain[] = {"bits=4 act_order=true", "bits=4 group_size=8",
                                        "bits=4 group_size=8 act_order=true static_groups=true"};
    for (int k = 0; k < 3; k++) {
        solve(&p, plain[k]);
        assert_null(linear_of(&p)->codes.group_index);
        problem_release(&p);
    }
}

/* Not positive definite: its eigenvalues are 0.5 + 39 * 0.9 and 0.5 - 0.9. */
static void make_indefinite(struct problem *p)
{
    for (int i = 0; i < IN * IN; i++)
        p->hessian[i] = i % (IN + 1) ? 0.9f : 0.5f;
}

static void damping_grows_until_the_factorisation_holds(void **state)
{
    (void)state;
    static struct problem p;
    static const char *const settings[] = {"bits=4", "bits=4 percdamp=0", "bits=4 percdamp=0.5"};
    /* More than 0.4 is needed, and the mean of the diagonal is 0.5: 0.8. */
    static const double held[] = {1, 1, 5};
    for (int k = 0; k < 3; k++) {
        problem_init(&p, 7);
        make_indefinite(&p);
        solve(&p, settings[k]);
        assert_true(linear_of(&p)->fallback);
        assert_close(linear_of(&p)->damping, held[k], 0, 1e-12);
        assert_int_equal(bs_first_not_finite(p.decoded, OUT * IN), OUT * IN);
        problem_release(&p);
    }
    solve(&p, "bits=4 percdamp=1");
    assert_false(linear_of(&p)->fallback);
    problem_release(&p);
}

static void a_hessian_that_cannot_be_factorised_is_an_error(void **state)
{
    (void)state;
    struct bs_error err;
    static struct problem p;
    problem_init(&p, 8);
    p.hessian[3 * IN + 3] = NAN;
    assert_int_equal(try_solve(&p, "bits=4", &err), BS_ENUMERIC);
    assert_non_null(strstr(err.message, "not finite"));
    problem_release(&p);
    for (int i = 0; i < IN * IN; i++)
        p.hessian[i] = i % (IN + 1) ? 0 : -1;
    assert_int_equal(try_solve(&p, "bits=4", &err), BS_ENUMERIC);
    assert_non_null(strstr(err.message, "damping"));
    problem_release(&p);
}

static void threads_do_not_change_a_byte(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 7};
    static struct problem p;
    static float first[OUT * IN];
    problem_init(&p, 9);
    for (int t = 0; t < 3; t++) {
        bs_set_threads(threads[t]);
        solve(&p, "bits=3 group_size=8 act_order=true block_size=16");
        if (t == 0)
            memcpy(first, p.decoded, sizeof first);
        assert_memory_equal(p.decoded, first, sizeof first);
        problem_release(&p);
    }
    bs_set_threads(0);
}

/* A second linear on the same statistics, and a second trial. */
static void one_factor_serves_all_that_ask_for_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *settings;
        int factors; /* made by then */
    } cases[] = {{"bits=3", 1},
                 {"bits=2 group_size=8 block_size=16", 1},
                 {"bits=3 act_order=true", 2},
                 {"bits=3 percdamp=0.1", 3},
                 {"bits=4 group_size=8 static_groups=true act_order=true", 3},
                 {"bits=3", 3}};
    static struct problem shared, alone;
    problem_init(&shared, 11);
    for (int j = 0; j < IN; j++) /* a dead channel */
        shared.hessian[5 * IN + j] = shared.hessian[j * IN + 5] = 0;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        solve(&shared, cases[k].settings);
        int factors = 0;
        for (const struct bs_derived *d = shared.collected[0].derived; d; d = d->next)
            factors++;
        assert_int_equal(factors, cases[k].factors);
        problem_init(&alone, 11);
        memcpy(alone.hessian, shared.hessian, sizeof alone.hessian);
        solve(&alone, cases[k].settings);
        assert_memory_equal(shared.decoded, alone.decoded, sizeof alone.decoded);
        assert_int_equal(linear_of(&shared)->dead_columns, 1);
        assert_true(linear_of(&shared)->damping == linear_of(&alone)->damping);
        problem_release(&alone);
        bs_codes_release(&shared.block.linears[SLOT_Q].codes);
        bs_recipe_release(&shared.recipe);
    }
    bs_derived_release(&shared.statistics, SET);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct bs_error err;
    static struct problem p;
    problem_init(&p, 9);
    for (long n = 1;; n++) {
        recipe_build(&p.recipe, "gptq", "bits=3 group_size=8 act_order=true");
        bs_alloc_fail_at(n);
        enum bs_status status = try_quantize(&p, &err);
        long made = bs_alloc_fail_at(0);
        problem_release(&p);
        if (!status) {
            assert_true(made < n && n > 10);
            break;
        }
        assert_int_equal(status, BS_ENOMEM);
    }
}

static void static_groups_need_groups(void **state)
{
    (void)state;
    struct bs_error err;
    static const char *const settings[] = {"bits=4 static_groups=true",
                                           "bits=4 static_groups=true group_size=tensor",
                                           "bits=4 static_groups=true group_size=8"};
    for (int k = 0; k < 3; k++) {
        struct bs_recipe recipe;
        recipe_build_unresolved(&recipe, "gptq", settings[k]);
        assert_int_equal(bs_recipe_resolve(&recipe, &err), k < 2 ? BS_ECONFIG : BS_OK);
        assert_true(k == 2 || strstr(err.message, "group_size"));
        bs_recipe_release(&recipe);
    }
}

static int setup(void **state)
{
    (void)state;
    bs_blas_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diagonal_hessian_leaves_nothing_to_correct),
        cmocka_unit_test(rows_follow_the_papers_recursion),
        cmocka_unit_test(groups_within_a_block_are_fitted_on_stale_weights),
        cmocka_unit_test(it_does_no_worse_than_rounding_by_its_objective),
        cmocka_unit_test(the_lazy_block_does_not_matter_to_channel_grids),
        cmocka_unit_test(dead_columns_become_zero_and_are_counted),
        cmocka_unit_test(act_order_ranks_columns_and_records_their_groups),
        cmocka_unit_test(damping_grows_until_the_factorisation_holds),
        cmocka_unit_test(a_hessian_that_cannot_be_factorised_is_an_error),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(one_factor_serves_all_that_ask_for_the_same),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(static_groups_need_groups),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
