/* A walk that is stopped anywhere goes on to the same bytes from its checkpoint, and from nothing
 * else that may lie in its place. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "eval/base/mem.h"
#include "eval/base/parallel.h"
#include "eval/base/stop.h"
#include "eval/linalg/blas.h"
#include "eval/run/walk_keep.h"
#include "tests/support/folder.h"
#include "tests/support/variants.h"
#include "tests/support/recipes.h"
#include "tests/support/tiny_model.h"

enum { TEXTS = 2, MOST_RIDERS = 8, LAYERS = 2 };

static struct bs_model *model; /* the embedded one's first two blocks */
static struct bs_windows calibration, texts[TEXTS];

/* They look at their own inputs, at the unquantized model's, at both, and at none; the last two
 * part from stream 0 in the second block, and not at all before the head. */
static const char *const riders[][2] = {
    {"", ""},
    {"rtn", "bits=4 group_size=32"},
    {"gptq", "bits=3 group_size=64 act_order=true"},
    {"awq", "bits=4 group_size=128 scale_grid=2 clip_grid=4 clip_tokens=40"},
    {"smoothquant gptq", "bits=4 a.bits=8 a.sharing=static"},
    {"gptq", "bits=16 @layer[1].mlp.down_proj bits=3"},
    {"rtn", "bits=16 @head bits=4"},
};
enum { RIDERS = sizeof riders / sizeof *riders };

struct ride {
    int count;
    struct bs_recipe recipes[MOST_RIDERS];
    struct bs_variant variants[MOST_RIDERS];
    char ids[MOST_RIDERS][TEXTS][17];
};

static int setup(void **state)
{
    bs_blas_init();
    folder_setup(state);
    model = tiny_model_cut(folder.path, LAYERS, NULL);
    calibration = tiny_model_windows("datasets/commons/calibration.txt", 5, 24);
    texts[0] = tiny_model_windows("datasets/commons/evaluation.txt", 3, 70);
    texts[1] = tiny_model_windows("datasets/commons/calibration.txt", 2, 9);
    tiny_model_make_ragged(&texts[1]);
    return 0;
}

static int teardown(void **state)
{
    bs_windows_release(&calibration);
    for (int t = 0; t < TEXTS; t++)
        bs_windows_release(&texts[t]);
    bs_model_free(model);
    return folder_teardown(state);
}

/* The riders whose bit is set, the unquantized model among them, to the texts whose bit is set. */
static void board(struct ride *ride, unsigned who, unsigned where)
{
    memset(ride, 0, sizeof *ride);
    for (int r = 0; r < RIDERS; r++) {
        if (!(who >> r & 1))
            continue;
        int i = ride->count++;
        recipe_build(&ride->recipes[i], riders[r][0], riders[r][1]);
        ride->variants[i] = (struct bs_variant){.recipe = &ride->recipes[i]};
        for (int t = 0; t < TEXTS; t++) {
            snprintf(ride->ids[i][t], sizeof ride->ids[i][t], "%08d%08d", r, t);
            ride->variants[i].ids[t] = ride->ids[i][t];
            ride->variants[i].wanted[t] = where >> t & 1;
        }
    }
}

static const unsigned all = (1u << RIDERS) - 1, both = 3;

static void leave(struct ride *ride)
{
    for (int i = 0; i < ride->count; i++) {
        bs_variant_release(&ride->variants[i]);
        bs_recipe_release(&ride->recipes[i]);
    }
}

static struct bs_walk walk_over(struct bs_keeping *keeping)
{
    static char down_input[] = "down_input", attn_input[] = "attn_input";
    static char *sites[] = {down_input, attn_input};
    struct bs_walk walk = {.model = model,
                           .calibration = &calibration,
                           .num_texts = TEXTS,
                           .texts = texts,
                           .layer_error_windows = 2,
                           .channel_windows = 2,
                           .num_channel_sites = 2,
                           .channel_sites = sites,
                           .keeping = keeping};
    return walk;
}

/* Counts checkpoints, and asks to stop at one of them. */
struct stopping {
    int saved, stop_at;
    struct bs_walk_place at;
};

static void on_kept(void *context, const struct bs_walk_place *place, const struct bs_error *err)
{
    struct stopping *stopping = context;
    assert_null(err);
    stopping->at = *place;
    if (++stopping->saved == stopping->stop_at)
        bs_stop_ask(SIGTERM);
}

static struct bs_keeping keeping_of(struct stopping *stopping, double interval)
{
    static char path[512];
    snprintf(path, sizeof path, "%s", folder_file(&folder, "walk.checkpoint"));
    struct bs_keeping keeping = {
        .path = path, .interval = interval, .kept = on_kept, .context = stopping};
    struct bs_walk walk = walk_over(NULL);
    bs_keep_identify(&keeping, &walk, "this machine");
    return keeping;
}

static enum bs_status run_until(int stop_at, struct ride *ride, struct stopping *stopping,
                                struct bs_error *err)
{
    *stopping = (struct stopping){.stop_at = stop_at};
    struct bs_keeping keeping = keeping_of(stopping, 0);
    struct bs_walk walk = walk_over(&keeping);
    enum bs_status status = bs_walk_run(&walk, ride->variants, ride->count, err);
    bs_stop_ask(0);
    return status;
}

/* Goes on with those who are on board. */
static void go_on(struct ride *ride, const char *scratch)
{
    struct bs_error err;
    struct bs_kept kept;
    struct stopping none = {.stop_at = -1};
    struct bs_keeping keeping = keeping_of(&none, 1e9);
    struct bs_walk walk = walk_over(&keeping);
    if (bs_kept_open(&keeping, &kept, &err))
        fail_msg("%s", err.message);
    walk.kept = &kept;
    walk.scratch = scratch;
    if (bs_walk_run(&walk, ride->variants, ride->count, &err))
        fail_msg("%s", err.message);
    bs_kept_close(&kept);
}

/* The riders of `ride` have what the same riders have in `whole`, on the texts they are wanted. */
static void expect_same(const struct ride *whole, const struct ride *ride)
{
    for (int i = 0; i < ride->count; i++) {
        int w = 0;
        while (strcmp(whole->ids[w][0], ride->ids[i][0]))
            w++;
        for (int t = 0; t < TEXTS; t++) {
            struct bs_variant a = whole->variants[w], b = ride->variants[i];
            if (!b.wanted[t])
                continue;
            a.figures[0] = a.figures[t];
            b.figures[0] = b.figures[t];
            assert_same_variant(&a, &b, &texts[t], 1);
        }
    }
}

static void every_place_goes_on_to_the_same_bytes(void **state)
{
    (void)state;
    static struct ride whole, stopped, resumed;
    struct bs_error err;
    struct stopping stopping;
    bs_set_threads(3); /* more threads take more windows past the head at a time: fewer places */
    board(&whole, all, both);
    assert_int_equal(run_until(-1, &whole, &stopping, &err), BS_OK);
    int places = stopping.saved, in_block = 0, in_head = 0;
    assert_true(places > LAYERS * (RIDERS + 1)); /* every variant of every block, and more */
    for (int k = 1; k < places; k++) {
        bs_set_threads(1 + k % 3);
        board(&stopped, all, both);
        assert_int_equal(run_until(k, &stopped, &stopping, &err), BS_ESTOPPED);
        leave(&stopped);
        in_block += stopping.at.variant > 0;
        in_head += stopping.at.window > 0;
        bs_set_threads(1 + (k + 1) % 3);
        board(&resumed, all, stopping.at.text ? 2 : both);
        go_on(&resumed, k % 2 ? folder.path : NULL);
        expect_same(&whole, &resumed);
        leave(&resumed);
    }
    assert_true(in_block > LAYERS && in_head > 1);
    leave(&whole);
    bs_set_threads(0);
}

static void some_of_the_riders_go_on_alone(void **state)
{
    (void)state;
    static const unsigned some[] = {1, 1 | 4, 1 | 2 | 16, 1 | 8};
    static struct ride whole, stopped, resumed;
    struct bs_error err;
    struct stopping stopping;
    board(&whole, all, both);
    assert_int_equal(run_until(-1, &whole, &stopping, &err), BS_OK);
    for (int k = 2; k < stopping.saved; k += 4)
        for (int s = 0; s < 4; s++) {
            board(&stopped, all, both);
            assert_int_equal(run_until(k, &stopped, &stopping, &err), BS_ESTOPPED);
            leave(&stopped);
            board(&resumed, some[s], s == 1 || stopping.at.text ? 2 : both);
            go_on(&resumed, NULL);
            expect_same(&whole, &resumed);
            leave(&resumed);
        }
    leave(&whole);
}

/* A walk that measures the unquantized model for its recipes alone: no trial of it is wanted. */
static void no_trial_is_the_unquantized_model(void **state)
{
    (void)state;
    static struct ride whole, stopped, resumed;
    struct bs_error err;
    struct stopping stopping;
    int in_head = 0;
    board(&whole, 1 | 2, both);
    assert_int_equal(run_until(-1, &whole, &stopping, &err), BS_OK);
    int places = stopping.saved;
    for (int k = 1; k < places; k++) {
        board(&stopped, 1 | 2, both);
        memset(stopped.variants[0].ids, 0, sizeof stopped.variants[0].ids);
        assert_int_equal(run_until(k, &stopped, &stopping, &err), BS_ESTOPPED);
        leave(&stopped);
        in_head += stopping.at.window > 0;
        board(&resumed, 1 | 2, stopping.at.text ? 2 : both);
        memset(resumed.variants[0].ids, 0, sizeof resumed.variants[0].ids);
        go_on(&resumed, NULL);
        expect_same(&whole, &resumed);
        leave(&resumed);
    }
    assert_true(in_head > 1);
    leave(&whole);
}

static void a_variant_that_failed_stays_so(void **state)
{
    (void)state;
    static struct ride stopped, resumed;
    struct bs_error err;
    struct stopping stopping;
    board(&stopped, all, both);
    stopped.variants[1].status = BS_ENUMERIC;
    snprintf(stopped.variants[1].message, sizeof stopped.variants[1].message, "what was wrong");
    assert_int_equal(run_until(RIDERS + 2, &stopped, &stopping, &err), BS_ESTOPPED);
    board(&resumed, all, both);
    go_on(&resumed, NULL);
    assert_int_equal(resumed.variants[1].status, BS_ENUMERIC);
    assert_string_equal(resumed.variants[1].message, "what was wrong");
    assert_int_equal(resumed.variants[2].status, BS_OK);
    leave(&stopped);
    leave(&resumed);
}

/* Any byte that is wrong, any byte that is missing. */
static void damage_is_noticed(void **state)
{
    (void)state;
    static struct ride ride;
    struct bs_error err;
    struct bs_kept kept;
    struct stopping stopping;
    char *data;
    size_t size;
    board(&ride, 1 | 2, both);
    assert_int_equal(run_until(2, &ride, &stopping, &err), BS_ESTOPPED);
    struct bs_keeping keeping = keeping_of(&stopping, 0);
    assert_int_equal(bs_file_read(keeping.path, &data, &size, &err), BS_OK);
    for (size_t at = 0; at < size; at += 1 + size / 97) {
        data[at] ^= 1;
        folder_write(&folder, "walk.checkpoint", data, size);
        assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
        assert_non_null(strstr(err.message, keeping.path));
        assert_null(kept.map.data);
        data[at] ^= 1;
        folder_write(&folder, "walk.checkpoint", data, at);
        assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
    }
    folder_write(&folder, "walk.checkpoint", data, size);
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_OK);
    bs_kept_close(&kept);
    bs_free(data);
    leave(&ride);
}

static void another_walks_is_not_used(void **state)
{
    (void)state;
    static struct ride ride;
    struct bs_error err;
    struct bs_kept kept;
    struct stopping stopping;
    board(&ride, 1 | 2, 1);
    assert_int_equal(run_until(2, &ride, &stopping, &err), BS_ESTOPPED);
    struct bs_keeping keeping = keeping_of(&stopping, 0);
    struct bs_walk walk = walk_over(&keeping);
    bs_keep_identify(&keeping, &walk, "another machine");
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
    walk.num_texts = 1;
    bs_keep_identify(&keeping, &walk, "this machine");
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
    walk.num_texts = TEXTS;
    walk.layer_error_windows = 1;
    bs_keep_identify(&keeping, &walk, "this machine");
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);

    keeping = keeping_of(&stopping, 0);
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_OK);
    const char *ids[BS_WALK_TEXTS] = {ride.ids[1][0]};
    assert_int_equal(bs_kept_find(&kept, ids), 1);
    ids[1] = ride.ids[1][1]; /* where it was not on its way to */
    assert_int_equal(bs_kept_find(&kept, ids), -1);
    ids[0] = ids[1] = NULL;
    assert_int_equal(bs_kept_find(&kept, ids), -1);
    bs_kept_close(&kept);
    unlink(keeping.path);
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EIO);
    assert_string_equal(err.message, "");
    leave(&ride);
}

/* A link, a folder, a pipe. */
static void what_is_no_file_is_not_used(void **state)
{
    (void)state;
    struct bs_error err;
    struct bs_kept kept;
    struct stopping stopping = {.stop_at = -1};
    struct bs_keeping keeping = keeping_of(&stopping, 0);
    unlink(keeping.path);
    assert_int_equal(symlink("/etc/passwd", keeping.path), 0);
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
    unlink(keeping.path);
    assert_int_equal(mkfifo(keeping.path, 0600), 0);
    assert_int_equal(bs_kept_open(&keeping, &kept, &err), BS_EDATA);
    unlink(keeping.path);
}

static void told_of_failure(void *context, const struct bs_walk_place *place,
                            const struct bs_error *err)
{
    (void)place;
    assert_non_null(err);
    assert_non_null(strstr(err->message, "nowhere"));
    ++*(int *)context;
}

static void that_it_cannot_be_kept_ends_no_walk(void **state)
{
    (void)state;
    static struct ride ride;
    struct bs_error err;
    int failures = 0;
    char path[512];
    snprintf(path, sizeof path, "%s/nowhere/walk.checkpoint", folder.path);
    struct bs_keeping keeping = {.path = path, .kept = told_of_failure, .context = &failures};
    struct bs_walk walk = walk_over(&keeping);
    board(&ride, 1 | 2, both);
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_OK);
    assert_true(failures > LAYERS);
    leave(&ride);
}

static void an_interval_is_waited_for(void **state)
{
    (void)state;
    static struct ride ride;
    struct bs_error err;
    struct stopping stopping = {.stop_at = -1};
    struct bs_keeping keeping = keeping_of(&stopping, 1e9);
    keeping.ended = bs_seconds();
    struct bs_walk walk = walk_over(&keeping);
    board(&ride, 1 | 2, both);
    assert_int_equal(bs_walk_run(&walk, ride.variants, ride.count, &err), BS_OK);
    assert_int_equal(stopping.saved, 0);
    leave(&ride);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_place_goes_on_to_the_same_bytes),
        cmocka_unit_test(some_of_the_riders_go_on_alone),
        cmocka_unit_test(no_trial_is_the_unquantized_model),
        cmocka_unit_test(a_variant_that_failed_stays_so),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(another_walks_is_not_used),
        cmocka_unit_test(what_is_no_file_is_not_used),
        cmocka_unit_test(that_it_cannot_be_kept_ends_no_walk),
        cmocka_unit_test(an_interval_is_waited_for),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
